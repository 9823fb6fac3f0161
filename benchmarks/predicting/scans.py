"""
Scans inside PostgreSQL: the floor, predictions in C, and what they are compared with.
"""

import subprocess
from pathlib import Path

from benchmarks.predicting import calls
from benchmarks.predicting.models import SHAPES, Linear
from benchmarks.predicting.server import Session
from benchmarks.predicting.subject import Subject
from benchmarks.predicting.table import FLOOR_COLUMN, ORDER, TYPES_OF_CUSTOMERS
from sqlml.server.binaries import read_binaries
from tests.stack import Stack

NOOP_SOURCE = Path(__file__).with_name("noop.c")


def make_scans(session: Session, linear: Linear, row_count: int, tenth: str) -> list[Subject]:
    """Queries over whole tables; all but the floor sum one expression of every row."""

    def scan(name: str, expression: str, table: str = "customers", count: int = row_count) -> None:
        query = f"SELECT count(*), sum({expression}) FROM {table} AS t"
        subjects.append(Subject(name, count, lambda: session.spend(query)))

    subjects: list[Subject] = []
    columns = ", ".join(f"t.{name}" for name in TYPES_OF_CUSTOMERS)
    scan("floor", f"t.{FLOOR_COLUMN}")
    scan("floor, first column", f"t.{ORDER[0]}")
    scan("noop", f"noop({columns})")
    for name, shape in SHAPES.items():
        scan(f"predict {name}", calls.predict(name), shape.table)
    scan("predict a, a tenth of the rows", calls.predict("a"), tenth, row_count // 10)
    written_out = calls.written_out(session, "a")
    if written_out is not None:
        scan("predict a, written out", written_out)
    scan("predict c", calls.predict("c"))
    scan("sql c", linear.expression)
    return subjects


def make_noop(session: Session, stack: Stack) -> None:
    """Compile the function that does nothing, and make it known to the server."""
    binaries = read_binaries(stack.bin_dir, from_wheel=False)
    assert binaries is not None
    headers = subprocess.run(
        [binaries.program("pg_config"), "--includedir-server"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    # Below the stack's folder, where the server's account can read.
    library = stack.data_dir / "noop.so"
    command = ["cc", "-O2", "-shared", "-fPIC", f"-I{headers}", str(NOOP_SOURCE)]
    subprocess.run([*command, "-o", str(library)], check=True)
    types = ", ".join(TYPES_OF_CUSTOMERS.values())
    session.run(
        f"CREATE FUNCTION noop({types}) RETURNS float8 AS '{library}', 'noop'"
        " LANGUAGE C STABLE PARALLEL SAFE"
    )
