"""
The usual clients, each with its own protocol habits: psql, psycopg 3, JDBC.
"""

import os
import shutil
import subprocess
from contextlib import closing
from pathlib import Path
from urllib.parse import quote, urlencode

import pandas as pd
import psycopg
import pytest
import sqlalchemy
import sqlglot
from psycopg.conninfo import conninfo_to_dict

FLOWERS = """
DROP TABLE IF EXISTS flowers;
CREATE TABLE flowers AS
SELECT g % 40 / 10.0::float8 AS width, g % 7 AS petals,
       CASE WHEN g % 40 < 20 THEN 'rose' ELSE 'Tür kis "x"' END AS kind
  FROM generate_series(1, 200) AS g
"""
JDBC_DRIVER = Path("/usr/share/java/postgresql.jar")
QUICK = "WITH (trials = 1, time_limit = '20 s')"


@pytest.fixture(scope="module", autouse=True)
def flowers(proxy_dsn):
    """A small table that is easy to learn."""
    with closing(psycopg.connect(proxy_dsn, autocommit=True)) as connection:
        connection.execute(FLOWERS)


def psql(dsn, script, *arguments):
    """Run psql as a user does; give its exit code and what it printed."""
    done = subprocess.run(
        ["psql", "-X", *arguments, dsn],
        input=script,
        capture_output=True,
        text=True,
        timeout=60,
        env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"},
    )
    return done.returncode, done.stdout, done.stderr


