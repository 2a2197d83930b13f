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
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.stats import ttest_ind

from benchmarks.proposal_quality.contestants import ALPHA, MINIMUM_CONFIDENCE, MINIMUM_IMPROVEMENT
from benchmarks.proposal_quality.real_campaigns import Effect, RealCampaign, campaigns, groups
from benchmarks.proposal_quality.scores import Figure
from meta_pipeline.canonical import level_key
from meta_pipeline.evidence.expected_value.ledger import EMPTY, Ledger, Outcome
from meta_pipeline.evidence.expected_value.surface import Samples, Surface, fit_surface
from meta_pipeline.evidence.multiplicity import benjamini_hochberg
from meta_pipeline.proposals.candidate import Candidate, ProposalType, Proposed, Rule
from meta_pipeline.proposals.experience import Experience
from meta_pipeline.proposals.legacy import legacy_confidence
from meta_pipeline.proposals.parameters import Parameters, RiskLimits
from meta_pipeline.proposals.propose import propose

SEED: Final = 20261121
PARAMETERS: Final = Parameters(alpha=ALPHA, bootstrap_draws=199)
NO_LIMITS: Final = RiskLimits(volatility_rise=None, expected_shortfall_rise=None, drawdown_rise=None)
DEAD: Final = 1e-9  # an effect below this moved no return
OURS, COLD, PREDECESSOR, WELCH = "ours", "ours, no ledger", "predecessor", "Welch + BH"
ORACLE, HINDSIGHT = "oracle", "hindsight bound"
FAR: Final = np.datetime64("2100-01-01", "D")


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What a contestant did in one campaign.

    Parameters
    ----------
    year
        Of the decision.
    claim, realised
        Of the change it made; both 0 where it made none, or proposed what was live.
    acted
        Whether it proposed anything.
    pairs
        Probability said, and whether the realised effect was positive, of each change that moved returns.
    """

    year: int
    claim: float = 0.0
    realised: float = 0.0
    acted: bool = False
    pairs: tuple[tuple[float, bool], ...] = ()


Table = Mapping[str, Sequence[Decision]]
"""Contestant, one entry per campaign in the same order."""


def walk_forward(drawn: Sequence[RealCampaign]) -> dict[str, list[Decision]]:
    """Let all contestants decide, in order of time; ours with the outcomes that had ended by each decision."""
    table: dict[str, list[Decision]] = defaultdict(list)
    ledgers: dict[str, list[Outcome]] = defaultdict(list)
    samples: dict[str, list[Samples]] = defaultdict(list)
    for _, year in _years(drawn):
        news: list[tuple[RealCampaign, Proposed]] = []
        for campaign in year:
            ledger = Ledger.of(ledgers[campaign.family]) if ledgers[campaign.family] else EMPTY
            known = Experience(
                family=campaign.family,
                campaign=campaign.name,
                decided_on=campaign.decided_on,
                ledger=ledger,
                samples=tuple(samples[campaign.family]),
            )
            found = _ask(campaign, known)
            news.append((campaign, found))
            table[OURS].append(_ours(campaign, found))
            table[COLD].append(_ours(campaign, _ask(campaign, None)))
            table[PREDECESSOR].append(_predecessor(campaign))
            table[WELCH].append(_welch(campaign))
            best = max(campaign.realised.values(), default=0.0)
            table[ORACLE].append(
                Decision(year=campaign.year, claim=max(best, 0.0), realised=max(best, 0.0), acted=best > 0)
            )
        for campaign, found in news:  # campaigns of one year do not learn from each other
            ledgers[campaign.family] += [*found.pseudo_outcomes, *_outcomes(campaign, found)]
            samples[campaign.family].append(_samples(campaign, campaign.panel_sharpe, campaign.decided_on))
    table[HINDSIGHT] = _hindsight(drawn)
    return dict(table)


def _years(drawn: Sequence[RealCampaign]) -> list[tuple[int, list[RealCampaign]]]:
    by_year: dict[int, list[RealCampaign]] = defaultdict(list)
    for campaign in drawn:
        by_year[campaign.year].append(campaign)
    return sorted(by_year.items())


def _ask(campaign: RealCampaign, experience: Experience | None) -> Proposed:
    return propose(
        campaign.panel,
        knobs=campaign.strategy.knobs,
        live=campaign.strategy.live_config,
        parameters=PARAMETERS,
        limits=NO_LIMITS,
        experience=experience,
    )


def _changes(found: Proposed) -> list[tuple[Candidate, Effect]]:
    return [
        (one, (one.knob, level_key(one.to_value)))
        for one in found.candidates
        if one.proposal_type is ProposalType.CONFIG_PARAMETER_CHANGE
    ]


def _ours(campaign: RealCampaign, found: Proposed) -> Decision:
    proposed = [(one.expected_uplift or 0.0, effect) for one, effect in _changes(found) if one.is_proposal]
    said = {effect: one.probability_positive for one, effect in _changes(found) if one.probability_positive is not None}
    return _decision(campaign, proposed, said)


def _decision(
    campaign: RealCampaign, proposed: Sequence[tuple[float, Effect]], said: Mapping[Effect, float]
) -> Decision:
    pairs = tuple(
        (probability, campaign.realised[effect] > 0)
        for effect, probability in said.items()
        if abs(campaign.realised.get(effect, 0.0)) > DEAD
    )
    if not proposed:
        return Decision(year=campaign.year, pairs=pairs)
    claim, effect = max(proposed)
    realised = campaign.realised.get(effect, 0.0)  # what is live already changes nothing
    return Decision(year=campaign.year, claim=claim, realised=realised, acted=True, pairs=pairs)


def _predecessor(campaign: RealCampaign) -> Decision:
    """Compare the mean Sharpe ratios of the first two values of each knob, newest run first."""
    sharpe = campaign.panel_sharpe[campaign.stored]
    proposed, said = [], {}
    for knob in campaign.strategy.knobs:
        levels = campaign.levels(knob.path)[campaign.stored]
        low, high = list(dict.fromkeys(levels.tolist()))[:2]
        at_low, at_high = levels == low, levels == high
        delta = float(sharpe[at_high].mean() - sharpe[at_low].mean())
        confidence = legacy_confidence(int(at_low.sum() + at_high.sum()), delta)
        if low == level_key(campaign.strategy.live_config[knob.path]):
            said[knob.path, high] = confidence
        if delta > 0 and confidence >= MINIMUM_CONFIDENCE and delta >= MINIMUM_IMPROVEMENT:
            proposed.append((delta, (knob.path, high)))
    return _decision(campaign, proposed, said)


def _welch(campaign: RealCampaign) -> Decision:
    """Welch's test of each level's runs against the live one's, Benjamini-Hochberg over all."""
    sharpe, tested, said = campaign.panel_sharpe, [], {}
    for knob in campaign.strategy.knobs:
        levels, live = campaign.levels(knob.path), level_key(campaign.strategy.live_config[knob.path])
        for level in sorted(set(levels.tolist()) - {live}):
            low, high = sharpe[levels == live], sharpe[levels == level]
            p_value, delta = float(ttest_ind(high, low, equal_var=False).pvalue), float(high.mean() - low.mean())
            tested.append((p_value, delta, (knob.path, level)))
            said[knob.path, level] = 1 - p_value / 2 if delta > 0 else p_value / 2
    adjusted = benjamini_hochberg(np.array([p_value for p_value, _, _ in tested]))
    found = zip(tested, adjusted, strict=True)
    return _decision(campaign, [(d, effect) for (_, d, effect), q in found if q <= ALPHA and d > 0], said)


