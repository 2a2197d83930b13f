"""Real prices, walk forward: ours, without and with its ledger, the predecessor's rule, Welch with Benjamini-Hochberg.

Run: python -m benchmarks.proposal_quality.real_prices [--quick] [--markets lab|stocks|all] [--seed 20261121]

Decide on five years, judge on the next two. One change per campaign at most: the largest claim. Nothing is tuned here:
the engine's constants come from its specification; whoever tunes, tunes on the lab's markets, and the stocks stay
fresh. Errors are clustered by decision year, and allow for the year that the outcomes of two decisions share.
"""

import argparse
import math
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import numpy as np

from benchmarks.proposal_quality.contestants import ALPHA
from benchmarks.proposal_quality.real_campaigns import (
    DEAD,
    EVIDENCE_YEARS,
    OUTCOME_YEARS,
    RealCampaign,
    campaigns,
    groups,
)
from benchmarks.proposal_quality.real_ceiling import brier, hindsight, samples, sentences
from benchmarks.proposal_quality.real_rivals import Decision, decide, predecessor, welch
from benchmarks.proposal_quality.scores import Figure
from meta_pipeline.evidence import grades
from meta_pipeline.evidence.expected_value.decision import SWITCHING_COST, choose
from meta_pipeline.evidence.expected_value.learning import Cases, Expected, Learned, learn
from meta_pipeline.evidence.expected_value.ledger import EMPTY, Ledger, Outcome
from meta_pipeline.evidence.expected_value.surface import Samples, Surface, fit_surface
from meta_pipeline.proposals.parameters import Parameters

SEED: Final = 20261121
OURS, EAGER, COLD = "ours", "ours, 400 rows or not", "ours, no ledger"
PREDECESSOR, WELCH = "predecessor", "Welch + BH"
ORACLE, HINDSIGHT = "oracle", "hindsight bound"


Table = Mapping[str, Sequence[Decision]]
"""Contestant, one entry per campaign in the same order."""


def walk_forward(drawn: Sequence[RealCampaign]) -> dict[str, list[Decision]]:
    """Let all contestants decide, in order of time; ours with the outcomes that had ended by each decision.

    Campaigns of a family that are decided on one day know each other's runs and pseudo-outcomes, which have ended by
    then, as those of a nightly run do.
    """
    table: dict[str, list[Decision]] = defaultdict(list)
    families: dict[str, _Family] = defaultdict(_Family)
    ordered = []
    for year, decided in _years(drawn):
        for family in sorted({campaign.family for campaign in decided}):
            now = [campaign for campaign in decided if campaign.family == family]
            families[family].decide(year, now, table)
            ordered += now
    for campaign in ordered:
        table[PREDECESSOR].append(predecessor(campaign))
        table[WELCH].append(welch(campaign))
        best = max(float(campaign.realised.max()), 0.0)
        table[ORACLE].append(Decision(year=campaign.year, claim=best, realised=best, acted=best > 0))
    table[HINDSIGHT] = hindsight(ordered)
    return dict(table)


def _years(drawn: Sequence[RealCampaign]) -> list[tuple[int, list[RealCampaign]]]:
    by_year: dict[int, list[RealCampaign]] = defaultdict(list)
    for campaign in drawn:
        by_year[campaign.year].append(campaign)
    return sorted(by_year.items())


class _Family:
    """What one family knows, as it grows: outcomes, runs, and the surface as of each day it was fitted."""

    def __init__(self) -> None:
        self.rows: list[Outcome] = []
        self.samples: list[Samples] = []
        self.surfaces: dict[int, Surface] = {}

    def decide(self, year: int, now: Sequence[RealCampaign], table: Mapping[str, list[Decision]]) -> None:
        """Decide the campaigns of one year, and put what was said of them into the ledger."""
        day = _end(year)
        for campaign in now:
            self.rows += self._pseudo(campaign)
            self.samples.append(samples(campaign, campaign.evidence_sharpe, day))
        learned = learn(Ledger.of(row for row in self.rows if row.outcome_end <= day), at=day)
        fitted = fit_surface(self.samples, at=day)
        self.surfaces[year] = fitted if fitted.speaks() else Surface()
        cold = learn(EMPTY, at=day)
        for campaign in now:
            cases = _cases(campaign, self.surfaces[year])
            expected = learned.expect(cases)
            allowed = ~campaign.dead
            eager = _by_value(campaign, expected, allowed)
            waiting = Decision(year=year, pairs=eager.pairs)
            table[OURS].append(eager if learned.enough else waiting)
            table[EAGER].append(eager)
            table[COLD].append(_by_value(campaign, cold.expect(_cases(campaign, Surface())), allowed))
            self.rows += _outcomes(campaign, cases, expected, learned)

    def _pseudo(self, campaign: RealCampaign) -> list[Outcome]:
        rows = []
        for split in campaign.splits:
            surface = self.surfaces.get(split.past[1] - 1, Surface())
            years = split.past[1] - split.past[0]
            rows += [
                Outcome(
                    family=campaign.family,
                    campaign=campaign.name,
                    knob=knob,
                    low=campaign.live[knob],
                    high=level,
                    evidence_end=_end(split.past[1] - 1),
                    outcome_end=_end(split.future[1] - 1),
                    years=float(years),
                    contrast=float(split.contrast[i]),
                    standard_error=float(campaign.standard_error[i] * math.sqrt(EVIDENCE_YEARS / years)),
                    main=float(split.main[i]),
                    incumbent=float(split.incumbent[i]),
                    surface=surface.uplift(campaign.live, knob, level),
                    pseudo=True,
                    dead=bool(campaign.dead[i]),
                )
                for i, (knob, level) in enumerate(campaign.changes)
            ]
        return rows


