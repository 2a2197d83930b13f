"""Applying: everything is checked again, written in one transaction, once; a dry run does the same and undoes it."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy.exc import DBAPIError

from meta_pipeline import errors
from meta_pipeline.canonical import ABSENT, canonical_json
from meta_pipeline.proposals.configs import level_at
from meta_pipeline.proposals.draft import ProposalRecord
from meta_pipeline.store import approvers, changes, governance
from meta_pipeline.store.database import Database
from meta_pipeline_tests.proposals.governed import LIVE
from meta_pipeline_tests.store.governed import (
    NOW,
    SETTINGS,
    actions,
    applied,
    approved,
    by_hand,
    contents,
    declare,
    get,
    live,
    prepare,
    propose,
    status,
)
from meta_pipeline_tests.store.invariants import check_invariants

pytestmark = pytest.mark.database

DAY = timedelta(days=1)


def apply(database: Database, record: ProposalRecord, **options: Any) -> Any:
    return governance.apply(
        database, record.proposal_id, **{"actor": "dora", "now": NOW, "settings": SETTINGS, **options}
    )


def refused(database: Database, record: ProposalRecord, error: type[errors.MetaPipelineError], said: str) -> None:
    """See an apply refused by this error, the configuration untouched, and the dry run agree."""
    before, configuration = contents(database), live(database)
    rehearsed = apply(database, record, dry_run=True)
    assert contents(database) == before
    with pytest.raises(error, match=said) as raised:
        apply(database, record)
    assert type(raised.value) is error
    assert live(database) == configuration
    assert (rehearsed.outcome, type(rehearsed.error), str(rehearsed.error)) == ("refused", error, str(raised.value))


def test_an_apply_writes_version_change_status_and_audit_entry_that_agree(database: Database) -> None:
    prepare(database)
    record = approved(database)
    result = apply(database, record)
    assert (result.outcome, result.base_version, result.new_version) == ("applied", 1, 2)
    assert result.message.startswith("applied as change chg-")
    assert "Change risk.max_vol of STRAT from 0.5 to 0.25: reduces risk." in result.message
    expected = {**LIVE, "risk": {"max_vol": 0.25, "cap": 3}}
    assert live(database).config == result.after == expected
    assert get(database, record.proposal_id).applied_at == NOW
    with database.connect() as connection:
        change = changes.get(connection, result.change_id)
    assert (change.previous_value, change.new_value, change.applied_by) == (0.5, 0.25, "dora")
    assert (change.risk_change, change.base_version, change.new_version) == ("reduces", 1, 2)
    check_invariants(database)


def test_applying_twice_answers_already_applied_with_the_same_change(database: Database) -> None:
    prepare(database)
    record = approved(database)
    first = apply(database, record)
    before = contents(database)
    for actor in ("dora", "emil", "dagster"):
        again = apply(database, record, actor=actor, now=NOW + DAY)
        assert (again.outcome, again.change_id) == ("already_applied", first.change_id)
    assert contents(database) == before


def test_a_machine_may_carry_out_what_a_person_approved(database: Database) -> None:
    prepare(database)
    result = apply(database, approved(database), actor="dagster")
    assert result.outcome == "applied"
    with database.connect() as connection:
        assert changes.get(connection, result.change_id).applied_by == "dagster"


@pytest.mark.parametrize("length", [65, 128])
def test_a_long_name_fits_and_one_that_does_not_changes_nothing(database: Database, length: int) -> None:
    prepare(database)
    record = approved(database)
    before = contents(database)
    with pytest.raises(errors.InputError, match="129 characters"):
        apply(database, record, actor="x" * 129)
    assert contents(database) == before
    assert apply(database, record, actor="x" * length).outcome == "applied"
    check_invariants(database)


def test_a_proposal_that_is_not_approved_is_not_applied(database: Database) -> None:
    prepare(database)
    refused(database, propose(database), errors.IllegalTransition, "is PENDING and cannot become APPLIED")


def test_a_status_set_by_hand_is_no_approval(database: Database) -> None:
    prepare(database)
    record = propose(database)
    by_hand(
        database,
        "UPDATE meta_config_proposals SET status = 'APPROVED', approved_by = 'Bob', approved_at = :now, "
        "approval_expires_at = :ends",
        now=NOW,
        ends=NOW + DAY,
    )
    refused(database, record, errors.NotPermitted, "no approval .* is on record")


def test_an_approval_counts_only_for_the_content_it_names(database: Database) -> None:
    prepare(database)
    record = approved(database)
    forged = record.body.replace("0.25", "0.95").replace('"reduces"', '"raises"')
    by_hand(
        database,
        "UPDATE meta_config_proposals SET proposed_value = '0.95', risk_change = 'raises', body = :body, "
        "rationale = replace(rationale, '0.25', '0.95'), "
        "supporting_metrics = replace(supporting_metrics::text, '0.25', '0.95')::jsonb, "
        "body_digest = encode(sha256(convert_to(:body, 'UTF8')), 'hex')",
        body=forged,
    )
    with pytest.raises(errors.MetaPipelineError) as raised:
        apply(database, record)
    assert isinstance(raised.value, errors.ContentTampered | errors.DigestMismatch)
    assert live(database).version == 1


def test_a_row_changed_by_hand_after_its_approval_is_noticed(database: Database) -> None:
    prepare(database)
    record = approved(database)
    by_hand(database, "UPDATE meta_config_proposals SET proposed_value = '0.9'")
    refused(database, record, errors.ContentTampered, "columns differ from its hashed body in .*proposed")


def test_an_approval_lapses_and_the_proposal_with_it(database: Database) -> None:
    prepare(database)
    record = approved(database)
    assert apply(database, record, now=NOW + 3 * DAY - timedelta(microseconds=1), dry_run=True).error is None
    with pytest.raises(errors.Lapsed, match=r"approval .* lapsed on 2026-11-23"):
        apply(database, record, now=NOW + 3 * DAY)
    assert status(database, record) == "EXPIRED"
    with pytest.raises(errors.Lapsed, match="is EXPIRED"):
        apply(database, record)
    assert live(database).version == 1
    check_invariants(database)


def test_an_approval_extended_by_hand_still_lapses(database: Database) -> None:
    prepare(database)
    record = approved(database)
    by_hand(database, "UPDATE meta_config_proposals SET approval_expires_at = approval_expires_at + interval '1 year'")
    with pytest.raises(errors.Lapsed):
        apply(database, record, now=NOW + 4 * DAY)


def test_an_approver_who_left_the_list_takes_the_approval_along(database: Database) -> None:
    prepare(database)
    record = approved(database)
    with database.begin() as connection:
        approvers.remove(connection, "Bob", actor="ann", now=NOW)
    refused(database, record, errors.NotAnApprover, "'Bob' is not on the list")
    with database.begin() as connection:
        approvers.add(connection, "Bob", actor="ann", now=NOW)
    assert apply(database, record).outcome == "applied"


def test_bounds_type_and_declaration_are_checked_again(database: Database) -> None:
    prepare(database)
    record = approved(database)
    by_hand(database, "UPDATE strategy_knobs SET lower_bound = 0.3 WHERE path = 'risk.max_vol'")
    refused(database, record, errors.Blocked, "0.25 is below its lower bound 0.3")
    by_hand(database, "UPDATE strategy_knobs SET lower_bound = 0.1, changeable = false WHERE path = 'risk.max_vol'")
    refused(database, record, errors.Blocked, "not changeable")
    by_hand(database, "UPDATE strategy_knobs SET changeable = true, risk_direction = 'lower_is_riskier'")
    refused(database, record, errors.Blocked, "effect on risk as 'reduces', .* it is 'raises'")
    by_hand(database, "DELETE FROM strategy_knobs")
    refused(database, record, errors.Blocked, "not a declared knob of STRAT; declared are: none")
    assert status(database, record) == "APPROVED"


def test_a_moved_base_is_stale_names_what_moved_it_and_writes_nothing_else(database: Database) -> None:
    prepare(database)
    record = approved(database)
    change_id = applied(database, "lookback", 21)
    assert status(database, record) == "STALE"
    by_hand(
        database,
        "UPDATE meta_config_proposals SET status = 'APPROVED' WHERE proposal_id = :id",
        id=record.proposal_id,
    )
    refused(database, record, errors.StaleBase, f"but live is version 2 .version 2 by dora, apply of {change_id}")
    assert status(database, record) == "STALE"
    assert actions(database)[-1] == "proposal.stale"


def test_a_strategy_without_a_live_configuration_allows_nothing(database: Database) -> None:
    prepare(database)
    record = approved(database)
    by_hand(database, "UPDATE strategies SET live_version = NULL")
    with pytest.raises(errors.StaleBase, match="version 1 of STRAT, but live is no version"):
        apply(database, record)
    assert status(database, record) == "STALE"


def test_what_is_applied_ends_the_others_competitors_as_superseded_and_the_rest_as_stale(database: Database) -> None:
    prepare(database)
    declare(database, "OTHER")
    record = approved(database)
    same, outer = propose(database, "risk.max_vol", 0.3), propose(database, "risk", {"max_vol": 0.1, "cap": 1})
    unrelated, elsewhere = approved(database, "lookback", 21), approved(database, strategy_id="OTHER")
    result = apply(database, record)
    assert set(result.superseded) == {same.proposal_id, outer.proposal_id}
    assert result.made_stale == (unrelated.proposal_id,)
    assert [status(database, one) for one in (same, outer, unrelated, elsewhere)] == [
        *("SUPERSEDED", "SUPERSEDED", "STALE", "APPROVED"),
    ]
    with pytest.raises(errors.StaleBase, match=f"moved by change {result.change_id}"):
        apply(database, unrelated)
    check_invariants(database)


def test_an_absent_key_is_set_with_the_objects_around_it(database: Database) -> None:
    prepare(database, live_config={key: value for key, value in LIVE.items() if key != "risk"}, knobs=())
    by_hand(
        database,
        "INSERT INTO strategy_knobs VALUES "
        "('STRAT', 'risk.limits.stop', 'float', 0, 1, NULL, NULL, 'unknown', true, true)",
    )
    change_id = applied(database, "risk.limits.stop", 0.1)
    assert live(database).config["risk"] == {"limits": {"stop": 0.1}}
    with database.connect() as connection:
        assert changes.get(connection, change_id).previous_value is ABSENT
    governance.revert(database, change_id, actor="emil", reason="x", now=NOW, settings=SETTINGS)
    assert "risk" not in live(database).config


def test_a_key_is_removed_and_comes_back_with_the_revert(database: Database) -> None:
    prepare(database, live_config={**LIVE, "alpha": 0.125})
    before = live(database)
    change_id = applied(database, "alpha", ABSENT)
    assert level_at(live(database).config, "alpha") is ABSENT
    governance.revert(database, change_id, actor="emil", reason="x", now=NOW, settings=SETTINGS)
    assert live(database).digest == before.digest
    assert live(database).config["alpha"] == 0.125


def test_a_dry_run_runs_the_real_transaction_and_leaves_no_trace(database: Database) -> None:
    prepare(database)
    record, rival = approved(database), propose(database, "risk.max_vol", 0.3)
    before = contents(database)
    result = apply(database, record, dry_run=True)
    assert contents(database) == before
    assert (result.outcome, result.dry_run, result.new_version) == ("would_apply", True, 2)
    assert [(key.path, key.before, key.after, key.risk_change) for key in result.touched] == [
        ("risk.max_vol", 0.5, 0.25, "reduces")
    ]
    assert result.after == {**LIVE, "risk": {"max_vol": 0.25, "cap": 3}}
    assert result.superseded == (rival.proposal_id,)
    assert len(result.checks) == 16
    assert all(check.passed and check.text for check in result.checks)
    real = apply(database, record)
    assert (real.change_id, real.after, real.touched) == (result.change_id, result.after, result.touched)


def test_a_dry_run_finds_what_only_the_database_would_refuse(database: Database) -> None:
    prepare(database)
    record = approved(database)
    by_hand(
        database,
        """CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no'; END $$""",
    )
    by_hand(
        database,
        "CREATE CONSTRAINT TRIGGER no AFTER INSERT ON config_change_log DEFERRABLE INITIALLY DEFERRED "
        "FOR EACH ROW EXECUTE FUNCTION no()",
    )
    before = contents(database)
    for dry_run in (True, False):
        with pytest.raises(DBAPIError, match="no"):
            apply(database, record, dry_run=dry_run)
    assert contents(database) == before


