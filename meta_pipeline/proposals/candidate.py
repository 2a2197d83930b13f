"""What the engine says about one change of one knob, and about a whole campaign.

Belongs here: the records that cross the boundary, and how they are written as JSON. Does not
belong here: how a figure is computed (evidence) or what becomes a proposal (propose).

In every record a figure that could not be computed is None, and the record says why in words:
never NaN, never a made-up zero.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from meta_pipeline.canonical import ABSENT, JsonValue, Level, digest
from meta_pipeline.evidence.expected_value.ledger import Outcome


class ProposalType(StrEnum):
    """The predecessor's three kinds of proposals."""

    CONFIG_PARAMETER_CHANGE = "config_parameter_change"
    RISK_REDUCTION = "risk_reduction"
    RISK_CONSTRAINT = "risk_constraint"


class Grade(StrEnum):
    """How strong the evidence is. A and B hold the rate of false proposals below alpha."""

    A = "A"
    B = "B"
    C = "C"
    D = "D"


class Rule(StrEnum):
    """Why a candidate is no proposal. The codes are stable."""

    UNDECLARED = "undeclared"
    DEAD_KNOB = "dead_knob"
    ALIASED_KNOB = "aliased_knob"
    UNIDENTIFIED = "unidentified"
    METRICS_ONLY = "metrics_only"
    IDENTICAL_RETURNS = "identical_returns"
    NOT_CHANGEABLE = "not_changeable"
    NOT_BETTER = "not_better"
    WEAK_EVIDENCE = "weak_evidence"
    SUGGESTIVE = "suggestive"
    LOCAL_OPPOSITE_SIGN = "local_opposite_sign"
    RISK_LIMIT = "risk_limit"
    RISK_UNKNOWN = "risk_unknown"
    BELOW_SWITCHING_COST = "below_switching_cost"
    DOMINATED = "dominated"
    ONE_CHANGE_AT_A_TIME = "one_change_at_a_time"


def level_to_json(level: Level) -> dict[str, JsonValue]:
    """Write a level so that a missing key and a null value stay apart.

    Returns
    -------
    dict
        `{"absent": true}`, or `{"absent": false, "value": ...}`.
    """
    return {"absent": True} if level is ABSENT else {"absent": False, "value": level}


def finite(value: float | None) -> float | None:
    """Return a float rounded to 12 significant digits, or None for None, NaN and the infinities.

    The rounding keeps the last bits, in which two machines may differ, out of stored evidence.
    """
    if value is None or not math.isfinite(value):
        return None
    return float(f"{float(value):.12g}") + 0.0


@dataclass(frozen=True, kw_only=True)
class Effect:
    """A difference of one metric between two levels of a knob, `to` minus `from`.

    Parameters
    ----------
    metric
        "sharpe_ratio" and "mean_return" (annualised, higher is better), "volatility" (annualised,
        higher is riskier), "max_drawdown" and "expected_shortfall" (both not positive, a negative
        difference is riskier; expected shortfall is per period).
    method
        "matched_pairs", "least_squares", "local_pairs", "metrics_only", or "none".
    estimate, standard_error
        In the metric's unit. None when `reason` is given.
    lower, upper
        Two-sided interval at `confidence_level`.
    p_value
        One-sided: of no improvement (Sharpe ratio, mean return), or of no reduction of risk.
    adjusted_p_values
        By method: "romano_wolf", "holm", "benjamini_hochberg", "benjamini_yekutieli". Empty for
        effects outside the tested family.
    baseline
        The metric at the `from` level.
    n_pairs
        Matched pairs (same block, same other knobs) in which both levels occur.
    n_runs, n_blocks, n_days
        Distinct runs and blocks with weight in the contrast, and calendar days on which they trade.
    reason
        Why there is no estimate, or no error of it.
    """

    metric: str
    method: str
    estimate: float | None = None
    standard_error: float | None = None
    lower: float | None = None
    upper: float | None = None
    confidence_level: float | None = None
    p_value: float | None = None
    adjusted_p_values: Mapping[str, float] = field(default_factory=dict)
    baseline: float | None = None
    n_pairs: int = 0
    n_runs: int = 0
    n_blocks: int = 0
    n_days: int = 0
    reason: str | None = None

    def to_json(self) -> dict[str, JsonValue]:
        """Return the effect as a canonical-JSON-safe object."""
        return {
            "metric": self.metric,
            "method": self.method,
            "estimate": finite(self.estimate),
            "standard_error": finite(self.standard_error),
            "lower": finite(self.lower),
            "upper": finite(self.upper),
            "confidence_level": finite(self.confidence_level),
            "p_value": finite(self.p_value),
            "adjusted_p_values": {name: finite(p) for name, p in self.adjusted_p_values.items()},
            "baseline": finite(self.baseline),
            "n_pairs": self.n_pairs,
            "n_runs": self.n_runs,
            "n_blocks": self.n_blocks,
            "n_days": self.n_days,
            "reason": self.reason,
        }


