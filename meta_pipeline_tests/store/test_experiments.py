"""Shadow experiments: fixed at the start, decided at every look, nothing live until somebody approves."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from meta_pipeline.errors import Blocked, Conflict, ContentTampered, NotFound, NotPermitted, StaleBase
from meta_pipeline.proposals.roles import Role
from meta_pipeline.proposals.states import Status
from meta_pipeline.report.files import ProposalReports, report_files
from meta_pipeline.store import experiments, governance, people, proposals
from meta_pipeline.store.database import Database
from meta_pipeline.store.experiments import Experiment, ExperimentLook
from meta_pipeline_tests.proposals.governed import LIVE
from meta_pipeline_tests.store.governed import NOW, actions, approved, by_hand, decide, live, prepare
from meta_pipeline_tests.store.invariants import check_invariants
from meta_pipeline_tests.store.known_truth import after, hand_in_runs, settings

pytestmark = pytest.mark.database


@pytest.fixture
def ready(database: Database) -> Database:
    prepare(database)
    hand_in_runs(database, "STRAT")
    return database


def start(database: Database, to: float = 0.25, *, knob: str = "risk.max_vol", actor: str = "ann") -> Experiment:
    return experiments.start(
        database,
        strategy_id="STRAT",
        knob=knob,
        challenger=to,
        why="is less more?",
        actor=actor,
        now=NOW,
        settings=settings(),
    )


def look(database: Database, experiment: Experiment, days: int) -> ExperimentLook | None:
    return experiments.look_at(
        database,
        experiment.experiment_id,
        until=after(days),
        now=NOW + timedelta(days=days + 1),
        settings=settings(),
    )


def get(database: Database, experiment: Experiment) -> Experiment:
    with database.connect() as connection:
        return experiments.get(connection, experiment.experiment_id)


def test_a_better_challenger_wins_becomes_a_proposal_and_changes_nothing_before(ready: Database) -> None:
    begun = start(ready)
    assert look(ready, begun, 0) is None
    young = look(ready, begun, 30)
    assert young is not None
    assert (young.verdict, get(ready, begun).state) == ("INSUFFICIENT_DATA", "running")
    with pytest.raises(Conflict, match="only a challenger that won"):
        experiments.propose(ready, begun.experiment_id, actor="ann", now=NOW, settings=settings())
    won = look(ready, begun, 300)
    assert won is not None
    ended = get(ready, begun)
    assert (won.verdict, ended.state, ended.verdict, ended.ended_by) == (
        *("CHALLENGER", "decided", "CHALLENGER", "meta-pipeline"),
    )
    assert look(ready, begun, 400) == won
    assert live(ready).config == LIVE
    proposal_id = experiments.propose(ready, begun.experiment_id[:8], actor="ann", now=NOW, settings=settings())
    assert experiments.propose(ready, begun.experiment_id, actor="ann", now=NOW, settings=settings()) == proposal_id
    with ready.connect() as connection:
        record = proposals.get(connection, proposal_id)
    assert record.draft.supporting_metrics["experiment_id"] == begun.experiment_id
    assert record.draft.expected_sharpe_improvement == pytest.approx(won.body["estimate"] if won.body else None)
    assert decide(ready, record, by="ann").outcome == "refused"
    assert decide(ready, record).outcome == "approved"
    done = governance.apply(ready, proposal_id, actor="dora", now=NOW, settings=settings())
    assert done.outcome == "applied"
    assert [name for name in actions(ready) if name.startswith("experiment.")] == [
        "experiment.start",
        "experiment.end",
        "experiment.propose",
    ]
    check_invariants(ready)


def test_a_worse_challenger_loses_and_one_that_is_stopped_decides_nothing(ready: Database) -> None:
    worse = start(ready, 0.75)
    found = look(ready, worse, 300)
    assert found is not None
    assert (found.verdict, get(ready, worse).verdict) == ("INCUMBENT", "INCUMBENT")
    again = start(ready, 0.3)
    stopped = experiments.stop(ready, again.experiment_id, reason="changed my mind", actor="ann", now=NOW)
    assert (stopped.state, stopped.verdict) == ("stopped", "INSUFFICIENT_DATA")
    assert look(ready, again, 300) is None
    with pytest.raises(Conflict, match="nothing to stop"):
        experiments.stop(ready, again.experiment_id, reason="again", actor="ann", now=NOW)


def test_it_ends_when_another_configuration_goes_live_and_its_challenger_is_then_stale(ready: Database) -> None:
    begun = start(ready)
    record = approved(ready, "mode", "slow", now=NOW + timedelta(days=200))
    governance.apply(ready, record.proposal_id, actor="dora", now=NOW + timedelta(days=200), settings=settings())
    found = look(ready, begun, 300)
    assert found is not None
    assert (found.judged_until, found.verdict) == (after(199), "CHALLENGER")
    assert "another configuration went live" in get(ready, begun).reason
    with pytest.raises(StaleBase, match="start a new one"):
        experiments.propose(ready, begun.experiment_id, actor="ann", now=NOW, settings=settings())


def test_what_may_not_start_does_not(ready: Database) -> None:
    start(ready)
    with pytest.raises(Conflict, match="stop it first"):
        start(ready, 0.3)
    for knob, to, error in (("nowhere", 1.0, Blocked), ("risk.max_vol", 2.0, Blocked), ("frozen", 2.0, Blocked)):
        with pytest.raises(error):
            start(ready, to, knob=knob)
    with pytest.raises(NotPermitted, match="reserved for machines"):
        start(ready, 0.3, knob="alpha", actor="dagster")
    for unknown in ("exp-none", "", "%"):
        with pytest.raises(NotFound), ready.connect() as connection:
            experiments.get(connection, unknown)


@pytest.mark.parametrize(
    "change", ["outcome_rule = '{\"minimum_days\": 5}'", "challenger_config = '{}'", "challenger_value = '0.9'"]
)
def test_terms_that_were_changed_by_hand_are_not_looked_at(ready: Database, change: str) -> None:
    begun = start(ready)
    by_hand(ready, f"UPDATE experiments SET {change}")
    with pytest.raises(ContentTampered, match="not those it was started with"):
        look(ready, begun, 300)
    (failed,) = experiments.look_at_all(ready, until=after(300), now=NOW, settings=settings())
    assert "ContentTampered" in (failed.error or "")
    assert get(ready, begun).state == "running"


def test_proposals_of_an_experiment_wait_like_any_other_and_have_a_report(ready: Database, tmp_path: Path) -> None:
    begun = start(ready)
    look(ready, begun, 300)
    files = report_files(tmp_path)
    identity = experiments.propose(
        ready,
        begun.experiment_id,
        actor="ann",
        now=NOW,
        settings=settings(),
        report=ProposalReports(files, approval_hours=72, track_record=lambda _: None),
    )
    with ready.connect() as connection:
        proposal = proposals.get(connection, identity)
    assert proposal.status is Status.PENDING
    assert identity in files.get(str(proposal.draft.report_sha256)).decode("utf-8")


def test_who_may_not_propose_neither_starts_nor_proposes_nor_stops_one(ready: Database) -> None:
    begun = start(ready)
    with ready.begin() as connection:
        people.grant(connection, "Uma", Role.AUDITOR, actor="ann", now=NOW)
        people.grant(connection, "Rita", Role.RESEARCHER, actor="ann", now=NOW)
    options: dict[str, Any] = {"now": NOW, "settings": settings()}
    for who in ("Uma", "ann"):  # only researchers propose, once there is one
        with pytest.raises(NotPermitted):
            start(ready, knob="lookback", to=42, actor=who)
        with pytest.raises(NotPermitted):
            experiments.propose(ready, begun.experiment_id, actor=who, **options)
    with pytest.raises(NotPermitted, match="an auditor reads only"):
        experiments.stop(ready, begun.experiment_id, reason="x", actor="Uma", now=NOW)
    assert get(ready, begun).state == "running"
    assert start(ready, knob="lookback", to=42, actor="Rita").state == "running"
    # Who may freeze, may stop one.
    assert experiments.stop(ready, begun.experiment_id, reason="incident", actor="Bob", now=NOW).state == "stopped"
