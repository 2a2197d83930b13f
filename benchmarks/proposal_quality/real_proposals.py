"""Real prices, walk forward, with all of `propose()`: every rule between the decision core and a proposal.

Run: python -m benchmarks.proposal_quality.real_proposals [--write] [--incumbents N] [--seed 20261121]

The campaigns are those of `real_prices` on the lab's markets, with their daily returns: what a nightly run reads. The
decision core is judged alone there; here it is asked through `propose()`, with contrasts, grades, multiplicity, the
check at the live configuration, risk limits and the size of steps, and with a ledger of outcomes that grows as it does
at night. What each rule stopped is held against what came of it.
"""

import argparse
import math
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.proposal_quality.real_campaigns import DEAD, campaigns, groups
from benchmarks.proposal_quality.real_nights import PROPOSED, Fate, Risk, Said, walk
from benchmarks.proposal_quality.real_prices import EAGER, OURS, PREDECESSOR, SEED, WELCH, clustered, walk_forward
from benchmarks.proposal_quality.real_rivals import Decision

DOCUMENT: Final = Path(__file__).parents[2] / "docs" / "proposals-on-real-prices.md"
AS_DECLARED, UNLIMITED = "propose(), as the lab declares", "propose(), no limits"

_HEAD: Final = """\
# `propose()` on real prices

Written by `{command}`; do not edit. {n} campaigns
of the lab's {families} families on its {markets} markets, decisions of {first} to {last}: a random configuration is
live, 40 configurations are run around it on five years, every single change of it is judged by the next two, at the
live configuration, mean over markets. Campaigns are drawn as in [proposal-quality.md](proposal-quality.md), which
judges the decision core alone: there nothing stops a claim but the switching cost. Here every rule of `propose()` has
its say, on daily returns, and the ledger of outcomes grows from year to year as it does at night; each decision knows
what had ended before it. {seconds} CPU seconds.

## What is proposed

At most one change per campaign, the one with the largest claim. Errors are clustered by decision year, and allow for
the year that two outcomes share. Coverage: campaigns in which something is proposed. Harm: share of these that were
worse off. Brier: of the changes that moved returns; a constant has .2500. *As the lab declares*: its limits on the size
of one step hold (`not_changeable` below), and the default limits on risk. *No limits*: neither, as for the decision
core.
"""

_RULES: Final = """\

## What each rule stopped: {name}

All candidates of {name}. Realised: the mean change of the annualised Sharpe ratio in the two years after, at
the live configuration. A rule that stops what would have gained costs that much; one that stops what would have lost
earns it. The rules ([concepts.md](concepts.md#why-no-proposal-is-an-answer)) have an order, and a candidate is counted
under the first that stops it.
"""

_GRADES: Final = """\

## Grades, and what came

| grade | candidates | realised | share above zero |
|---|---:|---:|---:|
"""


_RISKS: Final = """\

## Proposals that are judged by their risk

Not counted above: they claim no Sharpe ratio. Volatility is annualised, at the live configuration, mean over markets.

| type | proposals | fall of volatility stated | that came | share above zero | change of the Sharpe ratio that came |
|---|---:|---:|---:|---:|---:|
"""


def page(
    said: Mapping[str, Said], rivals: Mapping[str, Sequence[Decision]], *, command: str, families: int, seconds: float
) -> str:
    """Return the document."""
    decisions = said[AS_DECLARED].decisions
    years = [one.year for one in decisions]
    head = _HEAD.format(
        command=command,
        n=f"{len(decisions):,}",
        families=families,
        markets=len(groups("lab")["lab"]),
        first=min(years),
        last=max(years),
        seconds=f"{seconds:.0f}",
    )
    table = [
        "| contestant | value per campaign | coverage | harm share | claimed / realised | Brier |",
        "|---|---:|---:|---:|---:|---:|",
        *(_row(name, one.decisions) for name, one in said.items()),
        *(_row(name, rivals[key]) for name, key in _RIVALS),
    ]
    spoke = sorted(said[AS_DECLARED].spoke_from.items())
    by_value = ", ".join(f"{family} in {year}" for family, year in spoke) or "no family"
    below = f"\nThe ledger was first long enough to propose by expected value: {by_value}.\n"
    rules = [line for name, one in said.items() for line in (_RULES.format(name=name), *_rules(one.fates))]
    grades = _GRADES + "\n".join(_grades(said[AS_DECLARED].fates))
    risks = _RISKS + "\n".join(_risks(said[AS_DECLARED].risks))
    return "\n".join([head, *table, below, *rules, grades, risks, ""])


