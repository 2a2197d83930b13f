"""A search as tables, lines and files."""

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from meta_pipeline.canonical import JsonValue
from meta_pipeline.counted import counted
from meta_pipeline.hyperband.results import SearchResult
from meta_pipeline.report.spreadsheet import safe_cell
from meta_pipeline.report.table import Cell, Column, Kind, Table

_KINDS: Final = {"max_drawdown": Kind.PERCENT}
_SHOWN_METRICS = ("sharpe_ratio", "profit_factor", "max_drawdown", "alpha_persistence")


def top_table(result: SearchResult, *, limit: int) -> Table:
    """Return the configurations with all of R, the best first."""
    known = [name for name in _SHOWN_METRICS if any(name in top.result.metrics for top in result.top)]
    columns = (
        Column(key="rank", header="Rank", kind=Kind.COUNT),
        Column(key="slot", header="Slot"),
        Column(key="value", header="Value", kind=Kind.NUMBER),
        Column(key="improvement", header="Beside live", kind=Kind.SIGNED_PERCENT),
        *(
            Column(key=name, header=name.replace("_", " ").capitalize(), kind=_KINDS.get(name, Kind.NUMBER))
            for name in known
        ),
        Column(key="viable", header="Viable"),
    )
    rows: list[dict[str, Cell]] = [
        {
            "rank": top.rank,
            "slot": str(top.entry.slot),
            "value": top.result.value,
            "improvement": top.improvement,
            **{name: top.result.metrics.get(name) for name in known},
            "viable": "yes" if top.is_feasible else "no",
        }
        for top in result.top[:limit]
    ]
    if result.live is None:
        columns = tuple(column for column in columns if column.key != "improvement")
    return Table(
        title=f"Top configurations of {result.settings.name}",
        columns=columns,
        rows=tuple(rows),
        empty="None has had the whole resource yet: meta-pipeline search resume NAME",
    )


def status_table(results: Sequence[SearchResult]) -> Table:
    """Return how far each search is."""
    return Table(
        title="Searches",
        columns=(
            Column(key="name", header="Name"),
            Column(key="state", header="State"),
            Column(key="evaluations", header="Evaluations"),
            Column(key="done", header="Done", kind=Kind.PERCENT),
            Column(key="failures", header="Failures", kind=Kind.COUNT),
            Column(key="best", header="Best value", kind=Kind.NUMBER),
            Column(key="at", header="at units", kind=Kind.COUNT),
            Column(key="digest", header="Digest"),
        ),
        rows=tuple(
            {
                "name": result.settings.name,
                "state": "finished" if result.is_finished else "to be resumed",
                "evaluations": f"{result.progress.evaluations}/{result.progress.evaluations_planned}",
                "done": result.progress.finished_share,
                "failures": result.progress.failures,
                "best": result.progress.best_value,
                "at": result.progress.best_resource,
                "digest": result.digest[:12],
            }
            for result in results
        ),
        empty="None yet: meta-pipeline search run",
    )


def status_json(result: SearchResult) -> dict[str, JsonValue]:
    """Return how far a search is, as JSON: the result without its lists."""
    apart = {"top_configs", "settings"}
    return {key: value for key, value in result.to_json().items() if key not in apart}


def summary_lines(result: SearchResult) -> Iterator[str]:
    """Say in words what was done, and what may be made of it."""
    done = result.progress
    n_configurations = len(result.entries) - (result.live is not None)
    yield (
        f"{counted(done.evaluations, 'evaluation')} of {counted(n_configurations, 'configuration')}, "
        f"{counted(done.units, 'unit')}, {done.at_top} with all {result.settings.maximum_resource}; "
        f"{done.failures} failed; {done.cpu_seconds:,.0f} s of processor time."
    )
    engine = result.settings.described.get("engine")
    if engine is not None:
        versions: Any = result.settings.described.get("versions") or []
        yield f"Forests by {engine} ({', '.join(versions)})."
    if not result.settings.is_deterministic:
        yield "Promoted asynchronously: the same search may find something else."
    if result.candidate is None:
        yield f"No candidate: {result.reason}."
    else:
        yield (
            f"Candidate: {result.candidate.entry.slot}. It is the best of many, which proves nothing yet: "
            "the gates decide whether it is a winner."
        )


