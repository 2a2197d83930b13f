"""What is drawn, apart from the form it takes: the same drawing is a PNG in Dagster and an SVG on a page.

Belongs here: drawing. Does not belong here: PNG (pictures) and SVG (svg), what is worth drawing (orchestration, the
pages), figures (evidence). A drawing gets a `Figure` of its own, never one of pyplot, so that threads do not meet in
shared state.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from meta_pipeline.report.text import visible

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_ROWS: Final = 16
MAX_LABEL: Final = 52
_MAX_POINTS: Final = 400
_SHORTEST: Final = np.timedelta64(60, "s")

# Okabe and Ito (2008): told apart by people with any of the common colour-vision deficiencies.
BLUE: Final = "#0072B2"
VERMILION: Final = "#D55E00"
GREY: Final = "#7F7F7F"
INK: Final = "#262626"
GRID: Final = "#E3E3E3"


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """How something is drawn on an empty figure, and how high that is, in inches."""

    draw: "Callable[[Figure], None]"
    height: float


@dataclass(frozen=True, kw_only=True)
class Bar:
    """One row of an interval plot: a figure with its interval, either of which may be missing.

    Parameters
    ----------
    label
        Name of the row.
    value, lower, upper
        The figure and the ends of its interval, in one unit.
    marked
        Drawn filled and in colour; the others are hollow and grey.
    """

    label: str
    value: float | None
    lower: float | None = None
    upper: float | None = None
    marked: bool = True


def intervals_drawing(
    bars: Sequence[Bar], *, title: str, axis: str, marked: str = "", unmarked: str = "", reference: float | None = 0.0
) -> Drawing:
    """Draw figures with their intervals, one per row.

    Parameters
    ----------
    bars
        From the top; rows without a value are left out, and so are those after the first `MAX_ROWS`.
    title, axis
        Of the picture; of the horizontal axis, with the unit.
    marked, unmarked
        What the two kinds of rows mean, for the legend.
    reference
        Where to draw a line, or None for none.
    """
    known = [bar for bar in bars if bar.value is not None and np.isfinite(bar.value)]
    rows = known[:MAX_ROWS]

    def draw(figure: "Figure") -> None:
        axes = figure.add_subplot()
        _heading(figure, title if len(rows) == len(known) else f"{title} (first {len(rows)} of {len(known)})")
        if not rows:
            _say_nothing(axes, "Nothing to draw: no figure is known.")
            return
        _interval_rows(axes, rows)
        if reference is not None:
            axes.axvline(reference, color=INK, linewidth=0.8, zorder=1)
        _label(axes.set_xlabel, axis)
        _legend(axes, rows, marked=marked, unmarked=unmarked)

    return Drawing(draw=draw, height=1.1 + 0.32 * max(3, len(rows)))


def _interval_rows(axes: "Axes", rows: Sequence[Bar]) -> None:
    for position, bar in enumerate(rows):
        assert bar.value is not None
        colour = BLUE if bar.marked else GREY
        if bar.lower is not None and bar.upper is not None:
            axes.plot([bar.lower, bar.upper], [position, position], color=colour, linewidth=2.2, solid_capstyle="butt")
        axes.plot(
            [bar.value],
            [position],
            marker="o",
            markersize=6.5,
            markerfacecolor=colour if bar.marked else "white",
            markeredgecolor=colour,
            markeredgewidth=1.4,
            linestyle="none",
        )
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_yticks(range(len(rows)))
    for text, bar in zip(axes.set_yticklabels([drawable(bar.label) for bar in rows], fontsize=8.5), rows, strict=True):
        text.set_parse_math(False)
        text.set_color(INK if bar.marked else GREY)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color=GRID, linewidth=0.7)
    axes.set_axisbelow(True)


def _legend(axes: "Axes", rows: Sequence[Bar], *, marked: str, unmarked: str) -> None:
    from matplotlib.lines import Line2D

    kinds = [(marked, True), (unmarked, False)]
    shown = [(name, kind) for name, kind in kinds if name and any(bar.marked is kind for bar in rows)]
    handles = [
        Line2D(
            [],
            [],
            marker="o",
            color=BLUE if kind else GREY,
            markerfacecolor=BLUE if kind else "white",
            label=drawable(name),
        )
        for name, kind in shown
    ]
    if handles:
        axes.legend(handles=handles, fontsize=8, frameon=False, loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2)


def equity_drawing(
    dates: NDArray[np.datetime64], series: Mapping[str, NDArray[np.float64]], *, title: str = "Equity and drawdown"
) -> Drawing:
    """Draw the equity of one or two return series on the same days, with their drawdowns under it.

    Parameters
    ----------
    dates
        Shape (n_days,), increasing.
    series
        By name, the first being the incumbent: simple returns per period, shape (n_days,), NaN where there is
        none. At most two. Compounding stops at ruin.
    """
    styles = ((GREY, "-"), (VERMILION, "--"))

    def draw(figure: "Figure") -> None:
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
        _heading(figure, title)
        for (name, returns), (colour, style) in zip(series.items(), styles, strict=False):
            value = equity(returns)
            peak = np.maximum.accumulate(np.maximum(value, 1.0))
            # Few points, but none of the depth: each stands for the last equity and the deepest drawdown of its days.
            starts = np.unique(np.linspace(0, len(dates), _MAX_POINTS, endpoint=False).astype(np.intp))
            ends = np.append(starts[1:], len(dates)) - 1
            deepest = np.minimum.reduceat(value / peak - 1, starts)
            upper.plot(dates[ends], value[ends], color=colour, linestyle=style, linewidth=1.3, label=drawable(name))
            lower.plot(dates[ends], 100 * deepest, color=colour, linestyle=style, linewidth=1.0)
        for axes, name in ((upper, "equity, start = 1"), (lower, "drawdown, %")):
            _label(axes.set_ylabel, name)
            axes.grid(color=GRID, linewidth=0.7)
            axes.tick_params(labelsize=8)
        legend = upper.legend(fontsize=8, frameon=False, loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2)
        for text in legend.get_texts():
            text.set_parse_math(False)

    return Drawing(draw=draw, height=3.8)


def probabilities_drawing(
    reliability: Sequence[Mapping[str, float]], risk_coverage: Sequence[Mapping[str, float]]
) -> Drawing:
    """Draw how a model's confidence compares with how often it was right, and its risk against its coverage.

    Parameters
    ----------
    reliability
        Bins with `confidence` and `accuracy`, both 0..1.
    risk_coverage
        Points with `coverage` and `risk`, both 0..1: the error rate of the most confident share of the answers.
    """

    def draw(figure: "Figure") -> None:
        left, right = figure.subplots(1, 2)
        _title(left, "Reliability")
        left.plot([0, 1], [0, 1], color=GREY, linewidth=0.8)
        stated, found = ([entry[key] for entry in reliability] for key in ("confidence", "accuracy"))
        left.plot(stated, found, color=BLUE, marker="o", markersize=4, linewidth=1.2)
        _label(left.set_xlabel, "confidence")
        _label(left.set_ylabel, "share that was right")
        _title(right, "Risk against coverage")
        covered, wrong = ([point[key] for point in risk_coverage] for key in ("coverage", "risk"))
        right.plot(covered, wrong, color=BLUE, marker="o", markersize=4, linewidth=1.2)
        _label(right.set_xlabel, "share of answers given, most confident first")
        _label(right.set_ylabel, "share of them wrong")
        for axes in (left, right):
            axes.set_xlim(0, 1)
            axes.set_ylim(0, 1)
            axes.grid(color=GRID, linewidth=0.7)
            axes.tick_params(labelsize=8)

    return Drawing(draw=draw, height=3.0)


def heat_drawing(rows: Sequence[tuple[str, Sequence[float | None]]], columns: Sequence[str], *, title: str) -> Drawing:
    """Draw figures as a table of cells: blue above zero, vermilion below, paler the nearer to it, each with its figure.

    Parameters
    ----------
    rows
        Label, and one figure per column; None or NaN: not known, drawn as "n/a". After `MAX_ROWS` they are left out.
    """
    shown = rows[:MAX_ROWS]
    known = [abs(v) for _, values in shown for v in values if v is not None and np.isfinite(v)]
    most = max(known, default=1.0) or 1.0

    def draw(figure: "Figure") -> None:
        from matplotlib.patches import Rectangle

        axes = figure.add_subplot()
        _heading(figure, title if len(shown) == len(rows) else f"{title} (first {len(shown)} of {len(rows)})")
        if not shown or not columns:
            _say_nothing(axes, "Nothing to draw: no figure is known.")
            return
        for y, (_, values) in enumerate(shown):
            for x, value in enumerate(values):
                there = value is not None and bool(np.isfinite(value))
                figure_of = float(value) if value is not None and there else 0.0
                colour = BLUE if figure_of >= 0 else VERMILION
                depth = 0.6 * abs(figure_of) / most
                cell = Rectangle((x - 0.5, y - 0.5), 1, 1, facecolor=colour, alpha=depth, linewidth=0)
                axes.add_patch(cell)
                text = f"{figure_of:+z.2f}" if there else "n/a"
                axes.text(x, y, text, ha="center", va="center", fontsize=8.5, color=INK, parse_math=False)
        axes.set_xlim(-0.5, len(columns) - 0.5)
        axes.set_ylim(len(shown) - 0.5, -0.5)
        names = axes.set_xticks(range(len(columns)), [_shortened(drawable(name), 22) for name in columns], fontsize=8)
        labels = axes.set_yticks(range(len(shown)), [drawable(name) for name, _ in shown], fontsize=8)
        for tick in (*names, *labels):
            for text_of in (tick.label1, tick.label2):
                text_of.set_parse_math(False)
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)

    return Drawing(draw=draw, height=1.0 + 0.34 * max(2, len(shown)))


def lines_drawing(
    labels: Sequence[str], series: Mapping[str, Sequence[float | None]], *, title: str, axis: str
) -> Drawing:
    """Draw one or two series over periods; what is not known is a gap.

    Parameters
    ----------
    labels
        Of the periods, in order.
    series
        By name, at most two: one figure per period.
    """
    styles = ((GREY, "-", "o"), (VERMILION, "--", "s"))

    def draw(figure: "Figure") -> None:
        axes = figure.add_subplot()
        _heading(figure, title)
        if not labels:
            _say_nothing(axes, "Nothing to draw: no figure is known.")
            return
        for (name, values), (colour, style, marker) in zip(series.items(), styles, strict=False):
            heights = [np.nan if value is None else value for value in values]
            axes.plot(heights, color=colour, linestyle=style, marker=marker, markersize=4, linewidth=1.3)
            end = max((i for i, value in enumerate(heights) if np.isfinite(value)), default=None)
            if end is not None:
                axes.plot([], [], color=colour, linestyle=style, marker=marker, markersize=4, label=drawable(name))
        axes.axhline(0.0, color=INK, linewidth=0.8, zorder=1)
        axes.set_xticks(range(len(labels)), [drawable(label) for label in labels], fontsize=7.5)
        _label(axes.set_ylabel, axis)
        axes.grid(color=GRID, linewidth=0.7)
        axes.tick_params(labelsize=7.5)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(fontsize=8, frameon=False, loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2)

    return Drawing(draw=draw, height=2.7)


def steps_drawing(
    moments: Sequence[np.datetime64], levels: Sequence[str], *, order: Sequence[str], end: np.datetime64, title: str
) -> Drawing:
    """Draw a state over time as steps between named levels.

    Parameters
    ----------
    moments, levels
        From when on which state held, in order of time.
    order
        The levels, from the lowest.
    end
        Until when the last one holds.
    """

    def draw(figure: "Figure") -> None:
        from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

        axes = figure.add_subplot()
        _heading(figure, title)
        if not moments:
            _say_nothing(axes, "Nothing to draw: nothing is on record.")
            return
        heights = [order.index(level) for level in levels]
        times = np.array([*moments, end], dtype="datetime64[s]")
        axes.step(times, [*heights, heights[-1]], where="post", color=BLUE, linewidth=1.6)
        axes.plot(times[:-1], heights, color=BLUE, marker="o", markersize=4, linestyle="none", clip_on=False)
        axes.set_yticks(range(len(order)), [drawable(level) for level in order], fontsize=8.5)
        axes.set_ylim(-0.4, len(order) - 0.6)
        # One instant has no width: matplotlib would draw four years around it, and has no ticks for them.
        axes.set_xlim(times[0], max(times[-1], times[0] + _SHORTEST))
        # With fewer than three ticks allowed no unit would be too coarse, with more some spans fit none.
        locator = AutoDateLocator(minticks=3, maxticks=7)  # type: ignore[no-untyped-call]  # its stubs have no types
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
        axes.grid(axis="y", color=GRID, linewidth=0.7)
        axes.tick_params(axis="y", length=0)

    return Drawing(draw=draw, height=1.9)


def equity(returns: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return compounded equity from simple returns, starting at 1; NaN is no return, and ruin is for ever."""
    growth = 1.0 + np.nan_to_num(returns, nan=0.0)
    ruined = np.maximum.accumulate(growth <= 0)
    compounded: NDArray[np.float64] = np.multiply.accumulate(np.where(ruined, 1.0, growth))
    return np.where(ruined, 0.0, compounded)


