"""Whether the best of many configurations is a winner or the luckiest: gates, each with its number.

Belongs here: gates and their thresholds, from evidence that is complete. Does not belong here: gathering it (judging),
or who may look at the holdout (holdout).

A gate whose number is unknown is not passed. The holdout is only looked at when every other gate is passed: a look
cannot be taken back.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from meta_pipeline.canonical import JsonValue
from meta_pipeline.counted import counted
from meta_pipeline.errors import InputError
from meta_pipeline.evidence.metrics import ZERO_VOLATILITY
from meta_pipeline.evidence.overfitting import probability_of_backtest_overfitting
from meta_pipeline.evidence.sharpe import deflated_sharpe_ratio, probabilistic_sharpe_ratio
from meta_pipeline.evidence.superiority import superior_predictive_ability
from meta_pipeline.hyperband.played import Played

Floats = NDArray[np.float64]

PBO_BLOCKS: Final = 12


@dataclass(frozen=True, kw_only=True)
class Thresholds:
    """What a winner must reach.

    Parameters
    ----------
    deflated_sharpe_ratio
        At least, with all configurations ever scored as trials.
    backtest_overfitting
        Probability, at most; or the median configuration alone must reach the deflated Sharpe ratio.
    superior_p_value
        Of Hansen's test against buy-and-hold, and against the live configuration, at most.
    round_trips, holdout_round_trips
        At least, on the research window and on the holdout.
    stressed_sharpe_ratio
        Annual, at least, with doubled fees and slippage.
    neighbourhood
        Median Sharpe ratio of the configurations one step away, over the winner's, at least.
    holdout_confidence
        Probability that the true Sharpe ratio on the holdout is positive, at least; each earlier look by another
        configuration divides what it leaves to chance.
    draws, seed
        Of the bootstrap of Hansen's test.
    """

    deflated_sharpe_ratio: float = 0.95
    backtest_overfitting: float = 0.2
    superior_p_value: float = 0.05
    round_trips: int = 30
    holdout_round_trips: int = 5
    stressed_sharpe_ratio: float = 0.5
    neighbourhood: float = 0.5
    holdout_confidence: float = 0.95
    draws: int = 499
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class Gate:
    """One condition.

    Parameters
    ----------
    name
        Of the condition.
    value
        What was found; None if unknown.
    threshold
        What it is compared with.
    at_least
        Whether the value must reach the threshold, or stay below.
    passed
        Whether it does; never, if the value is unknown.
    reason
        The finding, as a sentence for people.
    """

    name: str
    value: float | None
    threshold: float
    at_least: bool
    passed: bool
    reason: str


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What became of the best configuration.

    Parameters
    ----------
    config
        Its digest.
    gates
        All of them, in their order; also those not reached.
    trials
        Configurations ever scored.
    earlier_looks
        Other configurations that saw days of this holdout; None if it was not opened.
    """

    config: str
    gates: tuple[Gate, ...]
    trials: int
    earlier_looks: int | None = None

    @property
    def is_winner(self) -> bool:
        """Whether every gate is passed."""
        return bool(self.gates) and all(gate.passed for gate in self.gates)

    @property
    def failed(self) -> tuple[Gate, ...]:
        """The gates that are not passed."""
        return tuple(gate for gate in self.gates if not gate.passed)

    @property
    def summary(self) -> str:
        """The verdict in one sentence."""
        if self.is_winner:
            return f"Winner: configuration {self.config[:12]} passes all {counted(len(self.gates), 'gate')}."
        names = ", ".join(gate.name for gate in self.failed)
        return f"No winner: configuration {self.config[:12]}, the best of {self.trials}, does not pass {names}."

    def to_json(self) -> dict[str, JsonValue]:
        """Return the verdict as JSON."""
        return {
            "config": self.config,
            "winner": self.is_winner,
            "summary": self.summary,
            "trials": self.trials,
            "earlier_looks": self.earlier_looks,
            "gates": [{name: getattr(gate, name) for name in Gate.__dataclass_fields__} for gate in self.gates],
        }


