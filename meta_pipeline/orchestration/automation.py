"""The job `automatic_application`: negative controls, then what the machine may apply by itself. Off by default.

Two switches have to be on: the setting META_PIPELINE_AUTOMATION, and this job's schedule. Without the setting the job
still puts the bad proposals through the checks, so that their record is there when somebody thinks of switching it on.
"""

from typing import Any, Final

import dagster as dg

from meta_pipeline.errors import NothingToDo
from meta_pipeline.orchestration.acting import ACTING
from meta_pipeline.orchestration.metadata import table_value
from meta_pipeline.orchestration.resources import DatabaseResource

AUTOMATION_JOB: Final = "automatic_application"


@dg.op(out=dg.Out(dg.Nothing), description="Negative controls, then every proposal for a knob of the tier automatic.")
def run_automation(context: dg.OpExecutionContext, database: dg.ResourceParam[DatabaseResource]) -> None:
    """Run one round; fail, and so alert, if a bad proposal passed or automation is frozen."""
    from meta_pipeline.report.automation import controls_table, results_table
    from meta_pipeline.store import automation

    try:
        done = automation.run(database.opened, now=database.now(), settings=database.settings)
    except NothingToDo as nothing:
        context.log.info(str(nothing))
        return
    metadata: dict[str, Any] = {
        "negative controls": table_value(controls_table(done.controls)),
        "proposals": table_value(results_table(done.results)),
        "applied": sum(result.outcome == "applied" for result in done.results),
        "bad proposals that passed": sum(not one.refused for one in done.controls),
    }
    if done.frozen is not None:
        raise dg.Failure(f"automation is frozen: {done.frozen}", metadata=metadata, allow_retries=False)
    context.add_output_metadata(metadata)


@dg.job(
    name=AUTOMATION_JOB,
    executor_def=dg.in_process_executor,
    tags={ACTING: "automation", "dagster/max_retries": "0"},
    description="Apply what the machine may apply by itself, after deliberately bad proposals were refused.",
)
def automatic_application() -> None:
    """Run a round of automation."""
    run_automation()


automation_hourly = dg.ScheduleDefinition(
    name="automation_hourly",
    job=automatic_application,
    cron_schedule="30 * * * *",
    execution_timezone="UTC",
    # It acts, so a person switches it on.
    default_status=dg.DefaultScheduleStatus.STOPPED,
    description="Every hour, once switched on: negative controls, and automatic application if the settings allow it.",
)
