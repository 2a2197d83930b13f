"""Races between real processes on a real PostgreSQL: whoever wins, what is left is whole and told truthfully."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from meta_pipeline.canonical import canonical_json
from meta_pipeline.proposals.configs import level_at
from meta_pipeline.store import freezing, strategies
from meta_pipeline.store.database import Database
from meta_pipeline_tests.store import governed, workers
from meta_pipeline_tests.store.governed import NOW, actions, applied, approved, get, live, prepare, propose, status
from meta_pipeline_tests.store.invariants import check_invariants
from meta_pipeline_tests.store.processes import run_in_processes, start_process, wait_for
from meta_pipeline_tests.store.workers import racing

pytestmark = pytest.mark.database


def race(database: Database, *acts: tuple[Any, ...]) -> list[Any]:
    return run_in_processes(database, racing(list(acts)), count=len(acts))


def test_of_twenty_four_who_apply_one_proposal_one_does_and_the_others_hear_of_the_same_change(
    database: Database,
) -> None:
    prepare(database)
    record = approved(database)
    answers = race(database, *[("apply", record.proposal_id)] * 24)
    outcomes = sorted(outcome for outcome, _ in answers)
    assert outcomes == ["already_applied"] * 23 + ["applied"]
    assert len({change_id for _, change_id in answers}) == 1
    assert live(database).version == 2
    assert actions(database).count("change.apply") == 1
    check_invariants(database)


def test_an_apply_against_edits_writes_exactly_the_content_that_was_approved(database: Database) -> None:
    prepare(database)
    record = approved(database)
    edit, applied_, other_edit = race(
        database,
        ("edit", record.proposal_id, "zoe"),
        ("apply", record.proposal_id),
        ("edit", record.proposal_id, "Bob"),
    )
    assert applied_[0] == "applied"
    assert all(refused.startswith("IllegalTransition: ") for refused in (edit, other_edit))
    stored = get(database, record.proposal_id)
    assert (stored.body_digest, stored.status) == (record.body_digest, "APPLIED")
    assert live(database).config["risk"] == {"max_vol": 0.25, "cap": 3}
    check_invariants(database)


def test_two_applies_on_one_strategy_lose_nothing_the_second_is_stale_and_says_so(database: Database) -> None:
    prepare(database)
    first, second = approved(database), approved(database, "lookback", 21)
    answers = race(database, ("apply", first.proposal_id), ("apply", second.proposal_id))
    won = [answer for answer in answers if isinstance(answer, tuple)]
    lost = [answer for answer in answers if isinstance(answer, str)]
    assert [outcome for outcome, _ in won] == ["applied"]
    assert len(lost) == 1
    assert lost[0].startswith("StaleBase: ")
    assert won[0][1] in lost[0]  # it names the change that moved the configuration
    assert sorted([status(database, first), status(database, second)]) == ["APPLIED", "STALE"]
    config = live(database).config
    assert (level_at(config, "risk.max_vol"), level_at(config, "lookback")) in [(0.25, 63), (0.5, 21)]


def test_applies_on_different_strategies_do_not_disturb_each_other(database: Database) -> None:
    prepare(database)
    records = [approved(database)]
    for name in ("B", "C", "D"):
        governed.declare(database, name)
        records.append(approved(database, strategy_id=name))
    answers = race(database, *[("apply", record.proposal_id) for record in records])
    assert [outcome for outcome, _ in answers] == ["applied"] * 4
    assert actions(database).count("change.apply") == 4


def test_an_approval_against_an_edit_is_either_first_or_names_a_content_that_is_no_more(database: Database) -> None:
    prepare(database)
    record = propose(database)
    decision, edit = race(
        database,
        ("decide", record.proposal_id, record.body_digest, "approve", "Bob"),
        ("edit", record.proposal_id, "zoe"),
    )
    stored = get(database, record.proposal_id)
    if decision[0] == "approved":
        assert edit.startswith("IllegalTransition: ")
        assert (stored.status, stored.body_digest) == ("APPROVED", record.body_digest)
    else:
        assert decision == ("refused", "DigestMismatch")
        assert edit == ("edited", stored.body_digest)
        assert stored.status == "PENDING"
        assert stored.body_digest != record.body_digest


def test_an_approval_against_a_rejection_ends_in_one_of_them_with_all_decisions_on_record(database: Database) -> None:
    prepare(database)
    record = propose(database)
    answers = race(
        database,
        ("decide", record.proposal_id, record.body_digest, "approve", "Bob"),
        ("decide", record.proposal_id, record.body_digest, "reject", "Cleo"),
    )
    # A rejection wins in either order: it may also take an approval back.
    assert answers[1] == ("rejected", "")
    assert answers[0] in {("approved", ""), ("refused", "IllegalTransition")}
    assert status(database, record) == "REJECTED"
    decided = [action for action in actions(database) if action in {"proposal.approve", "proposal.reject"}]
    assert decided[-1] == "proposal.reject"
    assert len(decided) == (2 if answers[0][0] == "approved" else 1)


def test_a_revert_against_an_apply_on_the_same_key_leaves_the_key_with_exactly_one_of_their_results(
    database: Database,
) -> None:
    prepare(database)
    change_id = applied(database)
    newer = approved(database, "risk.max_vol", 0.2)
    reverted, apply = race(database, ("revert", change_id), ("apply", newer.proposal_id))
    level = canonical_json(live(database).config["risk"])
    if isinstance(reverted, tuple):
        assert reverted[0] == "reverted"
        assert apply.startswith("StaleBase: ")
        assert level == '{"cap":3,"max_vol":0.5}'
    else:
        assert reverted.startswith("Conflict: ")
        assert "0.25 by this change, 0.2 now" in reverted
        assert apply[0] == "applied"
        assert level == '{"cap":3,"max_vol":0.2}'
    assert live(database).version == 3


def test_of_four_who_revert_one_change_one_does(database: Database) -> None:
    prepare(database)
    change_id = applied(database)
    answers = race(database, *[("revert", change_id)] * 4)
    assert sorted(outcome for outcome, _ in answers) == ["already_reverted"] * 3 + ["reverted"]
    assert live(database).version == 3


def test_an_apply_that_waited_while_a_freeze_was_recorded_is_stopped_by_it(database: Database) -> None:
    prepare(database)
    record = approved(database, "risk.max_vol", 0.7)  # raises risk: not exempt
    with database.begin() as holder:
        strategies.lock(holder, "STRAT")
        process = start_process(database, workers.apply_reporting, record.proposal_id)
        wait_for(lambda: waits_for_a_lock(database), "the apply to wait")
        with database.begin() as connection:
            freezing.freeze_now(
                connection, reason="incident", strategy_id=None, actor="ann", now=NOW + timedelta(seconds=2)
            )
    process.join(60)
    assert process.exitcode == workers.REFUSED
    assert status(database, record) == "APPROVED"
    assert live(database).version == 1


def waits_for_a_lock(database: Database) -> bool:
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    with database.connect() as connection:
        return bool(connection.execute(text(waiting)).scalar_one())
