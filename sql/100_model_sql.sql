-- Models as SQL, for audits and for servers without sqlml.

-- What columns a version's SQL reads when it is given no relation: one row of NULLs.
CREATE OR REPLACE FUNCTION sqlml.null_row(inputs jsonb)
RETURNS text
LANGUAGE sql IMMUTABLE
AS $$
    SELECT 'SELECT ' || string_agg(format('NULL::%s AS %I',
               CASE input->>'kind' WHEN 'category' THEN 'text' ELSE input->>'type' END,
               input->>'name'), E',\n           ' ORDER BY place)
      FROM jsonb_array_elements(inputs) WITH ORDINALITY AS listed (input, place);
$$;

-- Text that can stand in a comment of one line.
CREATE OR REPLACE FUNCTION sqlml.one_line(text text)
RETURNS text
LANGUAGE sql IMMUTABLE
AS $$ SELECT regexp_replace(text, '[\n\r]', ' ', 'g') $$;

-- The current version of a model, if it can be written as SQL.
CREATE OR REPLACE FUNCTION sqlml.find_version_with_sql(model text)
RETURNS sqlml.version
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    found sqlml.version;
BEGIN
    SELECT * INTO found FROM sqlml.version WHERE version_id = sqlml.find_version(model);
    IF found.sql IS NULL THEN
        PERFORM sqlml.raise('0A000',
            format('model "%s" cannot be written as SQL', sqlml.display_name(model)),
            format('Version %s: %s.', found.number,
                coalesce(found.sql_problem, 'it was made before sqlml could do that')),
            CASE WHEN found.sql_problem IS NULL
                 THEN 'Train it again with CREATE OR REPLACE MODEL.'
                 WHEN found.sql_problem LIKE 'it reads %'
                 THEN 'Train it without texts and arrays: WITH (exclude = [...]).'
                 ELSE 'Train a smaller one, such as WITH (num_trees = 100, num_leaves = 15).' END);
    END IF;
    RETURN found;
END;
$$;

-- The model's own name out of what may be a qualified identifier.
CREATE OR REPLACE FUNCTION sqlml.display_name(model text)
RETURNS text
LANGUAGE sql STABLE
AS $$ SELECT parts[cardinality(parts)] FROM sqlml.name_parts(model) AS parts $$;

CREATE OR REPLACE FUNCTION sqlml.model_sql(model text, relation text DEFAULT NULL)
RETURNS text
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    version sqlml.version;
    classes text;
BEGIN
    IF model IS NULL THEN
        RETURN NULL;
    END IF;
    version := sqlml.find_version_with_sql(model);
    classes := (SELECT string_agg(quote_literal(class), ', ' ORDER BY place)
                  FROM unnest(version.classes) WITH ORDINALITY AS listed (class, place));
    RETURN sqlml.one_line(format('-- Model %s, version %s.', sqlml.display_name(model), version.number)
            || coalesce(' The probabilities are of ' || classes || '.', ''))
        || E'\n-- For many rows SET jit = off: to compile so many expressions takes long.'
        || CASE WHEN relation IS NULL
                THEN E'\n-- Put the rows to predict into "input", for example SELECT * FROM customers.'
                ELSE '' END
        || E'\nWITH input AS (\n    '
        || CASE WHEN relation IS NULL THEN sqlml.null_row(version.inputs)
                ELSE sqlml.source_query(NULL, relation) END
        || E'\n),\n' || version.sql
        || E'\nSELECT (input_row).*, prediction, '
        || CASE version.problem_type WHEN 'regression' THEN '' ELSE 'probabilities, ' END
        || E'scores\n  FROM answer';
END;
$$;
COMMENT ON FUNCTION sqlml.model_sql(text, text) IS
    'a query that gives the predictions of a model and needs nothing of sqlml';