def _outcomes(campaign: RealCampaign, found: Proposed) -> list[Outcome]:
    """Replay every candidate with an effect on the two years after its evidence."""
    return [
        Outcome(
            family=campaign.family,
            campaign=campaign.name,
            knob=one.knob,
            low=level_key(one.from_value),
            high=level_key(one.to_value),
            evidence_end=campaign.decided_on,
            outcome_end=campaign.outcome_end,
            years=5.0,
            contrast=one.effect.estimate or 0.0,
            standard_error=one.effect.standard_error or 0.0,
            surface=_figure(one, "surface"),
            claimed=one.expected_uplift or 0.0,
            probability=one.probability_positive or 0.5,
            main=float("nan"),
            incumbent=campaign.realised[effect],
            dead=one.suppressed_by in {Rule.DEAD_KNOB, Rule.IDENTICAL_RETURNS},
        )
        for one, effect in _changes(found)
        if one.effect.estimate is not None and effect in campaign.realised
    ]


def _figure(candidate: Candidate, name: str) -> float:
    value = candidate.decision.get(name)
    return float(value) if isinstance(value, int | float) else float("nan")


def _samples(campaign: RealCampaign, sharpe: np.ndarray, ended: np.datetime64) -> Samples:
    return Samples(
        campaign=campaign.name,
        ended=ended,
        levels={knob.path: campaign.levels(knob.path) for knob in campaign.strategy.knobs},
        groups=np.asarray(campaign.panel.blocks, dtype=np.object_),
        sharpe=sharpe,
    )


