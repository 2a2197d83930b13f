"""The search beside Optuna's own Hyperband, in the same run: regret, bookkeeping, and the time of a real iteration.

    python -m benchmarks.search            # everything, minutes
    python -m benchmarks.search --quick    # fewer seeds and budgets

Regret is measured on Hartmann-6 with two nuisance dimensions, seen through low fidelities that are biased, each
configuration in its own direction, and noisy. The regret is the true one of the configuration that was chosen. Both get
the same units of the resource, at 1, 2 and 4 times those of one iteration of R = 81, eta = 3.
"""

import argparse
import hashlib
import math
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from meta_pipeline.canonical import digest
from meta_pipeline.hyperband.brackets import Hyperband
from meta_pipeline.hyperband.checkpoints import EvaluationRecord
from meta_pipeline.hyperband.executors import InProcess, LocalPool
from meta_pipeline.hyperband.ledger import create_or_open, ledger_digest, quiet_optuna
from meta_pipeline.hyperband.promotion import best_first
from meta_pipeline.hyperband.protocol import Evaluation, FloatParameter, ParameterValue, Reference, Space
from meta_pipeline.hyperband.search import Search
from meta_pipeline.hyperband.search_settings import SearchSettings
from meta_pipeline.hyperband.slots import Slot
from meta_pipeline.hyperband.strategy_space import SPACE as FOUR_MODELS
from meta_pipeline.orchestration.search_worker import checkpoints_of
from meta_pipeline.settings import Settings
from meta_pipeline.store.database import Database, open_database
from meta_pipeline.store.search import forget_checkpoints
from meta_pipeline.store.search_ledgers import SearchPlace, database_place, folder_place

R, ETA = 81, 3
UNITS = Hyperband(maximum_resource=R, eta=ETA).units_resumed  # 1,581
BEST = 3.32237  # Hartmann-6's maximum
ALPHA = np.array([1.0, 1.2, 3.0, 3.2])
A = np.array(
    [[10, 3, 17, 3.5, 1.7, 8], [0.05, 10, 17, 0.1, 8, 14], [3, 3.5, 1.7, 10, 17, 8], [17, 8, 0.05, 10, 0.1, 14]]
)
P = 1e-4 * np.array(
    [
        [1312, 1696, 5569, 124, 8283, 5886],
        [2329, 4135, 8307, 3736, 1004, 9991],
        [2348, 1451, 3522, 2883, 3047, 6650],
        [4047, 8828, 8732, 5743, 1091, 381],
    ]
)
BIAS, NOISE = 0.6, 0.4
SPACE = Space(parameters=tuple(FloatParameter(name=f"x{i}", low=0.0, high=1.0) for i in range(8)))


def truth(config: Mapping[str, Any]) -> float:
    """Hartmann-6 on the first six dimensions; the other two do nothing."""
    x = np.array([config[f"x{i}"] for i in range(6)])
    return float(ALPHA @ np.exp(-(A * (x - P) ** 2).sum(axis=1)))


def seen(config: Mapping[str, Any], r: int, seed: int) -> float:
    """Observe at r units: biased by up to BIAS, noisy with a standard deviation of NOISE / sqrt(r)."""
    x = np.array([config[f"x{i}"] for i in range(8)])
    bias = BIAS * (1 - r / R) * math.sin(7 * float(x @ np.linspace(1, 2, 8)))
    text = f"{seed}|{r}|{x.tobytes().hex()}"
    drawn = np.random.default_rng(int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest()))
    return truth(config) + bias + NOISE / math.sqrt(r) * float(drawn.standard_normal())


class Hartmann:
    """The benchmark as an evaluator."""

    space = SPACE

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self.seed = int(settings["seed"])
        self.fingerprint = f"hartmann {self.seed}"

    def evaluate(
        self,
        config: Mapping[str, ParameterValue],
        r_from: int,  # noqa: ARG002
        r_to: int,
        checkpoint: bytes | None,  # noqa: ARG002
    ) -> Evaluation:
        """Observe at `r_to` units."""
        return Evaluation(metrics={}, value=seen(config, r_to, self.seed), returns=np.zeros(3), checkpoint=b"")


def hartmann(settings: dict[str, Any]) -> Hartmann:
    """Build the evaluator."""
    return Hartmann(settings)


class Forgetful:
    """Keeps nothing: regret needs no checkpoints."""

    def save(self, record: EvaluationRecord) -> str:
        """Keep nothing."""
        return f"{record.slot} {record.r}"

    def find(self, slot: Slot, r: int) -> None:
        """Find nothing."""

    def discard(self, slot: Slot, below: int) -> None:
        """Have nothing to drop."""


def forgetful(settings: dict[str, Any]) -> Forgetful:  # noqa: ARG001
    """Build the store."""
    return Forgetful()


