"""
Stage 1: PostgreSQL's protocol from a client to its server, with model statements rewritten.

    server.py        listens; one session for each client
    session.py       two sockets, back-pressure, start-up, cancel requests, the end of both
    interceptor.py   bytes of one side → bytes for the other; pure
    direction.py     one direction of it: frames, pauses; pure
    conversation.py  which reply belongs to which message; transaction status; pure
    names.py         our prepared statements and portals; pure
    lookup.py        the proxy's own question to the server; pure
    replies.py       words of the replies to our own statements; pure
    rewriting.py     what the proxy asks of the statement stage

Every byte that is not ours goes on as it came. Does not read SQL itself, keeps no state of a
training, and never answers for the server except to refuse a connection.
"""
