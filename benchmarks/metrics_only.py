"""100,000 metrics-only runs with 14 configuration keys, from the database to candidates: ours and the predecessor.

Run: python benchmarks/metrics_only.py [--runs 100000]

The configurations are those of a sleeve search: ids, a market, seven grids, a continuous setting. The rival is the
predecessor's rule as its behaviour is described: fetch all rows, one dictionary per configuration and one per set of
metrics, mean of the Sharpe ratios per value of each key, the first two values compared. Each contender reads the same
rows in a process of its own, imports and connection not timed; memory is that process's peak, interpreter and libraries
included.
Bars: at most 1.5 CPU s, at most 300 MB.
"""

import argparse
import json
import multiprocessing
import resource
import shutil
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np

CPU_BUDGET, MEMORY_BUDGET = 1.5, 300.0
STRATEGY: Final = "sleeves"
GRIDS: Final[dict[str, tuple[Any, ...]]] = {
    "assessment_horizon_days": (5, 10, 21, 42, 63),
    "assessment_backend": ("basic", "context"),
    "stability_risk_alpha": (0.25, 0.5, 0.75, 1.0),
    "stability_risk_horizon_steps": (1, 2, 3, 4),
    "regime_risk_alpha": (0.0, 0.1, 0.2, 0.4),
    "scenario_risk_set_id": ("none", "crash", "rates"),
    "lambda_score_weight": (0.0, 0.5, 1.0),
}


def configurations(n_runs: int) -> list[dict[str, Any]]:
    """Return the configuration of each run: 14 keys."""
    rng = np.random.default_rng(20261121)
    chosen = {path: rng.integers(len(values), size=n_runs).tolist() for path, values in GRIDS.items()}
    fine = rng.random(n_runs).round(6).tolist()
    markets = rng.integers(4, size=n_runs).tolist()
    return [
        {
            "sleeve_id": f"sleeve-{run:06d}",
            "strategy_id": STRATEGY,
            "market_id": f"M{markets[run]}",
            "universe_id": f"M{markets[run]}_CORE",
            "portfolio_id": f"portfolio-{run // 10:05d}",
            "assessment_strategy_id": "A1",
            "risk_scale": fine[run],
            **{path: GRIDS[path][codes[run]] for path, codes in chosen.items()},
        }
        for run in range(n_runs)
    ]


def store(home: Path, n_runs: int) -> None:
    """Declare the strategy and hand in its runs."""
    from meta_pipeline.backtests import BacktestRun, record
    from meta_pipeline.proposals.knobs import Knob
    from meta_pipeline.proposals.strategy import Strategy
    from meta_pipeline.store import strategies
    from meta_pipeline.store.backtests import RunStore

    rng = np.random.default_rng(1)
    sharpe = rng.normal(0.5, 0.5, n_runs).round(4).tolist()
    runs = [
        BacktestRun(
            strategy_id=STRATEGY,
            campaign_id="search",
            config=config,
            market_id=config["market_id"],
            start_date=date(2010, 1, 4),
            end_date=date(2019, 12, 31),
            metrics={
                "annualised_sharpe": value,
                "cumulative_return": 0.3,
                "annualised_vol": 0.15,
                "max_drawdown": -0.2,
            },
        )
        for config, value in zip(configurations(n_runs), sharpe, strict=True)
    ]
    with opened(home) as database:
        knobs = tuple(Knob(path=path, knob_type=_type_of(values)) for path, values in GRIDS.items())
        knobs += (Knob(path="risk_scale", knob_type="float"),)
        live = {path: values[0] for path, values in GRIDS.items()} | {"risk_scale": 0.5}
        with database.begin() as connection:
            strategy = Strategy(strategy_id=STRATEGY, knobs=knobs, live_config=live)
            strategies.declare(connection, strategy, actor="benchmark", now=datetime.now(UTC))
        assert record(runs, into=RunStore(database, actor="benchmark", clock=lambda: datetime.now(UTC))).metrics_only


def _type_of(values: tuple[Any, ...]) -> str:
    return {int: "int", float: "float", str: "str"}[type(values[-1])]


def opened(home: Path) -> Any:
    """Open the embedded database in a folder."""
    from meta_pipeline.settings import Settings
    from meta_pipeline.store.database import open_database

    return open_database(Settings(home=home, database_url=None))


def ours(database: Any) -> tuple[int, int]:
    """Load the panel and ask the engine."""
    from meta_pipeline.proposals.propose import propose
    from meta_pipeline.store import strategies
    from meta_pipeline.store.backtest_panel import load_panel

    with database.connect() as connection:
        record = strategies.load(connection, STRATEGY)
        panel = load_panel(connection, STRATEGY)
    found = propose(panel, knobs=record.strategy.knobs, live=record.strategy.live_config)
    return panel.n_runs, len(found.candidates)


