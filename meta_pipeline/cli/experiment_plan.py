"""`meta-pipeline proposals experiments`: the runs that are missing, as configurations a backtester can take."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from meta_pipeline.cli import common
from meta_pipeline.cli.common import AsJson

if TYPE_CHECKING:
    from rich.console import Console

    from meta_pipeline.canonical import JsonValue
    from meta_pipeline.proposals.experiment_plan import ExperimentPlan
    from meta_pipeline.report.table import Table


def experiments(
    strategy: Annotated[str, typer.Argument(help="The strategy.")],
    output: Annotated[
        Path | None, typer.Option(help="Write the plan to this file: .json, .yaml or .yml.", dir_okay=False)
    ] = None,
    effect: Annotated[float, typer.Option(help="The effect on the Sharpe ratio that is worth finding.")] = 0.3,
    as_json: AsJson = False,
) -> None:
    """List the runs that would identify what is not, and how many more days or markets the rest would need."""
    from meta_pipeline.errors import InputError
    from meta_pipeline.orchestration.judging import judge
    from meta_pipeline.orchestration.resources import DatabaseResource
    from meta_pipeline.proposals.experiment_plan import plan_experiments

    if output is not None and output.suffix not in {".json", ".yaml", ".yml"}:
        raise InputError(f"--output is {output}; its name must end in .json, .yaml or .yml")
    settings = common.settings()
    with common.open_database() as opened:
        judged = judge(strategy, DatabaseResource(opened, settings=lambda: settings, clock=common.now))
    plan = plan_experiments(
        judged.proposed,
        knobs=judged.record.strategy.knobs,
        live=judged.record.strategy.live_config,
        n_markets=len(set(judged.panel.markets)),
        worth_finding=effect,
    )
    payload = plan.to_json(strategy_id=strategy)
    if output is not None:
        _write(output, payload)

    def human(console: "Console") -> None:
        console.print(runs_table(plan).first(40).rich())
        console.print(evidence_table(plan).first(40).rich())
        if output is not None:
            console.print(f"Written to {output}.", markup=False)

    common.emit(payload, as_json=as_json, human=human)


def _write(path: Path, payload: "dict[str, JsonValue]") -> None:
    import json

    import yaml

    from meta_pipeline.errors import InputError

    plain = json.loads(json.dumps(payload))
    text = json.dumps(plain, indent=2) + "\n" if path.suffix == ".json" else yaml.safe_dump(plain, sort_keys=False)
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror}; give another --output") from error


def runs_table(plan: "ExperimentPlan") -> "Table":
    """Show the missing runs."""
    from meta_pipeline.canonical import canonical_json
    from meta_pipeline.report.table import Column, Table

    return Table(
        title=f"Missing runs ({len(plan.runs):,})",
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
            for run in plan.runs
        ),
        empty="None: every change that the runs hint at is identified.",
    )


def evidence_table(plan: "ExperimentPlan") -> "Table":
    """Show how much more evidence the other changes would need."""
    from meta_pipeline.proposals.candidate_json import level_from_json
    from meta_pipeline.report.table import Column, Kind, Table
    from meta_pipeline.report.tables import change_text

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
            for one in plan.more_evidence
        ),
        empty="None: of the changes tested on returns, an effect of this size would have been found.",
    )
