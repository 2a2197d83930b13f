"""Applied changes: written, undone, listed. Each function works inside the caller's transaction.

Belongs here: the rows that one apply or one revert writes, all of them. Does not belong here: whether it
may (proposals.checks), and where the transaction begins and ends (governance).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

from sqlalchemy import Connection, insert, select, update

from meta_pipeline import failpoints
from meta_pipeline.canonical import JsonValue, Level, canonical_json, level_key
from meta_pipeline.errors import Conflict, ContentTampered, NotFound
from meta_pipeline.proposals.candidate import level_to_json
from meta_pipeline.proposals.configs import KeyChange, level_at, related, replay, with_level
from meta_pipeline.proposals.diff import ThreeWay, show
from meta_pipeline.proposals.digests import change_id
from meta_pipeline.proposals.draft import ProposalRecord
from meta_pipeline.proposals.identity import clean_name
from meta_pipeline.proposals.states import OPEN, Status
from meta_pipeline.store import audit, proposal_rows, strategies
from meta_pipeline.store.schema import config_change_log, config_versions
from meta_pipeline.store.situation import rivals

_COLUMNS: Final = config_change_log.c
_SHORTEST_PREFIX: Final = 4

NOT_JUDGED: Final = "insufficient data: no day since the change has been judged"
"""Why a change has no outcome yet. What is not known is null with a reason, never 0.0."""


@dataclass(frozen=True, kw_only=True)
class ChangeRecord:
    """One applied change, as stored.

    Parameters
    ----------
    previous_value, new_value
        What the key was and became; ABSENT: it is not there.
    base_version, new_version, revert_version
        Versions of the strategy's configuration: before, after, and after the revert.
    sharpe_before, sharpe_after, return_before, return_after, risk_before, risk_after
        Filled in when the outcome is judged; None until then, with the reason.
    """

    change_id: str
    proposal_id: str
    strategy_id: str
    market_id: str | None
    change_type: str
    target_component: str
    previous_value: Level
    new_value: Level
    base_version: int
    new_version: int
    risk_change: str
    applied_by: str
    applied_at: datetime
    is_reverted: bool
    reverted_at: datetime | None
    reverted_by: str | None
    reversion_reason: str | None
    revert_version: int | None
    sharpe_before: float | None = None
    sharpe_after: float | None = None
    return_before: float | None = None
    return_after: float | None = None
    risk_before: float | None = None
    risk_after: float | None = None
    evaluation_start_date: date | None = None
    evaluation_end_date: date | None = None
    evaluation_missing_reason: str | None = None
    outcome_verdict: str | None = None


@dataclass(frozen=True, kw_only=True)
class Written:
    """What one apply or revert wrote: the new version, and the proposals it ended."""

    change_id: str
    new_version: int
    superseded: tuple[str, ...] = ()
    made_stale: tuple[str, ...] = ()


def get(connection: Connection, change_id: str) -> ChangeRecord:
    """Return one change.

    Raises
    ------
    NotFound
        If there is none of that id.
    """
    asked = change_id if change_id.isascii() and change_id.isprintable() else ""
    row = connection.execute(select(config_change_log).where(_COLUMNS.change_id == asked)).one_or_none()
    if row is None:
        raise NotFound(f"there is no change {change_id!r}; see: meta-pipeline changes list")
    return ChangeRecord(**row._asdict())


def find(connection: Connection, prefix: str) -> str:
    """Return the one change id that starts with a prefix (the leading "chg-" may be left out).

    Raises
    ------
    NotFound
        If none does, more than one does, or the prefix is shorter than four digits.
    """
    digits = (prefix if prefix.isascii() and prefix.isprintable() else "").removeprefix("chg-")
    ids: list[str] = []
    if len(digits) >= _SHORTEST_PREFIX:
        statement = select(_COLUMNS.change_id).where(_COLUMNS.change_id.startswith(f"chg-{digits}", autoescape=True))
        ids = list(connection.execute(statement.order_by(_COLUMNS.change_id).limit(5)).scalars())
    if len(ids) != 1:
        which = f"is the start of {', '.join(ids)}; give more digits" if ids else "is no change"
        raise NotFound(f"{prefix!r} {which}; see: meta-pipeline changes list")
    return ids[0]


def of_proposal(connection: Connection, proposal_id: str) -> ChangeRecord | None:
    """Return the change that applied a proposal, or None if there is none."""
    row = connection.execute(select(config_change_log).where(_COLUMNS.proposal_id == proposal_id)).one_or_none()
    return None if row is None else ChangeRecord(**row._asdict())


def list_changes(
    connection: Connection,
    *,
    strategy_id: str | None = None,
    reverted: bool | None = None,
    limit: int | None = None,
) -> list[ChangeRecord]:
    """Return changes, the newest first.

    Parameters
    ----------
    reverted
        Only those that were (True) or were not (False) reverted; None: both.
    """
    statement = select(config_change_log).order_by(
        _COLUMNS.applied_at.desc(), _COLUMNS.strategy_id, _COLUMNS.new_version.desc()
    )
    if strategy_id is not None:
        statement = statement.where(_COLUMNS.strategy_id == strategy_id)
    if reverted is not None:
        statement = statement.where(_COLUMNS.is_reverted == reverted)
    return [ChangeRecord(**row._asdict()) for row in connection.execute(statement.limit(limit))]


def write_apply(
    connection: Connection,
    record: ProposalRecord,
    live: Mapping[str, JsonValue],
    *,
    base_version: int,
    actor: str,
    now: datetime,
    together: Sequence[str] = (),
    facts: Mapping[str, JsonValue] | None = None,
) -> Written:
    """Write all that applying a proposal means. Its checks have passed, and its strategy is locked.

    The new configuration version, the change record, the proposal's status, the ends of the other
    open proposals of the strategy, and the audit entries.

    Parameters
    ----------
    live, base_version
        The configuration that the change is made in, and its version.
    together
        The proposals that are applied in this transaction: none of them ends because another one is applied.
    facts
        What else goes into the audit entry.
    """
    draft, identity = record.draft, change_id(record.proposal_id)
    competing = {rival.proposal_id for rival in rivals(connection, record)}
    new_version = strategies.add_version(
        connection,
        draft.strategy_id,
        with_level(live, draft.target_component, draft.proposed),
        base_version=base_version,
        action="apply",
        change_id=identity,
        actor=actor,
        now=now,
    )
    failpoints.reach("apply.versioned")
    connection.execute(
        insert(config_change_log).values(
            change_id=identity,
            proposal_id=record.proposal_id,
            strategy_id=draft.strategy_id,
            market_id=draft.market_id,
            change_type=draft.proposal_type,
            target_component=draft.target_component,
            previous_value=draft.current,
            new_value=draft.proposed,
            base_version=base_version,
            new_version=new_version,
            risk_change=draft.risk_change,
            evaluation_missing_reason=NOT_JUDGED,
            applied_by=clean_name(actor),
            applied_at=now,
        )
    )
    failpoints.reach("apply.logged")
    proposal_rows.move(connection, record, Status.APPLIED, applied_at=now)
    failpoints.reach("apply.moved")
    applied = audit.Event(
        action="change.apply",
        subject_type="change",
        subject_id=identity,
        payload={
            "proposal_id": record.proposal_id,
            "body_digest": record.body_digest,
            "strategy_id": draft.strategy_id,
            "target_component": draft.target_component,
            "from": level_to_json(draft.current),
            "to": level_to_json(draft.proposed),
            "base_version": base_version,
            "new_version": new_version,
            "risk_change": draft.risk_change,
            "approved_by": record.approved_by,
            **({"together": list(together)} if len(together) > 1 else {}),
            **(facts or {}),
        },
    )
    superseded, made_stale, ends = _end_the_others(
        connection,
        draft.strategy_id,
        competing,
        why=f"by change {identity} ({draft.target_component})",
        spare=together,
    )
    failpoints.reach("apply.ended")
    audit.append_all(connection, [applied, *ends], actor=actor, at=now)
    failpoints.reach("apply.audited")
    return Written(change_id=identity, new_version=new_version, superseded=superseded, made_stale=made_stale)


def reverted_config(connection: Connection, change: ChangeRecord, live: strategies.LiveConfig) -> dict[str, JsonValue]:
    """Return the configuration as it would be had the change never been applied.

    It is the strategy's first configuration with all changes replayed that are in force, but for this one: a key
    that was absent is removed, together with the objects that were only made to hold it.

    Raises
    ------
    Conflict
        If the key, one around it, or one inside it was changed since.
    ContentTampered
        If the live configuration is not what the changes on record make.
    """
    in_force = _in_force(connection, change.strategy_id)
    later = [
        other
        for other in in_force
        if other.new_version > change.new_version and related(other.target_component, change.target_component)
    ]
    if later or level_key(level_at(live.config, change.target_component)) != level_key(change.new_value):
        raise Conflict(_changed_since(change, live, later))
    first = connection.execute(
        select(config_versions.c.config_json).where(
            config_versions.c.strategy_id == change.strategy_id, config_versions.c.version == 1
        )
    ).scalar_one()
    if canonical_json(_replayed(first, in_force)) != canonical_json(live.config):
        raise ContentTampered(
            f"version {live.version} of {change.strategy_id} is not what its declared configuration and the changes "
            "on record make; run: meta-pipeline audit verify, and compare with a backup"
        )
    return _replayed(first, [other for other in in_force if other.change_id != change.change_id])


def three_way(change: ChangeRecord, live: Mapping[str, JsonValue]) -> ThreeWay:
    """Return a change's key before the change, after it, and now."""
    return ThreeWay(
        path=change.target_component,
        before=change.previous_value,
        after=change.new_value,
        live=level_at(live, change.target_component),
    )


