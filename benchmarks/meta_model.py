"""The meta-model: deciding and training, beside a plain scikit-learn pipeline in the same run.

Run: python -m benchmarks.meta_model [--rows 2000] [--large 200000] [--seeds 4]

Deciding is measured whole: reading the votes, features, ensemble, every guard, the model, hashes and the record. The
rival is given its features as a matrix and only predicts. Training is measured whole too, from files to the artifact;
the rival is the predecessor's recipe: scaler, regression and calibration on shuffled folds, no gate.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meta_pipeline.meta_model import DecisionSettings, MetaModel, decide
from meta_pipeline.meta_model.batch import decide_many
from meta_pipeline.meta_model.fitting import calibration_windows, fit
from meta_pipeline.meta_model.labels import TradingCost
from meta_pipeline.meta_model.outcome_log import read_outcome_log
from meta_pipeline.meta_model.prediction_log import read_prediction_log
from meta_pipeline.meta_model.synthetic import SyntheticSettings, synthetic_logs, write_synthetic_logs
from meta_pipeline.meta_model.training import Training, train
from meta_pipeline.meta_model.training_settings import TrainingSettings
from meta_pipeline.meta_model.walk_forward import average_uniqueness

MODELS = ("xgb", "lgbm", "nhits", "patchtst")
COST = TradingCost(round_trip_pct=0.1)
P50_BUDGET, P99_BUDGET = 40.0, 120.0
BATCH_BUDGET = 1.5e6
TRAIN_BUDGET, LARGE_BUDGET = 0.5, 30.0
FOLD_BUDGET = 1e-9
BATCH = 2000
OVERLAP = 50

Row = tuple[str, str, str, str]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print one row per figure, and fail if a budget is broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--large", type=int, default=200_000)
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--measure", type=int, help=argparse.SUPPRESS)
    chosen = parser.parse_args(arguments)
    if chosen.measure is not None:
        measure_training(chosen.measure)
        return
    rows = [*deciding(chosen.rows), *training(chosen.rows, chosen.large), *noise(chosen.seeds)]
    print(f"{'what':44} {'ours':>22} {'scikit-learn':>22}  budget")
    for what, ours, rival, budget in rows:
        print(f"{what:44} {ours:>22} {rival:>22}  {budget}")
    broken = [what for what, *_, budget in rows if budget.startswith("MISSED")]
    if broken:
        raise SystemExit(f"over budget: {', '.join(broken)}")


def deciding(n: int) -> list[Row]:
    """Measure single decisions, batches, and how exactly the folded model is the pipeline."""
    table = logs(n).table
    features = table.votes.features()
    windows = calibration_windows(table.starts, table.ends, np.arange(n), embargo=0)
    fitted = fit(features, table.labels, table.weights, windows, inverse_penalty=0.1, seed=42)
    model = MetaModel(models=MODELS, weights=fitted.weights, threshold=0.0, sha256="0" * 64)
    (first, *_) = fitted.members
    matrix = features.astype(np.float64)
    pipeline = np.mean([member.predict_proba(matrix) for member in fitted.members], axis=0)
    difference = float(np.abs(fitted.weights.many(features) - pipeline).max())

    settings = DecisionSettings(meta_threshold=0.3)
    questions = [(line["base_predictions"], line["regime"]) for line, _ in synthetic_logs(SyntheticSettings(n=n))]
    asked = [question for question in questions if decide(*question, model=model, settings=settings).meta_confidence]
    ours = percentiles([lambda q=q: decide(*q, model=model, settings=settings) for q in asked], repeats=10)  # type: ignore[misc]
    rival = percentiles([lambda i=i: first.predict_proba(matrix[i : i + 1]) for i in range(100)], repeats=3)  # type: ignore[misc]

    small = table.votes.take(slice(0, BATCH))
    probabilities = best(lambda: model.probabilities_of(features[:BATCH]))
    whole = best(lambda: decide_many(small, model=model, settings=settings))
    plain = best(lambda: [member.predict_proba(matrix[:BATCH]) for member in fitted.members])
    size = len(small)
    return [
        ("one decision through the model, p50", micro(ours[0]), micro(rival[0]), under(ours[0], P50_BUDGET, "us")),
        ("one decision through the model, p99", micro(ours[1]), micro(rival[1]), under(ours[1], P99_BUDGET, "us")),
        ("  (the predecessor's agent, p50 / p99)", "2,014 / 4,338 us", "", "as specified"),
        (f"probabilities of {size:,} rows", rate(size, probabilities), rate(size, plain), over(size / probabilities)),
        (f"decisions of {size:,} rows", rate(size, whole), "", over(size / whole)),
        ("largest difference of the folded model", f"{difference:.1e}", "0", under(difference, FOLD_BUDGET, "")),
    ]


def training(n: int, large: int) -> list[Row]:
    """Measure training in fresh processes, with their peak memory."""
    small, half, whole = (measured(size) for size in (n, large // 2, large))
    growth = (whole["peak"] - half["peak"]) / (half["peak"] - small["peak"])
    seconds = whole["wall"]
    return [
        (
            f"training on {n:,} decisions, CPU",
            f"{small['cpu']:.2f} s",
            f"{small['rival']:.2f} s",
            under(small["cpu"], TRAIN_BUDGET, "s"),
        ),
        (
            f"training on {large:,} decisions, wall",
            f"{seconds:.1f} s",
            f"{whole['rival']:.1f} s",
            under(seconds, LARGE_BUDGET, "s"),
        ),
        (f"peak memory of {large // 2:,}, {large:,}", f"{half['peak']:.0f}, {whole['peak']:.0f} MB", "", ""),
        ("memory of the second half over the first", f"{growth:.2f}", "", under(growth, 1.5, "(linear is 1)")),
    ]


def noise(seeds: int) -> list[Row]:
    """Let both find something in nothing: labels that overlap for 50 bars, features that persist, no relation."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import KFold, cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    ours, majority, errors, shuffled = [], [], [], []
    for seed in range(seeds):
        made = overlapping_noise(seed)
        unseen: Any = made.model.metadata["out_of_fold"]
        ours.append(unseen["accuracy"])
        majority.append(unseen["majority_accuracy"])
        share = unseen["n_samples"] / len(made.table)
        independent = average_uniqueness(made.table.starts, made.table.ends).sum() * share
        errors.append((majority[-1] * (1 - majority[-1]) / independent) ** 0.5)
        naive = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000))
        features = made.table.votes.features().astype(np.float64)
        folds = KFold(5, shuffle=True, random_state=seed)
        shuffled.append(cross_val_score(naive, features, made.table.labels, cv=folds).mean())
    away = max(abs(a - m) / e for a, m, e in zip(ours, majority, errors, strict=True))
    return [
        ("accuracy on noise, mean", f"{np.mean(ours):.3f}", f"{np.mean(shuffled):.3f}", "rival: shuffled folds"),
        ("  majority", f"{np.mean(majority):.3f}", f"{np.mean(majority):.3f}", ""),
        ("  farthest from the majority, in s.e.", f"{away:.2f}", "", under(away, 2.0, "s.e.")),
    ]


