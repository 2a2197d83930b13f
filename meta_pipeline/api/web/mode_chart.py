"""The mode of a book over time as a step line: the higher, the more risk was allowed."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from markupsafe import Markup

from meta_pipeline.counted import counted
from meta_pipeline.report.table import day
from meta_pipeline.store.policies import PolicyRecord

MODES: Final = ("HALTED", "DEFENSIVE", "NORMAL", "AGGRESSIVE")
WIDTH: Final = 760.0
LEFT: Final = 92.0
ROW: Final = 30.0
TOP: Final = 14.0
HEIGHT: Final = TOP + ROW * len(MODES) + 22.0


@dataclass(frozen=True, kw_only=True)
class ModeChart:
    """The drawing, and what it shows in words."""

    svg: Markup
    says: str


def mode_chart(newest_first: Sequence[PolicyRecord], *, now: datetime) -> ModeChart:
    """Draw the mode from the oldest of these policies until now; a policy that has expired counts as DEFENSIVE."""
    records = list(reversed(newest_first))
    begin = records[0].created_at
    whole = max((now - begin).total_seconds(), 1.0)

    def at(moment: datetime) -> float:
        share = min(max((moment - begin).total_seconds() / whole, 0.0), 1.0)
        return LEFT + share * (WIDTH - LEFT - 10)

    pieces: list[tuple[float, float, int]] = []
    for i, record in enumerate(records):
        end = records[i + 1].created_at if i + 1 < len(records) else now
        level = 0 if record.halted else MODES.index(str(record.risk_mode))
        fresh = min(end, record.expires_at)
        pieces.append((at(record.created_at), at(fresh), level))
        if fresh < end:
            pieces.append((at(fresh), at(end), min(level, 1)))
    says = _says(records, pieces)
    return ModeChart(svg=_drawn(pieces, begin, now, says), says=says)


def _says(records: Sequence[PolicyRecord], pieces: Sequence[tuple[float, float, int]]) -> str:
    whole = sum(end - begin for begin, end, _ in pieces) or 1.0
    shares = [sum(end - begin for begin, end, level in pieces if level == i) / whole for i in range(len(MODES))]
    parts = [f"{MODES[i]} {100 * share:.0f} %" for i, share in enumerate(shares) if share > 0]
    over = counted(len(records), "policy", "policies")
    return f"Step line over {over} since {day(records[0].created_at)}: {', '.join(parts)} of the time."


def _y(level: int) -> float:
    return TOP + ROW * (len(MODES) - 1 - level) + ROW / 2


def _drawn(pieces: Sequence[tuple[float, float, int]], begin: datetime, now: datetime, says: str) -> Markup:
    rows = Markup().join(
        Markup(
            '<line class="stroke-grid" x1="{}" x2="{}" y1="{}" y2="{}"/>'
            '<text class="fill-grey" x="{}" y="{}" text-anchor="end" font-size="11">{}</text>'
        ).format(LEFT, WIDTH - 10, _y(i), _y(i), LEFT - 8, _y(i) + 4, name)
        for i, name in enumerate(MODES)
    )
    path = f"M {pieces[0][0]:.1f} {_y(pieces[0][2]):.1f}" + "".join(
        f" V {_y(level):.1f} H {end:.1f}" for _, end, level in pieces
    )
    foot = Markup(
        '<text class="fill-grey" x="{}" y="{}" font-size="11">{}</text>'
        '<text class="fill-grey" x="{}" y="{}" font-size="11" text-anchor="end">{}</text>'
    ).format(LEFT, HEIGHT - 5, day(begin), WIDTH - 10, HEIGHT - 5, day(now))
    return Markup(
        '<svg class="chart" viewBox="0 0 {:g} {:g}" role="img" aria-label="{}">{}'
        '<path class="stroke-blue" d="{}" fill="none" stroke-width="2.5"/>{}</svg>'
    ).format(WIDTH, HEIGHT, says, rows, path, foot)
