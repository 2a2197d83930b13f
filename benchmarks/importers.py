"""Reading a campaign from files with the generic importer, beside pandas reading the same returns.

Run: python -m benchmarks.importers [--runs 10000] [--days 2520]

Each reading is in a process of its own, so that its peak memory is its own. Ours gives checked runs (types, dates,
lines of damaged cells, holes); pandas gives a data frame of dates x runs, pivoted where the file is long: the step
that a script of one's own would begin with.
"""

import argparse
import json
import multiprocessing
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from meta_pipeline.backtests.importers import Delivery, choose

SHAPES = ("wide parquet", "long parquet", "wide csv", "long csv")


def write_files(folder: Path, shape: str, n_runs: int, n_days: int) -> None:
    """Write one campaign in one shape."""
    import pyarrow as pa
    import pyarrow.csv as pc
    import pyarrow.parquet as pq

    ids = [f"r{run:06d}" for run in range(n_runs)]
    dates = np.busday_offset("2010-01-04", np.arange(n_days), roll="forward")
    returns = np.random.default_rng(1).normal(3e-4, 0.01, (n_runs, n_days)).round(8)
    if shape.startswith("wide"):
        table = pa.table({"date": pa.array(dates), **dict(zip(ids, returns, strict=True))})
    else:
        codes = pa.array(np.repeat(np.arange(n_runs, dtype=np.int32), n_days))
        runs = pa.DictionaryArray.from_arrays(codes, pa.array(ids)).cast(pa.string())
        table = pa.table({"run_id": runs, "date": np.tile(dates, n_runs), "return": returns.ravel()})
    folder.mkdir()
    if shape.endswith("csv"):
        pc.write_csv(table, folder / "returns.csv")
    else:
        pq.write_table(table, folder / "returns.parquet")
    configs = {run_id: {"fast": number % 7, "slow": number % 11} for number, run_id in enumerate(ids)}
    (folder / "configs.json").write_text(json.dumps(configs))


def ours(folder: Path) -> int:
    """Read with the generic importer; return the number of returns."""
    campaign = choose(folder).read(folder, Delivery(strategy_id="s", campaign_id="c"))
    return sum(0 if run.returns is None else len(run.returns) for run in campaign.runs)


def pandas(folder: Path) -> int:
    """Read with pandas; return the number of returns."""
    import pandas as pd

    path = next(folder.glob("returns.*"))
    frame = pd.read_csv(path, parse_dates=["date"]) if path.suffix == ".csv" else pd.read_parquet(path)
    if "run_id" in frame.columns:
        frame = frame.pivot(index="date", columns="run_id", values="return")
    else:
        frame = frame.set_index("date")
    return int(frame.size)


def measure(read: Callable[[Path], int], folder: Path, results: Any) -> None:
    """Read in this process; report returns, seconds and the largest memory."""
    begun = time.perf_counter()
    n = read(folder)
    seconds = time.perf_counter() - begun
    memory = psutil.Process().memory_info()
    results.put((n, seconds, getattr(memory, "peak_wset", 0) or _peak()))


def _peak() -> int:
    status = Path("/proc/self/status")
    if not status.exists():
        return psutil.Process().memory_info().rss
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def main() -> None:
    """Read every shape both ways."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--days", type=int, default=2_520)
    arguments = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    home = Path(tempfile.mkdtemp(prefix="meta-pipeline-benchmark-"))
    n_returns = arguments.runs * arguments.days
    print(f"{arguments.runs:,} runs x {arguments.days:,} days: {n_returns * 8 / 2**20:.0f} MB as floats")
    try:
        for shape in SHAPES:
            folder = home / shape.replace(" ", "-")
            write_files(folder, shape, arguments.runs, arguments.days)
            took = {}
            for reader in (ours, pandas):
                results = context.Queue()
                process = context.Process(target=measure, args=(reader, folder, results))
                process.start()
                n, seconds, peak = results.get()
                process.join()
                assert n == n_returns
                took[reader.__name__] = (seconds, peak / 2**20)
            (own, own_peak), (other, other_peak) = took["ours"], took["pandas"]
            print(
                f"{shape:<13} ours {own:6.2f} s, {own_peak:6.0f} MB   pandas {other:6.2f} s, {other_peak:6.0f} MB   "
                f"ratio {other / own:4.1f} in time, {other_peak / own_peak:4.1f} in memory"
            )
            shutil.rmtree(folder)
    finally:
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    main()
