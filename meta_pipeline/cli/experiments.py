"""`meta-pipeline experiments`: start, watch and stop shadow experiments, and make a winner a proposal."""

from typing import TYPE_CHECKING, Annotated

import typer

from meta_pipeline.canonical import JsonValue
from meta_pipeline.cli import common
from meta_pipeline.cli.common import AsJson
from meta_pipeline.cli.report_files import proposal_reports
from meta_pipeline.counted import counted

if TYPE_CHECKING:
    from rich.console import Console

    from meta_pipeline.report.table import Table
    from meta_pipeline.store.experiments import Experiment, ExperimentLook

app = typer.Typer(no_args_is_help=True, help="Shadow experiments: a challenger beside the live configuration.")

ExperimentId = Annotated[str, typer.Argument(metavar="ID", help="The experiment; the first characters are enough.")]


@app.command()
def start(
    strategy: Annotated[str, typer.Option(help="The strategy.")],
    knob: Annotated[str, typer.Option(help="Path of a declared knob.")],
    to: Annotated[str, typer.Option(help="The challenger's value.")],
    reason: Annotated[str, typer.Option(help="What is to be found out.")],
    as_json: AsJson = False,
) -> None:
    """Run the live configuration and a challenger as shadows from tomorrow on. Nothing goes live; the rule is fixed."""
    from meta_pipeline.proposals.knobs import typed_value
    from meta_pipeline.store import experiments, strategies

    with common.open_database() as database:
        with database.connect() as connection:
            declared = strategies.load(connection, strategy).knobs.get(knob)
        found = experiments.start(
            database,
            strategy_id=strategy,
            knob=knob,
            # An undeclared knob is refused by the service, which names those that there are.
            challenger=to if declared is None else typed_value(declared, to),
            why=reason,
            actor=common.actor(),
            now=common.time_of(database),
            settings=common.settings(),
        )
    common.emit(experiment_json(found, None), as_json=as_json, human=lambda console: _print(console, found, None))