_RIVALS: Final = (
    ("decision core alone", OURS),
    ("decision core alone, 400 rows or not", EAGER),
    ("predecessor", PREDECESSOR),
    ("Welch + BH", WELCH),
)


def _row(name: str, decisions: Sequence[Decision]) -> str:
    years = [one.year for one in decisions]
    acted = [one for one in decisions if one.acted]
    claimed, realised = sum(one.claim for one in acted), sum(one.realised for one in acted)
    pairs = [pair for one in decisions for pair in one.pairs]
    brier = float(np.mean([(told - came) ** 2 for told, came in pairs])) if pairs else math.nan
    harm = clustered([float(one.realised < 0) for one in decisions], years, [float(one.acted) for one in decisions])
    cells = (
        name,
        str(clustered([one.realised for one in decisions], years)),
        f"{len(acted) / len(decisions):.2f}",
        str(harm),
        f"{claimed / realised:.2f}" if realised > 0 else "-",
        f"{brier:.4f}" if math.isfinite(brier) else "-",
    )
    return "| " + " | ".join(cells) + " |"


def _rules(fates: Sequence[Fate]) -> list[str]:
    by_rule: dict[str, list[Fate]] = defaultdict(list)
    for fate in fates:
        by_rule[fate.rule].append(fate)
    rows = [
        "| fate | candidates | share | claimed, mean | realised | share above zero |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for rule, held in sorted(by_rule.items(), key=lambda item: (item[0] != PROPOSED, -len(item[1]), item[0])):
        claims = [one.claim for one in held if math.isfinite(one.claim)]
        cells = (
            rule if rule == PROPOSED else f"`{rule}`",
            f"{len(held):,}",
            f"{100 * len(held) / len(fates):.1f} %",
            f"{np.mean(claims):+.3f}" if claims else "-",
            *_came(held),
        )
        rows.append("| " + " | ".join(cells) + " |")
    return rows


def _risks(risks: Sequence[Risk]) -> list[str]:
    rows = []
    for kind in sorted({one.kind for one in risks}):
        held = [one for one in risks if one.kind == kind]
        years = [one.year for one in held]
        cells = (
            f"`{kind}`",
            f"{len(held):,}",
            f"{np.mean([one.stated for one in held]):.3f}",
            f"{np.mean([one.fallen for one in held]):.3f}",
            f"{np.mean([one.fallen > 0 for one in held]):.2f}",
            str(clustered([one.sharpe for one in held], years)),
        )
        rows.append("| " + " | ".join(cells) + " |")
    return rows or ["| none | | | | | |"]


def _grades(fates: Sequence[Fate]) -> list[str]:
    grades = sorted({one.grade for one in fates})
    held = {grade: [one for one in fates if one.grade == grade] for grade in grades}
    return [f"| {grade} | {len(some):,} | {' | '.join(_came(some))} |" for grade, some in held.items()]


def _came(held: Sequence[Fate]) -> tuple[str, str]:
    found = clustered([one.realised for one in held], [one.year for one in held])
    moved = [one for one in held if abs(one.realised) > DEAD]
    above = f"{np.mean([one.realised > 0 for one in moved]):.2f}" if moved else "-"
    return (str(found) if len({one.year for one in held}) > 1 else f"{found.value:+.3f}"), above


def main() -> int:
    """Print the document, or write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="write docs/proposals-on-real-prices.md")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--incumbents", type=int, default=2, help="random incumbents per family and year")
    options = parser.parse_args()
    start = time.process_time()
    drawn = [
        campaign
        for group, names in groups("lab").items()
        for campaign in campaigns(group, names, seed=options.seed, incumbents=options.incumbents)
    ]
    rivals = walk_forward(drawn)
    said = {AS_DECLARED: walk(drawn, limited=True), UNLIMITED: walk(drawn, limited=False)}
    command = "python -m benchmarks.proposal_quality.real_proposals --write"
    families = len({campaign.family for campaign in drawn})
    found = page(said, rivals, command=command, families=families, seconds=time.process_time() - start)
    if options.write:
        DOCUMENT.write_text(found, encoding="utf-8")
    print(found)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
