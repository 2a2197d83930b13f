"""The S&P 500 example: 72 moving-average crossovers, looked at as most people do, and with all that was tried counted.

Run: python -m benchmarks.sp500_example [--write]     (--write: docs/sp500-example.md and its picture)

Rivals in the same run: the probabilistic Sharpe ratio of the best, as if it were the only one that was tried.
"""

import argparse
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from textwrap import fill
from typing import Final

import numpy as np
from numpy.typing import NDArray

from meta_pipeline.evidence.metrics import summarize
from meta_pipeline.evidence.overfitting import effective_number_of_trials, probability_of_backtest_overfitting
from meta_pipeline.evidence.sharpe import deflated_sharpe_ratio, probabilistic_sharpe_ratio
from meta_pipeline.evidence.superiority import (
    ModelConfidenceSet,
    SuperiorPredictiveAbility,
    model_confidence_set,
    stepwise_superior,
    superior_predictive_ability,
)
from meta_pipeline.lab.prices import load_prices

DOCUMENT: Final = Path(__file__).parents[1] / "docs" / "sp500-example.md"
PICTURE: Final = DOCUMENT.parent / "img" / "sp500-example.svg"
FAST: Final = (5, 10, 15, 20, 25, 30, 40, 50)
SLOW: Final = (60, 80, 100, 120, 150, 180, 200, 225, 250)
YEAR: Final = 252
N_DRAWS: Final = 499

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Example:
    """All figures of the page; Sharpe ratios annualised, returns before costs."""

    days: int
    first: str
    last: str
    names: tuple[str, ...]
    sharpe: Floats
    holding: float
    best: int
    best_sharpe: float
    probabilistic: float
    deflated: float
    passing: int
    beat: int
    ability: SuperiorPredictiveAbility
    stepwise: tuple[int, ...]
    confidence: ModelConfidenceSet
    overfitting: float
    degradation: float
    effective: float


@cache
def example() -> Example:
    """Compute everything, from closes."""
    prices = load_prices("SP500")
    changes = prices.closes[1:] / prices.closes[:-1] - 1.0
    returns, names = crossovers(prices.closes, changes)
    held = changes[-len(returns) :]
    summary = summarize(returns, YEAR)
    best = int(np.argmax(summary.sharpe_ratio))
    per_day = summary.sharpe_ratio / np.sqrt(YEAR)
    deflated = deflated_sharpe_ratio(
        float(per_day[best]),
        len(returns),
        n_trials=len(names),
        variance_of_trials=float(np.var(per_day, ddof=1)),
        skewness=float(summary.skewness[best]),
        kurtosis=float(summary.kurtosis[best]),
    )
    split = probability_of_backtest_overfitting(returns, 16)
    holding = float(summarize(held, YEAR).sharpe_ratio[0])
    return Example(
        days=len(returns),
        first=str(prices.dates[-len(returns)]),
        last=str(prices.dates[-1]),
        names=names,
        sharpe=summary.sharpe_ratio,
        holding=holding,
        best=best,
        best_sharpe=float(summary.sharpe_ratio[best]),
        probabilistic=_alone(summary, per_day, best, len(returns)),
        deflated=deflated,
        passing=sum(_alone(summary, per_day, i, len(returns)) > 0.95 for i in range(len(names))),
        beat=int(np.sum(summary.sharpe_ratio > holding)),
        ability=superior_predictive_ability(returns, held, n_draws=N_DRAWS),
        stepwise=stepwise_superior(returns, held, n_draws=N_DRAWS),
        confidence=model_confidence_set(np.column_stack([held, returns]), n_draws=N_DRAWS),
        overfitting=split.probability,
        degradation=split.degradation_slope,
        effective=effective_number_of_trials(returns),
    )


def _alone(summary: object, per_day: Floats, index: int, n: int) -> float:
    skewness, kurtosis = (float(getattr(summary, name)[index]) for name in ("skewness", "kurtosis"))
    return probabilistic_sharpe_ratio(float(per_day[index]), n, skewness=skewness, kurtosis=kurtosis)


