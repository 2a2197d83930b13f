"""The asset of searches on real prices: verdict, pictures and live lines; nothing is proposed without a winner."""

from pathlib import Path

import dagster as dg
import pytest
from sqlalchemy import text

from meta_pipeline.hyperband.forest_strategy import declaration
from meta_pipeline.store import search, strategies
from meta_pipeline.store.database import Database
from meta_pipeline_tests.orchestration.builders import NOW, resource_of

pytestmark = pytest.mark.database
NAME = "hyperband_results"


def run(database: Database, home: Path, **config: object) -> dg.ExecuteInProcessResult:
    from meta_pipeline.definitions import build_definitions

    definitions = build_definitions({"database": resource_of(database, home=home)})
    asked = {"ops": {NAME: {"config": {"strategy": "FOREST_SP500", "r": 3, "workers": 1, **config}}}}
    return definitions.resolve_job_def("weekly_search").execute_in_process(run_config=asked, raise_on_error=False)


@pytest.mark.slow
def test_the_week_ends_in_a_verdict_with_its_pictures_and_the_same_week_again_costs_nothing(
    database: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("META_PIPELINE_DATABASE_URL", database.address.url().render_as_string(hide_password=False))
    fixed = {
        "data": {"symbols": ["SP500"]},
        "n_folds": 2,
        "train_bars": 300,
        "sample_share": 0.1,
    }
    with database.begin() as connection:
        strategies.declare(connection, declaration("FOREST_SP500", fixed=fixed), actor="Ann", now=NOW)
    done = run(database, tmp_path, as_of="2004-12-31")
    assert done.success
    shown = done.asset_materializations_for_node(NAME)[0].metadata
    assert str(shown["verdict"].value).startswith("No winner: ")
    assert shown["proposal"].value == "nothing: there is no winner"
    assert shown["evaluations"].value == 6
    gates = shown["gates"].value.records  # type: ignore[union-attr]
    assert "deflated Sharpe ratio" in {record.data["Gate"] for record in gates}
    for picture in ("rungs and promotions", "parallel coordinates", "importance", "in sample against out of sample"):
        assert str(shown[picture].value).startswith("!["), picture
    (seen,) = [
        event.asset_observation_data.asset_observation
        for event in done.all_events
        if event.event_type is dg.DagsterEventType.ASSET_OBSERVATION
    ]
    assert seen.description == "iteration 1/1, bracket 0, rung 3 begins"  # while it ran, after the first of two
    assert str(seen.metadata["rungs and promotions"].value).startswith("![the rungs of FOREST_SP500-2004-12-31-r3")
    assert seen.metadata["evaluations"].value == 5
    (quiet,) = done.get_asset_check_evaluations()
    assert quiet.passed
    name = str(shown["search"].value)
    assert name.startswith("FOREST_SP500-2004-12-31-r3")
    assert f"(http://127.0.0.1:8000/pages/search?name={name})" in str(shown["on the pages"].value)
    with database.connect() as connection:
        stored = search.get(connection, name)
        assert stored.verdict is not None
        assert stored.verdict["as_of"] == "2004-12-31"
        assert connection.execute(text("SELECT count(*) FROM meta_config_proposals")).scalar_one() == 0

    def refused(*_: object) -> None:
        raise AssertionError("an evaluation was done twice")

    monkeypatch.setattr("meta_pipeline.hyperband.executors.run_job", refused)
    again = run(database, tmp_path, as_of="2004-12-31")
    assert again.success
    assert again.asset_materializations_for_node(NAME)[0].metadata["digest"] == shown["digest"]


def test_a_strategy_that_nobody_declared_fails_with_the_way_out(database: Database, tmp_path: Path) -> None:
    done = run(database, tmp_path, strategy="NOBODY")
    assert not done.success
