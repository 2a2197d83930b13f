"""What fails a build: too many false alarms where nothing has an effect, or power lost against the recorded figure."""

import json
import math
from pathlib import Path
from typing import Final

from benchmarks.proposal_quality.campaigns import NULLS, POWERS, Table
from benchmarks.proposal_quality.contestants import ALPHA
from benchmarks.proposal_quality.repeated_looks import NULL, Looks, after_enough
from benchmarks.proposal_quality.scores import clustered, mean

RECORDED: Final = Path(__file__).with_name("recorded.json")
SHARE: Final = 0.9


def record(table: Table) -> None:
    """Write the measured power beside this module; later runs are held against it."""
    power, detected = (
        {name: round(mean(table[name]["ours"], field).value, 4) for name in POWERS} for field in ("found", "detected")
    )
    RECORDED.write_text(json.dumps({"power": power, "detected": detected}, indent=2) + "\n")


def failures(table: Table, looks: Looks) -> list[str]:
    """Return a sentence for each bar that is missed: null rates, looks with a ledger, power of each world."""
    missed = [*_value_alarms(looks)]
    groups = {name: table[name]["ours"] for name in NULLS}
    groups["null, all designs"] = [row for name in NULLS for row in table[name]["ours"]]
    for name, rows in groups.items():
        figure, limit = mean(rows, "alarmed"), ALPHA + 2 * math.sqrt(ALPHA * (1 - ALPHA) / len(rows))
        if figure.value > limit:
            missed.append(f"{name}: grade A or B in {figure.value:.3f} of {len(rows)} campaigns, above {limit:.3f}")
    recorded = json.loads(RECORDED.read_text())["power"] if RECORDED.exists() else {}
    for name in POWERS:
        if name not in recorded:
            missed.append(f"{name}: no power is recorded in {RECORDED.name}; run --full --record")
            continue
        value, least = mean(table[name]["ours"], "found").value, SHARE * recorded[name]
        if value < least:
            missed.append(f"{name}: power {value:.3f}, below {least:.3f} = {SHARE} of the recorded {recorded[name]}")
    return missed


def _value_alarms(looks: Looks) -> list[str]:
    rows = after_enough(looks[NULL])
    figure = clustered([row.history for row in rows], [float(row.by_value) for row in rows])
    error = max(figure.error, math.sqrt(ALPHA * (1 - ALPHA) / len(rows)))
    if figure.value <= ALPHA + 2 * error:
        return []
    return [f"{NULL}: proposals by expected value alone in {figure.value:.3f} of {len(rows)} campaigns, above {ALPHA}"]
