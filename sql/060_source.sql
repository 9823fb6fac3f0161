-- The training data of a model: its query, the columns, and the training function that
-- lets the worker read the rows with the owner's rights.

-- The type below a domain, however deep; of an array of domains the array of what is below them.
CREATE OR REPLACE FUNCTION sqlml.base_type(type oid)
RETURNS oid
LANGUAGE sql STABLE
AS $$
    WITH RECURSIVE chain AS (
        SELECT oid, typtype, typbasetype, typelem, typarray, false AS is_element
          FROM pg_catalog.pg_type WHERE oid = type
        UNION ALL
        SELECT below.oid, below.typtype, below.typbasetype, below.typelem, below.typarray,
               chain.typtype <> 'd' OR chain.is_element
          FROM chain JOIN pg_catalog.pg_type AS below
            ON below.oid = CASE chain.typtype WHEN 'd' THEN chain.typbasetype
                                              ELSE chain.typelem END
         WHERE chain.typtype = 'd'
            OR below.typtype = 'd' AND below.typarray = chain.oid AND NOT chain.is_element)
    SELECT CASE WHEN is_element THEN typarray ELSE oid END
      FROM chain
     WHERE typtype <> 'd' AND NOT (is_element AND typarray = 0)
     ORDER BY is_element DESC
     LIMIT 1;
$$;

-- What a column of this type is to a model; NULL when no model can use it.
CREATE OR REPLACE FUNCTION sqlml.column_kind(type oid)
RETURNS text
LANGUAGE sql STABLE
AS $$
    SELECT CASE
           WHEN base.oid = ANY (numbers) THEN 'numeric'
           WHEN element.oid = ANY (numbers) THEN 'array'
           WHEN base.oid = 'bool'::regtype THEN 'boolean'
           WHEN base.oid IN ('date'::regtype, 'timestamp'::regtype, 'timestamptz'::regtype)
               THEN 'datetime'
           WHEN base.typcategory IN ('S', 'E') OR base.oid = 'uuid'::regtype THEN 'category'
           END
      FROM pg_catalog.pg_type AS declared
      JOIN pg_catalog.pg_type AS base
        ON base.oid = sqlml.base_type(declared.oid)
      LEFT JOIN pg_catalog.pg_type AS element
        ON element.oid = base.typelem AND element.typarray = base.oid
     CROSS JOIN (SELECT '{int2,int4,int8,float4,float8,numeric}'::regtype[]) AS known (numbers)
     WHERE declared.oid = type;
$$;

-- The SELECT of a relation or a query, as one text that can stand in parentheses.
CREATE OR REPLACE FUNCTION sqlml.source_query(query text, relation text)
RETURNS text
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    found regclass;
    parts text[];
BEGIN
    IF (query IS NULL) = (relation IS NULL) THEN
        PERFORM sqlml.raise('22023', 'give either a query or a relation', NULL,
            'Write query => ''SELECT ...'' or relation => ''customers''.');
    END IF;
    IF query IS NOT NULL THEN
        RETURN regexp_replace(query, '[;\s]+$', '');
    END IF;
    BEGIN
        found := to_regclass(relation);
    EXCEPTION WHEN syntax_error OR invalid_name OR invalid_parameter_value THEN
        found := NULL;
    END;
    IF found IS NULL THEN
        PERFORM sqlml.raise('42P01', format('relation "%s" does not exist', relation), NULL,
            sqlml.did_you_mean(
                regexp_replace(relation, '^.*\.', ''),
                ARRAY(SELECT relname::text FROM pg_catalog.pg_class
                       WHERE relkind IN ('r', 'p', 'v', 'm', 'f') AND pg_table_is_visible(oid)
                         AND relnamespace NOT IN ('pg_catalog'::regnamespace,
                                                  'information_schema'::regnamespace,
                                                  'sqlml'::regnamespace)
                       ORDER BY relname)));
    END IF;
    IF (SELECT relkind NOT IN ('r', 'p', 'v', 'm', 'f') FROM pg_class WHERE oid = found) THEN
        PERFORM sqlml.raise('42809', format('"%s" is not a table or a view', relation));
    END IF;
    RETURN 'SELECT * FROM ' || found::text;
END;
$$;

-- The columns of a query: [{name, declared, type, kind}]: type is what lies below a domain,
-- and kind is null where no model can use the column.
-- PostgreSQL itself analyses the query, through a temporary view.
CREATE OR REPLACE FUNCTION sqlml.describe_query(query text)
RETURNS jsonb
LANGUAGE plpgsql
AS $$
DECLARE
    view_name text := format('sqlml_source_%s', pg_backend_pid());
    view_oid regclass;
    columns jsonb;
    temporary text;
    noise text := current_setting('client_min_messages');