@dataclass(frozen=True, kw_only=True)
class SliceEffect:
    """The effect on a metric in one slice of the days: a sub-period, or a regime. Units as in `Effect`."""

    label: str
    estimate: float | None
    standard_error: float | None
    n_days: int
    reason: str | None = None
    metric: str = "sharpe_ratio"

    def to_json(self) -> dict[str, JsonValue]:
        """Return the slice as a canonical-JSON-safe object."""
        return {
            "label": self.label,
            "estimate": finite(self.estimate),
            "standard_error": finite(self.standard_error),
            "n_days": self.n_days,
            "reason": self.reason,
            "metric": self.metric,
        }


@dataclass(frozen=True, kw_only=True)
class Stability:
    """How the effect held over time.

    Parameters
    ----------
    sub_periods
        The effect in equal calendar slices, in order of time.
    sign_consistency
        Share of the slices with an estimate whose sign is that of the whole.
    drift
        Standard deviation of the true effect between slices beyond sampling error, in the metric's unit.
    """

    sub_periods: tuple[SliceEffect, ...]
    sign_consistency: float | None
    drift: float | None
    reason: str | None = None

    @property
    def metric(self) -> str:
        """The metric of the slices."""
        return self.sub_periods[0].metric if self.sub_periods else "sharpe_ratio"

    def to_json(self) -> dict[str, JsonValue]:
        """Return the stability as a canonical-JSON-safe object."""
        return {
            "sub_periods": [period.to_json() for period in self.sub_periods],
            "sign_consistency": finite(self.sign_consistency),
            "drift": finite(self.drift),
            "reason": self.reason,
        }


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """Runs that are missing: with them, a contrast that is not identified would be.

    Parameters
    ----------
    block
        Where to run it: the block (market x window x campaign) whose runs it would join.
    config
        The declared knobs of the missing run, by path; a path that is not there stays absent.
    why
        One sentence.
    """

    block: str
    config: Mapping[str, JsonValue]
    why: str

    def to_json(self) -> dict[str, JsonValue]:
        """Return the missing run as a canonical-JSON-safe object."""
        return {"block": self.block, "config": dict(self.config), "why": self.why}


