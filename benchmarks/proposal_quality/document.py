"""The Markdown document and its plots."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from benchmarks.proposal_quality.campaigns import CELLS, MIXED, NULLS, ODD_NULLS, ODD_POWERS, POWERS, Table
from benchmarks.proposal_quality.contestants import CONTESTANTS
from benchmarks.proposal_quality.plots import plot_rates, plot_reliability
from benchmarks.proposal_quality.power_ceiling import EFFECT, Ceilings
from benchmarks.proposal_quality.repeated_looks import Looked, Looks, after_enough
from benchmarks.proposal_quality.scores import Figure, Scored, clustered, mean, rate
from benchmarks.proposal_quality.worlds import RUNS_PER_MARKET

Score = Callable[[Sequence[Scored]], Figure]
LookScore = Callable[[Sequence[Looked]], Figure]

_INTRODUCTION: Final = """# How good the proposals are: planted truth, and real prices

Written by the benchmark; do not edit. Command: `{command}`, on {day}, {seconds} s.
Seeds: fixed {fixed}, fresh {fresh} (every second campaign, and all repeated looks). {n} campaigns, each but the
repeated looks given to all three contestants. Behind ± stands one standard error, over campaigns (± 0.000 at a rate of
0 or 1 only says that all campaigns agreed). Real prices, where no truth is planted, are at the end.

A campaign: 6 knobs of 3 levels, one dead, one pure leverage; 4 markets, 5 years of days (1,260); 13 (grid) or 25 runs
per market; variance 10 % global, 45 % market, 40 % knob levels, 5 % own; t5 shocks, AR(1) log-volatility; base Sharpe
ratio N(.5, .4) per market. *Confounded*: each market prefers one level of each knob (60 %, 20 %, 20 %), and for knob 0
the better the market, the higher the level. The live configuration is level 0 of every knob. The realised effect is
that of the change on the next 2 years, everything else as live, mean over the markets.

The contestants: **ours** is `propose()` with alpha 10 % and no history; the **predecessor** compares the mean Sharpe
ratios of the first two values of each knob, newest run first (runs finish in random order), and proposes from a
confidence of .3 and a difference of .1; **Welch + BH** tests the runs of each level against those of the live one,
Benjamini-Hochberg at 10 %, and takes the best level of a knob.
"""

_ALARMS: Final = """\
Ours: any change of a knob of grade A or B, proposed or not. Others: any proposal. The bar is .10 + 2 standard errors.
"""
_DETECTED: Final = """\
The same effect, counted as found where its change has grade A or B, proposed or not: a graded change is still not
proposed where it has the opposite sign at the live configuration, or would break a limit on risk.
"""
_LOOKS: Final = """\
One strategy, 25 years, a campaign every half-year on the last five years: 40 in a row, with an outcome ledger. Every
candidate is replayed on the two years after its evidence, and may be learned from once these are over; the campaign's
own past is split into pseudo-outcomes. *With a ledger*: campaigns that knew at least 400 ended outcomes. Errors are
over histories, because the campaigns of one share their days. The bars: by expected value alone at most .10 in the null
world; claimed / true .7 to 1.05; Brier at most .237.

