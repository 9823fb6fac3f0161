-- The options of CREATE MODEL: one table says all about them, and the check, the errors
-- and docs/options.md are made from it.

CREATE TABLE IF NOT EXISTS sqlml.option (
    name          text PRIMARY KEY,
    type          text NOT NULL,
    default_value text,
    minimum       double precision,
    maximum       double precision,
    choices       text[],
    description   text NOT NULL
);
-- What older catalogues lack.
ALTER TABLE sqlml.option ADD COLUMN IF NOT EXISTS estimators text[];
ALTER TABLE sqlml.option DROP CONSTRAINT IF EXISTS option_type_check;
TRUNCATE sqlml.option;
ALTER TABLE sqlml.option ADD CONSTRAINT option_type_check CHECK (
    type IN ('duration', 'integer', 'number', 'boolean', 'word', 'words', 'column'));

COMMENT ON TABLE sqlml.option IS 'the options that CREATE MODEL takes';
COMMENT ON COLUMN sqlml.option.choices IS
    'the words that it takes; of a number or duration: words instead of one; of a column: kinds';
COMMENT ON COLUMN sqlml.option.estimators IS
    'of a hyperparameter: the estimators that have it. It takes RANGE and CHOICE as well';
GRANT SELECT ON sqlml.option TO PUBLIC;

INSERT INTO sqlml.option (name, type, default_value, minimum, maximum, choices, description) VALUES
('time_limit', 'duration', '60 s', 1, 604800, NULL,
 'How long training may take, from the moment a worker takes the job to the published model.'),
('trials', 'integer', NULL, 1, 100000, NULL,
 'How many trials to run after the baseline. The time limit holds all the same.'),
('metric', 'word', NULL, NULL, NULL,
 '{roc_auc,pr_auc,log_loss,brier,accuracy,balanced_accuracy,f1,f1_macro,f1_weighted,mcc,'
 'rmse,mae,median_ae,mape,rmsle,r2,pinball,poisson_deviance,tweedie_deviance}',
 'What the search improves and what the score states. By default roc_auc for two classes, '
 'log_loss for more, rmse for regression.'),
('quantile', 'number', NULL, 0.0001, 0.9999, NULL,
 'The quantile that metric pinball judges; 0.5, the median, by default.'),
('tweedie_power', 'number', NULL, 1, 2, NULL,
 'The power of metric tweedie_deviance: 1 is Poisson, 2 is gamma; 1.5 by default.'),
('seed', 'integer', '42', 0, 2147483647, NULL,
 'The seed of everything random. Same seed, data and trials: same model.'),
('folds', 'integer', NULL, 2, 20, NULL,
 'Folds of the cross-validation that ranks the trials. By default chosen by the number of rows.'),
('holdout', 'number', NULL, 0, 0.5, NULL,
 'The share of the rows that the search never sees and the score is from; 0 holds none out. By '
 'default chosen by the number of rows.'),
('group_by', 'column', NULL, NULL, NULL, '{numeric,boolean,category,datetime}',
 'A column whose equal values mark rows that belong together, such as a customer: no fold parts '
 'them. It is no feature.'),
('order_by', 'column', NULL, NULL, NULL, '{numeric,datetime}',
 'A column of times or numbers: trials are judged on later rows than they were fitted on. It is '
 'no feature.'),
('weight', 'column', NULL, NULL, NULL, '{numeric}',
 'A column of numbers, none negative: how much a row counts, in fits and in scores. It is no '
 'feature.'),
('estimators', 'words', NULL, NULL, NULL, '{baseline,linear,lightgbm,extra_trees}',
 'The estimators that the search may use. By default all.'),
('sampler', 'word', 'tpe', NULL, NULL, '{tpe,random,grid,cmaes,gp}',
 'How the search draws hyperparameters after its portfolio.'),
('pruner', 'word', 'median', NULL, NULL, '{median,hyperband,asha,none}',
 'How the search decides to end a trial before its last fold.'),
('processes', 'integer', NULL, 1, 64, NULL,
 'Processes that run trials side by side. By default one a core, at most 8.'),
('anytime', 'boolean', 'false', NULL, NULL, NULL,
 'Whether a new model answers as soon as a trial is done; better versions follow until training '
 'ends.'),
('predict_cost', 'duration', '10 us', 0.0000001, 1, '{none}',
 'How long the prediction of a row may take on one core, such as ''10 us''; none: whatever is '
 'best.'),
('problem_type', 'word', NULL, NULL, NULL, '{binary,multiclass,regression}',
 'What to learn. By default decided from the target.'),
('exclude', 'words', NULL, NULL, NULL, NULL,
 'Columns that the model must not see, under their exact names.'),
('max_rows', 'integer', NULL, 10, 1000000000, NULL,
 'Train on a random sample of so many rows where there are more.'),
