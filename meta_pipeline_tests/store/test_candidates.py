from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, insert, select
from sqlalchemy.exc import IntegrityError

from meta_pipeline.canonical import ABSENT
from meta_pipeline.proposals.candidate import Proposed, Rule
from meta_pipeline.store import candidates as store
from meta_pipeline.store import schema
from meta_pipeline.store.database import Database
from meta_pipeline_tests.report.builders import candidate

NOW = datetime(2026, 11, 20, 9, tzinfo=UTC)
FIRST, SECOND = "a" * 64, "b" * 64


def campaign(evidence: str = FIRST) -> Proposed:
    return Proposed(
        evidence_digest=evidence,
        proposals=(candidate("small"), candidate("lookback")),
        suppressed=(
            candidate("dead", suppressed_by=Rule.DEAD_KNOB),
            candidate("stop", ABSENT, None, suppressed_by=Rule.NOT_BETTER),
            candidate("stop", None, ABSENT, suppressed_by=Rule.NOT_BETTER),
        ),
    )


@pytest.fixture
def strategy(database: Database) -> Database:
    with database.begin() as connection:
        for name in ("STRAT_001", "STRAT_002"):
            connection.execute(insert(schema.strategies).values(strategy_id=name, created_by="ada"))
    return database


def test_all_candidates_are_kept_and_read_back_with_the_rule_that_stopped_them(strategy: Database) -> None:
    with strategy.begin() as connection:
        ids = store.write_candidates(connection, campaign(), strategy_id="STRAT_001", now=NOW)
    with strategy.connect() as connection:
        found = store.read_candidates(connection, "STRAT_001")
    assert len(set(ids)) == 5
    assert {stored.candidate_id for stored in found} == set(ids)
    assert [stored.candidate.is_proposal for stored in found] == [True, True, False, False, False]
    by_id = {stored.candidate_id: stored.candidate.to_json() for stored in found}
    assert [by_id[name] for name in ids] == [written.to_json() for written in campaign().candidates]


def test_an_absent_level_is_sql_null_and_a_null_level_is_json_null(strategy: Database) -> None:
    with strategy.begin() as connection:
        store.write_candidates(connection, campaign(), strategy_id="STRAT_001", now=NOW)
        rows = connection.exec_driver_sql(
            "SELECT from_value IS NULL, from_value = 'null', to_value IS NULL, to_value = 'null'"
            " FROM candidates WHERE knob_path = 'stop'"
        ).all()
    assert sorted(map(tuple, rows), key=str) == [(False, True, True, None), (True, None, False, True)]


def test_writing_the_same_campaign_again_adds_nothing(strategy: Database) -> None:
    with strategy.begin() as connection:
        first = store.write_candidates(connection, campaign(), strategy_id="STRAT_001", now=NOW)
    with strategy.begin() as connection:
        again = store.write_candidates(connection, campaign(), strategy_id="STRAT_001", now=NOW + timedelta(days=1))
        rows = connection.execute(select(func.count()).select_from(schema.candidates)).scalar_one()
        stored = store.read_candidate(connection, first[0])
    assert again == first
    assert rows == 5
    assert stored is not None
    assert (stored.created_at, stored.seen_at) == (NOW, NOW + timedelta(days=1))


def test_evidence_that_comes_back_is_the_latest_again(strategy: Database) -> None:
    with strategy.begin() as connection:
        for hour, evidence in enumerate((FIRST, SECOND, FIRST)):
            store.write_candidates(
                connection, campaign(evidence), strategy_id="STRAT_001", now=NOW + timedelta(hours=hour)
            )
        assert store.latest_evidence(connection, "STRAT_001") == FIRST
        assert {stored.evidence_digest for stored in store.read_candidates(connection, "STRAT_001")} == {FIRST}
        older = store.read_candidates(connection, "STRAT_001", evidence_digest=SECOND)
        assert {stored.evidence_digest for stored in older} == {SECOND}


def test_suppressed_candidates_are_counted_by_rule_for_their_strategy_only(strategy: Database) -> None:
    with strategy.begin() as connection:
        store.write_candidates(connection, campaign(), strategy_id="STRAT_001", now=NOW)
        store.write_candidates(connection, campaign(SECOND), strategy_id="STRAT_002", now=NOW + timedelta(days=1))
        assert store.suppressed_counts(connection, "STRAT_001") == {"not_better": 2, "dead_knob": 1}
        assert store.suppressed_counts(connection, "STRAT_001", evidence_digest=SECOND) == {}


def test_a_strategy_without_candidates_has_none(strategy: Database) -> None:
    with strategy.connect() as connection:
        assert store.read_candidates(connection, "STRAT_001") == ()
        assert store.read_candidate(connection, "c" * 64) is None
        assert store.suppressed_counts(connection, "STRAT_001") == {}


def test_a_campaign_without_candidates_writes_nothing(strategy: Database) -> None:
    nothing = Proposed(evidence_digest=FIRST, proposals=(), suppressed=(), insufficient_data="too little")
    with strategy.begin() as connection:
        assert store.write_candidates(connection, nothing, strategy_id="STRAT_001", now=NOW) == ()


def test_a_path_that_is_too_long_for_its_column_is_kept_whole_in_the_body(strategy: Database) -> None:
    long = Proposed(
        evidence_digest=FIRST,
        proposals=(),
        suppressed=(
            candidate("k" * 300, suppressed_by=Rule.UNDECLARED),
            candidate("k" * 301, suppressed_by=Rule.UNDECLARED),
        ),
    )
    with strategy.begin() as connection:
        store.write_candidates(connection, long, strategy_id="STRAT_001", now=NOW)
        found = store.read_candidates(connection, "STRAT_001")
    assert [len(stored.candidate.knob) for stored in found] == [300, 301]


def test_an_unknown_strategy_is_refused(database: Database) -> None:
    with pytest.raises(IntegrityError, match="strategies"), database.begin() as connection:
        store.write_candidates(connection, campaign(), strategy_id="nobody", now=NOW)
