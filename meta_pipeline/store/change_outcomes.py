"""Outcomes of changes: judged, written down, shown. One look per change and day; a look is never overwritten.

Belongs here: what a look reads and what it writes, in one transaction. Does not belong here: the verdict (outcomes),
and reverting by itself (auto_revert).
"""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, select, update
from sqlalchemy.dialects.postgresql import distinct_on, insert

from meta_pipeline import failpoints
from meta_pipeline.errors import InputError
from meta_pipeline.outcomes.judgement import FIGURES, Judgement, Verdict, judge_outcome
from meta_pipeline.outcomes.plan import rule_in
from meta_pipeline.outcomes.scorecard import Score, ScoredChange, score
from meta_pipeline.proposals.identity import MACHINE_ACTOR
from meta_pipeline.proposals.outcome_rule import OutcomeRule
from meta_pipeline.proposals.states import Status
from meta_pipeline.settings import Settings
from meta_pipeline.store import audit, changes, proposal_rows, strategies
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
from meta_pipeline.store.schema import config_change_log, meta_config_proposals
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
        Whether the proposal became KEPT by this look.
    """

    change_id: str
    strategy_id: str
    outcome: str
    look: Look | None = None
    kept: bool = False


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

    Replays run outside any transaction. The look, the figures beside the change, the status KEPT and the audit entry
    are written in one; looking again at the same days adds nothing.

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
    """
    with database.connect() as connection:
        change = changes.get(connection, change_id)
        span = span_of(connection, change.strategy_id, change.new_version)
        last = span.until(until)
        latest = latest_look(connection, change_id)
        rule = rule_in(proposal_rows.get(connection, change.proposal_id).draft)
    known = Judged(change_id=change_id, strategy_id=change.strategy_id, outcome="known", look=latest)
    if last is None:
        return known if latest is not None else Judged(
            change_id=change_id, strategy_id=change.strategy_id, outcome="no days"
        )  # fmt: skip
    if latest is not None and latest.judged_until >= last:
        return known
    judgement, held_back = _judgement(database, change, rule, span, last, settings, simulated=simulated)

    if rule is not None and judgement.n_days >= rule.evaluation_days and judgement.last_day is not None:
        last = judgement.last_day  # later days were not looked at

    def work(connection: Connection) -> Judged:
        return _write(connection, change_id, judgement, last, now=now, simulated=held_back)

    written = in_transaction(database, work)
    failpoints.reach("outcome.committed")
    return written


