"""The verdict on a change: KEEP, REVERT, INCONCLUSIVE or INSUFFICIENT_DATA, by the rule fixed at its approval.

Belongs here: from days to a verdict with its reason. Does not belong here: which days are a change's (store), and what
is done about it (store, orchestration).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from typing import Any, Final

import numpy as np

from meta_pipeline.canonical import JsonValue
from meta_pipeline.counted import counted
from meta_pipeline.errors import InputError
from meta_pipeline.evidence.confidence_sequence import days_to_detect, detectable_effect
from meta_pipeline.outcomes.control import Control
from meta_pipeline.outcomes.guardrails import Guardrail, guardrails
from meta_pipeline.outcomes.paired import Difference, MarketDays, Paired, averages, difference, on_one_calendar
from meta_pipeline.proposals.candidate import finite
from meta_pipeline.proposals.outcome_rule import METRIC_NAMES, OutcomeRule

FIGURES: Final = ("sharpe", "return", "risk")
"""What is written beside a change, before and after: Sharpe ratio, mean return and volatility, annualised."""

_METRIC_OF: Final = {"sharpe": "sharpe_ratio", "return": "mean_return", "risk": "volatility"}
NOT_JUDGED_CONTROL: Final = Control(reason="not looked at")


class Verdict(StrEnum):
    """What the outcome says. Only KEEP and REVERT say anything; INCONCLUSIVE never keeps and never reverts."""

    KEEP = "KEEP"
    REVERT = "REVERT"
    INCONCLUSIVE = "INCONCLUSIVE"
    INSUFFICIENT_DATA = "INSUFFICIENT_DATA"


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What one look at a change found.

    Parameters
    ----------
    verdict, reason
        The verdict, and why, in a sentence.
    n_days, first_day, last_day
        Trading days since the change that were compared.
    effect
        New less old configuration; None where there is none, and `reason` says why.
    guardrails
        Each with what was found.
    control
        Difference in differences against untouched strategies.
    before, after
        Figures of the old and the new configuration over the same days, averaged over markets: "sharpe", "return",
        "risk". None where not known.
    missing
        For each figure that is None: why.
    detectable, days_needed
        Smallest effect a look at this many days finds with probability 0.8, and the days that the effect found needs.
    """

    verdict: Verdict
    reason: str
    n_days: int = 0
    first_day: date | None = None
    last_day: date | None = None
    effect: Difference | None = None
    guardrails: tuple[Guardrail, ...] = ()
    control: Control = NOT_JUDGED_CONTROL
    before: Mapping[str, float | None] = field(default_factory=dict)
    after: Mapping[str, float | None] = field(default_factory=dict)
    missing: Mapping[str, str] = field(default_factory=dict)
    detectable: float | None = None
    days_needed: int | None = None
    left_out: tuple[str, ...] = ()

    def to_json(self) -> dict[str, JsonValue]:
        """Return the judgement as a canonical-JSON-safe object."""
        effect = self.effect
        names = ("estimate", "standard_error", "lower", "upper", "bootstrap_lower", "bootstrap_upper")
        return {
            "verdict": str(self.verdict),
            "reason": self.reason,
            "n_days": self.n_days,
            "first_day": None if self.first_day is None else self.first_day.isoformat(),
            "last_day": None if self.last_day is None else self.last_day.isoformat(),
            **{name: None if effect is None else finite(getattr(effect, name)) for name in names},
            "alpha": None if effect is None else effect.alpha,
            "guardrails": [guardrail.to_json() for guardrail in self.guardrails],
            "control": self.control.to_json(),
            "before": {name: finite(self.before.get(name)) for name in FIGURES},
            "after": {name: finite(self.after.get(name)) for name in FIGURES},
            "missing": dict(self.missing),
            "detectable_effect": finite(self.detectable),
            "days_needed": self.days_needed,
            "left_out": list(self.left_out),
        }


