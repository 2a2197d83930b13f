"""A valid row of each table of the searches, and what breaks its constraints."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

NOW: Final = datetime(2026, 11, 20, 12, tzinfo=UTC)
NUMBERS_THAT_ARE_NONE: Final = (float("nan"), float("inf"), float("-inf"))

SEARCH_ROWS: Final[dict[str, dict[str, Any]]] = {
    "searches": {
        "search_name": "weekly",
        "status": "running",
        "place": "search",
        "settings": {},
        "started_at": NOW,
        "updated_at": NOW,
    },
    "top_configs": {
        "search_name": "weekly",
        "rank": 1,
        "slot": "0.4.17",
        "config": {},
        "value": 1.5,
        "feasible": True,
        "metrics": {},
        "constraints": {},
    },
    "optimization_history": {
        "search_name": "weekly",
        "iteration": 0,
        "bracket": 4,
        "number": 17,
        "resource": 81,
        "config": {},
        "value": 1.5,
        "metrics": {},
    },
    "search_checkpoints": {
        "search_name": "weekly",
        "iteration": 0,
        "bracket": 4,
        "number": 17,
        "resource": 81,
        "digest": "d" * 64,
        "content": b"content",
    },
    "holdout_openings": {
        "scope": "four forests: SP500",
        "as_of": NOW.date(),
        "first_day": NOW.date(),
        "last_day": NOW.date(),
        "config": "c" * 64,
        "search_name": "weekly",
        "opened_by": "ann",
        "opened_at": NOW,
    },
}

SEARCH_BROKEN: Final[dict[str, dict[str, list[dict[str, Any]]]]] = {
    "searches": {
        "search_name_check": [{"search_name": ""}],
        "status_check": [{"status": "stuck"}],
        "settings_check": [{"settings": []}],
        "summary_check": [{"summary": []}],
        "verdict_check": [{"verdict": []}],
        "check": [{"status": "finished"}, {"digest": "d" * 64}],
        "check1": [{"updated_at": NOW - timedelta(seconds=1)}],
    },
    "top_configs": {
        "rank_check": [{"rank": 0}],
        "config_check": [{"config": []}],
        "value_check": [{"value": value} for value in NUMBERS_THAT_ARE_NONE],
        "metrics_check": [{"metrics": []}],
        "constraints_check": [{"constraints": []}],
    },
    "optimization_history": {
        "resource_check": [{"resource": 0}],
        "config_check": [{"config": []}],
        "value_check": [{"value": value} for value in NUMBERS_THAT_ARE_NONE],
        "metrics_check": [{"metrics": []}],
    },
    "search_checkpoints": {"resource_check": [{"resource": 0}]},
    "holdout_openings": {
        "scope_check": [{"scope": ""}],
        "check": [{"first_day": (NOW + timedelta(days=1)).date()}],
        "check1": [{"as_of": (NOW - timedelta(days=1)).date()}],
    },
}
