"""Reverting by itself: only where it lowers risk, only on the verdict REVERT, only if the settings allow it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from meta_pipeline.errors import MetaPipelineError
from meta_pipeline.outcomes.judgement import Verdict
from meta_pipeline.proposals.decision import RevertResult
from meta_pipeline.proposals.identity import MACHINE_ACTOR
from meta_pipeline.proposals.knobs import Knob
from meta_pipeline.settings import Settings
from meta_pipeline.store import change_outcomes, changes, strategies
from meta_pipeline.store.applied_together import applied_with
from meta_pipeline.store.database import Database
from meta_pipeline.store.reverting import revert_one
from meta_pipeline.store.rules import Rules, rules_of
from meta_pipeline.store.transactions import in_transaction


@dataclass(frozen=True, kw_only=True)
class Recommendation:
    """What follows from the verdict REVERT: done, or recommended to a person, and why.

    Parameters
    ----------
    change_id
        The change; of those that were applied together, the last.
    reverted
        Whether the machine reverted the change, and those that were applied with it.
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
    by the knob's present declaration. Anything else, an unknown direction of risk included, is for a person. Changes
    that were applied together were judged as one, and are reverted all or none.
    """
    rules = rules_of(settings)

    def work(connection: Connection) -> Recommendation | None:
        strategies.lock(connection, changes.get(connection, change_id).strategy_id)
        batch = applied_with(connection, change_id)
        there = [change for change in batch if not change.is_reverted]
        look = change_outcomes.latest_look(connection, change_id)
        if not there or look is None or look.verdict != Verdict.REVERT:
            return None
        objection = _objection(connection, batch, settings)
        if objection is not None:
            return _recommended(there, f"{look.reason}; {objection}")
        results = _revert_all(connection, there, look.reason, now, rules)
        failed = next((result for result in results if result.outcome != "reverted"), None)
        if failed is not None:
            return _recommended(there, f"{look.reason}; reverting it by itself was refused: {failed.message}")
        return Recommendation(
            change_id=there[-1].change_id,
            strategy_id=there[-1].strategy_id,
            reverted=True,
            text=f"{' '.join(result.message for result in results)} {look.reason}",
        )

    return in_transaction(database, work)


def _objection(connection: Connection, batch: Sequence[changes.ChangeRecord], settings: Settings) -> str | None:
    if not settings.auto_revert:
        return "reverting by itself is switched off (META_PIPELINE_AUTO_REVERT)"
    gone = [change.change_id for change in batch if change.is_reverted]
    if gone:
        return f"{', '.join(gone)}, judged with it, is reverted already, so a person decides about what is left"
    knobs = strategies.load(connection, batch[0].strategy_id).knobs
    found = {_direction(knobs, change) for change in batch}
    # What is declared as neutral may go along with what lowers risk; anything else is not known to lower it.
    if "reduces" not in found or not found <= {"reduces", "neutral"}:
        shown = ", ".join(sorted(found))
        return f"undoing it does not lower risk (its effect on risk: {shown}), so a person decides"
    return None


def _direction(knobs: Mapping[str, Knob], change: changes.ChangeRecord) -> str:
    knob = knobs.get(change.target_component)
    return "unknown" if knob is None else knob.risk_change(change.new_value, change.previous_value)


def _revert_all(
    connection: Connection, there: Sequence[changes.ChangeRecord], reason: str, now: datetime, rules: Rules
) -> list[RevertResult]:
    """Revert changes, the newest first: all of them, or none where one is refused."""
    results: list[RevertResult] = []
    with connection.begin_nested() as nested:
        for change in reversed(there):
            results.append(_revert(connection, change.change_id, reason, now, rules))
            if results[-1].outcome != "reverted":
                nested.rollback()
                break
    return results


def _revert(connection: Connection, change_id: str, reason: str, now: datetime, rules: Rules) -> RevertResult:
    why = f"verdict REVERT: {reason}"
    try:
        return revert_one(connection, change_id, actor=MACHINE_ACTOR, reason=why, now=now, rules=rules)
    except MetaPipelineError as error:
        return RevertResult(change_id=change_id, outcome="refused", message=str(error), error=error)


def _recommended(there: Sequence[changes.ChangeRecord], why: str) -> Recommendation:
    names = [change.change_id for change in reversed(there)]
    what = f"change {names[0]}" if len(names) == 1 else f"changes {', '.join(names)}, applied together,"
    commands = "; ".join(f'meta-pipeline changes revert {name} --reason "..."' for name in names)
    return Recommendation(
        change_id=there[-1].change_id,
        strategy_id=there[-1].strategy_id,
        reverted=False,
        text=f"{what} of {there[-1].strategy_id} should be reverted: {why}. {commands}",
    )
