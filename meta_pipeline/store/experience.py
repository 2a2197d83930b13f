"""All that a decision may know of a family's past, read at one moment.

Belongs here: putting an `Experience` together. Does not belong here: what is learned from it.
"""

from datetime import datetime

import numpy as np
from sqlalchemy import Connection, func, select

from meta_pipeline.evidence.panel import RunPanel
from meta_pipeline.proposals.experience import Experience
from meta_pipeline.proposals.strategy import Strategy
from meta_pipeline.store.half_years import family_samples
from meta_pipeline.store.outcome_ledger import Judgement, campaign_of, family_of, load_ledger
from meta_pipeline.store.schema import backtest_runs


def load_experience(
    connection: Connection, strategy: Strategy, panel: RunPanel, *, now: datetime
) -> tuple[Experience, Judgement] | None:
    """Read what a strategy's decision may know on a day, or None if its runs have no returns.

    The day of the decision is `now`. Outcomes that end later, were recorded later, or campaigns that ended later are
    not read, and the decision core looks again.
    """
    if not len(panel.dates):
        return None
    days = panel.dates.astype("datetime64[D]")
    decided_on = max(np.datetime64(now.date(), "D"), days[-1])
    family = family_of(strategy.family, strategy.strategy_id)
    judged = Judgement(
        family=family,
        campaign=campaign_of(strategy.strategy_id, days[-1].item()),
        evidence_start=days[0].item(),
        evidence_end=days[-1].item(),
        decided_on=decided_on.item(),
        live=strategy.live_config,
    )
    columns = backtest_runs.c
    own = select(func.count(columns.campaign_id.distinct())).where(
        columns.strategy_id == strategy.strategy_id, columns.state == "accepted"
    )
    knobs = [knob.path for knob in strategy.knobs]
    experience = Experience(
        family=family,
        campaign=judged.campaign,
        decided_on=decided_on,
        ledger=load_ledger(connection, family, decided_on=judged.decided_on, now=now),
        samples=family_samples(
            connection, strategy.family, strategy.strategy_id, knobs=knobs, decided_on=judged.decided_on
        )
        if strategy.family
        else (),
        own_campaigns=max(int(connection.execute(own).scalar_one()), 1),
    )
    return experience, judged
