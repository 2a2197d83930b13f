"""`propose()` on campaigns of real prices: nothing is known before it has ended, and every candidate is counted."""

import re
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

from benchmarks.proposal_quality import real_nights
from benchmarks.proposal_quality.real_campaigns import N_CONFIGS, RealCampaign
from benchmarks.proposal_quality.real_nights import PROPOSED, walk
from benchmarks.proposal_quality.real_prices import EAGER, OURS, PREDECESSOR, WELCH
from benchmarks.proposal_quality.real_proposals import AS_DECLARED, UNLIMITED, page
from benchmarks.proposal_quality.real_rivals import Decision
from meta_pipeline.canonical import level_key
from meta_pipeline.evidence.panel import RunPanel
from meta_pipeline.lab.catalogue import STRATEGIES
from meta_pipeline.lab.design import mixed_design, with_live
from meta_pipeline.proposals.candidate import Proposed, Rule
from meta_pipeline.proposals.experience import Experience
from meta_pipeline.proposals.parameters import Parameters
from meta_pipeline.proposals.propose import propose

YEARS = (2006, 2007, 2009)
FAST = Parameters(bootstrap_draws=99)


@cache
def drawn() -> tuple[RealCampaign, ...]:
    """One campaign per year on the S&P 500; what came of the changes is drawn, not simulated."""
    return tuple(_campaign(year) for year in YEARS)


def _campaign(year: int) -> RealCampaign:
    strategy = next(one for one in STRATEGIES.values() if one.family == "trend")
    free = replace(strategy, knobs=tuple(replace(knob, max_step=None) for knob in strategy.knobs))
    rng = np.random.default_rng(year)
    live = {knob.path: (knob.choices or ())[0] for knob in strategy.knobs}
    configs = mixed_design(with_live(free, live), N_CONFIGS, rng)
    levels = {path: np.array([level_key(config[path]) for config in configs], dtype=np.object_) for path in live}
    changes = tuple((knob.path, level_key(level)) for knob in strategy.knobs for level in (knob.choices or ())[1:])
    n = len(changes)
    return RealCampaign(
        name=f"{year}",
        family="trend",
        group="one",
        year=year,
        markets=("SP500",),
        live={path: level_key(level) for path, level in live.items()},
        levels=levels,
        changes=changes,
        contrast=np.ones(n),
        standard_error=np.ones(n),
        main=rng.normal(0, 0.2, n),
        realised=rng.normal(0, 0.2, n),
        splits=(),
        evidence_sharpe=rng.normal(0, 0.5, (1, N_CONFIGS)),
        outcome_sharpe=np.zeros((1, N_CONFIGS)),
        stored=np.arange(N_CONFIGS),
    )


def test_a_decision_knows_nothing_that_ended_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[RunPanel, Experience]] = []

    def listened(panel: RunPanel, **options: Any) -> Proposed:
        asked.append((panel, options["experience"]))
        return propose(panel, **options, parameters=FAST)

    monkeypatch.setattr(real_nights, "propose", listened)
    walk(tuple(reversed(drawn())), limited=True)
    assert [str(known.decided_on) for _, known in asked] == [f"{year}-12-31" for year in YEARS]
    for year, (panel, known) in zip(YEARS, asked, strict=True):
        assert panel.dates.max() <= np.datetime64(f"{year}-12-31", "s")
        assert panel.dates.min() >= np.datetime64(f"{year - 4}-01-01", "s")
        assert (known.ledger.outcome_end <= known.decided_on).all()
        assert all(part.ended < known.decided_on for part in known.samples)
    first, second, third = (known for _, known in asked)
    assert len(first.ledger) == 0
    assert second.ledger.pseudo.all()  # what came of 2006 ends with 2008
    real = third.ledger.take(~third.ledger.pseudo)
    assert set(real.campaign.tolist()) == {"2006", "2007"}


def test_a_planted_outcome_of_the_future_changes_no_decision_before_it_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(real_nights, "propose", lambda panel, **options: propose(panel, **options, parameters=FAST))
    honest = walk(drawn()[:2], limited=False)
    planted = replace(drawn()[0], realised=np.full(len(drawn()[0].changes), 9.0))
    told = walk((planted, drawn()[1]), limited=False)
    assert [one.claim for one in told.fates] == [one.claim for one in honest.fates]
    assert told.decisions[1] == honest.decisions[1]


def test_every_candidate_has_one_fate_and_the_page_counts_them_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(real_nights, "propose", lambda panel, **options: propose(panel, **options, parameters=FAST))
    chosen = drawn()[:2]
    said = walk(chosen, limited=True)
    assert len(said.decisions) == 2
    assert len(said.fates) == sum(len(campaign.changes) for campaign in chosen)
    assert {one.rule for one in said.fates} - {PROPOSED} <= {str(rule) for rule in Rule}
    assert sum(one.rule == "not_changeable" for one in said.fates) > 0
    assert sum(one.rule == "not_changeable" for one in walk(chosen, limited=False).fates) == 0
    rivals = {key: [Decision(year=year) for year in YEARS[:2]] for key in (OURS, EAGER, PREDECESSOR, WELCH)}
    text = page({AS_DECLARED: said, UNLIMITED: said}, rivals, command="x", families=1, seconds=1.0)
    counted = re.findall(r"^\| `?(?:\w+)`? \| (\d+) \| \d+\.\d % \|", text, flags=re.MULTILINE)
    assert sum(map(int, counted)) == 2 * len(said.fates)
    assert "nan" not in text
