"""`diagnose`: the whole report from runs, aggregates and what the engine says about them. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from meta_pipeline.backtests.aggregates import Aggregate
from meta_pipeline.canonical import JsonValue, digest
from meta_pipeline.counted import counted
from meta_pipeline.diagnostics.configurations import (
    Configurations,
    configurations,
    high_risk,
    levels_of,
    pareto_set,
    underperforming,
)
from meta_pipeline.diagnostics.descriptive import Descriptive, describe
from meta_pipeline.diagnostics.overfitting import Overfitting, Period, overfitting, periods
from meta_pipeline.diagnostics.records import (
    Configuration,
    DataHealth,
    Figures,
    Findings,
    KnobEffect,
    KnobStatus,
    Slice,
    Thresholds,
)
from meta_pipeline.errors import InputError, InsufficientData
from meta_pipeline.evidence.influence import SHARPE_RATIO
from meta_pipeline.evidence.panel import RunPanel
from meta_pipeline.proposals.campaign import read_campaign
from meta_pipeline.proposals.candidate import Candidate, Note, Proposed, finite, level_to_json
from meta_pipeline.proposals.configs import level_at
from meta_pipeline.proposals.experiment_plan import MissingRun, MoreEvidence, plan_experiments
from meta_pipeline.proposals.knobs import Knob
from meta_pipeline.proposals.parameters import Parameters

REPORT_FORMAT = 3
"""Rises when a field of the report's JSON is renamed or removed."""

MAX_SUBJECTS = 100


@dataclass(frozen=True, kw_only=True)
class DiagnosticsReport:
    """What a researcher reads about a strategy, in the order in which it should be read.

    Parameters
    ----------
    evidence_digest
        Of the evidence it rests on.
    data_health, n_runs, n_distinct, n_days, notes
        What the quality gate made of the runs; those in this report; what a reader must know about them.
    overall, by_market, by_regime, by_sector
        Performance. A dimension without labels is empty: nothing is made up for it.
    n_configurations, n_without_figures, live, underperforming, high_risk, pareto
        Configurations, those of them about which nothing is known, the live one, and those pointed out.
    knobs, effects
        What the campaign can say about each declared knob; each candidate with effect, stability and fate.
    periods
        How all configurations together, and the live one, fared over time.
    overfitting
        How much of the best may be luck.
    descriptive
        Views that describe and decide nothing.
    suppressed
        Why nothing is proposed: number of candidates by the rule that stopped them.
    missing_runs, n_missing_runs, more_evidence
        What to run next: the first hundred runs that would identify what is not, how many there are (None: not known),
        and how much more evidence the other changes would need for an effect that is worth finding.
    insufficient_data
        A sentence, when the engine had too little to judge any change; else None.
    """

    evidence_digest: str
    thresholds: Thresholds
    data_health: DataHealth
    n_runs: int
    n_distinct: int
    n_days: int
    notes: tuple[Note, ...]
    overall: Figures | None
    by_market: tuple[Slice, ...]
    by_regime: tuple[Slice, ...]
    by_sector: tuple[Slice, ...]
    n_configurations: int
    n_without_figures: int
    live: Configuration | None
    underperforming: Findings
    high_risk: Findings
    pareto: Findings
    knobs: tuple[KnobStatus, ...]
    effects: tuple[KnobEffect, ...]
    periods: tuple[Period, ...]
    overfitting: Overfitting
    n_proposals: int
    descriptive: Descriptive = field(default_factory=Descriptive)
    suppressed: Mapping[str, int] = field(default_factory=dict)
    missing_runs: tuple[MissingRun, ...] = ()
    n_missing_runs: int | None = 0
    more_evidence: tuple[MoreEvidence, ...] = ()
    insufficient_data: str | None = None

    def to_json(self) -> dict[str, JsonValue]:
        """Return the report as a canonical-JSON-safe object."""
        return {
            "format": REPORT_FORMAT,
            "evidence_digest": self.evidence_digest,
            "thresholds": self.thresholds.to_json(),
            "data_health": self.data_health.to_json(),
            "n_runs": self.n_runs,
            "n_distinct": self.n_distinct,
            "n_days": self.n_days,
            "notes": [note.to_json() for note in self.notes],
            "overall": None if self.overall is None else self.overall.to_json(),
            "by_market": [one.to_json() for one in self.by_market],
            "by_regime": [one.to_json() for one in self.by_regime],
            "by_sector": [one.to_json() for one in self.by_sector],
            "n_configurations": self.n_configurations,
            "n_without_figures": self.n_without_figures,
            "live": None if self.live is None else self.live.to_json(),
            "underperforming": self.underperforming.to_json(),
            "high_risk": self.high_risk.to_json(),
            "pareto": self.pareto.to_json(),
            "knobs": [knob.to_json() for knob in self.knobs],
            "effects": [effect.to_json() for effect in self.effects],
            "periods": [period.to_json() for period in self.periods],
            "overfitting": self.overfitting.to_json(),
            "descriptive": self.descriptive.to_json(),
            "n_proposals": self.n_proposals,
            "suppressed": dict(self.suppressed),
            "missing_runs": [run.to_json() for run in self.missing_runs],
            "n_missing_runs": self.n_missing_runs,
            "more_evidence": [one.to_json() for one in self.more_evidence],
            "insufficient_data": self.insufficient_data,
        }

    def report_id(self, *, strategy_id: str) -> str:
        """Return the report's id: the sha256 of the strategy and of all it says. The same evidence, the same id."""
        return digest({"strategy_id": strategy_id, "report": self.to_json()})


