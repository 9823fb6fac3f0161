-- Who may do what. A model is its owner's; whoever may EXECUTE its predict function may
-- read what prediction needs. Names of models are as public as the names of tables.

GRANT SELECT ON sqlml.model, sqlml.job, sqlml.event, sqlml.trial, sqlml.version, sqlml.feature
    TO PUBLIC;
GRANT INSERT (schema_name, model_name), DELETE ON sqlml.model TO PUBLIC;
GRANT INSERT (model_id, schema_name, model_name, target, query, columns, options)
    ON sqlml.job TO PUBLIC;
GRANT UPDATE (abort_requested, is_attended) ON sqlml.job TO PUBLIC;

GRANT USAGE ON SCHEMA sqlml, sqlml_training TO sqlml_worker;
GRANT UPDATE (current_version_id) ON sqlml.model TO sqlml_worker;
GRANT UPDATE ON sqlml.job TO sqlml_worker;
GRANT INSERT ON sqlml.event, sqlml.trial, sqlml.version, sqlml.feature TO sqlml_worker;
GRANT UPDATE (weight) ON sqlml.trial TO sqlml_worker;
GRANT DELETE ON sqlml.version TO sqlml_worker;

ALTER TABLE sqlml.model ENABLE ROW LEVEL SECURITY;
ALTER TABLE sqlml.job ENABLE ROW LEVEL SECURITY;
ALTER TABLE sqlml.event ENABLE ROW LEVEL SECURITY;
ALTER TABLE sqlml.trial ENABLE ROW LEVEL SECURITY;
ALTER TABLE sqlml.version ENABLE ROW LEVEL SECURITY;
ALTER TABLE sqlml.feature ENABLE ROW LEVEL SECURITY;

DO $$
DECLARE
    policy record;
BEGIN
    FOR policy IN SELECT policyname, tablename FROM pg_policies WHERE schemaname = 'sqlml' LOOP
        EXECUTE format('DROP POLICY %I ON sqlml.%I', policy.policyname, policy.tablename);
    END LOOP;
END;
$$;

CREATE POLICY worker ON sqlml.model TO sqlml_worker USING (true) WITH CHECK (true);
CREATE POLICY worker ON sqlml.job TO sqlml_worker USING (true) WITH CHECK (true);
CREATE POLICY worker ON sqlml.event TO sqlml_worker USING (true) WITH CHECK (true);
CREATE POLICY worker ON sqlml.trial TO sqlml_worker USING (true) WITH CHECK (true);
CREATE POLICY worker ON sqlml.version TO sqlml_worker USING (true) WITH CHECK (true);
CREATE POLICY worker ON sqlml.feature TO sqlml_worker USING (true) WITH CHECK (true);

CREATE POLICY names_are_public ON sqlml.model FOR SELECT USING (true);
CREATE POLICY owner_creates ON sqlml.model FOR INSERT
    WITH CHECK (owner = current_user::regrole
                AND has_schema_privilege(schema_name::text, 'CREATE'));
CREATE POLICY owner_drops ON sqlml.model FOR DELETE USING (sqlml.may_own(owner));

CREATE POLICY owner_reads ON sqlml.job FOR SELECT USING (sqlml.may_own(owner));
CREATE POLICY owner_defers ON sqlml.job FOR INSERT
    WITH CHECK (owner = current_user::regrole AND status = 'waiting'
                AND EXISTS (SELECT FROM sqlml.model
                             WHERE model.model_id = job.model_id AND sqlml.may_own(model.owner)));
CREATE POLICY owner_aborts ON sqlml.job FOR UPDATE
    USING (sqlml.may_own(owner)) WITH CHECK (sqlml.may_own(owner));

-- job's own policy decides which jobs these see.
CREATE POLICY owner_reads ON sqlml.event FOR SELECT
    USING (EXISTS (SELECT FROM sqlml.job WHERE job.job_id = event.job_id));
CREATE POLICY owner_reads ON sqlml.trial FOR SELECT
    USING (EXISTS (SELECT FROM sqlml.job WHERE job.job_id = trial.job_id));
CREATE POLICY owner_reads ON sqlml.feature FOR SELECT
    USING (EXISTS (SELECT FROM sqlml.version JOIN sqlml.job ON job.job_id = version.job_id
                    WHERE version.version_id = feature.version_id));

CREATE POLICY grantee_reads ON sqlml.version FOR SELECT
    USING (EXISTS (SELECT FROM sqlml.model
                    WHERE model.model_id = version.model_id AND sqlml.may_use(model.*)));
