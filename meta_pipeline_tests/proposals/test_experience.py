"""Earlier campaigns brought to bear on a campaign's changes: claims, value proposals, and what may not be seen."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meta_pipeline.canonical import JsonValue, canonical_json
from meta_pipeline.evidence.expected_value.ledger import Ledger, Outcome
from meta_pipeline.evidence.expected_value.surface import Samples
from meta_pipeline.evidence.panel import RunPanel
from meta_pipeline.proposals.candidate import Candidate, Proposed, Rule
from meta_pipeline.proposals.candidate_json import candidate_from_json
from meta_pipeline.proposals.experience import Experience
from meta_pipeline.proposals.knobs import Knob
from meta_pipeline.proposals.parameters import Parameters
from meta_pipeline.proposals.propose import propose
from meta_pipeline_tests.evidence.worlds import chosen, grid, world

FAST = Parameters(bootstrap_draws=99)
KNOBS = [Knob(path=f"k{i}", knob_type="int") for i in range(6)]
LIVE: Mapping[str, JsonValue] = {f"k{i}": 0 for i in range(6)}
DAY = np.timedelta64(1, "D")


@pytest.fixture(scope="module")
def panel() -> RunPanel:
    """Two years of two markets, nothing has an effect worth a grade."""
    rng = np.random.default_rng(5)
    return world(rng, [grid(), rng.integers(0, 3, (14, 6))], n_days=504, effects={(1, 1): 0.1})


def past(panel: RunPanel, *, n_campaigns: int = 60, effect: float = 0.3, seed: int = 0) -> list[Outcome]:
    """Outcomes of earlier campaigns, all ended before the panel's days: k1 = 1 helps, k2 = 1 hurts."""
    rng = np.random.default_rng(seed)
    first = panel.dates[0].astype("datetime64[D]")
    rows = []
    for campaign in range(n_campaigns):
        end = first - (n_campaigns - campaign + 25) * 30 * DAY
        for knob in range(4):
            for high in (1, 2):
                truth = effect if (knob, high) == (1, 1) else -effect if (knob, high) == (2, 1) else 0.0
                rows.append(
                    Outcome(
                        family="trend",
                        campaign=f"earlier{campaign}",
                        knob=f"k{knob}",
                        low="0",
                        high=str(high),
                        evidence_end=end,
                        outcome_end=end + 700 * DAY,
                        years=5.0,
                        contrast=truth + float(rng.normal(0, 0.6)),
                        standard_error=0.6,
                        main=truth + float(rng.normal(0, 0.2)),
                    )
                )
    return rows


def experience(panel: RunPanel, rows: list[Outcome], **changes: Any) -> Experience:
    decided_on = panel.dates[-1].astype("datetime64[D]") + DAY
    plain = Experience(family="trend", campaign="now", decided_on=decided_on, ledger=Ledger.of(rows))
    return replace(plain, **changes)


def ask(panel: RunPanel, known: Experience | None, parameters: Parameters = FAST) -> Proposed:
    return propose(panel, knobs=KNOBS, live=LIVE, parameters=parameters, experience=known)


def only(found: Proposed, knob: str, level: int) -> Candidate:
    return next(c for c in found.candidates if (c.knob, c.to_value) == (knob, level))


def text(found: Proposed) -> str:
    return canonical_json([candidate.to_json() for candidate in found.candidates])


def test_without_outcomes_everything_is_claimed_as_in_a_first_campaign(panel: RunPanel) -> None:
    alone, empty = ask(panel, None), ask(panel, experience(panel, []))
    assert alone.evidence_digest == empty.evidence_digest
    for one, two in zip(alone.candidates, empty.candidates, strict=True):
        assert one.to_json() | {"decision": {}, "suppression_reason": ""} == two.to_json() | {
            "decision": {},
            "suppression_reason": "",
        }
    assert {row.campaign for row in empty.pseudo_outcomes} == {"now"}
    assert all(row.pseudo for row in empty.pseudo_outcomes)


def test_four_hundred_outcomes_let_expected_value_propose_one_change(panel: RunPanel) -> None:
    found = ask(panel, experience(panel, past(panel)))
    assert [(c.knob, c.to_value, str(c.grade) in "CD") for c in found.proposals] == [("k1", 1, True)]
    proposal = found.proposals[0]
    assert proposal.expected_uplift is not None
    assert 0.1 < proposal.expected_uplift < 0.45
    assert proposal.probability_positive is not None
    assert proposal.probability_positive > 0.8
    assert proposal.decision["basis"] == "contrast and history"
    assert f"learned from {proposal.decision['ended_outcomes']} ended outcomes" in proposal.rationale
    assert candidate_from_json(proposal.to_json()).decision == proposal.to_json()["decision"]
    assert only(found, "k2", 1).probability_positive < 0.3  # type: ignore[operator]


