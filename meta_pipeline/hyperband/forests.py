"""Forests in independent pieces: a piece is fitted, votes on the test bars, and is thrown away.

Belongs here: the engines, and one piece of a forest. Does not belong here: which bars (walk_forward), or how the votes
of pieces add up (vote_sums).

The engine is chosen by what is installed, and named in the evaluator's fingerprint: scikit-learn-intelex's random
forest, else scikit-learn's extremely randomised trees, which cost the same and differ in how they choose thresholds;
scikit-learn's random forest on request, an order of magnitude dearer. All run on one thread: prediction on several is
not stable to the last bit, and workers are processes.
"""

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any, Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from meta_pipeline.errors import InputError

Kind = Literal["classifier", "regressor"]
EngineName: TypeAlias = Literal["intelex", "extra_trees", "random_forest"]
Votes = NDArray[np.float32]

ENGINES: Final[tuple[EngineName, ...]] = ("intelex", "extra_trees", "random_forest")
BINS: Final = 64
"""Bins of a feature in intelex: half the time of its 256, and the noise of returns is far wider than a bin."""
FEWEST_ROWS: Final = 50


@dataclass(frozen=True, kw_only=True)
class TreeShape:
    """How the trees of a forest grow.

    Parameters
    ----------
    max_depth, min_samples_split, min_samples_leaf
        As in scikit-learn.
    max_features
        "sqrt", "log2" or a share of the features that each split may look at.
    sample_share
        Share of the rows each tree draws, with replacement. Labels of neighbouring bars overlap, so that rows say
        less than their number (Lopez de Prado 2018, chapter 4: draw as many as are unique).
    """

    max_depth: int
    min_samples_split: int
    min_samples_leaf: int
    max_features: str | float
    sample_share: float


@dataclass(frozen=True, kw_only=True)
class Engine:
    """Which library grows the trees.

    Parameters
    ----------
    name
        One of `ENGINES`.
    versions
        Of the libraries that the result depends on.
    """

    name: EngineName
    versions: tuple[str, ...]


def engine(name: str = "auto") -> Engine:
    """Choose an engine: by name, or "auto" for the fastest that is installed.

    Raises
    ------
    InputError
        If the engine is unknown or not installed.
    """
    chosen: str = ("intelex" if find_spec("sklearnex") else "extra_trees") if name == "auto" else name
    if chosen not in ENGINES:
        raise InputError(f"engine {name!r} is not known; there are auto, {', '.join(ENGINES)}")
    packages = ("scikit-learn-intelex", "scikit-learn") if chosen == "intelex" else ("scikit-learn",)
    missing = [package for package in packages if not find_spec(_MODULES[package])]
    if missing:
        raise InputError(
            f"engine {chosen!r} needs {' and '.join(missing)}; install it with: pip install "
            f"'meta-pipeline[{'search,intel' if chosen == 'intelex' else 'search'}]'"
        )
    return Engine(name=chosen, versions=tuple(f"{package} {version(package)}" for package in packages))


def votes_of_piece(
    chosen: Engine,
    kind: Kind,
    shape: TreeShape,
    n_trees: int,
    seed: int,
    train: NDArray[np.float32],
    answers: NDArray[np.float64],
    test: NDArray[np.float32],
) -> Votes:
    """Grow a piece of a forest and sum its trees' votes on the test rows.

    Parameters
    ----------
    n_trees
        At least 1.
    seed
        0 to 2^31 - 1.
    train, answers
        Shapes (n_train, n_features) and (n_train,), no NaN; for a classifier the answers are 0 and 1.
    test
        Shape (n_test, n_features), no NaN.

    Returns
    -------
    Shape (n_test,), float32: the sum over trees of the probability of 1, or of the value.

    Raises
    ------
    InputError
        If there are fewer than 50 rows to train on.
    """
    if len(train) < FEWEST_ROWS:
        raise InputError(f"{len(train)} rows to train on; a forest needs at least {FEWEST_ROWS}: train on more bars")
    if not len(test):
        return np.zeros(0, dtype=np.float32)
    if answers.min() == answers.max():
        return np.full(len(test), n_trees * answers[0], dtype=np.float32)
    options = _options(chosen, shape, n_trees, seed, len(train))
    forest = _classes(chosen.name)[0 if kind == "classifier" else 1](**options)
    if kind == "classifier":
        forest.fit(train, answers.astype(np.int64))
        mean = forest.predict_proba(test)[:, 1]
    else:
        forest.fit(train, answers)
        mean = forest.predict(test)
    return np.asarray(mean.reshape(-1) * n_trees, dtype=np.float32)


def piece_seed(*parts: object) -> int:
    """Hash what names a piece (root seed, model, its parameters, fold, unit) to a seed of 31 bits."""
    text = "\x1f".join(repr(part) for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=4).digest()) & 0x7FFF_FFFF


_MODULES: Final = {"scikit-learn": "sklearn", "scikit-learn-intelex": "sklearnex"}


def _options(chosen: Engine, shape: TreeShape, n_trees: int, seed: int, n_rows: int) -> dict[str, Any]:
    options: dict[str, Any] = {
        "n_estimators": n_trees,
        "max_depth": shape.max_depth,
        "min_samples_split": shape.min_samples_split,
        "min_samples_leaf": shape.min_samples_leaf,
        "max_features": shape.max_features,
        "bootstrap": True,
        "max_samples": max(shape.sample_share, 1.0 / n_rows) if shape.sample_share < 1.0 else None,
        "random_state": seed,
        "n_jobs": 1,
    }
    return options | {"max_bins": BINS} if chosen.name == "intelex" else options


@cache
def _classes(name: EngineName) -> tuple[Any, Any]:
    if name == "intelex":
        from sklearnex.ensemble import RandomForestClassifier, RandomForestRegressor

        return RandomForestClassifier, RandomForestRegressor
    from sklearn import ensemble

    if name == "extra_trees":
        return ensemble.ExtraTreesClassifier, ensemble.ExtraTreesRegressor
    return ensemble.RandomForestClassifier, ensemble.RandomForestRegressor
