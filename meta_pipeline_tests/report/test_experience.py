"""What a person reads of past claims."""

from collections.abc import Mapping

from meta_pipeline.canonical import JsonValue
from meta_pipeline.report.experience import Past, experience_table, reliability_table

EXPERIENCE: Mapping[str, JsonValue] = {
    "family": "trend",
    "ended_outcomes": 412,
    "alarm": "claims are halved",
    "reliability": {
        "n": 7,
        "brier": 0.23,
        "claimed": 0.2,
        "realised": 0.05,
        "bins": [{"lower": 0.6, "upper": 0.8, "n": 7, "said": 0.7, "came": 0.57}],
    },
}


def test_past_claims_are_shown_beside_what_came_and_the_wealth_left() -> None:
    table = experience_table([Past(strategy_id="A", experience=EXPERIENCE, p_value=0.2, level=0.01, wealth=0.04)])
    (row,) = table.rows
    assert (row["outcomes"], row["claimed"], row["realised"], row["halved"]) == (412, 0.2, 0.05, "halved")
    assert (row["p_value"], row["level"], row["wealth"]) == (0.2, 0.01, 0.04)


def test_a_strategy_without_a_past_has_a_row_with_gaps() -> None:
    (row,) = experience_table([Past(strategy_id="A", experience={})]).rows
    assert (row["outcomes"], row["claimed"], row["halved"]) == (None, None, "in full")
    assert reliability_table([Past(strategy_id="A", experience={})]).rows == ()


def test_a_family_is_listed_once_with_what_was_said_and_what_came() -> None:
    past = [Past(strategy_id=name, experience=EXPERIENCE) for name in "AB"]
    (row,) = reliability_table(past).rows
    assert row == {"family": "trend", "range": "0.6 and 0.8", "n": 7, "said": 0.7, "came": 0.57}
