"""When the machine may apply a proposal by itself: the checks of the gate, and more of its own. Off by default.

The machine is never the human eye: it acts under its own name, on knobs that people have put on its list, and every
check here fails when something is not known.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from meta_pipeline.errors import Blocked
from meta_pipeline.proposals.checks import REVIEW, run_checks
from meta_pipeline.proposals.knobs import NUMERIC_TYPES, Knob, RiskDirection
from meta_pipeline.proposals.outcome_rule import rule_of
from meta_pipeline.proposals.situation import Check, Situation
from meta_pipeline.proposals.states import Status

AUTOMATIC: Final = "automatic"

_RISKIER: Final = {"volatility": 1, "max_drawdown": -1, "expected_shortfall": -1}
"""Measures of risk that a change must not raise, and which way is up: drawdown and shortfall are negative numbers."""


@dataclass(frozen=True, kw_only=True)
class Automation:
    """What the machine is allowed, and whether it can still be trusted.

    Parameters
    ----------
    enabled
        Whether the settings allow automatic application at all.
    frozen
        Why it is frozen; None: it is not.
    controls_at
        When the strategy's negative controls were last all put through these checks; None: never.
    controls_passed
        How many bad proposals the last round let through; 0 is healthy.
    controls_age
        How old that round may be.
    cost
        Smallest effect worth a change, in annualised Sharpe ratio.
    """

    enabled: bool
    frozen: str | None
    controls_at: datetime | None
    controls_passed: int
    controls_age: timedelta
    cost: float


def automatic_checks(s: Situation, automation: Automation) -> tuple[Check, ...]:
    """Run every check of automatic application: those that an approver sees, and the machine's own."""
    return (
        *run_checks(REVIEW, s),
        _switched_on(automation),
        _waiting(s),
        _whitelisted(s),
        _by_the_machine(s),
        _grade(s),
        _uplift(s, automation.cost),
        _risk(s),
        _no_freeze(s),
        _judged_later(s),
        _controls(s, automation),
    )


def objection_to_automation(knob: Knob) -> str | None:
    """Say why a knob cannot be automatic, or None: the machine moves only what is fenced in on every side."""
    if not knob.changeable:
        return f"{knob.path} is declared as not changeable"
    if knob.risk_direction is RiskDirection.UNKNOWN:
        return f"{knob.path} declares no direction of risk, so nobody can say whether a change raises it"
    if knob.choices is None and (knob.lower is None or knob.upper is None):
        return f"{knob.path} declares neither choices nor both bounds; declare them before it may be automatic"
    if knob.knob_type in NUMERIC_TYPES and knob.max_step is None:
        return f"{knob.path} declares no largest step (max_step); declare one before it may be automatic"
    return None


def _switched_on(automation: Automation) -> Check:
    if not automation.enabled:
        return _failed("automation", "automatic application is switched off (META_PIPELINE_AUTOMATION)")
    if automation.frozen is not None:
        text = f"automatic application is frozen: {automation.frozen}; lift it with: meta-pipeline automation unfreeze"
        return _failed("automation", text)
    return _passed("automation", "automatic application is switched on")


def _waiting(s: Situation) -> Check:
    if s.record.status is Status.PENDING:
        return _passed("status", "nobody has decided")
    return _failed("status", f"proposal {s.record.proposal_id} is {s.record.status}; the machine takes what is PENDING")


def _whitelisted(s: Situation) -> Check:
    path = s.record.draft.target_component
    if s.tier != AUTOMATIC:
        return _failed("whitelist", f"{path} is of the tier {s.tier}, not {AUTOMATIC}")
    fenced = "it is not declared" if s.knob is None else objection_to_automation(s.knob)
    if fenced is not None:
        return _failed("whitelist", fenced)
    return _passed("whitelist", f"{path} may be moved by the machine, within its bounds and step")


def _by_the_machine(s: Situation) -> Check:
    draft = s.record.draft
    if draft.author_kind != "machine" or draft.candidate_id is None or s.record.editor_keys:
        text = f"proposal {s.record.proposal_id} was authored or edited by a person; people's proposals go to people"
        return _failed("author", text)
    return _passed("author", f"proposed by {draft.author} on evidence {draft.evidence_digest[:12]}...")


