"""The artifact: a model as JSON, addressed by the sha256 of its bytes, checked whole when it is read.

No pickle: a file that is not this JSON is refused without being run.
"""

import json
from hashlib import sha256
from itertools import product
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from meta_pipeline.canonical import JsonValue, canonical_json
from meta_pipeline.errors import ArtifactBroken
from meta_pipeline.meta_model.actions import ACTIONS
from meta_pipeline.meta_model.batch import argmax_of
from meta_pipeline.meta_model.features import feature_names
from meta_pipeline.meta_model.model import MetaModel, Weights
from meta_pipeline.meta_model.vote_table import VoteTable

FORMAT: Final = "meta_pipeline.meta_model"
FORMAT_VERSION: Final = 1
CANARY_TOLERANCE: Final = 1e-9
"""Largest difference between a canary's stored probability and the one computed here: another machine's linear
algebra may differ in the last bits, other coefficients differ by far more."""

N_CANARIES: Final = 24
CONFIDENCE_GRID: Final = (0.3, 0.5, 0.7, 0.9)
REGIME_GRID: Final = tuple(product((0.2, 0.5, 0.8), (-0.6, 0.0, 0.6)))

_REQUIRED: Final = ("format", "format_version", "schema", "weights", "symbols", "threshold", "canary", "metadata")


def write_artifact(model: MetaModel) -> bytes:
    """Return a model as the bytes of its artifact. `model.sha256` does not take part: the bytes make it."""
    return canonical_json(
        {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "schema": {
                "models": list(model.models),
                "feature_names": list(feature_names(model.models)),
                "classes": list(ACTIONS),
                "sha256": model.schema_sha256,
            },
            "weights": _weights_as_json(model.weights),
            "symbols": {name: _weights_as_json(weights) for name, weights in model.symbols.items()},
            "threshold": model.threshold,
            "canary": _canary_as_json(model),
            "metadata": model.metadata,
        }
    ).encode()


def address(content: bytes) -> str:
    """Return where bytes are kept: their sha256."""
    return sha256(content).hexdigest()


