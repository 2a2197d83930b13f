"""`propose`: runs, knobs and the live configuration in; graded candidates out. Pure.

Belongs here: the order of the steps, on one page. Each step has its module: campaign (what the runs are),
changes (what there is to judge), evaluation (figures), screening (rules), risk_types, rationale.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from meta_pipeline.canonical import JsonValue
from meta_pipeline.canonical import digest as combined_digest
from meta_pipeline.evidence import grades
from meta_pipeline.evidence.factors import Role, level_at
from meta_pipeline.evidence.panel import RunPanel
from meta_pipeline.proposals.campaign import Campaign, read_campaign
from meta_pipeline.proposals.candidate import Candidate, Effect, Grade, Note, ProposalType, Proposed, Rule, Stability
from meta_pipeline.proposals.changes import Change, enumerate_changes, too_fine
from meta_pipeline.proposals.evaluation import Evaluation, evaluate_changes
from meta_pipeline.proposals.experience import Experience, Verdict, consult
from meta_pipeline.proposals.knobs import Knob
from meta_pipeline.proposals.legacy import legacy_confidence
from meta_pipeline.proposals.metrics_only import ReportedMetrics
from meta_pipeline.proposals.parameters import Parameters, RiskLimits
from meta_pipeline.proposals.rationale import write_rationale
from meta_pipeline.proposals.risk_over_time import over_time
from meta_pipeline.proposals.risk_types import risk_candidates
from meta_pipeline.proposals.screening import best_per_knob, one_at_a_time, rank, screen, suppress

MAX_UNDECLARED_LEVELS = 20


def propose(
    panel: RunPanel,
    *,
    knobs: Sequence[Knob],
    live: Mapping[str, JsonValue],
    parameters: Parameters = Parameters(),  # noqa: B008 -- frozen
    limits: RiskLimits = RiskLimits(),  # noqa: B008 -- frozen
    regimes: Mapping[str, NDArray[np.str_]] | None = None,
    experience: Experience | None = None,
) -> Proposed:
    """Judge every level of every declared knob against the live value.

    Parameters
    ----------
    panel
        The runs. Their order, and how often each is stored, have no influence on the answer.
    knobs
        The strategy's declared knobs. Only these can become proposals.
    live
        The live configuration.
    parameters, limits
        Error rate, bootstrap, thresholds; and how much more risk one change may bring.
    regimes
        Per market (or "" for all markets) the regime label of each of the panel's dates, shape (n_days,);
        an empty text means unknown. Must be labels that were known on the day.
    experience
        Outcomes of earlier campaigns of the strategy's family. None, or one without outcomes: claims are those of a
        first campaign, and only grades A and B become proposals.

    Returns
    -------
    Proposed
        Proposals, suppressed candidates with the rule that stopped each, and data health. Too little data is
        not an error: `insufficient_data` says so.
    """
    campaign = read_campaign(panel, knobs, live, parameters)
    digest = _digest(campaign, limits, regimes, experience)
    if campaign.n_available < parameters.minimum_runs:
        sentence = f"insufficient data: {campaign.n_available} runs available, need {parameters.minimum_runs}"
        return _answer(campaign, digest, (), (), insufficient=sentence)
    changes = enumerate_changes(campaign)
    tested = [change for change in changes if change.refusal is None]
    evaluation = evaluate_changes(campaign, tested, regimes) if tested else None
    verdict = _consulted(campaign, tested, evaluation, experience)
    reported = ReportedMetrics(campaign)
    judged: list[Candidate] = []
    position = 0
    for change in changes:
        if change.refusal is not None or evaluation is None:
            judged.append(_refused(campaign, change, reported))
            continue
        candidate = _candidate(campaign, change, evaluation, position, verdict)
        objection = _identical(change, evaluation, position) or screen(candidate, change.knob, parameters, limits)
        judged.append(candidate if objection is None else suppress(candidate, objection))
        position += 1
    judged = one_at_a_time(best_per_knob(judged), parameters)
    risky, notes = risk_candidates(
        campaign, judged, limits, over_time=_over_time(campaign, tested, evaluation, regimes)
    )
    answer = _answer(campaign, digest, [*judged, *risky, *_undeclared(campaign)], [*too_fine(campaign), *notes])
    return answer if verdict is None else replace(answer, experience=verdict.summary, pseudo_outcomes=verdict.pseudo)


def _over_time(
    campaign: Campaign,
    tested: Sequence[Change],
    evaluation: Evaluation | None,
    regimes: Mapping[str, NDArray[np.str_]] | None,
) -> Callable[[Candidate], Candidate]:
    """Return what gives a risk candidate its own stability; without an evaluation there is none to be given."""

    def described(candidate: Candidate) -> Candidate:
        if evaluation is None:
            return candidate
        return over_time(candidate, campaign=campaign, tested=tested, evaluation=evaluation, regimes=regimes)

    return described


def _digest(
    campaign: Campaign,
    limits: RiskLimits,
    regimes: Mapping[str, NDArray[np.str_]] | None,
    experience: Experience | None,
) -> str:
    """Return the digest of all that the answer depends on; without outcomes it is that of the campaign alone."""
    plain = campaign.digest(limits, regimes)
    if experience is None or experience.is_empty:
        return plain
    return combined_digest([plain, experience.digest()])


def _consulted(
    campaign: Campaign, tested: Sequence[Change], evaluation: Evaluation | None, experience: Experience | None
) -> Verdict | None:
    if experience is None or evaluation is None:
        return None
    spreads = np.asarray([_cold_claim(campaign, evaluation, index).spread for index in range(len(tested))])
    return consult(campaign, tested, evaluation, spreads, experience)


def _answer(
    campaign: Campaign,
    digest: str,
    candidates: Sequence[Candidate],
    notes: Sequence[Note],
    *,
    insufficient: str | None = None,
) -> Proposed:
    proposals = sorted((c for c in candidates if c.is_proposal), key=rank)
    return Proposed(
        proposals=tuple(proposals),
        suppressed=tuple(c for c in candidates if not c.is_proposal),
        insufficient_data=insufficient,
        notes=(*campaign.notes, *notes),
        dead_knobs=campaign.dead,
        aliased_knobs=campaign.aliased,
        evidence_digest=digest,
        n_runs=campaign.panel.n_runs,
        n_distinct=campaign.distinct.n_distinct_series,
        n_metrics_only=len(campaign.metrics_only),
        n_excluded=campaign.n_excluded,
        n_effective=campaign.n_effective,
        n_trials=campaign.n_trials,
        n_days=_n_days(campaign),
        parameters=campaign.parameters.to_json(),
    )


def _n_days(campaign: Campaign) -> int:
    """Count the calendar days on which any usable run has a return."""
    seen = np.zeros(len(campaign.panel.dates), dtype=bool)
    for chunk in campaign.runs.chunks(np.ones(len(campaign.distinct), dtype=bool)):
        seen |= True if chunk.missing is None else ~chunk.missing.all(axis=0)
    return len(np.unique(campaign.panel.dates[seen].astype("datetime64[D]")))


def _cold_claim(campaign: Campaign, evaluation: Evaluation, index: int) -> grades.Claim:
    """Return what theory claims of a contrast, without history."""
    parameters = campaign.parameters
    effect, drift, years = evaluation.effects[index], evaluation.stabilities[index].drift, evaluation.years[index]
    return grades.claim(
        effect.estimate or 0.0,
        effect.standard_error or 0.0,
        share=_haircut(parameters, years),
        drift=math.nan if drift is None else drift,
        years=years,
        horizon=parameters.horizon_years,
        confidence_level=1 - parameters.alpha,
    )


def _haircut(parameters: Parameters, years: float) -> float:
    return grades.haircut(
        years,
        short=(parameters.haircut_short_years, parameters.haircut_short),
        long=(parameters.haircut_long_years, parameters.haircut_long),
    )


def _candidate(
    campaign: Campaign, change: Change, evaluation: Evaluation, index: int, verdict: Verdict | None
) -> Candidate:
    """Put together everything that is known about one change with a contrast."""
    parameters = campaign.parameters
    effect = evaluation.effects[index]
    stability = evaluation.stabilities[index]
    estimate, error = effect.estimate or 0.0, effect.standard_error or 0.0
    claim, share = _cold_claim(campaign, evaluation, index), _haircut(parameters, evaluation.years[index])
    if verdict is not None and not verdict.cold:
        claim = verdict.claim(index, confidence_level=1 - parameters.alpha)
        share = min(max(claim.expected / estimate, 0.0), 1.0) if estimate else 0.0
    needed = grades.days_needed(estimate, error, effect.n_days, critical=evaluation.critical, power=parameters.power)
    runs, series, delta = _levels(campaign, change)
    other = evaluation.other_effects[index]
    candidate = Candidate(
        proposal_type=ProposalType.CONFIG_PARAMETER_CHANGE,
        knob=change.knob.path,
        from_value=change.from_value,
        to_value=change.to_value,
        grade=Grade(evaluation.grades[index]),
        effect=effect,
        risk_change=change.knob.risk_change(change.from_value, change.to_value),
        other_effects=() if other.estimate is None else (other,),
        local_effect=evaluation.local_effects[index],
        risk_effects=evaluation.risk_effects[index],
        expected_uplift=claim.expected,
        uplift_lower=claim.lower,
        uplift_upper=claim.upper,
        haircut=share,
        probability_positive=claim.probability_positive,
        horizon_years=parameters.horizon_years,
        smallest_detectable_effect=grades.smallest_detectable(
            error, critical=evaluation.critical, power=parameters.power
        ),
        days_needed=needed,
        n_runs=runs,
        n_distinct=series,
        n_effective=campaign.n_effective,
        n_days=effect.n_days,
        n_trials=campaign.n_trials,
        stability=stability,
        regimes=evaluation.regimes[index],
        legacy_confidence=legacy_confidence(runs, delta),
        missing={} if needed is not None else {"days_needed": "the estimate is not positive"},
        decision={} if verdict is None else verdict.decisions[index],
    )
    if evaluation.negligible[index]:
        candidate = _unmoved(candidate)
    return replace(candidate, rationale=write_rationale(candidate))


UNMOVED = "the change only scales returns, or leaves them as they are: the Sharpe ratio does not move"


def _unmoved(candidate: Candidate) -> Candidate:
    """Leave out what says nothing where the Sharpe ratio does not move: its figures would be those of rounding."""
    return replace(
        candidate,
        expected_uplift=0.0,
        haircut=1.0,  # nothing of it was chosen for its size, so that return and risk are claimed as measured
        uplift_lower=None,
        uplift_upper=None,
        probability_positive=None,
        smallest_detectable_effect=None,
        days_needed=None,
        stability=Stability(sub_periods=(), sign_consistency=None, drift=None, reason=UNMOVED),
        regimes=(),
        missing=dict.fromkeys(_OF_MOVEMENT, UNMOVED),
    )


_OF_MOVEMENT = (
    *("uplift_lower", "uplift_upper", "probability_positive", "smallest_detectable_effect", "days_needed"),
    "regimes",
)


def _levels(campaign: Campaign, change: Change) -> tuple[int, int, float]:
    """Return distinct runs and distinct series at the two levels, and the difference of mean Sharpe ratios."""
    if change.factor is None:
        return 0, 0, 0.0
    sharpe = campaign.runs.metric("sharpe_ratio")
    at_low, at_high = change.factor.codes == change.low, change.factor.codes == change.high
    both = at_low | at_high
    keys = set(zip(campaign.distinct.blocks[both].tolist(), campaign.distinct.series[both].tolist(), strict=True))
    mean_low = math.fsum(sharpe[at_low].tolist()) / max(int(at_low.sum()), 1)
    mean_high = math.fsum(sharpe[at_high].tolist()) / max(int(at_high.sum()), 1)
    return int(both.sum()), len(keys), mean_high - mean_low


def _identical(change: Change, evaluation: Evaluation, index: int) -> tuple[Rule, str] | None:
    if not evaluation.negligible[index]:
        return None
    sentence = f"{change.knob.path} only scales returns or leaves them as they are: the Sharpe ratio does not move"
    return Rule.IDENTICAL_RETURNS, sentence


_FIGURES = (
    "expected_uplift",
    "uplift_lower",
    "uplift_upper",
    "haircut",
    "probability_positive",
    "horizon_years",
    "smallest_detectable_effect",
    "days_needed",
    "n_effective",
    "stability",
    "local_effect",
    "legacy_confidence",
)


def _refused(campaign: Campaign, change: Change, reported: ReportedMetrics) -> Candidate:
    """Return the candidate of a change without a contrast, by reported metrics where they say something."""
    rule, sentence = change.refusal or (Rule.UNIDENTIFIED, "nothing could be compared")
    effect = Effect(metric="sharpe_ratio", method="none", reason=sentence)
    if rule is Rule.UNIDENTIFIED:
        weaker = reported.effect(change)
        if weaker is not None:
            rule, effect = Rule.METRICS_ONLY, weaker
            sentence = "only runs without a return series say something, and these take runs for independent"
    candidate = Candidate(
        proposal_type=ProposalType.CONFIG_PARAMETER_CHANGE,
        knob=change.knob.path,
        from_value=change.from_value,
        to_value=change.to_value,
        grade=Grade.D,
        effect=effect,
        risk_change=change.knob.risk_change(change.from_value, change.to_value),
        suppressed_by=rule,
        suppression_reason=sentence,
        n_runs=effect.n_runs,
        n_trials=campaign.n_trials,
        experiments=change.experiments,
        legacy_confidence=None if effect.estimate is None else legacy_confidence(effect.n_runs, effect.estimate),
    )
    missing = {name: sentence for name in _FIGURES if getattr(candidate, name) is None}
    candidate = replace(candidate, missing=missing)
    return replace(candidate, rationale=write_rationale(candidate))


def _undeclared(campaign: Campaign) -> list[Candidate]:
    """Return the values of each undeclared key that varies like a knob: it must be declared to be judged."""
    candidates = []
    for factor in campaign.distinct.factors:
        if factor.role is not Role.NUISANCE or not 1 < len(factor.levels) <= MAX_UNDECLARED_LEVELS:
            continue
        live = level_at(campaign.live, factor.path)
        sentence = f"{factor.path} is not declared as a knob of the strategy; declare it to have it judged"
        for code, level in enumerate(factor.levels):
            if code == factor.code_of(live):
                continue
            candidate = Candidate(
                proposal_type=ProposalType.CONFIG_PARAMETER_CHANGE,
                knob=factor.path,
                from_value=live,
                to_value=level,
                grade=Grade.D,
                effect=Effect(metric="sharpe_ratio", method="none", reason=sentence),
                risk_change="unknown",
                suppressed_by=Rule.UNDECLARED,
                suppression_reason=sentence,
                n_trials=campaign.n_trials,
                missing=dict.fromkeys(_FIGURES, sentence),
            )
            candidates.append(replace(candidate, rationale=write_rationale(candidate)))
    return candidates
