-- What users read. The views see what the current user may see (security_invoker).

CREATE OR REPLACE VIEW sqlml.jobs WITH (security_invoker = true) AS
SELECT job_id, schema_name AS schema, model_name AS model, owner, target,
       -- No worker will begin it; the next one that looks writes so.
       CASE WHEN status = 'waiting' AND abort_requested THEN 'aborted' ELSE status END AS status,
       phase, message, trial_count, best_score, attempts, created_at, started_at, finished_at,
       error_sqlstate, error_message, error_detail, error_hint, options, query
  FROM sqlml.job;
COMMENT ON VIEW sqlml.jobs IS 'jobs of your models, with their progress and how they ended';

CREATE OR REPLACE VIEW sqlml.models WITH (security_invoker = true) AS
SELECT model.schema_name AS schema, model.model_name AS model, model.owner,
       job.target, version.problem_type,
       CASE WHEN job.status IN ('waiting', 'running') AND NOT job.abort_requested THEN 'training'
            WHEN version.version_id IS NOT NULL THEN 'ready'
            WHEN job.abort_requested THEN 'aborted'
            ELSE coalesce(job.status, 'not ready') END AS status,
       version.number AS version, version.estimator, version.metric, version.direction,
       version.score, version.baseline_score, version.split, version.train_rows,
       version.holdout_rows, version.skipped_rows, version.classes, version.columns,
       octet_length(version.artifact) AS size_bytes, model.created_at,
       version.created_at AS trained_at,
       CASE WHEN job.status = 'failed' OR version.version_id IS NULL
            THEN job.error_message END AS error,
       version.score_low, version.score_high, version.predict_us, version.ensemble,
       version.is_interim
  FROM sqlml.model
  LEFT JOIN sqlml.version ON version.version_id = model.current_version_id
  LEFT JOIN LATERAL (
       SELECT * FROM sqlml.job WHERE job.model_id = model.model_id
        ORDER BY job_id DESC LIMIT 1) AS job ON true
 WHERE sqlml.may_use(model.*) OR sqlml.may_own(model.owner);
COMMENT ON VIEW sqlml.models IS 'models that you may use, with their current version and its score';

CREATE OR REPLACE VIEW sqlml.trials WITH (security_invoker = true) AS
SELECT job.schema_name AS schema, job.model_name AS model, job.job_id, made.version,
       trial.number AS trial, trial.estimator,
       -- A pruned trial's score is of its first fold; among the others it would mislead.
       CASE trial.state WHEN 'complete' THEN trial.score END AS score,
       CASE trial.state WHEN 'complete' THEN trial.score_sd END AS score_sd, trial.fit_time_s,
       trial.state, trial.hyperparameters, trial.error, trial.predict_us, trial.weight
  FROM sqlml.trial
  JOIN sqlml.job ON job.job_id = trial.job_id AND job.model_id IS NOT NULL
  LEFT JOIN LATERAL (
       SELECT max(version.number) AS version FROM sqlml.version
        WHERE version.job_id = job.job_id) AS made ON true;
COMMENT ON VIEW sqlml.trials IS 'what the searches tried: the leaderboard, to be ordered by score';

CREATE OR REPLACE VIEW sqlml.features WITH (security_invoker = true) AS
SELECT model.schema_name AS schema, model.model_name AS model, version.number AS version,
       feature.column_name AS "column", feature.type, feature.kind, feature.role,
       feature.features, feature.importance, feature.distinct_count, feature.null_count,
       feature.reason
  FROM sqlml.feature
  JOIN sqlml.version ON version.version_id = feature.version_id
  JOIN sqlml.model ON model.model_id = version.model_id;
COMMENT ON VIEW sqlml.features IS
    'what the columns became in your models, how much each tells them, and why';

GRANT SELECT ON sqlml.jobs, sqlml.models, sqlml.trials, sqlml.features TO PUBLIC;

-- Older catalogues have these with other columns.
DROP FUNCTION IF EXISTS sqlml.show_models();
DROP FUNCTION IF EXISTS sqlml.describe_model(text);

