"""Campaigns on half-year sums of real prices: nothing is known before it has ended, and the ceiling is what it says."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from itertools import product

import numpy as np
import pytest

from benchmarks.proposal_quality import power_ceiling, real_prices
from benchmarks.proposal_quality.real_campaigns import Effect, RealCampaign, Split
from benchmarks.proposal_quality.real_ceiling import brier, harm_at, hindsight, sentences
from benchmarks.proposal_quality.real_prices import COLD, EAGER, HINDSIGHT, OURS, PREDECESSOR, walk_forward
from benchmarks.proposal_quality.real_rivals import Decision
from benchmarks.proposal_quality.scores import FOUND
from benchmarks.proposal_quality.worlds import Design, Floats, World, draw
from meta_pipeline.errors import InputError
from meta_pipeline.evidence.expected_value.learning import learn
from meta_pipeline.evidence.expected_value.ledger import Ledger, Outcome

YEARS = range(2000, 2010)
CHANGES: tuple[Effect, ...] = tuple((knob, level) for knob, level in product("abcd", ("1", "2")))
PLANTED = 9.0


@cache
def drawn() -> tuple[RealCampaign, ...]:
    """Campaigns of one family in which a = 1 helps on average; what came of each is known."""
    rng = np.random.default_rng(0)
    return tuple(_campaign(rng, year, group) for year in YEARS for group in range(4))


@cache
def honest() -> dict[str, list[Decision]]:
    return walk_forward(drawn())


def _campaign(rng: np.random.Generator, year: int, group: int) -> RealCampaign:
    n, runs = len(CHANGES), 30
    codes = {knob: rng.integers(0, 3, runs) for knob in "abcd"}
    levels = {knob: np.array([str(code) for code in column], dtype=np.object_) for knob, column in codes.items()}
    truth = np.array([0.3 * (change == ("a", "1")) for change in CHANGES])

    def effects() -> Floats:
        return np.asarray(truth + rng.normal(0, 0.3, n))

    def sharpe() -> Floats:
        return np.asarray(0.3 * (codes["a"] == 1)[None, :] + rng.normal(0, 0.3, (2, runs)))

    splits = tuple(
        Split(
            past=(year - 4, year - 4 + past),
            future=(year - 4 + past, year - 4 + future),
            contrast=effects(),
            main=effects(),
            incumbent=effects(),
        )
        for past, future in ((3, 5), (2, 4), (1, 3))
    )
    return RealCampaign(
        name=f"trend|{group}|{year}|0",
        family="trend",
        group=str(group),
        year=year,
        markets=("one", "two"),
        live=dict.fromkeys("abcd", "0"),
        levels=levels,
        changes=CHANGES,
        contrast=effects(),
        standard_error=np.full(n, 0.3),
        main=effects(),
        realised=effects(),
        splits=splits,
        evidence_sharpe=sharpe(),
        outcome_sharpe=sharpe(),
        stored=rng.permutation(2 * runs),
    )


def planted_in(campaigns: Sequence[RealCampaign], year: int) -> list[RealCampaign]:
    """The same campaigns, but of those decided in one year everything came out at nine."""
    return [
        replace(c, main=np.full(len(CHANGES), PLANTED), realised=np.full(len(CHANGES), PLANTED))
        if c.year == year
        else c
        for c in campaigns
    ]


def said(rows: Sequence[Decision], years: range) -> list[tuple[float, bool, tuple[float, ...]]]:
    return [(row.claim, row.acted, tuple(p for p, _ in row.pairs)) for row in rows if row.year in years]


def test_an_outcome_planted_in_the_future_changes_no_decision_before_it_has_ended() -> None:
    year, campaigns = 2005, drawn()
    told = walk_forward(planted_in(campaigns, year))
    for contestant in (OURS, EAGER, COLD, PREDECESSOR):
        before = range(YEARS.start, year + 2)  # the outcome ends with the second year after the decision
        assert said(honest()[contestant], before) == said(told[contestant], before), contestant
    after = range(year + 2, YEARS.stop)
    assert said(honest()[OURS], after) != said(told[OURS], after)  # from then on it is experience


def test_a_leak_of_half_year_outcomes_is_refused_and_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the filter by day `learn` refuses; a `learn` that looks away is given away by the planted outcome."""
    year, campaigns = 2005, drawn()
    monkeypatch.setattr(real_prices, "Outcome", _ended_early)
    leaking, told = walk_forward(campaigns), walk_forward(planted_in(campaigns, year))
    assert said(leaking[OURS], range(year + 1, year + 2)) != said(told[OURS], range(year + 1, year + 2))
    row = Outcome(
        family="trend",
        campaign="x",
        knob="a",
        low="0",
        high="1",
        evidence_end=np.datetime64("2005-12-31"),
        outcome_end=np.datetime64("2007-12-31"),
        years=5.0,
        contrast=0.1,
        standard_error=0.1,
        main=PLANTED,
    )
    with pytest.raises(InputError, match="after 2007-12-30, the day of the decision"):
        learn(Ledger.of([row]), at=np.datetime64("2007-12-30"))


