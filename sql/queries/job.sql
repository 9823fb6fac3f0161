-- The worker's side of the queue. Each query stands under its name.

-- name: announce_worker
SELECT pg_advisory_lock_shared(sqlml.lock_class(), 0);

-- name: fetch_job
SELECT job_id, model_id, schema_name::text, model_name::text, owner::text, target::text,
       columns, options, attempts,
       -- Nobody watches the clock of a job that its session does not wait for.
       CASE WHEN is_attended
            THEN extract(epoch FROM clock_timestamp() - created_at)::float8 ELSE 0 END AS waited_s
  FROM sqlml.fetch_job();

-- name: release_job
SELECT pg_advisory_unlock(sqlml.lock_class(), %(job_id)s);

-- Whether a job must stop: aborted, or its model is gone. And, if asked, whether nobody waits who
-- should: that reads the locks of the whole server.
-- name: look_at_job
SELECT abort_requested OR model_id IS NULL AS is_abort_requested,
       %(asks_statement)s AND sqlml.is_deserted(job) AS is_deserted
  FROM sqlml.job WHERE job_id = %(job_id)s;

-- Whatever an aborted job ended with, it was aborted.
-- name: finish_job
UPDATE sqlml.job
   SET status = CASE WHEN is_aborted THEN 'aborted' ELSE %(status)s END,
       finished_at = clock_timestamp(),
       error_sqlstate = CASE WHEN NOT is_aborted THEN %(sqlstate)s END,
       error_message = CASE WHEN NOT is_aborted THEN %(message)s END,
       error_detail = CASE WHEN NOT is_aborted THEN %(detail)s END,
       error_hint = CASE WHEN NOT is_aborted THEN %(hint)s END
  FROM (SELECT job_id, abort_requested OR model_id IS NULL AS is_aborted
          FROM sqlml.job WHERE job_id = %(job_id)s) AS asked
 WHERE job.job_id = asked.job_id AND status = 'running';

-- name: give_back_job
UPDATE sqlml.job SET status = 'waiting', attempts = attempts - 1, started_at = NULL
 WHERE job_id = %(job_id)s AND status = 'running';

-- name: write_progress
UPDATE sqlml.job
   SET phase = %(phase)s, message = coalesce(%(message)s, message),
       trial_count = %(trial_count)s, best_score = %(best_score)s
 WHERE job_id = %(job_id)s;

-- name: write_event
INSERT INTO sqlml.event (job_id, number, message)
SELECT %(job_id)s, 1 + coalesce(max(number), 0), %(message)s
  FROM sqlml.event WHERE job_id = %(job_id)s;

-- name: write_trial
INSERT INTO sqlml.trial (job_id, number, estimator, hyperparameters, score, score_sd, fit_time_s,
                         predict_us, state, error)
VALUES (%(job_id)s, %(number)s, %(estimator)s, %(hyperparameters)s, %(score)s, %(score_sd)s,
        %(fit_time_s)s, %(predict_us)s, %(state)s, %(error)s);

-- The trials of an earlier attempt at a job.
-- name: read_trials
SELECT number, estimator, hyperparameters, score, score_sd, fit_time_s, predict_us, state, error
  FROM sqlml.trial WHERE job_id = %(job_id)s ORDER BY number;

-- What only a database without both extensions has.
-- name: is_sql_only
SELECT to_regprocedure('sqlml.run_model_sql(integer, text, jsonb)') IS NOT NULL;
