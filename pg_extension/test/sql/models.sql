-- Models put straight into the catalogue; fixtures/models.sql says how they were made.
CREATE FUNCTION publish(name text, target_type text, artifact bytea, golden jsonb)
RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    the_model integer;
    the_version integer;
BEGIN
    SELECT model_id INTO the_model FROM sqlml.model WHERE model_name = publish.name;
    IF NOT FOUND THEN
        INSERT INTO sqlml.model (schema_name, model_name) VALUES ('public', publish.name)
        RETURNING model_id INTO the_model;
        PERFORM sqlml.make_predict_function('public', publish.name, target_type);
    END IF;
    WITH job AS (
        INSERT INTO sqlml.job (model_id, schema_name, model_name, target, query, columns, options,
                               status)
        VALUES (the_model, 'public', publish.name, 'y', '', '[]', '{}', 'succeeded')
        RETURNING job_id)
    INSERT INTO sqlml.version (model_id, number, job_id, problem_type, classes, columns, estimator,
                               hyperparameters, metric, direction, split, train_rows, holdout_rows,
                               skipped_rows, artifact, golden, libraries)
    SELECT the_model, (SELECT count(*) + 1 FROM sqlml.version WHERE model_id = the_model), job_id,
           'regression', '{}', '{}', 'linear', '{}', 'rmse', 'minimize', 'none', 1, 1, 0,
           publish.artifact, publish.golden, '{}'
      FROM job
    RETURNING version_id INTO the_version;
    UPDATE sqlml.model SET current_version_id = the_version WHERE model_id = the_model;
END;
$$;
\getenv abs_srcdir PG_ABS_SRCDIR
\set file :abs_srcdir '/fixtures/models.sql'
\set ECHO none
\o /dev/null
\i :file
\o
\set ECHO all
-- A model that is still to be trained.
INSERT INTO sqlml.model (schema_name, model_name) VALUES ('public', 'untrained');
SELECT sqlml.make_predict_function('public', 'untrained', 'text');
SELECT model_name, current_version_id IS NOT NULL AS has_version FROM sqlml.model ORDER BY model_id;
