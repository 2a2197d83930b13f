"""Tables of what the outcome ledger taught: what past claims were worth, and whether past probabilities held."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from meta_pipeline.canonical import JsonValue
from meta_pipeline.report.table import Cell, Column, Kind, Table


@dataclass(frozen=True, kw_only=True)
class Past:
    """What is known of one strategy's past decisions.

    Parameters
    ----------
    experience
        As `Proposed.experience`; empty where there was nothing to consult.
    p_value, level, wealth
        The latest test of its campaigns, and what LORD++ has left for later ones; None where nothing was tested.
    """

    strategy_id: str
    experience: Mapping[str, JsonValue]
    p_value: float | None = None
    level: float | None = None
    wealth: float | None = None


def experience_table(past: Sequence[Past], *, title: str = "What past claims were worth") -> Table:
    """Show per strategy how many outcomes its claims rest on, what they were worth, and the test of its campaigns."""
    return Table(
        title=title,
        columns=(
            Column(key="strategy", header="Strategy"),
            Column(key="family", header="Family"),
            Column(key="outcomes", header="Ended outcomes", kind=Kind.COUNT),
            Column(key="claimed", header="Claimed", kind=Kind.SIGNED),
            Column(key="realised", header="Realised", kind=Kind.SIGNED),
            Column(key="brier", header="Brier", kind=Kind.NUMBER),
            Column(key="halved", header="Claims"),
            Column(key="p_value", header="p of all campaigns", kind=Kind.PROBABILITY),
            Column(key="level", header="Tested at", kind=Kind.PROBABILITY),
            Column(key="wealth", header="Wealth left", kind=Kind.PROBABILITY),
        ),
        rows=tuple(_row(one) for one in past),
        empty="No strategy was judged.",
    )


def _row(past: Past) -> dict[str, Cell]:
    held = _reliability(past)
    return {
        "strategy": past.strategy_id,
        "family": str(past.experience.get("family", "")),
        "outcomes": _number(past.experience.get("ended_outcomes")),
        "claimed": _number(held.get("claimed")),
        "realised": _number(held.get("realised")),
        "brier": _number(held.get("brier")),
        "halved": "halved" if past.experience.get("alarm") else "in full",
        "p_value": past.p_value,
        "level": past.level,
        "wealth": past.wealth,
    }


def reliability_table(past: Sequence[Past], *, title: str = "Reliability of past probabilities") -> Table:
    """Show what was said to be positive how probably, and how often it was, per strategy's family."""
    return Table(
        title=title,
        columns=(
            Column(key="family", header="Family"),
            Column(key="range", header="Said between"),
            Column(key="n", header="Outcomes", kind=Kind.COUNT),
            Column(key="said", header="Said, mean", kind=Kind.PROBABILITY),
            Column(key="came", header="Came", kind=Kind.PROBABILITY),
        ),
        rows=tuple(reliability_bins(past)),
        empty="No probability's outcome has ended yet.",
    )


def reliability_bins(past: Sequence[Past]) -> Iterator[dict[str, Cell]]:
    """Return each range of stated probability, with its outcomes, what was said and what came."""
    families = {str(one.experience.get("family", "")): one for one in past}
    for family, one in sorted(families.items()):
        bins = _reliability(one).get("bins")
        for found in bins if isinstance(bins, list) else []:
            yield {
                "family": family,
                "range": f"{found['lower']:g} and {found['upper']:g}",
                "n": found["n"],
                "said": found["said"],
                "came": found["came"],
            }


def _reliability(past: Past) -> Mapping[str, Any]:
    held = past.experience.get("reliability")
    return held if isinstance(held, Mapping) else {}


def _number(value: JsonValue) -> float | int | None:
    return value if isinstance(value, int | float) else None
