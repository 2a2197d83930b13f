"""The proposer's score, read from what was claimed for changes and what the last look at each found."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any, Final

from sqlalchemy import Connection, select
from sqlalchemy.dialects.postgresql import distinct_on

from meta_pipeline.outcomes.judgement import Verdict
from meta_pipeline.outcomes.scorecard import JOINT, Score, ScoredChange, score
from meta_pipeline.store.schema import config_change_log, meta_config_proposals
from meta_pipeline.store.schema_outcomes import change_outcomes

_COLUMNS: Final = change_outcomes.c


def scorecard(connection: Connection) -> tuple[Score, ...]:
    """Score every type of proposals: what was claimed for applied changes, and what the last look at each found.

    A change counts as realised once its effect was judged at all (KEEP, REVERT or INCONCLUSIVE). Changes of one type
    that were applied together are one outcome, held against the sum of what was claimed for them. So are changes of
    different types, in a row of their own: what each type brought to that cannot be told apart.
    """
    latest = (
        select(_COLUMNS.change_id, _COLUMNS.verdict, _COLUMNS.estimate)
        .ext(distinct_on(_COLUMNS.change_id))
        .order_by(_COLUMNS.change_id, _COLUMNS.judged_until.desc())
        .subquery()
    )
    log, proposed = config_change_log.c, meta_config_proposals.c
    rows = connection.execute(
        select(
            log.change_type,
            log.strategy_id,
            proposed.base_version,
            proposed.expected_sharpe_improvement.label("claimed"),
            proposed.outcome_rule,
            latest.c.verdict,
            latest.c.estimate,
        )
        .join(meta_config_proposals, proposed.proposal_id == log.proposal_id)
        .outerjoin(latest, latest.c.change_id == log.change_id)
        .order_by(log.strategy_id, proposed.base_version, log.new_version)
    )
    batches = [list(rows) for _, rows in groupby(rows, key=lambda row: (row.strategy_id, row.base_version))]
    return score(one for batch in batches for one in _scored(batch))


def _scored(batch: Sequence[Any]) -> list[ScoredChange]:
    types = {row.change_type for row in batch}
    claims = [row.claimed for row in batch]
    outcome = ScoredChange(
        proposal_type=JOINT if len(types) > 1 else batch[0].change_type,
        claimed=None if None in claims else sum(claims),
        realised=batch[-1].estimate if all(_is_judged(row) for row in batch) else None,
        verdict=batch[-1].verdict or "NOT_JUDGED",
        n_changes=len(batch),
    )
    if len(types) == 1:
        return [outcome]
    parts = [
        replace(outcome, proposal_type=row.change_type, claimed=row.claimed, realised=None, n_changes=1, jointly=True)
        for row in batch
    ]
    return [outcome, *parts]


def _is_judged(row: Any) -> bool:
    in_sharpe = (row.outcome_rule or {}).get("metric") == "sharpe_ratio"
    return in_sharpe and row.verdict in {Verdict.KEEP, Verdict.REVERT, Verdict.INCONCLUSIVE}
