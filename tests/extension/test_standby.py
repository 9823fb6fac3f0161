"""
Models on a physical standby: plans and caches there follow the primary, and nothing writes.
"""

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import psycopg.conninfo
from psycopg import sql

from sqlml.enums import ProblemType
from sqlml.server.account import find_server_account, give_to
from sqlml.server.ports import choose_port
from sqlml.server.status import is_answering
from tests.extension.conftest import connect, publish
from tests.extension.test_predict import REGRESSION, ask, make_line, refusal
from tests.stack import Stack, temporary_stack, wait_until


@contextmanager
def standby(stack: Stack) -> Iterator[str]:
    """A standby of the stack's database; its connection string."""
    account = find_server_account()
    user, group = (account.uid, account.gid) if account else (None, None)
    with (stack.folder.cluster / "pg_hba.conf").open("a") as file:
        file.write("host replication all 127.0.0.1/32 scram-sha-256\n")
    with psycopg.connect(stack.dsn, autocommit=True) as admin:
        admin.execute("SELECT pg_reload_conf()")
    folder = stack.folder.cluster.with_name("standby")
    port = choose_port(None, [], {stack.record.port, stack.record.proxy_port})
    dsn = psycopg.conninfo.make_conninfo(stack.dsn, port=port)
    folder.mkdir(mode=0o700)
    give_to(account, folder)
    subprocess.run(
        [
            stack.bin_dir / "pg_basebackup",
            f"--dbname={psycopg.conninfo.make_conninfo(stack.dsn, dbname='')}",
            f"--pgdata={folder}",
            "--write-recovery-conf",
            "--checkpoint=fast",
        ],
        check=True,
        cwd="/",
        user=user,
        group=group,
    )
    server = subprocess.Popen(
        [stack.bin_dir / "postgres", "-D", folder, "-c", f"port={port}"],
        cwd="/",
        user=user,
        group=group,
    )
    try:
        wait_until(lambda: is_answering(dsn))
        yield dsn
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(30)


def test_a_standby_answers_with_the_primarys_version():
    with temporary_stack() as stack, connect(stack.dsn) as primary:
        publish(primary, "line", REGRESSION)
        primary.execute("CREATE TABLE t AS SELECT 7 AS x")
        schema = sql.Identifier(ask(primary, "current_schema()"))
        with standby(stack) as dsn, psycopg.connect(dsn, autocommit=True) as replica:
            replica.execute(sql.SQL("SET search_path = {}").format(schema))
            replica.execute("SET plan_cache_mode = force_generic_plan")
            replica.execute("SET planner.model = 'line'")
            replica.execute("""
                PREPARE ask AS
                SELECT sqlml.predict('line', t, 0),
                       sqlml.predict(current_setting('planner.model'), t, 0) FROM t""")

            def answers() -> list[tuple[int, int]]:
                return replica.execute("EXECUTE ask").fetchall()

            assert answers() == [(7, 7)]
            publish(primary, "line", make_line(ProblemType.REGRESSION, intercept=100.0))
            wait_until(lambda: answers() == [(107, 107)])
            assert refusal(replica, "SELECT sqlml.forget_plans()").sqlstate == "25006"
            primary.execute("DELETE FROM sqlml.model")
            wait_until(lambda: not ask(replica, "count(*) FROM sqlml.model"))
            assert refusal(replica, "EXECUTE ask").sqlstate == "42704"
