"""Prediction logs: what the base models said, when, of what. Read from JSON lines, or from rows of a table.

Documented schema of a line: timestamp, symbol, base_predictions {model: {action, confidence}}, regime {volatility,
trend_strength}; ensemble_action and ensemble_confidence may be there and are not read (the ensemble is computed).
A line may say its `data_kind`: real or synthetic.
"""

import json
from array import array
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from meta_pipeline.errors import InputError
from meta_pipeline.meta_model.ballot import read_ballot
from meta_pipeline.meta_model.features import REGIME_GIVEN, REGIME_INVALID, read_regime
from meta_pipeline.meta_model.instants import read_instant
from meta_pipeline.meta_model.quarantine import Quarantined
from meta_pipeline.meta_model.vote_table import VoteTable

REAL: Final = "real"
SYNTHETIC: Final = "synthetic"
UNDECLARED: Final = "undeclared"

Row = tuple[str, int, "str | Mapping[str, Any]"]
"""Source, line number, and the line itself or what it says."""


@dataclass(frozen=True, kw_only=True, eq=False)
class PredictionLog:
    """The usable lines of prediction logs, sorted by time, then symbol; one per time and symbol.

    Parameters
    ----------
    times
        Shape (n,), microseconds since 1970, UTC.
    symbols
        Shape (n,), index into `symbol_names`.
    symbol_names
        The symbols, sorted.
    votes
        The ballots and regimes, n rows.
    data_kind
        real or synthetic as the lines say, undeclared if any does not say; one synthetic line makes it synthetic.
    n_lines, n_without_zone, n_rejected_votes
        Lines read, time stamps without a zone (taken as UTC), votes that could not be used.
    quarantined
        Lines that were not used.
    digests
        Source -> sha256 of its lines.
    """

    times: NDArray[np.int64]
    symbols: NDArray[np.int64]
    symbol_names: tuple[str, ...]
    votes: VoteTable
    data_kind: str
    n_lines: int
    n_without_zone: int
    n_rejected_votes: int
    quarantined: tuple[Quarantined, ...]
    digests: Mapping[str, str]

    def __len__(self) -> int:
        return len(self.times)


def read_prediction_log(path: Path, models: tuple[str, ...]) -> PredictionLog:
    """Read a log from a file, or from every *.jsonl file of a folder, in the order of their names.

    Raises
    ------
    InputError
        If there is no such file, or no *.jsonl file in the folder.
    """
    digests: dict[str, str] = {}
    return prediction_log(prediction_lines(path, digests), models, digests)


def prediction_log(
    rows: Iterable[Row], models: tuple[str, ...], digests: Mapping[str, str] | None = None
) -> PredictionLog:
    """Read a log from rows, each a line or what a line says.

    A row that cannot be used is quarantined. Of several rows for one time and symbol the first is kept if all say the
    same, none if they differ: which of them was acted on is not known.
    """
    reader = _Reader(models)
    for source, line, content in rows:
        reader.add(source, line, content)
    return reader.log({} if digests is None else digests)


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise InputError(f"there is no prediction log {path}; name a JSON lines file, or a folder of *.jsonl files")
    files = sorted(path.glob("*.jsonl"))
    if not files:
        raise InputError(f"the folder {path} holds no *.jsonl file; name the folder of the prediction logs")
    return files


def prediction_lines(path: Path, digests: dict[str, str] | None = None) -> Iterator[Row]:
    """Read the lines of a file, or of every *.jsonl file of a folder, blank ones left out.

    Parameters
    ----------
    path
        File or folder.
    digests
        Gets the sha256 of each file, by its name, when the file is read to its end.

    Raises
    ------
    InputError
        If there is no such file, or no *.jsonl file in the folder.
    """
    for file in _files(path):
        hashed = sha256()
        with file.open("rb") as opened:
            for number, line in enumerate(opened, start=1):
                hashed.update(line)
                # A line that is not UTF-8 is one bad line, not the end of the log.
                text = line.decode("utf-8", errors="replace")
                if text.strip():
                    yield file.name, number, text
        if digests is not None:
            digests[file.name] = hashed.hexdigest()


