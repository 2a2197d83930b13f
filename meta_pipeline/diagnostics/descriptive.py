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
from meta_pipeline.diagnostics.interactions import Interaction, overturning_interactions
from meta_pipeline.diagnostics.overfitting import common_frequency, daily_mean
from meta_pipeline.errors import InputError
from meta_pipeline.evidence.contrasts import choose_block_length, evaluate
from meta_pipeline.evidence.factors import Role
from meta_pipeline.evidence.importance import information_views, wald_importance
from meta_pipeline.evidence.influence import SHARPE_RATIO
from meta_pipeline.evidence.overfitting import effective_number_of_trials, probability_of_backtest_overfitting
from meta_pipeline.evidence.panel import RunPanel
from meta_pipeline.evidence.robustness import Robustness, robustness
from meta_pipeline.evidence.superiority import model_confidence_set, stepwise_superior, superior_predictive_ability
from meta_pipeline.proposals.campaign import Campaign
from meta_pipeline.proposals.candidate import finite
from meta_pipeline.proposals.changes import Change, enumerate_changes
from meta_pipeline.proposals.weighting import weigh

DESCRIPTIVE: Final = "Descriptive: shown beside the proposals, and never a gate."
MOST_SERIES: Final = 60  # series that are compared with each other; of more, these are taken evenly
MOST_KNOBS: Final = 12
MOST_PAIRS: Final = 10
N_DRAWS: Final = 199
SEED: Final = 20261120

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
class KnobWeight:
    """How much a knob matters: by days (Wald), and by runs (information); None where one of them cannot say."""

    path: str
    wald: float | None = None
    degrees_of_freedom: int | None = None
    p_value: float | None = None
    strength: float | None = None
    mutual_information: float | None = None
    information_p_value: float | None = None


@dataclass(frozen=True, kw_only=True)
class KnobPair:
    """What two knobs tell about each other (redundancy), and together beyond what each tells alone (synergy)."""

    first: str
    second: str
    redundancy: float | None
    synergy: float
    adjusted_p_value: float


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
    knobs, pairs
        By falling strength, and by falling synergy.
    interactions
        Settings of another knob in which a change has the opposite effect.
    live
        Robustness of the live configuration.
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
    interactions: tuple[Interaction, ...] = ()
    live: Robustness | None = None
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
    """
    missing: dict[str, str] = {}
    figures: dict[str, Any] = {}
    periods, why = common_frequency(panel, found)
    if periods is None:
        missing |= dict.fromkeys(("probability_of_overfitting", "n_effective", "n_indistinguishable", "live"), why)
    else:
        figures |= _compared(panel, found, buy_and_hold, missing)
        figures["live"] = _live(panel, found, regimes or {}, periods, missing)
    changes = [change for change in enumerate_changes(campaign) if change.refusal is None]
    figures["knobs"], figures["pairs"] = _importance(campaign, changes)
    figures["interactions"] = overturning_interactions(campaign, changes) if changes else ()
    return Descriptive(missing=missing, **figures)


def _compared(
    panel: RunPanel, found: Configurations, buy_and_hold: Floats | None, missing: dict[str, str]
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
            None if buy_and_hold is None else np.nan_to_num(buy_and_hold[days]),
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
    if benchmark is None:
        return Against(benchmark=name, missing=why)
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
) -> Robustness | None:
    if found.live is None:
        missing["live"] = "no run replays the live configuration"
        return None
    columns = found.members[found.live]
    markets = {panel.markets[column] for column in columns}
    # One label per day: several markets have one only where theirs agree, or where it is that of all.
    labels = {market: regimes.get(market, regimes.get("")) for market in markets}
    known = [label for label in labels.values() if label is not None]
    agreed = None
    if known and len(known) == len(markets):
        same = np.all([label == known[0] for label in known], axis=0)
        agreed = np.where(same, known[0], "")
    return robustness(daily_mean(panel, columns), periods, agreed)


def _importance(campaign: Campaign, changes: Sequence[Change]) -> tuple[tuple[KnobWeight, ...], tuple[KnobPair, ...]]:
    weights: dict[str, dict[str, Any]] = {}
    if changes:
        weighting, n = weigh(campaign, changes), len(changes)
        tested = evaluate(
            weighting.estimates[:n],
            weighting.daily[:, :n],
            confidence_level=0.9,
            n_draws=N_DRAWS,
            generator=np.random.default_rng(SEED),
            block_length=choose_block_length(weighting.daily[:, :n]),
        )
        for knob in wald_importance(tested, [change.knob.path for change in changes]):
            weights[knob.path] = {
                "wald": knob.wald,
                "degrees_of_freedom": knob.degrees_of_freedom,
                "p_value": knob.p_value_bootstrap,
                "strength": knob.strength,
            }
    factors = [f for f in campaign.design.factors if f.role is Role.KNOB and len(f.levels) > 1][:MOST_KNOBS]
    pairs: tuple[KnobPair, ...] = ()
    if factors:
        views = information_views(
            factors,
            campaign.distinct.blocks,
            campaign.runs.metric(SHARPE_RATIO),
            generator=np.random.default_rng(SEED),
            n_permutations=N_DRAWS,
        )
        for one in views.knobs:
            told = {"mutual_information": one.mutual_information, "information_p_value": one.adjusted_p_value}
            weights[one.path] = weights.get(one.path, {}) | told
        pairs = tuple(
            KnobPair(
                first=pair.paths[0],
                second=pair.paths[1],
                redundancy=finite(pair.redundancy),
                synergy=pair.synergy,
                adjusted_p_value=pair.adjusted_p_value,
            )
            for pair in views.pairs[:MOST_PAIRS]
        )
    knobs = [KnobWeight(path=path, **parts) for path, parts in weights.items()]
    knobs.sort(key=lambda knob: (-(knob.strength if knob.strength is not None else -np.inf), knob.path))
    return tuple(knobs), pairs