def ours(seed: int, budgets: tuple[int, ...], **options: Any) -> list[float]:
    """Return the regret after each number of iterations."""
    import optuna

    evaluator = Reference(target="benchmarks.search:hartmann", settings={"seed": seed})
    settings = SearchSettings(
        name="regret",
        maximum_resource=R,
        eta=ETA,
        iterations=max(budgets),
        seed=seed,
        evaluator=evaluator,
        fingerprint=f"hartmann {seed}",
        space=SPACE,
        **options,
    )
    ledger = create_or_open(optuna.storages.InMemoryStorage(), settings)
    entries = Search(ledger, Reference(target="benchmarks.search:forgetful"), worker="bench", clock=time.time).run(
        InProcess()
    )
    found = []
    for budget in budgets:
        top = {s: e.rungs[R] for s, e in entries.items() if s.iteration < budget and R in e.rungs}
        found.append(BEST - truth(entries[best_first(top)[0]].config))
    return found


def optunas(seed: int, budgets: tuple[int, ...], *, pruned: bool) -> list[float]:
    """Return the regret of Optuna's TPE, with its HyperbandPruner or at full fidelity, after as many units."""
    import optuna

    with quiet_optuna():
        pruner = (
            optuna.pruners.HyperbandPruner(min_resource=1, max_resource=R, reduction_factor=ETA)
            if pruned
            else optuna.pruners.NopPruner()
        )
        study = optuna.create_study(
            study_name=f"regret {seed}",
            direction="maximize",
            sampler=optuna.samplers.TPESampler(seed=seed),
            pruner=pruner,
        )
        spent, best, found = 0, (-math.inf, math.nan), []
        for budget in budgets:
            while spent < budget * UNITS:
                trial = study.ask()
                config = {f"x{i}": trial.suggest_float(f"x{i}", 0.0, 1.0) for i in range(8)}
                spent, value = _optuna_trial(study, trial, config, seed, spent)
                if value is not None and value > best[0]:
                    best = (value, truth(config))
            found.append(BEST - best[1])
    return found


def _optuna_trial(
    study: Any, trial: Any, config: Mapping[str, float], seed: int, spent: int
) -> tuple[int, float | None]:
    import optuna

    before = 0
    for r in (1, 3, 9, 27, 81):
        value = seen(config, r, seed)
        spent, before = spent + r - before, r
        trial.report(value, r)
        if r < R and trial.should_prune():
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
            return spent, None
    study.tell(trial, value)
    return spent, value


@dataclass(frozen=True)
class Rival:
    """One row of the table."""

    name: str
    run: Callable[..., list[float]]
    options: Mapping[str, Any]


ROWS = (
    Rival("ours: BOHB, algorithm1", ours, {}),
    Rival("ours: BOHB, table1", ours, {"allocation": "table1"}),
    Rival("ours: random, algorithm1", ours, {"sampler": "random"}),
    Rival("Optuna: TPE + HyperbandPruner", optunas, {"pruned": True}),
    Rival("Optuna: TPE, full fidelity", optunas, {"pruned": False}),
)


def _one(task: tuple[int, int, tuple[int, ...]]) -> list[float]:
    row, seed, budgets = task
    return ROWS[row].run(seed, budgets, **ROWS[row].options)


def regret(seeds: int, budgets: tuple[int, ...]) -> None:
    """Print the table of regrets."""
    tasks = [(row, seed, budgets) for row in range(len(ROWS)) for seed in range(seeds)]
    with ProcessPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        found = np.array(list(pool.map(_one, tasks))).reshape(len(ROWS), seeds, len(budgets))
    print(f"\nTrue regret of the chosen configuration, mean +- standard error of {seeds} seeds (less is better)")
    print(f"{'':32}" + "".join(f"{budget * UNITS:>16,} units" for budget in budgets))
    means, errors = found.mean(axis=1), found.std(axis=1, ddof=1) / math.sqrt(seeds)
    for row, rival in enumerate(ROWS):
        cells = "".join(f"{m:>15.3f} +- {e:.2f}" for m, e in zip(means[row], errors[row], strict=True))
        print(f"{rival.name:32}{cells}")
    ratios = "".join(f"{ratio:>21.2f}x" for ratio in means[3] / means[0])
    print(f"{'Optuna Hyperband / ours':32}{ratios}")


class Four:
    """The space of the four-model strategy, and noise instead of forests."""

    space = FOUR_MODELS
    fingerprint = "four"

    def evaluate(
        self,
        config: Mapping[str, ParameterValue],
        r_from: int,  # noqa: ARG002
        r_to: int,
        checkpoint: bytes | None,  # noqa: ARG002
    ) -> Evaluation:
        """Draw a value."""
        drawn = int(digest([dict(config), r_to])[:12], 16) / 16**12
        return Evaluation(metrics={}, value=drawn, constraints={"c": drawn}, returns=np.zeros(3), checkpoint=b"")


def four(settings: dict[str, Any]) -> Four:  # noqa: ARG001
    """Build the evaluator."""
    return Four()


