"""A cheap pure evaluator: a known function of the configuration, seen through noise that more resource takes away."""

import hashlib
import math
import os
import struct
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from meta_pipeline.hyperband.protocol import (
    CategoricalParameter,
    Evaluation,
    FloatParameter,
    IntegerParameter,
    ParameterValue,
    Reference,
    Space,
)
from meta_pipeline.hyperband.search_settings import SearchSettings

if TYPE_CHECKING:
    from meta_pipeline.store.search_ledgers import SearchPlace

SPACE = Space(
    parameters=(
        FloatParameter(name="x", low=0.0, high=1.0),
        FloatParameter(name="rate", low=1e-3, high=1.0, log=True),
        IntegerParameter(name="depth", low=1, high=10),
        CategoricalParameter(name="features", choices=("sqrt", "log2", 0.5, True)),
    )
)


class Toy:
    """Adds up one noisy observation per unit; the checkpoint is the sum."""

    space = SPACE

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self.fingerprint = str(settings.get("fingerprint", "toy"))
        self.seconds = float(settings.get("seconds", 0.0))
        self.log = Path(settings["log"]) if "log" in settings else None
        self.fails = str(settings.get("fails", ""))
        self.dies = str(settings.get("dies", ""))  # "always", or a file that says it was done

    def evaluate(
        self, config: Mapping[str, ParameterValue], r_from: int, r_to: int, checkpoint: bytes | None
    ) -> Evaluation:
        assert (checkpoint is None) == (r_from == 0)
        self._note(f"{r_from} {r_to} {sorted(config.items())}")
        if self.fails == "all" or config["features"] == self.fails:
            raise ValueError(f"cannot do {config['features']}")
        if self.dies and not Path(self.dies).exists():
            if self.dies != "always":
                Path(self.dies).touch()
            os._exit(9)
        time.sleep(self.seconds * (r_to - r_from))
        total: float = 0.0 if checkpoint is None else struct.unpack("<d", checkpoint)[0]
        for unit in range(r_from, r_to):
            total += truth(config) + 0.4 * noise(config, unit)
        value = total / r_to
        rng = np.random.default_rng(seed(config))
        returns = 0.001 * value + 0.01 * rng.standard_normal(60)
        metrics = {"sharpe_ratio": value, "maximum_drawdown": float(config["x"]), "turnover": None}
        constraints = {"depth": float(config["depth"]) - 9.0}
        return Evaluation(
            metrics=metrics,
            value=value,
            constraints=constraints,
            returns=returns,
            checkpoint=struct.pack("<d", total),
        )

    def _note(self, line: str) -> None:
        if self.log is not None:
            with self.log.open("a") as file:
                file.write(line + "\n")


def build(settings: dict[str, Any]) -> Toy:
    return Toy(settings)


def truth(config: Mapping[str, ParameterValue]) -> float:
    x, rate, depth = float(config["x"]), math.log10(float(config["rate"])), float(config["depth"])
    bonus = 1.0 if config["features"] == "sqrt" else 0.0
    return bonus - (x - 0.3) ** 2 - 0.1 * (rate + 2) ** 2 - 0.02 * (depth - 6) ** 2


def noise(config: Mapping[str, ParameterValue], unit: int) -> float:
    return float(np.random.default_rng(seed(config, unit)).standard_normal())


def seed(config: Mapping[str, ParameterValue], unit: int = -1) -> int:
    text = f"{sorted(config.items())}|{unit}"
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest())


def search_settings(*, resource: int = 9, toy: Mapping[str, Any] | None = None, **more: Any) -> SearchSettings:
    evaluator = Reference(target="meta_pipeline_tests.hyperband.toy:build", settings=dict(toy or {}))
    options: dict[str, Any] = {"name": "toy", "maximum_resource": resource, "seed": 7} | more
    return SearchSettings(evaluator=evaluator, fingerprint=evaluator.build().fingerprint, space=SPACE, **options)


def slow_search(folder: str, workers: int, toy: Mapping[str, Any], **more: Any) -> str:
    """Run, or go on with, a search in a folder; return the digest of its ledger."""
    from meta_pipeline.store.search_ledgers import folder_place

    return search_at(folder_place(Path(folder)), workers, toy, **more)


def search_at(place: "SearchPlace", workers: int, toy: Mapping[str, Any], **more: Any) -> str:
    """Run, or go on with, a search wherever its ledger is; return the digest of its ledger."""
    from meta_pipeline.hyperband.executors import InProcess, LocalPool
    from meta_pipeline.hyperband.ledger import create_or_open, ledger_digest
    from meta_pipeline.hyperband.search import Search

    with place.lock("toy"):
        ledger = create_or_open(place.storage, search_settings(toy=toy, **more))
        search = Search(ledger, place.checkpoints, worker=f"test/{os.getpid()}", clock=time.time)
        preload = ("meta_pipeline_tests.hyperband.toy", place.checkpoints.target.partition(":")[0])
        with LocalPool(workers, preload=preload) if workers else InProcess() as executor:
            search.run(executor)
        return ledger_digest(ledger.entries())
