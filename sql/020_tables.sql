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
    'boolean, category, datetime), and the reason why a column is skipped';
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
COMMENT ON COLUMN sqlml.version.sql IS
    'the model as common table expressions after one called input: docs/model-sql.md';
COMMENT ON COLUMN sqlml.version.sql_problem IS 'why there is no SQL';
COMMENT ON COLUMN sqlml.version.inputs IS
    'the columns of input: name, type at training, kind (numeric, boolean, category, datetime)';
-- Compressing an artifact saves little and costs its first reader time.
ALTER TABLE sqlml.version ALTER COLUMN artifact SET STORAGE EXTERNAL;

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_constraint WHERE conname = 'model_current_version_id_fkey'
                     AND conrelid = 'sqlml.model'::regclass) THEN
        ALTER TABLE sqlml.model ADD CONSTRAINT model_current_version_id_fkey
            FOREIGN KEY (current_version_id) REFERENCES sqlml.version (version_id);
    END IF;
END;
$$;
