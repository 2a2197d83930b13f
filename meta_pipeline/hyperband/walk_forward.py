"""Which bars train and which test, in the order of time, and the bars at the end that nobody looks at.

Belongs here: folds, purge, embargo, holdout, as bar numbers. Does not belong here: what is trained.
"""

from dataclasses import dataclass

from meta_pipeline.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Fold:
    """One window: training bars [train_start, train_stop), test bars [test_start, test_stop)."""

    train_start: int
    train_stop: int
    test_start: int
    test_stop: int


@dataclass(frozen=True, kw_only=True)
class Split:
    """How a timeline is cut.

    Parameters
    ----------
    folds
        Of the research part: their tests follow each other without gap or overlap.
    holdout
        The last bars, tested once, with a training window that ends before them.
    """

    folds: tuple[Fold, ...]
    holdout: Fold

    @property
    def test_start(self) -> int:
        """First bar of the first test."""
        return self.folds[0].test_start

    @property
    def test_stop(self) -> int:
        """Bar after the last of the last test."""
        return self.folds[-1].test_stop


def split(
    n_bars: int,
    *,
    warm_up: int,
    n_folds: int,
    train_bars: int,
    purge: int,
    embargo: int,
    holdout_bars: int,
    anchored: bool = False,
) -> Split:
    """Cut a timeline into folds and a holdout.

    Parameters
    ----------
    n_bars
        Of the whole timeline.
    warm_up
        First bars, without complete features: never trained on.
    n_folds
        At least 2; the test bars are shared among them, the first ones get one more where they do not divide.
    train_bars
        Bars before each test that train, purge and embargo not counted.
    purge
        Bars between training and test whose labels reach into the test: at least the labels' horizon.
    embargo
        Further bars left out there, and between the last research test and the holdout.
    holdout_bars
        Bars at the end that no fold touches.
    anchored
        Whether training always begins after the warm-up, and grows; else it rolls.

    Raises
    ------
    InputError
        If a number is out of range, or the timeline is too short for it.
    """
    lengths = {"warm_up": warm_up, "purge": purge, "embargo": embargo}
    for name, value in lengths.items():
        if value < 0:
            raise InputError(f"{name} is {value}; it is a number of bars, not negative")
    if n_folds < 2 or train_bars < 1 or holdout_bars < 1:
        raise InputError(
            f"give 2 folds or more, and 1 bar or more to train on and to hold out, not {n_folds}, {train_bars}, "
            f"{holdout_bars}"
        )
    gap = purge + embargo
    start = warm_up + train_bars + gap
    stop = n_bars - holdout_bars - embargo
    if stop - start < n_folds:
        raise InputError(
            f"{n_bars} bars are too few: {start} go to warm-up, training and purge, {holdout_bars + embargo} to "
            f"holdout and embargo, which leaves {stop - start} for {n_folds} tests; give more bars or train on fewer"
        )
    share, more = divmod(stop - start, n_folds)
    folds, at = [], start
    for number in range(n_folds):
        end = at + share + (number < more)
        folds.append(_fold(at, end, gap, train_bars, warm_up, anchored))
        at = end
    return Split(
        folds=tuple(folds),
        holdout=_fold(n_bars - holdout_bars, n_bars, gap, train_bars, warm_up, anchored),
    )


def _fold(start: int, stop: int, gap: int, train_bars: int, warm_up: int, anchored: bool) -> Fold:
    train_stop = start - gap
    return Fold(
        train_start=warm_up if anchored else train_stop - train_bars,
        train_stop=train_stop,
        test_start=start,
        test_stop=stop,
    )
