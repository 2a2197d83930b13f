"""What the tests of this folder have in common: a declared strategy, a saved proposal, a job run in this process."""

import atexit
import shutil
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import dagster as dg

from meta_pipeline.canonical import Level
from meta_pipeline.orchestration.changes import apply_approved, revert_change
from meta_pipeline.orchestration.gate import approve_proposals
from meta_pipeline.orchestration.resources import DatabaseResource
from meta_pipeline.proposals.draft import ProposalDraft, ProposalRecord
from meta_pipeline.proposals.knobs import Knob
from meta_pipeline.proposals.strategy import Strategy
from meta_pipeline.settings import Settings
from meta_pipeline.store import approvers, proposals, strategies
from meta_pipeline.store.database import Database

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
ACTING_JOBS = [approve_proposals, apply_approved, revert_change]


def resource_of(database: Database, *, now: datetime = NOW, home: Path | None = None) -> DatabaseResource:
    """A resource on the test's database, with a clock that stands still and no settings from outside."""
    values: dict[str, Any] = {"_env_file": None, "home": home or _home(str(database.url))}
    return DatabaseResource(database, settings=lambda: Settings(**values), clock=lambda: now)


@cache
def _home(url: str) -> Path:
    """Return a folder for what assets write beside a database, gone when the tests end: anchors are of one log."""
    folder = tempfile.mkdtemp(prefix="meta-pipeline-tests-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


def declare_strategy(database: Database, name: str = "STRAT_001", *, window: int = 20) -> None:
    knob = Knob(path="window", knob_type="int", lower=5, upper=200)
    with database.begin() as connection:
        strategies.declare(
            connection,
            Strategy(strategy_id=name, knobs=(knob,), live_config={"window": window}),
            actor="Ann",
            now=NOW,
        )


def allow(database: Database, *names: str) -> None:
    with database.begin() as connection:
        for name in names:
            approvers.add(connection, name, actor="Ann", now=NOW)


def save_proposal(
    database: Database,
    name: str = "STRAT_001",
    *,
    author: str = "Ann",
    proposed: Level = 50,
    current: Level = 20,
    now: datetime = NOW,
) -> ProposalRecord:
    """Save a proposal of a person, as `proposals create` would."""
    draft = ProposalDraft(
        strategy_id=name,
        proposal_type="config_parameter_change",
        target_component="window",
        current=current,
        proposed=proposed,
        base_version=1,
        rationale="slower is better",
        supporting_metrics={},
        evidence_digest="e" * 64,
        risk_change="unknown",
        author=author,
        author_kind="human",
    )
    with database.begin() as connection:
        saved = proposals.save(connection, [draft], now=now, lifetime=timedelta(days=14))
        assert len(saved.new) == 1, saved
        return proposals.get(connection, saved.new[0])


def verdict(proposal: ProposalRecord, decision: str = "approve", **other: str) -> dict[str, str]:
    line = {"proposal_id": proposal.proposal_id, "digest": proposal.body_digest, "decision": decision, "reason": ""}
    return {**line, **other}


def form(*verdicts: Mapping[str, str], approver: str = "Bob") -> dict[str, Any]:
    return {"approver": approver, "decisions": [dict(line) for line in verdicts]}


def launch(
    job: str,
    config: Mapping[str, Any] | None,
    resource: DatabaseResource,
    *,
    tags: Mapping[str, str] | None = None,
) -> dg.ExecuteInProcessResult:
    """Run one of the jobs in which a person acts; a run that fails is returned, a form that is refused raises."""
    definitions = dg.Definitions(jobs=ACTING_JOBS, resources={"database": resource})
    with dg.DagsterInstance.ephemeral() as opened:
        return definitions.resolve_job_def(job).execute_in_process(
            run_config=config, instance=opened, tags=dict(tags or {}), raise_on_error=False
        )


def failure_of(result: dg.ExecuteInProcessResult) -> str:
    """The message by which a run failed."""
    errors = [event.step_failure_data for event in result.all_events if event.is_step_failure]
    assert len(errors) == 1
    described = errors[0].user_failure_data
    assert described is not None
    assert described.description is not None
    return described.description


def status_of(database: Database, proposal: ProposalRecord) -> str:
    with database.connect() as connection:
        return str(proposals.get(connection, proposal.proposal_id).status)
