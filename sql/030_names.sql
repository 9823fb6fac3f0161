-- Names and messages: how a model's name is read, what is near to a misspelled word,
-- and one way to raise an error.

-- Raise an error with exactly these fields.
CREATE OR REPLACE FUNCTION sqlml.raise(
    sqlstate text, message text, detail text DEFAULT NULL, hint text DEFAULT NULL)
RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
    IF detail IS NOT NULL AND hint IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = raise.sqlstate, MESSAGE = raise.message,
            DETAIL = raise.detail, HINT = raise.hint;
    ELSIF detail IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = raise.sqlstate, MESSAGE = raise.message,
            DETAIL = raise.detail;
    ELSIF hint IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = raise.sqlstate, MESSAGE = raise.message,
            HINT = raise.hint;
    ELSE
        RAISE EXCEPTION USING ERRCODE = raise.sqlstate, MESSAGE = raise.message;
    END IF;
END;
$$;
COMMENT ON FUNCTION sqlml.raise IS 'raise an error with these fields';

-- The edit distance of two short words (Wagner and Fischer 1974); the contrib module
-- fuzzystrmatch is not on every server.
CREATE OR REPLACE FUNCTION sqlml.edit_distance(a text, b text)
RETURNS integer
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
AS $$
DECLARE
    previous integer[] := ARRAY(SELECT generate_series(0, length(b)));
    current_row integer[];
BEGIN
    FOR i IN 1 .. length(a) LOOP
        current_row := ARRAY[i];
        FOR j IN 1 .. length(b) LOOP
            current_row := current_row || least(
                previous[j + 1] + 1,
                current_row[j] + 1,
                previous[j] + (substr(a, i, 1) <> substr(b, j, 1))::integer);
        END LOOP;
        previous := current_row;
    END LOOP;
    RETURN previous[length(b) + 1];
END;
$$;

-- A hint that names the words that hold `word`, else the one nearest to it; NULL when none is
-- near: whoever wrote auc means roc_auc or pr_auc rather than mcc.
CREATE OR REPLACE FUNCTION sqlml.nearest_words(word text, words text[])
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    WITH compared AS (
        SELECT candidate, sqlml.edit_distance(lower(left(word, 63)), lower(candidate)) AS distance,
               length(word) > 2 AND strpos(lower(candidate), lower(word)) > 0 AS holds
          FROM unnest(words) AS candidate),
    near AS (
        SELECT candidate, row_number() OVER (ORDER BY holds DESC, distance, candidate) AS place
          FROM compared
         WHERE holds OR distance * 2 <= length(candidate)
                    AND distance <= greatest(2, length(candidate) / 3)
         -- All that hold it, or the first.
         ORDER BY place LIMIT greatest(1, (
            SELECT least(3, count(*)) FROM compared WHERE holds)))
    SELECT format('Did you mean %s?',
               string_agg(format('"%s"', candidate), ' or ' ORDER BY place))
      FROM near
    HAVING count(*) > 0;
$$;

-- The same, or all words when none is near.
CREATE OR REPLACE FUNCTION sqlml.did_you_mean(word text, words text[])
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT coalesce(sqlml.nearest_words(word, words),
        CASE WHEN cardinality(words) BETWEEN 1 AND 20
             THEN 'There is: ' || array_to_string(words, ', ') || '.' END);
$$;

-- The parts of a name in SQL's syntax: 'churn', 'sales.churn', '"My Model"'. Text that is
-- no identifier ('My Model') is one part as it stands. A pattern decides, not an exception
-- block: predict() may run in a parallel worker, where no subtransaction can start.
CREATE OR REPLACE FUNCTION sqlml.name_parts(name text)
RETURNS text[]
LANGUAGE sql STABLE STRICT
AS $$
    SELECT CASE WHEN name ~ format('^\s*(%1$s)(\s*\.\s*(%1$s))*\s*$',
                '"([^"]|"")+"'
                '|[^][\s!-/:-@\\^`{-~0-9][^][\s!-#%-/:-@\\^`{-~]*')
           THEN parse_ident(name) ELSE ARRAY[name] END;
$$;

-- The schema, if there is one, and the name of a model.
CREATE OR REPLACE FUNCTION sqlml.parse_name(
    model text, OUT schema_name name, OUT model_name name)
