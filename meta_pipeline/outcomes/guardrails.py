"""Guardrails: risk that a change must not bring, whatever it earns.

Drawdown and volatility are facts about the days since the change: a breach is a breach, no test needed. The worst
regime is a comparison of few days, so it is a breach only where chance is ruled out.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from meta_pipeline.canonical import JsonValue
from meta_pipeline.counted import counted
from meta_pipeline.errors import InputError
from meta_pipeline.evidence.metrics import summarize
from meta_pipeline.outcomes.paired import Difference, MarketDays, Paired, difference, on_one_calendar, portfolio
from meta_pipeline.proposals.candidate import finite
from meta_pipeline.proposals.outcome_rule import OutcomeRule


@dataclass(frozen=True, kw_only=True)
class Guardrail:
    """One guardrail, with what was found.

    Parameters
    ----------
    before, after
        The figure under the old and the new configuration; None where it could not be computed.
    breached
        True, False, or None: cannot be said yet, and `text` says why.
    """

    name: str
    limit: float
    before: float | None
    after: float | None
    breached: bool | None
    text: str

    def to_json(self) -> dict[str, JsonValue]:
        """Return the guardrail as a JSON object."""
        return {
            "name": self.name,
            "limit": self.limit,
            "before": finite(self.before),
            "after": finite(self.after),
            "breached": self.breached,
            "text": self.text,
        }


def guardrails(paired: Paired, found: Sequence[MarketDays], rule: OutcomeRule, *, seed: int) -> tuple[Guardrail, ...]:
    """Look at drawdown, volatility and the worst regime since the change."""
    if paired.n_days < rule.guardrail_days:
        why = f"{paired.n_days} of the {counted(rule.guardrail_days, 'day')} after which it counts"
        limits = {
            "drawdown": rule.drawdown_rise,
            "volatility": rule.volatility_rise,
            "worst regime": rule.regime_fall,
        }
        return tuple(
            Guardrail(name=name, limit=limit, before=None, after=None, breached=None, text=f"{name}: {why}")
            for name, limit in limits.items()
        )
    before, after = portfolio(paired)
    found_by = summarize(np.column_stack([before, after]), float(np.mean(paired.periods_per_year)))
    drawdown, volatility = found_by.max_drawdown.tolist(), found_by.volatility.tolist()
    return (
        _drawdown(drawdown[0], drawdown[1], rule.drawdown_rise),
        _volatility(volatility[0], volatility[1], rule.volatility_rise),
        _worst_regime(found, rule, seed=seed),
    )


def _drawdown(before: float, after: float, limit: float) -> Guardrail:
    deeper = before - after  # drawdowns are negative
    breached = not deeper <= limit  # what is not a number is a breach: unknown is never safe
    moved = f"{abs(deeper):.1%} {'deeper' if deeper > 0 else 'less deep'}"
    text = f"drawdown of all markets together {after:.1%}, {before:.1%} before: {moved}, {limit:.1%} deeper allowed"
    return Guardrail(name="drawdown", limit=limit, before=before, after=after, breached=breached, text=text)


def _volatility(before: float, after: float, limit: float) -> Guardrail:
    rise = after / before - 1.0 if before > 0.0 else math.inf
    text = (
        f"volatility of all markets together {after:.1%} a year, {before:.1%} before: {rise:+.0%}, {limit:+.0%} allowed"
    )
    breached = not rise <= limit
    return Guardrail(name="volatility", limit=limit, before=before, after=after, breached=breached, text=text)


def _worst_regime(found: Sequence[MarketDays], rule: OutcomeRule, *, seed: int) -> Guardrail:
    labels = sorted({str(label) for one in found if one.regimes is not None for label in one.regimes} - {""})
    by_label: dict[str, Difference] = {}
    for label in labels:
        paired = on_one_calendar([_in_regime(one, label) for one in found if one.regimes is not None])
        if paired.n_days < rule.guardrail_days:
            continue
        try:
            # The looks are shared between the regimes, so that the whole guardrail cries wolf with alpha at most.
            by_label[label] = difference(
                paired, metric="sharpe_ratio", alpha=rule.alpha / len(labels), tuned_for=rule.tuned_for, seed=seed
            )
        except InputError:
            continue  # the configurations did not differ in this regime
    if not by_label:
        why = "no regime has days enough" if labels else "no regime labels"
        return Guardrail(
            name="worst regime", limit=rule.regime_fall, before=None, after=None, breached=None,
            text=f"worst regime: {why}",
        )  # fmt: skip
    worst = min(by_label, key=lambda label: by_label[label].estimate)
    effect = by_label[worst]
    fallen = [label for label, one in by_label.items() if one.upper < -rule.regime_fall]
    text = (
        f"worst regime {worst}: Sharpe ratio {effect.estimate:+.2f} [{effect.lower:+.2f}, {effect.upper:+.2f}] over "
        f"{counted(effect.n_days, 'day')}; a fall of {rule.regime_fall:g} beyond chance is not allowed"
    )
    return Guardrail(
        name="worst regime",
        limit=rule.regime_fall,
        before=0.0,
        after=effect.estimate,
        breached=bool(fallen),
        text=text,
    )


def _in_regime(one: MarketDays, label: str) -> MarketDays:
    assert one.regimes is not None
    inside = one.regimes == label
    return MarketDays(
        market=one.market,
        dates=one.dates[inside],
        before=one.before[inside],
        after=one.after[inside],
        periods_per_year=one.periods_per_year,
    )
