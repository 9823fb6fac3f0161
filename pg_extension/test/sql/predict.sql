-- Rows of every form.
CREATE TABLE t (id integer, extra text, seen timestamp, city text, "is new" boolean, amount float8);
INSERT INTO t VALUES
    (1, 'a', '2000-01-01 05:59:59', 'Paris', true, 1),
    (2, 'b', '1999-12-31 23:00:00', 'Köln', false, -1.5),
    (3, 'c', '0044-03-15 12:00:00 BC', 'Bonn', NULL, 1e3),
    (4, NULL, NULL, NULL, NULL, NULL);
SELECT id, sqlml.predict('price', t), predict_price(t) FROM t ORDER BY id;
SELECT id, sqlml.predict('price', t.*) FROM t ORDER BY id;
SELECT sqlml.predict(model => 'price', features => t, type => NULL::integer) FROM t ORDER BY id;
SELECT sqlml.predict(features => t, model => 'price') FROM t WHERE id = 1;
SELECT pg_typeof(predict_price(t)), pg_typeof(sqlml.predict('price', t)),
       pg_typeof(sqlml.predict('price', t, 0::smallint)) FROM t WHERE id = 1;
-- a subquery, a common table expression, VALUES, a view, a composite value
SELECT sqlml.predict('price', s)
  FROM (SELECT *, id * 2 AS twice FROM t WHERE id < 3 ORDER BY id DESC) AS s;
WITH s AS (SELECT * FROM t) SELECT sqlml.predict('price', s) FROM s ORDER BY id;
SELECT sqlml.predict('line', v) FROM (VALUES (1, 0.5), (2, NULL)) AS v (id, x);
CREATE VIEW v AS SELECT id, city, seen, "is new", amount + 1 AS amount FROM t;
SELECT sqlml.predict('price', v) FROM v ORDER BY id;
CREATE TYPE point_like AS (x float8, y float8);
SELECT sqlml.predict('line', ROW(3, 4)::point_like);
-- joins; the row of an outer join without a partner is NULL and so is its prediction
CREATE TABLE more (id integer, x float8);
INSERT INTO more VALUES (1, 10), (2, NULL);
SELECT t.id, sqlml.predict('line', m), sqlml.predict('price', t)
  FROM t LEFT JOIN more AS m USING (id) ORDER BY t.id;
SELECT j.id, sqlml.predict('line', j) FROM (SELECT * FROM t JOIN more USING (id)) AS j ORDER BY j.id;
SELECT id, sqlml.predict('line', more) FROM more WHERE sqlml.predict('line', more, 0) > 5;
SELECT id FROM t ORDER BY sqlml.predict('price', t, 0::float8) DESC;
SELECT sum(predict_price(t)) FROM t GROUP BY id % 2 ORDER BY 1;
-- JSON
SELECT id, sqlml.predict('price', to_jsonb(t)), sqlml.predict('price', to_json(t)) FROM t ORDER BY id;
SELECT sqlml.predict('price', '{"amount": 1, "is new": true, "city": "Paris", "seen": "2000-01-01"}'::jsonb),
       sqlml.predict('price', '{}'::jsonb),
       sqlml.predict('price', '{"amount": null, "other": [1, 2]}'::jsonb),
       predict_price('{"amount": 5}'::jsonb);
SELECT sqlml.predict('line', jsonb_build_object('x', x)) FROM unnest(ARRAY['NaN', 'Infinity']) AS x;
-- classes
SELECT x, sqlml.predict('verdict', s), predict_verdict(s), sqlml.predict_proba('verdict', s, 'oui')
  FROM (VALUES (-1.0), (0.0), (0.5), (NULL), ('NaN')) AS s (x);
SELECT sqlml.predict_proba(class => 'non', features => s, model => 'verdict') FROM (SELECT 0 AS x) AS s;
SELECT x, sqlml.predict('colour', s), round(sqlml.predict_proba('colour', s, 'ä')::numeric, 6) AS "ä"
  FROM (VALUES (-1), (0), (2)) AS s (x);
-- trees
SELECT x, city, predict_tree(s)
  FROM (VALUES (2.5, 'Köln'), (2.5, 'Paris'), (2.6, 'Köln'), (NULL, 'Bonn'), (NULL, NULL)) AS s (x, city);
-- what is NULL gives NULL
SELECT sqlml.predict('line', NULL::more), sqlml.predict(NULL, more), sqlml.predict('line', NULL::jsonb),
       sqlml.predict_proba('verdict', more, NULL)
  FROM more WHERE id = 1;
-- a column that was dropped, one that came and one that changed
ALTER TABLE more DROP COLUMN id;
ALTER TABLE more ADD COLUMN y text;
SELECT sqlml.predict('line', more) FROM more;
ALTER TABLE more ALTER COLUMN x TYPE numeric;
SELECT sqlml.predict('line', more) FROM more;
