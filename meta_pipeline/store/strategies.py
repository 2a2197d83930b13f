"""Strategies: their declared knobs, and their live configuration with all its versions."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from meta_pipeline.canonical import JsonValue, digest
from meta_pipeline.errors import Conflict, InputError, NotFound
from meta_pipeline.proposals.configs import level_at
from meta_pipeline.proposals.diff import show, touched_keys
from meta_pipeline.proposals.identity import clean_name
from meta_pipeline.proposals.knobs import Knob, RiskDirection
from meta_pipeline.proposals.parameters import RiskLimits
from meta_pipeline.proposals.roles import Power
from meta_pipeline.proposals.strategy import Strategy
from meta_pipeline.store import audit, people
from meta_pipeline.store.schema import config_versions, strategies, strategy_knobs

_BOUNDS = ("lower", "upper", "max_step")

__all__ = [
    "LiveConfig",
    "Strategy",
    "StrategyRecord",
    "declare",
    "list_strategies",
    "list_undeclared",
    "live_config",
    "load",
    "lock",
]


@dataclass(frozen=True, kw_only=True)
class LiveConfig:
    """The configuration a strategy runs with. `version` rises by one with every apply and every revert."""

    strategy_id: str
    version: int
    config: Mapping[str, JsonValue]
    digest: str
    action: str
    change_id: str | None
    created_by: str
    created_at: datetime


@dataclass(frozen=True, kw_only=True)
class StrategyRecord:
    """A strategy as stored. `strategy.live_config` is the live configuration, of version `live_version`."""

    strategy: Strategy
    live_version: int
    live_digest: str
    created_by: str
    created_at: datetime

    @property
    def knobs(self) -> dict[str, Knob]:
        """The declared knobs by path."""
        return {knob.path: knob for knob in self.strategy.knobs}


@dataclass(frozen=True, kw_only=True)
class Declared:
    """What a declaration did: made the strategy, changed these parts of it, or nothing."""

    strategy_id: str
    created: bool
    changed: tuple[str, ...]
    live_version: int


def declare(connection: Connection, strategy: Strategy, *, actor: str, now: datetime) -> Declared:
    """Declare a strategy, or declare it again.

    The same declaration again does nothing, also when the live configuration has moved since. Changed knobs,
    family or description replace the former ones, with an entry in the audit log.

    Raises
    ------
    InputError
        If the configuration of a new strategy breaks its own knobs.
    NotPermitted
        If there are operators, and the one who declares something new is none.
    Conflict
        If the strategy exists and the configuration is neither the one first declared nor the live one: the
        live configuration moves through proposals only.
    """
    connection.execute(
        upsert(strategies)
        .values(strategy_id=strategy.strategy_id, created_by=clean_name(actor), created_at=now)
        .on_conflict_do_nothing()
    )
    lock(connection, strategy.strategy_id)
    ever = select(config_versions.c.version).where(config_versions.c.strategy_id == strategy.strategy_id)
    if connection.execute(ever.limit(1)).first() is None:  # new, or known by its runs only
        return _create(connection, strategy, actor=actor, now=now)
    there = load(connection, strategy.strategy_id)
    _refuse_other_config(connection, there, strategy)
    return _redeclare(connection, there, strategy, actor=actor, now=now)


def load(connection: Connection, strategy_id: str) -> StrategyRecord:
    """Return a strategy with its knobs (in the order of their paths) and its live configuration.

    Raises
    ------
    NotFound
        If it is not there or not declared, naming the strategies that are.
    """
    row = connection.execute(select(strategies).where(strategies.c.strategy_id == strategy_id)).one_or_none()
    if row is None:
        raise _unknown(connection, strategy_id)
    live = live_config(connection, strategy_id)
    return StrategyRecord(
        strategy=Strategy(
            strategy_id=strategy_id,
            family=row.family,
            description=row.description,
            knobs=_knobs(connection, strategy_id),
            live_config=live.config,
            risk_limits=RiskLimits() if row.risk_limits is None else RiskLimits.from_json(row.risk_limits),
        ),
        live_version=live.version,
        live_digest=live.digest,
        created_by=row.created_by,
        created_at=row.created_at,
    )


def live_config(connection: Connection, strategy_id: str) -> LiveConfig:
    """Return a strategy's live configuration.

    Raises
    ------
    NotFound
        If there is no such strategy, or it has no live configuration.
    """
    row = connection.execute(
        select(config_versions)
        .join(
            strategies,
            (strategies.c.strategy_id == config_versions.c.strategy_id)
            & (strategies.c.live_version == config_versions.c.version),
        )
        .where(strategies.c.strategy_id == strategy_id)
    ).one_or_none()
    if row is None:
        raise _unknown(connection, strategy_id)
    return _live_of(row)


def versions(connection: Connection, strategy_id: str, *, after: int = 0) -> list[LiveConfig]:
    """Return every configuration the strategy ever had, oldest first; only those above version `after`."""
    rows = connection.execute(
        select(config_versions)
        .where(config_versions.c.strategy_id == strategy_id, config_versions.c.version > after)
        .order_by(config_versions.c.version)
    )
    return [_live_of(row) for row in rows]


def list_strategies(connection: Connection) -> list[StrategyRecord]:
    """Return all declared strategies, by id; those that runs were only ingested for are not among them."""
    return [load(connection, strategy_id) for strategy_id in _ids(connection, declared=True)]


def list_undeclared(connection: Connection) -> list[str]:
    """Return the strategies that are known by their runs only: nothing can be proposed for them."""
    return _ids(connection, declared=False)


def lock(connection: Connection, strategy_id: str) -> None:
    """Lock a strategy until the transaction ends: the first lock of everything that moves its proposals.

    Rows that merely refer to the strategy can still be written by others.

    Raises
    ------
    NotFound
        If there is no such strategy.
    """
    statement = select(strategies.c.strategy_id).where(strategies.c.strategy_id == strategy_id)
    if connection.execute(statement.with_for_update(key_share=True)).one_or_none() is None:
        raise _unknown(connection, strategy_id)


def add_version(
    connection: Connection,
    strategy_id: str,
    config: Mapping[str, JsonValue],
    *,
    base_version: int,
    action: str,
    change_id: str,
    actor: str,
    now: datetime,
) -> int:
    """Make a new configuration the live one, if `base_version` still is; return its version.

    Raises
    ------
    Conflict
        If another version is live.
    """
    version = base_version + 1
    connection.execute(
        insert(config_versions).values(
            strategy_id=strategy_id,
            version=version,
            config_json=dict(config),
            config_digest=digest(dict(config)),
            action=action,
            change_id=change_id,
            created_by=clean_name(actor),
            created_at=now,
        )
    )
    moved = connection.execute(
        update(strategies)
        .where(strategies.c.strategy_id == strategy_id, strategies.c.live_version == base_version)
        .values(live_version=version)
    )
    if moved.rowcount != 1:
        raise Conflict(f"version {base_version} of {strategy_id} is not live any more; look at it and try again")
    return version


def _create(connection: Connection, strategy: Strategy, *, actor: str, now: datetime) -> Declared:
    people.require(connection, actor, Power.MANAGE)
    objections = [
        objection
        for knob in strategy.knobs
        if (objection := knob.objection(level_at(strategy.live_config, knob.path))) is not None
    ]
    if objections:
        raise InputError(
            f"the live configuration of {strategy.strategy_id} breaks its own knobs: {'; '.join(objections)}"
        )
    config = dict(strategy.live_config)
    connection.execute(
        insert(config_versions).values(
            strategy_id=strategy.strategy_id,
            version=1,
            config_json=config,
            config_digest=digest(config),
            action="declare",
            created_by=clean_name(actor),
            created_at=now,
        )
    )
    connection.execute(
        update(strategies)
        .where(strategies.c.strategy_id == strategy.strategy_id)
        .values(live_version=1, **_described(strategy))
    )
    _write_knobs(connection, strategy)
    event = audit.Event(
        action="strategy.declare",
        subject_type="strategy",
        subject_id=strategy.strategy_id,
        payload={
            "live_config": config,
            "knobs": [knob.to_json() for knob in strategy.knobs],
            **_described(strategy),
        },
    )
    audit.append(connection, event, actor=actor, at=now)
    people.require_still(connection, actor, Power.MANAGE)
    return Declared(strategy_id=strategy.strategy_id, created=True, changed=(), live_version=1)


def _redeclare(
    connection: Connection, there: StrategyRecord, strategy: Strategy, *, actor: str, now: datetime
) -> Declared:
    before, after = _declaration(there.strategy), _declaration(strategy)
    changed: dict[str, JsonValue] = {
        name: {"before": before.get(name), "after": after.get(name)}
        for name in sorted({*before, *after})
        if digest(before.get(name)) != digest(after.get(name))
    }
    if changed:
        # Bounds and directions of risk are what every other rule rests on.
        people.require(connection, actor, Power.MANAGE)
        connection.execute(
            update(strategies).where(strategies.c.strategy_id == strategy.strategy_id).values(**_described(strategy))
        )
        connection.execute(delete(strategy_knobs).where(strategy_knobs.c.strategy_id == strategy.strategy_id))
        _write_knobs(connection, strategy)
        event = audit.Event(
            action="strategy.redeclare", subject_type="strategy", subject_id=strategy.strategy_id, payload=changed
        )
        audit.append(connection, event, actor=actor, at=now)
        people.require_still(connection, actor, Power.MANAGE)
    return Declared(
        strategy_id=strategy.strategy_id,
        created=False,
        changed=tuple(changed),
        live_version=there.live_version,
    )


def _described(strategy: Strategy) -> dict[str, JsonValue]:
    limits = RiskLimits.from_json(strategy.risk_limits.to_json())  # numbers as they read back: 1 as 1.0
    return {"family": strategy.family, "description": strategy.description, "risk_limits": limits.to_json()}


def _declaration(strategy: Strategy) -> dict[str, JsonValue]:
    declared = _described(strategy)
    for knob in strategy.knobs:
        # Stored numbers are doubles, so that a bound declared as 1 reads back as 1.0.
        numbers = {name: None if (n := getattr(knob, name)) is None else float(n) for name in _BOUNDS}
        declared[f"knob {knob.path}"] = {**knob.to_json(), **numbers}
    return declared


def _refuse_other_config(connection: Connection, there: StrategyRecord, strategy: Strategy) -> None:
    declared = digest(dict(strategy.live_config))
    first = select(config_versions.c.config_digest).where(
        config_versions.c.strategy_id == strategy.strategy_id, config_versions.c.version == 1
    )
    if declared in {there.live_digest, connection.execute(first).scalar_one()}:
        return
    touched = touched_keys(there.strategy.live_config, strategy.live_config, knobs=there.knobs)
    differences = ", ".join(f"{key.path}: {show(key.before)} is live, {show(key.after)} declared" for key in touched)
    raise Conflict(
        f"{strategy.strategy_id} is declared with another configuration than is live (version {there.live_version}): "
        f"{differences}. The live configuration moves through proposals only: meta-pipeline proposals create"
    )


def _write_knobs(connection: Connection, strategy: Strategy) -> None:
    for knob in strategy.knobs:
        values: dict[str, Any] = {
            "strategy_id": strategy.strategy_id,
            "path": knob.path,
            "knob_type": knob.knob_type,
            "lower_bound": knob.lower,
            "upper_bound": knob.upper,
            "max_step": knob.max_step,
            "risk_direction": str(knob.risk_direction),
            "changeable": knob.changeable,
            "optional": knob.optional,
        }
        if knob.choices is not None:
            values["choices"] = list(knob.choices)
        connection.execute(insert(strategy_knobs).values(values))


def _knobs(connection: Connection, strategy_id: str) -> tuple[Knob, ...]:
    own = select(strategy_knobs).where(strategy_knobs.c.strategy_id == strategy_id).order_by(strategy_knobs.c.path)
    return tuple(
        Knob(
            path=row.path,
            knob_type=row.knob_type,
            lower=row.lower_bound,
            upper=row.upper_bound,
            max_step=row.max_step,
            choices=None if row.choices is None else tuple(row.choices),
            risk_direction=RiskDirection(row.risk_direction),
            changeable=row.changeable,
            optional=row.optional,
        )
        for row in connection.execute(own)
    )


def _live_of(row: Row[Any]) -> LiveConfig:
    return LiveConfig(
        strategy_id=row.strategy_id,
        version=row.version,
        config=row.config_json,
        digest=row.config_digest,
        action=row.action,
        change_id=row.change_id,
        created_by=row.created_by,
        created_at=row.created_at,
    )


def _ids(connection: Connection, *, declared: bool) -> list[str]:
    version = strategies.c.live_version
    statement = select(strategies.c.strategy_id).order_by(strategies.c.strategy_id)
    return list(connection.execute(statement.where(version.is_not(None) if declared else version.is_(None))).scalars())


def _unknown(connection: Connection, strategy_id: str) -> NotFound:
    if strategy_id in _ids(connection, declared=False):
        return NotFound(
            f"strategy {strategy_id!r} has runs, but was never declared; declare its knobs and its live configuration "
            "with: meta-pipeline strategies declare FILE"
        )
    known = _ids(connection, declared=True)
    names = ", ".join(known[:20]) or "none yet; declare one with: meta-pipeline strategies declare FILE"
    return NotFound(f"there is no strategy {strategy_id!r}; there are: {names}")