class _Reader:
    def __init__(self, models: tuple[str, ...]) -> None:
        self.models = models
        self.times, self.symbols = array("q"), array("q")
        self.actions, self.confidences = array("b"), array("d")
        self.volatility, self.trend = array("d"), array("d")
        self.explicit, self.invalid = array("b"), array("b")
        self.places: list[tuple[str, int]] = []
        self.names: dict[str, int] = {}
        self.kinds: set[str] = set()
        self.quarantined: list[Quarantined] = []
        self.n_lines = self.n_without_zone = self.n_rejected_votes = 0

    def add(self, source: str, line: int, content: "str | Mapping[str, Any]") -> None:
        self.n_lines += 1
        problem = self._add(content, source, line)
        if problem is not None:
            self.quarantined.append(Quarantined(source=source, line=line, reason=problem[0], detail=problem[1]))

    def _add(self, content: "str | Mapping[str, Any]", source: str, line: int) -> tuple[str, str] | None:
        record = content
        if isinstance(record, str):
            try:
                record = json.loads(record)
            except ValueError as error:
                return "not_json", f"{error}: {str(content)[:80]!r}"
        if not isinstance(record, Mapping):
            return "not_an_object", f"a line must be a JSON object, not {str(content)[:80]!r}"
        symbol = record.get("symbol")
        if not isinstance(symbol, str) or not symbol.isprintable() or not symbol:
            return "bad_symbol", f"symbol is {symbol!r}"
        try:
            instant = read_instant(record.get("timestamp"))
        except InputError as error:
            return "bad_timestamp", str(error)
        ballot = read_ballot(record.get("base_predictions"), self.models)
        self.n_rejected_votes += len(ballot.rejected)
        if ballot.n_votes == 0:
            return "no_valid_vote", f"none of {', '.join(self.models)} has a usable vote: {ballot.rejected!r}"
        regime = read_regime(record.get("regime"))
        given = regime.origin == REGIME_GIVEN
        self.times.append(instant.microseconds)
        self.symbols.append(self.names.setdefault(symbol, len(self.names)))
        self.actions.extend(ballot.actions)
        self.confidences.extend(ballot.confidences)
        self.volatility.append(regime.volatility if given else np.nan)
        self.trend.append(regime.trend_strength if given else np.nan)
        self.explicit.append(ballot.n_explicit)
        self.invalid.append(regime.origin == REGIME_INVALID)
        self.places.append((source, line))
        self.n_without_zone += not instant.zoned
        kind = record.get("data_kind")
        self.kinds.add(kind if kind in {REAL, SYNTHETIC} else UNDECLARED)
        return None

    def log(self, digests: Mapping[str, str]) -> PredictionLog:
        n, n_models = len(self.times), len(self.models)
        names = tuple(sorted(self.names))
        ranks = np.zeros(len(names), dtype=np.int64)
        ranks[[self.names[name] for name in names]] = np.arange(len(names))
        times = np.frombuffer(self.times, dtype=np.int64)
        symbols = ranks[np.frombuffer(self.symbols, dtype=np.int64)]
        votes = VoteTable(
            models=self.models,
            actions=np.frombuffer(self.actions, dtype=np.int8).reshape(n, n_models),
            confidences=np.frombuffer(self.confidences, dtype=np.float64).reshape(n, n_models),
            volatility=np.frombuffer(self.volatility, dtype=np.float64),
            trend_strength=np.frombuffer(self.trend, dtype=np.float64),
            n_explicit=np.frombuffer(self.explicit, dtype=np.int8).astype(np.int64),
            regime_invalid=np.frombuffer(self.invalid, dtype=np.int8).astype(np.bool_),
        )
        order = np.lexsort((symbols, times))
        keep = order[self._one_per_event(order, times, symbols, votes)]
        return PredictionLog(
            times=times[keep],
            symbols=symbols[keep],
            symbol_names=names,
            votes=votes.take(keep),
            data_kind=self._data_kind(),
            n_lines=self.n_lines,
            n_without_zone=self.n_without_zone,
            n_rejected_votes=self.n_rejected_votes,
            quarantined=tuple(sorted(self.quarantined, key=lambda item: (item.source, item.line))),
            digests=dict(digests),
        )

    def _data_kind(self) -> str:
        if SYNTHETIC in self.kinds:
            return SYNTHETIC
        return REAL if self.kinds == {REAL} else UNDECLARED

    def _one_per_event(
        self, order: NDArray[np.int64], times: NDArray[np.int64], symbols: NDArray[np.int64], votes: VoteTable
    ) -> NDArray[np.bool_]:
        """Say which rows, in sorted order, are kept; the others are quarantined."""
        n = len(order)
        if n == 0:
            return np.zeros(0, dtype=np.bool_)
        features = votes.features()[order]
        time, symbol = times[order], symbols[order]
        repeats = np.concatenate([[False], (time[1:] == time[:-1]) & (symbol[1:] == symbol[:-1])])
        if not repeats.any():
            return np.ones(n, dtype=np.bool_)
        event = np.cumsum(~repeats) - 1
        first = np.flatnonzero(~repeats)[event]
        differs = (features != features[first]).any(axis=1)
        conflicting = np.bincount(event, weights=differs)[event] > 0
        for index in np.flatnonzero(repeats | conflicting):
            source, line = self.places[order[index]]
            reason = "conflicting_predictions" if conflicting[index] else "repeated_prediction"
            told = "other" if conflicting[index] else "the same"
            detail = f"{told} votes for the same time and symbol are in line {self.places[order[first[index]]][1]}"
            self.quarantined.append(Quarantined(source=source, line=line, reason=reason, detail=detail))
        kept: NDArray[np.bool_] = ~repeats & ~conflicting
        return kept
