"""A valid row of each table of the decision core, and what breaks its constraints."""

from datetime import UTC, date, datetime
from typing import Any, Final

NOW: Final = datetime(2026, 11, 20, 12, tzinfo=UTC)
NUMBERS_THAT_ARE_NONE: Final = (float("nan"), float("inf"), float("-inf"))

EVIDENCE_ROWS: Final[dict[str, dict[str, Any]]] = {
    "run_half_years": {
        "run_id": "r",
        "first_half_year": 4050,
        "counts": [2],
        "totals": [0.1],
        "squares": [0.01],
    },
    "candidate_predictions": {
        "candidate_id": "d" * 64,
        "strategy_id": "s",
        "family": "s",
        "campaign": "s|4050",
        "look": "d" * 64,
        "evidence_start": date(2025, 1, 1),
        "evidence_end": date(2025, 1, 2),
        "decided_on": NOW.date(),
        "live_config": {},
        "contrast": 0.3,
        "standard_error": 0.1,
        "surface": 0.2,
        "claimed": 0.1,
        "probability": 0.6,
        "dead": False,
    },
    "trials": {"strategy_id": "s", "trial_digest": "d" * 64, "run_id": "r", "seen_at": NOW},
    "online_tests": {
        "strategy_id": "s",
        "test": 1,
        "campaigns_digest": "d" * 64,
        "evidence_digest": "d" * 64,
        "p_value": 0.5,
        "level": 0.003,
        "rejected": False,
        "wealth": 0.04,
        "state": {},
        "tested_at": NOW,
    },
}

EVIDENCE_BROKEN: Final[dict[str, dict[str, list[dict[str, Any]]]]] = {
    "run_half_years": {
        "check": [{"counts": [], "totals": [], "squares": []}, {"totals": [0.1, 0.2]}, {"squares": []}],
    },
    "candidate_predictions": {
        "family_check": [{"family": ""}],
        "campaign_check": [{"campaign": ""}],
        "live_config_check": [{"live_config": []}],
        "contrast_check": [{"contrast": value} for value in NUMBERS_THAT_ARE_NONE],
        "standard_error_check": [{"standard_error": value} for value in (-1, *NUMBERS_THAT_ARE_NONE)],
        "surface_check": [{"surface": value} for value in NUMBERS_THAT_ARE_NONE],
        "claimed_check": [{"claimed": value} for value in NUMBERS_THAT_ARE_NONE],
        "probability_check": [{"probability": value} for value in (-0.1, 1.1, float("nan"))],
        "check": [{"evidence_start": date(2025, 1, 3)}],
        "check1": [{"decided_on": date(2025, 1, 1)}],
    },
    "online_tests": {
        "test_check": [{"test": 0}],
        "p_value_check": [{"p_value": 1.1}],
        "level_check": [{"level": -0.1}],
        "wealth_check": [{"wealth": value} for value in (-1, *NUMBERS_THAT_ARE_NONE)],
        "state_check": [{"state": []}],
        "check": [{"rejected": True}],
    },
}
