"""How good probabilities are: calibration, confusion, risk against coverage, regimes."""

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from meta_pipeline.canonical import JsonValue
from meta_pipeline.meta_model.actions import ACTIONS
from meta_pipeline.meta_model.batch import argmax_of
from meta_pipeline.meta_model.model import N_CLASSES
from meta_pipeline.meta_model.vote_table import VoteTable

Floats = NDArray[np.float64]
Codes = NDArray[np.int8]

N_BINS: Final = 10
_COVERAGES: Final = tuple(round(0.05 * step, 2) for step in range(1, 21))


def brier_score(probabilities: Floats, labels: Codes) -> float:
    """Return the mean squared distance of the probabilities from what happened, 0 (best) to 2.

    Brier, Monthly Weather Review 78 (1950), summed over the three classes.
    """
    return float(((probabilities - np.eye(N_CLASSES)[labels]) ** 2).sum(axis=1).mean())


def log_loss(probabilities: Floats, labels: Codes) -> float:
    """Return the mean negative log probability of what happened, in nats; probabilities are floored at 1e-12."""
    return float(-np.log(np.maximum(probabilities[np.arange(len(labels)), labels], 1e-12)).mean())


def reliability(probabilities: Floats, labels: Codes) -> list[dict[str, JsonValue]]:
    """Bin decisions by confidence, ten bins of equal count: mean confidence, share that was right, count."""
    confidence = probabilities.max(axis=1)
    right = _choices(probabilities) == labels
    bins = np.array_split(np.argsort(confidence, kind="stable"), min(N_BINS, len(labels)))
    return [
        {
            "confidence": float(confidence[rows].mean()),
            "accuracy": float(right[rows].mean()),
            "n": len(rows),
        }
        for rows in bins
        if len(rows)
    ]


def expected_calibration_error(probabilities: Floats, labels: Codes) -> float:
    """Return the mean distance of confidence from accuracy over the bins of `reliability`, 0..1."""
    total = 0.0
    for entry in reliability(probabilities, labels):
        n, confidence, accuracy = (float(str(entry[key])) for key in ("n", "confidence", "accuracy"))
        total += n * abs(confidence - accuracy)
    return total / len(labels)


def calibration_noise(probabilities: Floats) -> float:
    """Return the calibration error a perfectly calibrated model would be measured with on as many decisions.

    In a bin of n decisions the accuracy scatters about the confidence c with standard deviation sqrt(c (1 - c) / n),
    whose mean absolute value is sqrt(2 / pi) of that.
    """
    confidence = np.sort(probabilities.max(axis=1))
    bins = np.array_split(confidence, min(N_BINS, len(confidence)))
    scatter = [math.sqrt(2.0 / math.pi * rows.mean() * (1.0 - rows.mean()) / len(rows)) * len(rows) for rows in bins]
    return float(sum(scatter) / len(confidence))


def confusion(choices: Codes, labels: Codes) -> list[list[int]]:
    """Count labels (rows) against choices (columns), in the order SELL, HOLD, BUY."""
    flat = np.bincount(labels.astype(np.int64) * N_CLASSES + choices, minlength=N_CLASSES**2)
    return [[int(count) for count in row] for row in flat.reshape(N_CLASSES, N_CLASSES)]


def per_class(choices: Codes, labels: Codes) -> dict[str, JsonValue]:
    """Return precision, recall, F1 and support of each action; None where the denominator is 0."""
    table = np.array(confusion(choices, labels), dtype=np.float64)
    found: dict[str, JsonValue] = {}
    for code, action in enumerate(ACTIONS):
        right, chosen, true = table[code, code], table[:, code].sum(), table[code].sum()
        found[action] = {
            "precision": right / chosen if chosen else None,
            "recall": right / true if true else None,
            "f1": 2 * right / (chosen + true) if chosen + true else None,
            "support": int(true),
        }
    return found


def risk_coverage(probabilities: Floats, labels: Codes) -> tuple[list[dict[str, JsonValue]], float]:
    """Return the error rate of the most confident decisions against their share, and the area under that curve.

    Geifman and El-Yaniv (2017). Decisions of equal confidence are taken in the order given. The area is the mean
    over all coverages, smaller is better.
    """
    confidence = probabilities.max(axis=1)
    wrong = (_choices(probabilities) != labels)[np.argsort(-confidence, kind="stable")]
    risk = np.cumsum(wrong) / np.arange(1, len(wrong) + 1)
    points: list[dict[str, JsonValue]] = [
        {"coverage": coverage, "risk": float(risk[max(math.ceil(coverage * len(risk)) - 1, 0)])}
        for coverage in _COVERAGES
    ]
    return points, float(risk.mean())


def regime_table(choices: Codes, labels: Codes, votes: VoteTable) -> dict[str, JsonValue]:
    """Return accuracy and count in the documented buckets of volatility and trend; None where a bucket is empty.

    Volatility is low below 0.4, high from 0.6; trend is down below -0.2, up above 0.2. Decisions without a regime are
    in none of them and counted apart.
    """
    volatility, trend = votes.volatility, votes.trend_strength
    buckets = {
        "low_volatility": volatility < 0.4,
        "medium_volatility": (volatility >= 0.4) & (volatility < 0.6),
        "high_volatility": volatility >= 0.6,
        "downtrend": trend < -0.2,
        "sideways": (trend >= -0.2) & (trend <= 0.2),
        "uptrend": trend > 0.2,
        "unknown": np.isnan(volatility) | np.isnan(trend),
    }
    right = choices == labels
    return {
        name: {"accuracy": float(right[rows].mean()) if rows.any() else None, "n_samples": int(rows.sum())}
        for name, rows in buckets.items()
    }


def probability_report(probabilities: Floats, labels: Codes, votes: VoteTable) -> dict[str, JsonValue]:
    """Return everything this module measures of some decisions, ready for JSON."""
    choices = _choices(probabilities)
    curve, area = risk_coverage(probabilities, labels)
    frequencies = np.bincount(labels, minlength=N_CLASSES) / len(labels)
    return {
        "n_samples": len(labels),
        "accuracy": float((choices == labels).mean()),
        "majority_accuracy": float(frequencies.max()),
        "class_frequencies": dict(zip(ACTIONS, frequencies.tolist(), strict=True)),
        "largest_answer_share": float(np.bincount(choices, minlength=N_CLASSES).max() / len(choices)),
        "log_loss": log_loss(probabilities, labels),
        "brier_score": brier_score(probabilities, labels),
        "expected_calibration_error": expected_calibration_error(probabilities, labels),
        "calibration_noise": calibration_noise(probabilities),
        "reliability": reliability(probabilities, labels),
        "confusion": confusion(choices, labels),
        "per_class": per_class(choices, labels),
        "risk_coverage": curve,
        "area_under_risk_coverage": area,
        "regimes": regime_table(choices, labels, votes),
    }


def _choices(probabilities: Floats) -> Codes:
    """Return the most probable action; a lead shared by BUY and SELL is HOLD, as nothing is done."""
    choice = argmax_of(probabilities)
    return np.where(choice < 0, 1, choice).astype(np.int8)
