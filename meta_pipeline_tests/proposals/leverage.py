"""A campaign with a knob that only scales returns, and what the engine proposes of it."""

from collections.abc import Mapping
from functools import cache

import numpy as np

from meta_pipeline.canonical import JsonValue
from meta_pipeline.evidence.panel import RunPanel
from meta_pipeline.proposals.candidate import Candidate, Proposed
from meta_pipeline.proposals.knobs import Knob, RiskDirection
from meta_pipeline.proposals.parameters import Parameters
from meta_pipeline.proposals.propose import propose
from meta_pipeline_tests.evidence.worlds import panel_of

N_DAYS = 1_000
KNOBS = (
    Knob(path="target", knob_type="float", risk_direction=RiskDirection.HIGHER_IS_RISKIER),
    Knob(path="lookback", knob_type="int"),
)
LIVE: Mapping[str, JsonValue] = {"target": 2.0, "lookback": 1}
LABELS = {"": np.where(np.arange(N_DAYS) % 500 < 350, "CALM", "CRISIS")}


@cache
def levered() -> RunPanel:
    """Four markets; returns are the target times those of the lookback, which differ a little."""
    columns, configs, blocks = [], [], []
    for market in range(4):
        common = np.random.default_rng(market).standard_t(5, N_DAYS) / np.sqrt(5 / 3)
        for lookback in (1, 2):
            own = np.random.default_rng([market, lookback]).standard_normal(N_DAYS)
            for target in (0.5, 1.0, 2.0):
                columns.append(target * (0.012 * (np.sqrt(0.9) * common + np.sqrt(0.1) * own) + 0.0003))
                configs.append({"target": target, "lookback": lookback})
                blocks.append(f"m{market}|2010-01-04..2013-11-01|c")
    return panel_of(np.column_stack(columns), configs, blocks=blocks, markets=[name[:2] for name in blocks])


@cache
def judged(*, high_volatility: float = 0.30) -> Proposed:
    parameters = Parameters(bootstrap_draws=199, high_volatility=high_volatility)
    return propose(levered(), knobs=KNOBS, live=LIVE, parameters=parameters, regimes=LABELS)


def proposed(*, high_volatility: float = 0.30) -> Candidate:
    """Return the proposal to lower the target: by its volatility, or by its drawdown where none is too volatile."""
    return next(one for one in judged(high_volatility=high_volatility).proposals if one.knob == "target")
