"""What is wrong with an installation: each thing looked at, OK, WARN or FAIL, with what mends it.

Belongs here: looking. Nothing is changed, and nothing that fails keeps the next thing from being looked at.
"""

import os
import shutil
import stat
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, select, text
from sqlalchemy.exc import SQLAlchemyError

from meta_pipeline.counted import counted
from meta_pipeline.errors import AuditBroken, DatabaseUnavailable, MetaPipelineError
from meta_pipeline.settings import Settings
from meta_pipeline.store import anchors, approver_keys, approvers, kill_file, migrations
from meta_pipeline.store.database import Database, open_unchecked
from meta_pipeline.store.diagnosis import Diagnosis, Level
from meta_pipeline.store.doctor_loop import examine_loop
from meta_pipeline.store.migrations import SchemaState
from meta_pipeline.store.schema import audit_log, diagnostics_reports
from meta_pipeline.store.schema_policy import msc_policies

SKEW_WARN: Final = timedelta(seconds=5)
SKEW_FAIL: Final = timedelta(seconds=60)
ANCHOR_AGE: Final = timedelta(hours=48)
"""Entries that are older and not anchored mean that the nightly anchor did not run twice."""
NIGHTLY_AGE: Final = timedelta(hours=50)
DISK_WARN: Final = 2 * 2**30
DISK_FAIL: Final = 200 * 2**20


def examine(settings: Settings, *, clock: Callable[[], datetime]) -> list[Diagnosis]:
    """Look at everything.

    Parameters
    ----------
    clock
        This machine's clock, UTC.
    """
    found = [_home(settings), _kill_file(settings), _disk(settings)]
    try:
        database = open_unchecked(settings)
    except MetaPipelineError as error:
        mend = "start the server, or correct META_PIPELINE_DATABASE_URL"
        return [Diagnosis(what="database", level="FAIL", text=str(error), mend=mend), *found]
    try:
        return [*_of_database(database, settings, clock), *found]
    finally:
        database.close()


def worst(found: list[Diagnosis]) -> Level:
    """Return the gravest level."""
    levels = {one.level for one in found}
    return "FAIL" if "FAIL" in levels else "WARN" if "WARN" in levels else "OK"


def _of_database(database: Database, settings: Settings, clock: Callable[[], datetime]) -> Iterator[Diagnosis]:
    try:
        with database.connect() as connection:
            version = connection.execute(text("SHOW server_version")).scalar_one()
            yield Diagnosis(what="database", level="OK", text=f"{database.url}, PostgreSQL {version}")
            schema = _migrations(connection, embedded=database.is_embedded)
            yield schema
            yield _clock(connection, clock)
            if schema.level != "OK":
                return
            now: datetime = connection.execute(text("SELECT clock_timestamp()")).scalar_one()
            yield _audit(connection, settings, now)
            yield _nightly(connection, now)
            yield _policy(connection, settings, now)
            yield _approvers(connection)
            yield _keys(connection, settings)
            yield from examine_loop(connection, settings, now)
    except (DatabaseUnavailable, SQLAlchemyError) as error:
        said = " ".join(str(error).split())[:300]
        yield Diagnosis(what="database", level="FAIL", text=said, mend="look at the server's log, then run this again")


def _migrations(connection: Connection, *, embedded: bool) -> Diagnosis:
    status = migrations.status(connection)
    if status.state is SchemaState.CURRENT:
        return Diagnosis(what="migrations", level="OK", text=f"at {migrations.revisions()[-1]}")
    mend = "meta-pipeline db migrate"
    if embedded and status.state in {SchemaState.EMPTY, SchemaState.OLDER}:
        words = "the embedded database is migrated by the next command that opens it"
        return Diagnosis(what="migrations", level="WARN", text=words, mend=mend)
    return Diagnosis(what="migrations", level="FAIL", text=str(migrations.mismatch(status)), mend=mend)


def _clock(connection: Connection, clock: Callable[[], datetime]) -> Diagnosis:
    before = clock()
    there: datetime = connection.execute(text("SELECT clock_timestamp()")).scalar_one()
    after = clock()
    # The answer was made at some time between the two readings.
    skew = max(before - there, there - after, timedelta(0))
    words = f"this machine and the database differ by {skew.total_seconds():.1f} s"
    if skew <= SKEW_WARN:
        return Diagnosis(what="clock", level="OK", text=words)
    level: Level = "WARN" if skew <= SKEW_FAIL else "FAIL"
    return Diagnosis(what="clock", level=level, text=words, mend="set both clocks by NTP")


def _audit(connection: Connection, settings: Settings, now: datetime) -> Diagnosis:
    try:
        noted = anchors.read_anchors(anchors.place_of(settings))
        verified = anchors.verify_anchored(connection, noted, since_last=True)
    except AuditBroken as error:
        mend = "compare with a backup; after a restore that you know of: meta-pipeline audit reseal --reason WHY"
        return Diagnosis(what="audit", level="FAIL", text=str(error), mend=mend)
    except MetaPipelineError as error:
        mend = "make the place of the anchors readable (META_PIPELINE_AUDIT_ANCHOR)"
        return Diagnosis(what="audit", level="FAIL", text=str(error), mend=mend)
    last = noted[-1] if noted else None
    since = 0 if last is None else last.seq
    oldest = connection.execute(select(audit_log.c.at).where(audit_log.c.seq == since + 1)).scalar()
    words = f"{counted(verified.entries, 'entry', 'entries')}, " + (
        "none anchored" if last is None else f"anchored until entry {last.seq:,} on {last.at:%Y-%m-%d %H:%M} UTC"
    )
    if oldest is not None and now - oldest > ANCHOR_AGE:
        return Diagnosis(what="audit", level="WARN", text=words, mend="meta-pipeline audit anchor, every night")
    return Diagnosis(what="audit", level="OK", text=words)


