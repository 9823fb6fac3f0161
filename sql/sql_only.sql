-- The functions that predict, in a database that has neither the extension sqlml nor
-- sqlml_plpython: they run the SQL of a version on one row.
--
-- That SQL was written by the worker, which must not gain the rights of whoever predicts.
-- So it is run by a role that has no rights at all; whether the caller may use the model
-- is checked before, in the caller's name, when the version is read.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'sqlml_evaluator') THEN
        CREATE ROLE sqlml_evaluator NOLOGIN;
    END IF;
    -- Only a member may give a function away.
    IF NOT pg_has_role('sqlml_evaluator', 'MEMBER') THEN
        EXECUTE format('GRANT sqlml_evaluator TO %I', current_user);
    END IF;
END;
$$;

-- Planning the SQL of a model takes many times as long as running it on one row, so it becomes
-- a prepared statement of the session. One with the same name and another text is not ours.
-- VOLATILE because no other function may PREPARE; it reads no table.
CREATE OR REPLACE FUNCTION sqlml.run_model_sql(version_id integer, query text, features jsonb)
RETURNS record
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET TimeZone = 'UTC'
SET plan_cache_mode = force_generic_plan
-- Compiling thousands of expressions to machine code takes seconds.
SET jit = off
AS $$
DECLARE
    statement_name text := 'sqlml version ' || version_id;
    preparation text := format('PREPARE %I (jsonb) AS %s', statement_name, query);
    found text;
    answer record;
BEGIN
    SELECT prepared.statement INTO found FROM pg_prepared_statements AS prepared
     WHERE prepared.name = statement_name;
    IF found IS DISTINCT FROM preparation THEN
        IF found IS NOT NULL THEN
            EXECUTE format('DEALLOCATE %I', statement_name);
        END IF;
        EXECUTE preparation;
    END IF;
    EXECUTE format('EXECUTE %I (%L)', statement_name, features) INTO answer;
    RETURN answer;
END;
$$;
GRANT CREATE ON SCHEMA sqlml TO sqlml_evaluator;
ALTER FUNCTION sqlml.run_model_sql(integer, text, jsonb) OWNER TO sqlml_evaluator;
REVOKE CREATE ON SCHEMA sqlml FROM sqlml_evaluator;

-- The real nearest to a number. PostgreSQL's cast refuses what is beyond its range.
CREATE OR REPLACE FUNCTION sqlml.round_to_real(number double precision)
RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT CASE WHEN number = 'NaN' THEN number
                WHEN abs(number) >= '3.4028235677973366e38' THEN number * 'Infinity'
                WHEN abs(number) <= '7.006492321624085e-46' THEN number * '0'
                ELSE number::real::double precision END;
$$;

-- A column of the row as an expression over the JSON object $1, after docs/artifact.md.
CREATE OR REPLACE FUNCTION sqlml.json_expression(input jsonb)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT format(CASE
        WHEN input->>'type' = 'real' THEN 'sqlml.round_to_real(($1 ->> %1$L)::float8)'
        WHEN input->>'kind' = 'numeric' THEN '($1 ->> %1$L)::float8'
        WHEN input->>'kind' = 'boolean' THEN '($1 ->> %1$L)::boolean'
        WHEN input->>'type' ~ '^(character($|\()|bpchar)' THEN 'rtrim($1 ->> %1$L, '' '')'
        WHEN input->>'kind' = 'category' THEN '$1 ->> %1$L'
        WHEN input->>'type' ~ 'with time zone' THEN '($1 ->> %1$L)::timestamptz'
        ELSE '($1 ->> %1$L)::timestamptz AT TIME ZONE ''UTC''' END,
        input->>'name');
$$;

CREATE OR REPLACE FUNCTION sqlml.json_type_name(value jsonb)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT CASE jsonb_typeof(value) WHEN 'null' THEN 'null' WHEN 'array' THEN 'an array'
                WHEN 'object' THEN 'an object' ELSE 'a ' || jsonb_typeof(value) END;
$$;

-- Raise an error where a value of the row does not suit the column.
CREATE OR REPLACE FUNCTION sqlml.check_value(model text, input jsonb, value jsonb)
RETURNS void
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    kind text := input->>'kind';
    type text := jsonb_typeof(value);
    content text := value #>> '{}';
BEGIN
    IF type = 'null'
       OR kind = 'numeric' AND type = 'number'
       OR kind = 'numeric' AND type = 'string' AND content IN ('NaN', 'Infinity', '-Infinity')
       OR kind = 'boolean' AND type = 'boolean'
       OR kind = 'category' AND type = 'string' THEN
        RETURN;
    ELSIF kind <> 'datetime' OR type <> 'string' THEN
        PERFORM sqlml.raise('42804',
            format('column "%s" of the row is %s, but model "%s" expects %s', input->>'name',
                sqlml.json_type_name(value), sqlml.display_name(model), input->>'type'));
    ELSIF content !~ ('^(-?infinity|(?!0+-)\d{4,9}-\d\d-\d\d'
            '([T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[-+]\d\d(:?\d\d(:?\d\d)?)?)?)?( BC)?)$') THEN
        PERFORM sqlml.raise('22007',
            format('invalid date or time in column "%s": "%s"', input->>'name', content), NULL,
            'Write dates and times as in ISO 8601.');
    END IF;