@dataclass(frozen=True, kw_only=True)
class Note:
    """Something about the data or the campaign that a reader must know.

    Parameters
    ----------
    code
        Stable, for programs: for instance "zero_volatility" or "identifiers_ignored".
    sentence
        For people.
    subjects
        What it is about: run ids, knob paths, configuration keys (at most a hundred).
    count
        How many there are altogether.
    """

    code: str
    sentence: str
    subjects: tuple[str, ...] = ()
    count: int = 0

    def to_json(self) -> dict[str, JsonValue]:
        """Return the note as a canonical-JSON-safe object."""
        return {
            "code": self.code,
            "sentence": self.sentence,
            "subjects": list(self.subjects),
            "count": self.count,
        }


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One change of one knob, with all that is known about it.

    Parameters
    ----------
    proposal_type, knob, from_value, to_value
        What would be changed: the knob's path, its live value, the other value. ABSENT is a value.
    grade
        Of the evidence. A: step-down adjusted p <= alpha and at least the smallest effect; B:
        Benjamini-Hochberg; C: suggestive; D: none.
    suppressed_by, suppression_reason
        The rule that stopped the candidate and a sentence; both None for a proposal.
    effect
        The effect on the annualised Sharpe ratio the grade rests on (for the risk types: on the risk metric).
    other_effects
        The same contrast by the other weighting, where it exists.
    local_effect
        The contrast at the live configuration: all other knobs as they are live.
    risk_effects
        Signed differences of mean return, volatility, maximum drawdown and expected shortfall.
    expected_uplift, uplift_lower, uplift_upper
        What is claimed for the horizon, in annualised Sharpe ratio, and the predictive interval of
        the effect that will be realised (same level as the intervals of the effects).
    haircut
        Share of the contrast that is claimed.
    probability_positive
        That the effect realised over `horizon_years` is positive.
    smallest_detectable_effect, days_needed
        The smallest effect on the metric of `effect` that this campaign finds with the stated power after correction
        for multiplicity, and the calendar days of evidence that an effect of the estimated size would need.
    n_runs, n_distinct, n_effective, n_days, n_trials
        Runs at the two levels; of these distinct; effective number of independent return series of the
        campaign; days with weight in the contrast; distinct trials counted.
    stability, regimes
        The effect by sub-period and by regime, each slice with its metric: that of `effect`.
    trigger
        For the two risk types: which thresholds how many configurations are beyond.
    missing
        For each figure of this record that is None: why.
    decision
        What earlier campaigns made of the claim: its basis, main mean, response surface, the share of them that is
        claimed, history, and how many outcomes that rests on. Empty where no history was consulted.
    """

    proposal_type: ProposalType
    knob: str
    from_value: Level
    to_value: Level
    grade: Grade
    effect: Effect
    risk_change: str
    suppressed_by: Rule | None = None
    suppression_reason: str | None = None
    other_effects: tuple[Effect, ...] = ()
    local_effect: Effect | None = None
    risk_effects: tuple[Effect, ...] = ()
    expected_uplift: float | None = None
    uplift_lower: float | None = None
    uplift_upper: float | None = None
    haircut: float | None = None
    probability_positive: float | None = None
    horizon_years: float | None = None
    smallest_detectable_effect: float | None = None
    days_needed: int | None = None
    n_runs: int = 0
    n_distinct: int = 0
    n_effective: float | None = None
    n_days: int = 0
    n_trials: int = 0
    stability: Stability | None = None
    regimes: tuple[SliceEffect, ...] = ()
    variance_convention: str = "estimate"
    legacy_confidence: float | None = None
    experiments: tuple[Experiment, ...] = ()
    rationale: str = ""
    trigger: Mapping[str, JsonValue] = field(default_factory=dict)
    missing: Mapping[str, str] = field(default_factory=dict)
    decision: Mapping[str, JsonValue] = field(default_factory=dict)

    @property
    def is_proposal(self) -> bool:
        """Whether no rule stopped it."""
        return self.suppressed_by is None

    @property
    def expected_return_improvement(self) -> float | None:
        """Claimed change of the annualised mean return, or None if it is not known. May be negative."""
        return self._claimed("mean_return", 1.0)

    @property
    def expected_risk_reduction(self) -> float | None:
        """Estimated fall of annualised volatility, or None if it is not known. Negative: risk rises."""
        effect = self.risk_effect("volatility")
        return None if effect is None or effect.estimate is None else finite(-effect.estimate)

    def risk_effect(self, metric: str) -> Effect | None:
        """Return the difference of one metric among `risk_effects`, or None if it was not looked at."""
        return next((effect for effect in self.risk_effects if effect.metric == metric), None)

    def _claimed(self, metric: str, sign: float) -> float | None:
        effect = self.risk_effect(metric)
        if effect is None or effect.estimate is None or self.haircut is None:
            return None
        return finite(sign * self.haircut * effect.estimate)

    def candidate_id(self, *, strategy_id: str, evidence_digest: str) -> str:
        """Return the candidate's id: the sha256 of what is changed, where, and on which evidence.

        The same change on the same evidence has the same id, whoever computes it and when.
        """
        return digest(
            {
                "strategy_id": strategy_id,
                "evidence_digest": evidence_digest,
                "proposal_type": str(self.proposal_type),
                "knob": self.knob,
                "from": level_to_json(self.from_value),
                "to": level_to_json(self.to_value),
            }
        )

    def to_json(self) -> dict[str, JsonValue]:
        """Return everything as a canonical-JSON-safe object."""
        return {
            "proposal_type": str(self.proposal_type),
            "knob": self.knob,
            "from": level_to_json(self.from_value),
            "to": level_to_json(self.to_value),
            "grade": str(self.grade),
            "suppressed_by": None if self.suppressed_by is None else str(self.suppressed_by),
            "suppression_reason": self.suppression_reason,
            "risk_change": self.risk_change,
            "effect": self.effect.to_json(),
            "other_effects": [effect.to_json() for effect in self.other_effects],
            "local_effect": None if self.local_effect is None else self.local_effect.to_json(),
            "risk_effects": [effect.to_json() for effect in self.risk_effects],
            "expected_uplift": finite(self.expected_uplift),
            "uplift_lower": finite(self.uplift_lower),
            "uplift_upper": finite(self.uplift_upper),
            "haircut": finite(self.haircut),
            "probability_positive": finite(self.probability_positive),
            "horizon_years": finite(self.horizon_years),
            "smallest_detectable_effect": finite(self.smallest_detectable_effect),
            "days_needed": self.days_needed,
            "n_runs": self.n_runs,
            "n_distinct": self.n_distinct,
            "n_effective": finite(self.n_effective),
            "n_days": self.n_days,
            "n_trials": self.n_trials,
            "stability": None if self.stability is None else self.stability.to_json(),
            "regimes": [regime.to_json() for regime in self.regimes],
            "variance_convention": self.variance_convention,
            "legacy_confidence": finite(self.legacy_confidence),
            "expected_return_improvement": self.expected_return_improvement,
            "expected_risk_reduction": self.expected_risk_reduction,
            "experiments": [experiment.to_json() for experiment in self.experiments],
            "rationale": self.rationale,
            "trigger": dict(self.trigger),
            "missing": dict(self.missing),
            "decision": dict(self.decision),
        }


@dataclass(frozen=True, kw_only=True)
class Proposed:
    """What a campaign has to say: its proposals, and why everything else is none.

    Parameters
    ----------
    proposals
        By expected uplift, best first; at most one per knob and type.
    suppressed
        Every other candidate, each with the rule that stopped it.
    insufficient_data
        A sentence when there was too little data to say anything, else None.
    notes
        Data health and findings about the campaign.
    dead_knobs, aliased_knobs
        Declared knobs that change nothing; sets of knobs (and undeclared keys) that move together.
    evidence_digest
        sha256 of the distinct runs, the live values, the knobs and the parameters that were looked at.
    n_runs, n_distinct, n_metrics_only, n_excluded
        Runs in the panel; distinct ones used in contrasts; runs without a series; runs left out, per `notes`.
    n_effective
        Effective number of independent return series: shown, never a gate.
    n_trials
        Distinct trials, earlier ones included.
    experience
        What earlier campaigns taught: outcomes, weights, shares claimed, the alarm, reliability. Empty without any.
    pseudo_outcomes
        This campaign's window split into past and future: for the ledger.
    """

    proposals: tuple[Candidate, ...]
    suppressed: tuple[Candidate, ...]
    evidence_digest: str
    insufficient_data: str | None = None
    notes: tuple[Note, ...] = ()
    dead_knobs: tuple[str, ...] = ()
    aliased_knobs: tuple[tuple[str, ...], ...] = ()
    n_runs: int = 0
    n_distinct: int = 0
    n_metrics_only: int = 0
    n_excluded: int = 0
    n_effective: float | None = None
    n_trials: int = 0
    n_days: int = 0
    parameters: Mapping[str, JsonValue] = field(default_factory=dict)
    experience: Mapping[str, JsonValue] = field(default_factory=dict)
    pseudo_outcomes: tuple[Outcome, ...] = ()

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        """All candidates, proposals first."""
        return self.proposals + self.suppressed

    def suppressed_by_rule(self) -> dict[str, int]:
        """Return how many candidates each rule stopped, most frequent first."""
        counts: dict[str, int] = {}
        for candidate in self.suppressed:
            rule = str(candidate.suppressed_by)
            counts[rule] = counts.get(rule, 0) + 1
        return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))

    def to_json(self) -> dict[str, JsonValue]:
        """Return everything as a canonical-JSON-safe object."""
        return {
            "proposals": [candidate.to_json() for candidate in self.proposals],
            "suppressed": [candidate.to_json() for candidate in self.suppressed],
            "evidence_digest": self.evidence_digest,
            "insufficient_data": self.insufficient_data,
            "notes": [note.to_json() for note in self.notes],
            "dead_knobs": list(self.dead_knobs),
            "aliased_knobs": [list(group) for group in self.aliased_knobs],
            "n_runs": self.n_runs,
            "n_distinct": self.n_distinct,
            "n_metrics_only": self.n_metrics_only,
            "n_excluded": self.n_excluded,
            "n_effective": finite(self.n_effective),
            "n_trials": self.n_trials,
            "n_days": self.n_days,
            "parameters": dict(self.parameters),
            "experience": dict(self.experience),
        }
