"""The inventory: every strategy with who answers for it, what may be changed within which limits, what last was."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, func, select

from meta_pipeline.canonical import JsonValue, Level
from meta_pipeline.proposals.candidate import level_to_json
from meta_pipeline.proposals.configs import level_at
from meta_pipeline.proposals.knobs import Knob
from meta_pipeline.settings import Settings
from meta_pipeline.store import approvers, changes, limits, strategies, tiers
from meta_pipeline.store.changes import ChangeRecord
from meta_pipeline.store.schema import diagnostics_reports


@dataclass(frozen=True, kw_only=True)
class InventoryLine:
    """One strategy.

    Parameters
    ----------
    owner
        Who was named; else who declared it.
    live
        The value of each knob now; ABSENT: it is not there.
    tiers
        Who may let each knob move.
    max_changes, window_hours
        Its budget of changes: its own, or that of the settings.
    last_change
        The newest one, reverted or not.
    last_validated_at
        When its evidence was last looked at as a whole.
    """

    strategy_id: str
    family: str
    owner: str
    approvers: tuple[str, ...]
    live_version: int
    live_digest: str
    knobs: tuple[Knob, ...]
    live: Mapping[str, Level]
    tiers: Mapping[str, str]
    max_changes: int
    window_hours: float
    last_change: ChangeRecord | None
    last_validated_at: datetime | None

    def to_json(self) -> dict[str, JsonValue]:
        """Return the line as a JSON object."""
        last = self.last_change
        return {
            "strategy_id": self.strategy_id,
            "family": self.family,
            "owner": self.owner,
            "approvers": list(self.approvers),
            "live_version": self.live_version,
            "live_digest": self.live_digest,
            "knobs": [
                {**knob.to_json(), "live": level_to_json(self.live[knob.path]), "tier": self.tiers[knob.path]}
                for knob in self.knobs
            ],
            "max_changes": self.max_changes,
            "window_hours": self.window_hours,
            "last_change_id": None if last is None else last.change_id,
            "last_change_of": None if last is None else last.target_component,
            "last_change_by": None if last is None else last.applied_by,
            "last_change_at": None if last is None else last.applied_at.isoformat(),
            "last_change_reverted": None if last is None else last.is_reverted,
            "last_change_verdict": None if last is None else last.outcome_verdict,
            "last_validated_at": None if self.last_validated_at is None else self.last_validated_at.isoformat(),
        }


def inventory(connection: Connection, settings: Settings) -> list[InventoryLine]:
    """Return a line per declared strategy, by id."""
    names = tuple(one.display_name for one in approvers.list_approvers(connection))
    seen = diagnostics_reports.c
    validated = {
        row.strategy_id: row.at
        for row in connection.execute(
            select(seen.strategy_id, func.max(seen.seen_at).label("at")).group_by(seen.strategy_id)
        )
    }
    lines = []
    for record in strategies.list_strategies(connection):
        strategy_id = record.strategy.strategy_id
        own = limits.get(connection, strategy_id)
        paths = [knob.path for knob in record.strategy.knobs]
        newest = changes.list_changes(connection, strategy_id=strategy_id, limit=1)
        lines.append(
            InventoryLine(
                strategy_id=strategy_id,
                family=record.strategy.family,
                owner=own.owner or record.created_by,
                approvers=names,
                live_version=record.live_version,
                live_digest=record.live_digest,
                knobs=record.strategy.knobs,
                live={path: level_at(record.strategy.live_config, path) for path in paths},
                tiers=tiers.tiers_of(connection, strategy_id, paths),
                max_changes=settings.max_changes if own.max_changes is None else own.max_changes,
                window_hours=settings.change_window_hours if own.window_hours is None else own.window_hours,
                last_change=newest[0] if newest else None,
                last_validated_at=validated.get(strategy_id),
            )
        )
    return lines
