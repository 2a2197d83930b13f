"""Campaigns on real prices: random incumbents, five years of evidence, the two years after it.

Markets: the lab's three, and 20 stocks of the S&P 500, 1990 to 2022, from a data file that ships with skfolio (read as
a file). A campaign is one family of the lab's strategies on one set of markets at the end of one year: a random
configuration is live, and the lab's design is run around it. What each single change of the incumbent does in the next
two years is simulated, too.
"""

import csv
import gzip
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from importlib.metadata import files
from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.proposal_quality.worlds import Floats
from meta_pipeline.canonical import JsonValue, level_key
from meta_pipeline.evidence.metrics import summarize
from meta_pipeline.evidence.panel import RunPanel
from meta_pipeline.lab.backtest import Paths, backtest
from meta_pipeline.lab.catalogue import STRATEGIES
from meta_pipeline.lab.design import mixed_design, with_live
from meta_pipeline.lab.prices import MARKETS, WARM_UP, Market, Prices, load_prices
from meta_pipeline.lab.strategy import Config, LabStrategy
from meta_pipeline.proposals.knobs import Knob

EVIDENCE_YEARS, OUTCOME_YEARS = 5, 2
N_CONFIGS: Final = 40
STOCK_COST: Final = 0.0010
DATA_FILE: Final = "skfolio/datasets/data/sp500_dataset.csv.gz"
Effect = tuple[str, str]
"""A knob's path, and the level it is set to, as `level_key` writes it."""


@dataclass(frozen=True, kw_only=True, eq=False)
class RealCampaign:
    """One campaign on real prices.

    Parameters
    ----------
    name, family, group, year
        Which; the evidence ends with the year.
    strategy
        With the incumbent as its live configuration, and no limit on the size of a step.
    panel
        The runs of the evidence.
    stored
        Order in which the runs finished, newest first: columns of the panel.
    realised
        What each single change of the incumbent did in the outcome, mean over markets of the Sharpe ratio.
    outcome_sharpe
        Shape (n_runs,): Sharpe ratio of each run of the panel in the outcome.
    """

    name: str
    family: str
    group: str
    year: int
    strategy: LabStrategy
    panel: RunPanel
    stored: NDArray[np.int64]
    realised: Mapping[Effect, float]
    outcome_sharpe: Floats

    @cached_property
    def panel_sharpe(self) -> Floats:
        """Shape (n_runs,): Sharpe ratio of each run in the evidence; 0 for one that never traded."""
        return np.nan_to_num(summarize(self.panel.returns, self.panel.periods_per_year).sharpe_ratio)

    def levels(self, path: str) -> NDArray[np.object_]:
        """Return the level of each run, as `level_key` writes it."""
        return np.asarray([level_key(config[path]) for config in self.panel.configs], dtype=np.object_)

    @property
    def decided_on(self) -> np.datetime64:
        """Last day of the evidence."""
        return np.datetime64(f"{self.year}-12-31", "D")

    @property
    def outcome_end(self) -> np.datetime64:
        """Last day of the outcome."""
        return np.datetime64(f"{self.year + OUTCOME_YEARS}-12-31", "D")


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


def decision_years(names: Sequence[str]) -> range:
    """Return the years at whose end all markets have five years of evidence, and two years to come."""
    spans = [market(name)[1].dates for name in names]
    first = max(dates[WARM_UP].astype("datetime64[Y]").astype(int) + 1970 for dates in spans) + 1
    last = min((dates[-1] + np.timedelta64(3, "D")).astype("datetime64[Y]").astype(int) + 1970 for dates in spans) - 1
    return range(first + EVIDENCE_YEARS - 1, last - OUTCOME_YEARS + 1)