def _nightly(connection: Connection, now: datetime) -> Diagnosis:
    newest = connection.execute(select(diagnostics_reports.c.seen_at).order_by(diagnostics_reports.c.seen_at.desc()))
    last = newest.scalar()
    if last is None:
        waiting = connection.execute(text("SELECT EXISTS (SELECT FROM backtest_runs)")).scalar_one()
        if not waiting:
            return Diagnosis(what="nightly", level="OK", text="no run is there yet, so nothing is to be refreshed")
        words = "runs are there, and no refresh has ever ended"
        return Diagnosis(what="nightly", level="WARN", text=words, mend="meta-pipeline nightly, or start the daemon")
    return _aged("nightly", last, now, NIGHTLY_AGE, mend="meta-pipeline nightly; look whether Dagster's daemon runs")


def _policy(connection: Connection, settings: Settings, now: datetime) -> Diagnosis:
    last = connection.execute(select(msc_policies.c.created_at).order_by(msc_policies.c.id.desc()).limit(1)).scalar()
    if last is None or not settings.msc_enabled:
        why = "no policy was ever evaluated" if settings.msc_enabled else "not evaluated by schedule (MSC_ENABLED)"
        return Diagnosis(what="policy", level="OK", text=why)
    due = 2 * timedelta(minutes=settings.msc_evaluation_interval_minutes)
    return _aged("policy", last, now, due, mend="meta-pipeline policy evaluate; look whether Dagster's daemon runs")


def _aged(what: str, last: datetime, now: datetime, limit: timedelta, *, mend: str) -> Diagnosis:
    hours = (now - last) / timedelta(hours=1)
    words = f"last on {last:%Y-%m-%d %H:%M} UTC, {hours:.1f} h ago"
    if now - last <= limit:
        return Diagnosis(what=what, level="OK", text=words)
    return Diagnosis(what=what, level="WARN", text=words, mend=mend)


def _approvers(connection: Connection) -> Diagnosis:
    names = [one.display_name for one in approvers.list_approvers(connection)]
    if len(names) >= 2:
        return Diagnosis(what="approvers", level="OK", text=f"{len(names)} people may approve")
    words = f"{names[0]} alone may approve, and nobody while away" if names else "nobody may approve"
    return Diagnosis(what="approvers", level="WARN", text=words, mend="meta-pipeline approvers add NAME")


def _keys(connection: Connection, settings: Settings) -> Diagnosis:
    if not settings.require_signed_approvals:
        return Diagnosis(what="signatures", level="OK", text="approvals need none")
    without = [
        one.display_name
        for one in approvers.list_approvers(connection)
        if not approver_keys.good_keys(connection, one.display_name)
    ]
    if not without:
        return Diagnosis(what="signatures", level="OK", text="required, and every approver has a key")
    words = f"required, and {', '.join(without)} cannot sign"
    return Diagnosis(what="signatures", level="WARN", text=words, mend="meta-pipeline approvers keygen, then register")


def _home(settings: Settings) -> Diagnosis:
    home = settings.home
    try:
        mode = home.stat().st_mode
    except FileNotFoundError:
        return Diagnosis(what="home folder", level="OK", text=f"{home} is not there yet; it is made when it is needed")
    except OSError as error:
        words = f"{home} cannot be read: {error.strerror or error}"
        return Diagnosis(
            what="home folder", level="FAIL", text=words, mend="run as its owner, or set META_PIPELINE_HOME"
        )
    words = f"{home}, {stat.filemode(mode)}"
    if mode & stat.S_IWOTH:
        return Diagnosis(what="home folder", level="FAIL", text=f"{words}: anybody may write", mend=f"chmod o-w {home}")
    if not os.access(home, os.W_OK | os.X_OK):
        return Diagnosis(
            what="home folder", level="FAIL", text=f"{words}: this user may not write", mend="run as its owner"
        )
    if mode & stat.S_IWGRP:
        return Diagnosis(
            what="home folder", level="WARN", text=f"{words}: its group may write", mend=f"chmod g-w {home}"
        )
    return Diagnosis(what="home folder", level="OK", text=words)


def _kill_file(settings: Settings) -> Diagnosis:
    path = kill_file.path_of(settings)
    said = kill_file.found(settings)
    folder = path.parent
    if folder.exists() and folder.stat().st_mode & stat.S_IWOTH and not folder.stat().st_mode & stat.S_ISVTX:
        words = f"anybody may remove it: {folder} is open to all"
        return Diagnosis(what="kill file", level="FAIL", text=words, mend=f"chmod o-w {folder}")
    if said is None:
        if folder.exists() and not os.access(folder, os.W_OK | os.X_OK):
            words = f"{path} is not there, and this user could not make it"
            return Diagnosis(what="kill file", level="WARN", text=words, mend=f"let this user write in {folder}")
        return Diagnosis(what="kill file", level="OK", text=f"{path} is not there")
    if "counts as frozen" in said:
        return Diagnosis(what="kill file", level="FAIL", text=said, mend=f"make {path.parent} readable again")
    mend = "when it is over: meta-pipeline freeze lift kill-file --reason WHY"
    return Diagnosis(what="kill file", level="WARN", text=f"applies are frozen: {said}", mend=mend)


def _disk(settings: Settings) -> Diagnosis:
    place: Path = settings.home.absolute()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    words = f"{free / 2**30:,.1f} GiB free where {settings.home} is"
    if free < DISK_FAIL:
        return Diagnosis(what="disk", level="FAIL", text=words, mend="make room: PostgreSQL stops when it is full")
    if free < DISK_WARN:
        return Diagnosis(what="disk", level="WARN", text=words, mend="make room")
    return Diagnosis(what="disk", level="OK", text=words)