@dataclass(frozen=True, kw_only=True, eq=False)
class ResearchEvidence:
    """What is known without the holdout.

    Parameters
    ----------
    played, stressed
        The best configuration on the research window, at the settings' costs and at doubled costs.
    unviable
        Reasons why it is not viable; empty if it is.
    all_returns
        Shape (n_bars, n_configs): of all configurations of this search, each at its last rung, on the same bars.
    all_sharpe_ratios
        Shape (n,): per period, of every configuration ever scored on this scope, of earlier searches as well.
    n_scored
        Their number, failed ones and those without a Sharpe ratio included.
    neighbour_sharpe_ratios
        Shape (n,): annual, of configurations one step away.
    live_returns
        Shape (n_bars,): of the live configuration on the same bars; None if there is none.
    """

    played: Played
    stressed: Played
    unviable: tuple[str, ...]
    all_returns: Floats
    all_sharpe_ratios: Floats
    n_scored: int
    neighbour_sharpe_ratios: Floats
    live_returns: Floats | None = None


def research_gates(evidence: ResearchEvidence, thresholds: Thresholds) -> tuple[Gate, ...]:
    """Judge the best configuration by everything but the holdout.

    Raises
    ------
    InputError
        If series do not lie on the same bars, or fewer configurations were scored than are shown.
    """
    n_bars = len(evidence.played.returns)
    if evidence.all_returns.ndim != 2 or len(evidence.all_returns) != n_bars:
        raise InputError(f"all_returns has shape {evidence.all_returns.shape} for {n_bars} bars of the best")
    shown = max(evidence.all_returns.shape[1], len(evidence.all_sharpe_ratios))
    if evidence.n_scored < max(shown, 1):
        raise InputError(f"{evidence.n_scored} configurations were scored, but {shown} are shown; count all of them")
    varying = evidence.all_returns[:, evidence.all_returns.std(axis=0) > ZERO_VOLATILITY]
    gates = [
        _viable(evidence.unviable),
        _gate("round trips", float(len(evidence.played.profits)), thresholds.round_trips, "on the research window"),
        _deflated(evidence, thresholds),
        _overfitting(varying, evidence, thresholds),
        _superior("beats buy-and-hold", varying, evidence.played.benchmark, thresholds),
    ]
    if evidence.live_returns is not None:
        gates.append(_superior("beats the live configuration", varying, evidence.live_returns, thresholds))
    gates.append(
        _gate(
            "doubled costs",
            _known(evidence.stressed.figures["sharpe_ratio"].value),
            thresholds.stressed_sharpe_ratio,
            "Sharpe ratio with doubled fees and slippage",
        )
    )
    gates.append(_stable(evidence, thresholds))
    return tuple(gates)


def holdout_gates(
    played: Played, periods_per_year: float, *, earlier_looks: int, thresholds: Thresholds
) -> tuple[Gate, ...]:
    """Judge the best configuration by the holdout."""
    needed = 1.0 - (1.0 - thresholds.holdout_confidence) / (1 + earlier_looks)
    moments = _moments(played.returns)
    confidence = None
    if moments is not None:
        ratio, skewness, kurtosis = moments
        confidence = probabilistic_sharpe_ratio(
            ratio, len(played.returns), skewness=skewness, kurtosis=kurtosis, variance_at="null"
        )
    own = "unknown" if moments is None else f"{moments[0] * math.sqrt(periods_per_year):.2f}"
    market = _moments(played.benchmark)
    held = "unknown" if market is None else f"{market[0] * math.sqrt(periods_per_year):.2f}"
    return (
        _gate("holdout round trips", float(len(played.profits)), thresholds.holdout_round_trips, "on the holdout"),
        _gate(
            "holdout",
            confidence,
            needed,
            f"probability that its Sharpe ratio there is above zero (it is {own}; buy-and-hold {held}; "
            f"{earlier_looks} earlier looks)",
        ),
    )


def unopened_gates(thresholds: Thresholds) -> tuple[Gate, ...]:
    """Return the gates of a holdout that was not opened, because another gate was not passed."""
    why = "not opened: the gates before are not all passed"
    return (
        _gate("holdout round trips", None, thresholds.holdout_round_trips, why),
        _gate("holdout", None, thresholds.holdout_confidence, why),
    )


def _gate(name: str, value: float | None, threshold: float, reason: str, *, at_least: bool = True) -> Gate:
    passed = value is not None and (value >= threshold if at_least else value <= threshold)
    return Gate(name=name, value=value, threshold=float(threshold), at_least=at_least, passed=passed, reason=reason)


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _viable(unviable: tuple[str, ...]) -> Gate:
    why = "; ".join(unviable) or "all thresholds of viability are met"
    return _gate("viable", float(len(unviable)), 0.0, why, at_least=False)


