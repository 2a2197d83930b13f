import logging
import os
import shutil
import signal
import socket
import tempfile
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pydantic import SecretStr
from sqlalchemy import insert, literal, select, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.exc import DBAPIError

from meta_pipeline.canonical import ABSENT, JsonValue, Level, canonical_json
from meta_pipeline.errors import DatabaseUnavailable, InputError, SchemaMismatch
from meta_pipeline.settings import Settings
from meta_pipeline.store import migrations, schema
from meta_pipeline.store.database import Database, engine_of, open_database, open_unchecked
from meta_pipeline.store.queries import query
from meta_pipeline.store.url import Address, parse_address

MARK = "Zq9"

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc.é", max_size=3), inner, max_size=3),
    max_leaves=8,
)


def settings(url: str | None, home: Path = Path("unused")) -> Settings:
    secret = None if url is None else SecretStr(url)
    return Settings(home=home, database_url=secret, _env_file=None)  # type: ignore[call-arg]


@pytest.fixture
def real_url(real_server: Address) -> Iterator[str]:
    """The URL of a fresh, empty database on the server with a password."""
    with psycopg.connect(real_server.conninfo(), autocommit=True) as connection:
        connection.execute("CREATE DATABASE loop")
        yield real_server.url().set(database="loop").render_as_string(hide_password=False)
        connection.execute("DROP DATABASE loop WITH (FORCE)")


@pytest.fixture
def home() -> Iterator[Path]:
    """Not pytest's own folder: the next session closes that to the account the server runs under as root."""
    folder = Path(tempfile.mkdtemp(prefix="meta-pipeline-tests-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def test_sessions_speak_utc_have_patience_with_an_end_and_say_who_they_are(database: Database) -> None:
    names = ["timezone", "statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout", "application_name"]
    with database.connect() as connection:
        found = [connection.execute(text(f"SHOW {name}")).scalar() for name in names]
    assert found == ["UTC", "10min", "30s", "10min", "meta-pipeline"]


def test_a_transaction_is_wholly_there_or_wholly_not(database: Database) -> None:
    row = {"strategy_id": "s", "created_by": "a test"}
    with pytest.raises(DBAPIError, match="division by zero"), database.begin() as connection:  # noqa: PT012
        connection.execute(insert(schema.strategies), row)
        connection.execute(text("SELECT 1 / 0"))
    with database.begin() as connection:
        connection.execute(insert(schema.strategies), row)
    with database.connect() as connection:
        assert connection.execute(select(schema.strategies.c.strategy_id)).scalars().all() == ["s"]


def test_a_connection_for_reading_cannot_write_and_the_next_transaction_can(database: Database) -> None:
    row = {"strategy_id": "s", "created_by": "a test"}
    with database.connect() as connection, pytest.raises(DBAPIError, match="read-only transaction"):
        connection.execute(insert(schema.strategies), row)
    with database.begin() as connection:
        connection.execute(insert(schema.strategies), row)


@hypothesis_settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=json_values)
def test_json_comes_back_as_it_went_with_ints_floats_and_null_kept_apart(database: Database, value: JsonValue) -> None:
    config: dict[str, JsonValue] = {"value": value}
    with database.connect() as connection:
        back = connection.execute(select(literal(config, JSONB))).scalar_one()
    assert canonical_json(back) == canonical_json(config)


@pytest.mark.parametrize(
    "level", [ABSENT, None, True, 1, 1.0, 0.1, 1e300, 1e-300, -0.0, "", "null", [1, 1.0], {"a": None}]
)
def test_a_level_comes_back_as_it_went_with_absent_and_null_kept_apart(database: Database, level: Level) -> None:
    row = {"candidate_id": "c" * 64, "strategy_id": "s", "evidence_digest": "e" * 64, "knob_path": "k", "grade": "A"}
    table = schema.candidates
    with database.begin() as connection:
        connection.execute(insert(schema.strategies), {"strategy_id": "s", "created_by": "a test"})
        connection.execute(insert(table), {**row, "body": {"x": 1.0, "y": 1}, "from_value": level, "to_value": 1})
        found = connection.execute(select(table)).one()
        in_sql = connection.execute(text("SELECT from_value IS NULL FROM candidates")).scalar_one()
    assert repr(found.from_value) == repr(0.0 if level == 0 and isinstance(level, float) else level)
    assert in_sql == (level is ABSENT)
    assert repr(found.body) == "{'x': 1.0, 'y': 1}"


@pytest.mark.parametrize("poison", [float("nan"), float("inf"), "\x00", object()])
def test_what_is_no_json_is_refused_before_it_reaches_the_database(database: Database, poison: object) -> None:
    row = {"report_id": "r" * 64, "strategy_id": "s", "evidence_digest": "e" * 64, "body": {"x": poison}}
    with database.begin() as connection:
        connection.execute(insert(schema.strategies), {"strategy_id": "s", "created_by": "a test"})
        with pytest.raises(Exception, match=r"\$\.x"):
            connection.execute(insert(schema.diagnostics_reports), row)


def test_times_come_back_in_utc(database: Database) -> None:
    with database.connect() as connection:
        found = connection.execute(text("SELECT timestamptz '2026-11-20 12:00:00+05'")).scalar_one()
    assert found == datetime(2026, 11, 20, 7, tzinfo=UTC)
    assert found.utcoffset().total_seconds() == 0


def test_a_real_server_is_refused_until_it_is_migrated_and_never_migrated_silently(real_url: str) -> None:
    for _ in range(2):
        with pytest.raises(SchemaMismatch, match="run: meta-pipeline db migrate"):
            open_database(settings(real_url))
    with open_unchecked(settings(real_url)) as database:
        migrations.migrate(database.engine)
    with open_database(settings(real_url)) as database, database.connect() as connection:
        assert connection.execute(select(schema.strategies)).all() == []
        assert not database.is_embedded


def test_the_embedded_database_is_migrated_when_it_is_opened(home: Path) -> None:
    with open_database(settings(None, home)) as database, database.connect() as connection:
        migrations.require_current(connection)
        assert database.is_embedded


@hypothesis_settings(max_examples=20, deadline=None)
@given(password=st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=12))
def test_any_password_opens_the_door(real_server: Address, password: str) -> None:
    password = f"{MARK}{password}{MARK}"
    with psycopg.connect(real_server.conninfo(), autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS visitor")
        role = psycopg.sql.SQL("CREATE ROLE visitor LOGIN PASSWORD {}").format(psycopg.sql.Literal(password))
        connection.execute(role)
    port = real_server.options["port"]
    for scheme in ("postgres", "postgresql+psycopg2", "postgresql+asyncpg"):
        url = f"{scheme}://visitor:{quote(password, safe='')}@127.0.0.1:{port}/postgres?sslmode=prefer"
        with open_unchecked(settings(url)) as database, database.connect() as connection:
            assert connection.execute(text("SELECT current_user")).scalar() == "visitor"


@hypothesis_settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(password=st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=12))
def test_no_password_is_shown_by_a_refusal_a_log_a_repr_or_a_traceback(
    real_server: Address, caplog: pytest.LogCaptureFixture, password: str
) -> None:
    caplog.set_level(logging.DEBUG)
    encoded = quote(f"{MARK}{password}{MARK}", safe="")
    port = real_server.options["port"]
    refused = f"postgres://nobody:{encoded}@127.0.0.1:1/loop"
    for url, said in [
        (f"postgres://postgres:{encoded}@127.0.0.1:{port}/loop", "password authentication failed"),
        (refused, "refused"),
        (f"postgres://nobody:{encoded}@no-such-host.invalid/loop", "cannot connect to postgresql://nobody:***@no-such"),
        (f"postgres://nobody:{encoded}@127.0.0.1:1/loop?sslmode=nonsense", "sslmode"),
    ]:
        with pytest.raises(DatabaseUnavailable) as refusal:
            open_database(settings(url))
        told = "".join(traceback.format_exception(refusal.value))
        assert said in told
        assert "META_PIPELINE_DATABASE_URL" in told
        assert MARK not in told
    address = parse_address(refused)
    database = Database(engine=engine_of(address), address=address)
    with pytest.raises(DatabaseUnavailable) as refusal, database.connect():
        pass
    shown = f"{database!r} {database.url} {database.engine!r} {database.address!r} {settings(refused)!r}"
    assert MARK not in "".join(traceback.format_exception(refusal.value)) + shown + caplog.text


