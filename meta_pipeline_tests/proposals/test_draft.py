"""Drafts: what no proposal may say."""

import math
from typing import Any

import pytest

from meta_pipeline.canonical import ABSENT
from meta_pipeline.errors import InputError
from meta_pipeline_tests.proposals.governed import draft


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"expected_sharpe_improvement": math.nan}, "expected_sharpe_improvement is nan"),
        ({"expected_risk_reduction": math.inf}, "expected_risk_reduction is inf"),
        ({"legacy_confidence": "0.7"}, "legacy_confidence is '0.7'"),
        ({"confidence_score": 1.2}, "must be 0 to 1"),
        ({"risk_change": "lowers"}, "risk_change is 'lowers'"),
        ({"grade": "E"}, "grade is 'E'"),
        ({"author_kind": "robot"}, "author_kind is 'robot'"),
        ({"author": "system", "author_kind": "human"}, "reserved for machines"),
        ({"author": " ann"}, "give the name as 'ann'"),
        ({"rationale": "  "}, "rationale"),
        ({"target_component": "x" * 257}, "257 characters"),
        ({"market_id": "x" * 33}, "market_id"),
        ({"evidence_digest": "abc"}, "64 hexadecimal digits"),
        ({"proposed": math.nan}, "cannot be written as JSON"),
        ({"proposed": {"a": [math.inf]}}, "cannot be written as JSON"),
        ({"proposed": "a\x00b"}, "cannot be written as JSON"),
        ({"supporting_metrics": {"x": math.nan}}, "supporting_metrics cannot be written as JSON"),
        ({"strategy_id": "\ud800"}, "half a character"),
    ],
)
def test_what_cannot_be_stored_is_refused_by_name(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        draft(**fields).check()


def test_a_rise_in_risk_is_said_with_its_sign_and_what_is_not_known_is_none() -> None:
    draft(expected_risk_reduction=-0.18, confidence_score=None, grade=None).check()
    draft(current=ABSENT, proposed=None).check()
