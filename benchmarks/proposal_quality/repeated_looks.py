"""Repeated looks: 40 campaigns in a row with an outcome ledger, in worlds without and with effects."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from benchmarks.proposal_quality.contestants import ALPHA, KNOBS
from benchmarks.proposal_quality.histories import N_CAMPAIGNS, History, Look
from benchmarks.proposal_quality.worlds import N_KNOBS, World, config_of
from meta_pipeline.canonical import level_key
from meta_pipeline.evidence.expected_value.learning import ENOUGH
from meta_pipeline.evidence.expected_value.ledger import EMPTY, Ledger, Outcome
from meta_pipeline.evidence.expected_value.surface import Samples
from meta_pipeline.evidence.metrics import summarize
from meta_pipeline.proposals.candidate import Candidate, ProposalType, Proposed, Rule
from meta_pipeline.proposals.experience import Experience
from meta_pipeline.proposals.parameters import Parameters
from meta_pipeline.proposals.propose import propose

PARAMETERS: Final = Parameters(alpha=ALPHA, bootstrap_draws=199)
LIVE: Final = config_of(np.zeros(N_KNOBS, dtype=np.int64))
NULL: Final = "null, 40 looks"
MIXED: Final = "effects N(0, .2), 40 looks"
WORLDS: Final[Mapping[str, World]] = {NULL: World(), MIXED: World(effect_sd=0.2)}
HISTORIES: Final = {"quick": {NULL: 2, MIXED: 1}, "full": {NULL: 40, MIXED: 20}}
SEED_PLACE: Final = 10_000  # beyond the indices of the single campaigns


@dataclass(frozen=True, kw_only=True)
class Looked:
    """What came of one campaign of a history.

    Parameters
    ----------
    history, number
        Which history, and its how-manieth campaign.
    rows
        Ended outcomes that were known.
    graded, by_value
        Whether anything was graded A or B, and whether anything was proposed by expected value alone.
    claimed, true, realised
        Of what was proposed by expected value: sums of claims, of true effects, and of what the next two years did.
    all_claimed, all_true
        The same over all proposals, graded ones included.
    value
        Realised effect of the largest claim among all proposals; 0 where nothing was proposed.
    pairs
        Probability said, and whether the realised effect was positive, of every change of a knob that can matter.
    """

    history: int
    number: int
    rows: int
    graded: bool
    by_value: bool
    claimed: float
    true: float
    realised: float
    all_claimed: float
    all_true: float
    value: float
    pairs: tuple[tuple[float, bool], ...]


Looks = Mapping[str, Sequence[Looked]]
"""World, its campaigns."""


def after_enough(rows: Sequence[Looked]) -> list[Looked]:
    """Return the campaigns whose ledger held enough ended outcomes for value proposals."""
    return [row for row in rows if row.rows >= ENOUGH]


def run(*, size: str, seed: int, tell: Callable[[str], None]) -> dict[str, list[Looked]]:
    """Look at histories of every world; `size` is "quick" or "full"."""
    table: dict[str, list[Looked]] = {}
    for index, (name, world) in enumerate(WORLDS.items()):
        n = HISTORIES[size][name]
        tell(f"{name}: {n} histories")
        table[name] = [
            looked
            for number in range(n)
            for looked in look_at(History(world, np.random.default_rng([seed, SEED_PLACE + index, number])), number)
        ]
    return table


def look_at(history: History, number: int) -> list[Looked]:
    """Run all campaigns of a history, each with the outcomes that had ended by then."""
    ledger, samples, results = EMPTY, list[Samples](), []
    for campaign in range(N_CAMPAIGNS):
        look = history.look(campaign)
        name = f"campaign{campaign:02d}"
        known = Experience(
            family="strategy", campaign=name, decided_on=look.decided_on, ledger=ledger, samples=tuple(samples)
        )
        found = propose(look.panel, knobs=KNOBS, live=LIVE, parameters=PARAMETERS, experience=known)
        results.append(_looked(history, look, found, number))
        ledger = ledger.plus(Ledger.of([*found.pseudo_outcomes, *_outcomes(look, found, name)]))
        samples.append(_samples(look, name))
    return results


def _changes(found: Proposed) -> list[tuple[Candidate, tuple[int, int]]]:
    return [
        (candidate, (int(candidate.knob[1:]), candidate.to_value))
        for candidate in found.candidates
        if candidate.proposal_type is ProposalType.CONFIG_PARAMETER_CHANGE and isinstance(candidate.to_value, int)
    ]


def _outcomes(look: Look, found: Proposed, campaign: str) -> list[Outcome]:
    """Replay every candidate with an effect on the two years after its evidence."""
    return [
        Outcome(
            family="strategy",
            campaign=campaign,
            knob=candidate.knob,
            low=level_key(candidate.from_value),
            high=level_key(candidate.to_value),
            evidence_end=look.decided_on,
            outcome_end=look.outcome_end,
            years=5.0,
            contrast=candidate.effect.estimate or 0.0,
            standard_error=candidate.effect.standard_error or 0.0,
            surface=_figure(candidate, "surface"),
            claimed=candidate.expected_uplift or 0.0,
            probability=candidate.probability_positive or 0.5,
            main=float("nan"),
            incumbent=look.realised[change],
            dead=candidate.suppressed_by in {Rule.DEAD_KNOB, Rule.IDENTICAL_RETURNS},
        )
        for candidate, change in _changes(found)
        if candidate.effect.estimate is not None
    ]


def _figure(candidate: Candidate, name: str) -> float:
    value = candidate.decision.get(name)
    return float(value) if isinstance(value, int | float) else float("nan")


def _samples(look: Look, campaign: str) -> Samples:
    panel = look.panel
    levels = {}
    for knob in range(N_KNOBS):
        levels[f"k{knob}"] = np.asarray([level_key(config[f"k{knob}"]) for config in panel.configs], dtype=np.object_)
    return Samples(
        campaign=campaign,
        ended=look.decided_on,
        levels=levels,
        groups=np.asarray(panel.blocks, dtype=np.object_),
        sharpe=summarize(panel.returns, panel.periods_per_year).sharpe_ratio,
    )


def _looked(history: History, look: Look, found: Proposed, number: int) -> Looked:
    candidates = _changes(found)
    proposed = [(candidate, change) for candidate, change in candidates if candidate.is_proposal]
    value = [(candidate, change) for candidate, change in proposed if candidate.grade.value in "CD"]
    best = max(proposed, key=lambda pair: pair[0].expected_uplift or 0.0, default=None)
    rows = found.experience.get("ended_outcomes", 0)
    return Looked(
        history=number,
        number=look.number,
        rows=rows if isinstance(rows, int) else 0,
        graded=any(candidate.grade.value in "AB" for candidate, _ in candidates),
        by_value=bool(value),
        claimed=_sum(value),
        true=sum(history.truth[change] for _, change in value),
        realised=sum(look.realised[change] for _, change in value),
        all_claimed=_sum(proposed),
        all_true=sum(history.truth[change] for _, change in proposed),
        value=0.0 if best is None else look.realised[best[1]],
        pairs=tuple(
            (candidate.probability_positive, look.realised[change] > 0)
            for candidate, change in candidates
            if candidate.probability_positive is not None and change[0] in history.world.live
        ),
    )


def _sum(proposed: Sequence[tuple[Candidate, tuple[int, int]]]) -> float:
    return sum(candidate.expected_uplift or 0.0 for candidate, _ in proposed)
