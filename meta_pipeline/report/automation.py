"""Automatic application for people: negative controls, and what became of proposals."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from meta_pipeline.proposals.decision import ApplyResult
from meta_pipeline.report.table import Column, Table

if TYPE_CHECKING:
    from meta_pipeline.store.automation import ControlResult


def controls_table(controls: "Sequence[ControlResult]") -> Table:
    """Show what became of each deliberately bad proposal."""
    return Table(
        title="Negative controls: proposals that are wrong on purpose",
        columns=(
            Column(key="strategy", header="Strategy"),
            Column(key="knob", header="Knob"),
            Column(key="kind", header="What is wrong"),
            Column(key="refused", header="Refused"),
            Column(key="detail", header="By which sentence"),
        ),
        rows=tuple(
            {
                "strategy": one.strategy_id,
                "knob": one.knob_path,
                "kind": one.kind.replace("_", " "),
                "refused": "yes" if one.refused else "NO",
                "detail": one.detail,
            }
            for one in sorted(controls, key=lambda one: one.refused)
        ),
        empty="No negative control was run.",
    )


def results_table(results: Sequence[ApplyResult]) -> Table:
    """Show what became of each proposal for an automatic knob."""
    return Table(
        title="Proposals for automatic knobs",
        columns=(
            Column(key="proposal", header="Proposal"),
            Column(key="outcome", header="Outcome"),
            Column(key="message", header="Why"),
        ),
        rows=tuple(
            {"proposal": one.proposal_id, "outcome": one.outcome.replace("_", " "), "message": one.message}
            for one in results
        ),
        empty="No proposal for an automatic knob was looked at.",
    )
