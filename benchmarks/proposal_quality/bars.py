"""What fails a build: too many false alarms where nothing has an effect, or power lost against the recorded figure."""

import json
import math
from pathlib import Path
from typing import Final

from benchmarks.proposal_quality.campaigns import NULLS, POWERS, Table
from benchmarks.proposal_quality.contestants import ALPHA
from benchmarks.proposal_quality.repeated_looks import NULL, Looks, after_enough
from benchmarks.proposal_quality.scores import Figure, clustered, mean

RECORDED: Final = Path(__file__).with_name("recorded.json")
SHARE: Final = 0.9


def pooled_power(table: Table) -> dict[str, Figure]:
    """Return the power per size of the effect, all designs together."""
    sizes = sorted({name.split(",")[0] for name in POWERS})
    return {
        size: mean([row for name in POWERS if name.startswith(f"{size},") for row in table[name]["ours"]], "found")
        for size in sizes
    }


def record_quick(table: Table) -> None:
    """Write the power of the quick version's campaigns: they are the same each time, so are held against themselves."""
    held = json.loads(RECORDED.read_text()) if RECORDED.exists() else {}
    held["quick"] = {size: round(figure.value, 4) for size, figure in pooled_power(table).items()}
    RECORDED.write_text(json.dumps(held, indent=2) + "\n")


def record(table: Table) -> None:
    """Write the measured power beside this module; later runs are held against it."""
    held = json.loads(RECORDED.read_text()) if RECORDED.exists() else {}
    power, detected = (
        {name: round(mean(table[name]["ours"], field).value, 4) for name in POWERS} for field in ("found", "detected")
    )
    RECORDED.write_text(json.dumps(held | {"power": power, "detected": detected}, indent=2) + "\n")


def failures(table: Table, looks: Looks, *, full: bool) -> list[str]:
    """Return a sentence for each bar that is missed: null rates, looks with a ledger, power.

    Power is held against what was recorded: in the full version that of each world; in the quick one, whose few
    campaigns never change, that of the same campaigns, all designs together.
    """
    missed = [*_value_alarms(looks), *_null_alarms(table)]
    recorded = json.loads(RECORDED.read_text()) if RECORDED.exists() else {}
    found = {name: mean(table[name]["ours"], "found") for name in POWERS} if full else pooled_power(table)
    known = recorded.get("power" if full else "quick", {})
    for name, figure in found.items():
        if name not in known:
            missed.append(f"{name}: no power is recorded in {RECORDED.name}; run with --record")
        elif figure.value < SHARE * known[name]:
            least = SHARE * known[name]
            missed.append(f"{name}: power {figure}, below {least:.3f} = {SHARE} of the recorded {known[name]}")
    return missed


def monte_carlo(table: Table, looks: Looks) -> str:
    """Say how exact the null rates and the power of this run are."""
    n = sum(len(table[name]["ours"]) for name in NULLS)
    error = math.sqrt(ALPHA * (1 - ALPHA) / n)
    powers = ", ".join(f"{size} {figure}" for size, figure in pooled_power(table).items())
    after = len(after_enough(looks[NULL]))
    return (
        f"Monte Carlo error: of a null rate of {ALPHA:g} {error:.3f} ({n:,} campaigns; the bar is "
        f"{ALPHA + 2 * error:.3f}); power {powers}; {after} looks with a ledger of 400 rows."
    )


def _null_alarms(table: Table) -> list[str]:
    missed = []
    groups = {name: table[name]["ours"] for name in NULLS}
    groups["null, all designs"] = [row for name in NULLS for row in table[name]["ours"]]
    for name, rows in groups.items():
        figure, limit = mean(rows, "alarmed"), ALPHA + 2 * math.sqrt(ALPHA * (1 - ALPHA) / len(rows))
        if figure.value > limit:
            missed.append(f"{name}: grade A or B in {figure.value:.3f} of {len(rows)} campaigns, above {limit:.3f}")
    return missed


def _value_alarms(looks: Looks) -> list[str]:
    rows = after_enough(looks[NULL])
    figure = clustered([row.history for row in rows], [float(row.by_value) for row in rows])
    error = max(figure.error, math.sqrt(ALPHA * (1 - ALPHA) / len(rows)))
    if figure.value <= ALPHA + 2 * error:
        return []
    return [f"{NULL}: proposals by expected value alone in {figure.value:.3f} of {len(rows)} campaigns, above {ALPHA}"]