def test_a_preview_shows_a_pending_proposal_as_it_would_be_without_locking_anything(database: Database) -> None:
    prepare(database)
    record = propose(database)
    with database.connect() as connection:  # read only
        seen = governance.preview(connection, record.proposal_id, now=NOW, settings=SETTINGS)
    assert seen.outcome == "would_apply"
    assert [check.name for check in seen.checks] == [
        *("content", "lifetime", "base", "knob", "target", "risk", "conflicts", "tier", "budget", "freeze"),
    ]
    assert canonical_json(dict(seen.after)) == canonical_json({**LIVE, "risk": {"max_vol": 0.25, "cap": 3}})


def test_a_batch_applies_what_can_be_and_names_what_cannot(database: Database) -> None:
    prepare(database)
    for name in ("B", "C", "D"):
        declare(database, name)
    bad = approved(database, "lookback", 21)
    good = [approved(database, strategy_id=name) for name in ("B", "C", "D")]
    by_hand(database, "UPDATE meta_config_proposals SET rationale = 'x' WHERE strategy_id = 'STRAT'")
    results = governance.apply_approved(database, actor="dora", now=NOW, settings=SETTINGS)
    assert {result.proposal_id: result.outcome for result in results} == {
        bad.proposal_id: "refused",
        **{record.proposal_id: "applied" for record in good},
    }
    assert status(database, bad) == "APPROVED"
    assert governance.apply_approved(database, "B", actor="dora", now=NOW, settings=SETTINGS) == []