def diagnose(
    panel: RunPanel,
    *,
    knobs: Sequence[Knob],
    live: Mapping[str, JsonValue],
    proposed: Proposed,
    aggregates: Sequence[Aggregate],
    data_health: DataHealth,
    thresholds: Thresholds = Thresholds(),  # noqa: B008 -- frozen
    regimes: Mapping[str, NDArray[np.str_]] | None = None,
    buy_and_hold: NDArray[np.float64] | None = None,
) -> DiagnosticsReport:
    """Write the report of one strategy.

    Parameters
    ----------
    panel
        The accepted runs and those with metrics only. Their order, and copies of a run, have no influence.
    knobs, live
        The declared knobs and the live configuration.
    proposed
        What the engine says about the same panel.
    aggregates
        Of the strategy: whole, by market, by regime, by sector.
    data_health
        Of all runs ever handed in, the quarantined ones included.
    thresholds
        From where on a configuration is pointed out.
    regimes, buy_and_hold
        As in `describe`: for the descriptive views.

    Raises
    ------
    InsufficientData
        If there are fewer distinct runs than `thresholds.minimum_runs`; the sentence names both.
    """
    found = configurations(panel, knobs=knobs, live=live)
    if found.n_distinct < thresholds.minimum_runs:
        raise InsufficientData(f"insufficient data: {found.n_distinct} runs available, need {thresholds.minimum_runs}")
    known = [one for one in found.all if one.figures.sharpe is not None]
    luck = overfitting(
        panel, found, n_trials=max(proposed.n_trials, found.n_distinct), n_effective=proposed.n_effective
    )
    plan = plan_experiments(proposed, knobs=knobs, live=live, n_markets=len(set(panel.markets)))
    return DiagnosticsReport(
        evidence_digest=proposed.evidence_digest,
        thresholds=thresholds,
        data_health=data_health,
        n_runs=panel.n_runs,
        n_distinct=found.n_distinct,
        n_days=len(panel.dates),
        notes=(*proposed.notes, *_notes(found)),
        overall=next((_figures(one) for one in aggregates if one.dimension == "strategy"), None),
        by_market=_slices(aggregates, "market"),
        by_regime=_slices(aggregates, "regime"),
        by_sector=_slices(aggregates, "sector"),
        n_configurations=len(found.all),
        n_without_figures=len(found.all) - len(known),
        live=None if found.live is None else found.all[found.live],
        underperforming=underperforming(found.all, thresholds),
        high_risk=high_risk(found.all, thresholds),
        pareto=pareto_set(found.all),
        knobs=_knob_statuses(found, knobs, live, proposed),
        effects=tuple(_effect(candidate) for candidate in proposed.candidates),
        periods=periods(panel, found),
        overfitting=luck,
        n_proposals=len(proposed.proposals),
        descriptive=describe(
            panel,
            found,
            read_campaign(panel, knobs, live, Parameters()),
            regimes=regimes,
            buy_and_hold=buy_and_hold,
            best=None if luck.best is None else luck.best.configuration_id,
        ),
        suppressed=proposed.suppressed_by_rule(),
        missing_runs=plan.runs[:MAX_SUBJECTS],
        n_missing_runs=len(plan.runs),
        more_evidence=plan.more_evidence,
        insufficient_data=proposed.insufficient_data,
    )


