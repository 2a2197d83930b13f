"""What to run next, as tables: the runs that are missing, and how much more evidence the rest would need."""

from collections.abc import Sequence
from typing import Final

from meta_pipeline.canonical import canonical_json
from meta_pipeline.proposals.candidate_json import level_from_json
from meta_pipeline.proposals.experiment_plan import MissingRun, MoreEvidence
from meta_pipeline.report.table import Column, Kind, Table
from meta_pipeline.report.tables import change_text

OLDER: Final = "Not known: an older version wrote this report; the next night computes it anew."


def missing_runs_table(runs: Sequence[MissingRun], *, n_runs: int | None) -> Table:
    """Show missing runs, of which there may be more than are at hand; None: nobody looked."""
    return Table(
        title="Missing runs" if n_runs is None else f"Missing runs ({n_runs:,})",
        columns=(
            Column(key="market", header="Market"),
            Column(key="window", header="Window"),
            Column(key="config", header="Configuration"),
            Column(key="why", header="What it would tell"),
        ),
        rows=tuple(
            {
                "market": run.market,
                "window": run.window,
                "config": canonical_json(run.config),
                "why": "; ".join(run.identifies),
            }
            for run in runs
        ),
        empty=OLDER if n_runs is None else "None: every change that the runs hint at is identified.",
    )


def more_evidence_table(more: Sequence[MoreEvidence], *, known: bool = True) -> Table:
    """Show how much more evidence the other changes would need; not `known`: nobody looked."""
    none = "None: of the changes tested on returns, an effect of this size would have been found."
    return Table(
        title="More evidence",
        columns=(
            Column(key="knob", header="Knob"),
            Column(key="change", header="From → to"),
            Column(key="estimate", header="Effect", kind=Kind.SIGNED),
            Column(key="smallest", header="Smallest to be found", kind=Kind.NUMBER),
            Column(key="days", header="Days", kind=Kind.COUNT),
            Column(key="more_days", header="More days", kind=Kind.COUNT),
            Column(key="more_markets", header="Or more markets, at least", kind=Kind.COUNT),
        ),
        rows=tuple(
            {
                "knob": one.knob,
                "change": change_text(level_from_json(one.from_value), level_from_json(one.to_value)),
                "estimate": one.estimate,
                "smallest": one.smallest_detectable_effect,
                "days": one.days,
                "more_days": one.more_days,
                "more_markets": one.more_markets,
            }
            for one in more
        ),
        empty=none if known else OLDER,
    )
