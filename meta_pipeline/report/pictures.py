"""Small pictures of the records: PNG bytes that fit into Dagster's metadata.

Belongs here: drawing. Does not belong here: what is worth drawing (orchestration), figures (evidence).
A picture is drawn on a `Figure` of its own, never through pyplot, so that threads do not meet in shared
state. The same records give the same bytes.
"""

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from meta_pipeline.backtests.aggregates import Aggregate
from meta_pipeline.proposals.candidate import Candidate, Effect
from meta_pipeline.report.tables import change_text
from meta_pipeline.report.text import visible

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_BYTES: Final = 64 * 1024
MAX_ROWS: Final = 16
_MAX_LABEL: Final = 52
_MAX_POINTS: Final = 400
_WIDTH_INCHES: Final = 7.6
_RESOLUTIONS: Final = (144, 110, 80, 50)
_COLOURS: Final = 64

# Okabe and Ito (2008): told apart by people with any of the common colour-vision deficiencies.
BLUE: Final = "#0072B2"
VERMILION: Final = "#D55E00"
GREY: Final = "#7F7F7F"
INK: Final = "#262626"


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


def candidates_picture(candidates: Sequence[Candidate]) -> bytes:
    """Draw the effect on the Sharpe ratio of each change, with its interval; what is proposed is filled.

    Parameters
    ----------
    candidates
        In the order drawn, from the top. A change that is looked at for its risk too is drawn once. Those without an
        estimate are left out; of more than `MAX_ROWS` the first are drawn, and the title says so.

    Returns
    -------
    bytes
        A PNG of at most `MAX_BYTES`.
    """
    bars: dict[str, Bar] = {}
    for candidate in candidates:
        effect = _sharpe_effect(candidate)
        change = change_text(candidate.from_value, candidate.to_value)
        name = f"{candidate.knob} {change}"
        if effect is None or effect.estimate is None:
            continue
        if name in bars and (bars[name].marked or not candidate.is_proposal):
            continue
        bars[name] = Bar(
            label=f"{_shortened(candidate.knob)}  {_shortened(change)}",
            value=effect.estimate,
            lower=effect.lower,
            upper=effect.upper,
            marked=candidate.is_proposal,
        )
    return intervals_picture(
        list(bars.values()),
        title="Effect of each change",
        axis="change of the annualised Sharpe ratio",
        marked="proposed",
        unmarked="not proposed",
    )


def _sharpe_effect(candidate: Candidate) -> Effect | None:
    """Return the effect on the Sharpe ratio, which for a proposal about risk is not the main one."""
    effects = (candidate.effect, *candidate.other_effects)
    return next((effect for effect in effects if effect.metric == "sharpe_ratio"), None)


def aggregates_picture(aggregates: Sequence[Aggregate], *, title: str = "Sharpe ratio by market") -> bytes:
    """Draw the Sharpe ratio of each aggregate, in their order, with an interval of two standard errors each way.

    Returns
    -------
    bytes
        A PNG of at most `MAX_BYTES`.
    """
    bars = []
    for one in aggregates:
        error = one.body.get("sharpe_standard_error")
        margin = 2 * error if isinstance(error, float) else None
        known = one.sharpe is not None and margin is not None
        bars.append(
            Bar(
                label=f"{_shortened(one.label)}  ({one.n_distinct:,} runs)",
                value=one.sharpe,
                lower=(one.sharpe or 0.0) - (margin or 0.0) if known else None,
                upper=(one.sharpe or 0.0) + (margin or 0.0) if known else None,
            )
        )
    return intervals_picture(bars, title=title, axis="annualised Sharpe ratio, ± 2 standard errors")


