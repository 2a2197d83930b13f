"""Policies, published for executors that do not read the database: to Redis, and to a file.

Publishing comes after the policy is stored, and can fail without undoing it: then the database alone has it, and
health says so. A slower process never puts an older version over a newer one.
"""

import json
import os
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from sqlalchemy import Connection, select
from sqlalchemy.dialects.postgresql import insert as upsert

from meta_pipeline.canonical import JsonValue, canonical_json
from meta_pipeline.settings import Settings
from meta_pipeline.store.database import Database
from meta_pipeline.store.file_lock import FileLock
from meta_pipeline.store.live_books import LIVE
from meta_pipeline.store.policies import PolicyRecord
from meta_pipeline.store.schema_policy import policy_publications

if TYPE_CHECKING:
    from redis import Redis

TTL_SECONDS: Final = 3600
"""The documented time to live of the keys in Redis; never beyond the policy's own end."""

REDIS_SECONDS: Final = 2.0
FILE_SECONDS: Final = 5.0
_ATTEMPTS: Final = 5


@dataclass(frozen=True, kw_only=True)
class Publication:
    """How publishing to one place went last; `error` is None if it went well."""

    sink: str
    version: int
    attempted_at: datetime
    error: str | None

    def to_json(self) -> dict[str, JsonValue]:
        """Return the publication as a JSON object."""
        return {
            "sink": self.sink,
            "version": self.version,
            "attempted_at": self.attempted_at.isoformat(),
            "error": self.error,
        }


def publish(database: Database, record: PolicyRecord, settings: Settings, *, now: datetime) -> list[Publication]:
    """Publish a policy wherever the settings say, and note how it went. Raises nothing for a place that fails."""
    sinks: dict[str, Callable[[], None]] = {"file": lambda: publish_to_file(file_of(settings, record.scope), record)}
    if settings.redis_url is not None:
        url = settings.redis_url.get_secret_value()
        sinks["redis"] = lambda: publish_to_redis(url, record, now=now)
    made = [
        Publication(sink=sink, version=record.version, attempted_at=now, error=_tried(work))
        for sink, work in sinks.items()
    ]
    with database.begin() as connection:
        for one in made:
            values = {"version": one.version, "attempted_at": one.attempted_at, "error": one.error}
            statement = upsert(policy_publications).values(scope=record.scope, sink=one.sink, **values)
            connection.execute(statement.on_conflict_do_update(index_elements=["scope", "sink"], set_=values))
    return made


def publications(connection: Connection, scope: str) -> list[Publication]:
    """Return how publishing went last, by place."""
    columns = policy_publications.c
    rows = connection.execute(select(policy_publications).where(columns.scope == scope).order_by(columns.sink))
    return [
        Publication(sink=row.sink, version=row.version, attempted_at=row.attempted_at, error=row.error) for row in rows
    ]


def file_of(settings: Settings, scope: str) -> Path:
    """Return the file that a book's policy is written to."""
    folder = settings.home / "policy" if settings.policy_folder is None else settings.policy_folder
    return folder / f"{quote(scope, safe='')}.json"


def publish_to_file(path: Path, record: PolicyRecord) -> None:
    """Replace the file at once, unless it holds a newer version of the same epoch."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(_locked(path.with_suffix(".lock"))):
        if path.exists() and _is_newer(_parsed(path.read_text(encoding="utf-8")), record):
            return
        beside = path.with_suffix(f".{os.getpid()}.new")
        with beside.open("w", encoding="utf-8") as file:
            file.write(record.document)
        # Not forced to the disk: what a power cut tears no executor believes, and the database has it.
        beside.replace(path)


def _locked(path: Path) -> FileLock:
    lock = FileLock(path)
    deadline = time.monotonic() + FILE_SECONDS
    while not lock.try_acquire():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{path} has been held by another process for {FILE_SECONDS:g} s")
        time.sleep(0.001)
    return lock


def keys_of(scope: str) -> dict[str, str]:
    """Return the names of a book's keys in Redis: the documented ones for the book "live", with its name for others."""
    prefix = "msc_ai" if scope == LIVE else f"msc_ai:{quote(scope, safe='')}"
    names = ("current_policy", "risk_mode", "max_risk_per_trade", "max_positions", "min_confidence")
    return {name: f"{prefix}:{name}" for name in (*names, "allowed_strategies", "document")}


