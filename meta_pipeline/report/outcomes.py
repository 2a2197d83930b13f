"""Outcomes for people: one judged change, the proposer's score, and what a shadow experiment says."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from meta_pipeline.counted import counted
from meta_pipeline.outcomes.scorecard import JOINT, Score
from meta_pipeline.report.approval import TrackRecord
from meta_pipeline.report.table import MISSING, Column, Kind, Table, interval
from meta_pipeline.report.tables import change_text

if TYPE_CHECKING:
    from meta_pipeline.store.change_outcomes import Judged, Look
    from meta_pipeline.store.changes import ChangeRecord


def outcome_facts(look: "Look | None", *, otherwise: str) -> list[tuple[str, str]]:
    """Return what is known of a change's outcome, as (what, value) pairs.

    Parameters
    ----------
    look
        The latest look; None: nobody has looked.
    otherwise
        Why there is none.
    """
    if look is None:
        return [("outcome", otherwise)]
    body = look.body
    level = "" if body.get("alpha") is None else f" at {1 - body['alpha']:.0%}, over all looks together"
    shown = interval(look.lower_bound, look.upper_bound)
    effect = MISSING if look.estimate is None else f"{look.estimate:+.3f} {shown}{level}"
    facts = [
        ("verdict", f"{look.verdict}: {look.reason}"),
        (
            "outcome",
            f"{effect} ({counted(look.n_days, 'day')}, {body['first_day'] or '?'} to {body['last_day'] or '?'})",
        ),
        ("one look", _bootstrap(body)),
        ("figures", figures_text(body)),
        *(("guardrail", _guardrail(one)) for one in body["guardrails"]),
        ("control", _control(body["control"])),
        ("could find", _detectable(body)),
        ("judged until", f"{look.judged_until}{_simulated(look.simulated)}"),
    ]
    return facts + [("left out", text) for text in body["left_out"]]


def together_facts(batch: "Sequence[ChangeRecord]", change_id: str) -> list[tuple[str, str]]:
    """Say with which other changes one was applied in one transaction; nothing, if it was applied alone."""
    others = [
        f"{one.change_id} ({one.target_component} {change_text(one.previous_value, one.new_value)}"
        f"{', reverted' if one.is_reverted else ''})"
        for one in batch
        if one.change_id != change_id
    ]
    if not others:
        return []
    before = batch[0].base_version
    return [("together", f"applied together with {', '.join(others)}; judged as one, against version {before}")]


def judged_with(one: "Judged") -> str:
    """Say which other changes a look was also about; empty, if none."""
    others = [name for name in one.together if name != one.change_id]
    return f"judged as one with {', '.join(others)}" if others else ""


def figures_text(body: Mapping[str, Any]) -> str:
    """Write the figures of the old and the new configuration over the same days."""
    formats = {"sharpe": "{:+.2f}", "return": "{:+.1%}", "risk": "{:.1%}"}
    names = {"sharpe": "Sharpe ratio", "return": "return a year", "risk": "volatility"}
    parts = []
    for name, form in formats.items():
        old, new = body["before"].get(name), body["after"].get(name)
        shown = [MISSING if value is None else form.format(value) for value in (old, new)]
        parts.append(f"{names[name]} {shown[0]} -> {shown[1]}")
    missing = "; ".join(sorted(set(body["missing"].values())))
    return ", ".join(parts) + ", averaged over markets" + (f" ({missing})" if missing else "")


def _bootstrap(body: Mapping[str, Any]) -> str:
    found = interval(body["bootstrap_lower"], body["bootstrap_upper"])
    return MISSING if found is None else f"{found} by block bootstrap, if one looked this once only"


def _guardrail(one: Mapping[str, Any]) -> str:
    mark = {True: "BREACHED", False: "held", None: "not known"}[one["breached"]]
    return f"{mark}: {one['text']}"


def _control(control: Mapping[str, Any]) -> str:
    if control["estimate"] is None:
        return f"{MISSING}: {control['reason']}"
    others = ", ".join(control["strategies"])
    within = interval(control["lower"], control["upper"])
    return f"{control['estimate']:+.2f} {within} by difference in differences, against the untouched {others}"


def _detectable(body: Mapping[str, Any]) -> str:
    if body["detectable_effect"] is None:
        return MISSING
    needed = (
        ""
        if body["days_needed"] is None
        else f"; one as found, or as small as matters, takes {counted(body['days_needed'], 'day')}"
    )
    return f"an effect of {body['detectable_effect']:.2f} by now, with probability 0.8{needed}"


def _simulated(simulated: bool) -> str:
    return " (held-back days of the past play the days after the change)" if simulated else ""


def scorecard_table(scores: Sequence[Score]) -> Table:
    """Show expected against realised improvement by type of proposal."""
    return Table(
        title="What proposals claimed, and what their changes brought (Sharpe ratio)",
        columns=(
            Column(key="type", header="Type"),
            Column(key="changes", header="Changes", kind=Kind.COUNT),
            Column(key="judged", header="With claim and outcome", kind=Kind.COUNT),
            Column(key="claimed", header="Claimed", kind=Kind.SIGNED),
            Column(key="realised", header="Realised", kind=Kind.SIGNED),
            Column(key="interval", header="90 % interval"),
            Column(key="verdicts", header="Verdicts"),
        ),
        rows=tuple(
            {
                "type": score.proposal_type,
                "changes": score.n_changes,
                "judged": score.n_realised,
                "claimed": score.claimed,
                "realised": score.realised,
                "interval": interval(score.lower, score.upper) or score.reason,
                "verdicts": _verdicts(score),
            }
            for score in scores
        ),
        note=" ".join(said for said in (_overclaimed(scores), _joint(scores)) if said),
        empty="No change has been applied.",
    )


def track_record(scores: Sequence[Score], proposal_type: str) -> TrackRecord | None:
    """Return the track record of one type of proposals, or None if it has no outcome, alone or jointly with others."""
    score = _of(scores, proposal_type)
    across = _of(scores, JOINT)
    if score is None:
        return None
    jointly = None if across is None or not score.n_joint or not across.n_realised else _record(across)
    if not score.n_realised and jointly is None:
        return None
    return replace(_record(score), n_joint=score.n_joint, jointly=jointly)


def _of(scores: Sequence[Score], proposal_type: str) -> Score | None:
    return next((one for one in scores if one.proposal_type == proposal_type), None)


def _record(score: Score) -> TrackRecord:
    return TrackRecord(
        n_outcomes=score.n_realised,
        claimed=score.claimed,
        realised=score.realised,
        lower=score.lower,
        upper=score.upper,
    )


def _verdicts(score: Score) -> str:
    shown = ", ".join(f"{count} {name}" for name, count in score.verdicts.items())
    return f"{shown}; {score.n_joint} of them jointly" if score.n_joint else shown


def _joint(scores: Sequence[Score]) -> str:
    if not any(score.n_joint for score in scores):
        return ""
    return (
        f"Changes of different types that were applied together have one outcome: {JOINT!r} counts them again, and "
        "holds it against the sum of their claims; it is in no figure of a single type."
    )


def _overclaimed(scores: Sequence[Score]) -> str:
    named = [score.proposal_type for score in scores if score.overclaims]
    return f"Realised is less than half of what was claimed: {', '.join(named)}." if named else ""


def judged_table(looks: "Sequence[tuple[str, Look | None, str]]") -> Table:
    """Show looks at changes: (strategy, look, what follows)."""
    return Table(
        title="Outcomes of changes",
        columns=(
            Column(key="change", header="Change"),
            Column(key="strategy", header="Strategy"),
            Column(key="days", header="Days", kind=Kind.COUNT),
            Column(key="effect", header="Effect", kind=Kind.SIGNED),
            Column(key="interval", header="At every look"),
            Column(key="verdict", header="Verdict"),
            Column(key="next", header="What follows"),
        ),
        rows=tuple(
            {
                "change": look.change_id,
                "strategy": strategy,
                "days": look.n_days,
                "effect": look.estimate,
                "interval": interval(look.lower_bound, look.upper_bound),
                "verdict": look.verdict,
                "next": follows,
            }
            for strategy, look, follows in looks
            if look is not None
        ),
        empty="No change has a day that is over and was not judged.",
    )
