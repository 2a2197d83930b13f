"""The pooled response surface: what each level, and each pair of levels, does to the Sharpe ratio.

Belongs here: the ridge regression over the runs of all campaigns of a family, and its prediction at one configuration.
Does not belong here: how far it is to be believed (learning).

The model is y = X beta: y is a run's Sharpe ratio less the mean of its campaign and market; X are the knobs' levels as
centred indicators, and their products for each pair of knobs, also less those means. With D the penalties,
beta = (sum X'X / 10 + D)^-1 (sum X'y / 10). The tenth stands for the days that the runs of a campaign have in common.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Final

import numpy as np
from numpy.typing import NDArray

from meta_pipeline.errors import InputError
from meta_pipeline.evidence.expected_value.ledger import Floats, Texts

SEVERAL: Final = 2
"""Campaigns of a family from which the surface speaks; before, the main mean does."""
INFORMED: Final = 0.25
"""Share of what the penalty leaves open about a change that the runs must have settled; before, the main mean speaks.
With the penalty below, that is 100 runs at each of the two levels, balanced over the others."""
MAIN_PENALTY: Final = 30.0
PAIR_PENALTY: Final = 150.0
COMMON: Final = 10.0  # runs of one campaign that count as one
MAX_COLUMNS: Final = 1_500  # beyond, pairs are left out: their Gram matrix would not be small any more


@dataclass(frozen=True, kw_only=True, eq=False)
class Samples:
    """The runs of one campaign, as the surface sees them.

    Parameters
    ----------
    campaign
        Its name.
    ended
        Last day of its evidence.
    levels
        Knob -> shape (n_runs,) of texts: the level of each run (`canonical.level_key`). Dead knobs are left out.
    groups
        Shape (n_runs,) of texts: the market, or more finely the block, whose mean is taken off.
    sharpe
        Shape (n_runs,): annualised Sharpe ratios; runs with NaN are left out.
    """

    campaign: str
    ended: np.datetime64
    levels: Mapping[str, Texts]
    groups: Texts
    sharpe: Floats


@dataclass(frozen=True, kw_only=True, eq=False)
class Surface:
    """A fitted response surface.

    Parameters
    ----------
    n_campaigns, n_runs
        What it rests on, repetitions not counted.
    levels
        Knob -> its levels.
    mains
        Knob -> shape (n_levels,): effect of each level.
    pairs
        (knob, knob) -> shape (n_levels, n_levels): effect of each pair beyond the mains. Empty where there were too
        many to fit.
    information
        Knob -> shape (n_levels, n_levels): for each pair of levels the share of its variance before any run that the
        runs have taken away from the difference of their mains; 0 knows nothing, 1 everything.
    """

    n_campaigns: int = 0
    n_runs: int = 0
    levels: Mapping[str, Sequence[str]] = field(default_factory=dict)
    mains: Mapping[str, Floats] = field(default_factory=dict)
    pairs: Mapping[tuple[str, str], Floats] = field(default_factory=dict)
    information: Mapping[str, Floats] = field(default_factory=dict)

    def speaks(self) -> bool:
        """Whether several campaigns are in it: what a single one says is its own contrast."""
        return self.n_campaigns >= SEVERAL

    def uplift(self, incumbent: Mapping[str, str], knob: str, high: str) -> float:
        """Return u: what setting a knob to `high` adds, everything else as in the incumbent.

        Parameters
        ----------
        incumbent
            Knob -> level. A knob or a level that the surface never saw adds nothing beyond the mains.

        Returns
        -------
        float
            NaN if it never saw the knob or one of the two levels, or not often enough (`INFORMED`).
        """
        low = incumbent.get(knob)
        known = self.levels.get(knob)
        if known is None or low is None or low not in known or high not in known:
            return float("nan")
        old, new = known.index(low), known.index(high)
        if old != new and self.information[knob][old, new] < INFORMED:
            return float("nan")
        change = float(self.mains[knob][new] - self.mains[knob][old])
        for (one, two), table in self.pairs.items():
            if knob not in (one, two):
                continue
            other = two if knob == one else one
            present = incumbent.get(other)
            if present is None or present not in self.levels[other]:
                continue
            rows = table if knob == one else table.T
            place = self.levels[other].index(present)
            change += float(rows[new, place] - rows[old, place])
        return change


def fit_surface(
    samples: Sequence[Samples],
    *,
    at: np.datetime64,
    main_penalty: float = MAIN_PENALTY,
    pair_penalty: float = PAIR_PENALTY,
) -> Surface:
    """Fit the surface to campaigns that ended by a day.

    Parameters
    ----------
    samples
        One per campaign, in any order; a run given twice (same campaign, group, levels and Sharpe ratio) counts once.
    at
        The day of the decision.

    Raises
    ------
    InputError
        If a campaign ended after that day: its Sharpe ratios hold the future.
    """
    late = sorted(str(part.campaign) for part in samples if part.ended > at)
    if late:
        raise InputError(
            f"the campaign {late[0]} ended after {at}, the day of the decision; fit the surface to earlier ones"
        )
    knobs = sorted({knob for part in samples for knob in part.levels})
    runs = _distinct(samples, knobs)
    n_campaigns = len({run[0] for run in runs})
    levels = {knob: _ordered_levels(runs, 2 + index) for index, knob in enumerate(knobs)}
    live = [knob for knob in knobs if len(levels[knob]) > 1]
    if not live or not runs:
        return Surface(n_campaigns=n_campaigns, n_runs=len(runs))
    codes = {
        knob: np.asarray([levels[knob].index(run[2 + knobs.index(knob)]) for run in runs], dtype=np.int64)
        for knob in live
    }
    group_of = {name: code for code, name in enumerate(sorted({run[:2] for run in runs}))}
    groups = np.asarray([group_of[run[:2]] for run in runs], dtype=np.int64)
    sharpe = np.asarray([run[-1] for run in runs], dtype=np.float64)
    order = np.lexsort((*(codes[knob] for knob in reversed(live)), sharpe, groups))
    codes = {knob: column[order] for knob, column in codes.items()}
    return _solve(
        codes,
        {knob: levels[knob] for knob in live},
        groups[order],
        sharpe[order],
        n_campaigns=n_campaigns,
        penalties=(main_penalty, pair_penalty),
    )


def _distinct(samples: Sequence[Samples], knobs: Sequence[str]) -> list[tuple[str, ...]]:
    """Return distinct (campaign, group, level of each knob, Sharpe ratio); a knob a run lacks has the level ""."""
    runs: set[tuple[str, ...]] = set()
    for part in samples:
        none = np.full(len(part.sharpe), "", dtype=np.object_)
        columns = [part.levels.get(knob, none) for knob in knobs]
        for row in zip(part.groups, *columns, part.sharpe.tolist(), strict=True):
            if np.isfinite(row[-1]):
                runs.add((part.campaign, *row))
    return sorted(runs)


def _ordered_levels(runs: Sequence[tuple[str, ...]], column: int) -> list[str]:
    """Order levels by the Sharpe ratios of their runs, so that their names decide nothing (but between twins)."""
    seen: dict[str, list[tuple[object, ...]]] = {}
    for run in runs:
        seen.setdefault(run[column], []).append((run[-1], *run[:2]))
    return [level for _, level in sorted((sorted(held), level) for level, held in seen.items())]


def _solve(
    codes: Mapping[str, NDArray[np.int64]],
    levels: Mapping[str, Sequence[str]],
    groups: NDArray[np.int64],
    sharpe: Floats,
    *,
    n_campaigns: int,
    penalties: tuple[float, float],
) -> Surface:
    centred = {knob: np.eye(len(levels[knob]))[codes[knob]] - 1 / len(levels[knob]) for knob in codes}
    n_mains = sum(len(found) for found in levels.values())
    pairs = list(combinations(codes, 2))
    if n_mains + sum(len(levels[one]) * len(levels[two]) for one, two in pairs) > MAX_COLUMNS:
        pairs = []
    products = [(centred[one][:, :, None] * centred[two][:, None, :]).reshape(len(sharpe), -1) for one, two in pairs]
    columns = np.concatenate([*centred.values(), *products], axis=1)
    penalty = np.full(columns.shape[1], penalties[1])
    penalty[:n_mains] = penalties[0]
    x, y = _less_means(columns, groups), _less_means(sharpe[:, None], groups)[:, 0]
    gram = x.T @ x / COMMON + np.diag(penalty)
    beta = np.linalg.solve(gram, x.T @ y / COMMON)
    left = np.asarray(np.linalg.inv(gram[:n_mains, :n_mains]), dtype=np.float64)
    mains, tables, information, start = {}, {}, {}, 0
    for knob in codes:
        information[knob] = _settled(
            left[start : start + len(levels[knob]), start : start + len(levels[knob])], penalties[0]
        )
        mains[knob] = beta[start : start + len(levels[knob])] - beta[start : start + len(levels[knob])].mean()
        start += len(levels[knob])
    for one, two in pairs:
        shape = (len(levels[one]), len(levels[two]))
        table = beta[start : start + shape[0] * shape[1]].reshape(shape)
        # The products are of centred indicators, so that a constant along a row or a column has no effect.
        table = table - table.mean(axis=0) - table.mean(axis=1, keepdims=True) + table.mean()
        tables[one, two] = table
        start += shape[0] * shape[1]
    return Surface(
        n_campaigns=n_campaigns,
        n_runs=len(sharpe),
        levels={knob: tuple(found) for knob, found in levels.items()},
        mains=mains,
        pairs=tables,
        information=information,
    )


def _settled(left: Floats, penalty: float) -> Floats:
    """Return the share of each difference's variance that is gone; `left`: the variance of one knob's mains now."""
    own = np.diag(left)
    now = own[:, None] + own - 2 * left
    return np.asarray(1.0 - now * penalty / 2.0)


def _less_means(columns: Floats, groups: NDArray[np.int64]) -> Floats:
    size = np.bincount(groups).astype(np.float64)
    sums = np.zeros((len(size), columns.shape[1]))
    np.add.at(sums, groups, columns)
    return columns - (sums / size[:, None])[groups]
