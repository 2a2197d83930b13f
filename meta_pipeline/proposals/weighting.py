"""Which weighting of a contrast the grade rests on: matched pairs or least squares.

Belongs here: that choice, and the day series of all weightings. Does not belong here: tests and figures (evaluation).

Matched pairs assume nothing about how knobs combine; least squares assume that their effects add up, and use all runs.
Where both exist, least squares are taken if they are the more precise and Hausman's test (Econometrica 46(6), 1978)
finds no difference between the two; else matched pairs. An error says nothing about the sign of an effect, so the
choice costs no error rate.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from meta_pipeline.evidence.contrasts import standard_errors
from meta_pipeline.evidence.design import Weights
from meta_pipeline.evidence.influence import SHARPE_RATIO, by_calendar_day, day_series
from meta_pipeline.proposals.campaign import Campaign
from meta_pipeline.proposals.changes import Change

Floats = NDArray[np.float64]

HAUSMAN: Final = 1.96  # two-sided, five per cent


@dataclass(frozen=True, kw_only=True, eq=False)
class Weighting:
    """All weightings of all changes, side by side: first the primary ones, in the order of the changes.

    Parameters
    ----------
    primary, other, local
        Per change. None: there is none (for `local`, `Change.local` says why).
    other_columns, local_columns
        Where in `columns` these are.
    columns
        Shape (n_runs, n): the weights.
    series, daily, days
        Sharpe ratio day series of the columns over the panel's dates, over calendar days, and these days.
    estimates
        Shape (n,): differences of annualised Sharpe ratios.
    """

    primary: tuple[Weights, ...]
    other: tuple[Weights | None, ...]
    local: tuple[Weights | None, ...]
    other_columns: tuple[int | None, ...]
    local_columns: tuple[int | None, ...]
    columns: Floats
    series: Floats
    daily: Floats
    days: NDArray[np.datetime64]
    estimates: Floats

    @property
    def main(self) -> Floats:
        """Shape (n_runs, n_changes): the primary weights."""
        return self.columns[:, : len(self.primary)]


def weigh(campaign: Campaign, changes: Sequence[Change]) -> Weighting:
    """Compute all weightings of changes without a refusal, and choose the primary ones."""
    flat: list[Weights] = []
    places: dict[str, list[int | None]] = {"pairs": [], "squares": [], "local": []}
    for name, indices in places.items():
        for change in changes:
            weights: Weights | None = getattr(change, name)
            usable = weights is not None and weights.weights is not None
            indices.append(len(flat) if usable else None)
            if weights is not None and usable:
                flat.append(weights)
    columns = np.column_stack([np.asarray(weights.weights) for weights in flat])
    series = day_series(campaign.runs, {SHARPE_RATIO: columns})[SHARPE_RATIO]
    daily, days = by_calendar_day(series, campaign.panel.dates)
    estimates = columns.T @ campaign.runs.metric(SHARPE_RATIO)
    first, second = _choose(places["pairs"], places["squares"], estimates, daily)
    others, locals_ = [p for p in second if p is not None], [p for p in places["local"] if p is not None]
    order = np.asarray([*first, *others, *locals_], dtype=np.intp)
    position = {int(old): new for new, old in enumerate(order)}
    other_columns = tuple(None if p is None else position[p] for p in second)
    local_columns = tuple(None if p is None else position[p] for p in places["local"])
    return Weighting(
        primary=tuple(flat[p] for p in first),
        other=tuple(None if p is None else flat[p] for p in second),
        local=tuple(change.local for change in changes),
        other_columns=other_columns,
        local_columns=local_columns,
        columns=columns[:, order],
        series=series[:, order],
        daily=daily[:, order],
        days=days,
        estimates=estimates[order],
    )


def _choose(
    pairs: Sequence[int | None], squares: Sequence[int | None], estimates: Floats, daily: Floats
) -> tuple[list[int], list[int | None]]:
    """Return the primary and the other column of each change."""
    errors = standard_errors(daily)
    primary: list[int] = []
    other: list[int | None] = []
    for matched, least in zip(pairs, squares, strict=True):
        if matched is None or least is None:
            primary.append(_either(matched, least))
            other.append(None)
            continue
        gap = float(standard_errors(daily[:, [matched]] - daily[:, [least]])[0])
        agree = abs(float(estimates[matched] - estimates[least])) <= HAUSMAN * gap
        take_least = bool(errors[least] < errors[matched]) and agree
        primary.append(least if take_least else matched)
        other.append(matched if take_least else least)
    return primary, other


def _either(matched: int | None, least: int | None) -> int:
    found = least if matched is None else matched
    if found is None:
        raise LookupError("a change without any contrast was handed to `weigh`; it should have been refused")
    return found
