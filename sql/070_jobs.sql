-- The queue. Signs of life are advisory locks, which PostgreSQL releases the moment a
-- session ends: a worker holds (1936813421, 0) shared, and (1936813421, job) for each job
-- that it runs. 1936813421 is 'sqlm' in ASCII.

CREATE OR REPLACE FUNCTION sqlml.lock_class()
RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$ SELECT 1936813421 $$;

-- Whether a session holds the advisory lock of a job; 0 asks for any worker.
CREATE OR REPLACE FUNCTION sqlml.is_held(job_id integer)
RETURNS boolean
LANGUAGE sql VOLATILE
AS $$
    SELECT EXISTS (
        SELECT FROM pg_catalog.pg_locks
         WHERE locktype = 'advisory' AND granted AND objsubid = 2
           AND database = (SELECT oid FROM pg_catalog.pg_database
                            WHERE datname = current_database())
           AND classid = sqlml.lock_class() AND objid = job_id);
$$;

-- Take the oldest job that waits, or whose worker is gone, and lock it for this session.
-- No row: nothing to do. A job that lost its worker twice has failed.
CREATE OR REPLACE FUNCTION sqlml.fetch_job()
RETURNS SETOF sqlml.job
LANGUAGE plpgsql VOLATILE ROWS 1
AS $$
DECLARE
    candidate integer;
    fetched sqlml.job;
BEGIN
    FOR candidate IN
        SELECT job_id FROM sqlml.job WHERE status IN ('waiting', 'running') ORDER BY job_id
    LOOP
        CONTINUE WHEN NOT pg_try_advisory_lock(sqlml.lock_class(), candidate);
        -- Another worker may have ended it between our look and our lock.
        SELECT * INTO fetched FROM sqlml.job WHERE job_id = candidate FOR UPDATE;
        IF fetched.status IN ('waiting', 'running') AND fetched.abort_requested THEN
            UPDATE sqlml.job SET status = 'aborted', finished_at = clock_timestamp()
             WHERE job_id = candidate;
        ELSIF fetched.status = 'running' AND fetched.attempts >= 2 THEN
            UPDATE sqlml.job
               SET status = 'failed', finished_at = clock_timestamp(), error_sqlstate = 'ML011',
                   error_message = 'the worker died while it trained the model',
                   error_detail = format('It was tried %s times.', fetched.attempts),
                   error_hint = 'Look into the worker''s log; it may have run out of memory.'
             WHERE job_id = candidate;
        ELSIF fetched.status IN ('waiting', 'running') THEN
            UPDATE sqlml.job
               SET status = 'running', attempts = attempts + 1, started_at = clock_timestamp()
             WHERE job_id = candidate
            RETURNING * INTO fetched;
            RETURN NEXT fetched;
            RETURN;
        END IF;
        PERFORM pg_advisory_unlock(sqlml.lock_class(), candidate);
    END LOOP;
END;
$$;

REVOKE ALL ON FUNCTION sqlml.fetch_job() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION sqlml.fetch_job() TO sqlml_worker;

-- Ask for the end of a job. The worker marks it as aborted; what has ended stays as it is.
CREATE OR REPLACE FUNCTION sqlml.abort_job(job_id integer)
RETURNS void
LANGUAGE sql VOLATILE
AS $$
    UPDATE sqlml.job SET abort_requested = true
     WHERE job.job_id = abort_job.job_id AND status IN ('waiting', 'running');
    SELECT pg_notify('sqlml_abort', job_id::text);
$$;

-- Raise the error that a job ended with.
CREATE OR REPLACE FUNCTION sqlml.raise_job_error(job sqlml.job)
RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
    IF job.status = 'aborted' THEN
        PERFORM sqlml.raise('57014', format('training of model "%s" was aborted', job.model_name));
    ELSIF job.status = 'failed' THEN
        PERFORM sqlml.raise(job.error_sqlstate, job.error_message, job.error_detail, job.error_hint);
    END IF;
END;
$$;

-- What a session that waits for a job says when nobody works on it; NULL while somebody does.
-- A waiting job needs any worker, a running one needs its own.
CREATE OR REPLACE FUNCTION sqlml.missing_worker(job sqlml.job)
RETURNS text
LANGUAGE sql VOLATILE
AS $$
    SELECT CASE
           WHEN sqlml.is_held(CASE (job).status WHEN 'running' THEN (job).job_id ELSE 0 END)
               THEN NULL
           WHEN (job).status = 'running' THEN 'the worker died while it trained the model'
           ELSE 'no worker is running' END;
$$;

-- Wait for a job, raise its progress as notices and its failure as an error. A cancel
-- request aborts the job. A model that never had a version is dropped with a failed job.
CREATE OR REPLACE PROCEDURE sqlml.follow_job(job_id integer)
LANGUAGE plpgsql
AS $$
DECLARE
    followed sqlml.job;
    news sqlml.event;
    last_event integer := 0;
    alone_since timestamptz;
    problem text;
    cancelled text;
    is_over boolean := false;
BEGIN
    -- A cancel request can be caught inside a block with an exception clause only, and COMMIT
    -- can stand outside of one only. So we commit seldom: a request that arrives in between
    -- ends the statement without ending the job.
    WHILE NOT is_over LOOP
        BEGIN
            FOR poll IN 1 .. 50 LOOP
                SELECT * INTO followed FROM sqlml.job WHERE job.job_id = follow_job.job_id;
                FOR news IN SELECT * FROM sqlml.event
                              WHERE event.job_id = follow_job.job_id AND number > last_event
                              ORDER BY number
                LOOP
                    RAISE NOTICE '%', news.message;
                    last_event := news.number;
                END LOOP;
                is_over := followed.job_id IS NULL
                    OR followed.status NOT IN ('waiting', 'running');
                EXIT WHEN is_over;
                problem := sqlml.missing_worker(followed);
                alone_since := CASE WHEN problem IS NOT NULL
                    THEN coalesce(alone_since, clock_timestamp()) END;
                is_over := coalesce(clock_timestamp() > alone_since + interval '10 s', false);
                EXIT WHEN is_over;
                PERFORM pg_sleep(0.1);
            END LOOP;
        EXCEPTION WHEN query_canceled THEN
            cancelled := SQLERRM;
            EXIT;
        END;
        COMMIT;
    END LOOP;

    -- Whoever cancels again while we clean up gets the same end. Nothing is committed before
    -- all is done: a commit takes its time, and a request that arrives meanwhile ends us.
    is_over := coalesce(followed.status = 'succeeded', false);
    WHILE NOT is_over LOOP
        BEGIN
            SELECT * INTO followed FROM sqlml.job WHERE job.job_id = follow_job.job_id;
            PERFORM sqlml.abort_job(follow_job.job_id);
            PERFORM sqlml.discard_model(followed.model_id);
            is_over := true;
        EXCEPTION WHEN query_canceled THEN
            NULL;
        END;
    END LOOP;
    COMMIT;
    IF followed.status = 'succeeded' THEN
        -- Also where a cancel request came too late.
        RETURN;
    ELSIF cancelled IS NOT NULL THEN
        PERFORM sqlml.raise('57014', cancelled,
            format('Training of model "%s" was aborted.', followed.model_name));
    ELSIF followed.status IN ('waiting', 'running') THEN
        PERFORM sqlml.raise(CASE followed.status WHEN 'running' THEN 'ML011' ELSE 'ML010' END,
            problem, NULL, 'Start one with "sqlml worker" and try again.');
    END IF;
    PERFORM sqlml.raise_job_error(followed);
END;
$$;
