"""The decision log: JSON lines that hold each question and its decision, so that a log can be decided again.

The first line says under which settings and model; every later line holds one question, the state it was asked in,
and the decision. `replay` decides every question again and compares the lines byte for byte.
"""

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Final, NamedTuple, cast

import numpy as np

from meta_pipeline.canonical import JsonValue, canonical_json
from meta_pipeline.errors import InputError
from meta_pipeline.meta_model.arbiter import MarketSnapshot, arbitrate
from meta_pipeline.meta_model.ballot import printable_name
from meta_pipeline.meta_model.decide import decide
from meta_pipeline.meta_model.decision import Decision
from meta_pipeline.meta_model.decision_settings import DecisionSettings
from meta_pipeline.meta_model.model import MetaModel, Predictor
from meta_pipeline.meta_model.state import FRESH, AgentState

LOG_VERSION: Final = 1
_MARK: Final = "$"


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """Everything a decision was asked with. `market` and `acceptance` are there only where an arbiter was."""

    predictions: object
    regime: object = None
    symbol: str | None = None
    market: MarketSnapshot | None = None
    acceptance: float | None = None
    state: AgentState = FRESH

    def answer(self, model: Predictor | None, settings: DecisionSettings) -> Decision:
        """Decide it."""
        decision = decide(
            self.predictions, self.regime, model=model, settings=settings, symbol=self.symbol, state=self.state
        )
        if self.acceptance is None:
            return decision
        return arbitrate(decision, self.market, acceptance=self.acceptance)


@dataclass(frozen=True, kw_only=True)
class ReplayReport:
    """What replaying a log found: decisions replayed, and the numbers of the lines that came out differently."""

    n_decisions: int
    differing_lines: tuple[int, ...]
    model_sha256: str | None
    first_difference: str | None

    @property
    def identical(self) -> bool:
        """Whether every decision came out the same, byte for byte."""
        return not self.differing_lines


def header_line(settings: DecisionSettings, model: MetaModel | None) -> str:
    """Return the first line of a log, without its line end."""
    return canonical_json(
        {
            "log_version": LOG_VERSION,
            "settings": as_json(settings.as_dict()),
            "model_sha256": None if model is None else model.sha256,
        }
    )


def decision_line(question: Question, decision: Decision) -> str:
    """Return the line of one decision, without its line end."""
    return canonical_json(
        {
            "predictions": as_json(question.predictions),
            "regime": as_json(question.regime),
            "symbol": as_json(question.symbol),
            "market": None if question.market is None else asdict(question.market),
            "acceptance": question.acceptance,
            "state": question.state.as_dict(),
            "decision": decision.as_dict(),
        }
    )


def logged_model(first_line: str) -> str | None:
    """Return the address of the model a log was written with, None if it had none.

    Raises
    ------
    InputError
        If the line is not the header of a log.
    """
    address = _header(first_line)["model_sha256"]
    return None if address is None else str(address)


def replay(lines: Iterable[str], model: Predictor | None) -> ReplayReport:
    """Decide every question of a log again.

    Parameters
    ----------
    lines
        The lines of the log, header first, with or without line ends.
    model
        The model the header names.

    Raises
    ------
    InputError
        If the log cannot be read, or was written with another model.
    """
    numbered = enumerate(lines, start=1)
    first = next(numbered, None)
    if first is None:
        raise InputError("the decision log is empty; it must start with a header line")
    header = _header(first[1])
    given = None if model is None else model.sha256
    if header["model_sha256"] != given:
        raise InputError(f"the log was written with model {header['model_sha256']}, but {given} was given")
    settings = _settings(header["settings"])
    differing, n, example = [], 0, None
    for number, line, question in _questions(numbered):
        n += 1
        again = decision_line(question, question.answer(model, settings))
        if again != line:
            differing.append(number)
            example = example or f"line {number} says {line} but replays as {again}"
    return ReplayReport(n_decisions=n, differing_lines=tuple(differing), model_sha256=given, first_difference=example)


def as_json(value: object) -> JsonValue:
    """Turn whatever was handed in into JSON that `from_json` reads back as something decided alike.

    Numbers that JSON lacks become {"$float": "nan"}; objects it lacks {"$object": type}, which no reader of votes
    accepts either.
    """
    if isinstance(value, Mapping):
        members = {printable_name(key): as_json(item) for key, item in value.items()}
        # A caller's own mapping that looks like one of our marks is wrapped, so that it reads back as itself.
        return {"$mapping": members} if any(key.startswith(_MARK) for key in members) else members
    if isinstance(value, list | tuple) and not isinstance(value, _Opaque):
        return [as_json(item) for item in value]
    return _scalar_as_json(value)


def from_json(value: Any) -> object:
    """Read back what `as_json` wrote."""
    if isinstance(value, list):
        return [from_json(item) for item in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        (mark, content), *_ = value.items()
        if mark == "$float":
            return float(content)
        if mark == "$object":
            return _Opaque(str(content))
        if mark == "$mapping":
            return {key: from_json(item) for key, item in content.items()}
    return {key: from_json(item) for key, item in value.items()}


class _Opaque(NamedTuple):
    """Stands for an object that JSON could not hold, under the name of its type."""

    type_name: str


def _scalar_as_json(value: object) -> JsonValue:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int | float | np.integer | np.floating):
        return _number_as_json(value)
    if isinstance(value, str) and value.isprintable():
        return str(value)
    return {"$object": value.type_name if isinstance(value, _Opaque) else type(value).__name__}


def _number_as_json(value: "int | float | np.integer | np.floating") -> JsonValue:
    try:
        number = float(value)
    except OverflowError:
        number = math.inf if value > 0 else -math.inf
    if not math.isfinite(number):
        return {"$float": repr(number)}
    return int(value) if isinstance(value, int | np.integer) else number


def _header(line: str) -> dict[str, Any]:
    try:
        header = json.loads(line)
        assert header["log_version"] == LOG_VERSION
        assert {"settings", "model_sha256"} <= set(header)
    except (AssertionError, KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"line 1 is not the header of a decision log of version {LOG_VERSION}: {line[:200]!r}"
        ) from error
    return dict(header)


def _settings(values: dict[str, Any]) -> DecisionSettings:
    known = {item.name for item in fields(DecisionSettings) if item.init}
    if set(values) != known:
        raise InputError(f"the log's settings have {sorted(set(values) ^ known)} too many or too few")
    tuples: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in values.items()
    }
    return DecisionSettings(**tuples)


def _questions(numbered: Iterable[tuple[int, str]]) -> Iterator[tuple[int, str, Question]]:
    for number, raw in numbered:
        line = raw.rstrip("\r\n")
        if not line:
            continue
        try:
            record = json.loads(line)
            market = None if record["market"] is None else MarketSnapshot(**record["market"])
            question = Question(
                predictions=from_json(record["predictions"]),
                regime=from_json(record["regime"]),
                symbol=cast("str | None", from_json(record["symbol"])),
                market=market,
                acceptance=record["acceptance"],
                state=AgentState.from_dict(record["state"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"line {number} of the decision log cannot be read ({error!r}): {line[:200]!r}") from error
        yield number, line, question