def _hindsight(drawn: Sequence[RealCampaign]) -> list[Decision]:
    """Choose by a response surface fitted to the outcomes of all other years, the future included: what could be had.

    Left out are the outcomes that share days with the one that is judged.
    """
    outcomes = {c.name: _samples(c, c.outcome_sharpe, c.outcome_end) for c in drawn}
    surfaces: dict[tuple[str, int], Surface] = {}
    chosen = []
    for _, year in _years(drawn):
        for campaign in year:
            key = (campaign.family, campaign.year)
            if key not in surfaces:
                others = [outcomes[c.name] for c in drawn if c.family == key[0] and abs(c.year - campaign.year) >= 2]
                surfaces[key] = fit_surface(others, at=FAR) if others else Surface()
            incumbent = {path: level_key(level) for path, level in campaign.strategy.live_config.items()}
            claims = [(surfaces[key].uplift(incumbent, *effect), effect) for effect in campaign.realised]
            worth = [pair for pair in claims if pair[0] >= PARAMETERS.switching_cost]
            chosen.append(_decision(campaign, worth, {}))
    return chosen


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
campaign, the largest claim. No limit on risk or on the size of a step applies to anybody. *Ours* learns from the
outcomes that had ended by the decision, of its family and set of markets; *ours, no ledger* is a first campaign each
time. The *oracle* knows the outcome, and so selects luck. The *hindsight bound* fits a response surface to the outcomes
of all other years, the future included, but for those that share days. Errors are clustered by decision year, and allow
for the year that two outcomes share. Coverage: campaigns in which something is proposed. Harm: share of these that were
worse off. Brier: of the changes that moved returns; a constant has .2500. Nothing was tuned on these figures; whoever
tunes, tunes on the lab's markets, and the stocks stay fresh.
"""


def chapter(tables: Mapping[str, Table]) -> list[str]:
    """Return all that the document says on real prices."""
    return [_CHAPTER, *(line for name, table in tables.items() for line in section(name, table))]


def section(name: str, table: Table) -> list[str]:
    """Return the table of one set of markets, as Markdown."""
    years = [row.year for row in table[OURS]]
    heads = ("contestant", "value per campaign", "coverage", "harm share", "claimed / realised", "Brier")
    columns = (*heads, "ours less this one", "t")
    rows = [[who, *_cells(table, who)] for who in (OURS, COLD, PREDECESSOR, WELCH, HINDSIGHT, ORACLE)]
    return [
        f"### {name}: {len(years):,} campaigns, decisions of {min(years)} to {max(years)}\n",
        *("| " + " | ".join(row) + " |" for row in (columns, ["---", *["---:"] * (len(columns) - 1)], *rows)),
        "",
    ]


def _cells(table: Table, who: str) -> list[str]:
    rows, years = table[who], [row.year for row in table[who]]
    acted = [row for row in rows if row.acted]
    harm = clustered([float(r.realised < 0) for r in rows], years, [float(r.acted) for r in rows])
    pairs = [pair for row in rows for pair in row.pairs]
    brier = np.mean([(said - came) ** 2 for said, came in pairs]) if pairs else math.nan
    claimed, realised = sum(row.claim for row in acted), sum(row.realised for row in acted)
    less = clustered([mine.realised - theirs.realised for mine, theirs in zip(table[OURS], rows, strict=True)], years)
    ratio = claimed / realised if realised > 0 else math.nan
    same = who == OURS or not less.error
    return [
        str(clustered([row.realised for row in rows], years)),
        f"{len(acted) / len(rows):.2f}",
        str(harm),
        "-" if who in {ORACLE, HINDSIGHT} or math.isnan(ratio) else f"{ratio:.2f}",
        "-" if math.isnan(brier) else f"{brier:.4f}",
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
