"""Small pictures of the records: PNG bytes that fit into Dagster's metadata.

Belongs here: the PNG of a drawing. Does not belong here: drawing (drawings), what is worth drawing (orchestration),
figures (evidence). The same records give the same bytes.
"""

import io
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

import numpy as np
from numpy.typing import NDArray

from meta_pipeline.backtests.aggregates import Aggregate
from meta_pipeline.counted import counted
from meta_pipeline.proposals.candidate import Candidate, Effect
from meta_pipeline.report.drawings import (
    BLUE,
    GREY,
    INK,
    MAX_LABEL,
    MAX_ROWS,
    VERMILION,
    Bar,
    Drawing,
    drawable,
    equity_drawing,
    intervals_drawing,
    probabilities_drawing,
    steps_drawing,
)
from meta_pipeline.report.tables import change_text
from meta_pipeline.report.text import visible

__all__ = [
    "BLUE",
    "GREY",
    "INK",
    "MAX_BYTES",
    "MAX_ROWS",
    "VERMILION",
    "Bar",
    "aggregates_picture",
    "candidate_bars",
    "candidates_picture",
    "drawable",
    "equity_picture",
    "intervals_picture",
    "modes_picture",
    "probabilities_picture",
]

MAX_BYTES: Final = 64 * 1024
MODES: Final = ("halted", "DEFENSIVE", "NORMAL", "AGGRESSIVE")
"""From the least risk to the most."""
WIDTH_INCHES: Final = 7.6
_RESOLUTIONS: Final = (144, 110, 80, 50)
_COLOURS: Final = 64


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
    return intervals_picture(
        candidate_bars(candidates),
        title="Effect of each change",
        axis="change of the annualised Sharpe ratio",
        marked="proposed",
        unmarked="not proposed",
    )


def candidate_bars(candidates: Sequence[Candidate]) -> list[Bar]:
    """Return the rows of `candidates_picture`."""
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
    return list(bars.values())


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
                label=f"{_shortened(one.label)}  ({counted(one.n_distinct, 'run')})",
                value=one.sharpe,
                lower=(one.sharpe or 0.0) - (margin or 0.0) if known else None,
                upper=(one.sharpe or 0.0) + (margin or 0.0) if known else None,
            )
        )
    return intervals_picture(bars, title=title, axis="annualised Sharpe ratio, ± 2 standard errors")


def intervals_picture(
    bars: Sequence[Bar], *, title: str, axis: str, marked: str = "", unmarked: str = "", reference: float | None = 0.0
) -> bytes:
    """Draw `intervals_drawing` as a PNG of at most `MAX_BYTES`; one that says so when there is nothing to draw."""
    return png(intervals_drawing(bars, title=title, axis=axis, marked=marked, unmarked=unmarked, reference=reference))


def equity_picture(
    dates: NDArray[np.datetime64], series: Mapping[str, NDArray[np.float64]], *, title: str = "Equity and drawdown"
) -> bytes:
    """Draw `equity_drawing` as a PNG of at most `MAX_BYTES`."""
    return png(equity_drawing(dates, series, title=title))


def probabilities_picture(
    reliability: Sequence[Mapping[str, float]], risk_coverage: Sequence[Mapping[str, float]]
) -> bytes:
    """Draw `probabilities_drawing` as a PNG of at most `MAX_BYTES`."""
    return png(probabilities_drawing(reliability, risk_coverage))


def modes_picture(states: Sequence[tuple[datetime, str]], *, end: datetime, title: str) -> bytes:
    """Draw the risk mode over time as a PNG of at most `MAX_BYTES`.

    Parameters
    ----------
    states
        From when on which of `MODES` held, in order of time, UTC-aware.
    end
        Until when the last one holds.
    """
    return png(
        steps_drawing(
            [_instant(moment) for moment, _ in states],
            [mode for _, mode in states],
            order=MODES,
            end=_instant(end),
            title=title,
        )
    )


def _instant(moment: datetime) -> np.datetime64:
    return np.datetime64(moment.astimezone(UTC).replace(tzinfo=None), "s")


def _shortened(text: str, most: int = MAX_LABEL // 2) -> str:
    shown = visible(text)
    return shown if len(shown) <= most else shown[: most - 1] + "…"


def png(drawing: Drawing) -> bytes:
    """Draw on a fresh figure, at the finest resolution whose PNG is small enough.

    Other libraries in the process may have changed matplotlib's defaults (seaborn does); a picture is drawn in its own.
    """
    from matplotlib import style

    with style.context("default", after_reset=True):
        return _png_in_present_style(drawing)


def _png_in_present_style(drawing: Drawing) -> bytes:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from PIL import Image  # matplotlib's own requirement

    for resolution in _RESOLUTIONS:
        figure = Figure(figsize=(WIDTH_INCHES, drawing.height), dpi=resolution, layout="constrained", facecolor="white")
        FigureCanvasAgg(figure)
        drawing.draw(figure)
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
