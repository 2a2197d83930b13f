"""Who may let a knob move: blocked, human, four eyes or automatic, per knob or for a whole strategy."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from sqlalchemy import Connection, select
from sqlalchemy.dialects.postgresql import insert as upsert

from meta_pipeline.errors import InputError, NotFound
from meta_pipeline.proposals.automatic import objection_to_automation
from meta_pipeline.proposals.identity import clean_name
from meta_pipeline.proposals.roles import Power
from meta_pipeline.store import audit, people, strategies
from meta_pipeline.store.schema_outcomes import automation_tiers

EVERY_KNOB: Final = "*"
_COLUMNS: Final = automation_tiers.c


class Tier(StrEnum):
    """Who may let a knob move. What is not set is human."""

    BLOCKED = "blocked"
    HUMAN = "human"
    FOUR_EYES = "four_eyes"
    AUTOMATIC = "automatic"


@dataclass(frozen=True, kw_only=True)
class TierRow:
    """One tier as it is set. path "*": every knob of the strategy that has none of its own."""

    strategy_id: str
    path: str
    tier: str
    set_by: str
    set_at: datetime


def tier_of(connection: Connection, strategy_id: str, path: str) -> str:
    """Return the tier of a knob: its own, or that of the strategy, or human."""
    rows = connection.execute(
        select(_COLUMNS.path, _COLUMNS.tier).where(
            _COLUMNS.strategy_id == strategy_id, _COLUMNS.path.in_([path, EVERY_KNOB])
        )
    )
    return _tier({row.path: row.tier for row in rows}, path)


def tiers_of(connection: Connection, strategy_id: str, paths: Iterable[str]) -> dict[str, str]:
    """Return the tiers of several knobs of a strategy, as `tier_of`."""
    rows = connection.execute(select(_COLUMNS.path, _COLUMNS.tier).where(_COLUMNS.strategy_id == strategy_id))
    found: dict[str, str] = {row.path: row.tier for row in rows}
    return {path: _tier(found, path) for path in paths}


def _tier(found: Mapping[str, str], path: str) -> str:
    # The strategy's block holds for every knob, whatever is said of one.
    if found.get(EVERY_KNOB) == Tier.BLOCKED:
        return str(Tier.BLOCKED)
    return found.get(path) or found.get(EVERY_KNOB) or str(Tier.HUMAN)


def list_tiers(connection: Connection) -> list[TierRow]:
    """Return all tiers that are set, by strategy and knob."""
    rows = connection.execute(select(automation_tiers).order_by(_COLUMNS.strategy_id, _COLUMNS.path))
    return [TierRow(**row._asdict()) for row in rows]


def set_tier(connection: Connection, strategy_id: str, path: str, tier: str, *, actor: str, now: datetime) -> TierRow:
    """Set who may let a knob move, with an entry in the audit log.

    Raises
    ------
    InputError
        If there is no such tier or knob, or a knob shall be automatic that declares no bounds, step or direction of
        risk: the machine moves only what is fenced in. A whole strategy is never automatic.
    NotPermitted
        If the actor is a machine, or may not manage.
    """
    if tier not in set(Tier):
        raise InputError(f"there is no tier {tier!r}; there are: {', '.join(Tier)}")
    people.require_manager(connection, actor, about=None)
    strategies.lock(connection, strategy_id)
    knobs = strategies.load(connection, strategy_id).knobs
    if path != EVERY_KNOB and path not in knobs:
        raise NotFound(f"{path!r} is no declared knob of {strategy_id}; there are: {', '.join(sorted(knobs))}")
    if tier == Tier.AUTOMATIC:
        if path == EVERY_KNOB:
            raise InputError("a whole strategy cannot be automatic; name the knobs one by one")
        fenced = objection_to_automation(knobs[path])
        if fenced is not None:
            raise InputError(fenced)
    before = tier_of(connection, strategy_id, path)
    who = clean_name(actor)
    written = {"tier": tier, "set_by": who, "set_at": now}
    connection.execute(
        upsert(automation_tiers)
        .values(strategy_id=strategy_id, path=path, **written)
        .on_conflict_do_update(index_elements=["strategy_id", "path"], set_=written)
    )
    event = audit.Event(
        action="automation.tier",
        subject_type="strategy",
        subject_id=strategy_id,
        payload={"path": path, "from": before, "to": tier},
    )
    audit.append(connection, event, actor=who, at=now)
    people.require_still(connection, who, Power.MANAGE)
    return TierRow(strategy_id=strategy_id, path=path, tier=tier, set_by=who, set_at=now)
