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
    golden, libraries, sql, sql_problem, inputs, score_low, score_high, predict_us, ensemble,
    is_interim)
SELECT %(model_id)s, 1 + coalesce(max(number), 0), %(job_id)s, %(problem_type)s, %(classes)s,
       %(columns)s, %(estimator)s, %(hyperparameters)s, %(metric)s, %(direction)s, %(score)s,
       %(baseline_score)s, %(split)s, %(train_rows)s, %(holdout_rows)s, %(skipped_rows)s,
       %(artifact)s, %(golden)s, %(libraries)s, %(sql)s, %(sql_problem)s, %(inputs)s,
       %(score_low)s, %(score_high)s, %(predict_us)s, %(ensemble)s, %(is_interim)s
  FROM sqlml.version WHERE model_id = %(model_id)s
RETURNING version_id, number;

-- name: write_feature
INSERT INTO sqlml.feature (version_id, number, column_name, type, kind, role, features, reason,
                           distinct_count, null_count, importance)
VALUES (%(version_id)s, %(number)s, %(column)s, %(type)s, %(kind)s, %(role)s, %(features)s,
        %(reason)s, %(distinct_count)s, %(null_count)s, %(importance)s);

-- No row: the model has a version of an earlier job, which answers until this one has ended.
-- name: may_publish_interim
SELECT FROM sqlml.model
  LEFT JOIN sqlml.version ON version.version_id = model.current_version_id
 WHERE model.model_id = %(model_id)s
   AND coalesce(version.job_id = %(job_id)s, true);

-- name: promote_version
UPDATE sqlml.model SET current_version_id = %(version_id)s WHERE model_id = %(model_id)s;

-- What a job published before its last version has had its time.
-- name: delete_interim_versions
DELETE FROM sqlml.version
 WHERE job_id = %(job_id)s AND is_interim AND version_id <> %(version_id)s;

-- What each trial is of the model; the others stay without a weight.
-- name: write_weight
UPDATE sqlml.trial SET weight = %(weight)s WHERE job_id = %(job_id)s AND number = %(trial)s;

-- name: mark_succeeded
UPDATE sqlml.job SET status = 'succeeded', phase = 'published', finished_at = clock_timestamp()
 WHERE job_id = %(job_id)s;
