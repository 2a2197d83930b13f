"""THE evaluation service: what the schedule, the command line and the API call to make a policy.

One evaluation of a book runs at a time: the others wait, and take its result if it was begun after they asked. The
policy, all it was made from, and its version, which only rises, are one row, written in the transaction that read the
inputs. Publishing it elsewhere comes after, and cannot undo it (policy_publishing).
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Literal, TypeAlias, get_args

from sqlalchemy import Connection, Row, func, insert, select, text

from meta_pipeline.canonical import JsonValue, canonical_json
from meta_pipeline.errors import Conflict, InputError, NotFound, NotPermitted, Unhealthy
from meta_pipeline.policy.document import Issue, policy_document
from meta_pipeline.policy.evaluate import Evaluation, Halt, Rules, evaluate
from meta_pipeline.policy.modes import RiskMode
from meta_pipeline.policy.risk_mode import ModeState
from meta_pipeline.policy.signing import Signer
from meta_pipeline.proposals.identity import MACHINE_ACTOR, clean_name, clean_reason, is_machine
from meta_pipeline.proposals.roles import Power
from meta_pipeline.store import audit, people
from meta_pipeline.store.database import Database
from meta_pipeline.store.live_books import load_scope
from meta_pipeline.store.policy_inputs import Gathered, current_halt, gather
from meta_pipeline.store.schema_policy import msc_policies, policy_halts

Trigger: TypeAlias = Literal["schedule", "manual", "outcomes", "halt", "resume"]

_COLUMNS: Final = msc_policies.c
_EVALUATION_LOCK: Final = 0x6D736300  # "msc"
CLOCK_TOLERANCE: Final = timedelta(minutes=5)
SHOWN_RANKINGS: Final = 50


@dataclass(frozen=True, kw_only=True)
class PolicyRecord:
    """One policy as stored. `document` is the very text that was signed."""

    id: int
    scope: str
    epoch: str
    version: int
    risk_mode: RiskMode
    previous_mode: RiskMode | None
    max_risk_per_trade: float
    max_positions: int
    min_confidence: float
    max_daily_trades: int
    max_slippage: float
    allowed_strategies: tuple[str, ...]
    system_drawdown: float | None
    system_winrate: float | None
    profile: str
    trigger: str
    actor: str
    idempotency_key: str | None
    halted: bool
    document: str
    digest: str
    inputs: dict[str, Any]
    rankings: dict[str, Any]
    reasons: list[dict[str, str]]
    state: dict[str, Any]
    inputs_as_of: datetime | None
    duration_seconds: float
    created_at: datetime
    expires_at: datetime

    @property
    def mode_state(self) -> ModeState:
        """The state that the next evaluation goes on from."""
        return ModeState.from_json(self.state)

    @property
    def body(self) -> dict[str, Any]:
        """The document, parsed."""
        parsed: dict[str, Any] = json.loads(self.document)
        return parsed


@dataclass(frozen=True, kw_only=True)
class Controller:
    """How policies are made, whoever asks.

    Parameters
    ----------
    rules
        What decides.
    interval
        Time between scheduled evaluations; documents live twice as long.
    signer
        Signs the documents.
    clock
        Returns the time, UTC-aware.
    timer
        Returns seconds that only rise, to measure how long an evaluation takes.
    """

    rules: Rules
    interval: timedelta
    signer: Signer
    clock: Callable[[], datetime]
    timer: Callable[[], float]


@dataclass(frozen=True, kw_only=True)
class Request:
    """Who asks for an evaluation, why, and under which key: the same key again gives the same policy."""

    trigger: Trigger
    actor: str
    idempotency_key: str | None = None

    def __post_init__(self) -> None:
        if self.trigger not in get_args(Trigger):
            raise InputError(f"trigger {self.trigger!r} is not one of {list(get_args(Trigger))}")
        key = self.idempotency_key
        if key is not None and not (0 < len(key) <= 128 and key.isprintable()):
            raise InputError(f"the idempotency key is {key[:80]!a}; it must be 1 to 128 characters that can be seen")
        object.__setattr__(self, "actor", clean_name(self.actor))


def evaluate_policy(database: Database, scope: str, controller: Controller, request: Request) -> PolicyRecord:
    """Make and store a policy, or return the one that was made under the same key, or while this one waited.

    Raises
    ------
    NotFound
        If there is no such book.
    Unhealthy
        If the clock went back behind the last policy; nothing is written, and executors let the last one expire.
    """
    asked_at = controller.clock()
    with database.begin() as connection:
        load_scope(connection, scope)
        _lock(connection, scope)
        repeated = _repeated(connection, scope, request, asked_at)
        if repeated is not None:
            return repeated
        return _make(connection, scope, controller, request)


def halt(database: Database, scope: str, controller: Controller, *, actor: str, reason: str) -> PolicyRecord:
    """Stop all new trades of a book at once: one person may. Exits go on.

    Raises
    ------
    InputError
        If there is no reason.
    """
    return _set_halt(database, scope, controller, action="halt", actor=actor, reason=reason)


def resume(database: Database, scope: str, controller: Controller, *, actor: str, reason: str) -> PolicyRecord:
    """End a halt. The mode stays DEFENSIVE until the calm has lasted.

    Raises
    ------
    NotPermitted
        If a machine asks: what a person stopped a person starts; or somebody who may not lift a freeze.
    Conflict
        If the book is not halted.
    """
    if is_machine(actor):
        raise NotPermitted(f"{actor!r} is a name reserved for machines; a halt is ended by a person")
    return _set_halt(database, scope, controller, action="resume", actor=actor, reason=reason)


def latest_policy(connection: Connection, scope: str) -> PolicyRecord | None:
    """Return the newest policy of a book, by version, or None."""
    row = connection.execute(
        select(msc_policies).where(_COLUMNS.scope == scope).order_by(_COLUMNS.id.desc()).limit(1)
    ).one_or_none()
    return None if row is None else _record(row)


def get_policy(connection: Connection, scope: str, version: int) -> PolicyRecord:
    """Return one version of the present epoch.

    Raises
    ------
    NotFound
        If there is none.
    """
    epoch = load_scope(connection, scope).epoch
    row = connection.execute(
        select(msc_policies).where(_COLUMNS.scope == scope, _COLUMNS.epoch == epoch, _COLUMNS.version == version)
    ).one_or_none()
    if row is None:
        raise NotFound(f"the book {scope!r} has no policy of version {version}; see: meta-pipeline policy history")
    return _record(row)


def history(connection: Connection, scope: str, *, limit: int = 50, before_id: int | None = None) -> list[PolicyRecord]:
    """Return policies, the newest first."""
    statement = select(msc_policies).where(_COLUMNS.scope == scope).order_by(_COLUMNS.id.desc()).limit(limit)
    if before_id is not None:
        statement = statement.where(_COLUMNS.id < before_id)
    return [_record(row) for row in connection.execute(statement)]


def mode_changes(connection: Connection, scope: str, *, limit: int = 50) -> list[PolicyRecord]:
    """Return the policies that changed the mode, the newest first."""
    statement = (
        select(msc_policies)
        .where(_COLUMNS.scope == scope, _COLUMNS.previous_mode != _COLUMNS.risk_mode)
        .order_by(_COLUMNS.id.desc())
        .limit(limit)
    )
    return [_record(row) for row in connection.execute(statement)]


def _lock(connection: Connection, scope: str) -> None:
    # Waiting for another evaluation is no fault; should it hang, this one ends by the statement's own time limit.
    connection.execute(text("SELECT set_config('lock_timeout', '0', true)"))
    connection.execute(select(func.pg_advisory_xact_lock(_EVALUATION_LOCK, func.hashtext(scope))))


def _repeated(connection: Connection, scope: str, request: Request, asked_at: datetime) -> PolicyRecord | None:
    if request.idempotency_key is not None:
        row = connection.execute(
            select(msc_policies).where(_COLUMNS.scope == scope, _COLUMNS.idempotency_key == request.idempotency_key)
        ).one_or_none()
        if row is not None:
            return _record(row)
    last = latest_policy(connection, scope)
    # Begun after this one was asked for: it looked at everything that this one would.
    if last is not None and asked_at < last.created_at and request.trigger in {"schedule", "manual", "outcomes"}:
        return last
    return None


def _make(connection: Connection, scope: str, controller: Controller, request: Request) -> PolicyRecord:
    began, now = controller.timer(), controller.clock()
    last = latest_policy(connection, scope)
    if last is not None and now < last.created_at - CLOCK_TOLERANCE:
        raise Unhealthy(
            f"the clock says {now:%Y-%m-%d %H:%M:%S}, but the last policy was made at "
            f"{last.created_at:%Y-%m-%d %H:%M:%S}; mend the clock, until then executors let that policy expire"
        )
    state = None if last is None else last.mode_state
    last_equity = None if last is None else last.inputs.get("equity")
    age = controller.rules.max_age
    gathered = gather(connection, scope, now=now, state=state, last_equity=last_equity, max_age=age)
    made = evaluate(gathered.inputs, controller.rules)
    version = 1
    if last is not None and last.epoch == gathered.scope.epoch:
        version = last.version + 1
    issue = Issue(scope=scope, epoch=gathered.scope.epoch, version=version, issued_at=now, interval=controller.interval)
    document = policy_document(made, issue, controller.signer)
    row = {
        **_decided(made),
        "scope": scope,
        "epoch": issue.epoch,
        "version": version,
        "previous_mode": None if last is None else last.risk_mode,
        "trigger": request.trigger,
        "actor": request.actor,
        "idempotency_key": request.idempotency_key,
        "document": canonical_json(document),
        "digest": document["digest"],
        "inputs": _inputs(gathered, made),
        "rankings": _rankings(made),
        "duration_seconds": max(controller.timer() - began, 0.0),
        "created_at": now,
        "expires_at": issue.expires_at,
    }
    stored = _record(connection.execute(insert(msc_policies).values(**row).returning(msc_policies)).one())
    if stored.previous_mode not in (None, stored.risk_mode):
        _note_mode_change(connection, stored, now)
    return stored


def _decided(made: Evaluation) -> dict[str, Any]:
    health = made.health
    return {
        "risk_mode": str(made.mode),
        "max_risk_per_trade": made.limits.max_risk_per_trade,
        "max_positions": made.limits.max_positions,
        "min_confidence": made.limits.min_confidence,
        "max_daily_trades": made.limits.max_daily_trades,
        "max_slippage": made.limits.max_slippage,
        "allowed_strategies": canonical_json(list(made.strategies)),
        "system_drawdown": health.drawdown_pct,
        "system_winrate": health.winrate,
        "profile": str(made.profile),
        "halted": made.halt is not None,
        "reasons": [reason.to_json() for reason in made.reasons],
        "state": made.state.to_json(),
        "inputs_as_of": health.oldest_input(),
    }


def _inputs(gathered: Gathered, made: Evaluation) -> dict[str, JsonValue]:
    equity = gathered.equity
    return {
        "health": made.health.to_json(),
        "equity": equity if abs(equity) < 1e300 else None,
        "strategies": len(gathered.strategies),
        "closed_trades": int(made.table.total_trades.sum()),
        "expected_shortfall": made.expected_shortfall,
        "halt": _halt_json(made.halt),
    }


def _halt_json(in_force: Halt | None) -> JsonValue:
    if in_force is None:
        return None
    return {"by": in_force.by, "at": in_force.at.isoformat(), "reason": in_force.reason}


def _rankings(made: Evaluation) -> dict[str, JsonValue]:
    """Keep the best scores, and how many were left out for what; a thousand rows every half hour serve nobody."""
    import numpy as np

    scores = np.where(np.isfinite(made.scores), made.scores, -np.inf)
    best = np.argsort(-scores, kind="stable")[:SHOWN_RANKINGS].tolist()
    return {
        "left_out": made.not_chosen(),
        "best": [
            {
                "strategy_id": made.table.strategy_ids[index],
                "score": float(made.scores[index]) if np.isfinite(made.scores[index]) else None,
                "total_trades": int(made.table.total_trades[index]),
                "left_out": str(made.codes[index]) or None,
            }
            for index in best
        ],
    }


def _note_mode_change(connection: Connection, record: PolicyRecord, now: datetime) -> None:
    event = audit.Event(
        action="policy.mode",
        subject_type="policy",
        subject_id=f"{record.scope}/{record.version}"[:128],
        payload={
            "from": str(record.previous_mode),
            "to": str(record.risk_mode),
            "trigger": record.trigger,
            "by": record.actor,
            "digest": record.digest,
        },
    )
    audit.append(connection, event, actor=MACHINE_ACTOR, at=now)


def _set_halt(
    database: Database, scope: str, controller: Controller, *, action: Trigger, actor: str, reason: str
) -> PolicyRecord:
    why = clean_reason(reason, what=f"the {action} of {scope!r}")
    who = clean_name(actor)
    with database.begin() as connection:
        load_scope(connection, scope)
        _lock(connection, scope)
        now = controller.clock()
        if action == "resume":
            people.require(connection, who, Power.LIFT)  # anybody may stop; to go on is more risk
        if action == "resume" and current_halt(connection, scope) is None:
            raise Conflict(f"the book {scope!r} is not halted")
        values = {"scope": scope, "action": action, "actor": who, "reason": why, "at": now}
        connection.execute(insert(policy_halts).values(**values))
        event = audit.Event(
            action=f"policy.{action}", subject_type="live_scope", subject_id=scope, payload={"reason": why}
        )
        audit.append(connection, event, actor=who, at=now)
        if action == "resume":
            people.require_still(connection, who, Power.LIFT)
        return _make(connection, scope, controller, Request(trigger=action, actor=who))


def _record(row: Row[Any]) -> PolicyRecord:
    fields = row._asdict()
    previous = fields["previous_mode"]
    return PolicyRecord(
        **{
            **fields,
            "risk_mode": RiskMode(fields["risk_mode"]),
            "previous_mode": None if previous is None else RiskMode(previous),
            "allowed_strategies": tuple(json.loads(fields["allowed_strategies"])),
        }
    )
