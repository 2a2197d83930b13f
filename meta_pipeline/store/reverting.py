"""Reverting one change, inside the caller's transaction."""

from dataclasses import replace
from datetime import datetime

from sqlalchemy import Connection

from meta_pipeline import failpoints
from meta_pipeline.canonical import JsonValue
from meta_pipeline.errors import MetaPipelineError
from meta_pipeline.proposals.decision import RevertResult
from meta_pipeline.proposals.diff import sentence, touched_keys
from meta_pipeline.proposals.roles import Power
from meta_pipeline.store import changes, freezing, people, strategies
from meta_pipeline.store.rules import Rules


def revert_one(
    connection: Connection, change_id: str, *, actor: str, reason: str, now: datetime, rules: Rules
) -> RevertResult:
    """Revert one change, or say why not. No freeze stops it; one that is in force is written down with it.

    Returns
    -------
    RevertResult
        "reverted", "already_reverted", or "refused" with its error and the three-way difference.
    """
    strategies.lock(connection, changes.get(connection, change_id).strategy_id)
    failpoints.reach("revert.locked")
    people.require(connection, actor, Power.REVERT)
    change = changes.get(connection, change_id)
    live = strategies.live_config(connection, change.strategy_id)
    known = RevertResult(
        change_id=change.change_id,
        outcome="already_reverted",
        message="",
        proposal_id=change.proposal_id,
        strategy_id=change.strategy_id,
        base_version=live.version,
        before=live.config,
        after=live.config,
    )
    if change.is_reverted:
        message = (
            f"change {change.change_id} was already reverted by {change.reverted_by} on "
            f"{change.reverted_at:%Y-%m-%d %H:%M} UTC ({change.reversion_reason}); nothing was written"
        )
        return replace(known, message=message, new_version=change.revert_version)
    try:
        config = changes.reverted_config(connection, change, live)
    except MetaPipelineError as error:
        three_way = changes.three_way(change, live.config)
        return replace(known, outcome="refused", message=str(error), error=error, three_way=three_way)
    failpoints.reach("revert.computed")
    killed = rules.killed_now()
    windows = freezing.in_force(connection, change.strategy_id, now)
    freezes = windows if killed is None else (killed, *windows)
    facts: dict[str, JsonValue] = {"exempt_from_freeze": list(freezes)} if freezes else {}
    knobs = strategies.load(connection, change.strategy_id).knobs
    touched = touched_keys(live.config, config, knobs=knobs)
    path = change.target_component
    knob = knobs.get(path)
    risk_change = "unknown" if knob is None else knob.risk_change(change.new_value, change.previous_value)
    written = changes.write_revert(
        connection,
        change,
        config,
        base_version=live.version,
        risk_change=risk_change,
        actor=actor,
        reason=reason,
        now=now,
        facts=facts,
    )
    people.require_still(connection, actor, Power.REVERT)
    told = sentence(
        strategy_id=change.strategy_id,
        path=path,
        before=change.new_value,
        after=change.previous_value,
        risk_change=risk_change,
    )
    return replace(
        known,
        outcome="reverted",
        message=f"reverted change {change.change_id}: {told} {change.strategy_id} is now at "
        f"version {written.new_version}.",
        new_version=written.new_version,
        risk_change=risk_change,
        touched=touched,
        after=config,
        made_stale=written.made_stale,
        notes=(f"exempt, as it is a revert, from what is in force: {'; '.join(freezes)}",) if freezes else (),
    )