('wait', 'boolean', 'true', NULL, NULL, NULL,
 'Whether the statement waits for the model. In a transaction block it never does.');

-- The hyperparameters; the search has its own idea of those that are not given.
INSERT INTO sqlml.option (name, type, minimum, maximum, choices, estimators, description) VALUES
('boosting', 'word', NULL, NULL, '{gbdt,extra_trees,dart,rf}', '{lightgbm}',
 'How trees are added up: boosted, boosted with random thresholds, boosted with dropout, or '
 'averaged.'),
('encoding', 'word', NULL, NULL, '{codes,means,stacked}', '{lightgbm}',
 'What trees see of categories: codes; means of the target as well; a linear model''s score too.'),
('num_trees', 'integer', 1, 100000, NULL, '{lightgbm}',
 'The number of trees (a class); no early stopping then.'),
('learning_rate', 'number', 0.000001, 1, NULL, '{lightgbm}',
 'The part of each tree that counts.'),
('num_leaves', 'integer', 2, 4096, NULL, '{lightgbm}', 'The largest number of leaves of a tree.'),
('min_data_in_leaf', 'integer', 1, 1000000, NULL, '{lightgbm}',
 'The smallest number of rows in a leaf.'),
('feature_fraction', 'number', 0.01, 1, NULL, '{lightgbm}',
 'The share of the features that each tree sees.'),
('bagging_fraction', 'number', 0.01, 1, NULL, '{lightgbm}',
 'The share of the rows that each tree sees.'),
('lambda_l2', 'number', 0, 1000000, NULL, '{lightgbm}', 'Shrinks the values of leaves.'),
('cat_smooth', 'number', 0, 1000000, NULL, '{lightgbm}',
 'Draws what rare categories say towards the average.'),
('min_data_per_group', 'integer', 1, 1000000, NULL, '{lightgbm}',
 'The smallest number of rows of the categories on one side of a split.'),
('l2', 'number', 0.000001, 1000000, NULL, '{linear}', 'Shrinks the weights.'),
('l1_ratio', 'number', 0, 1, NULL, '{linear}',
 'The share of the shrinking that may make weights zero.'),
('segments', 'integer', 1, 64, NULL, '{linear}',
 'Into how many pieces, each with its own slope, a number is cut.'),
('max_leaf_nodes', 'integer', 2, 4096, NULL, '{extra_trees}',
 'The largest number of leaves of a tree.'),
('min_samples_leaf', 'integer', 1, 1000000, NULL, '{extra_trees}',
 'The smallest number of rows in a leaf.'),
('max_features', 'number', 0.01, 1, NULL, '{extra_trees}',
 'The share of the features that each split is chosen from.'),
('objective', 'word', NULL, NULL, '{squared,absolute,huber,quantile,poisson,tweedie,gamma}',
 '{lightgbm,linear}', 'The errors that a regression learns to avoid.'),
('log_target', 'boolean', NULL, NULL, NULL, '{lightgbm,linear,extra_trees}',
 'Whether a regression learns logarithms of the target.'),
('class_weight', 'word', NULL, NULL, '{none,balanced}', '{lightgbm,linear,extra_trees}',
 'Whether rare classes count as much as frequent ones in fits.');

-- Refuse a value of an option.
CREATE OR REPLACE FUNCTION sqlml.refuse_option(
    option sqlml.option, value text, detail text, hint text DEFAULT NULL)
RETURNS void
LANGUAGE sql
AS $$
    SELECT sqlml.raise('22023',
        format('invalid value for option "%s": %s', (option).name, value), detail, hint);
$$;

-- Seconds of a number or a text such as '30 s'. An interval has no less than microseconds.
CREATE OR REPLACE FUNCTION sqlml.parse_duration(word text)
RETURNS double precision
LANGUAGE sql STABLE
AS $$
    SELECT CASE
           WHEN word ~ '^\s*[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?\s*$' THEN word::double precision
           WHEN word ~ '^\s*(\d+\.?\d*|\.\d+)\s*ns\s*$'
               THEN replace(word, 'ns', '')::double precision / 1e9
           WHEN word ~ '^\s*(\d+\.?\d*|\.\d+)\s*us\s*$'
               THEN replace(word, 'us', '')::double precision / 1e6
           ELSE extract(epoch FROM word::interval)::double precision END;
$$;

-- One value of an option in its own JSON type, or an error.
CREATE OR REPLACE FUNCTION sqlml.check_option_value(option sqlml.option, value jsonb)
RETURNS jsonb
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    word text := value #>> '{}';
    number double precision;
