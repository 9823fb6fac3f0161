-- The statements as procedures: CREATE MODEL, DROP MODEL, waiting.

-- Of two sessions that create or drop the same model, one waits for the other's commit.
CREATE OR REPLACE FUNCTION sqlml.lock_name(schema_name name, model_name name)
RETURNS void
LANGUAGE sql VOLATILE
AS $$
    SELECT pg_advisory_xact_lock(
        hashtextextended(format('sqlml.model %I.%I', schema_name, model_name), 0));
$$;

-- Drop what belongs to a model: its functions, its versions, its row.
CREATE OR REPLACE FUNCTION sqlml.remove_model(model sqlml.model)
RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
    function regprocedure;
    dependents text;
BEGIN
    PERFORM sqlml.lock_name(model.schema_name, model.model_name);
    -- Another session may have removed it while we waited for the lock.
    IF NOT EXISTS (SELECT FROM sqlml.model AS stored WHERE stored.model_id = model.model_id) THEN
        RETURN;
    END IF;
    PERFORM sqlml.abort_job(job_id) FROM sqlml.job
      WHERE job.model_id = model.model_id AND status IN ('waiting', 'running');
    function := sqlml.predict_function(model);
    IF function IS NOT NULL THEN
        BEGIN
            EXECUTE format('DROP FUNCTION %s', function);
        EXCEPTION WHEN dependent_objects_still_exist THEN
            GET STACKED DIAGNOSTICS dependents = PG_EXCEPTION_DETAIL;
            PERFORM sqlml.raise('2BP01',
                format('cannot drop model "%s" because other objects depend on it',
                    model.model_name),
                dependents, 'Drop those first.');
        END;
    END IF;
    IF to_regprocedure('sqlml_plpython.drop_functions(name, name, regrole)') IS NOT NULL THEN
        PERFORM sqlml_plpython.drop_functions(model.schema_name, model.model_name, model.owner);
    END IF;
    FOR function IN
        SELECT to_regprocedure(format('sqlml_training.job_%s()', job_id)) FROM sqlml.job
         WHERE job.model_id = model.model_id
    LOOP
        CONTINUE WHEN function IS NULL;
        EXECUTE format('DROP FUNCTION %s', function);
    END LOOP;
    DELETE FROM sqlml.model AS stored WHERE stored.model_id = model.model_id;
END;
$$;

-- Remove a model that never got a version; any other stays as it is.
CREATE OR REPLACE FUNCTION sqlml.discard_model(model_id integer)
RETURNS void
LANGUAGE sql
AS $$
    SELECT sqlml.remove_model(model.*) FROM sqlml.model
     WHERE model.model_id = discard_model.model_id AND current_version_id IS NULL;
$$;

CREATE OR REPLACE FUNCTION sqlml.check_owner(model sqlml.model)
RETURNS void
LANGUAGE plpgsql STABLE
AS $$
BEGIN
    IF NOT sqlml.may_own(model.owner) THEN
        PERFORM sqlml.raise('42501', format('must be owner of model "%s"', model.model_name));
    END IF;
END;
$$;

-- The model of this name, which the current user must own.
CREATE OR REPLACE FUNCTION sqlml.get_own_model(model text)
RETURNS sqlml.model
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    found sqlml.model := sqlml.get_model(model);
BEGIN
    PERFORM sqlml.check_owner(found);
    RETURN found;
END;
$$;

-- Whether the name is free for a new model. An unfinished or failed first try of the
-- owner's is cleared away, and what is left of a model whose function was dropped, alone or with
-- its schema, unless it is to be replaced; of another job in flight nobody disposes.
CREATE OR REPLACE FUNCTION sqlml.clear_name(existing sqlml.model, replace boolean)
RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
    unfinished sqlml.job;
