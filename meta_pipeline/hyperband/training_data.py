"""What the forests of every configuration share: features, labels and folds of all symbols, computed once.

Belongs here: which rows train and which are voted on. Does not belong here: forests, or anything of a configuration.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from meta_pipeline.errors import InputError
from meta_pipeline.hyperband.bars import Bars
from meta_pipeline.hyperband.features import WARM_UP, features, volatility
from meta_pipeline.hyperband.forests import FEWEST_ROWS
from meta_pipeline.hyperband.labels import Labels, labels
from meta_pipeline.hyperband.strategy_settings import StrategySettings
from meta_pipeline.hyperband.strategy_space import MODELS, Model
from meta_pipeline.hyperband.walk_forward import Fold, Split, split

Floats = NDArray[np.float64]
Rows = NDArray[np.float32]

TRAIN_SHARE: Final = 0.4
"""Of the bars before the holdout, if the settings do not say how many bars train."""


@dataclass(frozen=True, kw_only=True, eq=False)
class SymbolWindow:
    """One symbol within a stretch of the timeline that is tested.

    Parameters
    ----------
    bars
        Its bars there.
    places
        Shape (n,): where its bars lie on the timeline, counted from the stretch's first.
    volatility, momentum, last_direction
        Shape (n,), see `orders.Foretold`; computed with the bars before the stretch, too.
    listed
        First and last place, counted likewise, at which the symbol has bars at all; it may lack some between.
    """

    bars: Bars
    places: NDArray[np.int64]
    volatility: Floats
    momentum: Floats
    last_direction: Floats
    listed: tuple[int, int]


@dataclass(frozen=True, kw_only=True, eq=False)
class FoldRows:
    """What one fold's forests are grown on and vote on.

    Parameters
    ----------
    train
        Shape (n_train, n_features), float32, no NaN: rows of all symbols.
    answers
        Model -> shape (n_train,). The position model learns ranks, 0 to 1, within these rows.
    usual_continues
        Mean of the profit model's answers.
    test
        Shape (n_test, n_features), no NaN.
    places
        Shape (n_test,): where the test rows stand among all rows of the window.
    """

    train: Rows
    answers: Mapping[Model, Floats]
    usual_continues: float
    test: Rows
    places: NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Window:
    """A stretch of the timeline on which strategies are compared, with the folds that vote on it.

    Parameters
    ----------
    times
        Shape (n_bars,): of the timeline.
    symbols
        In the order in which their rows stand, one symbol after the other.
    folds
        One after the other.
    fold_stops
        Shape (n_folds,): where each fold ends on the timeline, counted from the window's start.
    usual_continues
        Shape (n_rows,): of the fold that each row is tested in.
    """

    times: NDArray[np.datetime64]
    symbols: tuple[SymbolWindow, ...]
    folds: tuple[FoldRows, ...]
    fold_stops: tuple[int, ...]
    usual_continues: Floats

    @property
    def n_rows(self) -> int:
        """Rows of all symbols."""
        return len(self.usual_continues)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Series:
    """One symbol on the timeline."""

    bars: Bars
    places: NDArray[np.int64]
    rows: Rows
    complete: NDArray[np.bool_]
    labels: Labels
    label_ends: NDArray[np.int64]
    volatility: Floats
    momentum: Floats
    last_direction: Floats


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainingData:
    """The research part and the holdout.

    Parameters
    ----------
    feature_names
        Of the columns.
    periods_per_year
        Bars a year, the same for all symbols.
    split
        How the timeline was cut.
    research, holdout
        The folds' window, on which the search compares; and the one that is opened once.
    """

    feature_names: tuple[str, ...]
    periods_per_year: float
    split: Split
    research: Window
    holdout: Window


def prepare(bars: Sequence[Bars], settings: StrategySettings) -> TrainingData:
    """Compute everything that does not depend on a configuration.

    Raises
    ------
    InputError
        If symbols differ in their bars a year, or in having volumes or hours, or there are too few bars.
    """
    periods = {series.annual_periods for series in bars}
    kinds = {(series.volume is not None, series.intraday) for series in bars}
    if len(periods) != 1 or len(kinds) != 1:
        raise InputError(
            "symbols that share forests need the same spacing, and all volumes or none: "
            + "; ".join(
                f"{b.symbol} has {b.annual_periods:g} bars a year, volume: {b.volume is not None}" for b in bars
            )
        )
    timeline = np.unique(np.concatenate([series.times for series in bars]))
    cut = _cut(len(timeline), settings)
    series = [_series(one, timeline, settings) for one in bars]
    return TrainingData(
        feature_names=features(bars[0].cut(0, min(len(bars[0]), 3))).names,
        periods_per_year=periods.pop(),
        split=cut,
        research=_window(series, timeline, cut.folds, settings.embargo),
        holdout=_window(series, timeline, (cut.holdout,), settings.embargo),
    )


def _cut(n_bars: int, settings: StrategySettings) -> Split:
    holdout = max(round(settings.holdout_share * n_bars), 1)
    train = settings.train_bars
    return split(
        n_bars,
        warm_up=WARM_UP,
        n_folds=settings.n_folds,
        train_bars=max(round(TRAIN_SHARE * (n_bars - holdout)), 1) if train is None else train,
        purge=settings.horizon,
        embargo=settings.embargo,
        holdout_bars=holdout,
        anchored=settings.anchored,
    )


def _series(bars: Bars, timeline: NDArray[np.datetime64], settings: StrategySettings) -> _Series:
    computed = features(bars)
    rows = computed.values.astype(np.float32)
    places = np.searchsorted(timeline, bars.times).astype(np.int64)
    horizon = settings.horizon
    ends = np.full(len(bars), len(timeline), dtype=np.int64)
    ends[: len(bars) - horizon] = places[horizon:]
    back = np.full(len(bars), np.nan)
    back[horizon:] = np.sign(bars.close[horizon:] - bars.close[:-horizon])
    return _Series(
        bars=bars,
        places=places,
        rows=rows,
        complete=np.asarray(np.isfinite(rows).all(axis=1)),
        labels=labels(bars, horizon=horizon, barrier=settings.barrier, round_trip_cost=settings.round_trip_cost),
        label_ends=ends,
        volatility=volatility(bars),
        momentum=computed.column("momentum_strength"),
        last_direction=back,
    )


def _window(series: Sequence[_Series], timeline: NDArray[np.datetime64], folds: Sequence[Fold], embargo: int) -> Window:
    start, stop = folds[0].test_start, folds[-1].test_stop
    symbols, offsets, at = [], [], 0
    for one in series:
        inside = slice(*np.searchsorted(one.places, [start, stop]).tolist())
        offsets.append(at - inside.start)
        at += inside.stop - inside.start
        symbols.append(_symbol_window(one, inside, start, stop))
    usual = np.full(at, np.nan)
    filled = [_fold_rows(series, offsets, fold, embargo) for fold in folds]
    for rows in filled:
        usual[rows.places] = rows.usual_continues
    return Window(
        times=timeline[start:stop],
        symbols=tuple(symbols),
        folds=tuple(filled),
        fold_stops=tuple(fold.test_stop - start for fold in folds),
        usual_continues=usual,
    )


def _symbol_window(one: _Series, inside: slice, start: int, stop: int) -> SymbolWindow:
    if inside.stop - inside.start < 3:
        raise InputError(
            f"{one.bars.symbol} has {inside.stop - inside.start} bars where strategies are tested; leave it out"
        )
    return SymbolWindow(
        bars=one.bars.cut(inside.start, inside.stop),
        places=one.places[inside] - start,
        volatility=one.volatility[inside],
        momentum=one.momentum[inside],
        last_direction=one.last_direction[inside],
        listed=(max(int(one.places[0]) - start, 0), min(int(one.places[-1]), stop - 1) - start),
    )


def _fold_rows(series: Sequence[_Series], offsets: Sequence[int], fold: Fold, embargo: int) -> FoldRows:
    train, test, places = [], [], []
    answers: dict[Model, list[Floats]] = {model: [] for model in MODELS}
    for one, offset in zip(series, offsets, strict=True):
        labelled = {model: getattr(one.labels, model) for model in MODELS}
        # Symbols may lack bars: what counts is where a row's label ends on the timeline.
        learns = (one.places >= fold.train_start) & (one.label_ends < fold.test_start - embargo)
        learns &= one.complete & np.all([np.isfinite(values) for values in labelled.values()], axis=0)
        votes = np.flatnonzero((one.places >= fold.test_start) & (one.places < fold.test_stop) & one.complete)
        train.append(one.rows[learns])
        test.append(one.rows[votes])
        places.append(votes + offset)
        for model in MODELS:
            answers[model].append(labelled[model][learns])
    joined = {model: np.concatenate(answers[model]) for model in MODELS}
    if len(joined["entry"]) < FEWEST_ROWS:
        raise InputError(
            f"{len(joined['entry'])} complete rows to train a fold on, of {FEWEST_ROWS} needed: give more bars"
        )
    joined["position"] = _ranks(joined["position"])
    return FoldRows(
        train=np.ascontiguousarray(np.concatenate(train)),
        answers=joined,
        usual_continues=float(joined["profit"].mean()),
        test=np.ascontiguousarray(np.concatenate(test)),
        places=np.concatenate(places),
    )


def _ranks(values: Floats) -> Floats:
    from scipy.stats import rankdata

    return np.asarray((rankdata(values) - 0.5) / len(values))
