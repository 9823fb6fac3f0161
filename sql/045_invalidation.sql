-- A change of sqlml.model makes plans and caches of every session void. Row by row, since a
-- logical subscriber fires no trigger of a statement but TRUNCATE's; ALWAYS, since it fires no
-- others; and by name, since only the C extension keeps anything.
CREATE OR REPLACE FUNCTION sqlml.announce_model()
RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    IF to_regprocedure('sqlml.forget_plans()') IS NOT NULL THEN
        EXECUTE 'SELECT sqlml.forget_plans()';
    END IF;
    RETURN NULL;
END;
$$;
COMMENT ON FUNCTION sqlml.announce_model IS 'have every session look up its models again';

CREATE OR REPLACE TRIGGER announce_model AFTER INSERT OR UPDATE OR DELETE ON sqlml.model
    FOR EACH ROW EXECUTE FUNCTION sqlml.announce_model();
ALTER TABLE sqlml.model ENABLE ALWAYS TRIGGER announce_model;

CREATE OR REPLACE TRIGGER announce_models AFTER TRUNCATE ON sqlml.model
    FOR EACH STATEMENT EXECUTE FUNCTION sqlml.announce_model();
ALTER TABLE sqlml.model ENABLE ALWAYS TRIGGER announce_models;
