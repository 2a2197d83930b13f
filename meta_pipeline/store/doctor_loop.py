"""What the doctor asks of the loop itself: freezes, automation, changes that call for a revert, reports to read."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from sqlalchemy import Connection, select

from meta_pipeline.outcomes.judgement import Verdict
from meta_pipeline.proposals.identity import is_machine
from meta_pipeline.settings import Settings
from meta_pipeline.store import automation, automation_freezes, changes, freezing, tiers
from meta_pipeline.store.diagnosis import Diagnosis
from meta_pipeline.store.report_state import report_state
from meta_pipeline.store.schema import meta_config_proposals
from meta_pipeline.store.tiers import Tier

SHOWN = 3


def examine_loop(connection: Connection, settings: Settings, now: datetime) -> Iterator[Diagnosis]:
    """Look at freezes, automation, outcomes and reports."""
    yield _freezes(connection, now)
    yield _automation(connection, settings, now)
    yield _outcomes(connection)
    yield _reports(connection, settings)


def _freezes(connection: Connection, now: datetime) -> Diagnosis:
    there = [one.freeze for one in freezing.list_freezes(connection) if one.freeze.covers(now)]
    if not there:
        return Diagnosis(what="freezes", level="OK", text="none is in force")
    words = f"in force: {'; '.join(one.text() for one in there[:SHOWN])}" + _and_more(len(there))
    if all(one.weekdays for one in there):  # a window that comes every week is meant to
        return Diagnosis(what="freezes", level="OK", text=words)
    return Diagnosis(
        what="freezes", level="WARN", text=words, mend="when it is over: meta-pipeline freeze lift NUMBER --reason WHY"
    )


def _automation(connection: Connection, settings: Settings, now: datetime) -> Diagnosis:
    what = "automation"
    stopped = automation_freezes.frozen(connection)
    if stopped is not None:
        by_itself = is_machine(stopped.frozen_by)
        words = f"frozen by {stopped.frozen_by} on {stopped.frozen_at:%Y-%m-%d %H:%M} UTC: {stopped.reason}"
        first = "find the check that broke; " if by_itself else ""
        mend = f"{first}when it is mended: meta-pipeline automation unfreeze --reason WHY"
        return Diagnosis(what=what, level="FAIL" if by_itself else "WARN", text=words, mend=mend)
    named = sorted({row.strategy_id for row in tiers.list_tiers(connection) if row.tier == Tier.AUTOMATIC})
    if not settings.automation or not named:
        why = "switched off" if not settings.automation else "no knob is automatic"
        return Diagnosis(what=what, level="OK", text=f"{why}: people decide on every change")
    ran = {strategy: (at, passed) for strategy, at, _, passed in automation.last_controls(connection)}
    age = timedelta(hours=settings.automation_controls_hours)
    stale = [name for name in named if name not in ran or ran[name][1] or now - ran[name][0] > age]
    if stale:
        words = f"no healthy round of negative controls within {age / timedelta(hours=1):g} h: {', '.join(stale)}"
        mend = "meta-pipeline automation run, every hour; look whether the schedule automation_hourly is on"
        return Diagnosis(what=what, level="WARN", text=f"{words}; nothing is applied by the machine", mend=mend)
    oldest = min(ran[name][0] for name in named)
    words = f"on for {', '.join(named)}; every bad proposal was refused, last on {oldest:%Y-%m-%d %H:%M} UTC"
    return Diagnosis(what=what, level="OK", text=words)


def _outcomes(connection: Connection) -> Diagnosis:
    there = changes.list_changes(connection, reverted=False)
    waiting = [change.change_id for change in there if change.outcome_verdict == Verdict.REVERT]
    if not waiting:
        return Diagnosis(what="outcomes", level="OK", text=f"changes in force: {len(there):,}; none calls for a revert")
    words = f"the verdict is REVERT, and in force: {', '.join(waiting[:SHOWN])}{_and_more(len(waiting))}"
    mend = "meta-pipeline changes show ID, then: meta-pipeline changes revert ID --reason WHY"
    return Diagnosis(what="outcomes", level="WARN", text=words, mend=mend)


def _reports(connection: Connection, settings: Settings) -> Diagnosis:
    """Look whether who decides can read what the digest of the proposal covers."""
    columns = meta_config_proposals.c
    waiting = columns.status.in_(["PENDING", "APPROVED"]) & columns.report_sha256.is_not(None)
    wanted = connection.execute(select(columns.proposal_id, columns.report_sha256).where(waiting)).all()
    found = {row.proposal_id: report_state(row.report_sha256, settings) for row in wanted}
    altered = sorted(name for name, state in found.items() if state == "altered")
    if altered:
        words = f"altered since they were written, of open proposals: {', '.join(altered[:SHOWN])}"
        mend = f"put the files back from a backup, and find out who can write to {settings.home}/reports"
        text = f"{words}{_and_more(len(altered))}; they can neither be approved nor applied"
        return Diagnosis(what="reports", level="FAIL", text=text, mend=mend)
    lost = sorted(name for name, state in found.items() if state == "missing")
    if not lost:
        return Diagnosis(what="reports", level="OK", text=f"of open proposals: {len(wanted):,}, all whole")
    words = f"missing, of open proposals: {', '.join(lost[:SHOWN])}{_and_more(len(lost))}"
    mend = (
        f"put the files back into {settings.home}/reports, from a backup; or set META_PIPELINE_HOME to where they are"
    )
    return Diagnosis(what="reports", level="WARN", text=words, mend=mend)


def _and_more(count: int) -> str:
    return f" and {count - SHOWN} more" if count > SHOWN else ""
