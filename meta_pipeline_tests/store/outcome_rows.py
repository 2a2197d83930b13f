"""A valid row of each table of outcomes, experiments and automation, and what breaks its constraints."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

NOW: Final = datetime(2026, 11, 20, 12, tzinfo=UTC)
NUMBERS_THAT_ARE_NONE: Final = (float("nan"), float("inf"), float("-inf"))

OUTCOME_ROWS: Final[dict[str, dict[str, Any]]] = {
    "change_outcomes": {
        "change_id": "k",
        "judged_until": NOW.date(),
        "simulated": False,
        "looked_at": NOW,
        "n_days": 3,
        "verdict": "INSUFFICIENT_DATA",
        "reason": "3 of at least 60 days",
        "estimate": 0.1,
        "lower_bound": -0.5,
        "upper_bound": 0.7,
        "body": {},
    },
    "experiments": {
        "experiment_id": "exp-1",
        "strategy_id": "s",
        "knob_path": "speed",
        "incumbent_value": 10,
        "challenger_value": 20,
        "incumbent_version": 1,
        "challenger_config": {"speed": 20},
        "outcome_rule": {},
        "digest": "d" * 64,
        "state": "running",
        "why": "is it faster?",
        "started_by": "ann",
        "started_at": NOW,
    },
    "experiment_looks": {
        "experiment_id": "exp-1",
        "judged_until": NOW.date(),
        "simulated": False,
        "looked_at": NOW,
        "n_days": 3,
        "verdict": "INSUFFICIENT_DATA",
        "body": {},
    },
    "automation_tiers": {"strategy_id": "s", "path": "speed", "tier": "human", "set_by": "ann", "set_at": NOW},
    "negative_controls": {
        "strategy_id": "s",
        "knob_path": "speed",
        "kind": "out_of_bounds",
        "refused": True,
        "detail": "above its upper bound",
        "ran_at": NOW,
    },
    "automation_freezes": {"frozen_at": NOW, "frozen_by": "meta-pipeline", "reason": "a bad proposal passed"},
}

OUTCOMES_BROKEN: Final[dict[str, dict[str, list[dict[str, Any]]]]] = {
    "change_outcomes": {
        "n_days_check": [{"n_days": -1}],
        "verdict_check": [{"verdict": "KEPT"}],
        "reason_check": [{"reason": ""}],
        "estimate_check": [{"estimate": value} for value in NUMBERS_THAT_ARE_NONE],
        "lower_bound_check": [{"lower_bound": value, "upper_bound": None} for value in NUMBERS_THAT_ARE_NONE],
        "upper_bound_check": [{"upper_bound": value, "lower_bound": None} for value in NUMBERS_THAT_ARE_NONE],
        "body_check": [{"body": []}],
        "check": [{"lower_bound": 2.0}],
    },
    "experiments": {
        "experiment_id_check": [{"experiment_id": ""}],
        "knob_path_check": [{"knob_path": ""}],
        "challenger_config_check": [{"challenger_config": []}],
        "outcome_rule_check": [{"outcome_rule": []}],
        "state_check": [{"state": "paused", "ended_at": NOW, "ended_by": "ann"}],
        "verdict_check": [{"verdict": "KEEP"}],
        "why_check": [{"why": ""}],
        "started_by_check": [{"started_by": ""}],
        "check": [{"state": "stopped"}, {"ended_at": NOW, "ended_by": "ann"}],
        "check1": [{"state": "stopped", "ended_at": NOW}, {"ended_by": "ann"}],
        "check2": [{"state": "stopped", "ended_by": "ann", "ended_at": NOW - timedelta(days=1)}],
    },
    "experiment_looks": {
        "n_days_check": [{"n_days": -1}],
        "verdict_check": [{"verdict": "KEEP"}],
        "body_check": [{"body": 1}],
    },
    "automation_tiers": {
        "path_check": [{"path": ""}],
        "tier_check": [{"tier": "reckless"}],
        "set_by_check": [{"set_by": ""}],
    },
    "negative_controls": {"kind_check": [{"kind": ""}]},
    "automation_freezes": {
        "frozen_by_check": [{"frozen_by": ""}],
        "reason_check": [{"reason": ""}],
        "check": [{"lifted_at": NOW, "lift_reason": "fixed"}, {"lifted_by": "ann"}],
        "check1": [{"lifted_at": NOW, "lifted_by": "ann"}, {"lift_reason": "fixed"}],
        "check2": [{"lifted_at": NOW - timedelta(days=1), "lifted_by": "ann", "lift_reason": "fixed"}],
    },
}
