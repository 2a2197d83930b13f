"""The plots of the document."""

from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from benchmarks.proposal_quality.campaigns import MIXED, NULLS, POWERS, Table
from benchmarks.proposal_quality.contestants import ALPHA, CONTESTANTS
from benchmarks.proposal_quality.scores import mean

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS: Final = {"ours": "#1b6ca8", "predecessor": "#c44e52", "Welch + BH": "#8c8c8c"}
_BINS: Final = np.linspace(0, 1, 11)
_LEAST: Final = 20  # forecasts in a bin, below which a share says nothing


def plot_rates(table: Table, path: Path) -> None:
    """Draw false alarms and power side by side, with bars of two standard errors."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(11, 3.6), layout="constrained", sharey=True, width_ratios=(3, 6))
    parts = (("Nothing has an effect: false alarms", NULLS, "alarmed"), ("One effect: proposed", POWERS, "found"))
    for axis, (title, worlds, name) in zip(axes, parts, strict=True):
        for offset, who in enumerate(CONTESTANTS):
            found = [mean(table[world][who], name) for world in worlds]
            places = [index + 0.27 * (offset - 1) for index in range(len(found))]
            errors = [2 * one.error for one in found]
            axis.bar(places, [one.value for one in found], 0.25, yerr=errors, color=COLOURS[who], label=who)
        labels = [world.replace("null, ", "").replace(", ", "\n", 1).replace("effect ", "+") for world in worlds]
        axis.set_xticks(range(len(labels)), labels, fontsize=7)
        axis.set_title(title, fontsize=10)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].axhline(ALPHA, color="black", linewidth=0.8, linestyle="--")
    axes[0].set_ylabel("share of campaigns (± 2 s.e.)", fontsize=9)
    axes[1].legend(frameon=False, fontsize=8, loc="upper left", ncols=3)
    axes[1].set_ylim(0, 1.2)
    _save(figure, path)


def plot_reliability(table: Table, path: Path) -> None:
    """Draw, where every live level has an effect, how often what was said with a probability came."""
    import matplotlib.pyplot as plt

    figure, axis = plt.subplots(figsize=(4.6, 4.2), layout="constrained")
    axis.plot([0, 1], [0, 1], color="black", linewidth=0.8, linestyle="--")
    for who in CONTESTANTS:
        pairs = np.array([pair for world in MIXED for row in table[world][who] for pair in row.pairs], dtype=float)
        if not len(pairs):
            continue
        bins = np.clip(np.digitize(pairs[:, 0], _BINS) - 1, 0, len(_BINS) - 2)
        members = [pairs[bins == index] for index in range(len(_BINS) - 1)]
        shown = np.array([inside.mean(axis=0) for inside in members if len(inside) >= _LEAST])
        if len(shown):
            axis.plot(shown[:, 0], shown[:, 1], marker="o", markersize=4, color=COLOURS[who], label=who)
    axis.set_xlabel("probability said that the realised effect is positive", fontsize=9)
    axis.set_ylabel("share that came", fontsize=9)
    axis.legend(frameon=False, fontsize=8, loc="upper left")
    axis.spines[["top", "right"]].set_visible(False)
    _save(figure, path)


def _save(figure: "Figure", path: Path) -> None:
    import matplotlib as mpl
    import matplotlib.pyplot as plt

    with mpl.rc_context({"svg.hashsalt": "proposal-quality"}):
        figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
