"""What is expected of a change, from nothing known to hundreds of outcomes; and what may never be known."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ndtr

from meta_pipeline.errors import InputError
from meta_pipeline.evidence.expected_value.learning import ENOUGH, RHO, WEIGHTS, Expected, learn
from meta_pipeline.evidence.expected_value.ledger import EMPTY, Ledger, Outcome
from meta_pipeline_tests.evidence.expected_value.ledgers import DAY, NAN, cases, ledger, outcomes, relabelled

LATE = np.datetime64("2060-01-01")
TRUE = {("a", "1"): 0.4, ("b", "2"): -0.3}
ASKED = (("a", "1", 0.4), ("a", "2", 0.0), ("b", "2", 0.3))


def bits(expected: Expected) -> dict[str, bytes]:
    return {name: getattr(expected, name).tobytes() for name in expected.__dataclass_fields__}


def test_the_very_first_campaign_claims_its_contrast_after_the_haircut() -> None:
    expected = learn(EMPTY, at=LATE).expect(cases(("a", "1", 0.4)))
    assert expected.claim.tolist() == pytest.approx([0.1])
    assert expected.probability.tolist() == pytest.approx([float(ndtr(0.1 / 0.4))])


def test_a_campaigns_own_pseudo_outcomes_leave_the_first_haircut_in_place() -> None:
    own = Ledger.of([replace(row, campaign="now", pseudo=True) for row in outcomes(0, 3)])
    learned = learn(own, at=LATE)
    assert learned.expect(cases(("a", "1", 0.4))).main_mean[0] == pytest.approx(0.1)
    assert learned.expect(cases(("a", "1", 0.4), campaign="other")).main_mean[0] != pytest.approx(0.1)


def test_history_is_the_shrunken_mean_of_what_came_mirrored_for_the_way_back() -> None:
    rows = outcomes(3, 10, effects=TRUE)
    learned = learn(Ledger.of(rows), at=LATE)
    mine = [row.main for row in rows if (row.knob, row.high) == ("a", "1")]
    expected = learned.expect(cases(*ASKED))
    assert expected.history[0] == pytest.approx(sum(mine) / (len(mine) + 20))
    assert expected.n_outcomes.tolist() == [10, 10, 10]
    asked = cases(("a", "0", -0.4))
    back = learned.expect(replace(asked, low=np.asarray(["1"], dtype=np.object_)))
    assert back.history[0] == -expected.history[0]
    assert back.win_rate[0] == pytest.approx(1 - expected.win_rate[0])
    assert learned.weights == WEIGHTS
    assert expected.claim[0] == pytest.approx(learned.rho_main * (0.2 * 0.4 + 0.7 * expected.history[0]))


def test_weights_and_odds_are_learned_from_four_hundred_outcomes_on() -> None:
    held = ledger(1, 60, effects=TRUE)
    assert learn(held.take(np.arange(ENOUGH - 1)), at=LATE).odds is None
    learned = learn(held, at=LATE)
    assert learned.enough
    assert learned.odds is not None
    assert learned.weights != WEIGHTS
    expected = learned.expect(cases(*ASKED))
    assert expected.probability[0] > 0.8
    assert expected.probability[2] < 0.5


@given(st.integers(0, 50))
@settings(max_examples=20, deadline=None)
def test_in_a_world_without_effects_rho_goes_to_zero(seed: int) -> None:
    learned = learn(ledger(seed, 100, surface=0.1), at=LATE)
    assert learned.rho < 0.3
    assert learn(EMPTY, at=LATE).rho == RHO


def test_a_surface_that_is_right_is_believed_and_never_more_than_it_says() -> None:
    learned = learn(ledger(5, 100, effects=TRUE, surface=0.02), at=LATE)
    assert 0.6 < learned.rho <= 1.0
    expected = learned.expect(cases(("a", "1", 0.0), surface=0.4))
    assert expected.from_surface.all()
    assert expected.claim[0] == pytest.approx(learned.rho * 0.4)


def test_claims_are_halved_and_said_to_be_when_less_than_half_of_them_came() -> None:
    quiet = learn(ledger(2, 40, effects={("a", "1"): 0.4}, claimed=0.01), at=LATE)
    loud = learn(ledger(2, 40, effects={("a", "1"): 0.4}, claimed=0.5), at=LATE)
    assert not quiet.alarm.sounded
    assert loud.alarm.sounded
    assert "halved" in str(loud.alarm.sentence)
    np.testing.assert_allclose(loud.expect(cases(*ASKED)).claim, 0.5 * quiet.expect(cases(*ASKED)).claim, rtol=1e-12)


def test_dead_knobs_teach_nothing() -> None:
    rows = outcomes(4, 40, effects=TRUE)
    dead = [replace(row, knob="dead", main=0.0, incumbent=0.0, contrast=0.0, dead=True) for row in rows]
    one, two = learn(Ledger.of(rows), at=LATE), learn(Ledger.of([*rows, *dead]), at=LATE)
    assert bits(one.expect(cases(*ASKED))) == bits(two.expect(cases(*ASKED)))
    assert one.n_outcomes == two.n_outcomes


def test_a_planted_outcome_that_ends_after_the_decision_is_refused() -> None:
    day = np.datetime64("2010-01-01")
    fair = ledger(6, 40, effects=TRUE).ended_by(day)
    planted = replace(outcomes(6, 1)[0], campaign="planted", main=9.0, incumbent=9.0, outcome_end=day + DAY)
    with pytest.raises(InputError, match="after 2010-01-01, the day of the decision"):
        learn(fair.plus(Ledger.of([planted])), at=day)
    assert len(fair.plus(Ledger.of([planted])).ended_by(day)) == len(fair)


@given(st.integers(0, 9), st.floats(-50, 50), st.integers(1, 6_000))
@settings(max_examples=25, deadline=None)
def test_no_figure_of_the_future_reaches_a_decision(seed: int, figure: float, day: int) -> None:
    decided = np.datetime64("2003-01-01") + day * DAY
    rows = outcomes(seed, 40, effects=TRUE, surface=0.1, claimed=0.1)

    def answer(held: list[Outcome]) -> dict[str, bytes]:
        learned = learn(Ledger.of(held).ended_by(decided), at=decided)
        return bits(learned.expect(cases(*ASKED, surface=0.2)))

    changed = [
        row if row.outcome_end <= decided else replace(row, main=figure, incumbent=-figure, claimed=figure)
        for row in rows
    ]
    assert answer(rows) == answer(changed)


@given(st.integers(0, 9), st.data())
@settings(max_examples=20, deadline=None)
def test_a_rows_own_history_ends_with_its_evidence(seed: int, data: Any) -> None:
    """Weights are learned from k as it was then: an outcome moves no k of a row whose evidence ended before it."""
    rows = outcomes(seed, 60, effects=TRUE)
    learned = learn(Ledger.of(rows), at=LATE)
    row = data.draw(st.sampled_from(rows))
    later = [other for other in rows if other.outcome_end > row.evidence_end]
    known = Ledger.of([other for other in rows if other.outcome_end <= row.evidence_end])
    held = Ledger.of([row])
    kind = (held.family, held.knob, held.low, held.high, held.evidence_end)
    assert later
    assert learned.past.means(*kind).tolist() == learn(known, at=LATE).past.means(*kind).tolist()


@given(st.integers(0, 9), st.randoms(use_true_random=False))
@settings(max_examples=20, deadline=None)
def test_order_repetition_and_names_change_no_bit(seed: int, random: Any) -> None:
    rows = outcomes(seed, 55, effects=TRUE, surface=0.1, claimed=0.05)
    mixed = rows + random.sample(rows, 40)
    random.shuffle(mixed)
    asked = cases(*ASKED, surface=0.1)
    renamed = {"0": '"x"', "1": "9", "2": "true"}
    asked_renamed = replace(
        asked,
        low=np.asarray([renamed[name] for name in asked.low], dtype=np.object_),
        high=np.asarray([renamed[name] for name in asked.high], dtype=np.object_),
    )
    one = bits(learn(Ledger.of(rows), at=LATE).expect(asked))
    assert one == bits(learn(Ledger.of(mixed), at=LATE).expect(asked))
    assert one == bits(learn(Ledger.of([relabelled(row) for row in mixed]), at=LATE).expect(asked_renamed))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"outcome_end": np.datetime64("2000-06-30")}, "not after its evidence"),
        ({"main": NAN, "incumbent": NAN}, "neither a main effect nor one at the incumbent"),
    ],
)
def test_an_outcome_that_cannot_be_is_refused(change: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        Ledger.of([replace(outcomes(0, 1)[0], **change)])
