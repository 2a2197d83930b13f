"""Panels small enough to read, and what the engine might say about them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from meta_pipeline.canonical import JsonValue
from meta_pipeline.evidence.panel import RunPanel
from meta_pipeline.proposals.candidate import Proposed
from meta_pipeline.proposals.knobs import Knob

KNOBS = (Knob(path="lookback", knob_type="int"), Knob(path="risk.vol", knob_type="float", optional=True))
LIVE: Mapping[str, JsonValue] = {"lookback": 20, "risk": {"vol": 0.1}}
DAYS = 500
EVIDENCE = "e" * 64


def series(sharpe: float, volatility: float = 0.15, *, seed: int = 0, days: int = DAYS) -> NDArray[np.float64]:
    """Return daily returns with exactly this annualised Sharpe ratio and volatility (252 days, ddof 1)."""
    noise = np.random.default_rng(seed).normal(size=days)
    z = (noise - noise.mean()) / noise.std(ddof=1)
    daily: NDArray[np.float64] = (z + sharpe / np.sqrt(252)) * volatility / np.sqrt(252)
    return daily


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run of a test panel; `start` is the day on which its returns begin."""

    config: Mapping[str, JsonValue]
    returns: NDArray[np.float64] | None = None
    market: str = "SPX"
    block: str = ""
    start: int = 0
    periods: float = 252.0
    reported: Mapping[str, float | None] = field(default_factory=dict)


def run(lookback: object = 20, *, vol: object = 0.1, **options: object) -> Run:
    """Return a run with both declared knobs, and an undeclared key that differs from run to run."""
    sharpe, volatility = float(options.pop("sharpe", 1.0)), float(options.pop("volatility", 0.15))  # type: ignore[arg-type]
    seed, days = int(options.pop("seed", 0)), int(options.pop("days", DAYS))  # type: ignore[call-overload]
    options.setdefault("returns", series(sharpe, volatility, seed=seed, days=days))
    config: dict[str, JsonValue] = {"lookback": lookback, "risk": {"vol": vol}, "run_number": seed}  # type: ignore[dict-item]
    return Run(config=config, **options)  # type: ignore[arg-type]


def panel(runs: Sequence[Run], *, days: int = DAYS) -> RunPanel:
    """Align runs on one calendar of weekdays."""
    returns = np.full((days, len(runs)), np.nan, order="F")
    for column, one in enumerate(runs):
        if one.returns is not None:
            returns[one.start : one.start + len(one.returns), column] = one.returns
    dates = np.busday_offset(np.datetime64("2010-01-04", "D"), np.arange(days)).astype("datetime64[s]")
    return RunPanel(
        run_ids=tuple(f"run-{i}" for i in range(len(runs))),
        configs=tuple(one.config for one in runs),
        blocks=tuple(one.block or one.market for one in runs),
        markets=tuple(one.market for one in runs),
        dates=dates,
        returns=returns,
        periods_per_year=np.array([np.nan if one.returns is None else one.periods for one in runs]),
        reported=tuple(one.reported for one in runs),
    )


def nothing_proposed(**changes: object) -> Proposed:
    """Return an answer of the engine without candidates."""
    return Proposed(**({"proposals": (), "suppressed": (), "evidence_digest": EVIDENCE} | changes))  # type: ignore[arg-type]
