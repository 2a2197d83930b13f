"""The asset `meta_model`: trained on predictions and outcomes, judged by its gate, kept as champion or candidate."""

from typing import TYPE_CHECKING, Any, Final

import dagster as dg

from meta_pipeline.errors import InsufficientData, MetaPipelineError
from meta_pipeline.orchestration.assets import GROUP, RESEARCH, WEEKLY
from meta_pipeline.orchestration.metadata import on_the_pages, picture_value, table_value
from meta_pipeline.orchestration.resources import DatabaseResource

if TYPE_CHECKING:
    from meta_pipeline.store.retraining import Retrained

NAME: Final = "meta_model"
CHECK: Final = "champion_is_whole"

prediction_logs = dg.AssetSpec(
    "prediction_logs",
    group_name=GROUP,
    owners=RESEARCH,
    kinds={"postgresql"},
    description=(
        "What the base models said, and what came of acting: the tables meta_model_predictions and "
        "meta_model_outcomes, or the files of META_PIPELINE_PREDICTION_LOGS and META_PIPELINE_TRADE_OUTCOMES."
    ),
)


@dg.asset(
    name=NAME,
    deps=[prediction_logs],
    group_name=GROUP,
    owners=RESEARCH,
    kinds={"scikitlearn", "postgresql"},
    freshness_policy=WEEKLY,
    check_specs=[
        dg.AssetCheckSpec(
            CHECK, asset=NAME, description="The model that decides can be read, and is what its address says."
        )
    ],
    description=(
        "A model over the base models' votes that may override their ensemble. It does so only after it earned more "
        "than majority vote, ensemble, holding and champion on days it never saw; else it stays a candidate."
    ),
)
def meta_model(database: dg.ResourceParam[DatabaseResource]) -> dg.MaterializeResult:  # type: ignore[type-arg]  # Dagster knows the bare type only
    """Train, and let the gate decide."""
    from meta_pipeline.store.retraining import artifact_store, inputs_of, retrain, training_of

    settings = database.settings
    try:
        made = retrain(
            database.opened,
            artifact_store(settings),
            inputs_of(settings),
            training_of(settings),
            clock=database.now,
        )
    except InsufficientData as sentence:
        return dg.MaterializeResult(
            metadata={"verdict": f"Nothing was trained: {sentence}"}, check_results=[_champion_check(database)]
        )
    return dg.MaterializeResult(
        metadata={
            **_metadata(made),
            **on_the_pages(settings, (("this model", f"models/{made.version.model_id}"), ("every model", "models"))),
        },
        data_version=dg.DataVersion(made.version.model_id),
        check_results=[_champion_check(database)],
    )


def _metadata(made: "Retrained") -> dict[str, Any]:
    from meta_pipeline.report import meta_model as report
    from meta_pipeline.report.pictures import probabilities_picture

    metadata: Any = made.training.model.metadata
    verdict, test = made.training.verdict, metadata["test"]
    return {
        "verdict": report.verdict_sentence(verdict, has_champion=made.champion is not None),
        "lift": report.lift_sentence(verdict),
        "gate": table_value(report.checks_table(verdict)),
        "days held back": table_value(report.earnings_table(metadata)),
        "probabilities": table_value(report.calibration_table(metadata)),
        "calibration": picture_value(
            probabilities_picture(test["reliability"], test["risk_coverage"]),
            says="confidence against accuracy, and risk against coverage, on the days held back",
        ),
        "regimes": table_value(report.regimes_table(metadata)),
        "risk against coverage": table_value(report.coverage_table(metadata)),
        "confusion": table_value(report.confusion_table(metadata)),
        "feature weights": table_value(report.features_table(metadata)),
        "inputs": table_value(report.inputs_table(metadata)),
        "model": made.version.model_id,
        "status": made.version.status,
        "labelled decisions": metadata["n_samples"],
        "checks failed": sum(not check.passed for check in verdict.checks),
        "override rate": test["override_rate"],
        "area under risk-coverage": test["area_under_risk_coverage"],
    }


def _champion_check(database: DatabaseResource) -> dg.AssetCheckResult:
    from meta_pipeline.meta_model.artifact_store import load_model
    from meta_pipeline.store import meta_model as store
    from meta_pipeline.store.retraining import artifact_store

    with database.connect() as connection:
        present = store.champion(connection)
    problem = None
    if present is not None:
        try:
            load_model(artifact_store(database.settings), present.model_id)
        except MetaPipelineError as error:
            problem = str(error)
    return dg.AssetCheckResult(
        check_name=CHECK,
        passed=problem is None,
        severity=dg.AssetCheckSeverity.ERROR,
        description=problem or ("There is no champion." if present is None else f"{present.model_id} is whole."),
    )