def _ended_early(**columns: object) -> Outcome:
    """Return an outcome that is dated a year and a half before it ended: a leak."""
    row = Outcome(**columns)  # type: ignore[arg-type]
    return row if row.pseudo else replace(row, outcome_end=row.outcome_end - np.timedelta64(548, "D"))


def test_the_bound_knows_the_future_and_no_day_of_the_outcome_it_is_judged_by() -> None:
    campaigns = drawn()
    year = campaigns[-1].year
    told = [replace(c, outcome_sharpe=c.outcome_sharpe[:, ::-1]) if c.year >= year - 1 else c for c in campaigns]
    known, other = honest()[HINDSIGHT], hindsight(told)
    last, first = range(year, year + 1), range(YEARS.start, YEARS.start + 1)
    assert [claim for claim, *_ in said(known, last)] == [claim for claim, *_ in said(other, last)]
    assert [claim for claim, *_ in said(known, first)] != [claim for claim, *_ in said(other, first)]
    assert brier(known) < 0.25


def test_harm_is_counted_over_the_largest_claims_and_over_changes_that_change_something() -> None:
    rows = [
        Decision(year=year, claim=claim, realised=realised, acted=claim > 0, pairs=((0.6, realised > 0),))
        for year, (claim, realised) in enumerate([(0.4, 0.1), (0.3, -0.1), (0.2, 0.0), (0.1, -0.2), (0.0, 0.0)] * 5)
    ]
    assert harm_at(rows, 0.2) == 0.0
    assert harm_at(rows, 0.4) == 0.5
    assert harm_at(rows, 0.8) == 0.5
    assert np.isnan(harm_at(rows, 0.9))
    ceiling, _, no_ops, _ = sentences(rows, rows, rows)
    assert "0.474 at a coverage of .75" in " ".join(ceiling.split())
    assert "Of the predecessor's 20 proposals 5 are of the value that is live" in " ".join(no_ops.split())
    assert "of the others 0.667 were worse off" in " ".join(no_ops.split())
    assert len(sentences(rows[:10], rows[:10], rows[:10])) == 2  # too few years for a ceiling


@pytest.mark.parametrize("design", list(Design))
def test_known_standard_errors_are_those_of_the_campaigns_that_are_drawn(design: Design) -> None:
    campaigns = [draw(World(design=design), np.random.default_rng([1, i])) for i in range(25)]
    statistics, errors = zip(*(power_ceiling.known(campaign) for campaign in campaigns), strict=True)
    values = np.array([list(found.values()) for found in statistics])
    assert len(statistics[0]) == 8
    assert FOUND in statistics[0]
    assert np.std(values) == pytest.approx(1.0, abs=0.2)
    assert np.mean(errors) == pytest.approx(0.1225 if design is Design.GRID else 0.106, abs=0.003)
