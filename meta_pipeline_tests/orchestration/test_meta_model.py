"""The asset `meta_model`, its weekly schedule, and the sensor that trains again when the alarm fires."""

import csv
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from meta_pipeline.definitions import build_definitions
from meta_pipeline.meta_model.synthetic import SyntheticSettings, Truth, synthetic_logs
from meta_pipeline.orchestration.assets.meta_model import meta_model
from meta_pipeline.orchestration.meta_model_retraining import exchangeability_alarm, retrain_weekly
from meta_pipeline.orchestration.resources import DatabaseResource
from meta_pipeline.settings import Settings
from meta_pipeline.store import meta_model as store
from meta_pipeline.store.database import Database

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


def write(folder: Path, truth: Truth, n: int) -> None:
    """Write logs that claim to be real."""
    folder.mkdir(exist_ok=True)
    pairs = list(synthetic_logs(SyntheticSettings(truth=truth, n=n, seed=1)))
    lines = "".join(json.dumps({**prediction, "data_kind": "real"}) + "\n" for prediction, _ in pairs)
    (folder / "predictions.jsonl").write_text(lines, encoding="utf-8")
    with (folder / "outcomes.csv").open("w", newline="", encoding="utf-8") as opened:
        writer = csv.DictWriter(opened, list(pairs[0][1]))
        writer.writeheader()
        writer.writerows(row for _, row in pairs)


@pytest.fixture
def resource(database: Database, tmp_path: Path) -> DatabaseResource:
    values: dict[str, Any] = {
        "home": tmp_path / "home",
        "prediction_logs": tmp_path / "logs",
        "trade_outcomes": tmp_path / "logs",
        "trading_cost_pct": 0.1,
        "_env_file": None,
    }
    return DatabaseResource(database, settings=lambda: Settings(**values), clock=lambda: NOW)


def materialised(resource: DatabaseResource) -> tuple[dict[str, Any], dg.ExecuteInProcessResult]:
    result = dg.materialize([meta_model], resources={"database": resource})
    (event,) = result.asset_materializations_for_node("meta_model")
    return {name: value.value for name, value in event.metadata.items()}, result


def test_a_materialisation_shows_the_verdict_its_reasons_and_the_evidence(
    resource: DatabaseResource, tmp_path: Path
) -> None:
    write(tmp_path / "logs", Truth.EDGE, 1500)
    metadata, result = materialised(resource)
    assert metadata["verdict"].startswith("The gate is open")
    assert metadata["status"] == "champion"
    assert f"/pages/models/{metadata['model']})" in metadata["on the pages"]
    assert metadata["labelled decisions"] == 1500
    assert "lift over weighted ensemble" in str(metadata["gate"])
    for name in ("days held back", "probabilities", "regimes", "confusion", "feature weights", "inputs"):
        assert len(str(metadata[name])) > 100, name
    assert metadata["calibration"].startswith("![confidence against accuracy")
    (check,) = result.get_asset_check_evaluations()
    assert check.passed


def test_noise_stays_a_candidate_and_the_page_says_that_no_lift_was_found(
    resource: DatabaseResource, tmp_path: Path
) -> None:
    write(tmp_path / "logs", Truth.NOISE, 1500)
    metadata, _ = materialised(resource)
    assert metadata["verdict"].startswith("The gate is shut")
    assert metadata["lift"].startswith("No lift was found")
    assert metadata["status"] == "candidate"


def test_without_logs_nothing_is_trained_and_the_run_does_not_fail(database: Database, tmp_path: Path) -> None:
    settings = Settings(_env_file=None, home=tmp_path)  # type: ignore[call-arg]
    metadata, _ = materialised(DatabaseResource(database, settings=lambda: settings, clock=lambda: NOW))
    assert metadata["verdict"].startswith("Nothing was trained: none of 0 predictions has an outcome")


def test_a_broken_champion_fails_its_check(resource: DatabaseResource, tmp_path: Path) -> None:
    write(tmp_path / "logs", Truth.EDGE, 1500)
    metadata, _ = materialised(resource)
    artifact = tmp_path / "home" / "models" / f"{metadata['model']}.json"
    artifact.write_bytes(b"{}")
    # The next training cannot compare itself with what cannot be read: the run fails, and says which file.
    result = dg.materialize([meta_model], resources={"database": resource}, raise_on_error=False)
    assert not result.success


def test_the_sensor_is_quiet_until_the_market_turns_and_then_trains_once(
    resource: DatabaseResource, tmp_path: Path, database: Database
) -> None:
    def look(cursor: str | None) -> dg.SensorResult:
        context = dg.build_sensor_context(cursor=cursor, resources={"database": resource})
        result = exchangeability_alarm(context)
        assert isinstance(result, dg.SensorResult)
        return result

    write(tmp_path / "logs", Truth.EDGE, 1500)
    nothing = look(None)
    assert nothing.skip_reason is not None
    assert "no champion to watch" in str(nothing.skip_reason.skip_message)
    materialised(resource)
    quiet = look(nothing.cursor)
    assert "as they were when it was tested" in str(quiet.skip_reason.skip_message if quiet.skip_reason else "")
    assert "no new outcomes" in str(getattr(look(quiet.cursor).skip_reason, "skip_message", ""))
    write(tmp_path / "logs", Truth.FLIP, 2400)
    alarmed = look(quiet.cursor)
    assert [request.run_key for request in alarmed.run_requests or ()] == ["alarm-1"]
    with database.connect() as connection:
        champion = store.champion(connection)
        assert champion is not None
        assert store.open_alarm(connection, champion.model_id) is not None


def test_it_is_trained_again_every_sunday_and_the_job_trains_nothing_else() -> None:
    assert (retrain_weekly.cron_schedule, retrain_weekly.execution_timezone) == ("0 3 * * 0", "UTC")
    job = build_definitions().get_repository_def().get_job("retrain_meta_model")
    assert {node.name for node in job.nodes} == {"meta_model"}
