"""What governance costs: applying a change, and verifying an audit log of a million entries.

Run: python -m benchmarks.governance [--entries 1000000] [--applies 300]
Cheaply, in half a minute: python -m benchmarks.governance --entries 20000 --applies 100

On an embedded database of its own, in a temporary folder, with fsync on. Apply, with all its checks in one transaction,
beside what the predecessor did: three commits without any check; the two take turns, so that other work on the machine
slows both. Verification, through a cursor of the server, beside
the same walk over a list of all rows; and from the last anchor on. Memory is the growth of the process's peak (RSS).
"""

import argparse
import resource
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import select, text

from meta_pipeline.canonical import canonical_json
from meta_pipeline.proposals.checks import APPLY
from meta_pipeline.proposals.decision import Decision
from meta_pipeline.proposals.knobs import Knob
from meta_pipeline.proposals.strategy import Strategy
from meta_pipeline.settings import Settings
from meta_pipeline.store import anchors, approvers, audit, governance, strategies
from meta_pipeline.store.database import Database, open_database
from meta_pipeline.store.schema import audit_log

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
COLUMNS = ("seq", "prev_hash", "hash", "at", "actor", "actor_kind", "action", "subject_type", "subject_id", "payload")
RIVAL = """
CREATE TABLE rival_configs (strategy_id text PRIMARY KEY, config jsonb);
CREATE TABLE rival_changes (change_id text PRIMARY KEY, strategy_id text, old jsonb, new jsonb, at timestamptz);
CREATE TABLE rival_proposals (proposal_id text PRIMARY KEY, status text);
INSERT INTO rival_configs SELECT 's' || n, '{"speed": 1}' FROM generate_series(1, 2000) n;
INSERT INTO rival_proposals SELECT 'p' || n, 'APPROVED' FROM generate_series(1, 2000) n;
"""


def prepared(database: Database, settings: Settings, count: int) -> list[str]:
    """Declare strategies, and propose and approve one change of each; return the proposals."""
    knobs = tuple(Knob(path=f"knob_{n}", knob_type="float", lower=0.0, upper=100.0) for n in range(12))
    config = {f"knob_{n}": 1.0 for n in range(12)}
    with database.begin() as connection:
        approvers.add(connection, "Bob", actor="ann", now=NOW)
        for number in range(count):
            made = Strategy(strategy_id=f"s{number}", knobs=knobs, live_config=config)
            strategies.declare(connection, made, actor="ann", now=NOW)
    ids = []
    for number in range(count):
        record = governance.create(
            database,
            strategy_id=f"s{number}",
            knob="knob_3",
            proposed=2.0,
            reason="measured",
            author="ann",
            now=NOW,
            settings=settings,
        ).record
        decision = Decision(proposal_id=record.proposal_id, digest=record.body_digest, verdict="approve")
        governance.decide(
            database, [decision], approver="Bob", channel="python", channel_ref="", now=NOW, settings=settings
        )
        ids.append(record.proposal_id)
    return ids


def taken(act: Callable[[], Any]) -> tuple[float, float]:
    """Return how long an act took, and how much processor time of this process, in milliseconds."""
    begun, cpu = time.perf_counter(), time.process_time()
    act()
    return (time.perf_counter() - begun) * 1000, (time.process_time() - cpu) * 1000


def three_commits(database: Database, number: int) -> None:
    """Do what the predecessor did: configuration, log and status, each in a transaction of its own, unchecked."""
    values = {"s": f"s{number}", "p": f"p{number}", "c": f"c{number}", "now": NOW}
    with database.begin() as connection:
        connection.execute(text("UPDATE rival_configs SET config = '{\"speed\": 2}' WHERE strategy_id = :s"), values)
    with database.begin() as connection:
        connection.execute(text("INSERT INTO rival_changes VALUES (:c, :s, '1', '2', :now)"), values)
    with database.begin() as connection:
        connection.execute(text("UPDATE rival_proposals SET status = 'APPLIED' WHERE proposal_id = :p"), values)


