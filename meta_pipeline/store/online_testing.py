"""LORD++ kept per strategy: each new set of campaigns is tested once, and spends wealth.

Belongs here: the row of each test. Does not belong here: the procedure (evidence.online_testing).
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, insert, select, text

from meta_pipeline.canonical import digest
from meta_pipeline.evidence.online_testing import LordPlusPlus
from meta_pipeline.proposals.candidate import ProposalType, Proposed
from meta_pipeline.store.schema import absorbed_runs, backtest_runs
from meta_pipeline.store.schema_evidence import online_tests

STEP_DOWN: Final = "romano_wolf"


@dataclass(frozen=True, kw_only=True)
class OnlineTest:
    """One test of a strategy's campaigns.

    Parameters
    ----------
    test
        Its place in the strategy's sequence, from 1.
    p_value
        Smallest step-down adjusted p-value of the campaign: of "no change of any knob has an effect".
    level, rejected
        What it was tested at, and whether it is a discovery.
    wealth
        What is left for later tests.
    """

    test: int
    p_value: float
    level: float
    rejected: bool
    wealth: float


def judge_campaigns(
    connection: Connection, strategy_id: str, proposed: Proposed, *, alpha: float, now: datetime
) -> OnlineTest | None:
    """Test what a strategy's campaigns show together, unless exactly these campaigns were tested before.

    Nightly looks at the same campaigns cost nothing; a new campaign is a new test. Tests of overlapping days depend on
    each other, so the rate that LORD++ promises holds approximately.

    Returns
    -------
    OnlineTest or None
        The latest test, this one or an earlier one; None if nothing could ever be tested.
    """
    lock = text("SELECT pg_advisory_xact_lock(hashtextextended('online tests of ' || :strategy_id, 0))")
    connection.execute(lock, {"strategy_id": strategy_id})
    p_value, campaigns = _smallest(proposed), _campaigns(connection, strategy_id)
    table = online_tests
    own = table.c.strategy_id == strategy_id
    known = connection.execute(select(table.c.test).where(own, table.c.campaigns_digest == campaigns)).first()
    if known is None and p_value is not None:
        newest = select(table.c.state).where(own).order_by(table.c.test.desc()).limit(1)
        state = connection.execute(newest).scalar_one_or_none()
        before = LordPlusPlus(alpha=alpha) if state is None else LordPlusPlus.from_json(state)
        after, decision = before.test(p_value)
        row = {
            "strategy_id": strategy_id,
            "test": decision.test,
            "campaigns_digest": campaigns,
            "evidence_digest": proposed.evidence_digest,
            "p_value": p_value,
            "level": decision.level,
            "rejected": decision.rejected,
            "wealth": after.wealth,
            "state": after.to_json(),
            "tested_at": now,
        }
        connection.execute(insert(table).values(row))
    return latest_test(connection, strategy_id)


def latest_test(connection: Connection, strategy_id: str) -> OnlineTest | None:
    """Return the latest test of a strategy, or None if there is none."""
    columns = online_tests.c
    row = connection.execute(
        select(columns.test, columns.p_value, columns.level, columns.rejected, columns.wealth)
        .where(columns.strategy_id == strategy_id)
        .order_by(columns.test.desc())
        .limit(1)
    ).one_or_none()
    return None if row is None else OnlineTest(**row._mapping)


def _smallest(proposed: Proposed) -> float | None:
    found = [
        candidate.effect.adjusted_p_values[STEP_DOWN]
        for candidate in proposed.candidates
        if candidate.proposal_type is ProposalType.CONFIG_PARAMETER_CHANGE
        and STEP_DOWN in candidate.effect.adjusted_p_values
    ]
    return min(found, default=None)


def _campaigns(connection: Connection, strategy_id: str) -> str:
    names = connection.execute(
        select(backtest_runs.c.campaign_id)
        .join(absorbed_runs, absorbed_runs.c.run_id == backtest_runs.c.run_id)
        .where(backtest_runs.c.strategy_id == strategy_id)
        .distinct()
    ).scalars()
    return digest(sorted(names))
