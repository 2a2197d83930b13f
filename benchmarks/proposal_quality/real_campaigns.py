"""Campaigns on real prices, reduced to half-years: random incumbents, five years of evidence, the two years after it.

Markets: the lab's three, and 20 stocks of the S&P 500, 1990 to 2022, from a data file that ships with skfolio (read as
a file). Every configuration of a family is simulated once per market and reduced to sums per half-year; a campaign is
then a choice of rows. It is one family on one set of markets at the end of one year: a random configuration is live,
the lab's design is run around it, and what each single change of it did in the next two years is looked up.
"""

import csv
import gzip
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import files
from itertools import product
from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.proposal_quality.worlds import Floats
from meta_pipeline.canonical import level_key
from meta_pipeline.evidence.expected_value.pseudo_outcomes import SPLITS
from meta_pipeline.evidence.half_years import HalfYears, half_years
from meta_pipeline.lab.backtest import backtest
from meta_pipeline.lab.catalogue import STRATEGIES
from meta_pipeline.lab.design import mixed_design, with_live
from meta_pipeline.lab.prices import MARKETS, Market, Prices, load_prices
from meta_pipeline.lab.strategy import Config, LabStrategy

EVIDENCE_YEARS, OUTCOME_YEARS = 5, 2
N_CONFIGS: Final = 40
STOCK_COST: Final = 0.0010
AT_ONCE: Final = 216  # configurations simulated together: their days fit into memory
DATA_FILE: Final = "skfolio/datasets/data/sp500_dataset.csv.gz"
DEAD: Final = 1e-9  # an effect below this moved no return
Effect = tuple[str, str]
"""A knob's path, and the level it is set to, as `level_key` writes it."""
Span = tuple[int, int]
"""The first year, and the one after the last."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Split:
    """A campaign's own window split in two: effects of its changes, each of shape (n_changes,).

    `contrast` in the past, `main` and `incumbent` (at the live configuration) in the future.
    """

    past: Span
    future: Span
    contrast: Floats
    main: Floats
    incumbent: Floats


@dataclass(frozen=True, kw_only=True, eq=False)
class RealCampaign:
    """One campaign on real prices.

    Parameters
    ----------
    name, family, group, year
        Which; the evidence ends with the year.
    markets
        Of its runs.
    live
        Knob -> level of the incumbent.
    levels
        Knob -> shape (n_configs,): level of each configuration of the design.
    changes
        Single changes of the incumbent.
    contrast, standard_error
        Shape (n_changes,): least squares over the design in the evidence, mean over markets; the error from the ten
        half-year sums of its influence series.
    main, realised
        Shape (n_changes,): what each change did in the outcome, mean over markets: averaged over the design by the
        weights of the contrast, and at the incumbent.
    splits
        Of its own window.
    evidence_sharpe, outcome_sharpe
        Shape (n_markets, n_configs).
    stored
        Order in which the runs finished, newest first: places in the raveled `evidence_sharpe`.
    """

    name: str
    family: str
    group: str
    year: int
    markets: tuple[str, ...]
    live: Mapping[str, str]
    levels: Mapping[str, NDArray[np.object_]]
    changes: tuple[Effect, ...]
    contrast: Floats
    standard_error: Floats
    main: Floats
    realised: Floats
    splits: tuple[Split, ...]
    evidence_sharpe: Floats
    outcome_sharpe: Floats
    stored: NDArray[np.int64]

    @property
    def dead(self) -> NDArray[np.bool_]:
        """Shape (n_changes,): whether a change moved no return in the evidence: known when it is decided."""
        return np.abs(self.contrast) < DEAD


@cache
def stocks() -> dict[str, Prices]:
    """Read the adjusted closes of the 20 stocks.

    Raises
    ------
    SystemExit
        If skfolio is not installed, with the way out.
    """
    try:
        found = next((path for path in files("skfolio") or () if str(path) == DATA_FILE), None)
    except ModuleNotFoundError:
        found = None
    if found is None:
        raise SystemExit("the stocks' prices ship with skfolio, which is not installed; run: make bench-quality")
    with gzip.open(str(found.locate()), "rt", newline="") as file:
        header, *rows = list(csv.reader(file))
    days = np.array([row[0] for row in rows], dtype="datetime64[D]")
    table = np.array([row[1:] for row in rows], dtype=np.float64)
    return {name: Prices(dates=days.copy(), closes=table[:, i].copy()) for i, name in enumerate(header[1:])}


def groups(which: str) -> dict[str, tuple[str, ...]]:
    """Return the sets of markets: the lab's three together, the stocks in alphabetical fours."""
    if which == "lab":
        return {"lab": tuple(MARKETS)}
    names = sorted(stocks())
    return {f"stocks {i // 4 + 1}": tuple(names[i : i + 4]) for i in range(0, len(names), 4)}


