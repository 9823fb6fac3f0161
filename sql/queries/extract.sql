-- Reading the training rows.

-- The training function of a job, if the model's owner still owns it.
-- name: find_training_function
SELECT function.oid::regprocedure::text
  FROM pg_catalog.pg_proc AS function
  JOIN sqlml.job ON job.job_id = %(job_id)s
 WHERE function.oid = to_regprocedure(format('sqlml_training.job_%%s()', job.job_id))
   AND function.proowner = job.owner;