def _deflated(evidence: ResearchEvidence, thresholds: Thresholds) -> Gate:
    return _gate(
        "deflated Sharpe ratio",
        _deflated_ratio(evidence.played.returns, evidence),
        thresholds.deflated_sharpe_ratio,
        "probability that its Sharpe ratio is above the luckiest of "
        f"{counted(evidence.n_scored, 'configuration')} without skill",
    )


def _deflated_ratio(returns: Floats, evidence: ResearchEvidence) -> float | None:
    moments = _moments(returns)
    ratios = evidence.all_sharpe_ratios[np.isfinite(evidence.all_sharpe_ratios)]
    # Of one trial nothing is chosen, and so nothing is deflated.
    if moments is None or (len(ratios) < 2 and evidence.n_scored > 1):
        return None
    ratio, skewness, kurtosis = moments
    return deflated_sharpe_ratio(
        ratio,
        len(returns),
        n_trials=evidence.n_scored,
        variance_of_trials=float(ratios.var(ddof=1)) if len(ratios) > 1 else 0.0,
        skewness=skewness,
        kurtosis=kurtosis,
    )


def _overfitting(varying: Floats, evidence: ResearchEvidence, thresholds: Thresholds) -> Gate:
    """Judge how often the best in sample is below the median out of sample.

    Among configurations that are all about equally good that happens half of the time and harms nobody. So the gate
    also opens where the *median* configuration alone passes the deflated Sharpe ratio, which is more than the best
    must do: then it is not the choice that made the figure.
    """
    value = None
    why = "share of splits in which the best in sample is below the median out of sample"
    try:
        value = probability_of_backtest_overfitting(varying, PBO_BLOCKS).probability
    except InputError as error:
        why = str(error)
    gate = _gate("backtest overfitting", value, thresholds.backtest_overfitting, why, at_least=False)
    if gate.passed or value is None:
        return gate
    ratios = varying.mean(axis=0) / varying.std(axis=0)
    middle = varying[:, np.argsort(ratios, kind="stable")[(len(ratios) - 1) // 2]]
    alone = _deflated_ratio(middle, evidence)
    if alone is None or alone < thresholds.deflated_sharpe_ratio:
        return gate
    why += f"; passed since the median configuration alone has a deflated Sharpe ratio of {alone:.3f}: the choice among"
    return replace(gate, passed=True, reason=why + " them matters little")


def _superior(name: str, varying: Floats, benchmark: Floats, thresholds: Thresholds) -> Gate:
    value = None
    why = "p-value of Hansen's test that no configuration has a higher Sharpe ratio"
    try:
        test = superior_predictive_ability(varying, benchmark, n_draws=thresholds.draws, seed=thresholds.seed)
        value = test.p_value
    except InputError as error:
        why = str(error)
    return _gate(name, value, thresholds.superior_p_value, why, at_least=False)


def _stable(evidence: ResearchEvidence, thresholds: Thresholds) -> Gate:
    own = evidence.played.figures["sharpe_ratio"].value
    near = np.where(np.isfinite(evidence.neighbour_sharpe_ratios), evidence.neighbour_sharpe_ratios, 0.0)
    value = float(np.median(near)) / own if len(near) and math.isfinite(own) and own > 0.0 else None
    why = f"median Sharpe ratio of {counted(len(near), 'configuration')} one step away, over its own"
    return _gate("neighbourhood", value, thresholds.neighbourhood, why)


def _moments(returns: Floats) -> tuple[float, float, float] | None:
    """Return Sharpe ratio per period, skewness and raw kurtosis; None without volatility."""
    spread = float(returns.std(ddof=1)) if len(returns) > 2 else 0.0
    mean = float(returns.mean()) if len(returns) else math.nan
    if not spread > ZERO_VOLATILITY * max(1.0, abs(mean)):
        return None
    z = (returns - mean) / returns.std()
    return mean / spread, float((z**3).mean()), float((z**4).mean())


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A verdict with what people look at beside it.

    Parameters
    ----------
    verdict
        The gates.
    research, stressed, holdout
        Figures by name, None where missing; the holdout's is empty if it was not opened.
    """

    verdict: Verdict
    research: Mapping[str, float | None]
    stressed: Mapping[str, float | None]
    holdout: Mapping[str, float | None] = field(default_factory=dict)
