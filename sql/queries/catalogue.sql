-- Publishing a version.

-- No row: the job was aborted or its model dropped, and nothing may be published.
-- name: lock_running_job
SELECT model_id FROM sqlml.job
 WHERE job_id = %(job_id)s AND status = 'running' AND NOT abort_requested AND model_id IS NOT NULL
   FOR UPDATE;

-- name: write_version
INSERT INTO sqlml.version (
    model_id, number, job_id, problem_type, classes, columns, estimator, hyperparameters, metric,
    direction, score, baseline_score, split, train_rows, holdout_rows, skipped_rows, artifact,
    golden, libraries, sql, sql_problem, inputs)
SELECT %(model_id)s, 1 + coalesce(max(number), 0), %(job_id)s, %(problem_type)s, %(classes)s,
       %(columns)s, %(estimator)s, %(hyperparameters)s, %(metric)s, %(direction)s, %(score)s,
       %(baseline_score)s, %(split)s, %(train_rows)s, %(holdout_rows)s, %(skipped_rows)s,
       %(artifact)s, %(golden)s, %(libraries)s, %(sql)s, %(sql_problem)s, %(inputs)s
  FROM sqlml.version WHERE model_id = %(model_id)s
RETURNING version_id, number;

-- name: promote_version
UPDATE sqlml.model SET current_version_id = %(version_id)s WHERE model_id = %(model_id)s;

-- name: mark_succeeded
UPDATE sqlml.job SET status = 'succeeded', phase = 'published', finished_at = clock_timestamp()
 WHERE job_id = %(job_id)s;
