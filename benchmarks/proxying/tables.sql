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

-- Rows of the usual types and some 120 bytes, for streams in both directions.
CREATE TABLE wide AS
SELECT number AS id,
       number % 1000 AS customer,
       number % 3 = 0 AS is_open,
       (number * 7919 % 5000)::numeric(15, 2) / 100 AS quantity,
       (number * 104729 % 1000000)::numeric(15, 2) / 100 AS price,
       sqrt(number) AS score,
       1.0::float8 / number AS weight,
       timestamp '2026-01-01' + number * interval '61.123 seconds' AS booked_at,
       date '2026-01-01' + number % 700 AS shipped_on,
       'customer ' || number AS name
  FROM generate_series(1, {rows}) AS number;
