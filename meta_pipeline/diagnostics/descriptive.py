"""Views that describe a campaign and decide nothing: overfitting, superiority, importance, interactions, robustness.

Belongs here: what is asked of the evidence modules, on which series, and what is said where they cannot answer. Does
not belong here: the statistics (evidence), or effects with an error rate (proposals).
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from meta_pipeline.canonical import JsonValue
from meta_pipeline.diagnostics.configurations import Configurations
from meta_pipeline.diagnostics.importance import N_DRAWS, SEED, KnobPair, KnobWeight, importance
from meta_pipeline.diagnostics.interactions import Interaction, overturning_interactions
from meta_pipeline.diagnostics.overfitting import common_frequency, daily_mean
from meta_pipeline.diagnostics.regime_days import Labels, agreed_labels
from meta_pipeline.diagnostics.scenarios import scenarios_between
from meta_pipeline.errors import InputError
from meta_pipeline.evidence.dispersion import Dispersion, dispersion_of
from meta_pipeline.evidence.overfitting import effective_number_of_trials, probability_of_backtest_overfitting
from meta_pipeline.evidence.panel import RunPanel
from meta_pipeline.evidence.robustness import Robustness, robustness
from meta_pipeline.evidence.scenarios import Scenarios
from meta_pipeline.evidence.superiority import model_confidence_set, stepwise_superior, superior_predictive_ability
from meta_pipeline.proposals.campaign import Campaign
from meta_pipeline.proposals.candidate import finite
from meta_pipeline.proposals.changes import enumerate_changes

DESCRIPTIVE: Final = "Descriptive: shown beside the proposals, and never a gate."
MOST_SERIES: Final = 60  # series that are compared with each other; of more, these are taken evenly
_OF_ONE_FREQUENCY: Final = (
    *("probability_of_overfitting", "n_effective", "n_indistinguishable", "live"),
    *("across_configurations", "across_markets", "scenarios"),
)

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Against:
    """Whether any configuration is better than one benchmark, all of them counted.

    Parameters
    ----------
    benchmark
        "live" or "buy and hold".
    p_value
        Hansen's, of "none is better", on Sharpe ratios. None: `missing` says why.
    n_compared, better
        Configurations compared, and ids of those that the stepwise test at 10 % finds better.
    """

    benchmark: str
    p_value: float | None = None
    n_compared: int = 0
    better: tuple[str, ...] = ()
    missing: str | None = None


@dataclass(frozen=True, kw_only=True)
class Descriptive:
    """Everything that is described.

    Parameters
    ----------
    n_series, n_days, n_splits
        Configurations whose series were compared, on as many common days; splits of the cross-validation.
    probability_of_overfitting, probability_of_loss, degradation_slope
        By combinatorially symmetric cross-validation.
    n_effective
        As how many uncorrelated series they count.
    against
        The live configuration and, where its returns are known, buy-and-hold.
    n_indistinguishable
        Configurations that the model confidence set at 90 % cannot tell from the best.
    knobs, pairs, r_squared
        By falling strength, and by falling synergy; how well the knobs predict runs that they were not fitted to.
    interactions
        Settings of another knob in which a change has the opposite effect.
    live
        Robustness of the live configuration.
    across_configurations, across_markets
        How far the compared configurations lie apart on a day, and the live configuration's markets.
    scenarios, challenger
        The live configuration against the best one, through the same paths; and the id of that one.
    missing
        For each figure that is None: why.
    """

    n_series: int = 0
    n_days: int = 0
    n_splits: int = 0
    probability_of_overfitting: float | None = None
    probability_of_loss: float | None = None
    degradation_slope: float | None = None
    n_effective: float | None = None
    against: tuple[Against, ...] = ()
    n_indistinguishable: int | None = None
    knobs: tuple[KnobWeight, ...] = ()
    pairs: tuple[KnobPair, ...] = ()
    r_squared: float | None = None
    interactions: tuple[Interaction, ...] = ()
    live: Robustness | None = None
    across_configurations: Dispersion | None = None
    across_markets: Dispersion | None = None
    scenarios: Scenarios | None = None
    challenger: str | None = None
    missing: Mapping[str, str] = field(default_factory=dict)
    label: str = DESCRIPTIVE

    def to_json(self) -> dict[str, JsonValue]:
        """Return the views as a canonical-JSON-safe object."""
        found: dict[str, JsonValue] = _plain(asdict(self))
        return found


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return finite(value)
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def describe(
    panel: RunPanel,
    found: Configurations,
    campaign: Campaign,
    *,
    regimes: Mapping[str, NDArray[np.str_]] | None = None,
    buy_and_hold: Floats | None = None,
    best: str | None = None,
) -> Descriptive:
    """Describe a campaign.

    Parameters
    ----------
    found
        The panel's configurations.
    campaign
        The same panel as the engine reads it.
    regimes
        As in `propose`.
    buy_and_hold
        Shape (n_days,): returns of holding the markets, on the panel's dates; NaN where there is none.
    best
        Id of the configuration that the live one is compared with in scenarios; None: there is none.
    """
    missing: dict[str, str] = {}
    figures: dict[str, Any] = {}
    periods, why = common_frequency(panel, found)
    if periods is None:
        missing |= dict.fromkeys(_OF_ONE_FREQUENCY, why)
    else:
        labels = agreed_labels(regimes, set(panel.markets))
        figures |= _compared(panel, found, buy_and_hold, labels, missing)
        figures |= _live(panel, found, regimes or {}, periods, missing)
        figures |= _against_best(panel, found, labels, periods, best, missing)
    changes = [change for change in enumerate_changes(campaign) if change.refusal is None]
    weighed = importance(campaign, changes)
    figures |= {"knobs": weighed.knobs, "pairs": weighed.pairs, "r_squared": weighed.r_squared}
    missing |= {} if weighed.why is None else {"r_squared": weighed.why}
    figures["interactions"] = overturning_interactions(campaign, changes) if changes else ()
    return Descriptive(missing=missing, **figures)


def _compared(
    panel: RunPanel,
    found: Configurations,
    buy_and_hold: Floats | None,
    labels: Labels | None,
    missing: dict[str, str],
) -> dict[str, Any]:
    """Compare the configurations' series on the days that all of them have."""
    with_days = [i for i, columns in enumerate(found.members) if not np.isnan(panel.rows(columns)).all()]
    step = np.linspace(0, len(with_days) - 1, min(len(with_days), MOST_SERIES)).astype(np.intp)
    live_there = [i for i in with_days if i == found.live]
    chosen = sorted({*(with_days[i] for i in step), *live_there})
    series = np.column_stack([daily_mean(panel, found.members[i]) for i in chosen])
    days = ~np.isnan(series).any(axis=1)
    matrix = series[days]
    figures: dict[str, Any] = {"n_series": len(chosen), "n_days": len(matrix)}
    figures["across_configurations"] = dispersion_of(series, labels)
    try:
        split = probability_of_backtest_overfitting(matrix, 16)
        figures |= {
            "n_splits": split.n_splits,
            "probability_of_overfitting": split.probability,
            "probability_of_loss": split.probability_of_loss,
            "degradation_slope": split.degradation_slope,
        }
    except InputError as error:
        missing["probability_of_overfitting"] = str(error)
    try:
        figures["n_effective"] = effective_number_of_trials(matrix)
    except InputError as error:
        missing["n_effective"] = str(error)
    names = [found.all[i].configuration_id for i in chosen]
    live = None if found.live not in chosen else matrix[:, chosen.index(found.live)]
    figures["against"] = (
        _against("live", matrix, live, names, "no run replays the live configuration"),
        _against(
            "buy and hold",
            matrix,
            None if buy_and_hold is None else buy_and_hold[days],
            names,
            "the returns of holding the markets are not known here",
        ),
    )
    try:
        moving = matrix[:, matrix.std(axis=0) > 0]
        kept = model_confidence_set(moving, n_draws=N_DRAWS, seed=SEED)
        figures["n_indistinguishable"] = len(kept.included)
    except InputError as error:
        missing["n_indistinguishable"] = str(error)
    return figures