BEGIN
    IF sqlml.predict_function(existing) IS NULL AND NOT replace THEN
        PERFORM sqlml.check_owner(existing);
        PERFORM sqlml.remove_model(existing);
        RETURN;
    ELSIF existing.current_version_id IS NOT NULL AND NOT replace THEN
        PERFORM sqlml.raise('42710', format('model "%s" already exists', existing.model_name), NULL,
            CASE WHEN sqlml.may_own(existing.owner)
                 THEN 'Write CREATE OR REPLACE MODEL to train it anew, or CREATE MODEL IF NOT EXISTS.'
                 ELSE 'It is another role''s: choose another name or schema.' END);
    END IF;
    SELECT * INTO unfinished FROM sqlml.job
     WHERE job.model_id = existing.model_id AND status IN ('waiting', 'running')
       AND NOT abort_requested
     ORDER BY job_id DESC LIMIT 1;
    IF FOUND THEN
        PERFORM sqlml.raise(CASE WHEN replace THEN '55006' ELSE '42710' END,
            format(CASE WHEN replace THEN 'model "%s" is in training'
                        ELSE 'model "%s" already exists' END, existing.model_name),
            format('Its job %s is %s.', unfinished.job_id, unfinished.status),
            format('CALL sqlml.wait(%L) waits for it; DROP MODEL ends it.', existing.model_name));
    END IF;
    PERFORM sqlml.check_owner(existing);
    IF existing.current_version_id IS NULL THEN
        PERFORM sqlml.remove_model(existing);
    END IF;
END;
$$;

-- What an older catalogue has under another signature.
DROP FUNCTION IF EXISTS sqlml.check_columns(jsonb, text, text[]);

-- The option that gives each column a role, {column: option}, or an error where one names none
-- that it could use.
CREATE OR REPLACE FUNCTION sqlml.check_roles(columns jsonb, target text, options jsonb)
RETURNS jsonb
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    asked record;
    rival text;
    roles jsonb := '{}';
BEGIN
    FOR asked IN
        SELECT option.name AS option, option.choices AS kinds, options->>option.name AS name, item
          FROM sqlml.option
          LEFT JOIN jsonb_array_elements(columns) AS item
            ON item->>'name' = options->>option.name
         WHERE option.type = 'column' AND options ? option.name
         ORDER BY option.name
    LOOP
        rival := roles->>asked.name;
        IF asked.item IS NULL THEN
            PERFORM sqlml.raise('42703',
                format('column "%s" in option "%s" does not exist', asked.name, asked.option), NULL,
                sqlml.did_you_mean(asked.name, ARRAY(
                    SELECT item->>'name' FROM jsonb_array_elements(columns) AS item)));
        ELSIF asked.name = target THEN
            PERFORM sqlml.raise('22023',
                format('option "%s" names the target "%s"', asked.option, target));
        ELSIF NOT coalesce(asked.item->>'kind' = ANY (asked.kinds), false) THEN
            PERFORM sqlml.raise('42804', format('column "%s" in option "%s" has type %s',
                    asked.name, asked.option, asked.item->>'declared'),
                format('It must be %s.', array_to_string(asked.kinds, ' or ')),
                'Name another column, or cast it in a query.');
        ELSIF rival IS NOT NULL THEN
            PERFORM sqlml.raise('22023', format('options "%s" and "%s" name the same column "%s"',
                rival, asked.option, asked.name), NULL, 'A column has one role.');
        END IF;
        roles := roles || jsonb_build_object(asked.name, asked.option);
    END LOOP;
    RETURN roles;
END;
$$;

-- The columns of the source: those with a role carry it; unsupported types and excluded columns
-- carry the reason why the model does not see them.
CREATE OR REPLACE FUNCTION sqlml.check_columns(columns jsonb, target text, options jsonb)
RETURNS jsonb
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    names text[] := ARRAY(SELECT item->>'name' FROM jsonb_array_elements(columns) AS item);
    exclude text[] := ARRAY(SELECT jsonb_array_elements_text(options->'exclude'));
    target_column jsonb;
    unknown text;
    roles jsonb;
    checked jsonb;