def predecessor(database: Any) -> tuple[int, int]:
    """Read every row into dictionaries and compare means of the first two values of each key."""
    with database.connect() as connection:
        cursor = connection.connection.driver_connection.cursor()
        cursor.execute(
            "SELECT run_id, strategy_id, market_id, config_json::text, metrics_json::text FROM backtest_runs "
            "WHERE strategy_id = %s AND metrics_json IS NOT NULL ORDER BY created_at DESC, run_id",
            (STRATEGY,),
        )
        rows = [
            {"run_id": row[0], "universe": row[2], "config": json.loads(row[3]), "metrics": json.loads(row[4])}
            for row in cursor.fetchall()
        ]
    means = {
        name: float(np.mean([row["metrics"].get(name, 0.0) for row in rows]))
        for name in ("annualised_sharpe", "cumulative_return", "annualised_vol")
    }
    compared = []
    names = ("annualised_sharpe", "cumulative_return", "annualised_vol")
    for key in sorted({key for row in rows for key in row["config"]}):
        groups: dict[Any, list[Any]] = {}
        for row in rows:
            value = row["config"].get(key)
            if value is not None:
                groups.setdefault(tuple(value) if isinstance(value, list) else value, []).append(row)
        if len(groups) >= 2:
            pair = list(groups.values())[:2]
            if min(map(len, pair)) >= 2:
                low, high = (
                    [float(np.mean([r["metrics"].get(n, 0.0) for r in group])) for n in names] for group in pair
                )
                compared.append((key, [after - before for before, after in zip(low, high, strict=True)]))
    # It keeps an entry with the whole configuration for each run that underperforms or is risky.
    underperforming = [
        {"run_id": row["run_id"], "sharpe": value, "config": row["config"], "reason": f"Sharpe {value:.2f} below 0.50"}
        for row in rows
        if (value := row["metrics"].get("annualised_sharpe", 0.0)) < 0.5
    ]
    risky = [
        {"run_id": row["run_id"], "config": row["config"], "metrics": row["metrics"]}
        for row in rows
        if row["metrics"].get("annualised_vol", 0.0) > 0.30 or row["metrics"].get("max_drawdown", 0.0) < -0.20
    ]
    assert means["annualised_vol"] > 0
    assert len(underperforming) + len(risky) <= 2 * len(rows)
    return len(rows), len(compared)


def measure(home: Path, contender: Callable[[Any], tuple[int, int]], results: Any) -> None:
    """Run one contender in this process and report runs, candidates, CPU seconds and megabytes."""
    # Libraries are imported once per process, not once per campaign: their time is left out, their memory is not.
    import meta_pipeline.proposals.propose
    import meta_pipeline.store.backtest_panel
    import meta_pipeline.store.strategies  # noqa: F401

    with opened(home) as database:
        with database.connect() as connection:
            connection.exec_driver_sql("SELECT 1")
        cpu = time.process_time()
        n_runs, found = contender(database)
        cpu = time.process_time() - cpu
    results.put((n_runs, found, cpu, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))


def in_its_own_process(home: Path, contender: Callable[[Any], tuple[int, int]]) -> tuple[int, int, float, float]:
    """Measure a contender where nothing else has been allocated."""
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    process = context.Process(target=measure, args=(home, contender, results))
    process.start()
    answer: tuple[int, int, float, float] = results.get(timeout=120)
    process.join()
    return answer


def main() -> None:
    """Print a line per contender."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=100_000)
    n_runs = parser.parse_args().runs
    home = Path(tempfile.mkdtemp(prefix="meta-pipeline-benchmark-"))
    try:
        writer = multiprocessing.get_context("spawn").Process(target=store, args=(home, n_runs))
        writer.start()
        writer.join()
        if writer.exitcode:
            raise SystemExit("the runs could not be stored")
        mine = in_its_own_process(home, ours)
        theirs = in_its_own_process(home, predecessor)
    finally:
        shutil.rmtree(home, ignore_errors=True)
    assert mine[0] == theirs[0] == n_runs, (mine, theirs)
    print(f"{n_runs:,} metrics-only runs, 14 configuration keys: from the database to {mine[1]} candidates")
    print(f"  ours         {mine[2]:6.2f} CPU s (bar {CPU_BUDGET:g})   {mine[3]:5.0f} MB (bar {MEMORY_BUDGET:g})")
    print(f"  predecessor  {theirs[2]:6.2f} CPU s, {theirs[2] / mine[2]:4.1f} times ours   {theirs[3]:5.0f} MB")


if __name__ == "__main__":
    main()