def intervals_picture(
    bars: Sequence[Bar], *, title: str, axis: str, marked: str = "", unmarked: str = "", reference: float | None = 0.0
) -> bytes:
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

    Returns
    -------
    bytes
        A PNG of at most `MAX_BYTES`; one that says so when there is nothing to draw.
    """
    known = [bar for bar in bars if bar.value is not None and np.isfinite(bar.value)]
    rows = known[:MAX_ROWS]

    def draw(figure: "Figure") -> None:
        axes = figure.add_subplot()
        _title(axes, title if len(rows) == len(known) else f"{title} (first {len(rows)} of {len(known)})")
        if not rows:
            _say_nothing(axes, "Nothing to draw: no figure is known.")
            return
        _interval_rows(axes, rows)
        if reference is not None:
            axes.axvline(reference, color=INK, linewidth=0.8, zorder=1)
        _label(axes.set_xlabel, axis)
        _legend(axes, rows, marked=marked, unmarked=unmarked)

    return _png(draw, height=1.1 + 0.32 * max(3, len(rows)))


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
    axes.grid(axis="x", color="#E3E3E3", linewidth=0.7)
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


def equity_picture(
    dates: NDArray[np.datetime64], series: Mapping[str, NDArray[np.float64]], *, title: str = "Equity and drawdown"
) -> bytes:
    """Draw the equity of one or two return series on the same days, with their drawdowns under it.

    Parameters
    ----------
    dates
        Shape (n_days,), increasing.
    series
        By name, the first being the incumbent: simple returns per period, shape (n_days,), NaN where there is
        none. At most two. Compounding stops at ruin.

    Returns
    -------
    bytes
        A PNG of at most `MAX_BYTES`.
    """
    styles = ((GREY, "-"), (VERMILION, "--"))

    def draw(figure: "Figure") -> None:
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
        _title(upper, title)
        for (name, returns), (colour, style) in zip(series.items(), styles, strict=False):
            equity = _equity(returns)
            peak = np.maximum.accumulate(np.maximum(equity, 1.0))
            # Few points, but none of the depth: each stands for the last equity and the deepest drawdown of its days.
            starts = np.unique(np.linspace(0, len(dates), _MAX_POINTS, endpoint=False).astype(np.intp))
            ends = np.append(starts[1:], len(dates)) - 1
            deepest = np.minimum.reduceat(equity / peak - 1, starts)
            upper.plot(dates[ends], equity[ends], color=colour, linestyle=style, linewidth=1.3, label=drawable(name))
            lower.plot(dates[ends], 100 * deepest, color=colour, linestyle=style, linewidth=1.0)
        for axes, name in ((upper, "equity, start = 1"), (lower, "drawdown, %")):
            _label(axes.set_ylabel, name)
            axes.grid(color="#E3E3E3", linewidth=0.7)
            axes.tick_params(labelsize=8)
        legend = upper.legend(fontsize=8, frameon=False, loc="upper left")
        for text in legend.get_texts():
            text.set_parse_math(False)

    return _png(draw, height=3.8)


def probabilities_picture(
    reliability: Sequence[Mapping[str, float]], risk_coverage: Sequence[Mapping[str, float]]
) -> bytes:
    """Draw how a model's confidence compares with how often it was right, and its risk against its coverage.

    Parameters
    ----------
    reliability
        Bins with `confidence` and `accuracy`, both 0..1.
    risk_coverage
        Points with `coverage` and `risk`, both 0..1: the error rate of the most confident share of the answers.

    Returns
    -------
    bytes
        A PNG of at most `MAX_BYTES`.
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
            axes.grid(color="#E3E3E3", linewidth=0.7)
            axes.tick_params(labelsize=8)

    return _png(draw, height=3.0)


def _equity(returns: NDArray[np.float64]) -> NDArray[np.float64]:
    growth = 1.0 + np.nan_to_num(returns, nan=0.0)
    ruined = np.maximum.accumulate(growth <= 0)
    compounded: NDArray[np.float64] = np.multiply.accumulate(np.where(ruined, 1.0, growth))
    return np.where(ruined, 0.0, compounded)


def _shortened(text: str, most: int = _MAX_LABEL // 2) -> str:
    shown = visible(text)
    return shown if len(shown) <= most else shown[: most - 1] + "…"


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
    return _shortened(shown, _MAX_LABEL)


@cache
def _glyphs() -> frozenset[int]:
    from matplotlib.font_manager import FontProperties, findfont, get_font

    return frozenset(get_font(findfont(FontProperties(family="DejaVu Sans"))).get_charmap())


def _png(draw: Callable[["Figure"], None], *, height: float) -> bytes:
    """Draw on a fresh figure, at the finest resolution whose PNG is small enough.

    Other libraries in the process may have changed matplotlib's defaults (seaborn does); a picture is drawn in its own.
    """
    from matplotlib import style

    with style.context("default", after_reset=True):
        return _png_in_present_style(draw, height=height)


def _png_in_present_style(draw: Callable[["Figure"], None], *, height: float) -> bytes:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from PIL import Image  # matplotlib's own requirement

    for resolution in _RESOLUTIONS:
        figure = Figure(figsize=(_WIDTH_INCHES, height), dpi=resolution, layout="constrained", facecolor="white")
        FigureCanvasAgg(figure)
        draw(figure)
        for axes in figure.axes:
            axes.spines[["top", "right"]].set_visible(False)
            axes.tick_params(axis="x", labelsize=8)
        drawn = io.BytesIO()
        figure.savefig(drawn, format="png")
        # A palette makes the file a third; the few colours of a chart lose nothing. No software, no time in it.
        target = io.BytesIO()
        Image.open(drawn).convert("RGB").quantize(_COLOURS, dither=Image.Dither.NONE).save(
            target, format="PNG", optimize=True
        )
        if target.tell() <= MAX_BYTES:
            return target.getvalue()
    raise AssertionError(f"a picture of {target.tell()} bytes at {resolution} dots per inch is over {MAX_BYTES}")