BEGIN
    SELECT item INTO target_column FROM jsonb_array_elements(columns) AS item
     WHERE item->>'name' = target;
    IF target_column IS NULL THEN
        PERFORM sqlml.raise('42703', format('column "%s" does not exist in the training rows', target),
            NULL, sqlml.did_you_mean(target, names));
    ELSIF coalesce(target_column->>'kind', 'datetime') IN ('datetime', 'array') THEN
        PERFORM sqlml.raise('ML005', format('column "%s" has type %s, which cannot be predicted',
                target, target_column->>'type'),
            'A target is a number, a boolean or text.',
            format('Predict what a query makes of it, such as %s.',
                format(CASE
                    WHEN target_column->>'type' ~ '^(date|time|interval)'
                        THEN 'extract(epoch FROM %I)'
                    WHEN target_column->>'type' = 'money' THEN '%I::numeric'
                    WHEN target_column->>'type' LIKE '%[]' THEN '%I[1]'
                    ELSE '%I::text' END, target)));
    END IF;
    SELECT name INTO unknown FROM unnest(exclude) AS name WHERE NOT name = ANY (names) LIMIT 1;
    IF FOUND THEN
        PERFORM sqlml.raise('42703', format('column "%s" in option "exclude" does not exist', unknown),
            NULL, sqlml.did_you_mean(unknown, names));
    END IF;
    IF target = ANY (exclude) THEN
        PERFORM sqlml.raise('22023', format('option "exclude" names the target "%s"', target));
    END IF;
    roles := sqlml.check_roles(columns, target, options);
    SELECT jsonb_agg(CASE
               WHEN roles ? (item->>'name')
                   THEN item || jsonb_build_object('role', roles->(item->>'name'))
               WHEN item->>'name' = ANY (exclude) THEN item || '{"reason": "excluded by option"}'
               WHEN item->>'kind' IS NULL THEN item || '{"reason": "type not supported"}'
               ELSE item END ORDER BY place)
      INTO checked
      FROM jsonb_array_elements(columns) WITH ORDINALITY AS listed (item, place);
    IF NOT EXISTS (SELECT FROM jsonb_array_elements(checked) AS item
                    WHERE NOT item ?| '{reason,role}' AND item->>'name' <> target) THEN
        PERFORM sqlml.raise('ML004', format('no column is left to predict "%s" from', target),
            'A model needs a column of numbers, booleans, texts, dates or arrays of numbers beside its target.');
    END IF;
    RETURN checked;
END;
$$;

-- The typed function of a model. STABLE, not IMMUTABLE: a new version changes the answer.
CREATE OR REPLACE FUNCTION sqlml.make_predict_function(
    schema_name name, model_name name, target_type text)
RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
    signature text := format('%I.%I(anyelement)', schema_name, 'predict_' || model_name);
    -- The evaluator in PL/Python cannot run in parallel workers.
    safety text := (SELECT CASE proparallel WHEN 's' THEN 'SAFE' ELSE 'UNSAFE' END FROM pg_proc
                     WHERE oid = 'sqlml.predict(text, anyelement, anycompatible)'::regprocedure);
BEGIN
    IF to_regprocedure(signature) IS NOT NULL THEN
        PERFORM sqlml.raise('42723', format('function %s already exists', signature),
            format('Model "%s" would make it.', model_name),
            'Choose another name for the model, or drop the function.');
    END IF;
    EXECUTE format(
        'CREATE FUNCTION %I.%I(features anyelement) RETURNS %s LANGUAGE sql STABLE'
        ' PARALLEL %s AS %L',
        schema_name, 'predict_' || model_name, target_type, safety,
        format('SELECT sqlml.predict(%L, features, NULL::%s)',
            '"' || replace(schema_name, '"', '""') || '"."' || replace(model_name, '"', '""') || '"',
            target_type));
    EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', signature);
    EXECUTE format('COMMENT ON FUNCTION %s IS %L', signature,
        format('prediction of model %s', model_name));
END;
$$;

-- Everything of CREATE MODEL that is one transaction. Gives the job, or NULL where
-- IF NOT EXISTS found the model.
CREATE OR REPLACE FUNCTION sqlml.define_model(
    model text, target text, query text, relation text, options jsonb,
    replace boolean, if_not_exists boolean)
