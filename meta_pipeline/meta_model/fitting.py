"""Fitting: scaler, multinomial regression and Platt calibration by scikit-learn, folded into one matrix.

The only module that needs scikit-learn (the extra `model`), imported when something is fitted.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from meta_pipeline.errors import InputError, InsufficientData
from meta_pipeline.meta_model.actions import ACTIONS
from meta_pipeline.meta_model.model import N_CLASSES, Weights
from meta_pipeline.meta_model.walk_forward import Fold, Instants, Rows, cut_points, known_before

if TYPE_CHECKING:
    from sklearn.calibration import CalibratedClassifierCV

MEMBER_CUTS: Final = (0.5, 0.75)
"""Where a member stops fitting and starts to be calibrated, as fractions of the rows: the first fits on one half and
is calibrated on the third quarter, the second fits on three quarters and is calibrated on the last."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Fitted:
    """An ensemble of members, each calibrated on rows later than those it was fitted on.

    Parameters
    ----------
    weights
        The members, folded.
    members
        The same as scikit-learn's estimators, in order.
    windows
        Per member, the rows it was fitted on and the later rows it was calibrated on.
    """

    weights: Weights
    members: "tuple[CalibratedClassifierCV, ...]"
    windows: tuple[Fold, ...]


def calibration_windows(
    starts: Instants, ends: Instants, rows: Rows, *, embargo: int, cuts: tuple[float, ...] = MEMBER_CUTS
) -> list[Fold]:
    """Divide rows into what each member is fitted on and the later window it is calibrated on, purged in between."""
    begun, known = starts[rows], ends[rows]
    instants = cut_points(begun, list(cuts))
    windows = []
    for first, after in zip(instants, [*instants[1:], int(begun[-1]) + 1], strict=True):
        fit = rows[known_before(begun, known, first, embargo)]
        calibrate = rows[(begun >= first) & (begun < after)]
        windows.append(Fold(fit, calibrate))
    return windows


def fit(
    features: NDArray[np.float32],
    labels: NDArray[np.int8],
    weights: NDArray[np.float64],
    windows: list[Fold],
    *,
    inverse_penalty: float,
    seed: int,
) -> Fitted:
    """Fit one member per window.

    Parameters
    ----------
    features
        Shape (n, n_features).
    labels, weights
        Shape (n,): class codes and sample weights.
    windows
        Of `calibration_windows`.
    inverse_penalty
        C of the regression: one over the strength of its L2 penalty.
    seed
        Of the regression's solver (lbfgs does not draw, but says what it was given).

    Raises
    ------
    InsufficientData
        If a window lacks one of the three actions, or has too few rows.
    InputError
        If scikit-learn is not installed.
    """
    members = []
    for number, (train, later) in enumerate(windows, start=1):
        _check_window(labels, train, later, number)
        members.append(
            _fit_member(
                features[train], labels[train], weights[train], features[later], labels[later], weights[later],
                inverse_penalty, seed,
            )
        )  # fmt: skip
    folded = [fold(member) for member in members]
    return Fitted(
        weights=Weights(
            coefficients=np.stack([coefficients for coefficients, _ in folded]),
            intercepts=np.stack([intercepts for _, intercepts in folded]),
        ),
        members=tuple(members),
        windows=tuple(windows),
    )


def fold(calibrated: "CalibratedClassifierCV") -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Fold scaler, regression and sigmoids into coefficients, shape (3, n_features), and intercepts, shape (3,).

    With z = (x - mean) / scale, f = B z + c and p = 1 / (1 + exp(a f + b)), the log-odds of p are linear in x:
    -a B / scale . x + a B mean / scale - a c - b.
    """
    (inner,) = calibrated.calibrated_classifiers_
    scaler, regression = (step for _, step in inner.estimator.steps)
    slope = np.array([calibrator.a_ for calibrator in inner.calibrators])
    offset = np.array([calibrator.b_ for calibrator in inner.calibrators])
    per_unit = regression.coef_ / scaler.scale_
    intercepts = regression.intercept_ - per_unit @ scaler.mean_
    return -slope[:, None] * per_unit, -slope * intercepts - offset


@contextmanager
def one_thread() -> Iterator[None]:
    """Let linear algebra use one thread: on small matrices more only wait for each other, at four times the cost.

    Raises
    ------
    InputError
        If scikit-learn, which brings the switch, is not installed.
    """
    try:
        from threadpoolctl import threadpool_limits
    except ImportError as error:
        raise InputError(
            "training needs scikit-learn, which is not installed; install it with: pip install 'meta-pipeline[model]'"
        ) from error
    with threadpool_limits(limits=1):
        yield


def _check_window(labels: NDArray[np.int8], train: Rows, later: Rows, number: int) -> None:
    for what, rows in (("fitted", train), ("calibrated", later)):
        counts = np.bincount(labels[rows], minlength=N_CLASSES)
        missing = [action for action, count in zip(ACTIONS, counts, strict=True) if count < 2]
        if missing:
            raise InsufficientData(
                f"member {number} would be {what} on {len(rows)} decisions, of which fewer than two are labelled "
                f"{' or '.join(missing)}; collect more outcomes"
            )


def _fit_member(
    features: NDArray[np.float32],
    labels: NDArray[np.int8],
    weights: NDArray[np.float64],
    later_features: NDArray[np.float32],
    later_labels: NDArray[np.int8],
    later_weights: NDArray[np.float64],
    inverse_penalty: float,
    seed: int,
) -> "CalibratedClassifierCV":
    sklearn = _scikit_learn()
    # The scaler is inside, so that it sees the rows of its own window only.
    pipeline = sklearn.Pipeline(
        [
            ("scale", sklearn.StandardScaler()),
            (
                "regression",
                sklearn.LogisticRegression(
                    C=inverse_penalty, class_weight="balanced", solver="lbfgs", max_iter=1000, random_state=seed
                ),
            ),
        ]
    )
    pipeline.fit(features.astype(np.float64), labels, scale__sample_weight=weights, regression__sample_weight=weights)
    everything = np.arange(len(later_labels))
    # One "split" that predicts each later row once, as the pipeline is frozen and must not be refitted on them.
    calibrated: CalibratedClassifierCV = sklearn.CalibratedClassifierCV(
        sklearn.FrozenEstimator(pipeline), method="sigmoid", cv=[(everything, everything)], ensemble=False
    )
    with warnings.catch_warnings():
        # It warns that a frozen estimator is not refitted with these weights, which is what frozen means.
        warnings.filterwarnings("ignore", message="Since FrozenEstimator does not appear to accept sample_weight")
        calibrated.fit(later_features.astype(np.float64), later_labels, sample_weight=later_weights)
    return calibrated


def _scikit_learn() -> Any:
    try:
        from types import SimpleNamespace

        from sklearn.calibration import CalibratedClassifierCV
        from sklearn.frozen import FrozenEstimator
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import Pipeline
        from sklearn.preprocessing import StandardScaler
    except ImportError as error:
        raise InputError(
            "training needs scikit-learn, which is not installed; install it with: pip install 'meta-pipeline[model]'"
        ) from error
    return SimpleNamespace(
        CalibratedClassifierCV=CalibratedClassifierCV,
        FrozenEstimator=FrozenEstimator,
        LogisticRegression=LogisticRegression,
        Pipeline=Pipeline,
        StandardScaler=StandardScaler,
    )