def _end(year: int) -> np.datetime64:
    return np.datetime64(f"{year}-12-31", "D")


def _cases(campaign: RealCampaign, surface: Surface) -> Cases:
    n = len(campaign.changes)

    def texts(values: Sequence[str]) -> np.ndarray:
        return np.array(values, dtype=np.object_)

    plain = Parameters()
    spreads = [
        grades.claim(
            float(estimate),
            float(error),
            share=plain.haircut_short,
            drift=math.nan,
            years=float(EVIDENCE_YEARS),
            horizon=float(OUTCOME_YEARS),
            confidence_level=1 - ALPHA,
        ).spread
        for estimate, error in zip(campaign.contrast, campaign.standard_error, strict=True)
    ]
    return Cases(
        family=texts([campaign.family] * n),
        campaign=texts([campaign.name] * n),
        knob=texts([knob for knob, _ in campaign.changes]),
        low=texts([campaign.live[knob] for knob, _ in campaign.changes]),
        high=texts([level for _, level in campaign.changes]),
        years=np.full(n, float(EVIDENCE_YEARS)),
        contrast=campaign.contrast,
        standard_error=campaign.standard_error,
        surface=np.array([surface.uplift(campaign.live, *change) for change in campaign.changes]),
        spread=np.maximum(np.array(spreads), DEAD),
    )


def _by_value(campaign: RealCampaign, expected: Expected, allowed: np.ndarray) -> Decision:
    """Make the change of the largest claim, if it is worth the switching cost."""
    said = {
        effect: float(probability)
        for effect, probability, kept in zip(campaign.changes, expected.probability, allowed, strict=True)
        if kept
    }
    chosen = choose(expected.claim, switching_cost=SWITCHING_COST, allowed=allowed)
    return decide(campaign, [(float(expected.claim[i]), campaign.changes[i]) for i in chosen], said)


def _outcomes(campaign: RealCampaign, cases: Cases, expected: Expected, learned: Learned) -> list[Outcome]:
    """Replay every change on the two years after its evidence. What was claimed is kept for the alarm."""
    return [
        Outcome(
            family=campaign.family,
            campaign=campaign.name,
            knob=knob,
            low=campaign.live[knob],
            high=level,
            evidence_end=_end(campaign.year),
            outcome_end=_end(campaign.year + OUTCOME_YEARS),
            years=float(EVIDENCE_YEARS),
            contrast=float(campaign.contrast[i]),
            standard_error=float(campaign.standard_error[i]),
            surface=float(cases.surface[i]),
            claimed=float(expected.claim[i]) if learned.enough else math.nan,
            probability=float(expected.probability[i]),
            main=float(campaign.main[i]),
            incumbent=float(campaign.realised[i]),
            dead=bool(campaign.dead[i]),
        )
        for i, (knob, level) in enumerate(campaign.changes)
    ]


def clustered(values: Sequence[float], years: Sequence[int], weights: Sequence[float] | None = None) -> Figure:
    """Return sum(values) / sum(weights) with an error over decision years.

    Outcomes of two years in a row share one of their two years, so the covariance of neighbours counts in full (Hansen
    and Hodrick, Journal of Political Economy 88(5), 1980); where that lowers the error, it is left out.
    """
    bottom = np.ones(len(values)) if weights is None else np.asarray(weights)
    if not bottom.sum():
        return Figure(value=math.nan, error=math.nan, n=len(values))
    value = float(np.sum(values) / bottom.sum())
    known = range(min(years), max(years) + 1)
    sums = np.zeros(len(known))
    np.add.at(sums, np.asarray(years) - known[0], np.asarray(values) - value * bottom)
    alone = float(sums @ sums)
    both = alone + 2 * float(sums[1:] @ sums[:-1])
    n = len(set(years))
    error = math.sqrt(max(alone, both) * n / max(n - 1, 1)) / float(bottom.sum())
    return Figure(value=value, error=error, n=len(values))


