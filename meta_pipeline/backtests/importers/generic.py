"""The generic importer: a runs table and a returns table, parquet or CSV; see docs/backtests.md for the columns."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from meta_pipeline.backtests.defect import shown
from meta_pipeline.backtests.importers import values
from meta_pipeline.backtests.importers.companions import read_configs, read_regimes, read_trades
from meta_pipeline.backtests.importers.importer import Delivery, ImportedCampaign
from meta_pipeline.backtests.importers.long_returns import read_long
from meta_pipeline.backtests.importers.returns import Returns, shape_of
from meta_pipeline.backtests.importers.run_columns import RunColumns
from meta_pipeline.backtests.importers.tables import (
    SUFFIXES,
    TableRow,
    column_names,
    find_table,
    table_rows,
)
from meta_pipeline.backtests.importers.wide_returns import read_wide
from meta_pipeline.backtests.run import BacktestRun, Trade
from meta_pipeline.errors import InputError


class GenericImporter:
    """Reads a folder (runs, returns, configs.json, trades, regimes), or a runs table with its companions beside it.

    Companions of `spring-runs.csv` are `spring-returns.*`, `spring-configs.json` and so on; those of `runs.csv`
    are without prefix.
    """

    def recognises(self, path: Path) -> bool:
        """Say whether there is a runs table, or a configs.json."""
        if path.is_dir():
            return (path / "configs.json").is_file() or find_table(path, "runs") is not None
        return path.suffix in SUFFIXES or path.name.endswith("configs.json")

    def read(self, path: Path, delivery: Delivery) -> ImportedCampaign:
        """Read a campaign; see the base class."""
        files = _Files(path)
        runs = _Listed(files)
        warnings = [
            f"{runs.name}: column {shown(name)} is not understood and was ignored" for name in runs.columns.unknown
        ]
        returns = _read_returns(files.returns, runs.markets)
        orphans = [run_id for run_id in returns.run_ids() if run_id not in runs.markets]
        trades = read_trades(files.trades, known={*runs.markets, *orphans}, warnings=warnings)
        reader = _Reader(delivery, files, runs, returns, trades)
        return ImportedCampaign(
            n_runs=runs.n_rows + len(orphans),
            runs=reader.runs(orphans),
            regimes=read_regimes(files.regimes, warnings=warnings),
            warnings=warnings,
        )


class _Files:
    """The files of a campaign; those that are not there are None."""

    def __init__(self, path: Path) -> None:
        folder, prefix = path, ""
        if not path.is_dir():
            folder = path.parent
            prefix = next(
                (path.stem.removesuffix(n) for n in ("runs", "configs") if path.stem.endswith(n)), f"{path.stem}-"
            )
        configs = folder / f"{prefix}configs.json"
        self.configs = configs if configs.is_file() else None
        self.runs = path if path.is_file() and path.suffix in SUFFIXES else find_table(folder, f"{prefix}runs")
        self.returns = find_table(folder, f"{prefix}returns")
        self.trades = find_table(folder, f"{prefix}trades")
        self.regimes = find_table(folder, f"{prefix}regimes")
        if self.runs is None and self.configs is None:
            raise InputError(f"{path} holds neither a runs table (runs.parquet or runs.csv) nor a configs.json")


class _Listed:
    """The runs that are listed: in the runs table, passed once to know it and once to read it, or in configs.json."""

    def __init__(self, files: _Files) -> None:
        self._table = files.runs
        self.configs = read_configs(files.configs)
        self.name = next(path.name for path in (files.runs, files.configs) if path is not None)
        self.columns = RunColumns(Path(self.name), ["run_id"] if files.runs is None else column_names(files.runs))
        if self.columns.understands_nothing:
            raise InputError(
                f"{files.runs} is no runs table: of its columns ({shown(', '.join(self.columns.unknown))}) none is "
                "understood; name the runs table or its folder, with commas between the cells; see docs/backtests.md"
            )
        self.markets: dict[str, str] = {}
        self.n_rows = 0
        ignored: list[str] = []
        for row in self.rows():
            self.n_rows += 1
            run_id = self.columns.read(row, "run_id", values.to_text, ignored)
            if run_id is not None:
                self.markets[run_id] = self.columns.read(row, "market_id", values.to_text, ignored) or ""

    def rows(self) -> Iterator[TableRow]:
        """Yield the rows."""
        if self._table is not None:
            return table_rows(self._table)
        return (TableRow(place=f"{self.name}: {run_id}", values={"run_id": run_id}) for run_id in self.configs)


def _read_returns(path: Path | None, markets: Mapping[str, str]) -> Returns:
    if path is None:
        return Returns({})
    shape, columns = shape_of(path, column_names(path))
    if shape == "long":
        return read_long(path, columns)
    return read_wide(path, columns, lambda run_id: markets.get(run_id, ""))


class _Reader:
    """Puts the parts of each run together."""

    def __init__(
        self,
        delivery: Delivery,
        files: _Files,
        listed: _Listed,
        returns: Returns,
        trades: Mapping[str, tuple[list[Trade], list[str]]],
    ) -> None:
        self._delivery = delivery
        self._files = files
        self._listed = listed
        self._returns = returns
        self._trades = trades

    def runs(self, orphans: Iterable[str]) -> Iterator[BacktestRun]:
        """Yield every row as a run, then the runs that only the returns table knows."""
        for row in self._listed.rows():
            yield self._run(row)
        place = "" if self._files.returns is None else self._files.returns.name
        for run_id in orphans:
            problem = f"there are returns of run {shown(run_id)}, which is not in {self._listed.name}"
            yield self._run(TableRow(place=place, values={}, problem=problem), run_id)

    def _run(self, row: TableRow, run_id: str | None = None) -> BacktestRun:
        columns = self._listed.columns
        defects = [] if row.problem is None else [f"{row.place}: {row.problem}"]

        def field(name: str, convert: Any) -> Any:
            return columns.read(row, name, convert, defects)

        run_id = run_id or field("run_id", values.to_text)
        for name in ("strategy_id", "campaign_id"):
            own, given = field(name, values.to_text), getattr(self._delivery, name)
            if own is not None and own != given:
                defects.append(f"{row.place}: {name} is {shown(own)}, but the delivery is of {shown(given)}")
        returns = self._returns.of(run_id)
        trades, trade_defects = self._trades.get(run_id or "", ([], []))
        config = self._config(columns, row, run_id, defects)
        if returns is not None:
            defects += returns.defects
        return BacktestRun(
            strategy_id=self._delivery.strategy_id,
            campaign_id=self._delivery.campaign_id,
            config=config,
            start_date=field("start_date", values.to_date),
            end_date=field("end_date", values.to_date),
            dates=None if returns is None else returns.dates,
            returns=None if returns is None else returns.returns,
            periods_per_year=field("periods_per_year", values.to_number) or self._delivery.periods_per_year,
            market_id=field("market_id", values.to_text) or self._delivery.market_id,
            universe_id=field("universe_id", values.to_text) or "",
            sector=field("sector", values.to_text) or "",
            code_version=field("code_version", values.to_text) or "",
            metrics=columns.metrics(row, defects),
            trades=trades,
            run_id=run_id,
            config_version=field("config_version", values.to_integer),
            source=row.place,
            defects=tuple(defects + trade_defects),
        )

    def _config(self, columns: RunColumns, row: TableRow, run_id: str | None, defects: list[str]) -> Any:
        """Return the configuration: of its own column, of `config.*` columns, or of configs.json."""
        before = len(defects)
        config = columns.read(row, "config", values.to_json, defects)
        if config is not None or len(defects) > before:
            return config
        return columns.knobs(row, defects) if columns.has_knobs else self._listed.configs.get(run_id or "")