def test_fewer_outcomes_inform_the_claim_and_propose_nothing(panel: RunPanel) -> None:
    few = past(panel)[: 8 * 40]
    found = ask(panel, experience(panel, few))
    candidate = only(found, "k1", 1)
    assert candidate.suppressed_by in {Rule.SUGGESTIVE, Rule.WEAK_EVIDENCE}
    assert candidate.expected_uplift is not None
    assert candidate.expected_uplift > 0.1


def test_several_changes_at_once_are_asked_for(panel: RunPanel) -> None:
    both = [replace(row, knob="k3", high="2") if (row.knob, row.high) == ("k1", "1") else row for row in past(panel)]
    known = experience(panel, past(panel) + [replace(row, campaign=row.campaign + "b") for row in both])
    one, more = ask(panel, known), ask(panel, known, replace(FAST, several_changes=True))
    assert len(one.proposals) == 1
    assert {(c.knob, c.to_value) for c in more.proposals} >= {("k1", 1), ("k3", 2)}
    stopped = [c for c in one.suppressed if c.suppressed_by is Rule.ONE_CHANGE_AT_A_TIME]
    assert {c.knob for c in stopped} == {c.knob for c in more.proposals} - {one.proposals[0].knob}


def test_the_alarm_halves_claims_and_says_so(panel: RunPanel) -> None:
    def claiming(claimed: float) -> Proposed:
        rows = [replace(row, claimed=claimed) if (row.knob, row.high) == ("k1", "1") else row for row in past(panel)]
        return ask(panel, experience(panel, rows))

    modest, proud = claiming(0.1), claiming(2.0)
    past_claims = only(proud, "k1", 1).decision["past_claims"]
    assert isinstance(past_claims, Mapping)
    assert past_claims["claimed"] == pytest.approx(2.0)
    assert past_claims["realised"] == pytest.approx(0.3, abs=0.1)
    assert only(proud, "k1", 1).expected_uplift == pytest.approx(0.5 * (only(modest, "k1", 1).expected_uplift or 0.0))
    assert modest.experience["alarm"] is None
    assert "halved" in str(proud.experience["alarm"])


@given(st.sampled_from([-3.0, 3.0]), st.integers(1, 600))
@settings(max_examples=6, deadline=None)
def test_a_planted_outcome_or_campaign_of_the_future_moves_no_bit(panel: RunPanel, figure: float, days: int) -> None:
    known = experience(panel, past(panel))
    later = known.decided_on + days * DAY
    planted = replace(past(panel)[2], campaign="planted", main=figure, contrast=figure, outcome_end=later)
    runs = Samples(
        campaign="planted",
        ended=later,
        levels={"k1": np.asarray(["0", "1"], dtype=np.object_)},
        groups=np.asarray(["m", "m"], dtype=np.object_),
        sharpe=np.asarray([0.0, figure]),
    )
    seen = replace(known, ledger=known.ledger.plus(Ledger.of([planted])), samples=(runs,) * 6)
    one, two = ask(panel, known), ask(panel, seen)
    assert text(one) == text(two)


@given(st.randoms(use_true_random=False))
@settings(max_examples=4, deadline=None)
def test_order_and_repetition_of_runs_and_outcomes_change_no_bit(panel: RunPanel, random: Any) -> None:
    rows = past(panel)
    columns = list(range(panel.n_runs)) + [random.randrange(panel.n_runs) for _ in range(5)]
    random.shuffle(columns)
    mixed = rows + random.sample(rows, 30)
    random.shuffle(mixed)
    one, two = ask(panel, experience(panel, rows)), ask(chosen(panel, columns), experience(panel, mixed))
    assert text(one) == text(two)
    assert one.evidence_digest == two.evidence_digest


def test_the_surface_speaks_once_several_campaigns_hold_enough_runs_of_both_levels(panel: RunPanel) -> None:
    rng = np.random.default_rng(2)
    first = panel.dates[0].astype("datetime64[D]")

    def campaign(number: int) -> Samples:
        codes = rng.integers(0, 3, (120, 6))
        levels = {f"k{i}": np.asarray([str(code) for code in codes[:, i]], dtype=np.object_) for i in range(6)}
        sharpe = 0.5 * (codes[:, 3] == 2) + rng.normal(0, 0.2, 120)
        groups = np.full(120, "m", dtype=np.object_)
        return Samples(campaign=f"earlier{number}", ended=first - DAY, levels=levels, groups=groups, sharpe=sharpe)

    samples = tuple(campaign(number) for number in range(12))
    silent = ask(panel, experience(panel, past(panel), samples=samples[:1]))
    speaking = ask(panel, experience(panel, past(panel), samples=samples))
    assert only(silent, "k3", 2).decision["basis"] == "contrast and history"
    candidate = only(speaking, "k3", 2)
    assert candidate.decision["basis"] == "response surface"
    assert 0.2 < candidate.decision["surface"] < 0.5  # type: ignore[operator]
    assert silent.evidence_digest != speaking.evidence_digest
