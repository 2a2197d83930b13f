"""The meta-model in the database: one champion, kept honest; inputs that go in and come out; alarms."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from meta_pipeline.errors import ArtifactBroken, Conflict, InputError, InsufficientData, NotFound, NothingToDo
from meta_pipeline.meta_model.artifact_store import FolderStore
from meta_pipeline.meta_model.decision_settings import DecisionSettings
from meta_pipeline.meta_model.outcome_log import outcome_log
from meta_pipeline.meta_model.prediction_log import prediction_log
from meta_pipeline.meta_model.synthetic import Truth
from meta_pipeline.meta_model.training import Training, train
from meta_pipeline.meta_model.training_table import join
from meta_pipeline.settings import Settings
from meta_pipeline.store import audit
from meta_pipeline.store import meta_model as store
from meta_pipeline.store.database import Database
from meta_pipeline.store.recording import record_logs
from meta_pipeline.store.retraining import (
    Inputs,
    champion_agent,
    costs_by_symbol,
    fingerprint,
    inputs_of,
    retrain,
    training_of,
    watch_champion,
)
from meta_pipeline_tests.meta_model.builders import MODELS
from meta_pipeline_tests.meta_model.training_logs import SETTINGS, fill, line, planted
from meta_pipeline_tests.store.rows import insert_one

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


def clock() -> datetime:
    return NOW


@pytest.fixture(scope="module")
def edge() -> Training:
    """A model that passes the gate."""
    return train(*planted(Truth.EDGE, n=1200, real=True), settings=SETTINGS)


@pytest.fixture(scope="module")
def noise() -> Training:
    """A model that does not."""
    return train(*planted(Truth.NOISE, n=1200, real=True), settings=SETTINGS)


def logs(folder: Path, truth: Truth, *, n: int = 1200, seed: int = 1) -> Inputs:
    """Write logs that claim to be real."""
    import csv
    import json

    from meta_pipeline.meta_model.synthetic import SyntheticSettings, synthetic_logs

    pairs = list(synthetic_logs(SyntheticSettings(truth=truth, n=n, seed=seed)))
    predictions, outcomes = folder / "predictions.jsonl", folder / "outcomes.csv"
    predictions.write_text(
        "".join(json.dumps({**prediction, "data_kind": "real"}) + "\n" for prediction, _ in pairs), encoding="utf-8"
    )
    with outcomes.open("w", newline="", encoding="utf-8") as opened:
        writer = csv.DictWriter(opened, list(pairs[0][1]))
        writer.writeheader()
        writer.writerows(row for _, row in pairs)
    return Inputs(predictions=predictions, outcomes=outcomes)


class TestVersions:
    def test_a_model_that_passes_becomes_the_champion_and_the_audit_log_says_so(
        self, database: Database, edge: Training
    ) -> None:
        with database.begin() as connection:
            stored = store.save_training(connection, edge, compared_with=None, now=NOW)
        assert (stored.status, stored.passed, stored.data_kind) == ("champion", True, "real")
        with database.connect() as connection:
            assert store.champion(connection) == stored
            assert store.version(connection, stored.model_id[:10]) == stored
            assert [entry.action for entry in audit.entries(connection, subject_id=stored.model_id, limit=9)] == [
                "meta_model_promoted"
            ]

    def test_a_model_that_fails_stays_a_candidate_and_the_champion_stays(
        self, database: Database, edge: Training, noise: Training
    ) -> None:
        with database.begin() as connection:
            champion = store.save_training(connection, edge, compared_with=None, now=NOW)
            candidate = store.save_training(connection, noise, compared_with=champion.model_id, now=NOW)
        assert (candidate.status, candidate.promoted_at) == ("candidate", None)
        with database.connect() as connection:
            assert store.champion(connection) == champion
            assert [version.status for version in store.versions(connection)].count("champion") == 1

    def test_a_better_one_retires_the_champion_it_was_compared_with(self, database: Database, edge: Training) -> None:
        newer = replace(edge, model=replace(edge.model, sha256="f" * 64))
        with database.begin() as connection:
            first = store.save_training(connection, edge, compared_with=None, now=NOW)
            store.raise_alarm(connection, first.model_id, {}, now=NOW)
            second = store.save_training(connection, newer, compared_with=first.model_id, now=NOW + timedelta(days=1))
            assert second.status == "champion"
            old = store.version(connection, first.model_id)
            assert (old.status, old.retired_by) == ("retired", "meta-pipeline")
            assert old.retired_reason is not None
            assert second.model_id in old.retired_reason
            assert store.open_alarm(connection, first.model_id) is None

    def test_a_champion_that_changed_meanwhile_is_a_conflict_and_nothing_is_written(
        self, database: Database, edge: Training
    ) -> None:
        newer = replace(edge, model=replace(edge.model, sha256="f" * 64))
        with database.begin() as connection:
            store.save_training(connection, edge, compared_with=None, now=NOW)
        with pytest.raises(Conflict, match="changed meanwhile"), database.begin() as connection:
            store.save_training(connection, newer, compared_with=None, now=NOW)
        with database.connect() as connection, pytest.raises(NotFound):
            store.version(connection, "f" * 64)

    def test_two_trainings_at_once_promote_one(self, database: Database, edge: Training) -> None:
        def promote(digit: str) -> str:
            challenger = replace(edge, model=replace(edge.model, sha256=digit * 64))
            try:
                with database.begin() as connection:
                    return store.save_training(connection, challenger, compared_with=None, now=NOW).status
            except Conflict:
                return "conflict"

        with ThreadPoolExecutor(4) as pool:
            answers = sorted(pool.map(promote, "abcd"))
        assert answers == ["champion", "conflict", "conflict", "conflict"]

    def test_the_same_model_again_changes_nothing_but_a_candidates_verdict(
        self, database: Database, edge: Training, noise: Training
    ) -> None:
        with database.begin() as connection:
            candidate = store.save_training(connection, noise, compared_with=None, now=NOW)
            champion = store.save_training(connection, edge, compared_with=None, now=NOW)
            again = store.save_training(connection, noise, compared_with=champion.model_id, now=NOW)
            same = store.save_training(connection, edge, compared_with=champion.model_id, now=NOW)
        assert (again.status, again.compared_with) == ("candidate", champion.model_id)
        assert candidate.created_at == again.created_at
        assert same == champion

    def test_each_horizon_has_a_champion_of_its_own(self, database: Database, edge: Training) -> None:
        other = replace(edge, model=replace(edge.model, sha256="f" * 64))
        with database.begin() as connection:
            near = store.save_training(connection, edge, compared_with=None, now=NOW, horizon="5d")
            far = store.save_training(connection, other, compared_with=None, now=NOW, horizon="20d")
            assert store.champion(connection, "5d") == near
            assert store.champion(connection, "20d") == far
            assert store.champion(connection) is None

    def test_a_champion_can_be_retired_with_a_reason_once(self, database: Database, edge: Training) -> None:
        with database.begin() as connection:
            store.save_training(connection, edge, compared_with=None, now=NOW)
            gone = store.retire(connection, reason="costs have doubled", actor="ann", now=NOW)
            assert (gone.status, gone.retired_by, gone.retired_reason) == ("retired", "ann", "costs have doubled")
            assert store.champion(connection) is None
            with pytest.raises(NothingToDo):
                store.retire(connection, reason="again", actor="ann", now=NOW)

    def test_digits_that_name_none_or_several_are_refused(self, database: Database, edge: Training) -> None:
        with database.begin() as connection:
            store.save_training(connection, edge, compared_with=None, now=NOW)
            twin = replace(edge, model=replace(edge.model, sha256=edge.model.sha256[:8] + "0" * 56))
            store.save_training(connection, twin, compared_with=edge.model.sha256, now=NOW)
            with pytest.raises(NotFound, match="no meta-model '%%'"):
                store.version(connection, "%%")
            with pytest.raises(InputError, match="2 meta-models start with"):
                store.version(connection, edge.model.sha256[:8])


class TestAlarms:
    def test_an_alarm_is_raised_once_and_cleared_by_a_person(self, database: Database, edge: Training) -> None:
        with database.begin() as connection:
            model_id = store.save_training(connection, edge, compared_with=None, now=NOW).model_id
            first = store.raise_alarm(connection, model_id, {"statistic": 700.0}, now=NOW)
            assert store.raise_alarm(connection, model_id, {"statistic": 900.0}, now=NOW) == first
            cleared = store.clear_alarm(connection, model_id, reason="a feed was late", actor="ann", now=NOW)
            assert (cleared.cleared_by, cleared.cleared_reason) == ("ann", "a feed was late")
            with pytest.raises(NothingToDo):
                store.clear_alarm(connection, model_id, reason="again", actor="ann", now=NOW)
            assert store.raise_alarm(connection, model_id, {}, now=NOW).alarm_id != first.alarm_id


class TestInputs:
    def test_what_is_recorded_is_read_back_as_it_was(self, database: Database) -> None:
        lines = [line(0), line(5, symbol="ETH"), {**line(10), "regime": None, "data_kind": "real"}]
        fills = [fill(0), fill(5, -1.0, symbol="ETH", propensity=0.5), fill(5, 2.0, symbol="ETH", horizon="20d")]
        with database.begin() as connection:
            assert store.record_predictions(connection, lines) == 3
            assert store.record_outcomes(connection, fills) == 3
            assert store.record_predictions(connection, lines) == 0
            assert store.record_outcomes(connection, fills) == 0
            assert store.count_inputs(connection) == (3, 3)
            read = prediction_log(store.read_predictions(connection), MODELS)
            outcomes = outcome_log(store.read_outcomes(connection), horizon="")
            far = outcome_log(store.read_outcomes(connection), horizon="20d")
        straight = prediction_log((("lines", number, item) for number, item in enumerate(lines)), MODELS)
        assert (read.times == straight.times).all()
        assert (read.votes.features() == straight.votes.features()).all()
        assert read.quarantined == outcomes.quarantined == ()
        assert len(outcomes) == 2
        assert far.pnl_pct.tolist() == [2.0]
        table, counts = join(read, outcomes, cost=SETTINGS.cost)
        assert counts.n_matched == len(table) == 2

    def test_a_log_with_bad_lines_is_recorded_without_them(self, database: Database, tmp_path: Path) -> None:
        import json

        predictions, outcomes = tmp_path / "p.jsonl", tmp_path / "o.csv"
        odd = line(5)
        odd["base_predictions"]["xgb"]["confidence"] = float("nan")
        texts = [json.dumps(line(0)), "garbage", json.dumps(odd), json.dumps({**line(10), "timestamp": "2026-02-06"})]
        predictions.write_text("\n".join(texts), encoding="utf-8")
        outcomes.write_text(
            "timestamp,symbol,action,outcome,pnl_pct,hold_duration_minutes\n"
            "2026-02-05T00:00:00,BTCUSDT,buy,win,1.0,5\n2026-02-05T00:05:00,BTCUSDT,CLOSE,win,1.0,5\n",
            encoding="utf-8",
        )
        done = record_logs(database, predictions, outcomes, MODELS)
        assert (done.new_predictions, done.new_outcomes) == (3, 1)
        assert [(item.source, item.line, item.reason) for item in done.quarantined] == [
            ("p.jsonl", 2, "not_json"),
            ("o.csv", 3, "unknown_action"),
        ]
        with database.connect() as connection:
            read = prediction_log(store.read_predictions(connection), MODELS)
        # the vote that was NaN is still the rejected vote it was
        assert read.votes.actions[:, 0].tolist() == [2, -1, 2]
        again = record_logs(database, predictions, None, MODELS)
        assert (again.new_predictions, again.new_outcomes) == (0, 0)

    def test_the_trades_of_a_backtest_are_outcomes(self, database: Database) -> None:
        with database.begin() as connection:
            for table in ("strategies", "config_versions", "campaigns", "backtest_runs"):
                insert_one(connection, table)
            for day, direction, price in ((1, "LONG", 100.0), (3, "SELL", 110.0)):
                insert_one(
                    connection,
                    "backtest_trades",
                    trade_date=date(2025, 1, day),
                    direction=direction,
                    price=price,
                )
            rows = [row for _, _, row in store.read_trade_outcomes(connection, "r")]
            with pytest.raises(NotFound, match="no backtest run 'none'"):
                list(store.read_trade_outcomes(connection, "none"))
        assert len(rows) == 1
        assert rows[0]["pnl_pct"] == pytest.approx(10.0)
        assert rows[0]["hold_duration_minutes"] == 2 * 1440


class TestRetraining:
    def test_a_training_is_kept_as_a_file_and_a_row_and_the_next_is_compared_with_it(
        self, database: Database, tmp_path: Path
    ) -> None:
        artifacts = FolderStore(tmp_path / "models")
        inputs = logs(tmp_path, Truth.EDGE)
        first = retrain(database, artifacts, inputs, SETTINGS, clock=clock)
        assert first.version.status == "champion"
        assert artifacts.path(first.version.model_id).is_file()
        second = retrain(database, artifacts, inputs, SETTINGS, clock=clock)
        assert second.champion == first.version
        assert second.version == first.version
        assert not second.training.verdict.promoted
        artifacts.path(first.version.model_id).unlink()
        with pytest.raises(ArtifactBroken, match="Restore its file, or take it out of use"):
            retrain(database, artifacts, inputs, SETTINGS, clock=clock)

    def test_nothing_is_kept_of_a_training_that_could_not_be(self, database: Database, tmp_path: Path) -> None:
        artifacts = FolderStore(tmp_path / "models")
        with pytest.raises(InsufficientData):
            retrain(database, artifacts, Inputs(), SETTINGS, clock=clock)
        assert not (tmp_path / "models").exists()

    def test_watching_raises_the_alarm_of_a_champion_whose_market_turned(
        self, database: Database, tmp_path: Path
    ) -> None:
        artifacts = FolderStore(tmp_path / "models")
        with pytest.raises(NothingToDo, match="no champion to watch"):
            watch_champion(database, artifacts, Inputs(), SETTINGS, clock=clock)
        retrain(database, artifacts, logs(tmp_path, Truth.EDGE), SETTINGS, clock=clock)
        later = tmp_path / "later"
        later.mkdir()
        turned = logs(later, Truth.FLIP, n=2000)  # as the edge was, until it turns in the middle
        with database.connect() as connection:
            before = fingerprint(connection, turned)
        version, found, alarm = watch_champion(database, artifacts, turned, SETTINGS, clock=clock)
        assert found.alarm.raised
        assert alarm is not None
        assert alarm.model_id == version.model_id
        again = watch_champion(database, artifacts, turned, SETTINGS, clock=clock)[2]
        assert again == alarm
        quiet = watch_champion(database, artifacts, logs(tmp_path, Truth.EDGE), SETTINGS, clock=clock)
        assert (quiet[1].alarm.raised, quiet[1].n_new) == (False, 0)
        with database.connect() as connection:
            assert fingerprint(connection, turned) == before
            assert fingerprint(connection, Inputs()) != before

    def test_an_agent_of_the_champion_knows_its_alarm(self, database: Database, tmp_path: Path) -> None:
        artifacts = FolderStore(tmp_path / "models")
        ballot = line(0)["base_predictions"]
        assert champion_agent(database, artifacts, SETTINGS.decision).decide(ballot).reason == "model_not_loaded"
        made = retrain(database, artifacts, logs(tmp_path, Truth.EDGE), SETTINGS, clock=clock)
        agent = champion_agent(database, artifacts, SETTINGS.decision)
        assert agent.decide(ballot).model_sha256 == made.version.model_id
        with database.begin() as connection:
            store.raise_alarm(connection, made.version.model_id, {}, now=NOW)
        alarmed = champion_agent(database, artifacts, SETTINGS.decision)
        assert alarmed.decide(ballot).reason == "exchangeability_alarm"

    def test_a_broken_champion_is_not_watched(self, database: Database, tmp_path: Path) -> None:
        artifacts = FolderStore(tmp_path / "models")
        inputs = logs(tmp_path, Truth.EDGE)
        made = retrain(database, artifacts, inputs, SETTINGS, clock=clock)
        artifacts.path(made.version.model_id).write_bytes(b"{}")
        with pytest.raises(ArtifactBroken):
            watch_champion(database, artifacts, inputs, SETTINGS, clock=clock)

    def test_the_settings_say_where_the_inputs_are_and_what_trading_costs(self) -> None:
        values: dict[str, Any] = {
            "prediction_logs": "p",
            "trade_outcomes": "o",
            "base_models": "a, b ,c",
            "trading_cost_pct": 0.2,
            "trading_costs_pct": "X=0.1, Y=0",
            "_env_file": None,
        }
        settings = Settings(**values)
        assert inputs_of(settings) == Inputs(predictions=Path("p"), outcomes=Path("o"))
        training = training_of(settings)
        assert training.decision == DecisionSettings(models=("a", "b", "c"))
        assert training.cost.of(["X", "Y", "Z"]).tolist() == [0.1, 0.0, 0.2]
        for text in ("X", "X=", "=0.1", "X=abc"):
            with pytest.raises(InputError, match="write SYMBOL=PER_CENT"):
                costs_by_symbol(text)