def publish_to_redis(url: str, record: PolicyRecord, *, now: datetime) -> None:
    """Write all keys in one transaction, unless Redis holds a newer version of the same epoch.

    Raises
    ------
    redis.RedisError
        If Redis cannot be reached, or others keep writing.
    """
    import redis

    client = redis.Redis.from_url(url, socket_timeout=REDIS_SECONDS, socket_connect_timeout=REDIS_SECONDS)
    with closing(client):
        for _ in range(_ATTEMPTS):
            try:
                _write_keys(client, record, now)
            except redis.WatchError:
                continue
            return
        raise redis.RedisError("other processes kept writing the policy")


def _write_keys(client: "Redis", record: PolicyRecord, now: datetime) -> None:
    keys = keys_of(record.scope)
    seconds = min(TTL_SECONDS, int((record.expires_at - now).total_seconds()))
    with client.pipeline(transaction=True) as pipe:
        pipe.watch(keys["document"])  # type: ignore[no-untyped-call]
        if _is_newer(_parsed(pipe.get(keys["document"])), record):
            return
        pipe.multi()
        if seconds < 1:
            pipe.delete(*keys.values())
        else:
            documented = predecessor_policy(record)
            for name in ("risk_mode", "max_risk_per_trade", "max_positions"):
                pipe.set(keys[name], str(documented[name]), ex=seconds)
            pipe.set(keys["min_confidence"], str(documented["global_min_confidence"]), ex=seconds)
            pipe.set(keys["current_policy"], canonical_json(documented), ex=seconds)
            pipe.set(keys["document"], record.document, ex=seconds)
            pipe.delete(keys["allowed_strategies"])
            if record.allowed_strategies:
                pipe.sadd(keys["allowed_strategies"], *record.allowed_strategies)
                pipe.expire(keys["allowed_strategies"], seconds)
        pipe.execute()


def predecessor_policy(record: PolicyRecord) -> dict[str, JsonValue]:
    """Return a policy in the predecessor's shape.

    Its readers take an empty list for "no filter". Where nothing is allowed they find no positions and no trades
    allowed either.
    """
    nothing = record.halted or not record.allowed_strategies
    return {
        "risk_mode": str(record.risk_mode),
        "allowed_strategies": list(record.allowed_strategies),
        "max_risk_per_trade": 0.0 if nothing else record.max_risk_per_trade,
        "global_min_confidence": record.min_confidence,
        "max_positions": 0 if nothing else record.max_positions,
        "max_daily_trades": 0 if nothing else record.max_daily_trades,
        "max_slippage_pct": record.max_slippage,
        "allowed_symbols": record.body["allowed_symbols"],
        "updated_at": record.created_at.isoformat(),
    }


def _tried(work: Callable[[], None]) -> str | None:
    try:
        work()
    except ImportError:
        return "the package redis is not installed: pip install 'meta-pipeline[policy]'"
    except Exception as error:  # wherever it was to go, the database has it
        # The text of an error of the client may quote the address, but never the password.
        return f"{type(error).__name__}: {error}"[:500]
    return None


def _parsed(text: Any) -> Mapping[str, Any]:
    try:
        value = json.loads(text) if text else {}
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _is_newer(there: Mapping[str, Any], record: PolicyRecord) -> bool:
    """Say whether what is published is as new as this, or newer; of another epoch, the later one counts."""
    if there.get("epoch") == record.epoch:
        version = there.get("version")
        return isinstance(version, int) and version >= record.version
    return str(there.get("issued_at", "")) > str(record.body["issued_at"])
