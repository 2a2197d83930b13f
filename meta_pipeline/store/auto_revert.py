"""Reverting by itself: only where it lowers risk, only on the verdict REVERT, only if the settings allow it."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from meta_pipeline.errors import MetaPipelineError
from meta_pipeline.outcomes.judgement import Verdict
from meta_pipeline.proposals.decision import RevertResult
from meta_pipeline.proposals.identity import MACHINE_ACTOR
from meta_pipeline.settings import Settings
from meta_pipeline.store import change_outcomes, changes, strategies
from meta_pipeline.store.database import Database
from meta_pipeline.store.reverting import revert_one
from meta_pipeline.store.rules import Rules, rules_of
from meta_pipeline.store.transactions import in_transaction


@dataclass(frozen=True, kw_only=True)
class Recommendation:
    """What follows from the verdict REVERT: done, or recommended to a person, and why.

    Parameters
    ----------
    reverted
        Whether the machine reverted the change.
    text
        One sentence with the command that does it, where a person has to.
    """

    change_id: str
    strategy_id: str
    reverted: bool
    text: str


def act_on(database: Database, change_id: str, *, now: datetime, settings: Settings) -> Recommendation | None:
    """Revert a change by itself, or recommend it; None where the last look does not call for it.

    The machine acts alone only if the settings allow it, the last look says REVERT, and undoing the change lowers risk
    by the knob's present declaration. Anything else, an unknown direction of risk included, is for a person.
    """
    rules = rules_of(settings)

    def work(connection: Connection) -> Recommendation | None:
        strategies.lock(connection, changes.get(connection, change_id).strategy_id)
        change = changes.get(connection, change_id)
        look = change_outcomes.latest_look(connection, change_id)
        if change.is_reverted or look is None or look.verdict != Verdict.REVERT:
            return None
        objection = _objection(connection, change, settings)
        if objection is not None:
            return _recommended(change, f"{look.reason}; {objection}")
        done = _revert(connection, change_id, look.reason, now, rules)
        if done.outcome != "reverted":
            return _recommended(change, f"{look.reason}; reverting it by itself was refused: {done.message}")
        return Recommendation(
            change_id=change_id, strategy_id=change.strategy_id, reverted=True, text=f"{done.message} {look.reason}"
        )

    return in_transaction(database, work)


def _objection(connection: Connection, change: changes.ChangeRecord, settings: Settings) -> str | None:
    if not settings.auto_revert:
        return "reverting by itself is switched off (META_PIPELINE_AUTO_REVERT)"
    knob = strategies.load(connection, change.strategy_id).knobs.get(change.target_component)
    direction = "unknown" if knob is None else knob.risk_change(change.new_value, change.previous_value)
    if direction != "reduces":
        return f"undoing it does not lower risk (its effect on risk: {direction}), so a person decides"
    return None


def _revert(connection: Connection, change_id: str, reason: str, now: datetime, rules: Rules) -> RevertResult:
    why = f"verdict REVERT: {reason}"
    try:
        return revert_one(connection, change_id, actor=MACHINE_ACTOR, reason=why, now=now, rules=rules)
    except MetaPipelineError as error:
        return RevertResult(change_id=change_id, outcome="refused", message=str(error), error=error)


def _recommended(change: changes.ChangeRecord, why: str) -> Recommendation:
    return Recommendation(
        change_id=change.change_id,
        strategy_id=change.strategy_id,
        reverted=False,
        text=f"change {change.change_id} of {change.strategy_id} should be reverted: {why}. "
        f'meta-pipeline changes revert {change.change_id} --reason "..."',
    )
