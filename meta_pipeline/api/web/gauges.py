"""Gauges: readings of a book's health on a scale with the thresholds that a mode is chosen by.

Belongs here: the drawing. The same figures stand in the table of health (tables), for those who do not see a drawing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from markupsafe import Markup

WIDTH: Final = 360.0
LEFT: Final = 10.0
TOP: Final = 26.0
THICK: Final = 12.0
HEIGHT: Final = 68.0
_FILLS: Final = {"good": "blue", "middle": "grey", "bad": "vermilion"}


@dataclass(frozen=True, kw_only=True)
class Zone:
    """A stretch of the scale, up to a threshold, and what it means."""

    until: float
    kind: str
    means: str


@dataclass(frozen=True, kw_only=True)
class Gauge:
    """One reading on its scale.

    Parameters
    ----------
    value
        In `unit`; None: not known, and no mark is drawn. One beyond the scale is marked at its end.
    low
        Where the scale begins; it ends with the last of `zones`.
    """

    title: str
    value: float | None
    unit: str
    low: float
    zones: tuple[Zone, ...]


def gauges(metrics: Mapping[str, Any]) -> Markup:
    """Draw the gauges of a health report, in the fields of `policy_views.health_json`."""
    drawdown, winrate = metrics["drawdown"], metrics["winrate"]
    found = (
        Gauge(
            title="Drawdown from the peak",
            value=drawdown["current_pct"],
            unit="%",
            low=0.0,
            zones=(
                Zone(until=drawdown["threshold_normal"], kind="good", means="NORMAL"),
                Zone(until=drawdown["threshold_defensive"], kind="middle", means=""),
                Zone(until=2 * drawdown["threshold_defensive"], kind="bad", means="DEFENSIVE"),
            ),
        ),
        Gauge(
            title="Win rate of closed trades",
            value=winrate["current_pct"],
            unit="%",
            low=20.0,
            zones=(
                Zone(until=winrate["threshold_defensive"], kind="bad", means="DEFENSIVE"),
                Zone(until=winrate["threshold_normal"], kind="middle", means=""),
                Zone(until=winrate["threshold_aggressive"], kind="good", means="NORMAL"),
                Zone(until=80.0, kind="good", means="AGGRESSIVE"),
            ),
        ),
        Gauge(
            title="Equity slope",
            value=metrics["equity_trend"]["slope_pct_per_day"],
            unit="% a day",
            low=-1.0,
            zones=(
                Zone(until=-0.3, kind="bad", means="falling"),
                Zone(until=0.3, kind="middle", means="flat"),
                Zone(until=1.0, kind="good", means="rising"),
            ),
        ),
        Gauge(
            title="Losses in a row",
            value=metrics["risk_signals"]["consecutive_losses"],
            unit="",
            low=0.0,
            zones=(
                Zone(until=3.0, kind="good", means="ok"),
                Zone(until=5.0, kind="middle", means="warning"),
                Zone(until=8.0, kind="bad", means="critical"),
            ),
        ),
    )
    return Markup().join(_drawn(one) for one in found)


def _drawn(gauge: Gauge) -> Markup:
    high = gauge.zones[-1].until

    def at(value: float) -> float:
        share = (min(max(value, gauge.low), high) - gauge.low) / (high - gauge.low)
        return LEFT + share * (WIDTH - 2 * LEFT)

    said = "not known" if gauge.value is None else f"{gauge.value:.3g} {gauge.unit}".strip()
    pieces = [_zone(zone, at(begin), at(zone.until)) for zone, begin in _with_beginnings(gauge)]
    ticks = [_tick(at(zone.until), f"{zone.until:g}") for zone in gauge.zones[:-1]]
    mark = [] if gauge.value is None else [_mark(at(float(gauge.value)))]
    return Markup(
        '<svg class="gauge" viewBox="0 0 {:g} {:g}" role="img" aria-label="{}">'
        '<text class="fill-ink" x="{:g}" y="14" font-size="13">{}</text>'
        '<text class="fill-ink" x="{:g}" y="14" font-size="13" font-weight="600" text-anchor="end">{}</text>'
        "{}</svg>"
    ).format(
        WIDTH,
        HEIGHT,
        f"Gauge. {gauge.title}: {said}. {_scale(gauge)}",
        LEFT,
        gauge.title,
        WIDTH - LEFT,
        said,
        Markup().join([*pieces, *ticks, *mark]),
    )


def _with_beginnings(gauge: Gauge) -> Sequence[tuple[Zone, float]]:
    begins = (gauge.low, *(zone.until for zone in gauge.zones))
    return list(zip(gauge.zones, begins, strict=False))


def _scale(gauge: Gauge) -> str:
    named = [f"{zone.means} from {begin:g} to {zone.until:g}" for zone, begin in _with_beginnings(gauge) if zone.means]
    return "; ".join(named)


def _zone(zone: Zone, begin: float, end: float) -> Markup:
    return Markup(
        '<rect class="fill-{}" fill-opacity="0.35" x="{:.1f}" y="{:g}" width="{:.1f}" height="{:g}"/>'
        '<text class="fill-grey" x="{:.1f}" y="{:g}" font-size="9.5" text-anchor="middle">{}</text>'
    ).format(
        _FILLS[zone.kind], begin + 0.5, TOP, max(end - begin - 1, 0), THICK, (begin + end) / 2, HEIGHT - 4, zone.means
    )


def _tick(x: float, text: str) -> Markup:
    return Markup('<text class="fill-ink" x="{:.1f}" y="{:g}" font-size="10.5" text-anchor="middle">{}</text>').format(
        x, TOP + THICK + 12, text
    )


def _mark(x: float) -> Markup:
    return Markup(
        '<path class="fill-ink" d="M {0:.1f} {1:.1f} l -4.5 -7 h 9 z"/>'
        '<path class="stroke-ink fill-ink" d="M {0:.1f} {1:.1f} v {2:.1f}" stroke-width="2"/>'
    ).format(x, TOP, THICK)
