-- The queue. Signs of life are advisory locks, which PostgreSQL releases the moment a
-- session ends: a worker holds (1936813421, 0) shared, and (1936813421, job) for each job
-- that it runs. A CREATE MODEL that waits holds (1936813422, job), transaction by transaction, so
-- that whatever ends the statement lets go of it. 1936813421 is 'sqlm' in ASCII.

CREATE OR REPLACE FUNCTION sqlml.lock_class()
RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$ SELECT 1936813421 $$;

CREATE OR REPLACE FUNCTION sqlml.attendance_class()
RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$ SELECT 1936813422 $$;

CREATE OR REPLACE FUNCTION sqlml.is_locked(class integer, job_id integer)
RETURNS boolean
LANGUAGE sql VOLATILE
AS $$
    SELECT EXISTS (
        SELECT FROM pg_catalog.pg_locks
         WHERE locktype = 'advisory' AND granted AND objsubid = 2
           AND database = (SELECT oid FROM pg_catalog.pg_database
                            WHERE datname = current_database())
           AND classid = class AND objid = job_id);
$$;

-- Whether a worker runs a job; 0 asks for any worker.
CREATE OR REPLACE FUNCTION sqlml.is_held(job_id integer)
RETURNS boolean
LANGUAGE sql VOLATILE
AS $$ SELECT sqlml.is_locked(sqlml.lock_class(), job_id) $$;

-- Whether the statement that made a job should wait for it and does not. Between two of its
-- transactions it seems so for a moment.
CREATE OR REPLACE FUNCTION sqlml.is_deserted(job sqlml.job)
RETURNS boolean
LANGUAGE sql VOLATILE
AS $$
    SELECT (job).is_attended AND NOT sqlml.is_locked(sqlml.attendance_class(), (job).job_id);
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

-- What a session that waits for a job says when nobody will work on it; else NULL. Any worker
-- takes a job that waits or has lost its worker, once it has prepared itself or ended another.
CREATE OR REPLACE FUNCTION sqlml.missing_worker(job sqlml.job)
RETURNS text
LANGUAGE sql VOLATILE
AS $$
    SELECT CASE
           WHEN sqlml.is_held(0) THEN NULL
           WHEN (job).status = 'running' THEN 'the worker died while it trained the model'
           ELSE 'no worker is running' END;
$$;

-- Whether nobody is left to hear how a statement ends. Only the C extension can look at the
-- connection; without it a session learns so from its next notice, which ends it.
CREATE OR REPLACE FUNCTION sqlml.has_lost_client()
RETURNS boolean
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    answer boolean := false;
BEGIN
    IF to_regprocedure('sqlml.is_client_gone()') IS NOT NULL THEN
        -- The server's own look would end the session before it has cleaned up.
        PERFORM set_config('client_connection_check_interval', '0', true);
        EXECUTE 'SELECT sqlml.is_client_gone()' INTO answer;
    END IF;
    RETURN answer;
END;
$$;

-- Raise a notice; true if it found nobody. Without the C extension that ends the session.
CREATE OR REPLACE FUNCTION sqlml.raise_notice(message text)
RETURNS boolean
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    is_lost boolean := false;
BEGIN
    IF to_regprocedure('sqlml.tell_client(text)') IS NOT NULL THEN
        EXECUTE 'SELECT sqlml.tell_client($1)' INTO is_lost USING message;
    ELSE
        RAISE NOTICE '%', message;
    END IF;
    RETURN is_lost;
END;
$$;

-- Have cancel requests wait where none can be caught, or no more. Only the C extension can;
-- without it one that arrives there ends the statement at once.
CREATE OR REPLACE FUNCTION sqlml.hold_cancels(is_held boolean)
RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
    IF to_regprocedure('sqlml.hold_cancel(boolean)') IS NOT NULL THEN
        EXECUTE 'SELECT sqlml.hold_cancel($1)' USING is_held;
    END IF;
END;
$$;

-- What an older catalogue has under another signature.
DROP PROCEDURE IF EXISTS sqlml.follow_job(integer);

-- Wait for a job, raise its progress as notices and its failure as an error. A cancel
-- request aborts the job; so does a client that vanishes, if the job is this statement's own.
-- A model that never had a version is dropped with a failed job. Whoever calls it holds cancels.
CREATE OR REPLACE PROCEDURE sqlml.follow_job(job_id integer, is_own boolean)
LANGUAGE plpgsql
AS $$
DECLARE
    followed sqlml.job;
    news sqlml.event;
    last_event integer := 0;
    alone_since timestamptz;
    problem text;
    cancelled text;
    is_told boolean := false;
    is_lost boolean := false;
    is_over boolean := false;