def logs(n: int) -> Training:
    """Train on a planted edge; what is measured is not what it finds."""
    with tempfile.TemporaryDirectory() as folder:
        predictions, outcomes = write_synthetic_logs(Path(folder), SyntheticSettings(n=n))
        return train(
            read_prediction_log(predictions, MODELS), read_outcome_log(outcomes), settings=TrainingSettings(cost=COST)
        )


def measured(n: int) -> dict[str, float]:
    """Train in a fresh process, so that its peak memory is its own."""
    done = subprocess.run([sys.executable, __file__, "--measure", str(n)], check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def measure_training(n: int) -> None:
    """Print what training on n decisions took, from files to artifact, and the rival on the same matrix."""
    import resource

    with tempfile.TemporaryDirectory() as folder:
        predictions, outcomes = write_synthetic_logs(Path(folder), SyntheticSettings(n=n))
        logs(500)  # imports and first calls are not training
        cpu, wall = time.process_time(), time.perf_counter()
        made = train(
            read_prediction_log(predictions, MODELS), read_outcome_log(outcomes), settings=TrainingSettings(cost=COST)
        )
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        table = made.table
        rival = naive_training(table.votes.features().astype(np.float64), table.labels)
    print(json.dumps({"cpu": cpu, "wall": wall, "peak": peak, "rival": rival}))


def naive_training(matrix: NDArray[np.float64], labels: NDArray[np.int8]) -> float:
    """Return the CPU seconds of the predecessor's recipe: five folds, then a calibration on three more."""
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import TimeSeriesSplit, cross_val_score
    from sklearn.preprocessing import StandardScaler

    started = time.process_time()
    scaled = StandardScaler().fit_transform(matrix)
    regression = LogisticRegression(C=0.1, class_weight="balanced", max_iter=1000)
    cross_val_score(regression, scaled, labels, cv=TimeSeriesSplit(5))
    CalibratedClassifierCV(regression, method="sigmoid", cv=3).fit(scaled, labels)
    return time.process_time() - started


def overlapping_noise(seed: int, n: int = 6000) -> Training:
    """Train on persistent votes and the direction of the next 50 bars of a random walk."""
    from meta_pipeline.meta_model.instants import iso
    from meta_pipeline.meta_model.outcome_log import outcome_log
    from meta_pipeline.meta_model.prediction_log import prediction_log

    rng = np.random.default_rng(seed)
    walk = np.concatenate([[0.0], np.cumsum(rng.normal(size=n + OVERLAP))])
    ahead = (walk[OVERLAP : OVERLAP + n] - walk[:n]) / OVERLAP**0.5
    slow = rng.normal(size=(n, 4))
    for row in range(1, n):
        slow[row] = 0.98 * slow[row - 1] + (1 - 0.98**2) ** 0.5 * slow[row]
    actions = np.where(slow > 0.4, "BUY", np.where(slow < -0.4, "SELL", "HOLD"))
    lines, fills = [], []
    for row in range(n):
        common = {"timestamp": iso(1_770_249_600_000_000 + row * 60_000_000), "symbol": "X"}
        votes = {
            model: {"action": str(actions[row, i]), "confidence": 0.5 + 0.4 * abs(float(np.tanh(slow[row, i])))}
            for i, model in enumerate(MODELS)
        }
        lines.append(("noise", row, {**common, "base_predictions": votes}))
        outcome = {"action": "BUY", "outcome": "", "pnl_pct": float(ahead[row]), "hold_duration_minutes": OVERLAP}
        fills.append(("noise", row, {**common, **outcome}))
    cost = TradingCost(round_trip_pct=0.57, pnl_is_net=False)
    return train(prediction_log(lines, MODELS), outcome_log(fills), settings=TrainingSettings(cost=cost))


def percentiles(calls: list[Callable[[], object]], *, repeats: int) -> tuple[float, float]:
    """Return the median and 99th percentile of single calls, in microseconds, of the quietest of several passes."""
    for call in calls[:100]:
        call()
    passes = []
    for _ in range(repeats):
        taken = []
        for call in calls:
            started = time.perf_counter_ns()
            call()
            taken.append(time.perf_counter_ns() - started)
        p50, p99 = np.percentile(taken, [50, 99]) / 1000
        passes.append((float(p50), float(p99)))
    return min(p50 for p50, _ in passes), min(p99 for _, p99 in passes)


def best(call: Callable[[], object], *, repeats: int = 100) -> float:
    """Return the shortest of many calls, in seconds."""
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        call()
        times.append(time.perf_counter() - started)
    return min(times)


def micro(value: float) -> str:
    """Write microseconds."""
    return f"{value:,.1f} us"


def rate(n: int, seconds: float) -> str:
    """Write rows per second."""
    return f"{n / seconds / 1e6:.2f} M rows/s"


def under(value: float, budget: float, unit: str) -> str:
    """Say whether a figure keeps its budget."""
    return f"{'kept' if value <= budget else 'MISSED'}: at most {budget:g} {unit}".rstrip()


def over(value: float) -> str:
    """Say whether a rate reaches its budget."""
    return f"{'kept' if value >= BATCH_BUDGET else 'MISSED'}: at least {BATCH_BUDGET / 1e6:g} M rows/s"


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    warnings.filterwarnings("error", module="meta_pipeline")
    main()