@app.command()
def status(
    experiment_id: Annotated[str | None, typer.Argument(metavar="ID", help="One; left out: all.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show experiments: what each has found so far, and its verdict. The nightly job looks at them."""
    from meta_pipeline.store import experiments

    with common.open_database() as database, database.connect() as connection:
        if experiment_id is None:
            found = experiments.list_experiments(connection)
        else:
            found = [experiments.get(connection, experiment_id)]
        looks = [experiments.latest_look(connection, one.experiment_id) for one in found]

    def human(console: "Console") -> None:
        if experiment_id is None:
            console.print(experiments_table(found, looks).rich())
        else:
            _print(console, found[0], looks[0])

    payload: JsonValue = {
        "experiments": [experiment_json(one, look) for one, look in zip(found, looks, strict=True)]
    }  # fmt: skip
    common.emit(payload, as_json=as_json, human=human)


@app.command()
def stop(
    experiment_id: ExperimentId,
    reason: Annotated[str, typer.Option(help="Why.")],
    as_json: AsJson = False,
) -> None:
    """Stop a running experiment. What it found so far stays on record, and decides nothing."""
    from meta_pipeline.store import experiments

    with common.open_database() as database:
        found = experiments.stop(
            database, experiment_id, reason=reason, actor=common.actor(), now=common.time_of(database)
        )  # fmt: skip
    common.emit(experiment_json(found, None), as_json=as_json, human=lambda console: _print(console, found, None))


@app.command()
def propose(experiment_id: ExperimentId, as_json: AsJson = False) -> None:
    """Make the winning challenger a proposal, with the experiment as its evidence. Somebody else approves it."""
    from meta_pipeline.store import experiments

    with common.open_database() as database:
        proposal_id = experiments.propose(
            database,
            experiment_id,
            actor=common.actor(),
            now=common.time_of(database),
            settings=common.settings(),
            report=proposal_reports(database),
        )
    common.emit(
        {"experiment_id": experiment_id, "proposal_id": proposal_id},
        as_json=as_json,
        human=lambda console: console.print(
            f"Proposal {proposal_id} is saved; somebody else approves it:  meta-pipeline approve {proposal_id}",
            markup=False,
            soft_wrap=True,
        ),
    )


def experiment_json(found: "Experiment", look: "ExperimentLook | None") -> dict[str, JsonValue]:
    """Return an experiment and its latest look as a JSON object."""
    from meta_pipeline.proposals.candidate import level_to_json

    return {
        "experiment_id": found.experiment_id,
        "strategy_id": found.strategy_id,
        "knob": found.knob_path,
        "incumbent": level_to_json(found.incumbent_value),
        "challenger": level_to_json(found.challenger_value),
        "incumbent_version": found.incumbent_version,
        "rule": dict(found.outcome_rule),
        "digest": found.digest,
        "state": found.state,
        "verdict": found.verdict,
        "reason": found.reason,
        "why": found.why,
        "started_by": found.started_by,
        "started_at": found.started_at.isoformat(),
        "ended_by": found.ended_by,
        "ended_at": None if found.ended_at is None else found.ended_at.isoformat(),
        "proposal_id": found.proposal_id,
        "judged_until": None if look is None or look.judged_until is None else look.judged_until.isoformat(),
        "look": None if look is None or look.body is None else dict(look.body),
    }


def experiments_table(found: "list[Experiment]", looks: "list[ExperimentLook | None]") -> "Table":
    """Show experiments, one per row."""
    from meta_pipeline.report.table import Column, Kind, Table, day, interval
    from meta_pipeline.report.tables import change_text

    rows = []
    for one, look in zip(found, looks, strict=True):
        body = {} if look is None or look.body is None else look.body
        rows.append(
            {
                "id": one.experiment_id,
                "strategy": one.strategy_id,
                "knob": one.knob_path,
                "change": change_text(one.incumbent_value, one.challenger_value),
                "started": day(one.started_at),
                "days": 0 if look is None else look.n_days,
                "effect": body.get("estimate"),
                "interval": interval(body.get("lower"), body.get("upper")),
                "state": one.state if one.verdict is None else f"{one.state}: {one.verdict}",
            }
        )
    return Table(
        title="Experiments",
        columns=(
            Column(key="id", header="Experiment"),
            Column(key="strategy", header="Strategy"),
            Column(key="knob", header="Knob"),
            Column(key="change", header="Incumbent → challenger"),
            Column(key="started", header="Started"),
            Column(key="days", header="Days", kind=Kind.COUNT),
            Column(key="effect", header="Effect", kind=Kind.SIGNED),
            Column(key="interval", header="At every look"),
            Column(key="state", header="State"),
        ),
        rows=tuple(rows),
        empty="No experiment yet; start one with: meta-pipeline experiments start",
    )


def _print(console: "Console", found: "Experiment", look: "ExperimentLook | None") -> None:
    from meta_pipeline.proposals.outcome_rule import METRIC_NAMES
    from meta_pipeline.report.outcomes import figures_text
    from meta_pipeline.report.text import visible

    rule = found.rule
    console.print(experiments_table([found], [look]).rich())
    terms = (
        f"decided by: {METRIC_NAMES[rule.metric]}, from {rule.minimum_days} to {counted(rule.evaluation_days, 'day')}, "
        f"smallest effect {rule.smallest_effect:g}, {1 - rule.alpha:.0%} over all looks; digest {found.digest[:12]}..."
    )
    lines = [
        f"asked: {found.why} (by {found.started_by})",
        terms,
    ]
    if look is not None and look.body is not None:
        lines += [f"so far: {look.body['reason']}", f"figures: {figures_text(look.body)}"]
    lines += [f"ended: {found.reason}"] if found.reason else []
    for line in lines:
        console.print(visible(line), markup=False, soft_wrap=True)
