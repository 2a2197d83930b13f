"""A/B: when a challenger is shown to be better than the incumbent, both run as shadows over the same days."""

from enum import StrEnum

from meta_pipeline.counted import counted
from meta_pipeline.outcomes.judgement import Judgement
from meta_pipeline.proposals.outcome_rule import METRIC_NAMES, OutcomeRule


class ExperimentVerdict(StrEnum):
    """Which of the two. INCONCLUSIVE and INSUFFICIENT_DATA decide nothing."""

    CHALLENGER = "CHALLENGER"
    INCUMBENT = "INCUMBENT"
    INCONCLUSIVE = "INCONCLUSIVE"
    INSUFFICIENT_DATA = "INSUFFICIENT_DATA"


def decide(judgement: Judgement, rule: OutcomeRule) -> tuple[ExperimentVerdict, str]:
    """Decide an experiment by the confidence sequence of its judgement.

    Nothing has been changed yet, so the burden lies on the challenger: it wins only if it is shown to be better (the
    whole interval above zero) and no guardrail is breached. The incumbent stays once an improvement that would matter
    is ruled out (the whole interval below the smallest effect), or a guardrail is breached.

    Returns
    -------
    verdict, sentence
    """
    effect = judgement.effect
    breached = [rail.text for rail in judgement.guardrails if rail.breached]
    if breached:
        return ExperimentVerdict.INCUMBENT, f"the challenger breaches a guardrail: {'; '.join(breached)}"
    if effect is None or effect.n_days < rule.minimum_days:
        return ExperimentVerdict.INSUFFICIENT_DATA, judgement.reason
    shown = f"{effect.estimate:+.2f} [{effect.lower:+.2f}, {effect.upper:+.2f}] over {counted(effect.n_days, 'day')}"
    name = METRIC_NAMES[rule.metric]
    if effect.lower > 0.0:
        return ExperimentVerdict.CHALLENGER, f"the challenger's {name} is better, {shown}, at whichever look one stops"
    if effect.upper < rule.smallest_effect:
        why = f"an improvement of {rule.smallest_effect:g} or more is ruled out"
        return ExperimentVerdict.INCUMBENT, f"{why}: the {name} differs by {shown}"
    return ExperimentVerdict.INCONCLUSIVE, f"the {name} differs by {shown}"


def is_over(verdict: ExperimentVerdict, n_days: int, rule: OutcomeRule) -> bool:
    """Whether an experiment ends with this look: it is decided, or its days are used up."""
    decided = verdict in {ExperimentVerdict.CHALLENGER, ExperimentVerdict.INCUMBENT}
    return decided or n_days >= rule.evaluation_days