BEGIN
    BEGIN
        PERFORM set_config('client_min_messages', 'warning', true);
        EXECUTE format(E'CREATE TEMPORARY VIEW %I AS SELECT * FROM (%s\n) AS source', view_name, query);
        -- Rights are checked when a query is run, not when it is stored.
        EXECUTE format(E'SELECT FROM (%s\n) AS source LIMIT 0', query);
        PERFORM set_config('client_min_messages', noise, true);
    -- Any other error goes through as it is, with its position in the query.
    EXCEPTION WHEN duplicate_column THEN
        PERFORM sqlml.raise(SQLSTATE, SQLERRM, 'The query that gives the training rows failed.',
            'List the columns of the query so that each name stands once.');
    END;
    view_oid := format('pg_temp.%I', view_name)::regclass;
    SELECT format('%I', used.relname) INTO temporary
      FROM pg_depend AS link
      JOIN pg_rewrite AS rule ON rule.oid = link.objid AND rule.ev_class = view_oid
      JOIN pg_class AS used ON used.oid = link.refobjid AND link.refclassid = 'pg_class'::regclass
     WHERE link.classid = 'pg_rewrite'::regclass AND used.oid <> view_oid
       AND used.relpersistence = 't'
     LIMIT 1;
    SELECT coalesce(jsonb_agg(jsonb_build_object(
                'name', attname, 'declared', format_type(atttypid, atttypmod),
                'type', CASE WHEN sqlml.base_type(atttypid) = atttypid
                             THEN format_type(atttypid, atttypmod)
                             ELSE format_type(sqlml.base_type(atttypid), NULL) END,
                'kind', sqlml.column_kind(atttypid)) ORDER BY attnum), '[]')
      INTO columns
      FROM pg_attribute
     WHERE attrelid = view_oid AND attnum > 0;
    EXECUTE format('DROP VIEW pg_temp.%I', view_name);
    IF temporary IS NOT NULL THEN
        PERFORM sqlml.raise('0A000', format('cannot train from temporary table %s', temporary),
            'The worker reads in a session of its own, where the table does not exist.',
            'Copy it into an ordinary table.');
    END IF;
    RETURN columns;
END;
$$;

-- A column as the extraction reads it; sqlml.extract.dataset says what each kind becomes.
-- Datetimes become microseconds since 2000-01-01 00:00 UTC, PostgreSQL's own count. Taken
-- from an interval, extract() gives them exactly; from a timestamp it rounds far from now.
-- A slice begins at 1, where the driver wants every array to begin.
CREATE OR REPLACE FUNCTION sqlml.training_expression(name text, type text, kind text)
RETURNS text
LANGUAGE sql IMMUTABLE
AS $$
    SELECT format(CASE
        WHEN kind = 'numeric' THEN 'source.%1$I::pg_catalog.float8'
        WHEN kind = 'boolean' THEN 'source.%1$I::pg_catalog.bool'
        WHEN kind = 'category' THEN 'source.%1$I::pg_catalog.text'
        WHEN kind = 'array' THEN '(source.%1$I::pg_catalog.float8[])[:]'
        ELSE 'CASE WHEN pg_catalog.isfinite(source.%1$I) THEN (extract(epoch FROM'
             ' source.%1$I::pg_catalog.%2$s - %2$s ''2000-01-01 00:00+00'')'
             ' * 1000000)::pg_catalog.int8 END'
        END, name,
        CASE WHEN type LIKE '%with time zone' THEN 'timestamptz' ELSE 'timestamp' END);
$$;

-- Make the function that gives the training rows. It runs with its owner's rights, and
-- STABLE forbids it to write. It reads the query as the session does that made it, with the
-- settings on which literals, names and casts depend.
CREATE OR REPLACE FUNCTION sqlml.make_training_function(job_id integer, query text, columns jsonb)
RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
    declared text;
    selected text;
    function_name text := format('sqlml_training.%I', 'job_' || job_id);
BEGIN
    SELECT string_agg(format('%I %s', "column"->>'name',
               CASE "column"->>'kind' WHEN 'numeric' THEN 'pg_catalog.float8' WHEN 'boolean' THEN 'pg_catalog.bool'
                    WHEN 'category' THEN 'pg_catalog.text' WHEN 'array' THEN 'pg_catalog.float8[]'
                    ELSE 'pg_catalog.int8' END), ', ' ORDER BY place),
           string_agg(sqlml.training_expression(
               "column"->>'name', "column"->>'type', "column"->>'kind'), ', ' ORDER BY place)
      INTO declared, selected
      FROM jsonb_array_elements(columns) WITH ORDINALITY AS listed ("column", place)
     WHERE "column"->>'kind' IS NOT NULL AND NOT "column" ? 'reason';
    EXECUTE format(
        'CREATE FUNCTION %s() RETURNS TABLE (%s) LANGUAGE sql STABLE SECURITY DEFINER'
        ' %s AS %L',
        function_name, declared,
        (SELECT string_agg(format('SET %I FROM CURRENT', name), ' ')
           FROM unnest('{search_path,timezone,datestyle,intervalstyle,extra_float_digits,'
                       'bytea_output,standard_conforming_strings,transform_null_equals}'::text[])
             AS name),
        format(E'SELECT %s FROM (%s\n) AS source', selected, query));
    EXECUTE format('REVOKE ALL ON FUNCTION %s() FROM PUBLIC', function_name);
    EXECUTE format('GRANT EXECUTE ON FUNCTION %s() TO sqlml_worker', function_name);
END;
$$;
