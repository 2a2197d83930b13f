"""Saving proposals: each once, bad ones apart, rejected ones not again for a while; finding and listing them."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from meta_pipeline.canonical import ABSENT, Level, digest
from meta_pipeline.errors import (
    Blocked,
    Conflict,
    IllegalTransition,
    InputError,
    MetaPipelineError,
    NotFound,
    StaleBase,
)
from meta_pipeline.proposals.digests import proposal_id, tampering
from meta_pipeline.proposals.states import Status
from meta_pipeline.store import governance, proposal_rows, proposals
from meta_pipeline.store.database import Database
from meta_pipeline_tests.proposals.governed import draft
from meta_pipeline_tests.store.governed import (
    NOW,
    SETTINGS,
    actions,
    applied,
    by_hand,
    contents,
    decide,
    declare,
    get,
    prepare,
    propose,
    save,
    status,
)

pytestmark = pytest.mark.database

LATER = NOW + timedelta(days=15)


def newer(**changes: Any) -> Any:
    return draft(evidence_digest=digest({"campaign": 2}), **changes)


def test_what_is_saved_is_read_back_and_is_what_was_hashed(database: Database) -> None:
    prepare(database)
    evidence = {"big": 1e300, "tiny": -1e-300, "nested": [{"null": None, "whole": 2.0}], "text": "naïve\u202e"}
    made = draft("risk.stop", ABSENT, 0.125, supporting_metrics=evidence, market_id="US", legacy_confidence=None)
    (identity,) = save(database, made).new
    stored = get(database, identity)
    assert stored.draft == made
    assert tampering(stored) is None
    assert stored.expires_at == NOW + timedelta(days=14)


@pytest.mark.parametrize("value", [None, 0, 0.0, False, "", [], {}, {"a": None}])
def test_every_kind_of_empty_value_stays_what_it_is_and_none_is_absent(database: Database, value: Level) -> None:
    prepare(
        database,
        live_config={"risk": value, "lookback": 5, "mode": "slow", "portfolio_id": "", "frozen": 0.0, "max": 1},
        knobs=[],
    )
    by_hand(
        database,
        "INSERT INTO strategy_knobs SELECT strategy_id, 'risk', 'json', null, null, null, null, "
        "'unknown', true, true FROM strategies",
    )
    (identity,) = save(database, draft("risk", value, ABSENT, risk_change="unknown")).new
    stored = get(database, identity)
    assert stored.draft.current == value
    assert type(stored.draft.current) is type(value)
    assert stored.draft.proposed is ABSENT


def test_bad_drafts_are_named_and_keep_no_good_one_out(database: Database) -> None:
    prepare(database)
    bad: list[tuple[Any, type[MetaPipelineError], str]] = [
        (draft("max_leverage", ABSENT, 1e9), Blocked, "max_leverage is not a declared knob"),
        (draft("risk.max_vol", 0.5, 1e9), Blocked, "above its upper bound"),
        (draft("portfolio_id", "P1", "P2"), Blocked, "identifier or a date"),
        (draft("frozen", 1.0, 2.0), Blocked, "not changeable"),
        (draft("untouched", LIVE_UNTOUCHED, ABSENT), Blocked, "not a declared knob"),
        (draft(proposed=0.3, base_version=4), StaleBase, "version 4"),
        (draft(current=0.4), StaleBase, "0.5 now"),
        (draft(proposed=0.3, risk_change="raises"), Blocked, "on risk as 'raises', but by .* it is 'reduces'"),
        (draft(proposed=float("nan")), InputError, "cannot be written as JSON"),
        (draft(strategy_id="\x00"), InputError, "strategy_id holds a NUL"),
        (draft(strategy_id="NOBODY"), NotFound, "no strategy 'NOBODY'"),
        (draft("risk.max_vol", 0.5, 0.5), Blocked, "change nothing"),
    ]
    good = [draft(), draft("lookback", 63, 21), draft("alpha", ABSENT, 0.7)]
    result = save(database, good[0], *[one for one, _, _ in bad], *good[1:])
    assert result.new == tuple(proposal_id(one) for one in good)
    assert len(result.refused) == len(bad)
    for refusal, (one, error, said) in zip(result.refused, bad, strict=True):
        assert refusal.draft is one
        assert type(refusal.error) is error, refusal.error
        with pytest.raises(error, match=said):
            raise refusal.error


LIVE_UNTOUCHED = {"deep": [1, 2.5, None]}


def test_the_same_draft_twice_in_one_batch_is_one_proposal(database: Database) -> None:
    prepare(database)
    result = save(database, draft(), draft(rationale="in other words"))
    assert (len(result.new), result.existing) == (1, result.new)


def test_newer_evidence_for_the_same_change_takes_the_place_of_the_older_undecided_proposal(database: Database) -> None:
    prepare(database)
    (old,) = save(database, draft()).new
    result = save(database, newer())
    assert result.superseded == (old,)
    assert get(database, old).status is Status.SUPERSEDED
    assert result.new[0] in str(get(database, old).status_reason)
    assert actions(database) == ["proposal.create", "proposal.create", "proposal.supersede"]


def test_newer_evidence_leaves_an_approved_proposal_and_those_of_people_alone(database: Database) -> None:
    prepare(database)
    (old,) = save(database, draft()).new
    decide(database, get(database, old))
    by_ann = propose(database)
    assert save(database, newer()).superseded == ()
    assert get(database, old).status is Status.APPROVED
    assert status(database, by_ann) == "PENDING"


def test_a_rejection_suppresses_the_same_change_for_a_while_and_points_at_itself(database: Database) -> None:
    prepare(database)
    (identity,) = save(database, draft()).new
    decide(database, get(database, identity), "reject", reason="too late in the year")
    for one in (draft(), newer()):
        result = save(database, one, now=LATER)
        assert result.new == ()
        (suppressed,) = result.suppressed_by_rejection
        assert (suppressed.proposal_id, suppressed.until) == (identity, NOW + timedelta(days=30))
        assert "rejected by Bob: too late in the year" in suppressed.text()
    assert len(save(database, newer(proposed=0.3)).new) == 1  # another change
    again = save(database, draft(), newer(), now=NOW + timedelta(days=30, seconds=1))
    assert len(again.new) == 2
    assert identity not in again.new


def test_a_person_too_is_told_of_a_rejection(database: Database) -> None:
    prepare(database)
    (identity,) = save(database, draft()).new
    decide(database, get(database, identity), "reject", reason="no")
    with pytest.raises(Blocked, match=f"{identity}, was rejected by Bob: no .*from 2026-12-20 on"):
        propose(database)


def test_a_reverted_change_is_not_proposed_again_by_the_machine_for_a_while_but_may_be_by_a_person(
    database: Database,
) -> None:
    prepare(database)
    (identity,) = save(database, draft()).new
    decide(database, get(database, identity))
    result = governance.apply(database, identity, actor="dora", now=NOW, settings=SETTINGS)
    assert result.change_id is not None
    governance.revert(database, result.change_id, actor="emil", reason="it hurt", now=NOW, settings=SETTINGS)
    (suppressed,) = save(database, newer(base_version=3)).suppressed_by_rejection
    assert "reverted by emil: it hurt" in suppressed.text()
    assert propose(database).draft.base_version == 3


@pytest.mark.parametrize("end", ["expired", "stale", "superseded", "withdrawn"])
def test_a_change_whose_proposal_ended_undecided_may_be_proposed_again_on_the_same_evidence(
    database: Database, end: str
) -> None:
    prepare(database)
    (first,) = save(database, draft()).new
    base = 1
    if end == "expired":
        with database.begin() as connection:
            assert governance.expire(connection, LATER) == (first,)
    elif end == "stale":
        governance.revert(
            database, applied(database, "lookback", 21), actor="emil", reason="x", now=NOW, settings=SETTINGS
        )
        base = 3
    elif end == "superseded":
        save(database, newer())
    else:
        governance.withdraw(database, first, actor="meta-pipeline", reason="a mistake", now=NOW)
    assert get(database, first).status == end.upper()
    again = replace(draft(), base_version=base)
    (second,) = save(database, again, now=LATER).new
    assert second != first
    assert save(database, again, now=LATER).existing == (second,)
    assert tampering(get(database, second)) is None


def test_a_proposal_is_found_by_the_first_digits_of_its_id(database: Database) -> None:
    prepare(database)
    (identity,) = save(database, draft()).new
    with database.connect() as connection:
        for asked in (identity, identity[:10], identity.removeprefix("prop-")[:5]):
            assert proposals.find(connection, asked) == identity
        for asked, said in (("prop-", "too short"), ("zzzz", "no proposal"), ("prop-\x00\x00\x00\x00", "too short")):
            with pytest.raises(NotFound, match=said):
                proposals.find(connection, asked)
        with pytest.raises(NotFound, match="proposals list"):
            proposals.get(connection, "'; DROP TABLE strategies; --")


def test_a_prefix_of_several_ids_is_answered_with_them(database: Database) -> None:
    prepare(database)
    save(database, draft(), draft("lookback", 63, 21))
    by_hand(database, "UPDATE meta_config_proposals SET proposal_id = 'prop-aaaa' || right(proposal_id, 4)")
    with pytest.raises(NotFound, match=r"'aaaa' is the start of prop-aaaa.*, prop-aaaa"), database.connect() as c:
        proposals.find(c, "aaaa")


def test_proposals_are_listed_by_strategy_and_status_and_counted(database: Database) -> None:
    prepare(database)
    declare(database, "OTHER")
    save(database, draft(), draft("lookback", 63, 21, expected_sharpe_improvement=0.9), draft(strategy_id="OTHER"))
    decide(database, propose(database, "alpha", 0.5))
    with database.connect() as connection:
        pending = proposals.list_proposals(connection, strategy_id="STRAT", status=[Status.PENDING])
        assert [record.draft.target_component for record in pending] == ["lookback", "risk.max_vol"]
        assert len(proposals.list_proposals(connection)) == 4
        assert len(proposals.list_proposals(connection, limit=2)) == 2
        assert proposals.list_proposals(connection, status=[Status.APPLIED]) == []
        assert proposals.count_by_status(connection) == {Status.APPROVED: 1, Status.PENDING: 3}


def test_one_row_that_somebody_spoilt_by_hand_hides_none_of_the_others(database: Database) -> None:
    prepare(database)
    save(database, draft(), draft("lookback", 63, 21))
    by_hand(
        database,
        "UPDATE meta_config_proposals SET author = E'\\u200b', rationale = '', market_id = E'\\u202e' "
        "WHERE target_component = 'lookback'",
    )
    with database.connect() as connection:
        records = proposals.list_proposals(connection)
    assert sorted(tampering(record) is None for record in records) == [False, True]


def test_a_refused_draft_leaves_nothing_behind(database: Database) -> None:
    prepare(database)
    before = contents(database)
    save(database, draft("risk.max_vol", 0.5, 5.0))
    assert contents(database) == before
    assert SETTINGS.rejection_days == 30


def test_a_proposal_is_not_moved_on_the_strength_of_a_content_that_is_no_more(database: Database) -> None:
    prepare(database)
    read = propose(database)
    governance.edit(database, read.proposal_id, rationale="in other words", editor="zoe", now=NOW)
    with pytest.raises(Conflict, match="changed meanwhile"), database.begin() as connection:
        proposal_rows.move(connection, read, Status.WITHDRAWN)
    with pytest.raises(IllegalTransition, match="is PENDING"), database.begin() as connection:
        proposal_rows.move(connection, read, Status.APPLIED, applied_at=NOW)
    assert status(database, read) == "PENDING"
