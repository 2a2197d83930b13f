"""`meta-pipeline strategies`: declare strategies, look at their knobs and live configurations."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from meta_pipeline.canonical import JsonValue
from meta_pipeline.cli import common
from meta_pipeline.cli.common import AsJson
from meta_pipeline.counted import counted
from meta_pipeline.errors import InputError

if TYPE_CHECKING:
    from rich.console import Console

    from meta_pipeline.proposals.strategy import Strategy
    from meta_pipeline.report.table import Table
    from meta_pipeline.store.strategies import LiveConfig, StrategyRecord

app = typer.Typer(no_args_is_help=True, help="Declare strategies, their knobs and live configuration.")

_FIELDS = {"strategy_id", "family", "description", "knobs", "live_config", "risk_limits"}


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """List the declared strategies."""
    from meta_pipeline.store import strategies

    with common.open_database() as database, database.connect() as connection:
        records = strategies.list_strategies(connection)
        undeclared = strategies.list_undeclared(connection)

    def human(console: "Console") -> None:
        from meta_pipeline.report.table import Column, Kind, Table
        from meta_pipeline.report.text import visible

        table = Table(
            title="Strategies",
            columns=(
                Column(key="id", header="Strategy"),
                Column(key="family", header="Family"),
                Column(key="knobs", header="Knobs", kind=Kind.COUNT),
                Column(key="version", header="Live version", kind=Kind.COUNT),
                Column(key="description", header="Description"),
            ),
            rows=tuple(
                {
                    "id": record.strategy.strategy_id,
                    "family": record.strategy.family or "-",
                    "knobs": len(record.strategy.knobs),
                    "version": record.live_version,
                    "description": record.strategy.description or "-",
                }
                for record in records
            ),
            empty="None yet: meta-pipeline strategies declare FILE",
        )
        console.print(table.rich())
        if undeclared:
            console.print(f"With runs, but not declared: {', '.join(map(visible, undeclared))}", markup=False)

    payload: JsonValue = {"strategies": [strategy_json(record) for record in records], "undeclared": [*undeclared]}
    common.emit(payload, as_json=as_json, human=human)


@app.command()
def show(strategy_id: Annotated[str, typer.Argument(help="The strategy.")], as_json: AsJson = False) -> None:
    """Show a strategy: knobs, live configuration, and every version of it."""
    from meta_pipeline.store import strategies

    with common.open_database() as database, database.connect() as connection:
        record = strategies.load(connection, strategy_id)
        versions = strategies.versions(connection, strategy_id)

    def human(console: "Console") -> None:
        import json

        from meta_pipeline.report.text import visible

        console.print(visible(f"{strategy_id}: {record.strategy.description or 'no description'}"), markup=False)
        console.print(_knobs_table(record).rich())
        console.print(f"Live configuration, version {record.live_version} ({record.live_digest[:12]}):", markup=False)
        text = json.dumps(record.strategy.live_config, indent=2, sort_keys=True, ensure_ascii=False)
        console.print("\n".join(visible(line) for line in text.splitlines()), markup=False)
        console.print(_versions_table(versions).rich())

    payload: JsonValue = {**strategy_json(record), "versions": [_version_json(version) for version in versions]}
    common.emit(payload, as_json=as_json, human=human)


@app.command()
def declare(
    file: Annotated[Path, typer.Argument(help="JSON or YAML: strategy_id, knobs, live_config, family, risk_limits.")],
    as_json: AsJson = False,
) -> None:
    """Declare a strategy, or declare it again with other knobs. The live configuration is never moved by this."""
    from meta_pipeline.store import strategies

    strategy = read_strategy(file)
    with common.open_database() as database, database.begin() as connection:
        done = strategies.declare(connection, strategy, actor=common.actor(), now=common.time_of(database))
    told = "declared" if done.created else f"changed: {', '.join(done.changed)}" if done.changed else "as it was"
    payload: JsonValue = {
        "strategy_id": done.strategy_id,
        "created": done.created,
        "changed": list(done.changed),
        "live_version": done.live_version,
    }
    common.emit(
        payload,
        as_json=as_json,
        human=lambda console: console.print(
            f"{done.strategy_id}: {told}; live version {done.live_version}", markup=False
        ),
    )


@app.command()
def limit(
    strategy_id: Annotated[str, typer.Argument(metavar="STRATEGY", help="The strategy.")],
    max_changes: Annotated[int | None, typer.Option(min=0, help="Most changes within --window-hours.")] = None,
    window_hours: Annotated[float | None, typer.Option(help="The hours in which changes are counted.")] = None,
    owner: Annotated[str | None, typer.Option(help="Who answers for the strategy.")] = None,
    as_json: AsJson = False,
) -> None:
    """Set a strategy's own limits and owner, in place of those there were; what is left out is as the settings say."""
    from meta_pipeline.store import limits

    wanted = limits.Limits(strategy_id=strategy_id, owner=owner, max_changes=max_changes, window_hours=window_hours)
    with common.open_database() as database:
        now = common.time_of(database)
        with database.begin() as connection:
            done = limits.set_limits(connection, wanted, actor=common.actor(), now=now)
    most = (
        "as the settings say"
        if done.max_changes is None or done.window_hours is None
        else f"{done.max_changes} in {counted(done.window_hours, 'hour')}"
    )
    payload: JsonValue = {
        "strategy_id": strategy_id,
        "owner": done.owner,
        "max_changes": done.max_changes,
        "window_hours": done.window_hours,
    }
    common.emit(
        payload,
        as_json=as_json,
        human=lambda console: console.print(
            f"{strategy_id}: at most {most}; owner {done.owner or 'who declared it'}", markup=False
        ),
    )


