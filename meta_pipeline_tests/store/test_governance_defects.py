"""The predecessor's defects B01 to B18: the input that failed there, and the result that is required here."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import IntegrityError

from meta_pipeline import errors
from meta_pipeline.backtests import record
from meta_pipeline.canonical import ABSENT
from meta_pipeline.proposals.configs import level_at
from meta_pipeline.proposals.states import Status
from meta_pipeline.store import changes, governance, proposals
from meta_pipeline.store.backtests import RunStore
from meta_pipeline.store.database import Database
from meta_pipeline.store.schema import backtest_runs
from meta_pipeline_tests.backtests.runs import a_metrics_only_run, a_run, trading_days
from meta_pipeline_tests.proposals.governed import LIVE, draft
from meta_pipeline_tests.store.governed import (
    NOW,
    SETTINGS,
    actions,
    applied,
    approved,
    by_hand,
    contents,
    decide,
    declare,
    get,
    live,
    prepare,
    propose,
    save,
    status,
)
from meta_pipeline_tests.store.invariants import check_invariants
from meta_pipeline_tests.store.processes import run_in_processes
from meta_pipeline_tests.store.workers import racing

pytestmark = pytest.mark.database


def apply(database: Database, proposal_id: str, **options: Any) -> Any:
    return governance.apply(database, proposal_id, **{"actor": "dora", "now": NOW, "settings": SETTINGS, **options})


def test_b01_generating_three_times_makes_one_proposal(database: Database) -> None:
    prepare(database)
    results = [save(database, draft(), now=NOW + timedelta(hours=hour)) for hour in range(3)]
    assert [len(result.new) for result in results] == [1, 0, 0]
    assert results[0].new == results[1].existing == results[2].existing
    with database.connect() as connection:
        assert len(proposals.list_proposals(connection)) == 1


def test_b02_an_unknown_id_is_not_approved_and_a_rejected_proposal_never_applied(database: Database) -> None:
    prepare(database)
    unknown = decide(database, replace(get(database, save(database, draft()).new[0]), proposal_id="prop-unknown"))
    assert isinstance(unknown.error, errors.NotFound)
    one = propose(database, "lookback", 21)
    decide(database, one, "reject")
    assert isinstance(decide(database, one).error, errors.IllegalTransition)
    with pytest.raises(errors.IllegalTransition, match="is REJECTED"):
        apply(database, one.proposal_id)
    done = approved(database, "alpha", 0.7)
    apply(database, done.proposal_id)
    assert isinstance(decide(database, done, ref="x").error, errors.IllegalTransition)
    assert apply(database, done.proposal_id).outcome == "already_applied"
    with database.connect() as connection:
        assert len(changes.list_changes(connection)) == 1
    check_invariants(database)


def test_b03_a_name_of_65_characters_is_applied_wholly_and_one_of_129_not_at_all(database: Database) -> None:
    prepare(database)
    one = approved(database)
    before = contents(database)
    with pytest.raises(errors.InputError, match="129 characters"):
        apply(database, one.proposal_id, actor="n" * 129)
    assert contents(database) == before
    result = apply(database, one.proposal_id, actor="n" * 65)
    with database.connect() as connection:
        assert changes.get(connection, result.change_id).applied_by == "n" * 65
    assert (live(database).version, status(database, one)) == (2, "APPLIED")


def test_b04_reverting_a_key_that_did_not_exist_removes_it(database: Database) -> None:
    prepare(database)
    change_id = applied(database, "alpha", 0.7)
    governance.revert(database, change_id, actor="emil", reason="x", now=NOW, settings=SETTINGS)
    assert level_at(live(database).config, "alpha") is ABSENT
    assert live(database).config == LIVE


def test_b05_the_older_of_two_changes_of_a_key_is_not_reverted_before_the_newer(database: Database) -> None:
    prepare(database)
    first, second = applied(database, "risk.max_vol", 0.7), applied(database, "risk.max_vol", 0.9)
    with pytest.raises(errors.Conflict, match=rf"0\.5 -> 0\.7 by this change, 0\.9 now.*Revert first.*{second}"):
        governance.revert(database, first, actor="emil", reason="x", now=NOW, settings=SETTINGS)
    assert level_at(live(database).config, "risk.max_vol") == 0.9
    for change_id in (second, first):
        governance.revert(database, change_id, actor="emil", reason="x", now=NOW, settings=SETTINGS)
    assert level_at(live(database).config, "risk.max_vol") == 0.5


def test_b06_a_proposal_that_says_half_is_stale_where_another_value_is_live(database: Database) -> None:
    prepare(database)
    one = approved(database, "risk.max_vol", 0.7)
    applied(database, "lookback", 21)  # the configuration moves ...
    by_hand(database, "UPDATE meta_config_proposals SET status = 'APPROVED' WHERE status = 'STALE'")
    with pytest.raises(errors.StaleBase):  # ... and nobody need have told the proposal
        apply(database, one.proposal_id)
    assert status(database, one) == "STALE"
    assert level_at(live(database).config, "risk.max_vol") == 0.5
    other = save(database, draft(current=0.9, base_version=2))
    assert isinstance(other.refused[0].error, errors.StaleBase)
    assert "risk.max_vol is 0.5 now" in str(other.refused[0].error)


def test_b07_two_proposals_on_one_component_are_not_both_approved_and_the_loser_is_superseded(
    database: Database,
) -> None:
    prepare(database)
    weaker, stronger = propose(database, "risk.max_vol", 0.6), propose(database, "risk.max_vol", 0.9)
    assert decide(database, stronger).notes == (f"competes with {weaker.proposal_id} (risk.max_vol -> 0.6)",)
    assert isinstance(decide(database, weaker).error, errors.Conflict)
    assert apply(database, stronger.proposal_id).superseded == (weaker.proposal_id,)
    assert status(database, weaker) == "SUPERSEDED"
    assert level_at(live(database).config, "risk.max_vol") == 0.9


@pytest.mark.parametrize(
    ("knob", "current", "value"),
    [
        ("strategy_risk_limits", ABSENT, {"action": "review_and_tighten"}),
        ("risk.max_vol", 0.5, {"action": "review_and_tighten"}),
        ("start_date", ABSENT, "2020-01-01"),
        ("strategy_id", ABSENT, "OTHER"),
        ("portfolio_id", "P1", "P2"),
        ("max_leverage", ABSENT, 1e9),
        ("risk.max_vol", 0.5, 1e9),
    ],
)
def test_b08_only_declared_knobs_within_bounds_are_proposed_or_applied(
    database: Database, knob: str, current: Any, value: Any
) -> None:
    prepare(database)
    (refusal,) = save(database, draft(knob, current, value)).refused
    assert isinstance(refusal.error, errors.Blocked)
    with database.connect() as connection:
        assert proposals.list_proposals(connection) == []


def test_b09_a_bad_proposal_at_the_top_starves_none_of_the_good_ones(database: Database) -> None:
    prepare(database)
    top = approved(database)
    names = ["B", "C", "D"]
    for name in names:
        declare(database, name)
    good = [approved(database, strategy_id=name, now=NOW + timedelta(minutes=1)) for name in names]
    by_hand(database, "DELETE FROM strategy_knobs WHERE strategy_id = 'STRAT'")
    results = governance.apply_approved(database, actor="dora", now=NOW + timedelta(minutes=2), settings=SETTINGS)
    assert [(result.proposal_id == top.proposal_id, result.outcome) for result in results] == [
        (True, "refused"),
        *[(False, "applied")] * 3,
    ]
    assert {status(database, one) for one in good} == {"APPLIED"}


def test_b10_of_two_components_applied_at_once_none_is_lost_or_falsely_logged(database: Database) -> None:
    prepare(database)
    one, two = approved(database), approved(database, "lookback", 21)
    answers = run_in_processes(database, racing([("apply", one.proposal_id), ("apply", two.proposal_id)]), count=2)
    assert sorted(type(answer).__name__ for answer in answers) == ["str", "tuple"]  # one error, one result
    with database.connect() as connection:
        (change,) = changes.list_changes(connection)
    assert level_at(live(database).config, change.target_component) == change.new_value
    assert sorted((status(database, one), status(database, two))) == ["APPLIED", "STALE"]
    check_invariants(database)


def test_b11_a_change_without_days_to_judge_has_no_figures_and_says_why(database: Database) -> None:
    prepare(database)
    change_id = applied(database)
    with database.connect() as connection:
        change = changes.get(connection, change_id)
    figures = ("sharpe_before", "sharpe_after", "return_before", "return_after", "risk_before", "risk_after")
    assert [getattr(change, name) for name in figures] == [None] * 6
    assert change.evaluation_missing_reason is not None
    assert change.evaluation_missing_reason.startswith("insufficient data")


def test_b12_runs_belong_to_a_change_by_the_version_they_replay_and_not_by_simulated_dates(
    database: Database,
) -> None:
    prepare(database)
    later_days, straddling = trading_days(500, "2027-01-04"), trading_days(500, "2025-06-02")
    store = RunStore(database, actor="ann", clock=lambda: NOW)
    record(a_run(strategy_id="STRAT", run_id="old value", config_version=1, dates=later_days), into=store)
    change_id = applied(database)
    record(a_run(strategy_id="STRAT", run_id="new value", config_version=2, dates=straddling, seed=5), into=store)
    with database.connect() as connection:
        change = changes.get(connection, change_id)
        after = select(backtest_runs.c.run_id).where(backtest_runs.c.config_version >= change.new_version)
        assert connection.execute(after).scalars().all() == ["new value"]


def test_b13_a_metric_that_is_text_breaks_no_query_and_is_a_number_or_in_quarantine(database: Database) -> None:
    declare(database)
    store = RunStore(database, actor="ann", clock=lambda: NOW)
    for run_id, value in (("text", "1.2"), ("words", "n/a")):
        record(a_metrics_only_run({"annualised_sharpe": value}, strategy_id="STRAT", run_id=run_id), into=store)
    with database.connect() as connection:  # the cast that failed there
        cast = "SELECT state, CAST(metrics_json ->> 'annualised_sharpe' AS float8) AS sharpe FROM backtest_runs"
        rows = connection.execute(text(f"{cast} ORDER BY state")).all()
    assert [(row.state, row.sharpe) for row in rows] == [("metrics_only", 1.2), ("quarantined", None)]


def test_b14_a_status_asked_for_is_the_status_that_comes(database: Database) -> None:
    prepare(database)
    propose(database)
    one = approved(database, "lookback", 21)
    with database.connect() as connection:
        found = proposals.list_proposals(connection, status=[Status.APPROVED])
        assert [record_.proposal_id for record_ in found] == [one.proposal_id]


def test_b15_a_proposal_without_a_strategy_cannot_be_stored(database: Database) -> None:
    prepare(database)
    propose(database)
    with pytest.raises(IntegrityError, match="strategy_id"), database.begin() as connection:
        connection.execute(text("UPDATE meta_config_proposals SET strategy_id = NULL"))
    (refusal,) = save(database, draft(strategy_id="")).refused
    assert "strategy_id is ''" in str(refusal.error)


def test_b16_a_dry_run_refuses_what_the_apply_refuses(database: Database) -> None:
    prepare(database)
    one = approved(database)
    by_hand(database, "UPDATE strategy_knobs SET upper_bound = 0.2 WHERE path = 'risk.max_vol'")
    rehearsed = apply(database, one.proposal_id, dry_run=True)
    with pytest.raises(errors.Blocked) as raised:
        apply(database, one.proposal_id)
    assert (rehearsed.outcome, rehearsed.message) == ("refused", str(raised.value))


@pytest.mark.parametrize("config", ["[]", "5", "null", '"x"'])
def test_b17_a_configuration_is_an_object(database: Database, config: str) -> None:
    declare(database)
    statement = text(
        "INSERT INTO config_versions (strategy_id, version, config_json, config_digest, action, change_id, created_by,"
        " created_at) VALUES ('STRAT', 2, CAST(:config AS jsonb), repeat('0', 64), 'apply', 'x', 'eve', now())"
    )
    with pytest.raises(IntegrityError, match="config_json"), database.begin() as connection:
        connection.execute(statement, {"config": config})


def test_b18_a_revert_keeps_when_it_was_applied_and_who_reverted_when_and_why(database: Database) -> None:
    prepare(database)
    change_id = applied(database)
    later = NOW + timedelta(days=5)
    governance.revert(database, change_id, actor="emil", reason="drawdown", now=later, settings=SETTINGS)
    with database.connect() as connection:
        change = changes.get(connection, change_id)
    stored = get(database, change.proposal_id)
    assert (stored.applied_at, stored.reverted_at) == (NOW, later)
    assert (change.applied_at, change.reverted_at) == (NOW, later)
    assert (change.reverted_by, change.reversion_reason) == ("emil", "drawdown")
    assert actions(database)[-2:] == ["change.apply", "change.revert"]