def _against(name: str, matrix: Floats, benchmark: Floats | None, names: Sequence[str], why: str) -> Against:
    known = np.zeros(len(matrix), dtype=bool) if benchmark is None else np.isfinite(benchmark)
    if benchmark is None or not known.any():
        return Against(benchmark=name, missing=why)
    matrix, benchmark = matrix[known], benchmark[known]  # a day that is not known is no day without a return
    moving = np.flatnonzero(matrix.std(axis=0) > 0)
    try:
        tested = superior_predictive_ability(matrix[:, moving], benchmark, n_draws=N_DRAWS, seed=SEED)
        better = stepwise_superior(matrix[:, moving], benchmark, n_draws=N_DRAWS, seed=SEED)
    except InputError as error:
        return Against(benchmark=name, missing=str(error))
    return Against(
        benchmark=name,
        p_value=tested.p_value,
        n_compared=len(moving),
        better=tuple(names[moving[column]] for column in better),
    )


def _live(
    panel: RunPanel,
    found: Configurations,
    regimes: Mapping[str, NDArray[np.str_]],
    periods: float,
    missing: dict[str, str],
) -> dict[str, Any]:
    """Return what the live configuration rests on, and how far its markets lie apart."""
    if found.live is None:
        missing |= dict.fromkeys(("live", "across_markets"), "no run replays the live configuration")
        return {}
    columns = found.members[found.live]
    by_market: dict[str, list[int]] = {}
    for column in columns:
        by_market.setdefault(panel.markets[column], []).append(int(column))
    agreed = agreed_labels(regimes, by_market)
    series = [daily_mean(panel, np.array(by_market[market], dtype=np.intp)) for market in sorted(by_market)]
    return {
        "live": robustness(daily_mean(panel, columns), periods, agreed),
        "across_markets": dispersion_of(np.column_stack(series), agreed),
    }


def _against_best(
    panel: RunPanel,
    found: Configurations,
    labels: Labels | None,
    periods: float,
    best: str | None,
    missing: dict[str, str],
) -> dict[str, Any]:
    """Put the live configuration and the best one through the same scenarios."""
    named = {one.configuration_id: place for place, one in enumerate(found.all)}
    place = None if best is None else named.get(best)
    why = None
    if found.live is None:
        why = "no run replays the live configuration"
    elif place is None:
        why = "no other configuration is known to be the best"
    elif place == found.live:
        why = "the live configuration is the best"
    if why is not None or found.live is None or place is None:
        missing["scenarios"] = str(why)
        return {}
    first, second = (daily_mean(panel, found.members[one]) for one in (found.live, place))
    return {"scenarios": scenarios_between(first, second, periods, labels), "challenger": best}