END;
$$;

-- Raise an error where the features are no object, lack a column or hold an ill-typed one.
CREATE OR REPLACE FUNCTION sqlml.check_features(
    model text, inputs jsonb, features jsonb, is_row boolean)
RETURNS void
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    input jsonb;
BEGIN
    IF jsonb_typeof(features) <> 'object' THEN
        PERFORM sqlml.raise('42804', format('features must be a row or a JSON object, not %s',
            sqlml.json_type_name(features)));
    END IF;
    FOR input IN SELECT jsonb_array_elements(inputs) LOOP
        IF features ? (input->>'name') THEN
            PERFORM sqlml.check_value(model, input, features -> (input->>'name'));
        ELSIF is_row THEN
            PERFORM sqlml.raise('42703', format('the row has no column "%s"', input->>'name'), NULL,
                format('Model "%s" was trained with that column; add it to the row, NULL if it is'
                    ' not known.', sqlml.display_name(model)));
        END IF;
    END LOOP;
END;
$$;

-- What a model says of a row: a label or a value, and the probabilities of the classes.
CREATE OR REPLACE FUNCTION sqlml.evaluate(
    model text, features anyelement,
    OUT label text, OUT value double precision,
    OUT probabilities double precision[], OUT classes text[])
LANGUAGE plpgsql STABLE
-- to_jsonb writes numbers with the digits that this setting asks for.
SET extra_float_digits = 1
AS $$
DECLARE
    version sqlml.version := sqlml.find_version_with_sql(model);
    is_row boolean := pg_typeof(features) NOT IN ('json'::regtype, 'jsonb'::regtype);
    input text;
BEGIN
    PERFORM sqlml.check_features(model, version.inputs, to_jsonb(features), is_row);
    input := (SELECT string_agg(format('%s AS %I', sqlml.json_expression(item), item->>'name'), ', ')
                FROM jsonb_array_elements(version.inputs) AS item);
    SELECT answer.label, answer.value, answer.probabilities INTO label, value, probabilities
      FROM sqlml.run_model_sql(version.version_id,
        format('WITH input AS (SELECT %s), %s SELECT %s FROM answer', input, version.sql,
            CASE version.problem_type WHEN 'regression'
                 THEN 'NULL::text, prediction, NULL::float8[]'
                 ELSE 'prediction, NULL::float8, probabilities' END),
        to_jsonb(features)) AS answer (label text, value float8, probabilities float8[]);
    classes := version.classes;
END;
$$;

CREATE OR REPLACE FUNCTION sqlml.predict(model text, features anyelement)
RETURNS text
LANGUAGE plpgsql STABLE COST 1000000
SET extra_float_digits = 1
AS $$
DECLARE
    answer record;
BEGIN
    IF model IS NULL OR to_jsonb(features) IS NULL THEN
        RETURN NULL;
    END IF;
    answer := sqlml.evaluate(model, features);
    RETURN coalesce(answer.label, answer.value::text);
END;
$$;
COMMENT ON FUNCTION sqlml.predict(text, anyelement) IS
    'prediction of a model for a row or a JSON object, as text';

CREATE OR REPLACE FUNCTION sqlml.predict(model text, features anyelement, type anycompatible)
RETURNS anycompatible
LANGUAGE plpgsql STABLE COST 1000000
SET extra_float_digits = 1
AS $$
DECLARE
    answer record;
BEGIN
    IF model IS NULL OR to_jsonb(features) IS NULL THEN
        RETURN NULL;
    END IF;
    answer := sqlml.evaluate(model, features);
    -- RETURN casts from the one or the other to the asked type.
    IF answer.label IS NOT NULL THEN
        RETURN answer.label;
    END IF;
    RETURN answer.value;
END;
$$;
COMMENT ON FUNCTION sqlml.predict(text, anyelement, anycompatible) IS
    'prediction of a model for a row or a JSON object, in the type of the last argument';

CREATE OR REPLACE FUNCTION sqlml.predict_proba(model text, features anyelement, class text)
RETURNS double precision
LANGUAGE plpgsql STABLE COST 1000000
AS $$
DECLARE
    answer record;
    place integer;
BEGIN
    IF model IS NULL OR to_jsonb(features) IS NULL OR class IS NULL THEN
        RETURN NULL;
    END IF;
    answer := sqlml.evaluate(model, features);
    IF answer.probabilities IS NULL THEN
        PERFORM sqlml.raise('42809', format('model "%s" is a regression and has no probabilities',
                sqlml.display_name(model)),
            NULL, 'Use sqlml.predict for its value.');
    END IF;
    place := array_position(answer.classes, class);
    IF place IS NULL THEN
        PERFORM sqlml.raise('22023',
            format('model "%s" has no class "%s"', sqlml.display_name(model), class),
            format('The classes are: %s', array_to_string(answer.classes[:20], ', ')
                || CASE WHEN cardinality(answer.classes) > 20 THEN ', ...' ELSE '.' END));
    END IF;
    RETURN answer.probabilities[place];
END;
$$;
COMMENT ON FUNCTION sqlml.predict_proba(text, anyelement, text) IS
    'probability of a class of a model for a row or a JSON object';