-- SHOW MODELS
CREATE FUNCTION sqlml.show_models()
RETURNS TABLE (schema name, model name, target name, problem_type text, status text,
               version integer, metric text, score double precision,
               score_low double precision, score_high double precision,
               baseline_score double precision, predict_us double precision, estimator text)
LANGUAGE sql STABLE
AS $$
    SELECT schema, model, target, problem_type, status, version, metric, score, score_low,
           score_high, baseline_score, predict_us, estimator
      FROM sqlml.models ORDER BY schema, model;
$$;

-- A model that the current user may look at; an error rather than nothing where that is not so.
CREATE OR REPLACE FUNCTION sqlml.get_visible_model(model text)
RETURNS sqlml.model
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    found sqlml.model := sqlml.get_model(model);
BEGIN
    IF NOT (sqlml.may_own(found.owner) OR sqlml.may_use(found)) THEN
        PERFORM sqlml.raise('42501', denied.message, NULL, denied.hint)
           FROM sqlml.missing_right(found) AS denied;
    END IF;
    RETURN found;
END;
$$;

-- SHOW MODEL name
CREATE OR REPLACE FUNCTION sqlml.show_model(model text)
RETURNS TABLE (property text, value text)
LANGUAGE sql STABLE
AS $$
    WITH shown AS (
        SELECT models.* FROM sqlml.get_visible_model(model) AS found
          JOIN sqlml.models ON models.schema = found.schema_name AND models.model = found.model_name)
    SELECT key, value
      FROM shown, jsonb_each_text(to_jsonb(shown)) AS item (key, value)
      JOIN pg_attribute ON attrelid = 'sqlml.models'::regclass AND attname = key
     WHERE value IS NOT NULL
     -- The view itself, which older catalogues have, can only grow at its end.
     ORDER BY array_position(ARRAY[
         'schema', 'model', 'owner', 'target', 'problem_type', 'status', 'error', 'version',
         'is_interim', 'estimator', 'ensemble', 'metric', 'direction', 'score', 'score_low',
         'score_high', 'baseline_score', 'predict_us'], key), attnum;
$$;

-- DESCRIBE MODEL name
CREATE FUNCTION sqlml.describe_model(model text)
RETURNS TABLE ("column" text, type text, kind text, role text, features text[],
               importance double precision, distinct_count bigint, null_count bigint,
               reason text)
LANGUAGE sql STABLE
AS $$
    SELECT item->>'name', item->>'declared', item->>'kind',
           CASE WHEN item->>'name' = job.target THEN 'target'
                ELSE coalesce(item->>'role', feature.role,
                    CASE WHEN item->>'name' = ANY (version.columns) THEN 'feature'
                         -- Before the first version nothing is known of the others.
                         WHEN version.version_id IS NOT NULL OR item ? 'reason' THEN 'unused' END)
                END,
           feature.features, feature.importance, feature.distinct_count, feature.null_count,
           coalesce(item->>'reason', feature.reason,
               CASE WHEN version.version_id IS NOT NULL AND item->>'name' <> job.target
                     AND NOT item ? 'role' AND NOT item->>'name' = ANY (version.columns)
                    THEN 'tells nothing about the target' END)
      FROM sqlml.get_own_model(model) AS found
      LEFT JOIN sqlml.version ON version.version_id = found.current_version_id
      JOIN sqlml.job ON job.job_id = coalesce(
           version.job_id,
           (SELECT max(job_id) FROM sqlml.job AS last WHERE last.model_id = found.model_id))
     CROSS JOIN jsonb_array_elements(job.columns) WITH ORDINALITY AS listed (item, place)
      LEFT JOIN sqlml.feature ON feature.version_id = version.version_id
            AND feature.column_name = item->>'name'
     ORDER BY place;
$$;

COMMENT ON FUNCTION sqlml.show_models IS 'SHOW MODELS: the models that you may use';
COMMENT ON FUNCTION sqlml.show_model IS 'SHOW MODEL: the properties of a model';
COMMENT ON FUNCTION sqlml.describe_model IS
    'DESCRIBE MODEL: the columns of your model, and what became of them';
