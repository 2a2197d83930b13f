"""What an approver reads of a search's winner: every gate with its figure, and how deep it fell.

Belongs here: rows of the parts "Effect" and "Downside" of such a proposal's sheet. Does not belong here: the sheet
(approval), or the search's own tables (search).
"""

from collections.abc import Mapping
from typing import Any

from meta_pipeline.counted import counted

Rows = list[tuple[str, str | None]]


def evidence_rows(metrics: Mapping[str, Any]) -> Rows:
    """Return what a winner's proposal rests on: where it was found, and every gate. Empty for other evidence."""
    if metrics.get("kind") != "search":
        return []
    verdict, data = metrics["verdict"], metrics["data"]
    return [
        (
            "Evidence",
            f"winner of the search {metrics['search']}, the best of {counted(verdict['trials'], 'configuration')}",
        ),
        ("Prices", f"{data['source']}; recorded by: {data['origin']}"),
        *((f"Gate: {gate['name']}", _gate(gate)) for gate in verdict["gates"]),
    ]


def downside_rows(metrics: Mapping[str, Any]) -> Rows:
    """Return how deep a winner fell on the days that it was judged on. Empty for other evidence."""
    if metrics.get("kind") != "search":
        return []
    days = {"research": "out of sample", "stressed": "with doubled costs", "holdout": "on the holdout"}
    return [
        (f"Deepest fall {where}", _percent(metrics["verdict"].get(part, {}).get("max_drawdown")))
        for part, where in days.items()
    ]


def _gate(gate: Mapping[str, Any]) -> str:
    value = "n/a" if gate["value"] is None else f"{gate['value']:.2f}"
    threshold = f"{'>=' if gate['at_least'] else '<='} {gate['threshold']:g}"
    return f"{'passed' if gate['passed'] else 'NOT PASSED'}, {value} {threshold}: {gate['reason']}"


def _percent(value: float | None) -> str | None:
    return None if value is None else f"{100 * value:.1f} %"
