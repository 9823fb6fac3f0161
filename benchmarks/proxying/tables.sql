-- pgbench's table of accounts, which is one row a point query.
CREATE TABLE pgbench_accounts (
    aid integer PRIMARY KEY,
    bid integer,
    abalance integer,
    filler character(84)
);
INSERT INTO pgbench_accounts
SELECT aid, 1, 0, ''
  FROM generate_series(1, {accounts}) AS aid;

-- Rows of ten columns and some 150 bytes, for streams in both directions.
CREATE TABLE wide AS
SELECT row_number AS id,
       row_number % 1000 AS customer,
       row_number * 7919 % 100003 AS amount,
       (row_number * 31 % 1000) / 8.0::float8 AS score,
       timestamp '2026-01-01' + row_number * interval '1 minute' AS booked_at,
       row_number % 3 = 0 AS is_open,
       md5(row_number::text) AS token,
       'customer ' || row_number AS name,
       (row_number * 13 % 9973)::numeric / 100 AS price,
       repeat('x', (row_number % 40)::integer) AS remark
  FROM generate_series(1, {rows}) AS row_number;
