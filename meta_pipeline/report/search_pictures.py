"""Pictures of a search: rungs and promotions, parallel coordinates, importance, in sample against out of sample.

Belongs here: what each picture shows. How a picture becomes a small PNG is `pictures`.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from meta_pipeline.counted import counted
from meta_pipeline.hyperband.ledger import End, Entry
from meta_pipeline.hyperband.results import SearchResult
from meta_pipeline.hyperband.slots import LIVE
from meta_pipeline.report.drawings import BLUE, GREY, GRID, INK, VERMILION, Drawing, drawable
from meta_pipeline.report.pictures import png

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Floats = NDArray[np.float64]
_SHOWN_PARAMETERS: Final = 8
_MOST_LINES: Final = 200


def rungs_picture(result: SearchResult) -> bytes:
    """Draw each configuration's values along its rungs: promoted ones go on, the others end; the best is marked.

    Returns
    -------
    bytes
        A PNG of at most `pictures.MAX_BYTES`.
    """
    entries = _scored(result)
    best = result.top[0].entry.slot if result.top else None

    def draw(figure: "Figure") -> None:
        axes = figure.subplots()
        _title(axes, f"Rungs and promotions of {counted(len(entries), 'configuration')}")
        for entry in entries:
            points = [(r, rung.value) for r, rung in sorted(entry.rungs.items()) if np.isfinite(rung.value)]
            if not points:
                continue
            is_best = entry.slot == best
            colour = VERMILION if is_best else BLUE if entry.end is End.COMPLETE else GREY
            across, up = zip(*points, strict=True)
            width, size, clear, above = (1.8, 8, 1.0, 3) if is_best else (0.8, 3, 0.6, 2)
            axes.plot(across, up, color=colour, marker="o", ms=size, linewidth=width, alpha=clear, zorder=above)
        if result.live is not None and np.isfinite(result.live.value):
            axes.axhline(result.live.value, color="black", linewidth=0.8, linestyle=":")
        axes.set_xscale("log", base=result.settings.eta)
        rungs = sorted({r for entry in entries for r in entry.rungs})
        axes.set_xticks(rungs, [str(r) for r in rungs])
        axes.minorticks_off()
        _label(axes.set_xlabel, "units of the resource (orange: the best; blue: had all; dotted: live)")
        _label(axes.set_ylabel, "value")
        axes.grid(color=GRID, linewidth=0.7)

    return png(Drawing(draw=draw, height=3.4))


def coordinates_picture(result: SearchResult) -> bytes:
    """Draw the configurations across the parameters that matter most, coloured by their value at their last rung.

    Returns
    -------
    bytes
        A PNG of at most `pictures.MAX_BYTES`.
    """
    entries = sorted(_scored(result), key=_last_value)[-_MOST_LINES:]
    names = [name for name, _ in importance(result)[:_SHOWN_PARAMETERS]]
    columns = _columns(entries, names)

    def draw(figure: "Figure") -> None:
        axes = figure.subplots()
        _title(axes, f"Parameters of {counted(len(entries), 'configuration')} (orange: the best quarter)")
        for number, row in enumerate(columns):
            good = number >= 0.75 * len(columns)
            axes.plot(
                row, range(len(names)), color=VERMILION if good else GREY, alpha=0.8 if good else 0.3, linewidth=0.9
            )
        axes.set_yticks(range(len(names)), [name.replace("_", " ") for name in names], fontsize=8)
        axes.set_xticks([0, 1], ["lowest choice", "highest choice"])
        axes.grid(axis="y", color=GRID, linewidth=0.7)

    return png(Drawing(draw=draw, height=3.2))


def importance_picture(result: SearchResult) -> bytes:
    """Draw how much each parameter goes with the value.

    Returns
    -------
    bytes
        A PNG of at most `pictures.MAX_BYTES`.
    """
    ranked = importance(result)[:12][::-1]

    def draw(figure: "Figure") -> None:
        axes = figure.subplots()
        _title(axes, "Importance: rank correlation with the value, without sign")
        axes.barh(range(len(ranked)), [share for _, share in ranked], color=BLUE, height=0.6)
        axes.set_yticks(range(len(ranked)), [name.replace("_", " ") for name, _ in ranked], fontsize=8)
        axes.set_xlim(0, 1)
        axes.grid(axis="x", color=GRID, linewidth=0.7)

    return png(Drawing(draw=draw, height=3.0))


def in_and_out_picture(result: SearchResult, in_sample: Floats, out_of_sample: Floats) -> bytes:
    """Draw each configuration's Sharpe ratio on the first half of the days against that on the second.

    Parameters
    ----------
    in_sample, out_of_sample
        Shape (n_configs,), annual.

    Returns
    -------
    bytes
        A PNG of at most `pictures.MAX_BYTES`.
    """

    def draw(figure: "Figure") -> None:
        axes = figure.subplots()
        _title(
            axes,
            f"In sample against out of sample, {counted(len(in_sample), 'configuration')} of {result.settings.name}",
        )
        axes.scatter(in_sample, out_of_sample, s=12, color=BLUE, alpha=0.7)
        if len(in_sample):
            best = int(np.argmax(in_sample))
            axes.scatter(in_sample[best], out_of_sample[best], s=36, color=VERMILION, zorder=3)
        axes.axhline(0, color=GREY, linewidth=0.8)
        axes.axvline(0, color=GREY, linewidth=0.8)
        _label(axes.set_xlabel, "Sharpe ratio on the first half of the days (orange: the best there)")
        _label(axes.set_ylabel, "on the second half")
        axes.grid(color=GRID, linewidth=0.7)

    return png(Drawing(draw=draw, height=3.2))


def importance(result: SearchResult) -> list[tuple[str, float]]:
    """Rank parameters by the size of Spearman's correlation of their choice with the value at the last rung.

    Choices without an order count by the order in which they are declared, so theirs is a lower bound.
    """
    entries = _scored(result)
    names = list(result.settings.space.names)
    columns = _columns(entries, names)
    values = np.array([_last_value(entry) for entry in entries])
    found = [(name, _rank_correlation(columns[:, at], values)) for at, name in enumerate(names)]
    return sorted(found, key=lambda item: (-item[1], item[0]))


def _title(axes: "Axes", text: str) -> None:
    axes.set_title(drawable(text), loc="left", fontsize=10.5, color=INK, parse_math=False)


def _label(setter: Callable[..., object], text: str) -> None:
    setter(text, fontsize=8.5, parse_math=False)


def _rank_correlation(one: Floats, other: Floats) -> float:
    if len(one) < 3 or np.ptp(one) == 0 or np.ptp(other) == 0:
        return 0.0
    from scipy.stats import spearmanr

    return float(abs(spearmanr(one, other).statistic))


def _scored(result: SearchResult) -> list[Entry]:
    return [
        entry
        for slot, entry in sorted(result.entries.items())
        if slot != LIVE and entry.last is not None and np.isfinite(entry.last.value)
    ]


def _last_value(entry: Entry) -> float:
    assert entry.last is not None, "only configurations with a value are drawn"
    return entry.last.value


def _columns(entries: list[Entry], names: list[str]) -> Floats:
    """Return where each configuration stands in each parameter, from 0 (lowest) to 1."""
    columns = np.zeros((len(entries), len(names)))
    for at, name in enumerate(names):
        found = [entry.config[name] for entry in entries]
        numbers = all(isinstance(value, int | float) for value in found)
        order = sorted(set(found)) if numbers else sorted(set(found), key=str)
        places = {value: place / max(len(order) - 1, 1) for place, value in enumerate(order)}
        columns[:, at] = [places[value] for value in found]
    return columns
