"""One valid row per table of the meta-model, and rows that break each rule."""

from datetime import UTC, datetime
from typing import Any, Final

NOW: Final = datetime(2026, 11, 20, 12, tzinfo=UTC)
EARLIER: Final = datetime(2026, 11, 19, 12, tzinfo=UTC)
MODEL: Final = "a" * 64
NAN, INFINITY = float("nan"), float("inf")

META_MODEL_ROWS: Final[dict[str, dict[str, Any]]] = {
    "meta_model_predictions": {
        "predicted_at": NOW,
        "symbol": "BTCUSDT",
        "base_predictions": {"xgb": {"action": "BUY", "confidence": 0.7}},
        "regime": {"volatility": 0.4, "trend_strength": 0.1},
        "data_kind": "real",
    },
    "meta_model_outcomes": {
        "filled_at": NOW,
        "symbol": "BTCUSDT",
        "action": "BUY",
        "outcome": "win",
        "pnl_pct": 1.5,
        "hold_duration_minutes": 60,
        "propensity": 0.5,
    },
    "meta_model_versions": {
        "model_id": MODEL,
        "status": "candidate",
        "data_kind": "real",
        "n_samples": 1000,
        "passed": True,
        "verdict": {},
        "created_at": NOW,
    },
    "meta_model_alarms": {"model_id": MODEL, "report": {}, "raised_at": NOW},
}

META_MODEL_BROKEN: Final[dict[str, dict[str, list[dict[str, Any]]]]] = {
    "meta_model_predictions": {
        "symbol_check": [{"symbol": ""}],
        "base_predictions_check": [{"base_predictions": []}],
        "data_kind_check": [{"data_kind": "undeclared"}],
    },
    "meta_model_outcomes": {
        "symbol_check": [{"symbol": ""}],
        "action_check": [{"action": "HOLD"}],
        "pnl_pct_check": [{"pnl_pct": value} for value in (NAN, INFINITY, -INFINITY)],
        "hold_duration_minutes_check": [{"hold_duration_minutes": value} for value in (-1, NAN, INFINITY)],
        "propensity_check": [{"propensity": value} for value in (0, 1.1, NAN)],
    },
    "meta_model_versions": {
        "status_check": [{"status": "hero", "promoted_at": NOW}],
        "data_kind_check": [{"data_kind": "imagined"}],
        "n_samples_check": [{"n_samples": -1}],
        "verdict_check": [{"verdict": []}],
        "check": [
            {"status": "champion", "promoted_at": NOW, "data_kind": "synthetic"},
            {"status": "champion", "promoted_at": NOW, "data_kind": "undeclared"},
            {"status": "champion", "promoted_at": NOW, "passed": False},
        ],
        "check1": [{"promoted_at": NOW}, {"status": "champion"}],
        "check2": [{"status": "retired", "promoted_at": NOW}],
        "check3": [{"retired_by": "ann"}],
        "check4": [{"retired_reason": "worse"}],
        "check5": [
            {
                "status": "retired",
                "promoted_at": NOW,
                "retired_at": EARLIER,
                "retired_by": "ann",
                "retired_reason": "worse",
            }
        ],
    },
    "meta_model_alarms": {
        "report_check": [{"report": 1}],
        "check": [{"cleared_by": "ann"}],
        "check1": [{"cleared_reason": "looked into"}],
        "check2": [{"cleared_at": EARLIER, "cleared_by": "ann", "cleared_reason": "looked into"}],
    },
}
