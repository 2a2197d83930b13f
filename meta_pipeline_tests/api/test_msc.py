"""The documented routes answer with the documented fields, and say what they do not know."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from meta_pipeline.meta_model.agent import MetaAgent
from meta_pipeline.store.database import Database
from meta_pipeline_tests.api.clients import client_of
from meta_pipeline_tests.store.live_book import NOW, calm_policy, fill_book

POLICY = {
    *("risk_mode", "max_risk_per_trade_pct", "max_positions", "min_confidence_pct", "max_daily_trades"),
    *("active_strategies_count", "allowed_strategies", "updated_at"),
}
HEALTH = {
    *("drawdown_pct", "winrate_pct", "equity_slope_pct_per_day", "regime", "volatility"),
    *("consecutive_losses", "days_since_profit"),
}


def test_the_status_has_the_documented_fields(database: Database, tmp_path: Path) -> None:
    calm_policy(database)
    shown = client_of(database, tmp_path).get("/api/msc/status").json()
    assert shown["status"] == "active"
    assert shown["policy"].keys() >= POLICY
    assert shown["system_health"].keys() == HEALTH
    assert shown["controller_config"].keys() >= {"evaluation_period_days", "min_strategies", "max_strategies"}
    policy = shown["policy"]
    assert (policy["risk_mode"], policy["max_risk_per_trade_pct"], policy["max_positions"]) == ("NORMAL", 0.75, 10)
    assert (policy["min_confidence_pct"], policy["max_daily_trades"]) == (60.0, 30)
    assert policy["active_strategies_count"] == len(policy["allowed_strategies"]) == 2
    assert shown["available_strategies"] == 2


def test_without_a_policy_the_status_is_inactive_with_a_message(database: Database, tmp_path: Path) -> None:
    client = client_of(database, tmp_path)
    shown = client.get("/api/msc/status").json()
    assert (shown["status"], shown["policy"], shown["system_health"]) == ("inactive", None, None)
    assert "only reduce" in shown["message"]
    assert client.get("/api/msc/history").json()["total_records"] == 0
    health = client.get("/api/msc/health").json()
    assert health["status"] == "unknown"
    assert health["metrics"]["drawdown"] == {
        "current_pct": None,
        "threshold_defensive": 5.0,
        "threshold_normal": 3.0,
        "status": "unknown",
    }
    assert client.get("/api/msc/strategies").json()["rankings"] == []


def test_s18_an_expired_policy_is_shown_as_what_executors_make_of_it(database: Database, tmp_path: Path) -> None:
    calm_policy(database)
    shown = client_of(database, tmp_path, clock=lambda: NOW + timedelta(days=30)).get("/api/msc/status").json()
    assert (shown["status"], shown["policy"]["risk_mode"], shown["policy"]["issued_mode"]) == (
        "inactive",
        "DEFENSIVE",
        "NORMAL",
    )
    assert (shown["policy"]["max_positions"], shown["policy"]["min_confidence_pct"]) == (4, 70.0)


def test_an_evaluation_is_made_shown_at_once_and_made_once_per_key(database: Database, tmp_path: Path) -> None:
    with database.begin() as connection:
        fill_book(connection)
    client = client_of(database, tmp_path)
    assert client.get("/api/msc/status").json()["status"] == "inactive"
    first = client.post("/api/msc/evaluate", headers={"Idempotency-Key": "k"}).json()
    assert first["status"] == first["evaluation"]["status"] == "success"
    assert first["evaluation"].keys() >= {"status", "duration_seconds", "policy", "timestamp"}
    assert client.get("/api/msc/status").json()["policy"]["version"] == 1
    again = client.post("/api/msc/evaluate", headers={"Idempotency-Key": "k"}).json()
    assert again["evaluation"]["policy"]["version"] == 1
    assert client.post("/api/msc/evaluate").json()["evaluation"]["policy"]["version"] == 2
    assert client.post("/api/msc/evaluate?scope=nowhere").status_code == 404


def test_the_history_is_read_a_page_at_a_time(database: Database, tmp_path: Path) -> None:
    calm_policy(database)
    client = client_of(database, tmp_path)
    seen: list[int] = []
    cursor: str | None = None
    while True:
        page = client.get(
            "/api/msc/history", params={"limit": 4, **({} if cursor is None else {"cursor": cursor})}
        ).json()
        seen += [row["version"] for row in page["history"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == list(range(10, 0, -1))
    row = page["history"][0]
    assert row.keys() >= {
        *("id", "risk_mode", "max_risk_per_trade_pct", "max_positions", "min_confidence_pct", "max_daily_trades"),
        *("active_strategies_count", "allowed_strategies", "system_drawdown_pct", "system_winrate_pct", "created_at"),
    }
    assert page["current_mode"] == "NORMAL"
    assert page["mode_changes"][0].keys() == {"from_mode", "to_mode", "timestamp", "trigger"}


def test_health_grades_the_readings_by_the_documented_thresholds(database: Database, tmp_path: Path) -> None:
    calm_policy(database)
    health = client_of(database, tmp_path).get("/api/msc/health").json()
    assert health["status"] == "healthy"
    metrics = health["metrics"]
    assert metrics.keys() == {"drawdown", "winrate", "equity_trend", "market_regime", "risk_signals"}
    assert metrics["winrate"]["status"] == "excellent"
    assert metrics["risk_signals"]["warning_threshold"] == 5
    assert metrics["market_regime"]["favorable"] in {True, False}


def test_strategies_are_ranked_by_the_documented_score_with_its_parts(database: Database, tmp_path: Path) -> None:
    calm_policy(database)
    shown = client_of(database, tmp_path).get("/api/msc/strategies").json()
    assert shown["total_strategies"] == 2
    scores = [one["score"] for one in shown["rankings"]]
    assert scores == sorted(scores, reverse=True)
    one = shown["rankings"][0]
    assert one["metrics"].keys() == {
        *("profit_factor", "winrate_pct", "avg_R_multiple", "total_trades", "max_drawdown_pct", "total_pnl"),
    }
    assert sum(one["score_breakdown"].values()) == pytest.approx(one["score"])
    assert one["currently_active"] is True
    assert one["strategy_name"].startswith("Strategy ")


def test_the_meta_model_answers_for_the_agent_of_this_server(database: Database, tmp_path: Path) -> None:
    bare = client_of(database, tmp_path)
    assert bare.get("/api/ai/meta/status").json() == {"status": "inactive", "statistics": None, "champion": None}
    client = client_of(database, tmp_path, agent=MetaAgent(None))
    votes: dict[str, Any] = {
        name: {"action": "BUY", "confidence": 0.6} for name in ("xgb", "lgbm", "nhits", "patchtst")
    }
    decided = client.post("/api/ai/meta/decide", json={"predictions": votes}).json()
    assert decided["use_meta"] is False
    assert client.get("/api/ai/meta/status").json()["statistics"]["total_predictions"] == 1
    assert client.post("/api/ai/meta/reset_stats").json()["statistics"]["total_predictions"] == 0