_CHAPTER: Final = """\
## Real prices, walk forward

Command: `python -m benchmarks.proposal_quality.real_prices`. Each family of the lab's strategies, each set of markets,
each year: a random configuration is live, the lab's design of 40 configurations is run around it on five years, and
what is decided is judged by the next two, at the live configuration, mean over markets. At most one change per
campaign, the largest claim. No limit on risk or on the size of a step applies to anybody.

*Ours* is the decision core (`evidence/expected_value`), on contrasts and Sharpe ratios from half-year sums: the claim
by expected value, once the family's ledger holds 400 ended outcomes. Grades, the check at the live configuration and
limits, which `propose()` adds, have no part in it. It learns from outcomes, pseudo-outcomes and runs that had ended by
the decision, of its family and of all markets of the table. *Ours, 400 rows or not* proposes from the first campaign
on; *ours, no ledger* is a first campaign each time.

The *oracle* knows the outcome, and so selects luck. The *hindsight bound* fits a response surface to the outcomes of
all other years, the future included, but for those that share days. Errors are clustered by decision year, and allow
for the year that two outcomes share. Coverage: campaigns in which something is proposed. Harm: share of these that were
worse off. Brier: of the changes that moved returns; a constant has .2500. Nothing was tuned on the stocks. They
are survivors: the file holds companies with prices on all days from 1990 to 2022.
"""


def chapter(tables: Mapping[str, Table]) -> list[str]:
    """Return all that the document says on real prices."""
    return [_CHAPTER, *(line for name, table in tables.items() for line in section(name, table))]


def section(name: str, table: Table) -> list[str]:
    """Return the table of one set of markets, as Markdown."""
    years = [row.year for row in table[OURS]]
    heads = ("contestant", "value per campaign", "coverage", "harm share", "claimed / realised", "Brier")
    columns = (*heads, "ours less this one", "t")
    rows = [[who, *_cells(table, who)] for who in (OURS, EAGER, COLD, PREDECESSOR, WELCH, HINDSIGHT, ORACLE)]
    return [
        f"### {name}: {len(years):,} campaigns, decisions of {min(years)} to {max(years)}\n",
        *("| " + " | ".join(row) + " |" for row in (columns, ["---", *["---:"] * (len(columns) - 1)], *rows)),
        "",
        *sentences(table[OURS], table[PREDECESSOR], table[HINDSIGHT]),
    ]


def _cells(table: Table, who: str) -> list[str]:
    rows, years = table[who], [row.year for row in table[who]]
    acted = [row for row in rows if row.acted]
    harm = clustered([float(r.realised < 0) for r in rows], years, [float(r.acted) for r in rows])
    score = math.nan if who == HINDSIGHT else brier(rows)
    claimed, realised = sum(row.claim for row in acted), sum(row.realised for row in acted)
    less = clustered([mine.realised - theirs.realised for mine, theirs in zip(table[OURS], rows, strict=True)], years)
    ratio = claimed / realised if realised > 0 else math.nan
    same = who == OURS or not less.error
    return [
        str(clustered([row.realised for row in rows], years)),
        f"{len(acted) / len(rows):.2f}",
        str(harm),
        "-" if who in {ORACLE, HINDSIGHT} or math.isnan(ratio) else f"{ratio:.2f}",
        "-" if math.isnan(score) else f"{score:.4f}",
        "" if same else str(less),
        "" if same else f"{less.value / less.error:.1f}",
    ]


def run(
    *, quick: bool, markets: str, seed: int, incumbents: int, tell: Callable[[str], None]
) -> dict[str, dict[str, list[Decision]]]:
    """Run the sets of markets that are asked for; a ledger is shared within a set."""
    tables = {}
    for which in ("lab", "stocks") if markets == "all" else (markets,):
        start, drawn = time.perf_counter(), []
        chosen = list(groups(which).items())[: 1 if quick else None]
        for group, names in chosen:
            drawn += list(campaigns(group, names, seed=seed, incumbents=incumbents))
        tell(f"{which}: {len(drawn)} campaigns drawn in {time.perf_counter() - start:.0f} s")
        label = "the lab's markets" if which == "lab" else f"{4 * len(chosen)} stocks"
        tables[label] = walk_forward(drawn)
        tell(f"{which}: decided in {time.perf_counter() - start:.0f} s")
    return tables


def main() -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="four of the stocks only")
    parser.add_argument("--markets", choices=("lab", "stocks", "all"), default="all")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--incumbents", type=int, default=1, help="random incumbents per family, markets and year")
    options = parser.parse_args()
    tables = run(
        quick=options.quick, markets=options.markets, seed=options.seed, incumbents=options.incumbents, tell=print
    )
    print("\n".join(chapter(tables)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
