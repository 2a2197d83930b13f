"""Votes, models and settings as the tests of the meta-model need them, small enough to read."""

from typing import Any

import numpy as np

from meta_pipeline.meta_model.features import feature_names
from meta_pipeline.meta_model.model import MetaModel, Weights

MODELS = ("xgb", "lgbm", "nhits", "patchtst")
SPLIT = "BUY SELL HOLD BUY"

Votes = dict[str, Any]


def votes(actions: str, confidence: float | list[float] = 0.6, models: tuple[str, ...] = MODELS) -> Votes:
    """Write ballots as "BUY SELL HOLD -", where - is a model that does not vote."""
    stated = actions.split()
    levels = confidence if isinstance(confidence, list) else [confidence] * len(stated)
    return {
        model: {"action": action, "confidence": level}
        for model, action, level in zip(models, stated, levels, strict=True)
        if action != "-"
    }


def model_saying(
    sell: float, hold: float, buy: float, *, models: tuple[str, ...] = MODELS, threshold: float | None = 0.0
) -> MetaModel:
    """Make a model whose calibrated probabilities are these, whatever it is asked."""
    odds = np.array([sell, hold, buy])
    odds = np.clip(odds, 1e-15, 1 - 1e-15)
    weights = Weights(
        coefficients=np.zeros((1, 3, len(feature_names(models)))), intercepts=np.log(odds / (1 - odds))[None, :]
    )
    return MetaModel(models=models, weights=weights, threshold=threshold, sha256="c" * 64)


def random_model(
    seed: int = 0, *, members: int = 2, models: tuple[str, ...] = MODELS, threshold: float | None = 0.0
) -> MetaModel:
    """Make a model with coefficients from a seed, strong enough to be sure of many of its answers."""
    rng = np.random.default_rng(seed)
    n = len(feature_names(models))
    weights = Weights(coefficients=rng.normal(size=(members, 3, n)), intercepts=rng.normal(size=(members, 3)))
    return MetaModel(models=models, weights=weights, threshold=threshold, sha256="d" * 64)


def mirrored(model: MetaModel) -> MetaModel:
    """Swap BUY and SELL in everything a model knows; an uptrend becomes a downtrend."""
    names = feature_names(model.models)
    swap = {"sell": "buy", "buy": "sell"}
    order, signs = [], np.ones(len(names))
    for index, name in enumerate(names):
        stem, _, last = name.rpartition("_")
        if name in {"vote_buy_pct", "vote_sell_pct"}:
            order.append(names.index("vote_sell_pct" if "buy" in name else "vote_buy_pct"))
        elif last in swap:
            order.append(names.index(f"{stem}_{swap[last]}"))
        else:
            order.append(index)
        if name == "trend_strength":
            signs[index] = -1.0
    coefficients = model.weights.coefficients[:, ::-1, :][:, :, order] * signs
    weights = Weights(coefficients=coefficients, intercepts=model.weights.intercepts[:, ::-1].copy())
    return MetaModel(models=model.models, weights=weights, threshold=model.threshold, sha256=model.sha256)


def swapped(ballot: Votes) -> Votes:
    """Swap BUY and SELL in every vote."""
    other = {"BUY": "SELL", "SELL": "BUY"}
    return {model: {**vote, "action": other.get(vote["action"], vote["action"])} for model, vote in ballot.items()}


def global_generator() -> tuple[bytes, int]:
    """Read the state of numpy's global generator, which nothing here may touch."""
    state = np.random.get_state(legacy=False)["state"]  # noqa: NPY002 -- the global state is what is looked at
    return state["key"].tobytes(), state["pos"]