def crossovers(closes: Floats, changes: Floats) -> tuple[Floats, tuple[str, ...]]:
    """Return daily returns of every pair, long where the fast average is above the slow one, else in cash.

    Averages of closes up to day t decide the holding that is bought at the close of t + 1; shape (n_days, 72).
    """
    sums = np.concatenate([[0.0], np.cumsum(closes)])
    warm = max(SLOW)

    def average(window: int) -> Floats:
        return np.asarray((sums[warm:] - sums[warm - window : -window]) / window)

    columns, names = [], []
    for fast in FAST:
        for slow in SLOW:
            wish = average(fast) > average(slow)  # the first is of the close number warm - 1
            columns.append(np.where(wish[:-2], changes[warm:], 0.0))
            names.append(f"{fast}/{slow}")
    return np.column_stack(columns), tuple(names)


def page(found: Example) -> str:
    """Return the page."""
    n, inside = len(found.names), 0 in found.confidence.included
    told = len(found.confidence.included) - int(inside)
    too = "too" if inside else "not"
    text = f"""# Seventy-two crossovers on the S&P 500

Written by `python -m benchmarks.sp500_example --write`; do not edit. The closes ship with the package `arch`
({found.first} to {found.last}, {found.days:,} days after the averages have begun). A crossover is long while a fast
moving average is above a slow one, else in cash; decided at one close, bought at the next. {len(FAST)} fast averages
times {len(SLOW)} slow ones are {n} strategies. No costs are taken off, and cash earns nothing: the first
flatters them, the second does not.

![Sharpe ratios of 72 crossovers beside buying and holding](img/sp500-example.svg)

## What one sees who looks at the best one

The best is {found.names[found.best]}, with a Sharpe ratio of {found.best_sharpe:.2f} a year against {found.holding:.2f}
for buying and holding. The probabilistic Sharpe ratio, the chance that its true Sharpe ratio is above zero, is
**{100 * found.probabilistic:.1f} %**. {found.passing} of {n} pass 95 % in this way, and {found.beat} of
{n} have a higher Sharpe ratio than the index. It looks like a discovery.

## What is left when all that was tried is counted

| question | answer |
| --- | --- |
| Is the best above zero, {n} trials counted? (deflated Sharpe ratio) | {100 * found.deflated:.1f} % |
| Is any better than buying and holding? (superior predictive ability, p) | {found.ability.p_value:.3f} |
| Which are, with a chance of 10 % that one of them is not? (stepwise test) | {len(found.stepwise)} of {n} |
| Which cannot be told from the best? (model confidence set, 90 %) | {told} of {n}, buying and holding {too} |
| How often is the best of one half of the days below the median of the other? | {100 * found.overfitting:.0f} % |
| How much of a lead in one half is left in the other? (slope, 1 is all) | {found.degradation:.2f} |
| As how many uncorrelated strategies do the {n} count? (for show) | {found.effective:.1f} |

The probabilistic Sharpe ratio answers another question than the one that matters. These strategies hold an index that
rose, and all hold much the same days of it: a Sharpe ratio above zero is the index's as much as theirs. Against buying
and holding on the same days, once all that was tried is counted, nothing is shown.

That is why a proposal here is a difference on common days, corrected for all that was looked at, and why the figures
of this page are in the diagnostics report (*Overfitting panel*) for every strategy.
"""
    parts = [part if part.startswith(("#", "|", "!")) else fill(part, 118) for part in text.strip().split("\n\n")]
    return "\n\n".join(parts) + "\n"


def draw(found: Example, path: Path) -> None:
    """Draw the Sharpe ratios in order, with the index."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "sp500-example"
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 3.6), layout="constrained")
    order = np.argsort(found.sharpe)
    axes.bar(np.arange(len(order)), found.sharpe[order], color="#9bb7d4", width=0.85)
    axes.axhline(found.holding, color="#b03a2e", linewidth=1.5)
    axes.annotate(
        f"buying and holding, {found.holding:.2f}", (0.0, found.holding), (-0.4, found.holding + 0.08), color="#b03a2e"
    )
    axes.set_xticks([])
    axes.set_xlabel(f"{len(order)} crossovers, from the worst to the best ({found.names[found.best]})")
    axes.set_ylabel("Sharpe ratio a year")
    axes.set_title(
        f"Alone, the best has {100 * found.probabilistic:.1f} % to be above zero; "
        f"better than the index: p = {found.ability.p_value:.2f}"
    )
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)


def main() -> None:
    """Print the page, or write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="write docs/sp500-example.md and its picture")
    options = parser.parse_args()
    found = example()
    print(page(found))
    if options.write:
        PICTURE.parent.mkdir(parents=True, exist_ok=True)
        draw(found, PICTURE)
        DOCUMENT.write_text(page(found), encoding="utf-8")


if __name__ == "__main__":
    main()
