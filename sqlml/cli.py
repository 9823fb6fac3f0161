"""
The command `sqlml`.

Owns options, help and how results and errors are printed. Everything else is done by the
modules that it calls.
"""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import psycopg

from sqlml import __version__
from sqlml.config import Settings, read_settings
from sqlml.errors import SqlmlError
from sqlml.log import start_logging
from sqlml.proxy.command import ProxyCommand, add_options, read_command, read_port
from sqlml.server.assembly import StackRequest
from sqlml.server.record import StackFolder, StackRecord
from sqlml.server.status import Health, StackStatus, is_up, read_status

EXIT_CODES = {Health.UP: 0, Health.DEGRADED: 1, Health.DOWN: 3}

Command = Callable[[argparse.Namespace, Settings], int]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code."""
    settings = read_settings()
    options = make_parser(settings).parse_args(arguments)
    start_logging(settings.log_level)
    command: Command = options.command
    try:
        return command(options, settings)
    except SqlmlError as error:
        _print_error(error.message, error.detail, error.hint)
    except OSError as error:
        reason = error.strerror or str(error)
        _print_error(f"{reason}: {error.filename}" if error.filename else reason, None, None)
    except psycopg.Error as error:
        diagnostic = error.diag
        # What libpq says behind the first line are guesses, or the same of each address.
        lines = (diagnostic.message_primary or str(error)).strip().splitlines()
        _print_error(
            lines[0],
            diagnostic.message_detail,
            diagnostic.message_hint or _find_hint(error),
        )
    except KeyboardInterrupt:
        return 130
    return 1


def make_parser(settings: Settings) -> argparse.ArgumentParser:
    """The command line: one subcommand a deed."""
    parser = argparse.ArgumentParser(
        prog="sqlml", description="Machine learning inside PostgreSQL, in plain SQL."
    )
    parser.add_argument("--version", action="version", version=f"sqlml {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    up = _add_command(commands, "up", run_up, "start PostgreSQL, a worker and the proxy")
    _add_data_dir(up, settings)
    up.add_argument("--detach", action="store_true", help="return when all of it answers")
    up.add_argument("--load-samples", action="store_true", help="load tables to try sqlml on")
    up.add_argument("--port", type=read_port, metavar="N", help="port of PostgreSQL")
    up.add_argument("--proxy-port", type=read_port, metavar="N", help="port of the proxy")
    up.add_argument(
        "--postgres",
        type=int,
        metavar="VERSION",
        help="major version of PostgreSQL, such as 15, 16 or 18 (default: what is there)",
    )

    down = _add_command(commands, "down", run_down, "stop what 'sqlml up' started")
    _add_data_dir(down, settings)

    status = _add_command(
        commands, "status", run_status, "tell whether the stack answers, and where"
    )
    _add_data_dir(status, settings)
    status.add_argument("--json", action="store_true", help="for programs")

    installation = _add_command(commands, "install", run_install, "put sqlml into a database")
    _add_dsn(installation, settings, "as a role that may create roles, schemas and extensions")
    installation.epilog = "SQLML_WORKER_PASSWORD, if set, becomes the password of sqlml_worker."

    worker = _add_command(commands, "worker", run_worker, "train models for a database")
    _add_dsn(worker, settings, "as the role sqlml_worker")

    proxy = _add_command(commands, "proxy", run_proxy, "understand model statements for a server")
    add_options(proxy)

    doctor = _add_command(commands, "doctor", run_doctor, "say what is missing and how to mend it")
    _add_data_dir(doctor, settings)
    return parser


def run_up(options: argparse.Namespace, settings: Settings) -> int:
    """Start the stack, and stay with it unless asked to detach."""
    # Here because `status` and `--help` must not wait for what only this needs.
    from sqlml.samples.load import load_samples
    from sqlml.server.stack import check_running, run_stack, start_stack

    request = StackRequest(
        data_dir=options.data_dir,
        proxy_host=settings.proxy_host,
        port=options.port,
        proxy_port=options.proxy_port,
        major=options.postgres,
        load_samples=options.load_samples,
    )
    folder = StackFolder(options.data_dir.absolute())
    record = folder.read_record()
    if is_up(folder) and record is not None:
        check_running(folder, record, request)
        if options.load_samples:
            load_samples(record.dsn())
        _print_connection(record)
    elif options.detach:
        _print_connection(start_stack(request, _make_foreground_arguments(request)))
    else:
        run_stack(request, _print_connection)
    return 0


def run_down(options: argparse.Namespace, settings: Settings) -> int:
    """Stop the stack; a stack that is down already is fine."""
    from sqlml.server.stack import stop_stack

    stopped = stop_stack(options.data_dir)
    print("stopped" if stopped else f"nothing was running in {options.data_dir}")
    return 0


def run_status(options: argparse.Namespace, settings: Settings) -> int:
    """Print how the stack is: exit code 0 when up, 1 when part of it is, 3 when down."""
    status = read_status(options.data_dir)
    if options.json:
        print(json.dumps(_describe(status, options.data_dir), indent=2))
    else:
        print(f"{status.health}: {options.data_dir}")
        if status.record is not None and status.health is not Health.DOWN:
            print(f"  postgres  {status.postgres:<8}  {status.record.dsn()}")
            print(f"  proxy     {status.proxy:<8}  {status.record.proxy_dsn()}")
            print(f"  worker    {status.worker:<8}")
    return EXIT_CODES[status.health]


def run_install(options: argparse.Namespace, settings: Settings) -> int:
    """Install into a database and print what was found there."""
    from sqlml.server.install import ExtensionState, install

    report = install(_get_dsn(options), settings.worker_password)
    print(f"sqlml {__version__} is installed in database {report.database}")
    print(f"  extension sqlml (predictions in C)   {report.extension}")
    print(f"  extension sqlml_plpython             {report.plpython}")
    if ExtensionState.INSTALLED not in (report.extension, report.plpython):
        print("Without them models are evaluated as SQL, which is slow: see docs/model-sql.md.")
    if settings.worker_password is None:
        print("The worker needs a password: set SQLML_WORKER_PASSWORD and install again, or run")
        print("  ALTER ROLE sqlml_worker PASSWORD '…';")
    return 0


def run_worker(options: argparse.Namespace, settings: Settings) -> int:
    """Train models until stopped."""
    from sqlml.job import worker

    worker.run_worker(_get_dsn(options))
    return 0


def run_proxy(options: argparse.Namespace, settings: Settings) -> int:
    """Forward clients until stopped."""
    from sqlml.proxy import server
    from sqlml.statement.rewriter import StatementRewriter

    def read() -> ProxyCommand:
        return read_command(vars(options), settings.proxy_host)

    command = read()
    server.run_proxy(command.listen, command.upstream, StatementRewriter, lambda: read().settings)
    return 0


def run_doctor(options: argparse.Namespace, settings: Settings) -> int:
    """Print what was looked at; exit code 1 when something essential is missing."""
    from sqlml.server.doctor import examine

    findings = examine(options.data_dir)
    for finding in findings:
        mark = "ok  " if finding.remedy is None else "bad " if finding.is_essential else "note"
        print(f"{mark}  {finding.subject}: {finding.state}")
        if finding.remedy:
            print(f"      {finding.remedy}")
    return int(any(finding.remedy is not None and finding.is_essential for finding in findings))


def _add_command(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    command: Command,
    summary: str,
) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        name, help=summary, description=f"{summary[0].upper()}{summary[1:]}."
    )
    parser.set_defaults(command=command)
    return parser


def _add_data_dir(parser: argparse.ArgumentParser, settings: Settings) -> None:
    parser.add_argument(
        "--data-dir",
        type=_read_folder,
        metavar="DIR",
        default=settings.data_dir,
        help="folder of the stack (default: $SQLML_DATA_DIR, else %(default)s)",
    )


def _read_folder(text: str) -> Path:
    # What a shell makes of an unset variable: not the folder in which the user stands.
    if not text:
        raise argparse.ArgumentTypeError("an empty name")
    return Path(text).absolute()


def _add_dsn(parser: argparse.ArgumentParser, settings: Settings, role: str) -> None:
    parser.add_argument(
        "--dsn",
        metavar="DSN",
        default=settings.dsn,
        help=f"the database, {role} (default: $SQLML_DSN)",
    )


def _get_dsn(options: argparse.Namespace) -> str:
    if not options.dsn:
        raise SqlmlError(
            "no database given",
            hint="Use --dsn or set SQLML_DSN, such as postgresql://localhost/app.",
        )
    dsn: str = options.dsn
    return dsn


def _make_foreground_arguments(request: StackRequest) -> list[str]:
    arguments = ["up", f"--data-dir={request.data_dir.absolute()}"]
    if request.port is not None:
        arguments.append(f"--port={request.port}")
    if request.proxy_port is not None:
        arguments.append(f"--proxy-port={request.proxy_port}")
    if request.major is not None:
        arguments.append(f"--postgres={request.major}")
    if request.load_samples:
        arguments.append("--load-samples")
    return arguments


def _print_connection(record: StackRecord) -> None:
    psql = Path(record.bin_dir) / "psql"
    print("sqlml is up. Connect through the proxy:", flush=True)
    print(f"  {psql} {record.proxy_dsn()}", flush=True)


def _describe(status: StackStatus, data_dir: Path) -> dict[str, object]:
    record = status.record
    return {
        "status": status.health,
        "postgres": record.dsn() if record else None,
        "proxy": record.proxy_dsn() if record else None,
        "worker": status.worker,
        "version": __version__,
        "bin_dir": record.bin_dir if record else None,
        "data_dir": str(data_dir.absolute()),
    }


def _print_error(message: str, detail: str | None, hint: str | None) -> None:
    print(f"sqlml: {message}", file=sys.stderr)
    if detail:
        print(detail, file=sys.stderr)
    if hint:
        print(f"hint: {hint}", file=sys.stderr)


def _find_hint(error: psycopg.Error) -> str | None:
    if isinstance(error, psycopg.OperationalError):
        return "Is PostgreSQL running there, and is the password right?"
    if isinstance(error, psycopg.errors.InvalidSchemaName | psycopg.errors.UndefinedFunction):
        return "Put sqlml into this database, or its newer version, with 'sqlml install'."
    return None


if __name__ == "__main__":
    sys.exit(main())
