"""The replay of the four-model strategy: what a configuration earns on days after those it was found on.

Registered by `META_PIPELINE_REPLAYS`; it plays shadow experiments and judges applied changes. Forests are trained on
the bars before the first day asked for, once, whatever the last: so two configurations meet the same days, and a later
look at an experiment finds the same returns for the days that an earlier one saw.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date, timedelta

import numpy as np
from numpy.typing import NDArray

from meta_pipeline.canonical import JsonValue
from meta_pipeline.errors import InputError
from meta_pipeline.hyperband.bars import Bars
from meta_pipeline.hyperband.forest_evaluator import ForestEvaluator
from meta_pipeline.hyperband.forest_strategy import FIXED, parameters_of
from meta_pipeline.hyperband.strategy_settings import StrategySettings


def replay(
    strategy_id: str, config: Mapping[str, JsonValue], market: str, start: date, end: date
) -> tuple[NDArray[np.datetime64], NDArray[np.float64]]:
    """Trade a configuration from `start` to `end`, by forests that saw nothing of it. See `replaying.Replay`.

    Raises
    ------
    InputError
        If the configuration is not of this strategy, or there are too few bars before `start` to train on.
    """
    parameters = parameters_of(config)
    settings = StrategySettings.from_json(dict(config[FIXED]))  # type: ignore[arg-type]  # `parameters_of` has looked
    first, after = np.datetime64(start, "s"), np.datetime64(end + timedelta(days=1), "s")
    bars = _of(replace(settings.data, symbols=(market,), until=None).bars()[0], after)
    there = int((bars.times >= first).sum()) if len(bars) else 0
    if not there:
        return np.array([], dtype="datetime64[D]"), np.array([])
    share = there / len(bars)
    if share > 0.5:
        raise InputError(
            f"{strategy_id} in {market}: {len(bars) - there} bars before {start} are too few to train for the {there} "
            f"up to {end}; give it more history"
        )
    # The training window is that of the first day, however many days follow.
    train = settings.train_bars or int(0.4 * (len(bars) - there))
    evaluator = ForestEvaluator(replace(settings, holdout_share=share, train_bars=train, n_folds=2), (bars,))
    played = evaluator.holdout(parameters)
    inside = played.times >= first
    days = played.times[inside].astype("datetime64[D]")
    unique, starts = np.unique(days, return_index=True)
    growth = np.multiply.reduceat(1.0 + played.returns[inside], starts) - 1.0 if len(starts) else np.array([])
    return unique, growth


def _of(bars: Bars, after: np.datetime64) -> Bars:
    return bars.cut(0, int((bars.times < after).sum()))
