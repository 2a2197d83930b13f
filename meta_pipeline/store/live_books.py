"""The live books: their scopes, capital, declared strategies, and prices.

Belongs here: what is set up once or comes in beside the fills. Does not belong here: the fills themselves
(live_trades), and what is made of them (policy_inputs).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert

from meta_pipeline.errors import Conflict, InputError, NotFound
from meta_pipeline.policy.modes import Regime
from meta_pipeline.policy.prices import Price
from meta_pipeline.proposals.identity import check_text, clean_name, clean_reason, is_machine
from meta_pipeline.store import audit
from meta_pipeline.store.queries import query
from meta_pipeline.store.schema_policy import live_capital, live_scopes, live_strategies

LIVE: Final = "live"
"""The scope that is meant where none is named."""

DECLARABLE: Final = ("LIVE", "PAUSED")


@dataclass(frozen=True, kw_only=True)
class Scope:
    """One book. `epoch` names its sequence of policy versions; `replay_days` is None for real trading."""

    scope: str
    epoch: str
    replay_days: int | None
    fills_seen_at: datetime | None
    created_by: str
    created_at: datetime


@dataclass(frozen=True, kw_only=True)
class LiveStrategy:
    """A strategy of a book. UNDECLARED: it traded, but nobody said it may; it is never allowed."""

    strategy_no: int
    scope: str
    strategy_id: str
    name: str
    status: str
    regime_tags: tuple[str, ...]
    admitted_until: datetime | None
    admitted_by: str | None
    admission_reason: str | None
    created_at: datetime


def open_scope(
    connection: Connection, scope: str, *, actor: str, now: datetime, replay_days: int | None = None
) -> Scope:
    """Make a book if it is not there, and return it.

    Raises
    ------
    InputError
        If the name cannot be one.
    """
    _check_name(scope, what="the scope")
    connection.execute(
        upsert(live_scopes)
        .values(scope=scope, replay_days=replay_days, created_by=clean_name(actor), created_at=now)
        .on_conflict_do_nothing()
    )
    return load_scope(connection, scope)


def load_scope(connection: Connection, scope: str) -> Scope:
    """Return a book.

    Raises
    ------
    NotFound
        Naming the books that there are.
    """
    row = connection.execute(select(live_scopes).where(live_scopes.c.scope == _askable(scope))).one_or_none()
    if row is None:
        known = ", ".join(connection.execute(select(live_scopes.c.scope).order_by(live_scopes.c.scope)).scalars())
        raise NotFound(
            f"there is no live book {scope!r}; there are: {known or 'none'}. The first fill or deposit makes one: "
            "meta-pipeline live capital AMOUNT"
        )
    return Scope(**row._asdict())


def list_scopes(connection: Connection) -> list[Scope]:
    """Return all books by name."""
    return [Scope(**row._asdict()) for row in connection.execute(select(live_scopes).order_by(live_scopes.c.scope))]


def declare_strategy(
    connection: Connection,
    scope: str,
    strategy_id: str,
    *,
    actor: str,
    now: datetime,
    name: str = "",
    status: str = "LIVE",
    regime_tags: Sequence[str] = (),
) -> LiveStrategy:
    """Say that a strategy trades in a book, under which name, and for which regimes it is made (none: for all).

    Raises
    ------
    InputError
        If the id, the status or a regime is none.
    """
    _check_name(strategy_id, what="the strategy")
    check_text(name, what="the name", longest=128)
    if status not in DECLARABLE:
        raise InputError(f"status {status!r} is not one of {', '.join(DECLARABLE)}")
    unknown = [tag for tag in regime_tags if tag not in set(Regime)]
    if unknown:
        raise InputError(f"regime {unknown[0]!r} is not one of {', '.join(Regime)}")
    open_scope(connection, scope, actor=actor, now=now)
    values = {"name": name, "status": status, "regime_tags": sorted(set(regime_tags))}
    connection.execute(
        upsert(live_strategies)
        .values(scope=scope, strategy_id=strategy_id, created_at=now, **values)
        .on_conflict_do_update(index_elements=["scope", "strategy_id"], set_=values)
    )
    event = audit.Event(
        action="live.declare",
        subject_type="live_strategy",
        subject_id=f"{scope}/{strategy_id}"[:128],
        payload={
            "scope": scope,
            "strategy_id": strategy_id,
            "name": name,
            "status": status,
            "regime_tags": sorted(set(regime_tags)),
        },
    )
    audit.append(connection, event, actor=actor, at=now)
    return load_strategy(connection, scope, strategy_id)


def admit_strategy(
    connection: Connection, scope: str, strategy_id: str, *, until: datetime, reason: str, actor: str, now: datetime
) -> LiveStrategy:
    """Let a strategy in that has no record yet, until a day, so that it can earn one. A person answers for it.

    Raises
    ------
    InputError
        If the time is past, there is no reason, or the actor is a machine.
    NotFound
        If the strategy is not declared.
    """
    if is_machine(actor):
        raise InputError(f"{actor!r} is a name reserved for machines; a person admits a strategy")
    if until <= now:
        raise InputError(f"the admission would end on {until}, which is past")
    why = clean_reason(reason, what=f"the admission of {strategy_id!r}")
    there = load_strategy(connection, scope, strategy_id)
    connection.execute(
        update(live_strategies)
        .where(live_strategies.c.strategy_no == there.strategy_no)
        .values(admitted_until=until, admitted_by=clean_name(actor), admission_reason=why)
    )
    event = audit.Event(
        action="live.admit",
        subject_type="live_strategy",
        subject_id=f"{scope}/{strategy_id}"[:128],
        payload={"scope": scope, "strategy_id": strategy_id, "until": until.isoformat(), "reason": why},
    )
    audit.append(connection, event, actor=actor, at=now)
    return load_strategy(connection, scope, strategy_id)


def load_strategy(connection: Connection, scope: str, strategy_id: str) -> LiveStrategy:
    """Return one strategy of a book.

    Raises
    ------
    NotFound
        If it is not there.
    """
    found = [one for one in list_strategies(connection, scope) if one.strategy_id == strategy_id]
    if not found:
        raise NotFound(
            f"strategy {strategy_id!r} is not in the book {scope!r}; declare it: meta-pipeline live declare STRATEGY"
        )
    return found[0]


def list_strategies(connection: Connection, scope: str) -> list[LiveStrategy]:
    """Return the strategies of a book, in the order they came."""
    rows = connection.execute(
        select(live_strategies).where(live_strategies.c.scope == scope).order_by(live_strategies.c.strategy_no)
    )
    return [LiveStrategy(**{**row._asdict(), "regime_tags": tuple(row.regime_tags)}) for row in rows]


def record_capital(
    connection: Connection,
    scope: str,
    amount: float,
    *,
    flow_id: str,
    effective_at: datetime,
    reason: str,
    actor: str,
    now: datetime,
) -> bool:
    """Record a deposit (positive) or a withdrawal; return whether it was new. The same id twice is one flow.

    Raises
    ------
    InputError
        If the amount is zero or no number.
    Conflict
        If the id belongs to another flow.
    """
    if not (amount != 0 and abs(amount) <= 1e15):
        raise InputError(f"the amount is {amount}; it must be a number other than zero")
    _check_name(flow_id, what="the id of the flow", longest=128)
    check_text(reason, what="the reason", longest=4000)
    open_scope(connection, scope, actor=actor, now=now)
    values = {"amount": float(amount), "effective_at": effective_at, "reason": reason}
    new = connection.execute(
        upsert(live_capital)
        .values(scope=scope, flow_id=flow_id, recorded_by=clean_name(actor), recorded_at=now, **values)
        .on_conflict_do_nothing()
        .returning(live_capital.c.flow_id)
    ).one_or_none()
    if new is not None:
        event = audit.Event(
            action="live.capital",
            subject_type="live_scope",
            subject_id=scope,
            payload={"amount": float(amount), "effective_at": effective_at.isoformat(), "reason": reason},
        )
        audit.append(connection, event, actor=actor, at=now)
        return True
    there = connection.execute(
        select(live_capital).where(live_capital.c.scope == scope, live_capital.c.flow_id == flow_id)
    ).one()
    if (there.amount, there.effective_at) != (float(amount), effective_at):
        raise Conflict(f"flow {flow_id!r} is on record as {there.amount:g} on {there.effective_at}; use another id")
    return False


def record_prices(connection: Connection, scope: str, prices: Sequence[Price], *, actor: str, now: datetime) -> int:
    """Write prices; of each UTC day the latest stands. Return how many days were written or moved on.

    Raises
    ------
    InputError
        If a price cannot be used; nothing is written.
    """
    wrong = next((said for price in prices if (said := price.objection(now)) is not None), None)
    if wrong is not None:
        raise InputError(wrong)
    open_scope(connection, scope, actor=actor, now=now)
    latest: dict[tuple[str, object], Price] = {}
    for price in sorted(prices, key=lambda one: one.at):
        latest[price.symbol, price.day] = price
    if not latest:
        return 0
    rows = list(latest.values())
    return connection.execute(
        query("add_live_prices"),
        {
            "scope": scope,
            "symbol": [price.symbol for price in rows],
            "day": [price.day for price in rows],
            "close": [float(price.close) for price in rows],
            "volume": [None if price.volume is None else float(price.volume) for price in rows],
            "as_of": [price.at for price in rows],
        },
    ).rowcount


def register_undeclared(connection: Connection, scope: str, strategy_ids: Sequence[str], *, now: datetime) -> None:
    """Note strategies that trade without having been declared."""
    rows = [
        {"scope": scope, "strategy_id": strategy_id, "status": "UNDECLARED", "created_at": now}
        for strategy_id in sorted(set(strategy_ids))
    ]
    if rows:
        connection.execute(upsert(live_strategies).on_conflict_do_nothing(), rows)


def new_epoch(connection: Connection, scope: str, *, reason: str, actor: str, now: datetime) -> Scope:
    """Begin a new sequence of policy versions, as after a backup was restored. Executors must be told.

    Raises
    ------
    InputError
        If there is no reason, or the actor is a machine.
    """
    if is_machine(actor):
        raise InputError(f"{actor!r} is a name reserved for machines; a person begins a new epoch")
    why = clean_reason(reason, what="the new epoch")
    load_scope(connection, scope)
    statement = update(live_scopes).where(live_scopes.c.scope == scope)
    connection.execute(statement.values(epoch=text("replace(gen_random_uuid()::text, '-', '')")))
    made = load_scope(connection, scope)
    event = audit.Event(
        action="policy.new_epoch",
        subject_type="live_scope",
        subject_id=scope,
        payload={"epoch": made.epoch, "reason": why},
    )
    audit.append(connection, event, actor=actor, at=now)
    return made


def _check_name(text: str, *, what: str, longest: int = 64) -> None:
    if not text or len(text) > longest or not text.isprintable() or text != text.strip():
        raise InputError(f"{what} is {text[:80]!a}; it must be 1 to {longest} characters that can be seen")


def _askable(text: str) -> str:
    return text if text.isprintable() else ""
