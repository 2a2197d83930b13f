"""What an approver reads of a search's winner."""

from meta_pipeline.report.search_evidence import downside_rows, evidence_rows

GATES = [
    {"name": "round trips", "value": 112.0, "threshold": 30.0, "at_least": True, "passed": True, "reason": "enough"},
    {"name": "holdout", "value": None, "threshold": 0.95, "at_least": True, "passed": False, "reason": "not opened"},
]
EVIDENCE = {
    "kind": "search",
    "search": "FOREST_LAB-x",
    "data": {"source": "lab", "origin": "arch"},
    "verdict": {"trials": 17, "gates": GATES, "research": {"max_drawdown": -0.031}, "stressed": {}},
}


def test_the_sheet_of_a_winner_shows_where_it_was_found_and_every_gate_with_its_figure() -> None:
    rows = dict(evidence_rows(EVIDENCE))
    assert rows["Evidence"] == "winner of the search FOREST_LAB-x, the best of 17 configurations"
    assert rows["Prices"] == "lab; recorded by: arch"
    assert rows["Gate: round trips"] == "passed, 112.00 >= 30: enough"
    assert rows["Gate: holdout"] == "NOT PASSED, n/a >= 0.95: not opened"
    assert downside_rows(EVIDENCE) == [
        ("Deepest fall out of sample", "-3.1 %"),
        ("Deepest fall with doubled costs", None),
        ("Deepest fall on the holdout", None),
    ]


def test_other_evidence_is_left_to_others() -> None:
    assert evidence_rows({"candidate": {}}) == downside_rows({}) == []
