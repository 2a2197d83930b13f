"""Outcomes of changes: judged, written down, shown. One look per change and day; a look is never overwritten.

Belongs here: what a look reads and what it writes, in one transaction. Does not belong here: the verdict (outcomes),
and reverting by itself (auto_revert).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, select, update
from sqlalchemy.dialects.postgresql import insert

from meta_pipeline import failpoints
from meta_pipeline.errors import InputError, MetaPipelineError
from meta_pipeline.outcomes.judgement import FIGURES, Judgement, Verdict, judge_outcome
from meta_pipeline.proposals.identity import MACHINE_ACTOR
from meta_pipeline.proposals.outcome_rule import OutcomeRule
from meta_pipeline.proposals.states import Status
from meta_pipeline.settings import Settings
from meta_pipeline.store import audit, changes, proposal_rows, strategies
from meta_pipeline.store.applied_together import all_applied, applied_with
from meta_pipeline.store.database import Database
from meta_pipeline.store.outcome_days import (
    Span,
    chosen_markets,
    config_of,
    control_of,
    days_of,
    source_of,
    span_of,
)
from meta_pipeline.store.outcome_rules import fixed_rule
from meta_pipeline.store.schema import config_change_log
from meta_pipeline.store.schema_outcomes import change_outcomes
from meta_pipeline.store.transactions import in_transaction

_COLUMNS: Final = change_outcomes.c


@dataclass(frozen=True, kw_only=True)
class Look:
    """One look at a change, as stored.

    Parameters
    ----------
    judged_until
        Last live day that was over.
    simulated
        Whether held-back days of the past played the days after the change.
    body
        The whole judgement, as `Judgement.to_json` writes it.
    """

    change_id: str
    judged_until: date
    simulated: bool
    looked_at: datetime
    n_days: int
    verdict: str
    reason: str
    estimate: float | None
    lower_bound: float | None
    upper_bound: float | None
    body: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Judged:
    """What one look did.

    Parameters
    ----------
    outcome
        "judged"; "known": the days were looked at before, nothing was written; "no days": none is over yet.
    kept
        Whether the proposal became KEPT by this look; those of all changes that were judged with it, too.
    together
        All changes that were applied in one transaction and judged as one; empty for a change that was applied alone.
    """

    change_id: str
    strategy_id: str
    outcome: str
    look: Look | None = None
    kept: bool = False
    together: tuple[str, ...] = ()


def judge_change(
    database: Database,
    change_id: str,
    *,
    until: date,
    now: datetime,
    settings: Settings,
    simulated: bool = False,
) -> Judged:
    """Judge one change by its days up to and including `until`, and write the look down.

    Changes that were applied in one transaction are judged as one, against the configuration before all of them, and
    the same look is written down for each. Replays run outside any transaction. The look, the figures beside the
    change, the status KEPT and the audit entry are written in one; looking again at the same days adds nothing.

    Parameters
    ----------
    until
        Last day that is over; days after it are not looked at.
    simulated
        Whether days that are not over yet are played by held-back ones; only where the source has such.

    Raises
    ------
    InputError
        If the replay cannot be loaded or used, or simulated days are asked of a source that has only real ones.
    ContentTampered
        If the outcome rule is not the one that was approved, or a configuration not what was hashed.
    """
    with database.connect() as connection:
        batch = applied_with(connection, change_id)
        strategy_id = batch[-1].strategy_id
        span = span_of(connection, strategy_id, batch[-1].new_version)
        latest = latest_look(connection, change_id)
        rules = _rules_of(connection, batch)
    answer = Judged(
        change_id=change_id,
        strategy_id=strategy_id,
        outcome="no days" if latest is None else "known",
        look=latest,
        together=_together(batch),
    )
    last = span.until(until)
    if last is None or (latest is not None and latest.judged_until >= last):
        return answer
    if span.is_empty:
        judgement, held_back = _nothing(_no_day(batch, span)), False
    else:
        judgement, held_back = _judgement(database, batch, rules, span, last, settings, simulated=simulated)
        if _is_complete(judgement, rules) and judgement.last_day is not None:
            last = judgement.last_day  # later days were not looked at

    def work(connection: Connection) -> Judged:
        return _write(connection, answer, judgement, last, now=now, simulated=held_back)

    written = in_transaction(database, work)
    failpoints.reach("outcome.committed")
    return written


def _rules_of(connection: Connection, batch: Sequence[changes.ChangeRecord]) -> tuple[OutcomeRule | None, ...]:
    """Return the different outcome rules that were fixed for changes applied together."""
    found = [fixed_rule(connection, change.proposal_id) for change in batch]
    return tuple(rule for number, rule in enumerate(found) if rule not in found[:number])


def _is_complete(judgement: Judgement, rules: Sequence[OutcomeRule | None]) -> bool:
    return all(rule is not None and judgement.n_days >= rule.evaluation_days for rule in rules)


def _no_day(batch: Sequence[changes.ChangeRecord], span: Span) -> str:
    return (
        f"version {span.next_version} took the place of version {batch[-1].new_version} before that had a whole day "
        "(UTC) of its own, so there is nothing to judge"
    )


def _together(batch: Sequence[changes.ChangeRecord]) -> tuple[str, ...]:
    return tuple(change.change_id for change in batch) if len(batch) > 1 else ()


def _judgement(
    database: Database,
    batch: Sequence[changes.ChangeRecord],
    rules: Sequence[OutcomeRule | None],
    span: Span,
    last: date,
    settings: Settings,
    *,
    simulated: bool,
) -> tuple[Judgement, bool]:
    rule = rules[0]
    if len(rules) > 1:
        return _nothing(
            "different outcome rules were fixed for the changes applied together, so none judges all"
        ), False
    if rule is None:
        why = "no outcome rule was fixed when it was approved, and none is chosen afterwards"
        return _nothing(why), False
    strategy_id = batch[-1].strategy_id
    source = source_of(database, strategy_id, settings)
    if simulated and not source.held_back:
        raise InputError(
            f"the days of {strategy_id} come from {source.name}, which holds no days for the future; "
            "only the lab's strategies can be judged ahead of time"
        )
    with database.connect() as connection:
        before = config_of(connection, strategy_id, batch[0].base_version)
        after = config_of(connection, strategy_id, batch[-1].new_version)
        try:
            markets = chosen_markets(connection, strategy_id, rule)
        except InputError as error:
            return _nothing(str(error)), source.held_back
    found = days_of(source, strategy_id, before=before, after=after, markets=markets, first=span.first, last=last)
    control = control_of(
        database,
        found,
        strategy_id,
        before=before,
        source=source,
        first=span.first,
        last=last,
        rule=rule,
        settings=settings,
    )
    return judge_outcome(found, rule, seed=settings.seed, control=control), source.held_back


def _nothing(reason: str) -> Judgement:
    return Judgement(
        verdict=Verdict.INSUFFICIENT_DATA,
        reason=reason,
        missing={f"{name}_{when}": reason for name in FIGURES for when in ("before", "after")},
    )


def _write(
    connection: Connection, answer: Judged, judgement: Judgement, last: date, *, now: datetime, simulated: bool
) -> Judged:
    strategies.lock(connection, answer.strategy_id)
    failpoints.reach("outcome.locked")
    batch = applied_with(connection, answer.change_id)
    effect = judgement.effect
    look = {
        "judged_until": last,
        "simulated": simulated,
        "looked_at": now,
        "n_days": judgement.n_days,
        "verdict": str(judgement.verdict),
        "reason": judgement.reason,
        "estimate": None if effect is None else effect.estimate,
        "lower_bound": None if effect is None else effect.lower,
        "upper_bound": None if effect is None else effect.upper,
        "body": {**judgement.to_json(), "together": list(answer.together)},
    }
    added = connection.execute(
        insert(change_outcomes)
        .values([{"change_id": change.change_id, **look} for change in batch])
        .on_conflict_do_nothing()
        .returning(_COLUMNS.change_id)
    ).all()
    failpoints.reach("outcome.recorded")
    if not added:  # somebody looked at the same days meanwhile
        return replace(answer, outcome="known", look=latest_look(connection, answer.change_id))
    for change in batch:
        _write_figures(connection, change.change_id, judgement)
    failpoints.reach("outcome.logged")
    # What is left of changes applied together was never judged by itself.
    whole = not any(change.is_reverted for change in batch)
    kept = {change.change_id: whole and _keep(connection, change, judgement) for change in batch}
    failpoints.reach("outcome.moved")
    events = [_event(change, answer, look, kept=kept[change.change_id]) for change in batch]
    audit.append_all(connection, events, actor=MACHINE_ACTOR, at=now)
    failpoints.reach("outcome.audited")
    seen = latest_look(connection, answer.change_id)
    return replace(answer, outcome="judged", look=seen, kept=any(kept.values()))


def _event(change: changes.ChangeRecord, answer: Judged, look: Mapping[str, Any], *, kept: bool) -> audit.Event:
    return audit.Event(
        action="change.judge",
        subject_type="change",
        subject_id=change.change_id,
        payload={
            "verdict": look["verdict"],
            "judged_until": look["judged_until"].isoformat(),
            "simulated": look["simulated"],
            "n_days": look["n_days"],
            "kept": kept,
            "reason": look["reason"],
            **({"together": list(answer.together)} if answer.together else {}),
        },
    )


def _write_figures(connection: Connection, change_id: str, judgement: Judgement) -> None:
    """Write the figures beside the change; what is not known stays null, with the reason."""
    figures = {f"{name}_before": judgement.before.get(name) for name in FIGURES}
    figures |= {f"{name}_after": judgement.after.get(name) for name in FIGURES}
    missing = "; ".join(f"{name}: {why}" for name, why in judgement.missing.items())
    connection.execute(
        update(config_change_log)
        .where(config_change_log.c.change_id == change_id)
        .values(
            **figures,
            evaluation_start_date=judgement.first_day,
            evaluation_end_date=judgement.last_day,
            evaluation_missing_reason=missing or None,
            outcome_verdict=str(judgement.verdict),
        )
    )


def _keep(connection: Connection, change: changes.ChangeRecord, judgement: Judgement) -> bool:
    """Move the proposal to KEPT, if that is the verdict."""
    if judgement.verdict is not Verdict.KEEP:
        return False
    record = proposal_rows.get(connection, change.proposal_id)
    if record.status is not Status.APPLIED:
        return False
    proposal_rows.move(connection, record, Status.KEPT, status_reason=f"kept: {judgement.reason}")
    return True


def due(connection: Connection, *, strategy_id: str | None = None) -> list[str]:
    """Return the changes whose evaluation is not over, the oldest first; of those applied together, the last one.

    Over is an evaluation once its days are used up: those of the rule, or those until the next version took over.
    """
    return [
        batch[-1].change_id
        for batch in all_applied(connection, strategy_id=strategy_id)
        if not _over(connection, batch, latest_look(connection, batch[-1].change_id))
    ]


def _over(connection: Connection, batch: Sequence[changes.ChangeRecord], latest: Look | None) -> bool:
    if latest is None:
        return False
    span = span_of(connection, batch[-1].strategy_id, batch[-1].new_version)
    if span.last is not None and latest.judged_until >= span.last:
        return True
    try:
        rules = _rules_of(connection, batch)
    except MetaPipelineError:
        return False  # who judges it hears why it cannot be
    return len(rules) > 1 or rules[0] is None or latest.n_days >= rules[0].evaluation_days


def looks(connection: Connection, change_id: str) -> list[Look]:
    """Return every look at a change, the latest first."""
    rows = connection.execute(
        select(change_outcomes).where(_COLUMNS.change_id == change_id).order_by(_COLUMNS.judged_until.desc())
    )
    return [_look(row) for row in rows]


def latest_look(connection: Connection, change_id: str) -> Look | None:
    """Return the latest look at a change, or None if nobody has looked."""
    row = connection.execute(
        select(change_outcomes).where(_COLUMNS.change_id == change_id).order_by(_COLUMNS.judged_until.desc()).limit(1)
    ).one_or_none()
    return None if row is None else _look(row)


def _look(row: Row[Any]) -> Look:
    return Look(**row._asdict())
