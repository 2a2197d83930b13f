"""Whether the verdict tells luck from skill: whole searches on paths of pure noise, and on paths with a planted trend.

The predecessor's threshold, an annual Sharpe ratio of 0.5, is shown beside it in the same run: what it would have
deployed. Bars are drawn: this measures the judge, and finds no parameters.

Run: python -m benchmarks.search_honesty [--paths 10] [--planted 3] [--bars 4000] [--resource 9] [--engine auto]
"""

import argparse
import os
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final

import numpy as np
import optuna

from meta_pipeline.hyperband.bars import Bars
from meta_pipeline.hyperband.executors import InProcess
from meta_pipeline.hyperband.forest_evaluator import ForestEvaluator
from meta_pipeline.hyperband.forests import engine
from meta_pipeline.hyperband.judging import Contest, judge
from meta_pipeline.hyperband.ledger import create_or_open, quiet_optuna
from meta_pipeline.hyperband.protocol import Reference
from meta_pipeline.hyperband.results import result_of
from meta_pipeline.hyperband.search import Search
from meta_pipeline.hyperband.search_settings import SearchSettings
from meta_pipeline.hyperband.strategy_settings import StrategySettings
from meta_pipeline.hyperband.verdict import Judged
from meta_pipeline.store.search_ledgers import checkpoints_in
from meta_pipeline_tests.hyperband.paths import path

DRIFT: Final = 0.35
"""Of the planted trend, per bar, in units of its volatility; its sign turns once in 67 bars."""
HEADS: Final = {"path": 12, "scored": 8, "best Sharpe": 13, "deflated": 10, "> 0.5": 8, "winner": 8, "CPU s": 8}
TOO_LOW: Final = 0.5  # the predecessor deployed from this Sharpe ratio on


def build(settings: dict[str, Any]) -> ForestEvaluator:
    """Build the evaluator of one path; a search names it by this function."""
    bars: Bars = path(settings["bars"], seed=1000 + settings["seed"], drift=settings["drift"])
    return ForestEvaluator(StrategySettings(max_resource=settings["resource"], engine=settings["engine"]), [bars])


def main() -> None:
    """Search and judge each path, and count winners."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--paths", type=int, default=10)
    parser.add_argument("--planted", type=int, default=3)
    parser.add_argument("--bars", type=int, default=4000)
    parser.add_argument("--resource", type=int, default=9)
    parser.add_argument("--engine", default="auto", help="of the forests; auto: intelex where it is installed")
    asked = parser.parse_args()
    print(
        f"searches with R = {asked.resource}, eta = 3, over {asked.bars:,} four-hour bars; "
        f"costs 7 basis points a fill; forests by {engine(asked.engine).name}"
    )
    print("".join(f"{name:>{width}}" for name, width in HEADS.items()) + "   not passed")
    won = {"noise": 0, "trend": 0}
    fooled = 0
    for kind, number, drift in (("noise", asked.paths, 0.0), ("trend", asked.planted, DRIFT)):
        same = {"drift": drift, "bars": asked.bars, "resource": asked.resource, "engine": asked.engine}
        given = [{"seed": seed, **same} for seed in range(number)]
        with ProcessPoolExecutor(len(os.sched_getaffinity(0)), mp_context=get_context("spawn")) as pool:
            for seed, (judged, seconds) in enumerate(pool.map(_search, given)):
                won[kind] += judged.verdict.is_winner
                fooled += kind == "noise" and (judged.research["sharpe_ratio"] or 0.0) >= TOO_LOW
                print(_line(f"{kind} {seed}", judged, seconds), flush=True)
    print(f"noise: {won['noise']} winners of {asked.paths} (the predecessor's Sharpe threshold alone: {fooled})")
    print(f"planted trend: {won['trend']} winners of {asked.planted}")
    print("bar: no winner on noise, the planted trend found:", end=" ")
    print("kept" if won["noise"] == 0 and won["trend"] == asked.planted else "MISSED")


def _line(name: str, judged: Judged, seconds: float) -> str:
    verdict, best = judged.verdict, judged.research["sharpe_ratio"]
    deflated = next(gate.value for gate in verdict.gates if gate.name == "deflated Sharpe ratio")
    figures = "".join(
        f"{'n/a' if value is None else f'{value:.2f}':>{width}}" for value, width in ((best, 13), (deflated, 10))
    )
    failed = ", ".join(gate.name for gate in verdict.failed if not gate.name.startswith("holdout") or judged.holdout)
    naive = "yes" if (best or 0.0) >= TOO_LOW else "no"
    winner = "yes" if verdict.is_winner else "no"
    return f"{name:>12}{verdict.trials:>8}{figures}{naive:>8}{winner:>8}{seconds:>8.1f}   {failed}"


def _search(settings: dict[str, Any]) -> tuple[Judged, float]:
    """Search one path and judge its best; in a process of its own."""
    begun = time.process_time()
    quiet_optuna()
    reference = Reference(target="benchmarks.search_honesty:build", settings=settings)
    evaluator = build(settings)
    given = SearchSettings(
        name="honesty",
        maximum_resource=int(settings["resource"]),
        seed=0,
        evaluator=reference,
        fingerprint=evaluator.fingerprint,
        space=evaluator.space,
    )
    with tempfile.TemporaryDirectory() as folder:
        place = checkpoints_in(Path(folder))
        ledger = create_or_open(optuna.storages.InMemoryStorage(), given)
        entries = Search(ledger, place, worker="benchmark", clock=time.time).run(InProcess())
        found = result_of(given, entries)
        best = found.candidate or found.top[0]
        store = place.build()
        records = [store.find(slot, entry.highest) for slot, entry in sorted(entries.items())]
        ratios = [entry.last.moments.sharpe_ratio for entry in entries.values() if entry.last and entry.last.moments]
        kept = store.find(best.entry.slot, given.maximum_resource)
        assert kept is not None
        contest = Contest(
            config=best.entry.config,
            checkpoint=kept[1].checkpoint,
            units=given.maximum_resource,
            all_returns=np.column_stack([record[1].returns for record in records if record is not None]),
            all_sharpe_ratios=np.asarray(ratios),
            n_scored=len(entries),
        )
        judged = judge(evaluator, contest, open_holdout=lambda: 0, most_retrained=3)
        return judged, time.process_time() - begun


if __name__ == "__main__":
    main()