def bookkeeping() -> None:
    """Print what an iteration costs besides its evaluations: draws, leases, reports, checkpoints, all kept."""
    spaces = {
        "8 parameters": (Reference(target="benchmarks.search:hartmann", settings={"seed": 0}), SPACE, "hartmann 0"),
        "22 parameters": (Reference(target="benchmarks.search:four"), FOUR_MODELS, "four"),
    }
    print("\nBookkeeping of one iteration: 143 configurations, 206 evaluations (the bar is 2 s)")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["META_PIPELINE_HOME"] = folder  # where what keeps checkpoints looks for the database
        os.environ.pop("META_PIPELINE_DATABASE_URL", None)
        with open_database(Settings()) as database:
            plain = folder_place(Path(folder) / "plain").checkpoints
            shared = database_place(database, checkpoints_of("books", database))
            stores = {
                "journal, checkpoints in a folder": folder_place(Path(folder)),
                "PostgreSQL, checkpoints as well": shared,
                "PostgreSQL by Optuna's own storage": replace(shared, storage=_optunas_own(shared), checkpoints=plain),
            }
            for parameters, (evaluator, space, fingerprint) in spaces.items():
                for described, place in stores.items():
                    settings = SearchSettings(
                        name=f"{described} {parameters}", maximum_resource=R, evaluator=evaluator,
                        fingerprint=fingerprint, space=space,
                    )  # fmt: skip
                    _forget(place, database)
                    begun, cpu = time.perf_counter(), time.process_time()
                    ledger = create_or_open(place.storage, settings)
                    entries = Search(ledger, place.checkpoints, worker="bench", clock=time.time).run(InProcess())
                    wall, cpu = time.perf_counter() - begun, time.process_time() - cpu
                    print(
                        f"  {parameters:14}{described:36}{wall:6.2f} s wall,{cpu:6.2f} s of processor time here, "
                        f"digest {ledger_digest(entries)[:8]}"
                    )


def _optunas_own(place: SearchPlace) -> Any:
    from optuna.storages import RDBStorage

    with quiet_optuna():
        return RDBStorage(place.storage.url, engine_kwargs=place.storage.engine_kwargs)  # type: ignore[attr-defined]


def _forget(place: SearchPlace, database: Database) -> None:
    """Drop the checkpoints of the search before, which would be found."""
    with database.begin() as connection:
        forget_checkpoints(connection, "books")
    folder = place.checkpoints.settings.get("folder")
    if folder:
        shutil.rmtree(str(folder), ignore_errors=True)
        Path(str(folder)).mkdir(parents=True)


def forests(bars: int, workers: int, engine: str) -> None:
    """Print the time of one iteration of the four-model strategy. The bars are drawn: this measures time alone."""
    from meta_pipeline.hyperband.progress import progress_of

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bars.parquet"
        _write_bars(path, bars)
        evaluator = Reference(
            target="meta_pipeline.hyperband.forest_evaluator:build",
            settings={"data": {"path": str(path)}, "max_resource": R, "eta": ETA, "engine": engine},
        )
        built = evaluator.build()
        settings = SearchSettings(
            name="forests",
            maximum_resource=R,
            seed=0,
            evaluator=evaluator,
            fingerprint=built.fingerprint,
            space=built.space,
        )
        place = folder_place(Path(folder) / "search")
        started = time.perf_counter()
        search = Search(create_or_open(place.storage, settings), place.checkpoints, worker="bench", clock=time.time)
        with LocalPool(workers) as executor:
            entries = search.run(executor)
        wall = time.perf_counter() - started
    done = progress_of(settings, entries)
    print(f"\nOne iteration of the four-model strategy on {bars:,} bars, engine {built.engine.name}, {workers} workers")
    print(
        f"  {done.evaluations} evaluations, {done.units:,} units, {done.at_top} at R, {done.failures} failed: "
        f"{wall:.0f} s wall, {done.cpu_seconds:.0f} s of processor time"
    )
    print(
        "  the bar is 150 s with intelex, 360 s without; the predecessor needed 574 s for 2,000 bars and found nothing"
    )


def _write_bars(path: Path, bars: int) -> None:
    import pandas as pd

    rng = np.random.default_rng(0)
    close = 100 * np.exp(np.cumsum(0.01 * rng.standard_normal(bars)))
    opened = np.concatenate([[100.0], close[:-1]])
    spread = 1 + 0.004 * rng.random(bars)
    pd.DataFrame(
        {
            "timestamp": pd.date_range("2015-01-01", periods=bars, freq="4h"),
            "open": opened,
            "high": np.maximum(opened, close) * spread,
            "low": np.minimum(opened, close) / spread,
            "close": close,
            "volume": 1000 * np.exp(rng.standard_normal(bars)),
        }
    ).to_parquet(path)


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="fewer seeds, two budgets, fewer bars")
    parser.add_argument("--only", choices=["regret", "bookkeeping", "forests"])
    parser.add_argument("--engine", default="auto", help="of the forests; auto: intelex where it is installed")
    asked = parser.parse_args()
    sys.path.insert(0, str(Path(__file__).parents[1]))  # jobs name this module as `benchmarks.search`
    if asked.only in {None, "bookkeeping"}:
        bookkeeping()
    if asked.only in {None, "regret"}:
        regret(4 if asked.quick else 16, (1, 2) if asked.quick else (1, 2, 4))
    if asked.only in {None, "forests"}:
        forests(4_000 if asked.quick else 20_000, len(os.sched_getaffinity(0)), asked.engine)


if __name__ == "__main__":
    main()