def write_revert(
    connection: Connection,
    change: ChangeRecord,
    config: Mapping[str, JsonValue],
    *,
    base_version: int,
    risk_change: str,
    actor: str,
    reason: str,
    now: datetime,
    facts: Mapping[str, JsonValue] | None = None,
) -> Written:
    """Write all that a revert means: new version, change record, proposal, other proposals, audit."""
    record = proposal_rows.get(connection, change.proposal_id)
    who = clean_name(actor)
    new_version = strategies.add_version(
        connection,
        change.strategy_id,
        config,
        base_version=base_version,
        action="revert",
        change_id=change.change_id,
        actor=actor,
        now=now,
    )
    failpoints.reach("revert.versioned")
    undone = connection.execute(
        update(config_change_log)
        .where(_COLUMNS.change_id == change.change_id, _COLUMNS.is_reverted.is_(False))
        .values(is_reverted=True, reverted_at=now, reverted_by=who, reversion_reason=reason, revert_version=new_version)
    )
    if undone.rowcount != 1:
        raise Conflict(f"change {change.change_id} was reverted meanwhile")
    failpoints.reach("revert.logged")
    proposal_rows.move(
        connection, record, Status.REVERTED, reverted_at=now, status_reason=f"reverted by {who}: {reason}"
    )
    failpoints.reach("revert.moved")
    reverted = audit.Event(
        action="change.revert",
        subject_type="change",
        subject_id=change.change_id,
        payload={
            "proposal_id": change.proposal_id,
            "strategy_id": change.strategy_id,
            "target_component": change.target_component,
            "from": level_to_json(change.new_value),
            "to": level_to_json(change.previous_value),
            "base_version": base_version,
            "new_version": new_version,
            "risk_change": risk_change,
            "reason": reason,
            **(facts or {}),
        },
    )
    _, made_stale, ends = _end_the_others(
        connection, change.strategy_id, set(), why=f"by the revert of {change.change_id} ({change.target_component})"
    )
    failpoints.reach("revert.ended")
    audit.append_all(connection, [reverted, *ends], actor=actor, at=now)
    failpoints.reach("revert.audited")
    return Written(change_id=change.change_id, new_version=new_version, made_stale=made_stale)


