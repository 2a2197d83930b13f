"""`meta-pipeline proposals experiments`: the runs that are missing, as configurations a backtester can take."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from meta_pipeline.cli import common
from meta_pipeline.cli.common import AsJson

if TYPE_CHECKING:
    from rich.console import Console

    from meta_pipeline.canonical import JsonValue


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
        from meta_pipeline.report.experiment_plan import missing_runs_table, more_evidence_table

        console.print(missing_runs_table(plan.runs, n_runs=len(plan.runs)).first(40).rich())
        console.print(more_evidence_table(plan.more_evidence).first(40).rich())
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
