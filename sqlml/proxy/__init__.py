"""
Stage 1: PostgreSQL's protocol from a client to its server, with model statements rewritten.

    command.py       the options of `sqlml proxy`; settings.py: what they mean, made ready
    server.py        the processes: supervisor.py starts workers and worker.py is one
    listening.py     the sockets that clients connect to; address.py, limits.py
    relay.py         the sessions that need no Python; in C: relay_src
    handover.py      what goes with a session between the relay and the event loop
    session.py       one session in Python's hands, from its first byte to its last
    side.py          one of its two sockets: back-pressure, the end
    greeting.py      what a client sends before its session; pure
    upstream.py      the connection to the server; tls.py: encryption on both sides
    login.py         authentication, where its bytes cannot just pass; pure
    refusals.py      why the proxy ends a session
    interceptor.py   bytes of one side → bytes for the other; pure
    direction.py     one direction of it: frames, pauses; pure
    conversation.py  which reply belongs to which message; transaction status; pure
    names.py         our prepared statements and portals; pure
    lookup.py        the proxy's own question to the server; pure
    prefilter.py     whether a text is worth reading; in C too
    replies.py       words of the replies to our own statements; pure
    rewriting.py     what the proxy asks of the statement stage
    counters.py      what is counted, in memory that all processes share
    events.py        the log

Every byte that is not ours goes on as it came. Does not read SQL itself, keeps no state of a
training, and never answers for the server except to refuse or to end a connection.
"""
