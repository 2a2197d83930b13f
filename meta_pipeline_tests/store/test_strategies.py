"""Strategies: declared once, redeclared with an audit entry, their live configuration out of reach of declarations."""

import json

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from meta_pipeline.backtests import record
from meta_pipeline.errors import Conflict, InputError, NotFound
from meta_pipeline.proposals.knobs import Knob, RiskDirection
from meta_pipeline.proposals.parameters import RiskLimits
from meta_pipeline.proposals.strategy import Strategy
from meta_pipeline.store import audit, governance, strategies
from meta_pipeline.store.backtests import RunStore
from meta_pipeline.store.database import Database
from meta_pipeline_tests.backtests.runs import a_run
from meta_pipeline_tests.proposals.governed import KNOBS, LIVE, strategy
from meta_pipeline_tests.store.governed import NOW, SETTINGS, applied, contents, declare, live, prepare

pytestmark = pytest.mark.database


def again(database: Database, declared: Strategy) -> strategies.Declared:
    with database.begin() as connection:
        return strategies.declare(connection, declared, actor="cleo", now=NOW)


def test_what_was_declared_is_read_back_value_for_value(database: Database) -> None:
    knobs = (
        Knob(path="w", knob_type="float", lower=0, upper=2, max_step=0.5, choices=(0.5, 1.0, 2)),
        Knob(path="x", knob_type="json", risk_direction=RiskDirection.LOWER_IS_RISKIER, optional=True),
        Knob(path="y", knob_type="bool", changeable=False),
    )
    config = {"w": 1.0, "y": False, "big": 10**30, "tiny": 1e-300, "text": "é\u202e", "none": None, "whole": 1.0}
    declared = strategy("S", knobs=knobs, live_config=config, description="it trades")
    assert again(database, declared) == strategies.Declared(strategy_id="S", created=True, changed=(), live_version=1)
    with database.connect() as connection:
        record = strategies.load(connection, "S")
    assert record.strategy == declared
    assert json.dumps(record.strategy.live_config, sort_keys=True) == json.dumps(config, sort_keys=True)
    assert (record.live_version, record.created_by) == (1, "cleo")


def test_risk_limits_are_kept_with_the_strategy_and_a_change_of_them_is_audited(database: Database) -> None:
    limits = RiskLimits(volatility_rise=0, drawdown_rise=None, drawdown=-0.3)
    declared = strategy("S", risk_limits=limits)
    again(database, declared)
    with database.connect() as connection:
        assert strategies.load(connection, "S").strategy.risk_limits == limits
    assert again(database, declared).changed == ()
    assert again(database, strategy("S")).changed == ("risk_limits",)
    with pytest.raises(InputError, match=r"risk_limits has leverage; there are drawdown"):
        RiskLimits.from_json({"leverage": 2})
    with pytest.raises(InputError, match=r"risk_limits.volatility is 'low'; it must be a number"):
        RiskLimits.from_json({"volatility": "low"})


def test_the_same_declaration_again_writes_nothing_even_after_the_configuration_has_moved(database: Database) -> None:
    prepare(database)
    before = contents(database)
    assert again(database, strategy()).changed == ()
    assert contents(database) == before
    applied(database)
    before = contents(database)
    assert again(database, strategy()).live_version == 2
    assert again(database, strategy(live_config=live(database).config)).changed == ()
    assert contents(database) == before


def test_another_live_configuration_is_refused_key_by_key(database: Database) -> None:
    prepare(database)
    with pytest.raises(Conflict, match=r"lookback: 63 is live, 21 declared.*proposals create"):
        again(database, strategy(live_config={**LIVE, "lookback": 21}))
    assert live(database).config == LIVE


def test_changed_knobs_take_the_place_of_the_former_ones_with_an_audit_entry(database: Database) -> None:
    declare(database)
    tighter = Knob(path="lookback", knob_type="int", lower=10, upper=100)
    knobs = tuple(tighter if knob.path == "lookback" else knob for knob in KNOBS if knob.path != "alpha")
    done = again(database, strategy(knobs=knobs, family="momentum"))
    assert done.changed == ("family", "knob alpha", "knob lookback")
    with database.connect() as connection:
        record = strategies.load(connection, "STRAT")
        (entry,) = audit.entries(connection, action="strategy.redeclare")
    assert record.knobs["lookback"] == tighter
    assert "alpha" not in record.knobs
    payload = json.loads(entry.payload)
    assert payload["knob alpha"]["after"] is None
    assert (payload["knob lookback"]["before"]["upper"], payload["knob lookback"]["after"]["upper"]) == (252, 100)


def test_a_configuration_that_breaks_its_own_knobs_is_no_declaration(database: Database) -> None:
    with pytest.raises(InputError, match=r"lookback = 1000 is above .*mode must be present"):
        declare(database, live_config={"lookback": 1000, "portfolio_id": "P", "frozen": 1.0, "risk": {"max_vol": 0.1}})
    with pytest.raises(NotFound, match="none yet"), database.connect() as connection:
        strategies.load(connection, "STRAT")


def test_a_strategy_that_is_not_there_is_answered_with_those_that_are(database: Database) -> None:
    declare(database, "A")
    declare(database, "B")
    with database.begin() as connection:
        for ask in (strategies.load, strategies.live_config, strategies.lock):
            with pytest.raises(NotFound, match="no strategy 'C'; there are: A, B"):
                ask(connection, "C")
        assert [record.strategy.strategy_id for record in strategies.list_strategies(connection)] == ["A", "B"]


def test_versions_tell_the_whole_history(database: Database) -> None:
    prepare(database)
    change_id = applied(database)
    governance.revert(database, change_id, actor="emil", reason="no good", now=NOW, settings=SETTINGS)
    with database.connect() as connection:
        versions = strategies.versions(connection, "STRAT")
        assert [version.version for version in strategies.versions(connection, "STRAT", after=2)] == [3]
    assert [(v.version, v.action, v.change_id, v.created_by) for v in versions] == [
        (1, "declare", None, "ann"),
        (2, "apply", change_id, "dora"),
        (3, "revert", change_id, "emil"),
    ]
    assert versions[0].digest == versions[2].digest != versions[1].digest


def test_the_database_keeps_versions_as_they_were_and_a_configuration_is_an_object(database: Database) -> None:
    declare(database)
    for statement in ("UPDATE config_versions SET created_by = 'eve'", "DELETE FROM config_versions"):
        with pytest.raises(DBAPIError, match="append-only"), database.begin() as connection:
            connection.execute(text(statement))
    with pytest.raises(Conflict, match="version 7 of STRAT is not live"), database.begin() as connection:
        strategies.add_version(
            connection, "STRAT", {}, base_version=7, action="apply", change_id="chg-x", actor="ann", now=NOW
        )


def test_a_strategy_that_is_known_by_its_runs_only_is_declared_like_any(database: Database) -> None:
    record(a_run(strategy_id="STRAT"), into=RunStore(database, actor="ann", clock=lambda: NOW))
    with database.connect() as connection:
        assert strategies.list_strategies(connection) == []
        assert strategies.list_undeclared(connection) == ["STRAT"]
        with pytest.raises(NotFound, match="has runs, but was never declared"):
            strategies.load(connection, "STRAT")
    assert again(database, strategy()).created
    assert live(database).config == LIVE