def test_psql(proxy_dsn):
    code, output, errors = psql(
        proxy_dsn,
        f"""
        CREATE MODEL psql_made PREDICT kind FROM flowers {QUICK};
        SELECT count(*) FILTER (WHERE predict_psql_made(f) = kind) > 180 AS good FROM flowers f;
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
    assert "CREATE MODEL" in output
    assert "DROP MODEL" in output
    assert "NOTICE:  read 200 rows with 2 columns" in errors
    assert "CONTEXT" not in errors
    assert "psql_made" in output
    assert "petals" in output


def test_psql_shows_a_syntax_error_under_its_token(proxy_dsn):
    code, _, errors = psql(proxy_dsn, "CREATE MODEL m PREDICT kind FORM flowers;\nSELECT 1;\n")
    assert code == 0
    lines = errors.splitlines()
    assert lines[0] == 'ERROR:  syntax error at or near "FORM"'
    caret = next(line for line in lines if line.strip() == "^")
    shown = next(line for line in lines if line.startswith("LINE 1:"))
    assert shown[caret.index("^") :].startswith("FORM")
    assert any(line.startswith("HINT:") for line in lines)


def test_psql_error_has_no_context(proxy_dsn):
    _, _, errors = psql(proxy_dsn, "CREATE MODEL m PREDICT kint FROM flowers;")
    assert errors.splitlines() == [
        'ERROR:  column "kint" does not exist in the training rows',
        'HINT:  Did you mean "kind"?',
    ]


def test_psql_names(proxy_dsn):
    _, output, errors = psql(
        proxy_dsn,
        f'''
        CREATE TABLE IF NOT EXISTS "Ünï Tab" AS
          SELECT width AS "a b", width AS a_b, petals AS "x:y", kind AS "Kind, ""q""" FROM flowers;
        CREATE MODEL "Mein Modell" PREDICT "Kind, ""q""" FROM "Ünï Tab" {QUICK};
        SELECT 'first', count("predict_Mein Modell"(t)) FROM "Ünï Tab" t;
        SELECT 'second', count(sqlml.predict('Mein Modell', t)) FROM "Ünï Tab" t;
        SELECT 'third', count(sqlml.predict('public."Mein Modell"', t)) FROM "Ünï Tab" t;
        CREATE MODEL MixedCase PREDICT kind FROM (SELECT * FROM flowers -- trailing
        ) {QUICK};
        SELECT 'fourth', count(predict_MIXEDcase(f)) FROM flowers f;
        DROP MODEL "Mein Modell";
        DROP MODEL mixedcase;
        ''',
        "-At",
    )
    assert "ERROR" not in errors, errors
    for word in ("first", "second", "third", "fourth"):
        assert f"{word}|200" in output


def test_psycopg_autocommit(proxy_dsn):
    with closing(psycopg.connect(proxy_dsn, autocommit=True)) as connection:
        statement = f"CREATE OR REPLACE MODEL pg3 PREDICT kind FROM flowers {QUICK}"
        cursor = connection.execute(statement)
        assert cursor.statusmessage == "CREATE MODEL"
        assert cursor.description is None
        cursor = connection.execute("SELECT predict_pg3(f) FROM flowers f WHERE width > %s", [1.5])
        assert {row[0] for row in cursor} <= {"rose", 'Tür kis "x"'}
        assert "pg3" in {row[1] for row in connection.execute("SHOW MODELS")}
        connection.execute("DROP MODEL pg3")


def test_psycopg_prepared(proxy_dsn):
    with closing(psycopg.connect(proxy_dsn, autocommit=True)) as connection:
        statement = f"CREATE OR REPLACE MODEL pg3p PREDICT kind FROM flowers {QUICK}"
        for _ in range(2):
            cursor = connection.execute(statement, prepare=True)
            assert cursor.statusmessage == "CREATE MODEL"
        versions = connection.execute(
            "SELECT version FROM sqlml.models WHERE model = 'pg3p'"
        ).fetchall()
        assert versions == [(2,)]
        connection.execute("DROP MODEL pg3p", prepare=True)


def test_psycopg_transaction_by_default(proxy_dsn):
    notices = []
    with psycopg.connect(proxy_dsn) as connection:
        connection.add_notice_handler(lambda notice: notices.append(notice.message_primary))
        connection.execute(f"CREATE OR REPLACE MODEL pg3t PREDICT kind FROM flowers {QUICK}")
        connection.commit()
        connection.autocommit = True
        connection.execute("CALL sqlml.wait('pg3t')")
        count = connection.execute("SELECT count(predict_pg3t(f)) FROM flowers f").fetchone()
        connection.execute("DROP MODEL pg3t")
    assert count == (200,)
    assert notices[0] == 'training of model "pg3t" starts when this transaction commits'


def test_jdbc(proxy_dsn):
    java = shutil.which("java")
    if java is None or not JDBC_DRIVER.exists():
        pytest.skip("needs a JDK and the PostgreSQL JDBC driver")
    parts = conninfo_to_dict(proxy_dsn)
    login = urlencode({"user": parts["user"], "password": parts["password"]}, quote_via=quote)
    url = f"jdbc:postgresql://{parts['host']}:{parts['port']}/{parts['dbname']}?{login}"
    source = Path(__file__).with_name("CreateModel.java")
    done = subprocess.run(
        [java, "-cp", str(JDBC_DRIVER), str(source), url],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "update count 0",
        "has notices true",
        "jdbc_on rows 1995 mostly right true",
        "jdbc_off rows 1995 mostly right true",
        "error 42710",
        "error 42601",
        "models 2",
        "dropped 0",
        "dropped 0",
    ]


def test_sqlalchemy_and_pandas(proxy_dsn):
    url = sqlalchemy.make_url(proxy_dsn).set(drivername="postgresql+psycopg")
    engine = sqlalchemy.create_engine(url)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(
            sqlalchemy.text(f"CREATE OR REPLACE MODEL alchemy PREDICT kind FROM flowers {QUICK}")
        )
        flowers_table = sqlalchemy.Table("flowers", sqlalchemy.MetaData(), autoload_with=engine)
        predicted = sqlalchemy.func.predict_alchemy(sqlalchemy.literal_column("flowers"))
        rows = connection.execute(sqlalchemy.select(flowers_table.c.kind, predicted)).all()
        frame = pd.read_sql(
            "SELECT kind, predict_alchemy(f) AS prediction FROM flowers f", connection
        )
        connection.execute(sqlalchemy.text("DROP MODEL alchemy"))
    engine.dispose()
    assert len(rows) == 200
    assert sum(kind == prediction for kind, prediction in rows) > 180
    assert (frame.kind == frame.prediction).sum() > 180


def test_qualified_calls_survive_tools_that_rewrite_sql(proxy_dsn):
    statement = "SELECT sqlml.predict('tooled', f), predict_tooled(f) FROM flowers AS f"
    rewritten = sqlglot.transpile(statement, read="postgres", write="postgres")[0]
    with closing(psycopg.connect(proxy_dsn, autocommit=True)) as connection:
        connection.execute(f"CREATE OR REPLACE MODEL tooled PREDICT kind FROM flowers {QUICK}")
        direct = connection.execute(statement).fetchall()
        assert connection.execute(rewritten).fetchall() == direct
        connection.execute("DROP MODEL tooled")
