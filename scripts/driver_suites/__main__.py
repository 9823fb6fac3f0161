"""
Run the drivers' own test suites direct and through the proxy, and compare test by test.

    python -m scripts.driver_suites --sources FOLDER [--only psycopg asyncpg] [--results FOLDER]
                                    [--routes through socket] [--tls]
                                    [--proxy-arguments "--workers 2"]

FOLDER holds the unpacked sources of the drivers' releases, each in a folder of its name. A suite
without sources is left out. The driver itself is installed from its registry, in exactly that
release, into the hidden folder `.environment` beside its sources.

    psycopg        3.3.4         tag 3.3.4 of its repository
    psycopg2       2.9.12        tag 2.9.12 of its repository
    asyncpg        0.32.0        its source distribution
    node-postgres  pg 8.23.0     tag pg@8.23.0 of its repository; Node.js as for `make test`
    psqlodbc       13.02.0000    tag REL-13_02_0000 of its repository; Debian's odbc-postgresql
                                 and unixodbc-dev
    sqlalchemy     2.1.9         its source distribution
    pgjdbc         42.5.5        tag REL42.5.5 of its repository; Debian's libpostgresql-jdbc-java,
                                 junit5 and libchecker-framework-java

Every run has a new server, and a new proxy before it: `through` reaches the server over TCP,
`socket` over its Unix socket. A test that differs is repeated on both routes. Fails if one
differs that does not do so by chance.
"""

import argparse
import shlex
import shutil
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import psycopg

from scripts.driver_suites.jdbc import JdbcSuite
from scripts.driver_suites.node import NodeSuite
from scripts.driver_suites.odbc import OdbcSuite
from scripts.driver_suites.outcomes import (
    ABSENT,
    Difference,
    Outcomes,
    find_different,
    summarise,
)
from scripts.driver_suites.suite import DATABASE, Suite, Target
from scripts.driver_suites.with_pytest import ASYNCPG, PSYCOPG, PSYCOPG2, SQLALCHEMY
from scripts.postgres_suites.cluster import Installation
from scripts.postgres_suites.routes import DIRECT, SOCKET, THROUGH, started_route
from sqlml.proxy.tls import Identity
from sqlml.server.account import find_server_account, give_to
from tests.proxy.certificates import make_authority
from tests.stack import temporary_data_dir

SUITES: tuple[Suite, ...] = (
    PSYCOPG,
    PSYCOPG2,
    ASYNCPG,
    NodeSuite(),
    OdbcSuite(),
    SQLALCHEMY,
    JdbcSuite(),
)
SETTINGS: tuple[str, ...] = ("max_connections=300", "wal_level=logical")
# Where scripts/install.sh notes the folder of the server's programs.
SERVER = Path(sys.prefix) / "share" / "sqlml" / "postgres"


@dataclass(frozen=True, slots=True)
class Runner:
    """Runs suites on routes."""

    sources: Path
    folder: Path
    settings: tuple[str, ...]
    proxy_arguments: tuple[str, ...]
    repeats: int

    def compare(self, suite: Suite, routes: Sequence[str]) -> list[Difference]:
        """Run a suite direct and on the routes, and say what differs; what does so for certain."""
        direct = self._run(suite, DIRECT)
        different: list[Difference] = []
        for route in routes:
            through = self._run(suite, route)
            found = find_different(direct, through)
            print(f"{suite.name}, {route}: {len(found)} tests differ", flush=True)
            for difference in self._repeat(suite, route, found):
                print(difference, flush=True)
                different += [] if difference.is_chance else [difference]
        return different

    def _run(self, suite: Suite, route: str) -> Outcomes:
        with self._started(suite, route, route) as (target, place):
            outcomes = suite.run(self._sources(suite), target, place / "tests", ())
        print(f"{suite.name} {suite.version}, {route}: {summarise(outcomes)}", flush=True)
        return outcomes

    def _repeat(self, suite: Suite, route: str, found: list[Difference]) -> list[Difference]:
        if not found or not self.repeats:
            return found
        direct = self._rerun(suite, DIRECT, f"{route}-again-direct", found)
        through = self._rerun(suite, route, f"{route}-again", found)
        return [
            replace(
                difference,
                repeated_direct=tuple(run.get(difference.test, ABSENT) for run in direct),
                repeated_through=tuple(run.get(difference.test, ABSENT) for run in through),
            )
            for difference in found
        ]

    def _rerun(
        self, suite: Suite, route: str, name: str, found: list[Difference]
    ) -> list[Outcomes]:
        tests = [difference.test for difference in found]
        with self._started(suite, route, name) as (target, place):
            return [
                suite.run(self._sources(suite), target, place / f"tests-{number}", tests)
                for number in range(self.repeats)
            ]

    @contextmanager
    def _started(self, suite: Suite, route: str, name: str) -> Iterator[tuple[Target, Path]]:
        place = self.folder / suite.name / name
        place.mkdir(parents=True)
        installation = Installation(Path(SERVER.read_text().strip()))
        with started_route(
            route, installation, place, self.proxy_arguments, self.settings
        ) as ports:
            _make_database(Target(ports.server), suite.setup)
            yield Target(ports.port), place

    def _sources(self, suite: Suite) -> Path:
        return self.sources / suite.name


def _make_identity(folder: Path) -> Identity:
    """A certificate for the server and for the proxy: channel binding passes then."""
    identity = make_authority(folder).vouch_for("server")
    give_to(find_server_account(), identity.key)
    return identity


def _make_database(target: Target, setup: Sequence[str]) -> None:
    steps = (("postgres", (f"CREATE DATABASE {DATABASE}",)), (DATABASE, setup))
    for database, statements in steps:
        dsn = replace(target, database=database).dsn
        with psycopg.connect(dsn, autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement.encode())


def main() -> int:
    """Run everything that was asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names, routes = [suite.name for suite in SUITES], (THROUGH, SOCKET)
    parser.add_argument("--sources", type=Path, required=True, help="a folder, see above")
    parser.add_argument("--only", nargs="+", choices=names, default=names, help="suites to run")
    parser.add_argument("--routes", nargs="+", choices=routes, default=routes[:1])
    parser.add_argument("--repeats", type=int, default=5, help="of tests that differ, each way")
    parser.add_argument("--proxy-arguments", default="--workers 2", help="of `sqlml proxy`")
    parser.add_argument("--tls", action="store_true", help="for the server, and on both sides")
    parser.add_argument("--results", type=Path, help="a new folder for what the suites wrote")
    options = parser.parse_args()
    if options.results:
        options.results.mkdir(parents=True)
    # A server must not outlive us.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    different: list[Difference] = []
    with temporary_data_dir() as folder:
        settings, arguments = SETTINGS, tuple(shlex.split(options.proxy_arguments))
        if options.tls:
            identity = _make_identity(folder)
            settings += ("ssl=on", f"ssl_cert_file={identity.certificate}")
            settings += (f"ssl_key_file={identity.key}",)
            arguments += ("--tls-cert", str(identity.certificate), "--tls-key", str(identity.key))
            arguments += ("--upstream-tls", "require")
        sources = options.sources.absolute()
        runner = Runner(sources, folder, settings, arguments, options.repeats)
        for suite in SUITES:
            if suite.name not in options.only or not (sources / suite.name).is_dir():
                continue
            suite.prepare(sources / suite.name)
            different += runner.compare(suite, options.routes)
            if options.results:
                shutil.copytree(folder / suite.name, options.results / suite.name)
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