def read_strategy(file: Path) -> "Strategy":
    """Read a declaration from a JSON or YAML file.

    Raises
    ------
    InputError
        If the file cannot be read, or says something that a declaration cannot.
    """
    from meta_pipeline.proposals.knobs import knob_of
    from meta_pipeline.proposals.parameters import RiskLimits
    from meta_pipeline.proposals.strategy import Strategy

    declared = _read(file)
    unknown, missing = sorted(set(declared) - _FIELDS), sorted({"strategy_id", "knobs", "live_config"} - set(declared))
    if unknown or missing:
        raise InputError(f"{file}: unknown fields {unknown}, missing fields {missing}; there are {sorted(_FIELDS)}")
    for name, wanted in (
        ("strategy_id", str),
        ("family", str),
        ("description", str),
        ("live_config", dict),
        ("risk_limits", dict),
    ):
        if not isinstance(declared.get(name, wanted()), wanted):
            raise InputError(f"{file}: {name} is {declared[name]!r}; it must be {_KINDS[wanted]}")
    knobs = declared["knobs"]
    if not isinstance(knobs, list) or not all(isinstance(knob, dict) for knob in knobs):
        raise InputError(f"{file}: knobs must be a list of objects, each with a path and a knob_type")
    limits = RiskLimits.from_json(declared.get("risk_limits", {}))
    return Strategy(**{**declared, "knobs": tuple(knob_of(knob) for knob in knobs), "risk_limits": limits})


_TYPES: tuple[tuple[str, type], ...] = (
    ("strategy_id", str),
    ("family", str),
    ("description", str),
    ("live_config", dict),
    ("risk_limits", dict),
)
_KINDS: dict[type, str] = {str: "a text", dict: "an object"}


def _read(file: Path) -> dict[str, Any]:
    import json

    import yaml

    # JSON is read as JSON: YAML takes 1e-3 for a text.
    load = json.loads if file.suffix.lower() == ".json" else yaml.safe_load
    try:
        declared = load(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, ValueError) as error:
        raise InputError(f"{file} is neither JSON nor YAML: {error}") from error
    if not isinstance(declared, dict):
        raise InputError(f"{file} holds a {type(declared).__name__}; a declaration is an object")
    return declared


def strategy_json(record: "StrategyRecord") -> dict[str, JsonValue]:
    """Return a strategy as a JSON object, in the form that `declare` reads, and its live version."""
    strategy = record.strategy
    return {
        "strategy_id": strategy.strategy_id,
        "family": strategy.family,
        "description": strategy.description,
        "knobs": [knob.to_json() for knob in strategy.knobs],
        "live_config": dict(strategy.live_config),
        "risk_limits": strategy.risk_limits.to_json(),
        "live_version": record.live_version,
        "live_digest": record.live_digest,
        "created_by": record.created_by,
        "created_at": record.created_at.isoformat(),
    }


def _version_json(version: "LiveConfig") -> dict[str, JsonValue]:
    return {
        "version": version.version,
        "config": dict(version.config),
        "digest": version.digest,
        "action": version.action,
        "change_id": version.change_id,
        "created_by": version.created_by,
        "created_at": version.created_at.isoformat(),
    }


def _knobs_table(record: "StrategyRecord") -> "Table":
    from meta_pipeline.proposals.configs import level_at
    from meta_pipeline.report.table import Column, Table
    from meta_pipeline.report.tables import level_text

    return Table(
        title="Knobs",
        columns=(
            Column(key="path", header="Knob"),
            Column(key="live", header="Live"),
            Column(key="type", header="Type"),
            Column(key="allowed", header="Allowed"),
            Column(key="step", header="Largest step"),
            Column(key="risk", header="Risk"),
            Column(key="may", header="May be changed"),
        ),
        rows=tuple(
            {
                "path": knob.path,
                "live": level_text(level_at(record.strategy.live_config, knob.path)),
                "type": knob.knob_type,
                "allowed": _allowed(knob.lower, knob.upper, knob.choices),
                "step": "-" if knob.max_step is None else f"{knob.max_step:g}",
                "risk": str(knob.risk_direction).replace("_", " "),
                "may": "yes" if knob.changeable else "no",
            }
            for knob in record.strategy.knobs
        ),
        empty="None declared, so nothing can be proposed.",
    )


def _allowed(lower: float | None, upper: float | None, choices: tuple[JsonValue, ...] | None) -> str:
    bounds = "" if lower is None and upper is None else f"{_bound(lower)} to {_bound(upper)}"
    listed = "" if choices is None else "one of " + ", ".join(str(choice) for choice in choices)
    return "; ".join(part for part in (bounds, listed) if part) or "anything of its type"


def _bound(number: float | None) -> str:
    return "any" if number is None else f"{number:g}"


def _versions_table(versions: "list[LiveConfig]") -> "Table":
    from meta_pipeline.report.table import Column, Table, day

    return Table(
        title="Versions",
        columns=(
            Column(key="version", header="Version"),
            Column(key="action", header="By"),
            Column(key="change", header="Change"),
            Column(key="who", header="Who"),
            Column(key="at", header="When"),
        ),
        rows=tuple(
            {
                "version": str(version.version),
                "action": version.action,
                "change": version.change_id or "-",
                "who": version.created_by,
                "at": day(version.created_at),
            }
            for version in versions
        ),
    )