@contextmanager
def pretending(version: str) -> Iterator[int]:
    """A server that speaks just enough of PostgreSQL's protocol to say its version; yields its port."""

    def message(kind: bytes, body: bytes) -> bytes:
        return kind + (len(body) + 4).to_bytes(4, "big") + body

    def serve() -> None:
        while True:
            try:
                client, _ = listening.accept()
            except OSError:
                return
            with client:
                while client.recv(4096)[4:8] in {b"\x04\xd2\x16\x2f", b"\x04\xd2\x16\x30"}:
                    client.sendall(b"N")  # neither TLS nor GSSAPI
                status = message(b"S", f"server_version\0{version}\0".encode())
                encoding = message(b"S", b"client_encoding\0UTF8\0")
                client.sendall(message(b"R", bytes(4)) + status + encoding + message(b"Z", b"I"))
                client.recv(4096)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=serve, daemon=True).start()
        yield listening.getsockname()[1]


def test_a_server_older_than_14_is_refused_by_name_and_with_the_way_out() -> None:
    with pretending("13.22") as port, pytest.raises(DatabaseUnavailable) as refusal:
        open_database(settings(f"postgres://ann:{MARK}@127.0.0.1:{port}/loop"))
    assert f"postgresql://ann:***@127.0.0.1:{port}/loop is PostgreSQL 13, and" in str(refusal.value)
    assert "needs 14 or newer; upgrade the server, or unset META_PIPELINE_DATABASE_URL" in str(refusal.value)


def test_another_kind_of_database_is_refused() -> None:
    with pytest.raises(InputError, match="names a 'mysql' database"):
        open_database(settings("mysql://root@localhost/loop"))


def test_a_connection_that_was_cut_is_replaced_before_anybody_notices(database: Database) -> None:
    with database.connect() as connection:
        first = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
    os.kill(first, signal.SIGTERM)
    time.sleep(0.2)
    with database.connect() as connection:
        assert connection.execute(text("SELECT pg_backend_pid()")).scalar_one() != first


def test_a_query_that_is_not_there_is_refused_with_those_that_are() -> None:
    with pytest.raises(KeyError, match=r"no query 'nonsense' .*schema_catalog"):
        query("nonsense")
