-- The options of CREATE MODEL: one table says all about them, and the check, the errors
-- and docs/options.md are made from it.

CREATE TABLE IF NOT EXISTS sqlml.option (
    name          text PRIMARY KEY,
    type          text NOT NULL
                  CHECK (type IN ('duration', 'integer', 'number', 'boolean', 'word', 'words')),
    default_value text,
    minimum       double precision,
    maximum       double precision,
    choices       text[],
    description   text NOT NULL
);
COMMENT ON TABLE sqlml.option IS 'the options that CREATE MODEL takes';
GRANT SELECT ON sqlml.option TO PUBLIC;

TRUNCATE sqlml.option;
INSERT INTO sqlml.option (name, type, default_value, minimum, maximum, choices, description) VALUES
('time_limit', 'duration', '60 s', 1, 604800, NULL,
 'How long training may take, from the moment a worker takes the job to the published model.'),
('trials', 'integer', NULL, 1, 100000, NULL,
 'How many trials to run after the baseline. The time limit holds all the same.'),
('metric', 'word', NULL, NULL, NULL,
 '{roc_auc,log_loss,accuracy,balanced_accuracy,f1,brier,rmse,mae,r2,mape}',
 'What the search improves and what the score states. By default roc_auc for two classes, '
 'log_loss for more, rmse for regression.'),
('seed', 'integer', '42', 0, 2147483647, NULL,
 'The seed of everything random. Same seed, data, threads and trials: same model.'),
('folds', 'integer', NULL, 2, 20, NULL,
 'Folds of the cross-validation that ranks the trials. By default chosen by the number of rows.'),
('estimators', 'words', NULL, NULL, NULL, '{baseline,linear,lightgbm}',
 'The estimators that the search may use. By default all.'),
('problem_type', 'word', NULL, NULL, NULL, '{binary,multiclass,regression}',
 'What to learn. By default decided from the target.'),
('exclude', 'words', NULL, NULL, NULL, NULL,
 'Columns that the model must not see, under their exact names.'),
('max_rows', 'integer', NULL, 10, 1000000000, NULL,
 'Train on a random sample of so many rows where there are more.'),
('num_trees', 'integer', NULL, 1, 100000, NULL,
 'Fixes the number of LightGBM''s trees (a class); no early stopping then.'),
('num_leaves', 'integer', NULL, 2, 4096, NULL,
 'Fixes the number of leaves of LightGBM''s trees.'),
('learning_rate', 'number', NULL, 0.000001, 1, NULL,
 'Fixes LightGBM''s learning rate.'),
('wait', 'boolean', 'true', NULL, NULL, NULL,
 'Whether the statement waits for the model. In a transaction block it never does.');

-- One option's value in its own JSON type, or an error.
CREATE OR REPLACE FUNCTION sqlml.check_option(option sqlml.option, value jsonb)
RETURNS jsonb
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    word text := CASE WHEN jsonb_typeof(value) IN ('object', 'array') THEN value::text
                      ELSE value #>> '{}' END;
    item jsonb;
    number double precision;
BEGIN
    CASE option.type
    WHEN 'boolean' THEN
        RETURN to_jsonb(word::boolean);
    WHEN 'word' THEN
        word := lower(word);
        IF word IS NULL OR NOT word = ANY (option.choices) THEN
            PERFORM sqlml.raise('22023', format('invalid value for option "%s": %s', option.name, value),
                'It takes one of: ' || array_to_string(option.choices, ', ') || '.',
                sqlml.did_you_mean(word, option.choices));
        END IF;
        RETURN to_jsonb(word);
    WHEN 'words' THEN
        IF jsonb_typeof(value) = 'string' THEN
            value := jsonb_build_array(value);
        ELSIF jsonb_typeof(value) <> 'array' OR value = '[]' THEN
            PERFORM sqlml.raise('22023', format('invalid value for option "%s": %s', option.name, value),
                'It takes a list of names.');
        END IF;
        FOR item IN SELECT * FROM jsonb_array_elements(value) LOOP
            IF jsonb_typeof(item) <> 'string'
               OR NOT coalesce(item #>> '{}' = ANY (option.choices), true) THEN
                PERFORM sqlml.raise('22023',
                    format('invalid value for option "%s": %s', option.name, item),
                    'It takes some of: ' || array_to_string(option.choices, ', ') || '.',
                    sqlml.did_you_mean(item #>> '{}', option.choices));
            END IF;
        END LOOP;
        RETURN value;
    WHEN 'duration' THEN
        IF jsonb_typeof(value) NOT IN ('number', 'string') THEN
            RAISE invalid_text_representation;
        END IF;
        number := extract(epoch FROM word::interval);
    ELSE
        IF jsonb_typeof(value) NOT IN ('number', 'string') THEN
            RAISE invalid_text_representation;
        END IF;
        number := word::double precision;
        IF option.type = 'integer' AND number <> trunc(number) THEN
            RAISE invalid_text_representation;
        END IF;
    END CASE;
    IF number IS NULL OR number = 'NaN' OR number < option.minimum OR number > option.maximum THEN
        PERFORM sqlml.raise('22023', format('option "%s" is out of range: %s', option.name, value),
            format('It must lie between %s and %s%s.', option.minimum, option.maximum,
                CASE option.type WHEN 'duration' THEN ' seconds' ELSE '' END));
    END IF;
    RETURN to_jsonb(number);
EXCEPTION
    WHEN invalid_text_representation OR invalid_datetime_format OR datetime_field_overflow
      OR numeric_value_out_of_range THEN
        PERFORM sqlml.raise('22023', format('invalid value for option "%s": %s', option.name, value),
            format('It takes %s.', CASE option.type
                WHEN 'boolean' THEN 'true or false'
                WHEN 'integer' THEN 'a whole number'
                WHEN 'number' THEN 'a number'
                ELSE 'a duration such as ''30 s'' or a number of seconds' END));
END;
$$;

-- All given options, checked, with the defaults filled in.
CREATE OR REPLACE FUNCTION sqlml.check_options(options jsonb)
RETURNS jsonb
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    checked jsonb;
    given record;
    known sqlml.option;
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
            PERFORM sqlml.raise('22023', format('unknown option "%s"', given.name), NULL,
                sqlml.did_you_mean(given.name,
                    ARRAY(SELECT option.name FROM sqlml.option ORDER BY option.name)));
        END IF;
        checked := checked || jsonb_build_object(given.name, sqlml.check_option(known, given.value));
    END LOOP;
    RETURN checked;
END;
$$;