def campaigns(group: str, names: Sequence[str], *, seed: int, incumbents: int = 1) -> Iterator[RealCampaign]:
    """Yield the campaigns of all families on one set of markets, by family and year, of some incumbents each."""
    years = [year for year in decision_years(names) for _ in range(incumbents)]
    for position, (strategy_id, plain) in enumerate(sorted(STRATEGIES.items())):
        knobs = tuple(replace(knob, max_step=None) for knob in plain.knobs)
        strategy = replace(plain, knobs=knobs)
        rng = np.random.default_rng([seed, position, *group.encode()])
        designs = []
        for _ in years:
            incumbent: dict[str, JsonValue] = {k.path: _drawn(k, rng) for k in knobs}
            centred = with_live(strategy, incumbent)
            designs.append((centred, mixed_design(centred, N_CONFIGS, rng), rng.permutation(N_CONFIGS * len(names))))
        pool = {_name(config): config for _, configs, _ in designs for config in configs}
        paths = {name: backtest(strategy, list(pool.values()), *market(name)) for name in names}
        place = {name: index for index, name in enumerate(pool)}
        for number, (year, (centred, configs, order)) in enumerate(zip(years, designs, strict=True)):
            columns = np.array([place[_name(config)] for config in configs])
            yield _campaign(
                f"{strategy_id}|{group}|{year}|{number % incumbents}",
                group,
                year,
                centred,
                configs,
                columns,
                paths,
                order,
            )


def _drawn(knob: Knob, rng: np.random.Generator) -> JsonValue:
    choices = knob.choices or ()
    return choices[int(rng.integers(len(choices)))]


def _name(config: Config) -> str:
    return "|".join(f"{path}={level_key(level)}" for path, level in sorted(config.items()))


def _campaign(
    name: str,
    group: str,
    year: int,
    strategy: LabStrategy,
    configs: Sequence[Config],
    columns: NDArray[np.int64],
    paths: Mapping[str, Paths],
    order: NDArray[np.int64],
) -> RealCampaign:
    past = {m: _cut(p, year - EVIDENCE_YEARS, year, columns) for m, p in paths.items()}
    later = {m: _sharpe(_cut(p, year, year + OUTCOME_YEARS, columns)[1]) for m, p in paths.items()}
    union = np.unique(np.concatenate([dates for dates, _ in past.values()]))
    matrix = np.full((len(configs) * len(past), len(union)), np.nan)
    for row, (dates, returns) in enumerate(past.values()):
        block = matrix[row * len(configs) : (row + 1) * len(configs)]
        block[:, np.searchsorted(union, dates)] = returns.T
    markets = tuple(m for m in past for _ in configs)
    panel = RunPanel(
        run_ids=tuple(f"run{i}" for i in range(len(matrix))),
        configs=tuple(dict(config) for _ in past for config in configs),
        blocks=tuple(f"{m}|{year}" for m in markets),
        markets=markets,
        dates=union.astype("datetime64[s]"),
        returns=matrix.T,
        periods_per_year=np.full(len(matrix), 252.0),
    )
    mean = np.mean(list(later.values()), axis=0)
    effects = {}
    for index, config in enumerate(configs):
        changed = [path for path, level in config.items() if level != strategy.live_config[path]]
        if len(changed) == 1:
            effects[changed[0], level_key(config[changed[0]])] = float(mean[index] - mean[0])
    return RealCampaign(
        name=name,
        family=strategy.family,
        group=group,
        year=year,
        strategy=strategy,
        panel=panel,
        stored=order,
        realised=effects,
        outcome_sharpe=np.concatenate(list(later.values())),
    )


def _cut(paths: Paths, after: int, until: int, columns: NDArray[np.int64]) -> tuple[NDArray[np.datetime64], Floats]:
    """Return the days after the end of one year until the end of another."""
    bounds = (np.datetime64(f"{year}-12-31", "D") for year in (after, until))
    start, stop = (int(np.searchsorted(paths.dates, day, side="right")) for day in bounds)
    return paths.dates[start:stop], paths.returns[start:stop][:, columns]


def _sharpe(returns: Floats) -> Floats:
    """Return annualised Sharpe ratios; a configuration that never traded has 0, as it earned nothing."""
    deviation = returns.std(axis=0, ddof=1)
    still = deviation <= 1e-12
    return np.asarray(np.where(still, 0.0, returns.mean(axis=0) / np.where(still, 1.0, deviation)) * np.sqrt(252.0))
