-- A query answers with the version that is current when it runs.
PREPARE ask AS SELECT sqlml.predict('moving', s) FROM (SELECT 1 AS x) AS s;
PREPARE ask_typed (text) AS SELECT sqlml.predict($1, s, 0) FROM (SELECT 1 AS x) AS s;
SELECT publish('moving', 'text', artifact, '[]') FROM sqlml.version JOIN sqlml.model USING (model_id)
 WHERE model_name = 'line';
EXECUTE ask;
EXECUTE ask_typed ('moving');
SET plan_cache_mode = force_generic_plan;
EXECUTE ask;
EXECUTE ask_typed ('moving');
SELECT publish('moving', 'text', artifact, '[]') FROM sqlml.version JOIN sqlml.model USING (model_id)
 WHERE model_name = 'verdict';
EXECUTE ask;
EXECUTE ask_typed ('line');
-- a transaction that is rolled back, and one savepoint of it
BEGIN;
SELECT publish('moving', 'text', artifact, '[]') FROM sqlml.version JOIN sqlml.model USING (model_id)
 WHERE model_name = 'line' AND number = 1;
EXECUTE ask;
SAVEPOINT here;
SELECT publish('moving', 'text', artifact, '[]') FROM sqlml.version JOIN sqlml.model USING (model_id)
 WHERE model_name = 'colour' AND number = 1;
EXECUTE ask;
ROLLBACK TO here;
EXECUTE ask;
ROLLBACK;
EXECUTE ask;
-- a cursor keeps the version with which it began
BEGIN;
DECLARE answers CURSOR FOR SELECT sqlml.predict('moving', s) FROM (SELECT x FROM generate_series(1, 3) AS x) AS s;
FETCH 1 FROM answers;
SELECT publish('moving', 'text', artifact, '[]') FROM sqlml.version JOIN sqlml.model USING (model_id)
 WHERE model_name = 'line' AND number = 1;
FETCH ALL FROM answers;
EXECUTE ask;
COMMIT;
DISCARD ALL;
SELECT sqlml.predict('moving', s) FROM (SELECT 1 AS x) AS s;
-- the cache keeps nothing above its size
SET sqlml.cache_size = 0;
SELECT sqlml.predict('line', s), sqlml.predict('verdict', s), sqlml.predict('line', s) FROM (SELECT 2 AS x) AS s;
SELECT count(*) FROM pg_backend_memory_contexts WHERE name = 'sqlml model';
RESET sqlml.cache_size;
SELECT sqlml.predict('line', s) FROM (SELECT 2 AS x) AS s;
SELECT count(*) FROM pg_backend_memory_contexts WHERE name = 'sqlml model';