def read_artifact(content: bytes, *, expected: str | None = None, for_use: bool = True) -> MetaModel:
    """Read and check an artifact.

    Parameters
    ----------
    content
        The bytes.
    expected
        The address they were asked for by; None: take them as they are.
    for_use
        Whether the model is to decide. One that gives a single action to every ballot is refused then; to look at
        it (as a candidate that failed the gate) it may be read.

    Raises
    ------
    ArtifactBroken
        If the bytes are not those of the address, not a whole artifact of this format, name other features or classes
        than they should, or compute other probabilities for the stored canaries. The message says which.
    """
    found = address(content)
    if expected is not None and found != expected:
        raise ArtifactBroken(f"the artifact {expected} has the sha256 {found}: it was changed or cut; restore the file")
    document = _document(content)
    try:
        model = _model(document, found)
        _check_canary(model, document["canary"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ArtifactBroken(f"the artifact {found} cannot be used: {error!r}; train the model again") from error
    if for_use:
        _check_diversity(model)
    return model


def argmax_shares(model: MetaModel, symbol: str | None = None) -> dict[str, float]:
    """Return how often each action is the most probable one, over every ballot of a grid.

    The grid holds all votes of three actions, four confidences and nine regimes (for more than six base models a
    part of the votes). Equal leads count as HOLD.
    """
    features = _grid(model.models)
    symbols = None if symbol is None else [symbol] * len(features)
    choice = argmax_of(model.probabilities_of(features, symbols))
    counts = np.bincount(np.where(choice < 0, 1, choice), minlength=len(ACTIONS))
    return {action: float(count) / len(choice) for action, count in zip(ACTIONS, counts, strict=True)}


def _grid(models: tuple[str, ...]) -> NDArray[np.float32]:
    ballots = np.array(list(product((0, 1, 2), repeat=min(len(models), 6))), dtype=np.int8)
    # Beyond six base models the ballots repeat their first six votes: 3 ** 7 of them would be too many.
    ballots = ballots[:, np.arange(len(models)) % ballots.shape[1]]
    n = len(ballots)
    cells = list(product(CONFIDENCE_GRID, REGIME_GRID))
    return VoteTable(
        models=models,
        actions=np.tile(ballots, (len(cells), 1)),
        confidences=np.repeat([confidence for confidence, _ in cells], n)[:, None] * np.ones(len(models)),
        volatility=np.repeat([volatility for _, (volatility, _) in cells], n),
        trend_strength=np.repeat([trend for _, (_, trend) in cells], n),
    ).features()


def _weights_as_json(weights: Weights) -> dict[str, JsonValue]:
    return {"coefficients": weights.coefficients.tolist(), "intercepts": weights.intercepts.tolist()}


def _weights(value: Any) -> Weights:
    return Weights(
        coefficients=np.array(value["coefficients"], dtype=np.float64),
        intercepts=np.array(value["intercepts"], dtype=np.float64),
    )


def _canary_as_json(model: MetaModel) -> dict[str, JsonValue]:
    # Drawn by a generator of its own: numpy's global one is nobody's to reseed.
    rng = np.random.default_rng(0)
    n, n_models = N_CANARIES, len(model.models)
    features = VoteTable(
        models=model.models,
        actions=rng.integers(-1, 3, size=(n, n_models)).astype(np.int8),
        confidences=rng.uniform(size=(n, n_models)),
        volatility=rng.uniform(size=n),
        trend_strength=rng.uniform(-1, 1, size=n),
    ).features()
    outputs: dict[str, JsonValue] = {"*": model.probabilities_of(features).tolist()}
    for symbol in model.symbols:
        outputs[symbol] = model.probabilities_of(features, [symbol] * n).tolist()
    return {"inputs": features.astype(np.float64).tolist(), "outputs": outputs}


def _document(content: bytes) -> dict[str, Any]:
    try:
        document = json.loads(content)
    except ValueError as error:
        raise ArtifactBroken(
            "the file is not JSON, so it is no artifact of this project (pickles are never loaded); "
            "train the model again"
        ) from error
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise ArtifactBroken(f"the file does not say that its format is {FORMAT}; it is no meta-model")
    missing = [key for key in _REQUIRED if key not in document]
    if missing:
        raise ArtifactBroken(f"the artifact lacks {', '.join(missing)}; it is not whole, restore or train it again")
    if document["format_version"] != FORMAT_VERSION:
        raise ArtifactBroken(
            f"the artifact has format version {document['format_version']!r}, this release reads {FORMAT_VERSION}"
        )
    return document


def _model(document: dict[str, Any], found: str) -> MetaModel:
    schema, metadata = document["schema"], document["metadata"]
    models = tuple(schema["models"])
    if tuple(schema["feature_names"]) != feature_names(models):
        raise ValueError(f"its features {schema['feature_names']} are not those of base models {models}, in order")
    if tuple(schema["classes"]) != ACTIONS:
        raise ValueError(f"its classes are {schema['classes']}, expected {list(ACTIONS)}")
    if "data_kind" not in metadata:
        raise ValueError("its metadata does not say on what kind of data it was trained")
    model = MetaModel(
        models=models,
        weights=_weights(document["weights"]),
        symbols={name: _weights(value) for name, value in document["symbols"].items()},
        threshold=document["threshold"],
        sha256=found,
        metadata=metadata,
    )
    if schema["sha256"] != model.schema_sha256:
        raise ValueError(f"its schema has the sha256 {model.schema_sha256}, but says {schema['sha256']}")
    return model


def _check_canary(model: MetaModel, canary: Any) -> None:
    inputs = np.array(canary["inputs"], dtype=np.float32)
    if len(inputs) == 0:
        raise ValueError("it has no canary inputs")
    if set(canary["outputs"]) != {"*", *model.symbols}:
        raise ValueError(f"it has canaries for {sorted(canary['outputs'])}, expected one for each set of weights")
    for symbol, outputs in canary["outputs"].items():
        symbols = None if symbol == "*" else [symbol] * len(inputs)
        difference = np.abs(model.probabilities_of(inputs, symbols) - np.array(outputs)).max()
        # Written so that NaN, which no comparison accepts, fails too.
        if not difference <= CANARY_TOLERANCE:
            raise ValueError(f"its canaries for {symbol!r} differ by {difference:.3g}: the coefficients are not those")


def _check_diversity(model: MetaModel) -> None:
    for symbol in (None, *model.symbols):
        shares = argmax_shares(model, symbol)
        only = [action for action, share in shares.items() if share == 1.0]
        if only:
            of = "" if symbol is None else f" for {symbol!r}"
            raise ArtifactBroken(
                f"the model {model.sha256} answers {only[0]} to every ballot{of}: it has collapsed and cannot decide"
            )