def measure_apply(database: Database, settings: Settings, count: int) -> None:
    """Time applies, one after the other, beside the predecessor's way."""
    ids = prepared(database, settings, count)
    with database.begin() as connection:
        for statement in filter(str.strip, RIVAL.split(";")):
            connection.execute(text(statement))
    turns = []
    for number, one in enumerate(ids, start=1):
        ours = taken(lambda one=one: governance.apply(database, one, actor="dora", now=NOW, settings=settings))  # type: ignore[misc]
        turns.append((*ours, *taken(lambda number=number: three_commits(database, number))))  # type: ignore[misc]
    times = np.array(turns)
    for name, column in ((f"ours, one transaction, {len(APPLY)} checks", 0), ("rival, three commits, no check", 2)):
        p50, p99 = np.percentile(times[:, column], [50, 99])
        cpu = np.median(times[:, column + 1])
        print(f"apply, {name:34} p50 {p50:6.1f} ms   p99 {p99:6.1f} ms   CPU p50 {cpu:5.1f} ms   ({count} changes)")
    print(f"ratio of the medians: {np.median(times[:, 0]) / np.median(times[:, 2]):.1f}")


def entries(count: int, after: audit.Verified) -> Iterator[tuple[Any, ...]]:
    """Make entries that follow the log, with the hashes they must have."""
    prev_hash = after.head_hash
    for seq in range(after.entries + 1, after.entries + count + 1):
        row: dict[str, Any] = {
            "seq": seq,
            "prev_hash": prev_hash,
            "at": NOW + timedelta(milliseconds=seq),
            "actor": "Bob",
            "actor_kind": "human",
            "action": "proposal.approve",
            "subject_type": "proposal",
            "subject_id": f"prop-{seq:024x}",
            "payload": canonical_json({"body_digest": f"{seq:064x}", "reason": "measured", "channel": "gate"}),
        }
        row["hash"] = prev_hash = audit._hash(row)
        yield tuple(row[name] for name in COLUMNS)


def fill(database: Database, count: int) -> None:
    """Write entries by COPY: as fast as rows get in, with the chain as the service would have made it."""
    with database.begin() as connection:
        head = audit.head(connection)
        driver: Any = connection.connection.driver_connection
        with driver.cursor() as cursor, cursor.copy(f"COPY audit_log ({', '.join(COLUMNS)}) FROM STDIN") as copy:
            for row in entries(count, head):
                copy.write_row(row)


def peak_mib() -> float:
    """Return the most memory this process ever had, in MiB (Linux counts KiB)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measured(name: str, act: Callable[[], audit.Verified]) -> float:
    """Time one verification, and say how far it raised the peak of memory."""
    before, begun, cpu = peak_mib(), time.perf_counter(), time.process_time()
    found = act()
    seconds, used = time.perf_counter() - begun, time.process_time() - cpu
    print(
        f"{name:32} {found.entries:>9,} entries  {seconds:6.1f} s  CPU {used:6.1f} s  "
        f"peak RSS +{peak_mib() - before:7.1f} MiB"
    )
    return seconds


def measure_verify(database: Database, settings: Settings, count: int) -> None:
    """Verify a long log: ours first, as the peak of memory only ever rises."""
    # So that what is loaded once is not counted below.
    with database.connect() as connection:
        audit.verify(connection)
    begun = time.perf_counter()
    fill(database, count)
    print(f"filled {count:,} entries by COPY in {time.perf_counter() - begun:.0f} s")
    # Whoever reads fresh rows first pays for their hint bits and their way from disk; here nobody does.
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE audit_log"))
        connection.execute(text("SELECT count(payload) FROM audit_log"))
    with database.connect() as connection:
        ours = measured("ours, streamed", lambda: audit.verify(connection))
        anchors.anchor_head(connection, settings, now=NOW)
    fill(database, 1000)

    def since() -> audit.Verified:
        with database.connect() as connection:
            noted = anchors.read_anchors(anchors.place_of(settings))
            return anchors.verify_anchored(connection, noted, since_last=True)

    def all_at_once() -> audit.Verified:
        with database.connect() as connection:
            rows = connection.execute(select(audit_log).order_by(audit_log.c.seq)).mappings().all()
        return audit.walk(rows)

    measured("ours, since the last anchor", since)
    rival = measured("rival, all rows read into a list", all_at_once)
    print(f"ratio of the times: {ours / rival:.2f}")


def main() -> None:
    """Measure both, on one database."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--entries", type=int, default=1_000_000)
    parser.add_argument("--applies", type=int, default=300)
    arguments = parser.parse_args()
    home = Path(tempfile.mkdtemp(prefix="meta-pipeline-benchmark-"))
    settings = Settings(home=home, database_url=None)
    try:
        with open_database(settings) as database:
            measure_apply(database, settings, arguments.applies)
            measure_verify(database, settings, arguments.entries)
    finally:
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    main()