def judge_outcome(
    found: Sequence[MarketDays], rule: OutcomeRule, *, seed: int, control: Control = NOT_JUDGED_CONTROL
) -> Judgement:
    """Judge a change by its days.

    A breached guardrail means REVERT, from `guardrail_days` on. The effect counts from `minimum_days` on: REVERT if its
    confidence sequence lies below zero, KEEP if it lies above minus the smallest effect that matters (harm is ruled
    out), else INCONCLUSIVE. Because the sequence holds at all looks together, the first KEEP or REVERT may be acted on.

    Parameters
    ----------
    found
        Days since the change, by market. Days beyond the rule's evaluation are not looked at.
    seed
        Of the bootstrap.
    """
    paired = on_one_calendar(found)
    if paired.n_days > rule.evaluation_days:
        last = paired.days[rule.evaluation_days - 1]
        found = [_until(one, last) for one in found]
        paired = on_one_calendar(found)
    if not paired.n_days:
        return _insufficient(f"no day since the change can be compared{_because(paired.left_out)}", paired)
    before, after, missing = _figures(paired)
    known: dict[str, Any] = {
        "n_days": paired.n_days,
        "first_day": paired.days[0].item(),
        "last_day": paired.days[-1].item(),
        "control": control,
        "before": before,
        "after": after,
        "missing": missing,
        "left_out": paired.left_out,
    }
    rails = guardrails(paired, found, rule, seed=seed)
    try:
        effect = difference(paired, metric=rule.metric, alpha=rule.alpha, tuned_for=rule.tuned_for, seed=seed)
    except InputError as error:
        return Judgement(verdict=Verdict.INSUFFICIENT_DATA, reason=str(error), guardrails=rails, **known)
    verdict, reason = _verdict(effect, rails, rule)
    size = effect.estimate if abs(effect.estimate) > rule.smallest_effect else rule.smallest_effect
    return Judgement(
        verdict=verdict,
        reason=reason,
        effect=effect,
        guardrails=rails,
        detectable=detectable_effect(effect.daily_deviation, effect.n_days, alpha=rule.alpha, tuned_for=rule.tuned_for),
        days_needed=days_to_detect(size, effect.daily_deviation, alpha=rule.alpha, tuned_for=rule.tuned_for),
        **known,
    )


def _verdict(effect: Difference, rails: Sequence[Guardrail], rule: OutcomeRule) -> tuple[Verdict, str]:
    breached = [rail.text for rail in rails if rail.breached]
    if breached:
        return Verdict.REVERT, f"guardrail breached: {'; '.join(breached)}"
    shown = f"{effect.estimate:+.2f} [{effect.lower:+.2f}, {effect.upper:+.2f}]"
    name = METRIC_NAMES[rule.metric]
    if effect.n_days < rule.minimum_days:
        return (
            Verdict.INSUFFICIENT_DATA,
            f"{effect.n_days} of at least {counted(rule.minimum_days, 'day')}; {name} so far {shown}",
        )
    if effect.upper < 0.0:
        return Verdict.REVERT, f"the {name} is worse, {shown}, at whichever look one stops"
    if effect.lower > -rule.smallest_effect:
        better = "better" if effect.lower > 0.0 else f"not worse by more than {rule.smallest_effect:g}"
        return Verdict.KEEP, f"the {name} is {better}, {shown}, at whichever look one stops"
    over = ", and the evaluation is over" if effect.n_days >= rule.evaluation_days else ""
    return Verdict.INCONCLUSIVE, f"the {name} differs by {shown}: neither harm nor its absence is shown{over}"


def _until(one: MarketDays, last: np.datetime64) -> MarketDays:
    kept = one.dates <= last
    return MarketDays(
        market=one.market,
        dates=one.dates[kept],
        before=one.before[kept],
        after=one.after[kept],
        periods_per_year=one.periods_per_year,
        regimes=None if one.regimes is None else one.regimes[kept],
    )


def _figures(paired: Paired) -> tuple[dict[str, float | None], dict[str, float | None], dict[str, str]]:
    """Return the figures of both configurations, averaged over markets, and why any is missing."""
    written: list[dict[str, float | None]] = []
    missing: dict[str, str] = {}
    for when, summary in zip(("before", "after"), averages(paired), strict=True):
        values: dict[str, float | None] = {}
        for name, metric in _METRIC_OF.items():
            per_market = getattr(summary, metric)
            values[name] = float(np.mean(per_market)) if np.isfinite(per_market).all() else None
            if values[name] is None:
                worst = int(np.flatnonzero(~np.isfinite(per_market))[0])
                missing[f"{name}_{when}"] = f"{paired.markets[worst]}: {summary.reason(metric, worst)}"
        written.append(values)
    return written[0], written[1], missing


def _insufficient(reason: str, paired: Paired) -> Judgement:
    missing = {f"{name}_{when}": reason for name in FIGURES for when in ("before", "after")}
    return Judgement(
        verdict=Verdict.INSUFFICIENT_DATA, reason=reason, missing=missing, left_out=paired.left_out
    )  # fmt: skip


def _because(left_out: Sequence[str]) -> str:
    return f" ({'; '.join(left_out)})" if left_out else ""
