"""From the best configuration of a search to its verdict.

Belongs here: gathering evidence, in the order that costs the holdout last. Does not belong here: the gates (verdict).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from meta_pipeline.canonical import digest
from meta_pipeline.hyperband.neighbourhood import neighbours
from meta_pipeline.hyperband.objective import Viability
from meta_pipeline.hyperband.performance import values
from meta_pipeline.hyperband.played import Played
from meta_pipeline.hyperband.protocol import Evaluator, ParameterValue
from meta_pipeline.hyperband.verdict import (
    Judged,
    ResearchEvidence,
    Thresholds,
    Verdict,
    holdout_gates,
    research_gates,
    unopened_gates,
)

Floats = NDArray[np.float64]
Config = Mapping[str, ParameterValue]

STRESS: Final = 2.0


@runtime_checkable
class Judgeable(Evaluator, Protocol):
    """An evaluator whose best configuration can be judged: it can trade again, dearer, and on a holdout."""

    @property
    def periods_per_year(self) -> float:
        """Bars a year."""
        ...

    @property
    def viability(self) -> Viability:
        """Thresholds below which a configuration is not considered."""
        ...

    def replay(self, config: Config, checkpoint: bytes, units: int, *, cost_factor: float = 1.0) -> Played:
        """Trade the research window again from a checkpoint."""
        ...

    def carries_over(self, config: Config, other: Config) -> bool:
        """Return whether `replay` can trade `other` from a checkpoint of `config`."""
        ...

    def holdout(self, config: Config, *, cost_factor: float = 1.0) -> Played:
        """Trade the holdout."""
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class Contest:
    """What a search leaves behind.

    Parameters
    ----------
    config, checkpoint, units
        Of the best configuration at the full resource.
    all_returns
        Shape (n_bars, n_configs): of all configurations of the search, each at its last rung.
    all_sharpe_ratios
        Shape (n,): per period, of all configurations ever scored on this scope.
    n_scored
        Their number, with failed ones.
    live_returns
        Shape (n_bars,): of the live configuration on the same bars; None if there is none.
    """

    config: Config
    checkpoint: bytes
    units: int
    all_returns: Floats
    all_sharpe_ratios: Floats
    n_scored: int
    live_returns: Floats | None = None


def judge(
    evaluator: Judgeable,
    contest: Contest,
    *,
    open_holdout: Callable[[], int],
    thresholds: Thresholds | None = None,
    most_retrained: int = 6,
) -> Judged:
    """Judge the best configuration of a search.

    Parameters
    ----------
    evaluator
        That of the search.
    contest
        What the search leaves behind.
    open_holdout
        Called once, and only if every other gate is passed, *before* the holdout is computed: records the opening
        durably and returns the number of earlier looks (see `holdout.earlier_looks`).
    thresholds
        None: the usual ones.
    most_retrained
        Neighbours that need new forests; spread evenly over the parameters. Those that do not are all traded.

    Raises
    ------
    Conflict
        If the holdout was opened for another configuration (from `open_holdout`).
    InputError
        If the evidence does not fit together.
    """
    wanted = thresholds or Thresholds()
    config = evaluator.space.check(contest.config)
    played = evaluator.replay(config, contest.checkpoint, contest.units)
    stressed = evaluator.replay(config, contest.checkpoint, contest.units, cost_factor=STRESS)
    evidence = ResearchEvidence(
        played=played,
        stressed=stressed,
        unviable=evaluator.viability.reasons(played.figures),
        all_returns=contest.all_returns,
        all_sharpe_ratios=contest.all_sharpe_ratios,
        n_scored=contest.n_scored,
        neighbour_sharpe_ratios=_near(evaluator, contest, config, most_retrained),
        live_returns=contest.live_returns,
    )
    gates = research_gates(evidence, wanted)
    looks, seen = None, None
    if all(gate.passed for gate in gates):
        looks = open_holdout()
        seen = evaluator.holdout(config)
        last = holdout_gates(seen, evaluator.periods_per_year, earlier_looks=looks, thresholds=wanted)
    else:
        last = unopened_gates(wanted)
    return Judged(
        verdict=Verdict(config=digest(config), gates=gates + last, trials=contest.n_scored, earlier_looks=looks),
        research=values(played.figures),
        stressed=values(stressed.figures),
        holdout={} if seen is None else values(seen.figures),
    )


def _near(evaluator: Judgeable, contest: Contest, config: Config, most_retrained: int) -> Floats:
    """Return the annual Sharpe ratio of configurations one step away."""
    near = neighbours(evaluator.space, config)
    free = [other for other in near if evaluator.carries_over(config, other)]
    dear = [other for other in near if not evaluator.carries_over(config, other)]
    if len(dear) > most_retrained:
        dear = [dear[round(i * (len(dear) - 1) / max(most_retrained - 1, 1))] for i in range(most_retrained)]
    found = [evaluator.replay(other, contest.checkpoint, contest.units).figures["sharpe_ratio"].value for other in free]
    for other in dear:
        ratio = evaluator.evaluate(other, 0, contest.units, None).metrics.get("sharpe_ratio")
        found.append(np.nan if ratio is None else ratio)
    return np.asarray(found, dtype=np.float64)
