"""What tests of the governance service share: a declared strategy, approvers, and one call per step."""

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import text

from meta_pipeline.canonical import Level
from meta_pipeline.proposals.decision import Decision, DecisionResult, Verdict
from meta_pipeline.proposals.draft import ProposalDraft, ProposalRecord
from meta_pipeline.settings import Settings
from meta_pipeline.store import approvers, audit, governance, proposals, strategies
from meta_pipeline.store.database import Database
from meta_pipeline_tests.proposals.governed import NOW, strategy

SETTINGS = Settings.model_construct()  # the defaults, whatever the environment says
LIFETIME = timedelta(days=SETTINGS.proposal_days)
TABLES = (
    *("strategies", "strategy_knobs", "config_versions", "approvers", "meta_config_proposals", "proposal_editors"),
    *("approvals", "config_change_log", "audit_log"),
)

__all__ = ["NOW", "SETTINGS"]


def declare(database: Database, strategy_id: str = "STRAT", **changes: Any) -> None:
    with database.begin() as connection:
        strategies.declare(connection, strategy(strategy_id, **changes), actor="ann", now=NOW)


def add_approvers(database: Database, *names: str) -> None:
    with database.begin() as connection:
        for name in names:
            approvers.add(connection, name, actor="ann", now=NOW)


def prepare(database: Database, strategy_id: str = "STRAT", **changes: Any) -> None:
    """Declare a strategy and two approvers."""
    declare(database, strategy_id, **changes)
    add_approvers(database, "Bob", "Cleo")


def propose(
    database: Database,
    knob: str = "risk.max_vol",
    proposed: Level = 0.25,
    *,
    strategy_id: str = "STRAT",
    author: str = "ann",
    now: datetime = NOW,
    reason: str = "",
) -> ProposalRecord:
    """Let a person propose; the proposal must be new."""
    made = governance.create(
        database,
        strategy_id=strategy_id,
        knob=knob,
        proposed=proposed,
        reason=reason or f"{knob} would be better at {proposed!r}",
        author=author,
        now=now,
        settings=SETTINGS,
    )
    assert made.new
    return made.record


def save(database: Database, *drafts: ProposalDraft, now: datetime = NOW) -> proposals.SaveResult:
    with database.begin() as connection:
        return proposals.save(connection, drafts, now=now, lifetime=LIFETIME)


def decide(
    database: Database,
    record: ProposalRecord,
    verdict: Verdict = "approve",
    *,
    by: str = "Bob",
    now: datetime = NOW,
    digest: str | None = None,
    reason: str = "because",
    ref: str = "",
) -> DecisionResult:
    decision = Decision(
        proposal_id=record.proposal_id, digest=digest or record.body_digest, verdict=verdict, reason=reason
    )
    (result,) = governance.decide(
        database, [decision], approver=by, channel="python", channel_ref=ref, now=now, settings=SETTINGS
    )
    return result


def approved(database: Database, knob: str = "risk.max_vol", proposed: Level = 0.25, **options: Any) -> ProposalRecord:
    """Propose and approve; return the proposal as it then is."""
    record = propose(database, knob, proposed, **options)
    result = decide(database, record, now=options.get("now", NOW))
    assert result.outcome == "approved", result.message
    return get(database, record.proposal_id)


def applied(database: Database, knob: str = "risk.max_vol", proposed: Level = 0.25, **options: Any) -> str:
    """Propose, approve and apply; return the change's id."""
    record = approved(database, knob, proposed, **options)
    result = governance.apply(
        database, record.proposal_id, actor="dora", now=options.get("now", NOW), settings=SETTINGS
    )
    assert result.outcome == "applied"
    assert result.change_id is not None
    return result.change_id


def get(database: Database, proposal_id: str) -> ProposalRecord:
    with database.connect() as connection:
        return proposals.get(connection, proposal_id)


def status(database: Database, record: ProposalRecord) -> str:
    return str(get(database, record.proposal_id).status)


def live(database: Database, strategy_id: str = "STRAT") -> strategies.LiveConfig:
    with database.connect() as connection:
        return strategies.live_config(connection, strategy_id)


def actions(database: Database) -> list[str]:
    """Return what the audit log holds, oldest first, without the preparations."""
    with database.connect() as connection:
        audit.verify(connection)
        found = audit.entries(connection, limit=10_000)
    return [entry.action for entry in reversed(found) if entry.action not in {"strategy.declare", "approver.add"}]


def contents(database: Database) -> dict[str, list[str]]:
    """Return every row of every governed table, to show that nothing was written."""
    with database.connect() as connection:
        return {table: sorted(connection.execute(text(f"SELECT t::text FROM {table} t")).scalars()) for table in TABLES}


def by_hand(database: Database, statement: str, **values: Any) -> int:
    """Run a statement as somebody with a SQL prompt would; return the number of rows."""
    with database.begin() as connection:
        return connection.execute(text(statement), values).rowcount


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc, arg-type]
