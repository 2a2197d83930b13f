import json
from dataclasses import replace

import pytest

from meta_pipeline.canonical import ABSENT, Level, canonical_json
from meta_pipeline.errors import InputError
from meta_pipeline.proposals.candidate import Candidate, Experiment, Rule, SliceEffect, Stability
from meta_pipeline.proposals.candidate_json import candidate_from_json
from meta_pipeline_tests.report.builders import candidate, effect

SLICE = SliceEffect(label="2008", estimate=None, standard_error=None, n_days=3, reason="3 days")
FULL = replace(
    candidate(suppressed_by=Rule.UNIDENTIFIED),
    local_effect=effect(None),
    other_effects=(effect(0.2),),
    stability=Stability(sub_periods=(SLICE, SLICE), sign_consistency=0.5, drift=0.1),
    regimes=(SLICE,),
    experiments=(Experiment(block="SPX", config={"a": {"b": [1, None]}}, why="missing"),),
    missing={"days_needed": "no effect"},
)


@pytest.mark.parametrize("found", [candidate(), FULL, candidate(from_value=ABSENT, to_value=None)])
def test_a_candidate_reads_back_as_it_was_written(found: Candidate) -> None:
    written = canonical_json(found.to_json())
    read = candidate_from_json(json.loads(written))
    assert canonical_json(read.to_json()) == written
    assert read.candidate_id(strategy_id="s", evidence_digest="e") == found.candidate_id(
        strategy_id="s", evidence_digest="e"
    )


@pytest.mark.parametrize("level", [ABSENT, None, True, 1, 1.0, "absent", {"absent": True}, [1, 1.0]])
def test_levels_keep_their_type(level: Level) -> None:
    read = candidate_from_json(json.loads(canonical_json(candidate(to_value=level).to_json())))
    assert read.to_value == level
    assert type(read.to_value) is type(level)


def test_another_shape_is_refused_in_words() -> None:
    data = dict(candidate().to_json())
    del data["grade"]
    with pytest.raises(InputError, match=r"not a candidate.*grade.*compute it anew"):
        candidate_from_json(data)
    with pytest.raises(InputError, match="rule_of_tomorrow"):
        candidate_from_json(dict(candidate().to_json()) | {"suppressed_by": "rule_of_tomorrow"})