def _notes(found: Configurations) -> tuple[Note, ...]:
    if not found.unreadable:
        return ()
    runs = sorted(found.unreadable)
    return (
        Note(
            code="ambiguous_path",
            sentence=f"{counted(len(runs), 'run is', 'runs are')} in no configuration: {found.unreadable[runs[0]]}",
            subjects=tuple(runs[:MAX_SUBJECTS]),
            count=len(runs),
        ),
    )


def _slices(aggregates: Sequence[Aggregate], dimension: str) -> tuple[Slice, ...]:
    chosen = sorted((one for one in aggregates if one.dimension == dimension), key=lambda one: one.label)
    return tuple(Slice(label=one.label, figures=_figures(one)) for one in chosen)


def _figures(aggregate: Aggregate) -> Figures:
    return Figures(
        n_runs=aggregate.n_runs,
        n_distinct=aggregate.n_distinct,
        n_days=aggregate.n_days,
        sharpe=finite(aggregate.sharpe),
        mean_return=finite(aggregate.mean_return),
        volatility=finite(aggregate.volatility),
        max_drawdown=finite(aggregate.max_drawdown),
        win_rate=finite(aggregate.win_rate),
        missing=dict(aggregate.missing),
    )


def _knob_statuses(
    found: Configurations, knobs: Sequence[Knob], live: Mapping[str, JsonValue], proposed: Proposed
) -> tuple[KnobStatus, ...]:
    partners: dict[str, set[str]] = {}
    for group in proposed.aliased_knobs:
        for path in group:
            partners.setdefault(path, set()).update(set(group) - {path})
    statuses = []
    for path in sorted(knob.path for knob in knobs):
        n_levels = len(levels_of(found.all, path))
        status = "varied"
        if n_levels < 2:
            status = "constant"
        elif path in proposed.dead_knobs:
            status = "dead"
        elif path in partners:
            status = "aliased"
        statuses.append(
            KnobStatus(
                path=path,
                live=_live_level(live, path),
                status=status,
                n_levels=n_levels,
                aliased_with=tuple(sorted(partners.get(path, ()))),
            )
        )
    return tuple(statuses)


def _live_level(live: Mapping[str, JsonValue], path: str) -> dict[str, JsonValue]:
    try:
        return level_to_json(level_at(live, path))
    except InputError as error:
        return {"absent": True, "unreadable": str(error)}


def _effect(candidate: Candidate) -> KnobEffect:
    effect, stability = candidate.effect, candidate.stability
    missing = dict(candidate.missing)
    if effect.reason is not None:
        missing["estimate"] = effect.reason
    if stability is None or stability.sign_consistency is None:
        missing["sign_consistency"] = (stability.reason if stability else None) or "stability was not judged"
    return KnobEffect(
        proposal_type=str(candidate.proposal_type),
        knob=candidate.knob,
        from_value=level_to_json(candidate.from_value),
        to_value=level_to_json(candidate.to_value),
        metric=effect.metric,
        method=effect.method,
        estimate=finite(effect.estimate),
        lower=finite(effect.lower),
        upper=finite(effect.upper),
        n_pairs=effect.n_pairs,
        n_runs=effect.n_runs,
        n_days=effect.n_days,
        grade=str(candidate.grade),
        expected_uplift=finite(candidate.expected_uplift),
        probability_positive=finite(candidate.probability_positive),
        sign_consistency=None if stability is None else finite(stability.sign_consistency),
        drift=None if stability is None else finite(stability.drift),
        regimes=tuple(one for one in candidate.regimes if one.metric == SHARPE_RATIO),
        suppressed_by=None if candidate.suppressed_by is None else str(candidate.suppressed_by),
        reason=candidate.suppression_reason,
        missing=missing,
    )