LANGUAGE sql STABLE
AS $$
    SELECT CASE WHEN cardinality(parts) > 1
                THEN array_to_string(trim_array(parts, 1), '.') END::name,
           parts[cardinality(parts)]::name
      FROM sqlml.name_parts(model) AS parts;
$$;

-- Raise an error where a model cannot have this name.
CREATE OR REPLACE FUNCTION sqlml.check_name(model text)
RETURNS void
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    parts text[] := sqlml.name_parts(model);
BEGIN
    IF coalesce(model, '') = '' THEN
        PERFORM sqlml.raise('42602', 'a model must have a name');
    ELSIF cardinality(parts) > 2 THEN
        PERFORM sqlml.raise('42601', format('improper model name "%s"', model),
            'A model''s name has at most two parts: schema and name.');
    -- predict_<name> must fit into an identifier of 63 bytes.
    ELSIF octet_length(parts[cardinality(parts)]) > 55 THEN
        PERFORM sqlml.raise('42622',
            format('model name "%s" is too long', parts[cardinality(parts)]),
            'Its function would be called predict_<name>, and PostgreSQL''s names end at 63 bytes.',
            'Use a name of at most 55 bytes.');
    END IF;
END;
$$;

-- The function predict_<model>(anyelement) of a model, while its owner owns it. Policies ask for
-- it with the search path of whoever reads, so that nothing here may depend on that path.
CREATE OR REPLACE FUNCTION sqlml.predict_function(model sqlml.model)
RETURNS regprocedure
LANGUAGE sql STABLE
AS $$
    SELECT function.oid::pg_catalog.regprocedure
      FROM pg_catalog.pg_proc AS function
      JOIN pg_catalog.pg_namespace AS namespace
        ON namespace.oid OPERATOR(pg_catalog.=) function.pronamespace
     WHERE namespace.nspname OPERATOR(pg_catalog.=) (model).schema_name
       AND function.proname OPERATOR(pg_catalog.=)
           pg_catalog.concat('predict_', (model).model_name)::pg_catalog.name
       AND function.pronargs OPERATOR(pg_catalog.=) 1
       AND function.proargtypes[0] OPERATOR(pg_catalog.=)
           'pg_catalog.anyelement'::pg_catalog.regtype
       AND function.proowner OPERATOR(pg_catalog.=) (model).owner;
$$;

-- Whether the current user may predict with a model: EXECUTE on its function.
CREATE OR REPLACE FUNCTION sqlml.may_use(model sqlml.model)
RETURNS boolean
LANGUAGE sql STABLE
AS $$
    SELECT coalesce(
        pg_catalog.has_function_privilege(
            sqlml.predict_function(model)::pg_catalog.oid, 'EXECUTE'), false);
$$;

-- Whether the current user may replace and drop a model.
CREATE OR REPLACE FUNCTION sqlml.may_own(owner regrole)
RETURNS boolean
LANGUAGE sql STABLE
AS $$
    SELECT pg_catalog.pg_has_role(owner::pg_catalog.oid, 'USAGE');
$$;

-- The model of this name on the search path, or no row.
CREATE OR REPLACE FUNCTION sqlml.look_up_model(model text)
RETURNS SETOF sqlml.model
LANGUAGE sql STABLE ROWS 1
AS $$
    SELECT found.*
      FROM sqlml.parse_name(model) AS named
      JOIN sqlml.model AS found
        ON found.model_name = named.model_name
        -- 'Churn' reads as churn; where that is no model, the name as it stands may be one.
        OR found.model_name = model AND named.schema_name IS NULL
      LEFT JOIN unnest(current_schemas(false)) WITH ORDINALITY AS path (schema_name, place)
        ON path.schema_name = found.schema_name
     WHERE CASE WHEN named.schema_name IS NULL THEN path.place IS NOT NULL
                ELSE found.schema_name = named.schema_name END
     ORDER BY found.model_name <> named.model_name, path.place
     LIMIT 1;
$$;

