"""The four-model strategy as one that is declared like any other: 22 knobs, a live configuration, and its searches.

Belongs here: the declaration, the search that a declaration asks for, and whether prices are real enough for parameters
to be taken from. Does not belong here: what becomes of a winner (store.search_cycle).

The live configuration has two parts: `parameters`, the 22, which proposals may change one by one or, since a search
tries them together only, as the one knob `parameters`; and `strategy`, what is fixed (data, costs, horizon), which no
proposal may touch.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from meta_pipeline.canonical import JsonValue, digest
from meta_pipeline.errors import Blocked, InputError
from meta_pipeline.hyperband.protocol import ParameterValue, Reference
from meta_pipeline.hyperband.search_settings import SearchSettings
from meta_pipeline.hyperband.strategy_settings import StrategySettings
from meta_pipeline.hyperband.strategy_space import CHOICES, SPACE
from meta_pipeline.proposals.knobs import Knob, RiskDirection
from meta_pipeline.proposals.strategy import Strategy

FOREST_LAB: Final = "FOREST_LAB"
"""The strategy on the lab's prices."""
FORESTS: Final = "meta_pipeline.hyperband.forest_evaluator:build"
"""The built-in evaluator."""
PARAMETERS: Final = "parameters"
FIXED: Final = "strategy"

