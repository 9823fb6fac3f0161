"""
The tests of pgjdbc, with JUnit.
"""

import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from scripts.driver_suites.outcomes import Outcomes, parse_junit, worse
from scripts.driver_suites.suite import Target, is_made, run_logged, set_made

PLACE = ".environment"
JARS = Path("/usr/share/java")
LIBRARIES = (
    *("postgresql", "hamcrest", "junit4", "junit-jupiter-api", "junit-jupiter-engine"),
    *("junit-jupiter-params", "junit-platform-commons", "junit-platform-console"),
    *("junit-platform-engine", "junit-platform-launcher", "junit-platform-reporting"),
    *("junit-vintage-engine", "opentest4j", "opentest4j-reporting-events"),
    *("opentest4j-reporting-schema", "apiguardian-api", "picocli", "checker-qual"),
)
ROLE = "test"
# All but the superuser show a password over TCP, in whichever way theirs is kept.
PASSWORDS = """
DO $$ BEGIN
    EXECUTE format(
        'COPY (VALUES (''local all postgres trust''), (''local all,replication all md5''),
                      (''host all,replication postgres all trust''),
                      (''host all,replication all all md5'')) TO %L',
        current_setting('hba_file'));
    PERFORM pg_reload_conf();
END $$
"""


@dataclass(frozen=True, slots=True)
class JdbcSuite:
    """The tests, compiled from the sources, with the installed driver."""

    name: str = "pgjdbc"
    version: str = "42.5.5"
    setup: tuple[str, ...] = (
        f"CREATE ROLE {ROLE} LOGIN REPLICATION PASSWORD '{ROLE}'",
        f"ALTER DATABASE test OWNER TO {ROLE}",
        f"ALTER SCHEMA public OWNER TO {ROLE}",
        "CREATE EXTENSION hstore",
        PASSWORDS,
    )

    def prepare(self, sources: Path) -> None:
        """Compile the tests, without those that need libraries which Debian does not have."""
        place = sources / PLACE
        if is_made(place, self.version):
            return
        tests = sources / "pgjdbc" / "src" / "test"
        shutil.copytree(tests / "resources", place / "classes")
        files = {str(path) for path in tests.glob("java/**/*.java")}
        while unusable := _compile(sorted(files), place):
            files -= unusable
        set_made(place, self.version)

    def run(self, sources: Path, target: Target, folder: Path, tests: Sequence[str]) -> Outcomes:
        """Run JUnit; of the tests named their whole classes."""
        folder.mkdir()
        classes = sources / PLACE / "classes"
        chosen = sorted({name.partition("::")[0] for name in tests})
        properties = {
            "server": target.host,
            "port": str(target.port),
            "database": target.database,
            "username": ROLE,
            "password": ROLE,
            "privilegedUser": target.user,
            "privilegedPassword": "",
            "build.properties.relative.path": f"{sources}/",
        }
        command: list[str | Path] = [
            *("java", "-Xmx1g", "-Duser.timezone=UTC", "-cp", f"{_class_path()}:{classes}"),
            *(f"-D{name}={text}" for name, text in properties.items()),
            *("org.junit.platform.console.ConsoleLauncher", "--details=none"),
            f"--reports-dir={folder}",
            *([f"--select-class={name}" for name in chosen] or [f"--scan-class-path={classes}"]),
            *("--include-classname=.*",),
        ]
        run_logged(command, sources / "pgjdbc", target.environment, folder / "output.log")
        outcomes: Outcomes = {}
        for report in folder.glob("TEST-*.xml"):
            for name, outcome in parse_junit(report).items():
                outcomes[name] = worse(outcomes.get(name, outcome), outcome)
        return outcomes


def _class_path() -> str:
    return ":".join(str(JARS / f"{name}.jar") for name in LIBRARIES)


def _compile(files: list[str], place: Path) -> set[str]:
    """Compile files; those that do not compile, of which there are none if all is well."""
    (place / "files").write_text("\n".join(files))
    options = ["-proc:none", "-nowarn", "-encoding", "UTF-8", "-Xmaxerrs", "10000"]
    done = subprocess.run(
        ["javac", *options, "-cp", _class_path(), "-d", place / "classes", f"@{place / 'files'}"],
        capture_output=True,
        text=True,
        check=False,
    )
    unusable = set(re.findall(r"(?m)^(\S+\.java):\d+: error:", done.stderr))
    if done.returncode != 0 and not unusable:
        raise RuntimeError(f"javac failed: {done.stderr[-2000:]}")
    return unusable
