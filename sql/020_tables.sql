-- The catalogue. Ordinary tables, not owned by an extension, so that pg_dump and replicas
-- carry models.

CREATE TABLE IF NOT EXISTS sqlml.model (
    model_id           integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    schema_name        name NOT NULL,
    model_name         name NOT NULL,
    owner              regrole NOT NULL DEFAULT (current_user::regrole),
    current_version_id integer,
    created_at         timestamptz NOT NULL DEFAULT now(),
    UNIQUE (schema_name, model_name)
);
COMMENT ON TABLE sqlml.model IS 'the named things that CREATE MODEL makes';

CREATE TABLE IF NOT EXISTS sqlml.job (
    job_id          integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    model_id        integer REFERENCES sqlml.model ON DELETE SET NULL,
    schema_name     name NOT NULL,
    model_name      name NOT NULL,
    owner           regrole NOT NULL DEFAULT (current_user::regrole),
    target          name NOT NULL,
    query           text NOT NULL,
    columns         jsonb NOT NULL,
    options         jsonb NOT NULL,
    status          text NOT NULL DEFAULT 'waiting'
                    CHECK (status IN ('waiting', 'running', 'succeeded', 'failed', 'aborted')),
    attempts        integer NOT NULL DEFAULT 0,
    abort_requested boolean NOT NULL DEFAULT false,
    phase           text,
    message         text,
    trial_count     integer NOT NULL DEFAULT 0,
    best_score      double precision,
    created_at      timestamptz NOT NULL DEFAULT now(),
    started_at      timestamptz,
    finished_at     timestamptz,
    error_sqlstate  text,
    error_message   text,
    error_detail    text,
    error_hint      text
);
COMMENT ON TABLE sqlml.job IS 'requests to train a model, and how they ended';
COMMENT ON COLUMN sqlml.job.columns IS
    'the relation''s columns in order: name, declared type, type below a domain, kind (numeric, '
    'boolean, category, datetime, array), the reason why a column is skipped, and the option that '
    'gives it a role (group_by, order_by, weight)';
-- Columns that older catalogues lack.
ALTER TABLE sqlml.job ADD COLUMN IF NOT EXISTS is_attended boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN sqlml.job.is_attended IS
    'whether the statement that made it waits for it, so that it ends with that statement';
CREATE INDEX IF NOT EXISTS job_unfinished ON sqlml.job (job_id)
    WHERE status IN ('waiting', 'running');
CREATE INDEX IF NOT EXISTS job_model_id ON sqlml.job (model_id);

CREATE TABLE IF NOT EXISTS sqlml.event (
    job_id  integer NOT NULL REFERENCES sqlml.job ON DELETE CASCADE,
    number  integer NOT NULL,
    at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    message text NOT NULL,
    PRIMARY KEY (job_id, number)
);
COMMENT ON TABLE sqlml.event IS 'the progress of jobs, in order; CREATE MODEL raises each as a NOTICE';

CREATE TABLE IF NOT EXISTS sqlml.trial (
    job_id          integer NOT NULL REFERENCES sqlml.job ON DELETE CASCADE,
    number          integer NOT NULL,
    estimator       text NOT NULL,
    hyperparameters jsonb NOT NULL,
    score           double precision,
    score_sd        double precision,
    fit_time_s      double precision,
    state           text NOT NULL CHECK (state IN ('complete', 'pruned', 'fail')),
    error           text,
    PRIMARY KEY (job_id, number)
);
COMMENT ON TABLE sqlml.trial IS 'what the search tried';
-- Columns that older catalogues lack.
ALTER TABLE sqlml.trial ADD COLUMN IF NOT EXISTS predict_us double precision;
ALTER TABLE sqlml.trial ADD COLUMN IF NOT EXISTS weight double precision;
COMMENT ON COLUMN sqlml.trial.predict_us IS
    'microseconds in which one core predicts a row with this trial alone, estimated';
COMMENT ON COLUMN sqlml.trial.weight IS
    'its share of the model of its job; NULL where the model does not have it';