def market(name: str) -> tuple[Market, Prices]:
    """Return a market and its prices."""
    if name in MARKETS:
        return MARKETS[name], load_prices(name)
    declared = Market(market_id=name, name=name, sector="stock", module="", column="", cost=STOCK_COST)
    return declared, stocks()[name]


@dataclass(frozen=True, kw_only=True, eq=False)
class Pool:
    """Every configuration of a family, on each of a set of markets.

    Parameters
    ----------
    strategy
        With no limit on the size of a step.
    place
        Configuration -> its column.
    halves
        Market -> sums per half-year.
    """

    strategy: LabStrategy
    place: Mapping[str, int]
    halves: Mapping[str, HalfYears]

    @property
    def years(self) -> range:
        """Years at whose end all markets have five years of evidence, and two whole years to come."""
        first = max(-(-halves.first // 2) + (halves.n[0].max() < HALF_YEAR) for halves in self.halves.values())
        last = min(halves.stop // 2 for halves in self.halves.values()) - 1
        return range(first + EVIDENCE_YEARS - 1, last - OUTCOME_YEARS + 1)

    def sharpe(self, span: Span) -> Floats:
        """Return Sharpe ratios, shape (n_markets, n_all); 0 for one that never traded."""
        annual = np.full(len(self.place), 252.0)
        rows = [halves.sharpe(2 * span[0], 2 * span[1], annual) for halves in self.halves.values()]
        return np.nan_to_num(np.stack(rows))


HALF_YEAR: Final = 120
"""Days of a half-year that is not cut off by the start of a record."""


def pool(strategy: LabStrategy, names: Sequence[str]) -> Pool:
    """Simulate every configuration of a strategy on some markets."""
    free = replace(strategy, knobs=tuple(replace(knob, max_step=None) for knob in strategy.knobs))
    paths = [knob.path for knob in free.knobs]
    configs = [dict(zip(paths, point, strict=True)) for point in product(*(knob.choices or () for knob in free.knobs))]
    return Pool(
        strategy=free,
        place={_name(config): column for column, config in enumerate(configs)},
        halves={name: _simulated(free, configs, name) for name in names},
    )


def _simulated(strategy: LabStrategy, configs: Sequence[Config], name: str) -> HalfYears:
    parts = []
    for start in range(0, len(configs), AT_ONCE):
        paths = backtest(strategy, configs[start : start + AT_ONCE], *market(name))
        parts.append(half_years(paths.dates, paths.returns))
    return HalfYears(
        first=parts[0].first,
        n=np.concatenate([part.n for part in parts], axis=1),
        total=np.concatenate([part.total for part in parts], axis=1),
        squared=np.concatenate([part.squared for part in parts], axis=1),
    )


def _name(config: Config) -> str:
    return "|".join(f"{path}={level_key(level)}" for path, level in sorted(config.items()))


def campaigns(group: str, names: Sequence[str], *, seed: int, incumbents: int = 1) -> Iterator[RealCampaign]:
    """Yield the campaigns of all families on one set of markets, by family and year, of some incumbents each."""
    for position, (_, strategy) in enumerate(sorted(STRATEGIES.items())):
        simulated = pool(strategy, names)
        rng = np.random.default_rng([seed, position, *group.encode()])
        for year in simulated.years:
            spans = _Spans(simulated, year + 1)
            for number in range(incumbents):
                yield spans.campaign(group, number, rng)


class _Spans:
    """Sharpe ratios of all spans that a campaign of one decision year needs, of all configurations."""

    def __init__(self, simulated: Pool, stop: int) -> None:
        self.pool, self.stop = simulated, stop
        start = stop - EVIDENCE_YEARS
        self.evidence, self.outcome = (start, stop), (stop, stop + OUTCOME_YEARS)
        self.splits = [((start, start + past), (start + past, start + future)) for past, future in SPLITS]
        spans = {self.evidence, self.outcome, *(span for pair in self.splits for span in pair)}
        self.sharpe = {span: simulated.sharpe(span) for span in spans}

    def campaign(self, group: str, number: int, rng: np.random.Generator) -> RealCampaign:
        """Draw an incumbent and a design around it, and read off what its runs did."""
        knobs = self.pool.strategy.knobs
        choices = {knob.path: knob.choices or () for knob in knobs}
        live = {path: levels[int(rng.integers(len(levels)))] for path, levels in choices.items()}
        configs = mixed_design(with_live(self.pool.strategy, live), N_CONFIGS, rng)
        columns = np.array([self.pool.place[_name(config)] for config in configs])
        changes = [(path, level) for path, levels in choices.items() for level in levels if level != live[path]]
        neighbours = np.array([self.pool.place[_name({**live, path: level})] for path, level in changes])
        levels = {path: np.array([level_key(config[path]) for config in configs], dtype=np.object_) for path in choices}
        named = tuple((path, level_key(level)) for path, level in changes)
        weights = _weights(levels, {path: level_key(level) for path, level in live.items()}, named)

        def main(span: Span) -> Floats:
            return np.asarray(self.sharpe[span].mean(axis=0)[columns] @ weights)

        def local(span: Span) -> Floats:
            mean = self.sharpe[span].mean(axis=0)
            return np.asarray(mean[neighbours] - mean[columns[0]])

        influence = np.mean([_influence(h, self.evidence, columns) for h in self.pool.halves.values()], axis=0)
        return RealCampaign(
            name=f"{self.pool.strategy.strategy_id}|{group}|{self.stop - 1}|{number}",
            family=self.pool.strategy.family,
            group=group,
            year=self.stop - 1,
            markets=tuple(self.pool.halves),
            live={path: level_key(level) for path, level in live.items()},
            levels=levels,
            changes=named,
            contrast=main(self.evidence),
            standard_error=np.sqrt(((influence @ weights) ** 2).sum(axis=0)),
            main=main(self.outcome),
            realised=local(self.outcome),
            splits=tuple(
                Split(past=past, future=future, contrast=main(past), main=main(future), incumbent=local(future))
                for past, future in self.splits
            ),
            evidence_sharpe=self.sharpe[self.evidence][:, columns],
            outcome_sharpe=self.sharpe[self.outcome][:, columns],
            stored=rng.permutation(len(self.pool.halves) * len(columns)),
        )


def _weights(levels: Mapping[str, NDArray[np.object_]], live: Mapping[str, str], changes: Sequence[Effect]) -> Floats:
    """Return contrast weights of least squares on all knobs' levels, shape (n_configs, n_changes)."""
    names = [(path, level) for path in levels for level in sorted(set(levels[path].tolist()))]
    x = np.column_stack([np.ones(N_CONFIGS), *((levels[path] == level).astype(np.float64) for path, level in names)])
    rows = np.linalg.pinv(x, rcond=1e-9)[1:]
    place = {name: row for row, name in enumerate(names)}
    return np.stack([rows[place[change]] - rows[place[change[0], live[change[0]]]] for change in changes], axis=1)


def _influence(halves: HalfYears, span: Span, columns: NDArray[np.int64]) -> Floats:
    """Sum the influence of days on annualised Sharpe ratios, (z - SR/2 (z^2 - 1)) / T, by half-year."""
    inside = slice(2 * span[0] - halves.first, 2 * span[1] - halves.first)
    n, total, squared = (part[inside, columns] for part in (halves.n, halves.total, halves.squared))
    days = n.sum(axis=0)
    mean = total.sum(axis=0) / days
    variance = (squared.sum(axis=0) - days * mean**2) / (days - 1)
    traded = variance > 1e-15
    deviation = np.sqrt(np.where(traded, variance, 1.0))
    z = (total - n * mean) / deviation
    z_squared = (squared - 2 * mean * total + n * mean**2) / deviation**2
    psi = (z - mean / deviation / 2 * (z_squared - n)) / days * np.sqrt(252.0)
    return np.where(traded, psi, 0.0)