def _end_the_others(
    connection: Connection, strategy_id: str, competing: set[str], *, why: str, spare: Sequence[str] = ()
) -> tuple[tuple[str, ...], tuple[str, ...], list[audit.Event]]:
    """End the open proposals of a strategy whose configuration has moved: their base is gone."""
    superseded: list[str] = []
    made_stale: list[str] = []
    events = []
    for record in proposal_rows.list_proposals(connection, strategy_id=strategy_id, status=OPEN):
        if record.proposal_id in spare:
            continue
        if record.proposal_id in competing:
            superseded.append(record.proposal_id)
            events.append(proposal_rows.end(connection, record, Status.SUPERSEDED, reason=f"superseded {why}"))
        else:
            made_stale.append(record.proposal_id)
            events.append(proposal_rows.end(connection, record, Status.STALE, reason=f"configuration moved {why}"))
    return tuple(superseded), tuple(made_stale), events


def _in_force(connection: Connection, strategy_id: str) -> list[ChangeRecord]:
    rows = connection.execute(
        select(config_change_log)
        .where(_COLUMNS.strategy_id == strategy_id, _COLUMNS.is_reverted.is_(False))
        .order_by(_COLUMNS.new_version)
    )
    return [ChangeRecord(**row._asdict()) for row in rows]


def _replayed(first: Mapping[str, JsonValue], in_force: list[ChangeRecord]) -> dict[str, JsonValue]:
    return replay(first, [KeyChange(path=other.target_component, level=other.new_value) for other in in_force])


def _changed_since(change: ChangeRecord, live: strategies.LiveConfig, later: list[ChangeRecord]) -> str:
    difference = three_way(change, live.config).text()
    if not later:
        return f"change {change.change_id} cannot be reverted, the key was changed since: {difference}"
    others = ", ".join(
        f"{other.change_id} ({other.target_component} {show(other.previous_value)} -> {show(other.new_value)})"
        for other in reversed(later)
    )
    return (
        f"change {change.change_id} cannot be reverted, the key was changed since: {difference}. "
        f"Revert first, in this order: {others}"
    )