BEGIN
    IF jsonb_typeof(value) NOT IN ('string', 'number', 'boolean')
       OR option.type = 'column' AND jsonb_typeof(value) <> 'string' THEN
        RAISE invalid_text_representation;
    ELSIF option.type = 'boolean' THEN
        RETURN to_jsonb(word::boolean);
    ELSIF option.type = 'column' THEN
        RETURN value;
    ELSIF lower(word) = ANY (option.choices) THEN
        RETURN to_jsonb(lower(word));
    ELSIF option.type = 'word' THEN
        PERFORM sqlml.refuse_option(option, value::text,
            'It takes one of: ' || array_to_string(option.choices, ', ') || '.',
            sqlml.nearest_words(word, option.choices));
    ELSIF jsonb_typeof(value) = 'boolean' THEN
        RAISE invalid_text_representation;
    END IF;
    number := CASE option.type WHEN 'duration' THEN sqlml.parse_duration(word)
                   ELSE word::double precision END;
    IF option.type = 'integer' AND number <> trunc(number) THEN
        RAISE invalid_text_representation;
    ELSIF number IS NULL OR number = 'NaN' OR number < option.minimum OR number > option.maximum THEN
        PERFORM sqlml.raise('22023', format('option "%s" is out of range: %s', option.name, value),
            format('It must lie between %s and %s%s.', option.minimum, option.maximum,
                CASE option.type WHEN 'duration' THEN ' seconds' ELSE '' END),
            'Or write ' || array_to_string(option.choices, ', ') || '.');
    END IF;
    RETURN to_jsonb(number);
EXCEPTION
    WHEN invalid_text_representation OR invalid_datetime_format OR datetime_field_overflow
      OR numeric_value_out_of_range THEN
        PERFORM sqlml.refuse_option(option, value::text, format('It takes %s.', CASE option.type
            WHEN 'boolean' THEN 'true or false'
            WHEN 'integer' THEN 'a whole number'
            WHEN 'number' THEN 'a number'
            WHEN 'column' THEN 'the name of a column'
            WHEN 'word' THEN 'one of: ' || array_to_string(option.choices, ', ')
            ELSE format('a duration such as %L or a number of seconds', option.default_value) END
            || CASE WHEN option.type IN ('integer', 'number', 'duration')
                    THEN coalesce(', or ' || array_to_string(option.choices, ', '), '')
                    ELSE '' END));
END;
$$;

