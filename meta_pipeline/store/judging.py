"""The nightly look at everything that is still being judged, and what follows from it."""

from collections.abc import Callable, Container
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

from meta_pipeline.errors import DatabaseUnavailable, SchemaMismatch
from meta_pipeline.outcomes.judgement import Verdict
from meta_pipeline.settings import Settings
from meta_pipeline.store import auto_revert, change_outcomes, changes
from meta_pipeline.store.applied_together import all_applied
from meta_pipeline.store.auto_revert import Recommendation
from meta_pipeline.store.change_outcomes import Judged
from meta_pipeline.store.database import Database


@dataclass(frozen=True, kw_only=True)
class Night:
    """What one round of looks found.

    Parameters
    ----------
    judged
        Every change that was due, with its look; those applied together once, under the last of them.
    recommendations
        What follows from verdicts REVERT: done, or for a person to do.
    failed
        Change -> why it could not be judged.
    """

    judged: tuple[Judged, ...] = ()
    recommendations: tuple[Recommendation, ...] = ()
    failed: dict[str, str] = field(default_factory=dict)

    @property
    def kept(self) -> tuple[str, ...]:
        """Changes that became KEPT."""
        return tuple(name for one in self.judged if one.kept for name in one.together or (one.change_id,))


def yesterday(now: datetime) -> date:
    """Return the last day that is over at a time, in UTC."""
    return now.astimezone(UTC).date() - timedelta(days=1)


def judge_all(
    database: Database,
    *,
    now: datetime,
    settings: Settings,
    until: date | None = None,
    simulated: bool = False,
    strategy_id: str | None = None,
    strategies: Container[str] | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Night:
    """Judge every change that is due, and act on or recommend what follows. One that fails stops none of the others.

    Parameters
    ----------
    until
        Last day to look at; None: yesterday.
    simulated
        As `change_outcomes.judge_change`.
    strategies
        Only changes of these; None: of all.
    say
        Told of each change before it is judged.

    Raises
    ------
    DatabaseUnavailable, SchemaMismatch
        If the database itself fails: then nothing can be said about any change.
    """
    last = until or yesterday(now)
    with database.connect() as connection:
        theirs = {
            change.change_id
            for change in changes.list_changes(connection, strategy_id=strategy_id)
            if strategies is None or change.strategy_id in strategies
        }
        waiting = [
            change_id for change_id in change_outcomes.due(connection, strategy_id=strategy_id) if change_id in theirs
        ]
    judged: list[Judged] = []
    failed: dict[str, str] = {}
    for change_id in waiting:
        say(change_id)
        try:
            judged.append(
                change_outcomes.judge_change(
                    database, change_id, until=last, now=now, settings=settings, simulated=simulated
                )
            )
        except (DatabaseUnavailable, SchemaMismatch):
            raise
        except Exception as error:  # a user's replay may raise anything, and the others must be judged
            failed[change_id] = f"{type(error).__name__}: {error}"
    with database.connect() as connection:
        # A verdict stays one to act on when the evaluation is over, until somebody has.
        called_for = [
            batch[-1].change_id
            for batch in all_applied(connection, strategy_id=strategy_id)
            if any(change.outcome_verdict == Verdict.REVERT and not change.is_reverted for change in batch)
            and (strategies is None or batch[0].strategy_id in strategies)
        ]
    follows = [auto_revert.act_on(database, change_id, now=now, settings=settings) for change_id in called_for]
    return Night(
        judged=tuple(judged),
        recommendations=tuple(followed for followed in follows if followed is not None),
        failed=failed,
    )