RETURNS sqlml.job
LANGUAGE plpgsql
AS $$
DECLARE
    named record;
    existing sqlml.model;
    columns jsonb;
    target_type text;
    job sqlml.job;
BEGIN
    PERFORM sqlml.check_name(model);
    SELECT * INTO named FROM sqlml.parse_name(model);
    named.schema_name := coalesce(named.schema_name, current_schema());
    IF named.schema_name IS NULL THEN
        PERFORM sqlml.raise('3F000', 'no schema has been selected to create the model in');
    END IF;
    IF to_regnamespace(quote_ident(named.schema_name)) IS NULL THEN
        PERFORM sqlml.raise('3F000', format('schema "%s" does not exist', named.schema_name));
    END IF;
    -- A dump holds no functions of these, and a temporary one goes with its session.
    IF named.schema_name ~ '^pg_' OR named.schema_name = 'information_schema' THEN
        PERFORM sqlml.raise('42501',
            format('cannot create a model in the system schema "%s"', named.schema_name),
            NULL, 'Name another schema: CREATE MODEL public.churn.');
    END IF;
    PERFORM sqlml.lock_name(named.schema_name, named.model_name);
    SELECT * INTO existing FROM sqlml.model AS stored
     WHERE stored.schema_name = named.schema_name AND stored.model_name = named.model_name;
    IF existing.model_id IS NOT NULL THEN
        IF if_not_exists AND existing.current_version_id IS NOT NULL
           AND sqlml.predict_function(existing) IS NOT NULL THEN
            RAISE NOTICE 'model "%" already exists, skipping', named.model_name;
            RETURN NULL;
        END IF;
        PERFORM sqlml.clear_name(existing, replace);
        SELECT * INTO existing FROM sqlml.model AS stored WHERE stored.model_id = existing.model_id;
    END IF;
    options := sqlml.check_options(options);
    query := sqlml.source_query(query, relation);
    columns := sqlml.check_columns(sqlml.describe_query(query), target, options);
    SELECT item->>'declared' INTO target_type FROM jsonb_array_elements(columns) AS item
     WHERE item->>'name' = target;
    IF to_regprocedure('sqlml.predict(text, anyelement, anycompatible)') IS NULL THEN
        PERFORM sqlml.raise('0A000', 'no evaluator of models is installed in this database', NULL,
            'Run "sqlml install", or CREATE EXTENSION sqlml.');
    END IF;
    IF existing.current_version_id IS NULL THEN
        PERFORM sqlml.make_predict_function(named.schema_name, named.model_name, target_type);
        INSERT INTO sqlml.model (schema_name, model_name)
        VALUES (named.schema_name, named.model_name) RETURNING * INTO existing;
    ELSIF sqlml.predict_function(existing) IS NULL THEN
        -- Somebody dropped it, with its schema perhaps.
        PERFORM sqlml.make_predict_function(named.schema_name, named.model_name, target_type);
    ELSIF (SELECT prorettype <> sqlml.type_of(target_type) FROM pg_proc
            WHERE oid = sqlml.predict_function(existing)) THEN
        PERFORM sqlml.raise('42P16', format('the target of model "%s" cannot change its type to %s',
                named.model_name, target_type),
            'Its function would return another type, and views may use it.',
            'DROP MODEL first, or cast the target in a query.');
    END IF;
    INSERT INTO sqlml.job (model_id, schema_name, model_name, target, query, columns, options)
    VALUES (existing.model_id, named.schema_name, named.model_name, target, query, columns, options)
    RETURNING * INTO job;
    PERFORM sqlml.make_training_function(job.job_id, query, columns);
    PERFORM pg_notify('sqlml_job', '');
    RETURN job;
END;
$$;

CREATE OR REPLACE FUNCTION sqlml.type_of(type text)
RETURNS oid
LANGUAGE sql STABLE STRICT
AS $$ SELECT to_regtype(type)::oid $$;

