"""One valid row per table of migration 0004, and rows that break each of its checks."""

from datetime import UTC, datetime, time, timedelta
from typing import Any, Final

NOW: Final = datetime(2026, 11, 20, 12, tzinfo=UTC)
EARLIER: Final = NOW - timedelta(days=1)
LOCAL: Final = datetime(2026, 12, 24, 18)  # noqa: DTZ001 -- local times of a zone beside them
NAN, INFINITY = float("nan"), float("inf")
WEEKLY: Final[dict[str, Any]] = {"weekdays": 1, "starts_time": time(9, 30), "ends_time": time(16), "starts_local": None}

GOVERNANCE_ROWS: Final[dict[str, dict[str, Any]]] = {
    "person_roles": {
        "name_key": "dora",
        "role": "operator",
        "display_name": "Dora",
        "granted_by": "ann",
        "granted_at": NOW,
    },
    "approver_keys": {
        "key_id": "k",
        "name_key": "bob",
        "public_key": bytes(32),
        "registered_by": "ann",
        "registered_at": NOW,
    },
    "freezes": {
        "time_zone": "UTC",
        "starts_local": LOCAL,
        "reason": "the year's end",
        "created_by": "ann",
        "created_at": NOW,
    },
    "strategy_limits": {
        "strategy_id": "s",
        "owner": "ann",
        "max_changes": 2,
        "window_hours": 24,
        "set_by": "ann",
        "set_at": NOW,
    },
}

GOVERNANCE_BROKEN: Final[dict[str, dict[str, list[dict[str, Any]]]]] = {
    "person_roles": {"name_key_check": [{"name_key": ""}], "role_check": [{"role": "approver"}, {"role": "god"}]},
    "approver_keys": {
        "key_id_check": [{"key_id": ""}],
        "public_key_check": [{"public_key": bytes(31)}],
        "check": [{"revoked_by": "ann", "revoked_reason": None}],
        "check1": [{"revoked_reason": "lost"}],
        "check2": [{"revoked_at": EARLIER, "revoked_by": "ann", "revoked_reason": "lost"}],
    },
    "freezes": {
        "time_zone_check": [{"time_zone": ""}],
        "weekdays_check": [{**WEEKLY, "weekdays": 0}, {**WEEKLY, "weekdays": 128}],
        "reason_check": [{"reason": " "}],
        "check": [{"starts_time": time(9)}, {**WEEKLY, "starts_time": None}],
        "check1": [{"ends_time": time(9)}, {**WEEKLY, "ends_time": None}],
        "check2": [{"starts_local": None}, {**WEEKLY, "starts_local": LOCAL}],
        "check3": [{**WEEKLY, "ends_local": LOCAL}],
        "check4": [{"ends_local": LOCAL}],
        "check5": [{"lifted_by": "ann"}],
        "check6": [{"lift_reason": "over"}],
    },
    "strategy_limits": {
        "owner_check": [{"owner": ""}],
        "max_changes_check": [{"max_changes": -1}],
        "window_hours_check": [{"window_hours": value} for value in (0, -1, NAN, INFINITY)],
        "check": [{"max_changes": None}, {"window_hours": None}],
    },
}