-- What to say when there is no model of this name. One where it was not looked for has its schema.
CREATE OR REPLACE FUNCTION sqlml.missing_model(model text, OUT message text, OUT hint text)
LANGUAGE sql STABLE
AS $$
    SELECT format('model "%s" does not exist', concat_ws('.', schema_name, model_name)),
           coalesce(
               (SELECT format('There is %s: name its schema.', string_agg(
                           format('%I.%I', stored.schema_name, stored.model_name), ', '
                           ORDER BY stored.schema_name))
                  FROM sqlml.model AS stored
                 WHERE stored.model_name = named.model_name
                HAVING count(*) > 0),
               sqlml.did_you_mean(model_name::text, ARRAY(
                   SELECT CASE WHEN named.schema_name = stored.schema_name
                                 OR named.schema_name IS NULL
                                    AND stored.schema_name = ANY (current_schemas(false))
                               THEN stored.model_name::text
                               ELSE format('%I.%I', stored.schema_name, stored.model_name) END
                     FROM sqlml.model AS stored
                    ORDER BY stored.model_name, stored.schema_name)),
               'Make it with CREATE MODEL, or list all with SHOW MODELS.')
      FROM sqlml.parse_name(model) AS named;
$$;

-- The model of this name; an error when there is none.
CREATE OR REPLACE FUNCTION sqlml.get_model(model text)
RETURNS sqlml.model
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    found sqlml.model;
BEGIN
    SELECT * INTO found FROM sqlml.look_up_model(model);
    IF found.model_id IS NULL THEN
        PERFORM sqlml.raise('42704', missing.message, NULL, missing.hint)
           FROM sqlml.missing_model(model) AS missing;
    END IF;
    RETURN found;
END;
$$;

-- What to say to whoever may not use a model.
CREATE OR REPLACE FUNCTION sqlml.missing_right(model sqlml.model, OUT message text, OUT hint text)
LANGUAGE sql STABLE
AS $$
    SELECT format('permission denied for model "%s"', (model).model_name),
           format('Its owner can GRANT EXECUTE ON FUNCTION %I.%I(anyelement).',
               (model).schema_name, 'predict_' || (model).model_name);
$$;

-- The version that answers for a model now, or the error that predict() must raise. It does
-- not raise it itself: an error out of PL/pgSQL carries lines that tell a user nothing.
CREATE OR REPLACE FUNCTION sqlml.look_up_version(
    model text, OUT version_id bigint,
    OUT sqlstate text, OUT message text, OUT detail text, OUT hint text)
LANGUAGE plpgsql STABLE PARALLEL SAFE
AS $$
DECLARE
    found sqlml.model;
    last_job sqlml.job;
BEGIN
    SELECT * INTO found FROM sqlml.look_up_model(model);
    IF found.model_id IS NULL THEN
        sqlstate := '42704';
        SELECT * INTO message, hint FROM sqlml.missing_model(model);
    ELSIF sqlml.predict_function(found) IS NULL THEN
        sqlstate := '55000';
        message := format('model "%s" has lost its function', found.model_name);
        detail := format('It was %I.%I(anyelement) and belonged to %s.',
            found.schema_name, 'predict_' || found.model_name, found.owner);
        hint := 'Train the model again with CREATE OR REPLACE MODEL.';
    ELSIF NOT sqlml.may_use(found) THEN
        sqlstate := '42501';
        SELECT * INTO message, hint FROM sqlml.missing_right(found);
    ELSIF found.current_version_id IS NULL THEN
        SELECT * INTO last_job FROM sqlml.job
         WHERE job.model_id = found.model_id ORDER BY job_id DESC LIMIT 1;
        sqlstate := '55000';
        message := format('model "%s" cannot predict yet', found.model_name);
        IF last_job.job_id IS NOT NULL THEN
            detail := format('Its job %s is %s.', last_job.job_id, last_job.status)
                || coalesce(' ' || upper(left(last_job.error_message, 1))
                    || substr(last_job.error_message, 2) || '.', '');
        END IF;
        hint := CASE WHEN last_job.status IN ('waiting', 'running')
            THEN format('CALL sqlml.wait(%L) waits for it.', model)
            ELSE 'Train it again with CREATE OR REPLACE MODEL.' END;
    ELSE
        version_id := found.current_version_id;
    END IF;
END;
$$;
COMMENT ON FUNCTION sqlml.look_up_version IS 'the version that answers for a model now';

-- The same, raising.
CREATE OR REPLACE FUNCTION sqlml.find_version(model text)
RETURNS bigint
LANGUAGE plpgsql STABLE PARALLEL SAFE
AS $$
DECLARE
    answer record;
BEGIN
    SELECT * INTO answer FROM sqlml.look_up_version(model);
    IF answer.sqlstate IS NOT NULL THEN
        PERFORM sqlml.raise(answer.sqlstate, answer.message, answer.detail, answer.hint);
    END IF;
    RETURN answer.version_id;
END;
$$;
