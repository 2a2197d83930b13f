"""The job `nightly`, once, in this process: what `meta-pipeline nightly` runs.

Belongs here: choosing Dagster's instance, and reading what the run says. Does not belong here: what is printed.
"""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import dagster as dg

from meta_pipeline.errors import InputError
from meta_pipeline.orchestration.anchoring import ANCHORED, ENTRY
from meta_pipeline.orchestration.assets.backtest_aggregates import backtest_aggregates
from meta_pipeline.orchestration.assets.change_outcomes import change_outcomes
from meta_pipeline.orchestration.assets.diagnostics_report import diagnostics_report
from meta_pipeline.orchestration.assets.external import approvals, live_config
from meta_pipeline.orchestration.assets.proposals import proposals
from meta_pipeline.orchestration.checks import REFRESH_CHECKS
from meta_pipeline.orchestration.jobs import nightly
from meta_pipeline.orchestration.refreshing import ALL, NIGHTLY, REFRESH, Shard, scope_tag, shard_tags
from meta_pipeline.orchestration.resources import DatabaseResource


@dataclass(frozen=True, kw_only=True)
class RunSummary:
    """What one run of the job said.

    Parameters
    ----------
    run_id
        Dagster's.
    kept
        Whether the run is in an instance that outlives this process, so that the UI shows it.
    error
        What stopped the run, None if nothing did.
    failed_checks
        "asset: check: what it says", of every check that failed.
    anchored
        The entry of the audit log that its head was anchored at; None: it was not.
    """

    run_id: str
    kept: bool
    error: str | None
    failed_checks: tuple[str, ...]
    anchored: int | None = None


def run_nightly(
    database: DatabaseResource, *, strategies: tuple[str, ...] = (), shard: Shard | None = None, verbose: bool = False
) -> RunSummary:
    """Run the job in this process.

    Parameters
    ----------
    database
        What the assets work on.
    strategies
        Only these; empty: all.
    shard
        Only this part of them; None: all.
    verbose
        Let Dagster write its log to standard error.
    """
    definitions = dg.Definitions(
        assets=[backtest_aggregates, diagnostics_report, proposals, approvals, live_config, change_outcomes],
        asset_checks=REFRESH_CHECKS,
        jobs=[nightly],
        resources={"database": database},
    )
    job = definitions.resolve_job_def(NIGHTLY)
    with _instance() as (instance, kept), _quiet(not verbose):
        result = job.execute_in_process(
            instance=instance,
            tags={
                REFRESH: ALL,
                **(scope_tag(strategies) if strategies else {}),
                **({} if shard is None else shard_tags(shard)),
            },
            raise_on_error=False,
        )
        return RunSummary(
            run_id=result.run_id,
            kept=kept,
            error=_error(result),
            failed_checks=_failed_checks(result),
            anchored=_anchored(result),
        )


@contextmanager
def _instance() -> Iterator[tuple[dg.DagsterInstance, bool]]:
    """Open the instance of DAGSTER_HOME, or one that is forgotten afterwards."""
    home = os.environ.get("DAGSTER_HOME", "").strip()
    if not home:
        with dg.DagsterInstance.ephemeral() as instance:
            yield instance, False
        return
    if not Path(home).is_absolute() or not Path(home).is_dir():
        raise InputError(f"DAGSTER_HOME is {home!r}; it must be the absolute path of an existing folder, or not set")
    with dg.DagsterInstance.from_config(home) as instance:
        yield instance, True


@contextmanager
def _quiet(quiet: bool) -> Iterator[None]:
    """Keep Dagster's log, which goes to standard error line by line, away from a person who asked for a table."""
    if not quiet:
        yield
        return
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)


def _anchored(result: dg.ExecuteInProcessResult) -> int | None:
    for one in result.get_asset_check_evaluations():
        if one.check_name == ANCHORED and one.passed:
            entry = one.metadata[ENTRY].value
            return entry if isinstance(entry, int) else None
    return None


def _error(result: dg.ExecuteInProcessResult) -> str | None:
    if result.success:
        return None
    errors = [event.step_failure_data.error for event in result.all_events if event.is_step_failure]
    messages = [(error.cause or error).message.strip() for error in errors if error is not None]
    return "; ".join(messages) or "the run failed"


def _failed_checks(result: dg.ExecuteInProcessResult) -> tuple[str, ...]:
    return tuple(
        f"{check.asset_key.to_user_string()}: {check.check_name}: {check.description or 'failed'}"
        for check in result.get_asset_check_evaluations()
        if not check.passed
    )