def _judgement(
    database: Database,
    change: changes.ChangeRecord,
    rule: OutcomeRule | None,
    span: Span,
    last: date,
    settings: Settings,
    *,
    simulated: bool,
) -> tuple[Judgement, bool]:
    if rule is None:
        why = "no outcome rule was fixed when it was approved, and none is chosen afterwards"
        return _nothing(why), False
    source = source_of(database, change.strategy_id, settings)
    if simulated and not source.held_back:
        raise InputError(
            f"the days of {change.strategy_id} come from {source.name}, which holds no days for the future; "
            "only the lab's strategies can be judged ahead of time"
        )
    with database.connect() as connection:
        before = config_of(connection, change.strategy_id, change.base_version)
        after = config_of(connection, change.strategy_id, change.new_version)
        try:
            markets = chosen_markets(connection, change.strategy_id, rule)
        except InputError as error:
            return _nothing(str(error)), source.held_back
    found = days_of(
        source, change.strategy_id, before=before, after=after, markets=markets, first=span.first, last=last
    )
    control = control_of(
        database,
        found,
        change.strategy_id,
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
    connection: Connection, change_id: str, judgement: Judgement, last: date, *, now: datetime, simulated: bool
) -> Judged:
    strategy_id = changes.get(connection, change_id).strategy_id
    strategies.lock(connection, strategy_id)
    failpoints.reach("outcome.locked")
    change = changes.get(connection, change_id)
    effect = judgement.effect
    added = connection.execute(
        insert(change_outcomes)
        .values(
            change_id=change_id,
            judged_until=last,
            simulated=simulated,
            looked_at=now,
            n_days=judgement.n_days,
            verdict=str(judgement.verdict),
            reason=judgement.reason,
            estimate=None if effect is None else effect.estimate,
            lower_bound=None if effect is None else effect.lower,
            upper_bound=None if effect is None else effect.upper,
            body=judgement.to_json(),
        )
        .on_conflict_do_nothing()
        .returning(_COLUMNS.change_id)
    ).one_or_none()
    failpoints.reach("outcome.recorded")
    if added is None:  # somebody looked at the same days meanwhile
        return Judged(
            change_id=change_id, strategy_id=strategy_id, outcome="known", look=latest_look(connection, change_id)
        )
    _write_figures(connection, change_id, judgement)
    failpoints.reach("outcome.logged")
    kept = _keep(connection, change, judgement)
    failpoints.reach("outcome.moved")
    event = audit.Event(
        action="change.judge",
        subject_type="change",
        subject_id=change_id,
        payload={
            "verdict": str(judgement.verdict),
            "judged_until": last.isoformat(),
            "simulated": simulated,
            "n_days": judgement.n_days,
            "kept": kept,
            "reason": judgement.reason,
        },
    )
    audit.append(connection, event, actor=MACHINE_ACTOR, at=now)
    failpoints.reach("outcome.audited")
    return Judged(
        change_id=change_id,
        strategy_id=strategy_id,
        outcome="judged",
        look=latest_look(connection, change_id),
        kept=kept,
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
    """Move the proposal to KEPT, if that is the verdict and its change is in force."""
    if judgement.verdict is not Verdict.KEEP or change.is_reverted:
        return False
    record = proposal_rows.get(connection, change.proposal_id)
    if record.status is not Status.APPLIED:
        return False
    proposal_rows.move(connection, record, Status.KEPT, status_reason=f"kept: {judgement.reason}")
    return True


def due(connection: Connection, *, strategy_id: str | None = None) -> list[str]:
    """Return the changes whose evaluation is not over, the oldest first.

    Over is an evaluation once its days are used up: those of the rule, or those until the next version took over.
    """
    return [
        change.change_id
        for change in reversed(changes.list_changes(connection, strategy_id=strategy_id))
        if not _over(connection, change, latest_look(connection, change.change_id))
    ]


def _over(connection: Connection, change: changes.ChangeRecord, latest: Look | None) -> bool:
    span = span_of(connection, change.strategy_id, change.new_version)
    if span.is_empty or (latest is not None and span.last is not None and latest.judged_until >= span.last):
        return True
    if latest is None:
        return False
    rule = rule_in(proposal_rows.get(connection, change.proposal_id).draft)
    return rule is None or latest.n_days >= rule.evaluation_days


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


def scorecard(connection: Connection) -> tuple[Score, ...]:
    """Score every type of proposals: what was claimed for applied changes, and what the last look at each found.

    A change counts as realised once its effect was judged at all (KEEP, REVERT or INCONCLUSIVE).
    """
    latest = (
        select(_COLUMNS.change_id, _COLUMNS.verdict, _COLUMNS.estimate)
        .ext(distinct_on(_COLUMNS.change_id))
        .order_by(_COLUMNS.change_id, _COLUMNS.judged_until.desc())
        .subquery()
    )
    log, proposed = config_change_log.c, meta_config_proposals.c
    rows = connection.execute(
        select(
            log.change_type,
            proposed.expected_sharpe_improvement,
            proposed.outcome_rule,
            latest.c.verdict,
            latest.c.estimate,
        )
        .join(meta_config_proposals, proposed.proposal_id == log.proposal_id)
        .outerjoin(latest, latest.c.change_id == log.change_id)
        .order_by(log.change_type, log.change_id)
    )
    return score(
        ScoredChange(
            proposal_type=row.change_type,
            claimed=row.expected_sharpe_improvement,
            realised=row.estimate if _is_judged(row) else None,
            verdict=row.verdict or "NOT_JUDGED",
        )
        for row in rows
    )


def _is_judged(row: Any) -> bool:
    in_sharpe = (row.outcome_rule or {}).get("metric") == "sharpe_ratio"
    return in_sharpe and row.verdict in {Verdict.KEEP, Verdict.REVERT, Verdict.INCONCLUSIVE}
