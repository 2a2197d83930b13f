"""meta-pipeline model: what a person or a script sees of the meta-model."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from meta_pipeline.cli import common
from meta_pipeline.cli.model import app
from meta_pipeline.errors import InputError, NothingToDo
from meta_pipeline.lab.base_models import BASE_MODELS
from meta_pipeline.meta_model.synthetic import SyntheticSettings, write_synthetic_logs
from meta_pipeline.store.database import Database

Model = Callable[..., Result]


@pytest.fixture
def model(database: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Model:
    """Call `meta-pipeline model ...` on the test's database, with a home of its own."""

    @contextmanager
    def opened() -> Iterator[Database]:
        yield database

    monkeypatch.setattr(common, "open_database", opened)
    monkeypatch.setenv("META_PIPELINE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("META_PIPELINE_ACTOR", "ann")
    for name in ("META_AGENT_ENABLED", "META_OVERRIDE_THRESHOLD", "META_FAIL_OPEN", "META_V2_MODEL_DIR"):
        monkeypatch.delenv(name, raising=False)

    def call(*arguments: object) -> Result:
        return CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)

    return call


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """Logs with a planted edge that claim to be real."""
    predictions, outcomes = write_synthetic_logs(tmp_path, SyntheticSettings(n=1500, seed=1))
    predictions.write_text(predictions.read_text("utf-8").replace('"synthetic"', '"real"'), encoding="utf-8")
    return predictions, outcomes


def document(result: Result) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(result.stdout)
    return answer


def trained(model: Model, files: tuple[Path, Path], *more: str) -> Result:
    return model("train", "--predictions", files[0], "--outcomes", files[1], "--cost-pct", "0.1", *more)


def test_a_model_is_trained_promoted_shown_verified_used_and_replayed(
    model: Model, files: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = document(trained(model, files, "--json"))
    assert (made["status"], made["verdict"]["promoted"]) == ("champion", True)
    state = document(model("status", "--json"))
    assert [version["model"] for version in state["champions"]] == [made["model"]]
    assert (state["enabled"], state["open_alarms"]) == (False, [])
    assert "whole; answers on a grid of ballots" in model("verify").stdout
    shown = model("show", made["model"][:10]).stdout
    for title in ("Inputs", "Reliability", "Risk against coverage", "Confusion", "Feature weights", "patchtst_buy"):
        assert title in shown
    assert document(model("show", made["model"], "--json"))["metadata"] == made["metadata"]
    log = tmp_path / "decisions.jsonl"
    off = document(model("decide", files[0], "--json"))
    assert off["fallback_reasons"] == {"meta_disabled": 1500}
    monkeypatch.setenv("META_AGENT_ENABLED", "true")
    monkeypatch.setenv("META_OVERRIDE_THRESHOLD", "0.7")
    on = document(model("decide", files[0], "--log", log, "--json"))
    assert on["meta_overrides"] > 100
    assert on["meta_threshold"] == 0.7
    replayed = model("replay", log)
    assert replayed.stdout.strip() == "1,500 decisions replayed: identical, byte for byte."
    lines = log.read_text("utf-8").splitlines()
    lines[3] = lines[3].replace('"action":"', '"action":"X', 1)
    log.write_text("\n".join(lines), encoding="utf-8")
    changed = model("replay", log, "--json")
    assert changed.exit_code == 7
    assert document(changed)["differing_lines"] == [4]


def test_the_answer_for_a_person_names_the_lift_the_checks_and_what_follows(
    model: Model, files: tuple[Path, Path]
) -> None:
    shown = trained(model, files).stdout
    assert "A lift was found over majority vote, weighted ensemble, always hold." in shown
    assert "The gate is open: this model passed every check and decides from now on." in shown
    assert "Promotion gate" in shown
    assert "champion" in model("status").stdout
    again = trained(model, files).stdout
    assert "No lift was found" not in again
    assert "the champion goes on deciding" in again


def test_a_synthetic_log_trains_a_candidate_only(model: Model, tmp_path: Path) -> None:
    predictions, outcomes = write_synthetic_logs(tmp_path, SyntheticSettings(n=1500, seed=1))
    made = trained(model, (predictions, outcomes), "--data-kind", "real")
    assert "synthetic data, which can never be promoted" in made.stdout
    assert "there is no champion, so every decision defers" in made.stdout
    assert "No champion: every decision defers" in model("status").stdout


def test_a_broken_artifact_is_unhealthy(model: Model, files: tuple[Path, Path], tmp_path: Path) -> None:
    made = document(trained(model, files, "--json"))
    artifact = tmp_path / "home" / "models" / f"{made['model']}.json"
    whole = artifact.read_bytes()
    assert model("verify", artifact).exit_code == 0
    artifact.write_bytes(whole.replace(b'"real"', b'"rael"'))
    broken = model("verify", made["model"][:12])
    assert broken.exit_code == 7
    assert "changed or cut" in broken.stdout
    artifact.unlink()
    assert "restore the file" in model("verify").stdout


def test_logs_are_recorded_once_and_train_from_the_database(model: Model, files: tuple[Path, Path]) -> None:
    arguments = ("record", "--predictions", files[0], "--outcomes", files[1], "--json")
    first = document(model(*arguments))
    assert (first["new_predictions"], first["new_outcomes"], first["quarantined"]) == (1500, 1500, {})
    assert document(model(*arguments))["new_predictions"] == 0
    made = document(model("train", "--cost-pct", "0.1", "--json"))
    assert made["metadata"]["n_samples"] == 1500
    assert made["status"] == "champion"
    watched = document(model("watch", "--json"))
    assert (watched["alarm_open"], watched["n_new"]) == (False, 0)


def test_a_champion_is_retired_by_a_person(model: Model, files: tuple[Path, Path]) -> None:
    trained(model, files)
    assert model("retire", "--reason", "costs have doubled").exit_code == 0
    assert document(model("status", "--json"))["champions"] == []
    with pytest.raises(NothingToDo):
        model("retire", "--reason", "again")
    with pytest.raises(NothingToDo):
        model("clear-alarm", "--reason", "nothing there")


def test_what_cannot_be_meant_is_refused_with_the_way_out(model: Model, files: tuple[Path, Path]) -> None:
    with pytest.raises(InputError, match="--pooling is 'some'; write complete or partial"):
        trained(model, files, "--pooling", "some")
    with pytest.raises(InputError, match="--label-rule is 'luck'"):
        trained(model, files, "--label-rule", "luck")
    with pytest.raises(InputError, match="nothing to record"):
        model("record")
    with pytest.raises(InputError, match="there is no decision log"):
        model("replay", "nowhere.jsonl")
    with pytest.raises(InputError, match="there is no prediction log"):
        model("decide", "nowhere.jsonl")
    with pytest.raises(InputError, match="line 1 of"):
        model("decide", files[1])


def test_the_labs_base_models_are_named_in_the_order_of_their_votes() -> None:
    assert BASE_MODELS == ("gradient_boosting", "random_forest", "ridge_logistic", "momentum")
