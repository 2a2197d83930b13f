"""What is kept of every evaluation, outside the ledger: out-of-sample returns, and the state to go on from.

Belongs here: the record, its bytes, and the store in a folder. A record appears under its name when it is whole and
on disk, or not at all, and its name holds the hash of its content.
"""

import hashlib
import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from meta_pipeline.errors import ArtifactBroken, InputError
from meta_pipeline.hyperband.protocol import Evaluation
from meta_pipeline.hyperband.slots import Slot

_FORMAT: Final = 1
_SUFFIX: Final = ".evaluation"


class Moments(NamedTuple):
    """What the deflated Sharpe ratio needs of a series of returns: per period, population moments, raw kurtosis."""

    n_observations: int
    sharpe_ratio: float
    skewness: float
    kurtosis: float

    @classmethod
    def of(cls, returns: NDArray[np.float64]) -> "Moments | None":
        """Measure returns; None where they are fewer than three, or all the same (the Sharpe ratio is not known)."""
        if returns.size < 3:
            return None
        centred = returns - returns.mean()
        deviation = float(returns.std(ddof=1))
        spread = float(np.sqrt(np.mean(centred**2)))
        if not deviation > 1e-12 * max(1.0, float(np.abs(returns).max())):
            return None
        z = centred / spread
        return cls(returns.size, float(returns.mean()) / deviation, float(np.mean(z**3)), float(np.mean(z**4)))


@dataclass(frozen=True, kw_only=True, eq=False)
class EvaluationRecord:
    """One evaluation, as it is kept.

    Parameters
    ----------
    slot, r
        Whose, and at how many units.
    value, metrics, constraints, returns, checkpoint
        As in `protocol.Evaluation`; of a failure minus infinity and nothing.
    error
        Why it failed; None if it did not.
    """

    slot: Slot
    r: int
    value: float
    metrics: Mapping[str, float | None] = field(default_factory=dict)
    constraints: Mapping[str, float] = field(default_factory=dict)
    returns: NDArray[np.float64]
    checkpoint: bytes
    error: str | None = None

    @classmethod
    def of_evaluation(cls, slot: Slot, r: int, done: Evaluation) -> "EvaluationRecord":
        """Keep what an evaluator answered."""
        return cls(
            slot=slot,
            r=r,
            value=done.value,
            metrics={name: None if figure is None else _plain(figure) for name, figure in done.metrics.items()},
            constraints={name: float(figure) for name, figure in done.constraints.items()},
            returns=done.returns,
            checkpoint=done.checkpoint,
        )

    @classmethod
    def of_failure(cls, slot: Slot, r: int, error: str) -> "EvaluationRecord":
        """Keep why an evaluator gave no answer."""
        return cls(slot=slot, r=r, value=-math.inf, returns=np.empty(0), checkpoint=b"", error=error)

    @property
    def moments(self) -> Moments | None:
        """Of the returns."""
        return Moments.of(self.returns)

    def to_bytes(self) -> bytes:
        """Write the record: a line of JSON, the returns (little-endian float64), the checkpoint."""
        head = {
            "format": _FORMAT,
            "slot": list(self.slot),
            "r": self.r,
            "value": self.value,
            "metrics": dict(self.metrics),
            "constraints": dict(self.constraints),
            "returns": int(self.returns.size),
            "checkpoint": len(self.checkpoint),
            "error": self.error,
        }
        # Python's JSON, not the canonical one: a failure's value is minus infinity.
        line = json.dumps(head, sort_keys=True, separators=(",", ":")).encode() + b"\n"
        return line + self.returns.astype("<f8").tobytes() + self.checkpoint

    @classmethod
    def from_bytes(cls, content: bytes) -> "EvaluationRecord":
        """Read a record that `to_bytes` wrote.

        Raises
        ------
        ArtifactBroken
            If it is not one, or is cut short.
        """
        try:
            line, _, rest = content.partition(b"\n")
            head: dict[str, Any] = json.loads(line)
            n, size = head["returns"], head["checkpoint"]
            if head["format"] != _FORMAT or len(rest) != 8 * n + size:
                raise ArtifactBroken("an evaluation's record is cut short, or of another format")
            return cls(
                slot=Slot(*head["slot"]),
                r=head["r"],
                value=head["value"],
                metrics=head["metrics"],
                constraints=head["constraints"],
                returns=np.frombuffer(rest, dtype="<f8", count=n).astype(np.float64),
                checkpoint=rest[8 * n :],
                error=head["error"],
            )
        except (ValueError, KeyError, TypeError) as error:
            raise ArtifactBroken(f"this is no record of an evaluation: {error!r}") from error


class CheckpointStore(Protocol):
    """Keeps records. Saving one twice is the same as saving it once."""

    def save(self, record: EvaluationRecord) -> str:
        """Keep a record so that it survives any crash from now on; return its sha256."""
        ...

    def find(self, slot: Slot, r: int) -> tuple[str, EvaluationRecord] | None:
        """Return the sha256 and the record of an evaluation, None if there is none or it is damaged."""
        ...

    def discard(self, slot: Slot, below: int) -> None:
        """Drop a configuration's records of less than `below` units: a later one replaced them."""
        ...


class FolderCheckpoints:
    """Records as files in one folder, which all workers see.

    Parameters
    ----------
    folder
        Made if it is not there.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def save(self, record: EvaluationRecord) -> str:
        """Write to a file of another name, flush it to disk, and give it its name."""
        content = record.to_bytes()
        found = hashlib.sha256(content).hexdigest()
        name = f"{_stem(record.slot, record.r)}{found}{_SUFFIX}"
        partial = self.folder / f".{name}.{os.getpid()}"
        try:
            with partial.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(self.folder / name)
        finally:
            partial.unlink(missing_ok=True)
        _sync_folder(self.folder)
        return found

    def find(self, slot: Slot, r: int) -> tuple[str, EvaluationRecord] | None:
        """Read the file whose content has the hash of its name."""
        for path in sorted(self.folder.glob(f"{_stem(slot, r)}*{_SUFFIX}")):
            content = path.read_bytes()
            found = hashlib.sha256(content).hexdigest()
            if path.name.removesuffix(_SUFFIX).endswith(found):
                return found, EvaluationRecord.from_bytes(content)
        return None

    def discard(self, slot: Slot, below: int) -> None:
        """Delete the files of a configuration with less than `below` units."""
        stem = _stem(slot)
        for path in self.folder.glob(f"{stem}*{_SUFFIX}"):
            if int(path.name.removeprefix(stem).partition("-")[0]) < below:
                path.unlink(missing_ok=True)

    def clean(self) -> None:
        """Delete what crashes left half written. Only for the one coordinator, before its workers start."""
        for path in self.folder.glob(f".*{_SUFFIX}.*"):
            path.unlink(missing_ok=True)


def folder(settings: Mapping[str, Any]) -> FolderCheckpoints:
    """Build the store of `{"folder": PATH}`, as a `Reference` names it.

    Raises
    ------
    InputError
        If there is no folder in the settings.
    """
    if not isinstance(settings.get("folder"), str):
        raise InputError(f"the checkpoints' folder is {settings.get('folder')!r}; give the path of one")
    return FolderCheckpoints(Path(settings["folder"]))


def _stem(slot: Slot, r: int | None = None) -> str:
    whose = f"i{slot.iteration}-s{slot.bracket}-c{slot.number}-r"
    return whose if r is None else f"{whose}{r}-"


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _plain(figure: float) -> float | None:
    return float(figure) if math.isfinite(figure) else None