def _grade(s: Situation) -> Check:
    grade, stated = s.record.draft.grade, s.record.draft.supporting_metrics.get("grade")
    if grade == "A" and stated == "A":
        return _passed("grade", "the evidence has grade A")
    shown = grade if grade == stated else f"{grade} by the proposal, {stated} by its evidence"
    return _failed("grade", f"the grade is {shown or 'none'}; the machine takes A only")


def _uplift(s: Situation, cost: float) -> Check:
    claimed = s.record.draft.expected_sharpe_improvement
    if claimed is None or not claimed > cost:
        shown = "nothing" if claimed is None else f"{claimed:+.3f}"
        return _failed("uplift", f"{shown} is expected, which is not above the cost of a change, {cost:g}")
    return _passed("uplift", f"{claimed:+.3f} is expected, above the cost of a change, {cost:g}")


def _risk(s: Situation) -> Check:
    draft = s.record.draft
    now = "unknown" if s.knob is None else s.knob.risk_change(draft.current, draft.proposed)
    if now not in {"reduces", "neutral"}:
        return _failed("risk not raised", f"the change's effect on risk is {now!r}; the machine never raises risk")
    reduction = draft.expected_risk_reduction
    if reduction is None or reduction < 0:
        shown = "not known" if reduction is None else f"a rise of {-reduction:.4f}"
        return _failed("risk not raised", f"the expected change of volatility is {shown}")
    measured = _measured(draft.supporting_metrics.get("risk_effects"))
    for metric, riskier in _RISKIER.items():
        name, estimate = metric.replace("_", " "), measured.get(metric)
        if estimate is None:
            return _failed("risk not raised", f"the measured change of the {name} is not known")
        if riskier * estimate > 0:
            return _failed(
                "risk not raised", f"the measured change of the {name} is {estimate:+.4f}, which is more risk"
            )
    return _passed(
        "risk not raised",
        f"effect on risk: {now}; volatility expected to fall by {reduction:.4f}, and no measure of risk rises",
    )


def _measured(effects: object) -> dict[str, float]:
    """Return the measured change of each risk metric; what is no finite number is not known."""
    found: dict[str, float] = {}
    for effect in effects if isinstance(effects, list | tuple) else ():
        estimate = effect.get("estimate") if isinstance(effect, Mapping) else None
        if isinstance(estimate, int | float) and not isinstance(estimate, bool) and math.isfinite(estimate):
            found[str(effect["metric"])] = float(estimate)
    return found


def _no_freeze(s: Situation) -> Check:
    # A freeze is a person's wish for quiet: no exemption for the machine, whichever way the risk goes.
    if s.freezes:
        return _failed("quiet", f"a freeze is in force: {'; '.join(s.freezes)}")
    return _passed("quiet", "no freeze is in force")


def _judged_later(s: Situation) -> Check:
    if s.record.draft.outcome_rule is None:
        return _failed("outcome rule", "no outcome rule is fixed; what nobody judges is not applied by a machine")
    rule = rule_of(s.record.draft.outcome_rule)
    return _passed("outcome rule", f"its outcome is judged from day {rule.minimum_days} on")


def _controls(s: Situation, automation: Automation) -> Check:
    if automation.controls_at is None:
        return _failed("negative controls", "no deliberately bad proposal was ever put through these checks")
    if automation.controls_passed:
        text = f"{automation.controls_passed} deliberately bad proposals passed; these checks cannot be trusted"
        return _failed("negative controls", text)
    age = s.now - automation.controls_at
    if not timedelta(0) <= age <= automation.controls_age:
        return _failed("negative controls", f"the last round is {age} old, {automation.controls_age} are allowed")
    return _passed(
        "negative controls", f"every bad proposal was refused on {automation.controls_at:%Y-%m-%d %H:%M} UTC"
    )


def _passed(name: str, text: str) -> Check:
    return Check(name=name, passed=True, text=text)


def _failed(name: str, text: str) -> Check:
    return Check(name=name, passed=False, error=Blocked, text=text)