*True* is what a change adds to the Sharpe ratio of a window without end. Two years show more on average, because calm
years raise a Sharpe ratio by more than wild ones lower it: claimed / realised is the lower of the two figures. The
penalty of the response surface holds back a share of every effect (30 / (30 + runs at a level / 10): about a third
after 20 of these campaigns), and no more than all of what the surface says is ever claimed. Tried and left out: a share
above one, learned from surfaces of all campaigns known today but for those that share days with the outcome. On 20
histories claimed / true of all proposals rose from .79 to 1.37, or to 1.06 with the older surfaces' penalty brought to
today's; on the stocks below claimed / realised rose from 1.01 to 1.21 or 1.10, value fell from .082 to .080 or .075.
"""
_FOUND: Final = """\
A contestant that proposes something in most empty campaigns finds much, too: read it beside the first table. The
predecessor compares only two of three values, and never asks which one is live.
"""
_CEILING: Final = """\
How far the power could go: the contrast weighed as precisely as the covariance by which the campaigns are drawn allows,
its standard error known, and the critical value the one that the largest of the eight contrasts exceeds in a tenth of
the same campaigns without an effect. No test of differences of Sharpe ratios finds much more on these runs, so that the
bar for an effect of .3 (.72; .65 confounded) is out of a grid's reach: a grid spends two runs per market on a change,
and the own noise of both stays in the difference. Random search spreads it over eight runs a level, on the same days.
"""
_CLAIMS: Final = """\
Ours claims the contrast after a haircut (a quarter at 5 years, without history), because on real prices effects fade.
Here they do not fade, so the claim is low by construction: the bar of .7 to 1.05 is missed on the safe side until the
ledger of the strategy has shown that its effects last (under "Repeated looks"). A first campaign cannot tell effects
that last from those that do not; a larger haircut share would overstate what real prices give. The table after it, of
the bare contrast, shows by how much choosing inflates.
"""
_MIXED: Final = """\
Brier: of the probability that the realised effect is positive, dead and leverage knobs left out (a constant: .250);
the predecessor's is its confidence, Welch's one minus the one-sided p-value. FDR: mean over campaigns of the share of
proposals whose true effect is not positive. Harm: share of proposals whose
realised effect is negative (it is 0 where the proposed value is live already).
Value: realised effect of the largest claim of a campaign, 0 where nothing is proposed.
"""
_ODD: Final = """\
Random search. In *drifting effects* each level's effect is drawn anew every year from N(0, .5): a campaign's five
years do hold an effect then, which does not last, so no bar applies. In *bankrupt runs* half of the runs with knob 0 at
level 2 are ruined and report a Sharpe ratio 1.5 too high: the quality gate keeps them from ours and from Welch, the
predecessor reads what was reported.
"""
_ODD_FOUND: Final = """\
For *aliased knobs* the right answer is none: nothing tells the two apart.
"""
_FORBIDDEN: Final = """\
A knob can be seen to be dead only where runs of a market show what it does alone: they differ in nothing else, or
besides in what only scales returns. Nearly every campaign holds such runs; sparse ones often do not. There a dead knob
is one more knob without effect, and falls under alpha.
"""


def write(
    table: Table, looks: Looks, ceilings: Ceilings, real: Sequence[str], path: Path, header: Mapping[str, str]
) -> None:
    """Write the document to `path` and the plots to the folder `img` beside it; `real`: lines on real prices."""
    images = path.parent / "img"
    images.mkdir(parents=True, exist_ok=True)
    plot_rates(table, images / "proposal-quality-rates.svg")
    plot_reliability(table, images / "proposal-quality-reliability.svg")
    pictures = (
        "![False alarms and power of the three contestants](img/proposal-quality-rates.svg)\n\n"
        "![Probability said and share that came](img/proposal-quality-reliability.svg)\n"
    )
    text = "\n".join([_INTRODUCTION.format(**header), pictures, *sections(table, looks, ceilings), *real])
    path.write_text(text.rstrip() + "\n")


def sections(table: Table, looks: Looks, ceilings: Ceilings) -> list[str]:
    """Return the tables, each under a heading and a sentence that says what is counted. `ceilings` may be empty."""
    alarmed, found = _mean("alarmed"), _mean("found")
    powers, odd = _each(POWERS), _each(ODD_NULLS)
    return [
        "## Nothing has an effect: campaigns with a false alarm\n",
        _ALARMS,
        *_by_world(table, {**_each(NULLS), "null, all designs": tuple(NULLS)}, alarmed),
        "## One effect: campaigns in which it is proposed (power)\n",
        _FOUND,
        *_by_world(table, powers, found),
        *_ceiling(ceilings),
        "## One effect: campaigns in which it has grade A or B\n",
        _DETECTED,
        *_by_world(table, powers, _mean("detected"), only=("ours",)),
        "## One effect: false discovery rate\n",
        *_by_world(table, powers, _mean("false_share")),
        "## One effect: claimed / true, sums over all that is proposed\n",
        _CLAIMS,
        *_by_world(table, powers, _rate("claimed", "true")),
        *_by_world(table, powers, _rate("measured", "true"), only=("ours",)),
        "## Every live level has an effect, N(0, .2)\n",
        _MIXED,
        *_by_score(table, tuple(MIXED)),
        "## Repeated looks: 40 campaigns in a row with an outcome ledger\n",
        _LOOKS,
        *_repeated(looks),
        "## Odd campaigns without an effect: campaigns with a false alarm\n",
        _ODD,
        *_by_world(table, odd, alarmed),
        "## Odd campaigns with an effect of .5: campaigns in which it is proposed\n",
        _ODD_FOUND,
        *_by_world(table, _each(ODD_POWERS), found),
        "## Proposals that must not be made, counted over all campaigns\n",
        _FORBIDDEN,
        *_counts(table),
    ]


def _each(worlds: Iterable[str]) -> dict[str, Sequence[str]]:
    return {name: (name,) for name in worlds}


def _mean(name: str) -> Score:
    return lambda rows: mean(rows, name)


def _rate(top: str, bottom: str) -> Score:
    return lambda rows: rate(rows, top, bottom)


def _rows(table: Table, worlds: Sequence[str], contestant: str) -> list[Scored]:
    return [row for name in worlds for row in table[name][contestant]]


def _by_world(
    table: Table, groups: Mapping[str, Sequence[str]], figure: Score, only: Sequence[str] = tuple(CONTESTANTS)
) -> list[str]:
    lines = [_line("world", "campaigns", *only), _line("---", *["---:"] * (1 + len(only)))]
    for label, worlds in groups.items():
        n = len(_rows(table, worlds, only[0]))
        lines.append(_line(label, f"{n:,}", *(str(figure(_rows(table, worlds, who))) for who in only)))
    return [*lines, ""]


def _by_score(table: Table, worlds: Sequence[str]) -> list[str]:
    scores: dict[str, Score] = {
        "Brier score": _rate("squared", "forecasts"),
        "claimed / true": _rate("claimed", "true"),
        "contrast / true": _rate("measured", "true"),
        "false discovery rate": _mean("false_share"),
        "harm share": _rate("harmful", "proposals"),
        "value per campaign": _mean("value"),
        "proposals per campaign": _mean("proposals"),
    }
    lines = [_line("score", "campaigns", *CONTESTANTS), _line("---", *["---:"] * (1 + len(CONTESTANTS)))]
    for label, figure in scores.items():
        found = [figure(_rows(table, worlds, who)) for who in CONTESTANTS]
        lines.append(_line(label, f"{found[0].n:,}", *map(str, found)))
    return [*lines, ""]


def _repeated(looks: Looks) -> list[str]:
    names = tuple(looks)
    lines = [_line("score", *names), _line("---", *["---:"] * len(names))]
    enough = {name: after_enough(looks[name]) for name in names}
    lines.append(_line("campaigns, with a ledger", *(f"{len(looks[n]):,}, {len(enough[n]):,}" for n in names)))
    for label, figure in _LOOK_SCORES.items():
        lines.append(_line(f"{label}, with a ledger", *(str(figure(enough[name])) for name in names)))
    for label in ("with a grade A or B", "value per campaign", "Brier score"):
        figures = [_LOOK_SCORES[label](looks[name]) for name in names]
        lines.append(_line(f"{label}, all campaigns", *map(str, figures)))
    return [*lines, ""]


def _of_looks(top: Callable[[Looked], float], bottom: Callable[[Looked], float] = lambda _: 1.0) -> LookScore:
    return lambda rows: clustered([row.history for row in rows], [top(row) for row in rows], [bottom(r) for r in rows])


_LOOK_SCORES: Final[Mapping[str, LookScore]] = {
    "with a grade A or B": _of_looks(lambda row: row.graded),
    "with a proposal by expected value alone": _of_looks(lambda row: row.by_value),
    "claimed / true, by expected value alone": _of_looks(lambda row: row.claimed, lambda row: row.true),
    "claimed / realised, by expected value alone": _of_looks(lambda row: row.claimed, lambda row: row.realised),
    "claimed / true, all proposals": _of_looks(lambda row: row.all_claimed, lambda row: row.all_true),
    "value per campaign": _of_looks(lambda row: row.value),
    "Brier score": _of_looks(
        lambda row: sum((said - came) ** 2 for said, came in row.pairs), lambda row: len(row.pairs)
    ),
}


def _ceiling(ceilings: Ceilings) -> list[str]:
    if not ceilings:
        return []
    lines = [_line("world", "campaigns", "known standard error", "critical value", "power at most")]
    lines.append(_line("---", *["---:"] * 4))
    for design, found in ceilings.items():
        name = f"effect {EFFECT}, {design}"
        lines.append(_line(name, f"{found.power.n:,}", f"{found.error:.3f}", f"{found.critical:.2f}", str(found.power)))
    return [_CEILING, *lines, ""]


def _counts(table: Table) -> list[str]:
    lines = [_line("", "campaigns", *CONTESTANTS), _line("---", *["---:"] * (1 + len(CONTESTANTS)))]
    sparse = [name for name, cell in CELLS.items() if cell.world.runs_per_market < RUNS_PER_MARKET]
    others = [name for name in CELLS if name not in sparse]
    aliased = [name for name, cell in CELLS.items() if cell.world.aliased is not None]
    rows = (
        ("dead knobs, all but sparse", others, "dead"),
        ("dead knobs, sparse", sparse, "dead"),
        ("aliased knobs", aliased, "aliased"),
    )
    for label, worlds, name in rows:
        n = len(_rows(table, worlds, "ours"))
        counts = (f"{sum(getattr(row, name) for row in _rows(table, worlds, who)):,}" for who in CONTESTANTS)
        lines.append(_line(label, f"{n:,}", *counts))
    return [*lines, ""]


def _line(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |"
