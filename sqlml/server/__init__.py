"""
The embedded stack: a private PostgreSQL, a worker and the proxy, started and stopped as one.

`stack` has what the command line calls. `binaries`, `account`, `cluster` and `install` make
a PostgreSQL that is ready; `supervisor` keeps the processes; `record` is what is on disk.
"""
