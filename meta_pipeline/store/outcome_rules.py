"""Outcome rules: the one that new proposals of a strategy get, and the one that was approved with a proposal."""

import json

from sqlalchemy import Connection, select

from meta_pipeline.canonical import canonical_json
from meta_pipeline.errors import ContentTampered
from meta_pipeline.outcomes.plan import rule_in
from meta_pipeline.proposals.digests import text_digest
from meta_pipeline.proposals.outcome_rule import OutcomeRule
from meta_pipeline.settings import Settings
from meta_pipeline.store import proposal_rows
from meta_pipeline.store.schema import backtest_runs


def markets_of(connection: Connection, strategy_id: str) -> dict[str, float]:
    """Return the markets of a strategy's runs with a return series, each with its periods per year.

    Where runs of a market differ, the larger number is taken: it is that of the finer bars.
    """
    runs = backtest_runs.c
    rows = connection.execute(
        select(runs.market_id, runs.periods_per_year)
        .where(runs.strategy_id == strategy_id, runs.state == "accepted", runs.periods_per_year.is_not(None))
        .distinct()
        .order_by(runs.market_id, runs.periods_per_year)
    )
    return {row.market_id: row.periods_per_year for row in rows}


def outcome_rule(
    connection: Connection, strategy_id: str, settings: Settings, *, market_id: str | None = None
) -> OutcomeRule:
    """Return the rule by which changes of a strategy are judged from now on.

    Parameters
    ----------
    market_id
        If the change is meant for one market only.
    """
    markets = tuple(markets_of(connection, strategy_id)) if market_id is None else (market_id,)
    return OutcomeRule(
        minimum_days=settings.outcome_minimum_days,
        evaluation_days=max(settings.outcome_evaluation_days, settings.outcome_minimum_days),
        smallest_effect=settings.switching_cost,
        alpha=min(settings.alpha, 0.49),
        drawdown_rise=settings.outcome_drawdown_rise,
        volatility_rise=settings.outcome_volatility_rise,
        regime_fall=settings.outcome_regime_fall,
        markets=markets,
    )


def fixed_rule(connection: Connection, proposal_id: str) -> OutcomeRule | None:
    """Return the outcome rule that was approved with a proposal, or None if there was none.

    Raises
    ------
    ContentTampered
        If the stored rule is not the one in the content that the approval names.
    """
    record = proposal_rows.get(connection, proposal_id)
    approval = proposal_rows.approval_of(connection, proposal_id)
    approved = None if approval is None else approval.body_digest
    in_body = json.loads(record.body).get("outcome_rule")
    if text_digest(record.body) != approved or canonical_json(in_body) != canonical_json(record.draft.outcome_rule):
        raise ContentTampered(
            f"the outcome rule of proposal {proposal_id} is not the one that was approved with it, so its change is "
            "not judged; look for who changed it in the database, and restore the row from a backup"
        )
    return rule_in(record.draft)
