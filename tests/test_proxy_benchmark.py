"""
The benchmark of the proxy: its load generator against a real server, and its ratios.
"""

import os
import subprocess

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from benchmarks.proxying.generator import Plan, make_generator
from benchmarks.proxying.routes import Route, find_tree
from benchmarks.proxying.scripts import (
    TRANSACTIONS,
    Script,
    Step,
    make_copy_in_frames,
    make_copy_in_rows,
    make_copy_out,
    make_select,
)
from benchmarks.proxying.server import TABLES
from benchmarks.proxying.slices import Slice, read_slices
from sqlml.wire.messages import frame

PLAN = Plan(cycles=2, slice_s=0.01)
ROWS = [b"1\t1\tt\t0.5\t0.5\t1\t1\t2026-01-01\t2026-01-01\tcustomer\n"] * 1000
SCRIPTS = {
    **TRANSACTIONS,
    "select": make_select,
    "copy out": make_copy_out,
    "copy in, rows": lambda: make_copy_in_rows(ROWS),
    "copy in, frames": lambda: make_copy_in_frames(ROWS),
}


@pytest.fixture(scope="module")
def generator(stack, tmp_path_factory):
    return make_generator(tmp_path_factory.mktemp("load"), stack.bin_dir / "pg_config")


@pytest.fixture(scope="module")
def routes(stack):
    """Direct and through the stack's proxy, to a database with the tables."""
    with psycopg.connect(stack.dsn, autocommit=True) as connection:
        connection.execute("CREATE DATABASE proxying")
    plain = {"dbname": "proxying", "sslmode": "disable", "gssencmode": "disable"}
    direct, through = (make_conninfo(dsn, **plain) for dsn in (stack.dsn, stack.proxy_dsn))
    with psycopg.connect(direct, autocommit=True) as connection:
        connection.execute(TABLES.read_text().format(accounts=1000, rows=1000))
    yield [Route("direct", direct), Route("proxy", through, stack.note().children["proxy"].pid)]
    with psycopg.connect(stack.dsn, autocommit=True) as connection:
        connection.execute("DROP DATABASE proxying WITH (FORCE)")


@pytest.mark.parametrize("name", SCRIPTS)
def test_work_is_done_and_counted_on_every_route(generator, routes, name):
    cell = generator.replay(SCRIPTS[name](), 2, routes, PLAN)
    assert {route: len(slices) for route, slices in cell.by_route.items()} == {
        "direct": 2,
        "proxy": 2,
    }
    for slices in cell.by_route.values():
        for one in slices:
            # Two clients, each at least once; the same bytes for the same work on each route.
            assert one.exchanges >= 2
            assert one.byte_count > 100 * one.exchanges
            assert one.seconds >= PLAN.slice_s
            assert one.total_cpu_s > one.proxy_cpu_s
    assert all(one.proxy_cpu_s == 0 for one in cell.by_route["direct"])
    assert all(one.proxy_cpu_s > 0 for one in cell.by_route["proxy"])


def test_sessions_are_opened_and_closed(generator, routes):
    cell = generator.connect(routes, PLAN)
    assert all(one.exchanges >= 1 for slices in cell.by_route.values() for one in slices)


def test_a_server_that_refuses_ends_the_run(generator, routes, capfd):
    script = Script((Step(frame(ord("Q"), b"SELECT 1 / 0\0")),))
    with pytest.raises(subprocess.CalledProcessError):
        generator.replay(script, 1, routes, PLAN)
    assert "division by zero" in capfd.readouterr().err


def test_ratios_are_taken_within_a_cycle():
    # The machine is half as fast in the second cycle and three times slower in the third.
    lines = ["a\t1 80 80 0 0", "b\t1 100 80 0 0", "a\t2 80 1 0 0", "b\t2 100 1 0 0"]
    cell = read_slices([*lines, "b\t3 100 1 0 0", "a\t3 90 1 0 0"])
    spread = cell.spread("a", "b", Slice.rate)
    assert (spread.low, spread.median, spread.high) == pytest.approx((0.8, 0.8, 0.85))
    assert cell.median("b", Slice.rate) == 50


def test_children_of_a_process_count():
    with subprocess.Popen(
        ["sh", "-c", "sleep 60 & echo $!; wait"], stdout=subprocess.PIPE
    ) as shell:
        child = int(shell.stdout.readline())
        assert {shell.pid, child} <= set(find_tree(os.getpid()))
        os.kill(child, 15)
