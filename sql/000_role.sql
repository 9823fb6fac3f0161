-- The worker's role: it may log in and nothing else; what it may touch is granted later,
-- object by object. Its password is set by whoever installs.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'sqlml_worker') THEN
        CREATE ROLE sqlml_worker LOGIN;
    END IF;
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO sqlml_worker', current_database());
END;
$$;
