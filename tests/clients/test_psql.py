"""
psql: scripts and their output, Ctrl-C, \\gdesc, ON_ERROR_ROLLBACK.
"""

import os
import re
import signal
import subprocess

import pytest

from tests.clients import training

pytestmark = pytest.mark.usefixtures("flowers")

ENVIRONMENT = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"}


@pytest.fixture
def psql(proxy_dsn):
    """Run psql as a user does; give its exit code and what it printed."""

    def run(script, *arguments):
        done = subprocess.run(
            ["psql", "-X", *arguments, proxy_dsn],
            input=script,
            capture_output=True,
            text=True,
            timeout=60,
            env=ENVIRONMENT,
            check=False,
        )
        return done.returncode, done.stdout, done.stderr

    return run


def test_create_predict_show_drop(psql):
    code, output, errors = psql(
        f"""
        CREATE MODEL Psql_Made PREDICT kind FROM (SELECT * FROM flowers -- trailing
        ) WITH ({training.QUICK});
        SELECT count(*) FILTER (WHERE predict_PSQL_made(f) = kind) > 180 AS good FROM flowers f;
        SELECT kind, predict('psql_made', f) FROM flowers f ORDER BY 2 DESC LIMIT 1;
        SHOW MODELS;
        SHOW MODEL psql_made;
        DESCRIBE MODEL psql_made;
        DROP MODEL psql_made;
        """,
        "-v",
        "ON_ERROR_STOP=1",
    )
    assert code == 0, errors
    tags = [line for line in output.splitlines() if line.endswith(" MODEL")]
    assert tags == ["CREATE MODEL", "DROP MODEL"]
    assert re.search(r"good *\n-+\n t\n", output)
    assert f"NOTICE:  {training.PROGRESS}" in errors
    assert "CONTEXT" not in errors
    assert "psql_made" in output
    assert "petals" in output


def test_names(psql):
    _, output, errors = psql(
        f'''
        CREATE TABLE IF NOT EXISTS "Ünï Tab" AS
          SELECT width AS "a b", width AS a_b, petals AS "x:y", kind AS "Kind, ""q""" FROM flowers;
        CREATE MODEL "Mein Modell" PREDICT "Kind, ""q""" FROM "Ünï Tab" WITH ({training.QUICK});
        SELECT 'first', count("predict_Mein Modell"(t)) FROM "Ünï Tab" t;
        SELECT 'second', count(sqlml.predict('Mein Modell', t)) FROM "Ünï Tab" t;
        SELECT 'third', count(sqlml.predict('public."Mein Modell"', t)) FROM "Ünï Tab" t;
        DROP MODEL "Mein Modell";
        ''',
        "-At",
    )
    assert "ERROR" not in errors, errors
    assert [line for line in output.splitlines() if "|" in line] == [
        "first|200",
        "second|200",
        "third|200",
    ]


def test_interrupt_after_the_first_notice(proxy_dsn, oracle):
    """A notice is there while the training still runs, and Ctrl-C ends it."""
    statement = training.create("psql_endless", training.ENDLESS)
    with subprocess.Popen(
        ["psql", "-X", "-c", statement, proxy_dsn],
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
    ) as psql:
        seen = []
        for line in psql.stderr:
            if training.PROGRESS in line:
                psql.send_signal(signal.SIGINT)
            seen.append(line.rstrip())
    assert psql.returncode == 1
    assert f"NOTICE:  {training.PROGRESS}" in seen
    assert seen[-2:] == [
        "ERROR:  canceling statement due to user request",
        f"DETAIL:  {training.ABORTED.format('psql_endless')}",
    ]
    oracle.check_cancelled("psql_endless")


@pytest.mark.parametrize("before", ["", "SELECT 1 \\;\n"], ids=["alone", "behind another"])
def test_a_syntax_error_is_shown_under_its_token(psql, before):
    code, output, errors = psql(f"{before}{training.MISSPELT};\nSELECT 'after';\n")
    assert code == 0
    title, line, caret, hint = errors.splitlines()
    assert title == 'ERROR:  syntax error at or near "FORM"'
    assert line[caret.index("^") :].startswith("FORM")
    assert hint == f"HINT:  {training.HINT}"
    assert "after" in output


def test_an_error_of_the_training_has_no_context(psql):
    _, _, errors = psql("CREATE MODEL m PREDICT kint FROM flowers;")
    assert errors.splitlines() == [
        'ERROR:  column "kint" does not exist in the training rows',
        'HINT:  Did you mean "kind"?',
    ]


def test_describing_runs_nothing(psql, oracle):
    _, output, _ = psql(f"SHOW MODELS \\gdesc\n{training.create('psql_described')} \\gdesc\n")
    assert re.search(r"model +\| (name|text)", output)
    assert "has no result" in output
    oracle.check_rolled_back("psql_described")


@pytest.mark.parametrize("script", ["BEGIN;\n{};\nROLLBACK;\n", "BEGIN \\; {} \\; ROLLBACK;\n"])
def test_roll_back(psql, oracle, script):
    _, output, errors = psql(script.format(training.create("psql_rolled_back")))
    assert errors.splitlines()[0] == "NOTICE:  " + training.STARTS_LATER.format("psql_rolled_back")
    assert output.splitlines()[-1] == "ROLLBACK"
    oracle.check_rolled_back("psql_rolled_back")


def test_going_on_after_an_error(psql, oracle):
    statement = training.create("psql_savepoint")
    _, output, errors = psql(
        "\\set ON_ERROR_ROLLBACK on\n"
        f"BEGIN;\n{statement};\n{training.MISSPELT};\nSHOW MODEL psql_savepoint;\nROLLBACK;\n"
    )
    assert re.search(r"model +\| psql_savepoint", output)
    assert errors.count("ERROR") == 1
    oracle.check_rolled_back("psql_savepoint")


def test_the_function_of_a_model_is_listed(psql, flower):
    _, output, _ = psql("\\df predict_flower\n")
    assert re.search(r"public \| predict_flower +\| text", output)
    assert psql(training.count_right(flower), "-At")[1] == "200\n"