-- A list of words or names, or an error.
CREATE OR REPLACE FUNCTION sqlml.check_words(option sqlml.option, value jsonb)
RETURNS jsonb
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    item jsonb;
BEGIN
    IF jsonb_typeof(value) = 'string' THEN
        value := jsonb_build_array(value);
    ELSIF jsonb_typeof(value) <> 'array' OR value = '[]' THEN
        PERFORM sqlml.refuse_option(option, value::text, 'It takes a list of names.');
    END IF;
    IF option.choices IS NOT NULL THEN
        value := lower(value::text)::jsonb;
    END IF;
    FOR item IN SELECT * FROM jsonb_array_elements(value) LOOP
        IF jsonb_typeof(item) <> 'string'
           OR NOT coalesce(item #>> '{}' = ANY (option.choices), true) THEN
            PERFORM sqlml.refuse_option(option, item::text,
                'It takes some of: ' || array_to_string(option.choices, ', ') || '.',
                sqlml.nearest_words(item #>> '{}', option.choices));
        END IF;
    END LOOP;
    RETURN value;
END;
$$;

-- What the search may choose from, {"range": [low, high]} or {"choice": [value, ...]}, or an
-- error. What leaves one value only is that value.
CREATE OR REPLACE FUNCTION sqlml.check_space(option sqlml.option, value jsonb)
RETURNS jsonb
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    form text := (SELECT min(key) FROM jsonb_object_keys(value) AS key);
    items jsonb := value -> form;
    checked jsonb;
BEGIN
    IF option.estimators IS NULL THEN
        PERFORM sqlml.refuse_option(option, value::text,
            'RANGE and CHOICE are for hyperparameters; this option takes one value.');
    ELSIF (SELECT count(*) FROM jsonb_object_keys(value)) <> 1
          OR form NOT IN ('range', 'choice') OR jsonb_typeof(items) <> 'array' THEN
        PERFORM sqlml.refuse_option(option, value::text,
            'It takes one value, {"range": [low, high]} or {"choice": [value, ...]}.');
    ELSIF form = 'range' AND option.type NOT IN ('integer', 'number') THEN
        PERFORM sqlml.refuse_option(option, value::text, 'Only numbers have a range.',
            'Write CHOICE(' || CASE option.type WHEN 'boolean' THEN 'true, false'
                ELSE array_to_string(option.choices, ', ') END || '), or one of them.');
    ELSIF form = 'range' AND jsonb_array_length(items) <> 2 THEN
        PERFORM sqlml.refuse_option(option, value::text, 'A range has two bounds.',
            'Write RANGE(low, high).');
    ELSIF items = '[]' THEN
        PERFORM sqlml.refuse_option(option, value::text, 'There is nothing to choose from.',
            'Write CHOICE(value, ...), or leave the option out.');
    END IF;
    checked := (
        SELECT jsonb_agg(item ORDER BY place)
          FROM (SELECT sqlml.check_option_value(option, item) AS item, min(place) AS place
                  FROM jsonb_array_elements(items) WITH ORDINALITY AS listed (item, place)
                 GROUP BY 1) AS different);
    IF jsonb_array_length(checked) = 1 THEN
        RETURN checked -> 0;
    ELSIF form = 'range' AND checked -> 0 > checked -> 1 THEN
        PERFORM sqlml.refuse_option(option, value::text, 'The lower bound of a range comes first.',
            format('Write RANGE(%s, %s).', checked -> 1, checked -> 0));
    END IF;
    RETURN jsonb_build_object(form, checked);
END;
$$;

CREATE OR REPLACE FUNCTION sqlml.check_option(option sqlml.option, value jsonb)
RETURNS jsonb
LANGUAGE sql STABLE
AS $$
    SELECT CASE WHEN jsonb_typeof(value) = 'object' THEN sqlml.check_space(option, value)
                WHEN (option).type = 'words' THEN sqlml.check_words(option, value)
                ELSE sqlml.check_option_value(option, value) END;
$$;

-- Raise an error where an option has no effect beside the others: it would mislead.
CREATE OR REPLACE FUNCTION sqlml.check_together(options jsonb)
RETURNS void
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    idle record;
BEGIN
    SELECT given.name, judged.metric INTO idle
      FROM jsonb_object_keys(options) AS given (name)
      JOIN (VALUES ('quantile', 'pinball'),
                   ('tweedie_power', 'tweedie_deviance')) AS judged (name, metric)
        ON judged.name = given.name AND options->>'metric' IS DISTINCT FROM judged.metric
     LIMIT 1;
    IF FOUND THEN
        PERFORM sqlml.raise('22023',
            format('option "%s" has no effect without metric "%s"', idle.name, idle.metric),
            NULL, format('Write metric = %s too.', idle.metric));
    END IF;
    SELECT option.name, option.estimators[1] AS estimator INTO idle
      FROM jsonb_object_keys(options) AS given (name)
      JOIN sqlml.option ON option.name = given.name
     WHERE NOT options->'estimators' ?| option.estimators
     ORDER BY option.name LIMIT 1;
    IF FOUND THEN
        PERFORM sqlml.raise('22023',
            format('option "%s" has no effect without estimator "%s"', idle.name, idle.estimator),
            format('Option "estimators" is %s.', options->'estimators'),
            'Name that estimator too, or leave the option out.');
    END IF;
END;
$$;

-- All given options, checked, with the defaults filled in; the hyperparameters among them stand
-- apart, under "hyperparameters".
CREATE OR REPLACE FUNCTION sqlml.check_options(options jsonb)
RETURNS jsonb
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    checked jsonb;
    given record;
    known sqlml.option;
    names text[] := '{}';
    spaces text[] := ARRAY(SELECT name FROM sqlml.option WHERE estimators IS NOT NULL);
BEGIN
    IF jsonb_typeof(options) IS DISTINCT FROM 'object' THEN
        PERFORM sqlml.raise('22023', 'options must be a JSON object', NULL,
            'Write options => ''{"time_limit": "30 s"}''.');
    END IF;
    SELECT jsonb_object_agg(name, sqlml.check_option(option, to_jsonb(default_value)))
      INTO checked
      FROM sqlml.option WHERE default_value IS NOT NULL;
    FOR given IN SELECT lower(key) AS name, value FROM jsonb_each(options) LOOP
        SELECT * INTO known FROM sqlml.option WHERE option.name = given.name;
        IF NOT FOUND THEN
            PERFORM sqlml.raise('22023', format('unknown option "%s"', given.name), NULL, coalesce(
                sqlml.nearest_words(given.name, ARRAY(SELECT option.name FROM sqlml.option)),
                'SELECT name, description FROM sqlml.option lists them.'));
        ELSIF given.name = ANY (names) THEN
            PERFORM sqlml.raise('22023', format('option "%s" is given more than once', given.name));
        END IF;
        names := names || given.name;
        checked := checked || jsonb_build_object(given.name, sqlml.check_option(known, given.value));
    END LOOP;
    PERFORM sqlml.check_together(checked);
    RETURN checked - spaces || jsonb_build_object('hyperparameters', (
        SELECT coalesce(jsonb_object_agg(key, value), '{}') FROM jsonb_each(checked)
         WHERE key = ANY (spaces)));
END;
$$;
