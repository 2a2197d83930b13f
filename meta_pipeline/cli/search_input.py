"""What `meta-pipeline search` is told, as what the search takes: executors, evaluators' settings, configurations."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from meta_pipeline.errors import InputError

if TYPE_CHECKING:
    from meta_pipeline.hyperband.executors import Executor

FORESTS = "meta_pipeline.hyperband.forest_evaluator:build"
"""The built-in strategy; `forest_strategy.FORESTS`, without what that imports."""


def executor_named(kind: str, workers: int | None, scheduler: str | None) -> "Executor":
    """Return the executor of a name.

    Raises
    ------
    InputError
        If a scheduler is given to another than Dask, or the executor is Dagster's, which is launched there.
    """
    from meta_pipeline.hyperband.executors import InProcess, LocalPool

    if kind == "dagster":
        raise InputError("launch the job hyperband_search in Dagster to go on with a search there")
    if scheduler is not None and kind != "dask":
        raise InputError(f"--scheduler {scheduler} is for --executor dask, and the executor is {kind}")
    if kind == "in-process":
        return InProcess()
    if kind == "dask":
        from meta_pipeline.hyperband.dask_executor import DaskExecutor

        return DaskExecutor(scheduler, workers=workers if scheduler else workers or _cores())
    return LocalPool(workers or _cores())


def evaluator_settings(
    evaluator: str,
    data: Path | None,
    symbols: str | None,
    *,
    r: int,
    eta: int,
    more: list[str],
    origin: str | None = None,
) -> dict[str, Any]:
    """Return the JSON settings of an evaluator.

    Raises
    ------
    InputError
        If a setting is no KEY=JSON, or --data is given to somebody else's strategy.
    """
    import json

    settings: dict[str, Any] = {}
    if evaluator == FORESTS:
        named = [symbol.strip() for symbol in symbols.split(",")] if symbols else None
        if origin is not None and data is None:
            raise InputError("--origin is about a file: give --data as well")
        source: dict[str, Any] = {"path": None if data is None else str(data.expanduser().absolute()), "symbols": named}
        source |= {} if origin is None else {"origin": origin}
        settings = {"data": source, "max_resource": r, "eta": eta}
    elif data is not None or symbols is not None:
        raise InputError(f"--data and --symbols are of the built-in strategy; {evaluator} takes --set KEY=JSON")
    for item in more:
        key, equals, text = item.partition("=")
        if not (key and equals):
            raise InputError(f"--set {item!r} is not KEY=JSON, as in --set horizon=12")
        try:
            value = json.loads(text)
        except json.JSONDecodeError as error:
            raise InputError(f"--set {item!r}: {text!r} is no JSON ({error}); texts need quotes: '\"auto\"'") from error
        _put(settings, key, value)
    return settings


def _put(settings: dict[str, Any], key: str, value: Any) -> None:
    """Set `key`, or `outer.inner` within an object that is there."""
    outer, dot, inner = key.partition(".")
    if dot and isinstance(settings.get(outer), dict):
        settings[outer][inner] = value
    else:
        settings[key] = value


def described_by(evaluator: object) -> dict[str, Any]:
    """Return what an evaluator says of itself for people, if it says anything."""
    describe = getattr(evaluator, "describe", None)
    return dict(describe()) if callable(describe) else {}


def usual_name(data: Path | None, fingerprint: str, rest: str) -> str:
    """Return the name of a search that has none: the same for the same data, code and settings, so that it goes on."""
    return f"{'lab' if data is None else data.stem}-{fingerprint[:8]}-{rest}"


def read_object(path: Path) -> dict[str, Any]:
    """Read a configuration from a JSON file.

    Raises
    ------
    InputError
        If it cannot be read, or is no object.
    """
    import json

    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read a configuration from {path}: {error}") from error
    if not isinstance(found, dict):
        raise InputError(f"{path} holds {type(found).__name__}; a configuration is a JSON object")
    return found


def one_thread_each() -> None:
    """Let each worker process compute with one thread: two cores have room for two, not for two times two."""
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
        os.environ.setdefault(variable, "1")


def worker_name() -> str:
    """Return who this process is, for leases."""
    import socket

    return f"{socket.gethostname()}/{os.getpid()}"


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