CREATE TABLE IF NOT EXISTS sqlml.version (
    version_id      integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    model_id        integer NOT NULL REFERENCES sqlml.model ON DELETE CASCADE,
    number          integer NOT NULL,
    job_id          integer NOT NULL REFERENCES sqlml.job,
    problem_type    text NOT NULL CHECK (problem_type IN ('binary', 'multiclass', 'regression')),
    classes         text[] NOT NULL,
    columns         name[] NOT NULL,
    estimator       text NOT NULL,
    hyperparameters jsonb NOT NULL,
    metric          text NOT NULL,
    direction       text NOT NULL CHECK (direction IN ('maximize', 'minimize')),
    score           double precision,
    baseline_score  double precision,
    split           text NOT NULL,
    train_rows      bigint NOT NULL,
    holdout_rows    bigint NOT NULL,
    skipped_rows    bigint NOT NULL,
    artifact        bytea NOT NULL,
    golden          jsonb NOT NULL,
    libraries       jsonb NOT NULL,
    created_at      timestamptz NOT NULL DEFAULT now(),
    UNIQUE (model_id, number)
);
COMMENT ON TABLE sqlml.version IS 'the results of training; a version never changes';
COMMENT ON COLUMN sqlml.version.columns IS 'the columns that a row must have to be predicted';
COMMENT ON COLUMN sqlml.version.golden IS
    'held-out rows with the raw scores that every evaluator of the artifact must give';
-- Columns that older catalogues lack.
ALTER TABLE sqlml.version ADD COLUMN IF NOT EXISTS sql text;
ALTER TABLE sqlml.version ADD COLUMN IF NOT EXISTS sql_problem text;
ALTER TABLE sqlml.version ADD COLUMN IF NOT EXISTS inputs jsonb;
ALTER TABLE sqlml.version ADD COLUMN IF NOT EXISTS score_low double precision;
ALTER TABLE sqlml.version ADD COLUMN IF NOT EXISTS score_high double precision;
ALTER TABLE sqlml.version ADD COLUMN IF NOT EXISTS predict_us double precision;
ALTER TABLE sqlml.version ADD COLUMN IF NOT EXISTS ensemble jsonb;
ALTER TABLE sqlml.version ADD COLUMN IF NOT EXISTS is_interim boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN sqlml.version.sql IS
    'the model as common table expressions after one called input: docs/model-sql.md';
COMMENT ON COLUMN sqlml.version.sql_problem IS 'why there is no SQL';
COMMENT ON COLUMN sqlml.version.inputs IS
    'the columns of input: name, type at training, kind (numeric, boolean, category, datetime, '
    'array)';
COMMENT ON COLUMN sqlml.version.score_low IS 'with score_high the 95 % interval of the score';
COMMENT ON COLUMN sqlml.version.predict_us IS
    'microseconds in which one core predicts a row, estimated';
COMMENT ON COLUMN sqlml.version.ensemble IS
    'what the model is made of, heaviest first: trial, estimator, weight, fit_count';
COMMENT ON COLUMN sqlml.version.is_interim IS
    'whether it answers only until the training that made it has ended';
-- Compressing an artifact saves little and costs its first reader time.
ALTER TABLE sqlml.version ALTER COLUMN artifact SET STORAGE EXTERNAL;

CREATE TABLE IF NOT EXISTS sqlml.feature (
    version_id     integer NOT NULL REFERENCES sqlml.version ON DELETE CASCADE,
    number         integer NOT NULL,
    column_name    name NOT NULL,
    type           text NOT NULL,
    kind           text NOT NULL,
    role           text NOT NULL,
    features       text[] NOT NULL,
    reason         text NOT NULL,
    distinct_count bigint NOT NULL,
    null_count     bigint NOT NULL,
    importance     double precision,
    PRIMARY KEY (version_id, number)
);
COMMENT ON TABLE sqlml.feature IS 'what the columns became in a version, and why';
COMMENT ON COLUMN sqlml.feature.role IS
    'number, flag, category, text, datetime, array, suspected leak; or why it is not used: '
    'identifier, constant, duplicate, empty';
COMMENT ON COLUMN sqlml.feature.features IS 'what the model sees of the column, in words';
COMMENT ON COLUMN sqlml.feature.importance IS
    'its share of what all columns tell the model; they add up to 1';

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_constraint WHERE conname = 'model_current_version_id_fkey'
                     AND conrelid = 'sqlml.model'::regclass) THEN
        ALTER TABLE sqlml.model ADD CONSTRAINT model_current_version_id_fkey
            FOREIGN KEY (current_version_id) REFERENCES sqlml.version (version_id);
    END IF;
END;
$$;
