-- The two schemas: sqlml holds the catalogue and the API, sqlml_training holds one
-- training function for each job. PUBLIC may create in the second one because a
-- training function belongs to the model's owner and is made in the owner's session;
-- it is in nobody's search path and the worker calls functions there by job only.
CREATE SCHEMA IF NOT EXISTS sqlml;
CREATE SCHEMA IF NOT EXISTS sqlml_training;

GRANT USAGE ON SCHEMA sqlml TO PUBLIC;
GRANT USAGE, CREATE ON SCHEMA sqlml_training TO PUBLIC;

COMMENT ON SCHEMA sqlml IS 'machine learning in plain SQL: catalogue and API';
COMMENT ON SCHEMA sqlml_training IS 'training functions of sqlml, one a job, owned by the models'' owners';