USUAL: Final[Mapping[str, ParameterValue]] = {
    **{name: choices[(len(choices) - 1) // 2] for name, choices in CHOICES.items()},
    "momentum_threshold": 1.78,
    "position_range_min": 0.464,
    "position_range_max": 0.8,
    "confidence_threshold": 0.6,
    "exit_threshold": 0.5,
}
"""What the strategy begins with: the predecessor's documented thresholds, and the middle of every other range."""

_RISK: Final = {
    "momentum_threshold": RiskDirection.HIGHER_IS_RISKIER,  # fewer moves are too strong to trade against
    "position_range_min": RiskDirection.HIGHER_IS_RISKIER,
    "position_range_max": RiskDirection.HIGHER_IS_RISKIER,
    "confidence_threshold": RiskDirection.LOWER_IS_RISKIER,
}
_NOT_REAL: Final = re.compile(
    r"synthe|simulat|generated|artificial|made.?up|\b(random|fake|toy|test|bootstrap)", re.IGNORECASE
)
_NAME: Final = re.compile(r"(?P<strategy>.+)-\d{4}-\d{2}-\d{2}-r\d+-eta\d+-[0-9a-f]{8}")


def declaration(
    strategy_id: str = FOREST_LAB,
    *,
    fixed: Mapping[str, Any] | None = None,
    parameters: Mapping[str, ParameterValue] = USUAL,
) -> Strategy:
    """Return the strategy as it is declared.

    Parameters
    ----------
    fixed
        Settings as `StrategySettings.from_json` reads them; R and eta belong to a search, not to the strategy.

    Raises
    ------
    InputError
        If a setting or a parameter is not valid.
    """
    settings = dict(fixed or {})
    StrategySettings.from_json(settings)
    if {"max_resource", "eta", "rungs"} & set(settings):
        raise InputError("max_resource, eta and rungs are a search's; leave them out of the strategy")
    checked = SPACE.check(parameters)
    config: dict[str, JsonValue] = {PARAMETERS: dict(checked), FIXED: settings}
    return Strategy(
        strategy_id=strategy_id,
        family="forest",
        description="Four forests decide entry, size, exit and approval; see docs/forest-strategy.md",
        knobs=(Knob(path=PARAMETERS, knob_type="json"), *(_knob(name) for name in CHOICES)),
        live_config=config,
    )


def _knob(name: str) -> Knob:
    choices = CHOICES[name]
    kinds = {type(choice) for choice in choices}
    numbers = [float(choice) for choice in choices if not isinstance(choice, str)] if kinds <= {int, float} else []
    return Knob(
        path=f"{PARAMETERS}.{name}",
        knob_type="json" if not numbers else "int" if kinds == {int} else "float",
        choices=choices,
        risk_direction=_RISK.get(name, RiskDirection.UNKNOWN),
        lower=min(numbers, default=None),
        upper=max(numbers, default=None),
    )


def parameters_of(config: Mapping[str, JsonValue]) -> dict[str, ParameterValue]:
    """Return the 22 parameters of a live configuration.

    Raises
    ------
    InputError
        If the configuration is not one of this strategy.
    """
    found = config.get(PARAMETERS)
    if not isinstance(found, Mapping) or not isinstance(config.get(FIXED), Mapping):
        raise InputError(
            f"the live configuration has no {PARAMETERS!r} and {FIXED!r}: it is not of the four-model strategy; "
            "declare one with: meta-pipeline search declare"
        )
    return as_declared(found)


def as_declared(parameters: Mapping[str, Any]) -> dict[str, ParameterValue]:
    """Return parameters that were read from JSON, which writes 2.0 as 2, with the types that they are declared with.

    Raises
    ------
    InputError
        As `Space.check`.
    """
    typed = {
        name: next((float(value) for c in CHOICES.get(name, ()) if type(c) is float and c == value), value)
        if type(value) is int
        else value
        for name, value in parameters.items()
    }
    return SPACE.check(typed)


def search_of(
    strategy_id: str,
    config: Mapping[str, JsonValue],
    *,
    maximum_resource: int,
    eta: int = 3,
    seed: int = 0,
    iterations: int = 1,
    until: str | None = None,
) -> SearchSettings:
    """Return the search for better parameters of a declared strategy, beside its live configuration.

    Its name says all that it depends on: asked for again on the same data and the same live configuration it is the
    same search, which goes on where it was, and costs nothing once it is finished.

    Parameters
    ----------
    until
        As-of day: bars after it are left out. None: all there are.
    """
    from meta_pipeline.hyperband.forest_evaluator import ForestEvaluator

    live = parameters_of(config)
    fixed = dict(config[FIXED])  # type: ignore[arg-type]  # `parameters_of` has looked
    if until is not None:
        data: Any = fixed.get("data")
        fixed["data"] = {**(data or {}), "until": until}
    evaluator = Reference(target=FORESTS, settings={**fixed, "max_resource": maximum_resource, "eta": eta})
    built = evaluator.build()
    assert isinstance(built, ForestEvaluator), "the built-in strategy"
    newest = max(series.times[-1] for series in built.bars).astype("datetime64[D]")
    known = digest([built.fingerprint, live, seed])[:8]
    return SearchSettings(
        name=f"{strategy_id}-{newest}-r{maximum_resource}-eta{eta}-{known}",
        maximum_resource=maximum_resource,
        eta=eta,
        seed=seed,
        iterations=iterations,
        live_config=live,
        evaluator=evaluator,
        fingerprint=built.fingerprint,
        space=built.space,
        described=built.describe(),
    )


def strategy_searched(search_name: str) -> str | None:
    """Return the strategy whose search has a name that `search_of` gives; None for other names."""
    found = _NAME.fullmatch(search_name)
    return None if found is None else found["strategy"]


def require_real(target: str, settings: Mapping[str, Any]) -> dict[str, JsonValue]:
    """Return where a search's prices came from, if parameters may be taken from them.

    The lab's prices are real. Of a file nobody can tell, so whoever searched it has to have said who recorded it.

    Raises
    ------
    Blocked
        If the evaluator is another one, the origin is not stated, or it says that prices were made.
    """
    if target != FORESTS:
        raise Blocked(f"{target} is not the built-in strategy: nobody here knows where its prices come from")
    data = settings.get("data") or {}
    path, origin = data.get("path"), data.get("origin")
    if path is None:
        return {"source": "lab", "origin": "daily prices of the package arch", "symbols": data.get("symbols")}
    marked = _file_says(path)
    if not (isinstance(origin, str) and origin.strip()):
        raise Blocked(
            f"nobody has said who recorded the prices of {path}; search again with --origin 'who recorded them, when'"
        )
    for said in (origin, marked, path.rsplit("/", 1)[-1]):
        if _NOT_REAL.search(said):
            raise Blocked(
                f"the prices of {path} are not real ({said!r}): parameters are never taken from synthetic data; search "
                "on recorded prices"
            )
    return {"source": path, "origin": origin.strip(), "symbols": data.get("symbols")}


def _file_says(path: str) -> str:
    """Return the origin that a Parquet file carries in its own metadata; empty if it carries none."""
    if not path.endswith((".parquet", ".pq")):
        return ""
    from pyarrow import parquet

    try:
        found = parquet.read_schema(path).metadata or {}
    except OSError as error:
        raise Blocked(f"{path} cannot be read any more: {error}; its prices' origin cannot be checked") from error
    return str(found.get(b"origin", b"").decode("utf-8", "replace"))