def test_of_several_changes_of_one_strategy_the_first_approved_is_applied_and_the_others_named(
    database: Database,
) -> None:
    prepare(database)
    first = approved(database, now=NOW)
    second = approved(database, "lookback", 21, now=NOW + timedelta(minutes=1))
    at = NOW + timedelta(hours=1)
    before = contents(database)
    rehearsed = governance.apply_approved(database, actor="dora", now=at, dry_run=True, settings=SETTINGS)
    assert contents(database) == before
    results = governance.apply_approved(database, actor="dora", now=at, settings=SETTINGS)
    for found, outcome in ((rehearsed, "would_apply"), (results, "applied")):
        assert [(result.proposal_id, result.outcome) for result in found] == [
            (first.proposal_id, outcome),
            (second.proposal_id, "refused"),
        ]
        assert isinstance(found[1].error, errors.StaleBase)
        assert found[0].change_id is not None
        assert found[0].change_id in found[1].message


def test_chosen_proposals_are_applied_in_the_order_given_and_an_unknown_one_stops_none(database: Database) -> None:
    prepare(database)
    declare(database, "B")
    mine, other = approved(database), approved(database, strategy_id="B")
    asked = ["prop-unknown", other.proposal_id, mine.proposal_id]
    results = governance.apply_approved(database, actor="dora", now=NOW, proposal_ids=asked, settings=SETTINGS)
    assert [result.outcome for result in results] == ["refused", "applied", "applied"]
    assert isinstance(results[0].error, errors.NotFound)


def test_a_knob_on_whose_way_something_is_no_object_is_never_forced(database: Database) -> None:
    prepare(database, live_config={**LIVE, "alpha": 0.5})
    by_hand(
        database,
        "INSERT INTO strategy_knobs VALUES ('STRAT', 'alpha.x', 'float', 0, 1, NULL, NULL, 'unknown', true, true)",
    )
    with pytest.raises(errors.InputError, match=r"'alpha' on the way to it is 0\.5, not an object"):
        applied(database, "alpha.x", 0.1)
    assert live(database).version == 1
