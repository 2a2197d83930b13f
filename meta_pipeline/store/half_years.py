"""Runs reduced to half-years, kept, and a family's runs read back as samples of its response surface.

Belongs here: rows of `run_half_years`. Does not belong here: the reduction (evidence.half_years).
"""

import json
from collections.abc import Sequence
from datetime import date
from typing import Any, Final

import numpy as np
from sqlalchemy import Connection, insert

from meta_pipeline.canonical import level_key
from meta_pipeline.evidence.expected_value.surface import Samples
from meta_pipeline.evidence.factors import level_at
from meta_pipeline.evidence.half_years import HalfYears, half_years
from meta_pipeline.evidence.panel import RunPanel
from meta_pipeline.store.queries import query
from meta_pipeline.store.schema_evidence import run_half_years

RUNS_AT_ONCE: Final = 1_000


def write_half_years(connection: Connection, strategy_id: str, panel: RunPanel) -> int:
    """Reduce the accepted runs of a strategy that are not reduced yet; return how many these were.

    Parameters
    ----------
    panel
        The strategy's runs. Runs that are not in it wait for the next time.
    """
    missing = set(connection.execute(query("runs_without_half_years"), {"strategy_id": strategy_id}).scalars())
    columns = [column for column, run_id in enumerate(panel.run_ids) if run_id in missing]
    for start in range(0, len(columns), RUNS_AT_ONCE):
        chosen = columns[start : start + RUNS_AT_ONCE]
        reduced = half_years(panel.dates, panel.returns[:, chosen])
        rows = [_row(panel.run_ids[column], reduced, place) for place, column in enumerate(chosen)]
        connection.execute(insert(run_half_years), rows)
    return len(columns)


def _row(run_id: str, reduced: HalfYears, column: int) -> dict[str, Any]:
    present = np.flatnonzero(reduced.n[:, column])
    inside = slice(int(present[0]), int(present[-1]) + 1) if len(present) else slice(0, 1)
    return {
        "run_id": run_id,
        "first_half_year": reduced.first + (inside.start or 0),
        "counts": reduced.n[inside, column].tolist(),
        "totals": reduced.total[inside, column].tolist(),
        "squares": reduced.squared[inside, column].tolist(),
    }


def family_samples(
    connection: Connection, family: str, strategy_id: str, *, knobs: Sequence[str], decided_on: date
) -> tuple[Samples, ...]:
    """Read the campaigns of a family's other strategies that had ended by a day; daily returns are not needed.

    Parameters
    ----------
    knobs
        Paths of the knobs whose levels are read.
    """
    rows = connection.execute(
        query("family_half_years"), {"family": family, "strategy_id": strategy_id, "decided_on": decided_on}
    ).all()
    campaigns: dict[str, list[Any]] = {}
    for row in rows:
        campaigns.setdefault(f"{row.strategy_id}|{row.campaign_id}", []).append(row)
    return tuple(_samples(name, found, knobs) for name, found in sorted(campaigns.items()))


def _samples(campaign: str, rows: Sequence[Any], knobs: Sequence[str]) -> Samples:
    configs = [json.loads(row.config_json) for row in rows]
    return Samples(
        campaign=campaign,
        ended=max(np.datetime64(row.end_date, "D") for row in rows),
        levels={knob: _texts([level_key(level_at(config, knob)) for config in configs]) for knob in knobs},
        groups=_texts([f"{row.strategy_id}|{row.block}" for row in rows]),
        sharpe=np.asarray([_sharpe(row) for row in rows]),
    )


def _texts(values: Sequence[str]) -> np.ndarray:
    result = np.empty(len(values), dtype=np.object_)
    result[:] = values
    return result


def _sharpe(row: Any) -> float:
    """Return the Sharpe ratio of a whole run from its sums."""
    sums = [np.asarray(values)[:, None] for values in (row.counts, row.totals, row.squares)]
    whole = HalfYears(first=0, n=sums[0], total=sums[1], squared=sums[2])
    return float(whole.sharpe(0, len(sums[0]), np.asarray([row.periods_per_year]))[0])
