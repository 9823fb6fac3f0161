"""
Bytes ↔ messages of PostgreSQL's protocol, version 3. Pure: knows no socket, clock or SQL.

    frames.py      a stream of bytes, however split → frames and runs of bytes to pass on
    startup.py     the packets that come before the first frame
    messages.py    the few messages that are read or written
    encodings.py   client_encoding ↔ Python's codecs
"""