def _shortened(text: str, most: int = MAX_LABEL // 2) -> str:
    shown = visible(text)
    return shown if len(shown) <= most else shown[: most - 1] + "…"


def _heading(figure: "Figure", title: str) -> None:
    """Write a title at the left edge, on a line of its own: names of rows may leave the axes little room."""
    _label(figure.suptitle, title, x=0.01, ha="left", fontsize=10.5, color=INK)


def _title(axes: "Axes", title: str) -> None:
    _label(axes.set_title, title, loc="left", fontsize=10.5, color=INK)


def _label(setter: Callable[..., object], text: str, **style: object) -> None:
    from matplotlib.text import Text

    drawn = setter(drawable(text), **({"fontsize": 8.5} | style))
    assert isinstance(drawn, Text)
    drawn.set_parse_math(False)


def _say_nothing(axes: "Axes", sentence: str) -> None:
    axes.set_axis_off()
    axes.text(0.5, 0.5, drawable(sentence), ha="center", va="center", fontsize=9, color=INK, parse_math=False)


def drawable(text: str) -> str:
    """Return a text as it can be drawn: visible, in characters the font has, and not too long.

    A character without a glyph is written as its escape, so that no two names look alike.
    """
    glyphs = _glyphs()
    shown = "".join(c if ord(c) in glyphs else f"\\u{ord(c):04x}" for c in visible(text))
    return _shortened(shown, MAX_LABEL)


@cache
def _glyphs() -> frozenset[int]:
    from matplotlib.font_manager import FontProperties, findfont, get_font

    return frozenset(get_font(findfont(FontProperties(family="DejaVu Sans"))).get_charmap())