-- Whether a CALL with COMMIT inside would fail here. The C extension knows; without it the
-- time of BEGIN tells, which errs only towards not waiting.
CREATE OR REPLACE FUNCTION sqlml.is_atomic()
RETURNS boolean
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    answer boolean;
BEGIN
    IF to_regprocedure('sqlml.in_transaction_block()') IS NULL THEN
        RETURN transaction_timestamp() <> statement_timestamp();
    END IF;
    EXECUTE 'SELECT sqlml.in_transaction_block()' INTO answer;
    RETURN answer;
END;
$$;

CREATE OR REPLACE PROCEDURE sqlml.create_model(
    model text, target text, query text DEFAULT NULL, relation text DEFAULT NULL,
    options jsonb DEFAULT '{}', replace boolean DEFAULT false,
    if_not_exists boolean DEFAULT false, atomic boolean DEFAULT NULL)
LANGUAGE plpgsql
AS $$
DECLARE
    job sqlml.job;
BEGIN
    job := sqlml.define_model(model, target, query, relation, options, replace, if_not_exists);
    IF job.job_id IS NULL THEN
        RETURN;
    END IF;
    atomic := coalesce(atomic, sqlml.is_atomic());
    IF (atomic OR NOT (job.options->>'wait')::boolean) AND NOT sqlml.is_held(0) THEN
        RAISE WARNING 'no worker is running'
            USING HINT = 'The job waits until one is started with "sqlml worker".';
    END IF;
    IF atomic THEN
        RAISE NOTICE 'training of model "%" starts when this transaction commits', job.model_name
            USING HINT = format('CALL sqlml.wait(%L) waits for it.', model);
    ELSIF NOT (job.options->>'wait')::boolean THEN
        RAISE NOTICE 'training of model "%" is job %', job.model_name, job.job_id
            USING HINT = format('CALL sqlml.wait(%L) waits for it.', model);
    ELSIF NOT sqlml.is_held(0) THEN
        PERFORM sqlml.raise('ML010', 'no worker is running', NULL,
            'Start one with "sqlml worker", or use WITH (wait = false) to queue the job.');
    ELSE
        PERFORM sqlml.hold_cancels(true);
        UPDATE sqlml.job AS made SET is_attended = true WHERE made.job_id = job.job_id;
        COMMIT;
        CALL sqlml.follow_job(job.job_id, is_own => true);
    END IF;
END;
$$;
COMMENT ON PROCEDURE sqlml.create_model IS 'CREATE MODEL: train a model that predicts a column';

CREATE OR REPLACE PROCEDURE sqlml.drop_model(model text, if_exists boolean DEFAULT false)
LANGUAGE plpgsql
AS $$
DECLARE
    found sqlml.model;
BEGIN
    IF if_exists THEN
        SELECT * INTO found FROM sqlml.look_up_model(model);
        IF found.model_id IS NULL THEN
            RAISE NOTICE 'model "%" does not exist, skipping',
                (SELECT concat_ws('.', schema_name, model_name) FROM sqlml.parse_name(model));
            RETURN;
        END IF;
    ELSE
        found := sqlml.get_model(model);
    END IF;
    PERFORM sqlml.check_owner(found);
    PERFORM sqlml.remove_model(found);
END;
$$;
COMMENT ON PROCEDURE sqlml.drop_model IS 'DROP MODEL: remove a model with all its versions';

CREATE OR REPLACE PROCEDURE sqlml.wait(model text)
LANGUAGE plpgsql
AS $$
DECLARE
    found sqlml.model := sqlml.get_own_model(model);
    last_job integer;
BEGIN
    SELECT max(job_id) INTO last_job FROM sqlml.job WHERE job.model_id = found.model_id;
    PERFORM sqlml.hold_cancels(true);
    COMMIT;
    CALL sqlml.follow_job(last_job, is_own => false);
END;
$$;
COMMENT ON PROCEDURE sqlml.wait IS 'wait until the last job of a model has ended';
