"""What must hold after every refresh, asked of the database itself.

Belongs here: the question, and how its answer is shown. The questions themselves are statements in sql/queries that
return one row per fault: none is right.
"""

from typing import TYPE_CHECKING, Any, Final

import dagster as dg

from meta_pipeline.counted import counted
from meta_pipeline.orchestration.changes import LIVE_CONFIG
from meta_pipeline.orchestration.metadata import table_value
from meta_pipeline.orchestration.resources import DatabaseResource

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Row

MAX_FAULTS: Final = 20


@dg.asset_check(
    asset="backtest_aggregates",
    description="Runs, absorbed runs and aggregates count the same, per strategy.",
)
def counts_reconcile(database: dg.ResourceParam[DatabaseResource]) -> dg.AssetCheckResult:
    """Count on both sides."""
    return _no_faults(database, "broken_aggregations", "aggregates_not_reconciled")


@dg.asset_check(asset="backtest_aggregates", description="No aggregate holds a figure that is NaN or infinite.")
def nothing_nan_in_aggregates(database: dg.ResourceParam[DatabaseResource]) -> dg.AssetCheckResult:
    """Look into columns and bodies."""
    return _no_faults(database, "aggregates_not_finite")


@dg.asset_check(asset="proposals", description="No proposal holds a figure that is NaN or infinite.")
def nothing_nan_in_proposals(database: dg.ResourceParam[DatabaseResource]) -> dg.AssetCheckResult:
    """Look into columns and evidence."""
    return _no_faults(database, "proposals_not_finite")


@dg.asset_check(
    asset="proposals",
    description="Each of the machine's proposals rests on a candidate that was found, on the evidence it names.",
)
def no_proposal_without_evidence(database: dg.ResourceParam[DatabaseResource]) -> dg.AssetCheckResult:
    """Follow each proposal to its candidate."""
    return _no_faults(database, "proposals_without_evidence")


@dg.asset_check(
    asset=LIVE_CONFIG,
    description="Every configuration version but the first cites a change that was approved and applied, or reverted.",
)
def live_config_cites_applied_changes(database: dg.ResourceParam[DatabaseResource]) -> dg.AssetCheckResult:
    """Follow each version to its change, proposal and approval."""
    return _no_faults(database, "broken_live_configs")


def _no_faults(database: DatabaseResource, *questions: str) -> dg.AssetCheckResult:
    from meta_pipeline.store.queries import query

    with database.connect() as connection:
        faults = [fault for question in questions for fault in connection.execute(query(question))]
    if not faults:
        return dg.AssetCheckResult(passed=True, metadata={"faults": 0})
    return dg.AssetCheckResult(
        passed=False,
        severity=dg.AssetCheckSeverity.ERROR,
        description=(
            f"{counted(len(faults), 'fault')}; the first: "
            f"{', '.join(str(cell) for cell in faults[0])}. More: `meta-pipeline db check`, docs/operations.md"
        ),
        metadata={"faults": len(faults), "what": _table(faults)},
    )


def _table(faults: "Sequence[Row[tuple[object, ...]]]") -> dg.MetadataValue[Any]:
    from meta_pipeline.report.table import Column, Table

    names = list(faults[0]._fields)
    table = Table(
        title="Faults",
        columns=tuple(Column(key=name, header=name.replace("_", " ").capitalize()) for name in names),
        rows=tuple({name: str(cell) for name, cell in zip(names, fault, strict=True)} for fault in faults),
    )
    return table_value(table, max_rows=MAX_FAULTS)


REFRESH_CHECKS: Final = (
    counts_reconcile,
    nothing_nan_in_aggregates,
    nothing_nan_in_proposals,
    no_proposal_without_evidence,
    live_config_cites_applied_changes,
)
"""What is asked after every refresh."""
