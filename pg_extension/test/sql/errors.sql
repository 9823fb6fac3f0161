-- How predict() refuses.
\set SHOW_CONTEXT never
CREATE TABLE wide (id integer, x text, y float8);
INSERT INTO wide VALUES (1, 'one', 1);
-- columns
SELECT sqlml.predict('line', s) FROM (SELECT 1 AS y) AS s;
SELECT sqlml.predict('price', s) FROM (SELECT 1 AS amount, 'Paris' AS city, now() AS seen) AS s;
SELECT sqlml.predict('line', wide) FROM wide;
SELECT sqlml.predict('line', s) FROM (SELECT true AS x) AS s;
SELECT sqlml.predict('price', s) FROM (SELECT 1 AS amount, 1 AS "is new", 'Paris' AS city, now() AS seen) AS s;
SELECT sqlml.predict('price', s) FROM (SELECT 1 AS amount, true AS "is new", 7 AS city, now() AS seen) AS s;
SELECT sqlml.predict('price', s) FROM (SELECT 1 AS amount, true AS "is new", 'Paris' AS city, '2000-01-01' AS seen) AS s;
SELECT sqlml.predict('line', s) FROM (SELECT 1 AS x, 2 AS x) AS s;
SELECT sqlml.predict('line', s) FROM (SELECT interval '1 day' AS x) AS s;
-- values
\set VERBOSITY sqlstate
SELECT sqlml.predict('line', s) FROM (SELECT 1e400 AS x) AS s;
SELECT sqlml.predict('line', '{"x": 1e400}'::jsonb);
\set VERBOSITY default
SELECT sqlml.predict('price', s) FROM (SELECT 1 AS amount, true AS "is new", 'Rome' AS city, '5874897-12-31'::date AS seen) AS s;
-- features that are no row
SELECT sqlml.predict('line', 1);
SELECT sqlml.predict('line', 'x'::text);
SELECT sqlml.predict('line', ARRAY[1, 2]);
SELECT sqlml.predict('line', '[1]'::jsonb);
SELECT sqlml.predict('line', '1'::jsonb);
SELECT sqlml.predict('line', '"x"'::jsonb);
SELECT sqlml.predict('line', 'null'::jsonb);
-- values of JSON
SELECT sqlml.predict('line', '{"x": "1"}'::jsonb);
SELECT sqlml.predict('line', '{"x": true}'::jsonb);
SELECT sqlml.predict('line', '{"x": [1]}'::jsonb);
SELECT sqlml.predict('line', '{"x": {}}'::jsonb);
SELECT sqlml.predict('price', '{"is new": 1}'::jsonb);
SELECT sqlml.predict('price', '{"city": 1}'::jsonb);
SELECT sqlml.predict('price', '{"seen": 1}'::jsonb);
SELECT sqlml.predict('price', '{"seen": "yesterday"}'::jsonb);
SELECT sqlml.predict('price', '{"seen": "294277-01-01"}'::jsonb);
-- models
SELECT sqlml.predict('lime', s) FROM (SELECT 1 AS x) AS s;
SELECT sqlml.predict('untrained', s) FROM (SELECT 1 AS x) AS s;
SELECT sqlml.predict('', s) FROM (SELECT 1 AS x) AS s;
SELECT sqlml.predict('a.b.c', s) FROM (SELECT 1 AS x) AS s;
-- classes
SELECT sqlml.predict_proba('verdict', s, 'yes') FROM (SELECT 1 AS x) AS s;
SELECT sqlml.predict_proba('verdict', s, '') FROM (SELECT 1 AS x) AS s;
SELECT sqlml.predict_proba('line', s, 'oui') FROM (SELECT 1 AS x) AS s;
-- results
SELECT sqlml.predict('line', s, 0::smallint) FROM (SELECT 1e6 AS x) AS s;
SELECT sqlml.predict('verdict', s, 0) FROM (SELECT 1 AS x) AS s;
SELECT sqlml.predict('line', s, NULL::small_amount) FROM (SELECT 1e6 AS x) AS s;
SELECT sqlml.predict('line', s, NULL::date) FROM (SELECT 1 AS x) AS s;
-- privileges
CREATE ROLE regress_sqlml_stranger;
GRANT ALL ON TABLE wide TO regress_sqlml_stranger;
SET ROLE regress_sqlml_stranger;
SELECT sqlml.predict('line', s) FROM (SELECT 1 AS x) AS s;
SELECT predict_line(s) FROM (SELECT 1 AS x) AS s;
RESET ROLE;
SELECT sqlml.predict('line', s) FROM (SELECT 1 AS x) AS s;
GRANT EXECUTE ON FUNCTION predict_line(anyelement) TO regress_sqlml_stranger;
SET ROLE regress_sqlml_stranger;
SELECT sqlml.predict('line', s), predict_line(s) FROM (SELECT 1 AS x) AS s;
SELECT sqlml.predict('verdict', s) FROM (SELECT 1 AS x) AS s;
RESET ROLE;
DROP OWNED BY regress_sqlml_stranger;
DROP ROLE regress_sqlml_stranger;