BEGIN
    -- A cancel request can be caught inside a block with an exception clause only, and COMMIT
    -- can stand outside of one only. So we commit seldom: a request that arrives in between
    -- waits; where that cannot be had, it ends the statement at once, and the worker finds the
    -- job deserted. The server signals each request twice, so there are two such clauses.
    WHILE NOT is_over LOOP
        BEGIN BEGIN
            PERFORM sqlml.hold_cancels(false);
            IF is_own THEN
                PERFORM pg_advisory_xact_lock_shared(sqlml.attendance_class(), follow_job.job_id);
            END IF;
            FOR poll IN 1 .. 50 LOOP
                SELECT * INTO followed FROM sqlml.job WHERE job.job_id = follow_job.job_id;
                FOR news IN SELECT * FROM sqlml.event
                              WHERE event.job_id = follow_job.job_id AND number > last_event
                              ORDER BY number
                LOOP
                    is_lost := sqlml.raise_notice(news.message);
                    EXIT WHEN is_lost;
                    last_event := news.number;
                END LOOP;
                is_over := followed.job_id IS NULL
                    OR followed.status NOT IN ('waiting', 'running');
                EXIT WHEN is_over;
                is_lost := is_lost OR sqlml.has_lost_client();
                EXIT WHEN is_lost;
                problem := sqlml.missing_worker(followed);
                alone_since := CASE WHEN problem IS NOT NULL
                    THEN coalesce(alone_since, clock_timestamp()) END;
                is_over := coalesce(clock_timestamp() > alone_since + interval '10 s', false);
                EXIT WHEN is_over;
                IF poll = 10 AND followed.status = 'waiting' AND problem IS NULL AND NOT is_told THEN
                    is_lost := sqlml.raise_notice('waiting for a worker to be free');
                    is_told := true;
                END IF;
                PERFORM pg_sleep(0.1);
            END LOOP;
            PERFORM sqlml.hold_cancels(true);
        EXCEPTION WHEN query_canceled THEN
            cancelled := SQLERRM;
            -- The error has let go of them.
            PERFORM sqlml.hold_cancels(true);
        END; EXCEPTION WHEN query_canceled THEN
            cancelled := SQLERRM;
            PERFORM sqlml.hold_cancels(true);
        END;
        EXIT WHEN is_lost OR cancelled IS NOT NULL;
        COMMIT;
    END LOOP;

    -- Whoever cancels again while we clean up gets the same end. Nothing is committed before
    -- all is done.
    -- A job that somebody else queued goes on waiting for its worker.
    is_over := coalesce(followed.status = 'succeeded', false)
        OR NOT is_own AND (is_lost OR cancelled IS NULL
                           AND coalesce(followed.status IN ('waiting', 'running'), false));
    WHILE NOT is_over LOOP
        BEGIN
            PERFORM sqlml.hold_cancels(true);
            PERFORM sqlml.abort_job(follow_job.job_id);
            -- As it stays from here on: the job may have ended before we could abort it.
            SELECT * INTO followed FROM sqlml.job WHERE job.job_id = follow_job.job_id;
            PERFORM sqlml.discard_model(followed.model_id);
            is_over := true;
        EXCEPTION WHEN query_canceled THEN
            NULL;
        END;
    END LOOP;
    COMMIT;
    IF coalesce(followed.status, 'succeeded') = 'succeeded' THEN
        -- A cancel request that waited came too late.
        BEGIN
            PERFORM sqlml.hold_cancels(false);
            -- A request is looked for before each statement, so there is one more.
            NULL;
        EXCEPTION WHEN query_canceled THEN
            NULL;
        END;
        RETURN;
    ELSIF is_lost THEN
        PERFORM sqlml.raise('08006', 'connection to client lost', CASE WHEN is_own THEN
            format('Training of model "%s" was aborted.', followed.model_name) END);
    ELSIF cancelled IS NOT NULL AND followed.status IN ('waiting', 'running', 'aborted') THEN
        PERFORM sqlml.raise('57014', cancelled,
            format('Training of model "%s" was aborted.', followed.model_name));
    ELSIF followed.status IN ('waiting', 'running') THEN
        PERFORM sqlml.raise(CASE followed.status WHEN 'running' THEN 'ML011' ELSE 'ML010' END,
            problem, NULL, 'Start one with "sqlml worker" and try again.');
    END IF;
    PERFORM sqlml.raise_job_error(followed);
END;
$$;
