"""Deliberately bad proposals are bad whatever the knob: a sound gate never lets one pass, so a pass is never chance."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meta_pipeline.proposals.knobs import Knob, RiskDirection
from meta_pipeline.proposals.negative_controls import bad_proposals
from meta_pipeline.proposals.outcome_rule import OutcomeRule
from meta_pipeline.proposals.strategy import Strategy

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


def proposed(knob: Knob, live: Any) -> dict[str, Any]:
    """What the controls of a knob propose, by kind."""
    strategy = Strategy(strategy_id="S", knobs=(knob,), live_config={knob.path: live}, family="trend")
    found = bad_proposals(strategy, knob.path, live_version=1, now=NOW, rule=OutcomeRule())
    assert len({one.record.proposal_id for one in found}) == len(found)
    return {one.kind: one.record.draft.proposed for one in found}


@st.composite
def fenced(draw: st.DrawFn) -> tuple[Knob, Any]:
    """A numeric knob with bounds or choices and a step, and a live value that it allows."""
    whole = draw(st.booleans())
    unit = 1 if whole else draw(st.sampled_from([0.05, 0.1, 0.3, 1.0, 1e-4]))
    levels = sorted(draw(st.lists(st.integers(-50, 50), min_size=2, max_size=6, unique=True)))
    values = [level * unit for level in levels]
    choices = tuple(values) if draw(st.booleans()) else None
    step = draw(st.integers(1, 40)) * unit
    knob = Knob(
        path="k",
        knob_type="int" if whole else "float",
        lower=float(values[0]),
        upper=float(values[-1]),
        choices=choices,
        max_step=float(step),
        risk_direction=RiskDirection.HIGHER_IS_RISKIER,
    )
    return knob, draw(st.sampled_from(values))


@given(fenced())
def test_a_number_that_is_not_allowed_or_too_far_is_refused_for_just_that(of: tuple[Knob, Any]) -> None:
    knob, live = of
    values = proposed(knob, live)
    beyond = knob.objection_to_change(live, values["out_of_bounds"])
    assert beyond is not None
    assert "step" not in beyond
    if "step_too_large" in values:
        far = knob.objection_to_change(live, values["step_too_large"])
        assert far is not None
        assert "larger than the largest allowed step" in far


@pytest.mark.parametrize(("choices", "made"), [((0.1, 0.15, 0.2), False), ((0.1, 0.15, 0.3), True)])
def test_where_every_allowed_value_is_one_step_away_none_is_too_far(choices: tuple[float, ...], made: bool) -> None:
    knob = Knob(
        path="k", knob_type="float", lower=0.05, upper=0.5, choices=choices, max_step=0.05,
        risk_direction=RiskDirection.HIGHER_IS_RISKIER,
    )  # fmt: skip
    assert ("step_too_large" in proposed(knob, 0.15)) is made
