"""Deliberately bad proposals: each wrong in one way, with the check that has to stop it.

A control is refused only if the very check it is meant for refuses it: one that is stopped by something else would
say nothing. Apart from its fault it is as good as a proposal can be.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final, TypeGuard

from meta_pipeline.canonical import JsonValue, Level, digest, level_key
from meta_pipeline.proposals.configs import level_at
from meta_pipeline.proposals.digests import body_text, proposal_id, text_digest
from meta_pipeline.proposals.draft import ProposalDraft, ProposalRecord
from meta_pipeline.proposals.identity import MACHINE_ACTOR
from meta_pipeline.proposals.knobs import NUMERIC_TYPES, Knob
from meta_pipeline.proposals.outcome_rule import OutcomeRule
from meta_pipeline.proposals.states import Status
from meta_pipeline.proposals.strategy import Strategy

KIND: Final = "negative_control"
_LIFETIME: Final = timedelta(hours=1)


@dataclass(frozen=True, kw_only=True)
class BadProposal:
    """One bad proposal: what is wrong with it, and the check that has to refuse it."""

    kind: str
    stopped_by: str
    record: ProposalRecord


def bad_proposals(
    strategy: Strategy, path: str, *, live_version: int, now: datetime, rule: OutcomeRule
) -> tuple[BadProposal, ...]:
    """Write the bad proposals for one knob of a strategy, at its live configuration.

    Kinds that a knob cannot have are left out: a step that is too large where no step is limited, for instance.
    """
    knob = next(one for one in strategy.knobs if one.path == path)
    live = level_at(strategy.live_config, path)
    good = _good(strategy, knob, live, live_version=live_version, rule=rule)
    made: list[tuple[str, str, ProposalDraft]] = [
        ("grade_b", "grade", replace(good, grade="B")),
        ("grade_not_in_the_evidence", "grade", replace(good, supporting_metrics=_evidence("C"))),
        ("no_uplift", "uplift", replace(good, expected_sharpe_improvement=0.0)),
        ("harmful", "uplift", replace(good, expected_sharpe_improvement=-0.5)),
        ("uplift_unknown", "uplift", replace(good, expected_sharpe_improvement=None)),
        ("raises_volatility", "risk not raised", replace(good, expected_risk_reduction=-0.05)),
        ("volatility_unknown", "risk not raised", replace(good, expected_risk_reduction=None)),
        ("deepens_drawdown", "risk not raised", replace(good, supporting_metrics=_evidence(max_drawdown=-0.05))),
        ("shortfall_unknown", "risk not raised", replace(good, supporting_metrics=_evidence(expected_shortfall=None))),
        ("by_a_person", "author", replace(good, author="Mallory", author_kind="human")),
        ("without_outcome_rule", "outcome rule", replace(good, outcome_rule=None)),
        ("undeclared_knob", "knob", replace(good, target_component=f"{path}.undeclared_by_anybody")),
        ("changes_nothing", "knob", replace(good, proposed=live)),
        ("of_another_value", "target", replace(good, current=_another(live))),
        ("wrong_type", "knob", replace(good, proposed={"not": "a value"})),
        *_by_value(knob, live, good),
    ]
    if live_version > 1:
        made.append(("stale_base", "base", replace(good, base_version=live_version - 1)))
    found = [BadProposal(kind=kind, stopped_by=check, record=_record(draft, kind, now)) for kind, check, draft in made]
    return (*found, *_by_record(good, now))


def _by_value(knob: Knob, live: Level, good: ProposalDraft) -> list[tuple[str, str, ProposalDraft]]:
    """Return what is wrong by its value: out of bounds, too far, or riskier than it says."""
    made: list[tuple[str, str, ProposalDraft]] = []
    beyond = _beyond_bounds(knob, live)
    if beyond is not None:
        made.append(("out_of_bounds", "knob", replace(good, proposed=beyond)))
    far = _beyond_step(knob, live)
    if far is not None:
        made.append(("step_too_large", "knob", replace(good, proposed=far)))
    riskier = [one for one in _allowed(knob, live) if knob.risk_change(live, one) == "raises"]
    if riskier:
        made.append(("raises_risk", "risk not raised", replace(good, proposed=riskier[0], risk_change="raises")))
        made.append(("raises_risk_in_disguise", "risk", replace(good, proposed=riskier[0], risk_change="reduces")))
    return made


def _beyond_bounds(knob: Knob, live: Level) -> JsonValue:
    """Return a number that is not allowed, within one step where there is one: only bounds or choices can refuse it."""
    allowed = [number for number in (knob.lower, knob.upper, *(knob.choices or ())) if _is_number(number)]
    if knob.knob_type not in NUMERIC_TYPES or not allowed:
        return None
    low, high = min(allowed), max(allowed)
    beyond = 1.0 if knob.knob_type == "int" else max(abs(high), abs(low), 1.0) * 1e-3
    tried = [high + beyond, low - beyond]
    step = math.inf if knob.max_step is None else knob.max_step
    near = [one for one in tried if _is_number(live) and abs(one - live) <= step]
    return _of_type(knob, (near or tried)[0])


def _beyond_step(knob: Knob, live: Level) -> JsonValue:
    """Return a number that is allowed but for its distance; None where every one that is allowed is near enough."""
    if knob.knob_type not in NUMERIC_TYPES or knob.max_step is None or not _is_number(live):
        return None
    step = 1.01 * knob.max_step  # well beyond it: 0.2 - 0.15 is more than 0.05 in floating point, and no fault
    edges = [knob.lower, knob.upper, live - step - 1.0, live + step + 1.0]
    tried = [*edges, live - step, live + step] if knob.choices is None else knob.choices
    numbers = [_of_type(knob, one) for one in tried if _is_number(one)]
    far = [one for one in numbers if _is_number(one) and abs(one - live) >= 0.999 * step and _within(knob, one)]
    return min(far, key=lambda one: abs(one - live), default=None)


def _within(knob: Knob, number: float) -> bool:
    return (knob.lower is None or number >= knob.lower) and (knob.upper is None or number <= knob.upper)


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _by_record(good: ProposalDraft, now: datetime) -> list[BadProposal]:
    """Return what is wrong as a record: tampered with, lapsed, edited, decided."""
    changes: list[tuple[str, str, Callable[[ProposalRecord], ProposalRecord]]] = [
        ("tampered_body", "content", lambda r: replace(r, draft=replace(r.draft, expected_sharpe_improvement=9.0))),
        ("wrong_digest", "content", lambda r: replace(r, body_digest="0" * 64)),
    ]
    found = [
        BadProposal(kind=kind, stopped_by=check, record=change(_record(good, kind, now)))
        for kind, check, change in changes
    ]
    lapsed = _record(good, "lapsed", now - 2 * _LIFETIME)
    return [*found, BadProposal(kind="lapsed", stopped_by="lifetime", record=lapsed)]


def _good(strategy: Strategy, knob: Knob, live: Level, *, live_version: int, rule: OutcomeRule) -> ProposalDraft:
    """Return a draft whose only faults are that its evidence is made up, and that it has no candidate."""
    allowed = _allowed(knob, live)
    quiet = [one for one in allowed if knob.risk_change(live, one) in {"reduces", "neutral"}]
    ranked: list[Level] = [*quiet, *allowed, live]
    proposed = ranked[0]
    evidence = _evidence()
    return ProposalDraft(
        strategy_id=strategy.strategy_id,
        proposal_type="config_parameter_change",
        target_component=knob.path,
        current=live,
        proposed=proposed,
        base_version=live_version,
        rationale="A negative control: wrong on purpose, and rolled back.",
        supporting_metrics=evidence,
        evidence_digest=digest({**evidence, "strategy": strategy.strategy_id, "knob": knob.path}),
        risk_change=knob.risk_change(live, proposed),
        author=MACHINE_ACTOR,
        author_kind="machine",
        expected_sharpe_improvement=1.0,
        expected_risk_reduction=0.01,
        grade="A",
        outcome_rule=rule.to_json(),
    )


def _evidence(
    grade: str = "A",
    *,
    volatility: float | None = -0.01,
    max_drawdown: float | None = 0.02,
    expected_shortfall: float | None = 0.001,
) -> dict[str, JsonValue]:
    """Write evidence of a grade, by which every measure of risk falls."""
    risk = {"volatility": volatility, "max_drawdown": max_drawdown, "expected_shortfall": expected_shortfall}
    effects: list[JsonValue] = [{"metric": name, "estimate": estimate} for name, estimate in risk.items()]
    return {"kind": KIND, "grade": grade, "risk_effects": effects}


def _allowed(knob: Knob, live: Level) -> list[JsonValue]:
    """Return some values that the knob may be changed to, nearest first where they are numbers."""
    if knob.choices is not None:
        tried: list[Any] = list(knob.choices)
    elif knob.knob_type == "bool":
        tried = [True, False]
    elif isinstance(live, int | float) and knob.knob_type in NUMERIC_TYPES:
        step = knob.max_step or max(abs(live), 1.0)
        tried = [_of_type(knob, live + share * step) for share in (-0.5, 0.5, -1.0, 1.0)]
    else:
        tried = []
    return [one for one in tried if knob.objection_to_change(live, one) is None]


def _of_type(knob: Knob, number: float) -> JsonValue:
    return math.floor(number) if knob.knob_type == "int" else float(number)


def _another(live: Level) -> JsonValue:
    return "another value" if level_key(live) != level_key("another value") else "yet another value"


def _record(draft: ProposalDraft, kind: str, now: datetime) -> ProposalRecord:
    """Write a draft as a stored proposal, under an id that no real one has."""
    own = replace(draft, evidence_digest=digest({"of": draft.evidence_digest, "kind": kind}))
    body = body_text(own, attempt=1, created_at=now, expires_at=now + _LIFETIME)
    return ProposalRecord(
        proposal_id=proposal_id(own),
        draft=own,
        body=body,
        body_digest=text_digest(body),
        status=Status.PENDING,
        created_at=now,
        expires_at=now + _LIFETIME,
    )
