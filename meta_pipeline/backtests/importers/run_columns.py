"""The columns of a runs table: fields of a run, knobs, and metrics."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from meta_pipeline.backtests.importers import values
from meta_pipeline.backtests.importers.tables import ColumnMap, TableRow
from meta_pipeline.backtests.reported import ALIASES

RUN_FIELDS: Final[Mapping[str, tuple[str, ...]]] = {
    "run_id": ("run", "id", "backtest_id"),
    "config": ("config_json", "params", "parameters"),
    "metrics": ("metrics_json",),
    "start_date": ("start",),
    "end_date": ("end",),
    "market_id": ("market", "symbol"),
    "universe_id": ("universe",),
    "sector": (),
    "code_version": ("version", "commit"),
    "periods_per_year": ("ppy",),
    "config_version": (),
    "strategy_id": ("strategy",),
    "campaign_id": ("campaign",),
}
"""Field of a run -> other names its column goes by."""

CONFIG_PREFIX: Final = "config."
METRICS_PREFIX: Final = "metrics."

_METRIC_NAMES: Final = frozenset(alias for name, aliases in ALIASES.items() for alias in (name, *aliases))


class RunColumns(ColumnMap):
    """The columns of a runs table.

    Parameters
    ----------
    path, names
        The table and its columns.
    """

    def __init__(self, path: Path, names: Sequence[str]) -> None:
        super().__init__(path, names, RUN_FIELDS)
        self._knobs = {n.removeprefix(CONFIG_PREFIX): n for n in self.others if n.startswith(CONFIG_PREFIX)}
        self._metrics = {n.removeprefix(METRICS_PREFIX): n for n in self.others if n.startswith(METRICS_PREFIX)}
        self._metrics |= {n.strip().lower(): n for n in self.others if n.strip().lower() in _METRIC_NAMES}
        understood = {*self._knobs.values(), *self._metrics.values()}
        self.unknown = [name for name in self.others if name not in understood]

    @property
    def understands_nothing(self) -> bool:
        """Whether there are columns, and none of them is a field, a knob or a metric."""
        return bool(self.unknown) and not self.fields and len(self.unknown) == len(self.others)

    @property
    def has_knobs(self) -> bool:
        """Whether there are `config.*` columns."""
        return bool(self._knobs)

    def knobs(self, row: TableRow, defects: list[str]) -> dict[str, Any]:
        """Return the configuration of the `config.*` columns: `config.risk.target` is the member `target` of `risk`.

        An empty cell is a knob that is absent.
        """
        config: dict[str, Any] = {}
        for path, column in self._knobs.items():
            value = row.values.get(column)
            if value is None:
                continue
            *parents, name = path.split(".")
            inner: Any = config
            for parent in parents:
                inner = inner.setdefault(parent, {}) if isinstance(inner, dict) else None
            if isinstance(inner, dict) and name not in inner:
                inner[name] = values.to_level(value)
            else:
                defects.append(f"{row.place}: column {column} contradicts another config column")
        return config

    def metrics(self, row: TableRow, defects: list[str]) -> Any:
        """Return what is reported: the metrics column, and columns of single metrics beside it."""
        document = self.read(row, "metrics", values.to_json, defects)
        single = {name: row.values[c] for name, c in self._metrics.items() if row.values.get(c) is not None}
        if document is None or isinstance(document, Mapping):
            return {**(document or {}), **single}
        return document
