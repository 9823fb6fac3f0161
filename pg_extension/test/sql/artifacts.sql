-- Artifacts and golden rows that nobody should trust, as rows of the catalogue.
\set SHOW_CONTEXT never
CREATE VIEW intact AS
    SELECT model_name::text AS model, artifact, golden
      FROM sqlml.version JOIN sqlml.model USING (model_id)
     WHERE number = 1 AND model_name IN ('price', 'tree');
CREATE FUNCTION try(artifact bytea, golden jsonb) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    detail text;
    hint text;
BEGIN
    PERFORM publish('tried', 'text', artifact, golden);
    RETURN sqlml.predict('tried', '{}'::jsonb);
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    RETURN concat_ws(' | ', SQLSTATE, SQLERRM, detail, hint);
END;
$$;
SELECT model, try(artifact, golden) FROM intact ORDER BY model;
SELECT model, try(''::bytea, golden) FROM intact ORDER BY model;
SELECT model, try('SQLMLART', golden) FROM intact ORDER BY model;
SELECT model, try(substr(artifact, 1, length(artifact) - 1), golden) FROM intact ORDER BY model;
SELECT model, try(substr(artifact, 1, 40), golden) FROM intact ORDER BY model;
SELECT model, try(artifact || '\x00', golden) FROM intact ORDER BY model;
SELECT model, try(set_byte(artifact, 60, get_byte(artifact, 60) # 1), golden) FROM intact ORDER BY model;
SELECT model, try(set_byte(artifact, 8, 99), golden) FROM intact ORDER BY model;
-- every byte, changed
SELECT model, count(*) FILTER (WHERE answer LIKE 'XX001 | artifact of model "tried" is damaged | %'
                                 OR place BETWEEN 8 AND 11 AND answer LIKE '0A000 | %') = count(*) AS all_refused
  FROM intact, generate_series(0, length(artifact) - 1) AS place,
       try(set_byte(artifact, place, get_byte(artifact, place) # 255), golden) AS answer
 GROUP BY model ORDER BY model;
-- every cut
SELECT model, count(*) FILTER (WHERE answer LIKE 'XX001 | artifact of model "tried" is damaged | %') = count(*) AS all_refused
  FROM intact, generate_series(0, length(artifact) - 1) AS size, try(substr(artifact, 1, size), golden) AS answer
 GROUP BY model ORDER BY model;
-- golden rows
SELECT model, try(artifact, '[]') FROM intact ORDER BY model;
SELECT model, try(artifact, '{}') FROM intact ORDER BY model;
SELECT model, try(artifact, '[{"row": {}}]') FROM intact ORDER BY model;
SELECT model, try(artifact, '[{"row": {}, "raw": [1, 2]}]') FROM intact ORDER BY model;
SELECT model, try(artifact, '[{"row": {"city": 1}, "raw": [1]}]') FROM intact ORDER BY model;
SELECT model, regexp_replace(try(artifact, '[{"row": {}, "raw": [17]}]'), 'built by .* \| ', 'built by … | ')
  FROM intact ORDER BY model;
-- the model is as good as new afterwards
SELECT model, try(artifact, golden) FROM intact ORDER BY model;
