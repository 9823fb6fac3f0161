-- Every type that a column may have.
SELECT sqlml.predict('line', s) FROM (SELECT 7::smallint AS x) AS s;
SELECT sqlml.predict('line', s) FROM (SELECT -2147483648 AS x) AS s;
SELECT sqlml.predict('line', s) FROM (SELECT 9007199254740993 AS x) AS s;
SELECT sqlml.predict('line', s) FROM (SELECT 0.1::real AS x) AS s;
SELECT sqlml.predict('line', s) FROM (SELECT 0.1::float8 AS x) AS s;
SELECT sqlml.predict('line', s)
  FROM (VALUES (0.1), (-12.50), (1e-20), (1e30), (9007199254740993), (1e-300), (0), ('NaN'),
               (123456789012345678901234567890.5)) AS s (x);
CREATE DOMAIN amount AS numeric(10, 2) CHECK (value > 0);
CREATE DOMAIN small_amount AS amount CHECK (value < 100);
SELECT sqlml.predict('line', s) FROM (SELECT 12.345::small_amount AS x) AS s;
CREATE TYPE town AS ENUM ('Köln', 'Paris', 'Rome');
CREATE DOMAIN place AS town;
CREATE DOMAIN padded AS character(8);
CREATE TABLE cities (number integer, as_text text, as_varchar varchar(9), as_char character(9), as_bpchar bpchar,
                     as_name name, as_enum town, as_place place, as_padded padded);
INSERT INTO cities VALUES (1, 'Köln', 'Köln', 'Köln', 'Köln  ', 'Köln', 'Köln', 'Köln', 'Köln'),
                          (2, 'Köln ', 'Köln ', 'Köln ', 'Köln', 'Köln ', 'Rome', 'Rome', '');
INSERT INTO cities VALUES (3);
SELECT number,
       sqlml.predict('tree', a) AS text, sqlml.predict('tree', b) AS varchar,
       sqlml.predict('tree', c) AS char, sqlml.predict('tree', d) AS bpchar,
       sqlml.predict('tree', e) AS name, sqlml.predict('tree', f) AS enum,
       sqlml.predict('tree', g) AS place, sqlml.predict('tree', h) AS padded
  FROM cities,
       LATERAL (SELECT 0 AS x, as_text AS city) AS a, LATERAL (SELECT 0 AS x, as_varchar AS city) AS b,
       LATERAL (SELECT 0 AS x, as_char AS city) AS c, LATERAL (SELECT 0 AS x, as_bpchar AS city) AS d,
       LATERAL (SELECT 0 AS x, as_name AS city) AS e, LATERAL (SELECT 0 AS x, as_enum AS city) AS f,
       LATERAL (SELECT 0 AS x, as_place AS city) AS g, LATERAL (SELECT 0 AS x, as_padded AS city) AS h
 ORDER BY number;
SELECT sqlml.predict('tree', s)
  FROM (SELECT 0 AS x, 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid AS city) AS s;
-- Dates and times are read in UTC, whatever the session's time zone. The score is the hour and 3095.
SET TimeZone = 'Asia/Kathmandu';
CREATE TABLE moments (number integer, d date, m timestamp, z timestamptz);
INSERT INTO moments VALUES
    (1, '2000-01-02', '2000-01-02 03:59:59.999999', '2000-01-02 03:00+00'),
    (2, '4714-11-24 BC', '4714-11-24 01:00 BC', '1850-06-01 07:30+02'),
    (3, '294276-12-31', '294276-12-31 23:59:59', '294276-12-31 23:59:59+00'),
    (4, 'infinity', '-infinity', 'infinity');
INSERT INTO moments VALUES (5);
SELECT number, sqlml.predict('price', a) AS date, sqlml.predict('price', b) AS timestamp,
       sqlml.predict('price', c) AS timestamptz
  FROM moments,
       LATERAL (SELECT 0 AS amount, NULL::boolean AS "is new", 'Köln' AS city, d AS seen) AS a,
       LATERAL (SELECT 0 AS amount, NULL::boolean AS "is new", 'Köln' AS city, m AS seen) AS b,
       LATERAL (SELECT 0 AS amount, NULL::boolean AS "is new", 'Köln' AS city, z AS seen) AS c
 ORDER BY number;
-- Every type of a result.
SELECT sqlml.predict('line', s, 0::smallint), sqlml.predict('line', s, 0), sqlml.predict('line', s, 0::bigint),
       sqlml.predict('line', s, 0::real), sqlml.predict('line', s, 0::float8), sqlml.predict('line', s, 0::numeric),
       sqlml.predict('line', s, 1::small_amount), sqlml.predict('line', s, ''::text)
  FROM (SELECT 12.5 AS x) AS s;
SELECT sqlml.predict('verdict', s, ''::text), sqlml.predict('verdict', s, ''::varchar), sqlml.predict('verdict', s, ''::name)
  FROM (SELECT 12.5 AS x) AS s;