def gates_table(verdict: Mapping[str, Any]) -> Table:
    """Return the gates of a verdict, each with its figure beside the threshold; not reached means not passed."""
    return Table(
        title="Gates",
        columns=(
            Column(key="gate", header="Gate"),
            Column(key="passed", header="Passed"),
            Column(key="value", header="Value", kind=Kind.NUMBER),
            Column(key="threshold", header="Threshold"),
            Column(key="reason", header="Why"),
        ),
        rows=tuple(
            {
                "gate": gate["name"].replace("_", " "),
                "passed": "yes" if gate["passed"] else "no",
                "value": gate["value"],
                "threshold": f"{'>=' if gate['at_least'] else '<='} {gate['threshold']:g}",
                "reason": gate["reason"] or "-",
            }
            for gate in verdict["gates"]
        ),
        empty="None was reached.",
    )


def triggers_table(strategy: str, watched: Sequence[Mapping[str, Any]]) -> Table:
    """Return every trigger of a strategy's real outcomes, each with its figure beside the threshold."""
    return Table(
        title=f"Outcomes of {strategy}",
        columns=(
            Column(key="source", header="Of"),
            Column(key="trigger", header="Trigger"),
            Column(key="value", header="Value", kind=Kind.NUMBER),
            Column(key="threshold", header="Threshold", kind=Kind.NUMBER),
            Column(key="state", header="State"),
            Column(key="reason", header="Over what"),
        ),
        rows=tuple(
            {
                "source": one["source"],
                "trigger": trigger["name"],
                "value": trigger["value"],
                "threshold": trigger["threshold"],
                "state": "FIRED" if trigger["fired"] else "unknown" if trigger["value"] is None else "quiet",
                "reason": "; ".join(filter(None, (trigger["reason"], one["note"]))),
            }
            for one in watched
            for trigger in one["triggers"]
        ),
        empty=f"{strategy} has traded in no book, and no experiment of it is running: meta-pipeline search shadow NAME",
    )


def write_files(result: SearchResult, folder: Path) -> list[Path]:
    """Write the documented files of a search into a folder, each whole or not at all.

    Returns
    -------
    list
        The paths: top_configs.json, optimization_history.csv, hyperband_results.json.
    """
    folder.mkdir(parents=True, exist_ok=True)
    whole = result.to_json(history=True)
    texts = {
        "top_configs.json": _json({"search": result.settings.name, "top_configs": whole["top_configs"]}),
        "optimization_history.csv": _csv(result),
        "hyperband_results.json": _json(whole),
    }
    written = []
    for name, text in texts.items():
        path = folder / name
        partial = folder / f".{name}.partial"
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
        written.append(path)
    return written


def _json(value: JsonValue) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _csv(result: SearchResult) -> str:
    """Return one line per evaluation; parameters and metrics are columns, metrics with a prefix.

    A text that a spreadsheet would take for a formula gets an apostrophe.
    """
    metrics = sorted(
        {name for entry in result.entries.values() for rung in entry.rungs.values() for name in rung.metrics}
    )
    first = ("slot", "iteration", "bracket", "number", "resource", "value", "error")
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = result.settings.space.names
    writer.writerow((*first, *map(safe_cell, names), *(f"metric_{name}" for name in metrics)))
    for row in result.history():
        config, found = row["config"], row["metrics"]
        assert isinstance(config, dict)
        assert isinstance(found, dict)
        values = (*(row[name] for name in first), *(config[name] for name in names), *map(found.get, metrics))
        writer.writerow([safe_cell(value) if isinstance(value, str) else value for value in values])
    return text.getvalue()
