"""The votes of the base models, read from whatever was handed in.

Reading never raises: a vote that cannot be used is rejected, with its reason, and counts as absent.
"""

from collections.abc import Mapping
from math import inf, isnan, nan
from typing import Final, NamedTuple

import numpy as np

from meta_pipeline.meta_model.actions import ABSENT_VOTE, ACTION_CODES, HOLD, action_code

DEFAULT_CONFIDENCE: Final = 0.5
"""Documented confidence of a vote that states none, and of an absent model in its own feature."""

NO_REJECTIONS: Final[tuple[tuple[str, str], ...]] = ()

_NUMBERS: Final = (int, float, np.floating, np.integer)


class Ballot(NamedTuple):
    """Valid votes, one entry per registered base model, in the registered order.

    `actions` holds codes, `ABSENT_VOTE` where a model did not vote or its vote was rejected; `confidences` are
    0..1 (0.5 where absent). `n_votes` counts valid votes, `n_explicit` those that stated their action: only
    they count for the quorum. `rejected` holds (model, reason), registered models first.
    """

    actions: list[int]
    confidences: list[float]
    n_votes: int
    n_explicit: int
    rejected: tuple[tuple[str, str], ...]


def read_ballot(predictions: object, models: tuple[str, ...]) -> Ballot:
    """Read the votes of the registered models.

    Parameters
    ----------
    predictions
        Base model -> {"action", "confidence"}, or None for an absent one. A missing action is a vote for HOLD that
        does not count for the quorum, a missing confidence is 0.5. Anything else that is not a vote is rejected.
    models
        Names of the registered base models.
    """
    if type(predictions) is not dict and not isinstance(predictions, Mapping):
        rejected = NO_REJECTIONS if predictions is None else (("*", "predictions_not_a_mapping"),)
        return Ballot([ABSENT_VOTE] * len(models), [DEFAULT_CONFIDENCE] * len(models), 0, 0, rejected)
    actions: list[int] = []
    confidences: list[float] = []
    problems: list[tuple[str, str]] = []
    n_votes = n_explicit = n_known = 0
    for model in models:
        if model in predictions:
            n_known += 1
        vote = predictions.get(model)
        action, confidence = ABSENT_VOTE, DEFAULT_CONFIDENCE
        if vote is not None:
            read = read_vote(vote)
            if isinstance(read, str):
                problems.append((model, read))
            else:
                action, confidence, explicit = read
                n_votes += 1
                n_explicit += explicit
        actions.append(action)
        confidences.append(confidence)
    if n_known != len(predictions):
        problems.extend(_strangers(predictions, models))
    return Ballot(actions, confidences, n_votes, n_explicit, tuple(problems) if problems else NO_REJECTIONS)


def read_vote(vote: object) -> tuple[int, float, bool] | str:
    """Read one vote: (action code, confidence, whether the action was stated), or the reason for its rejection."""
    if type(vote) is not dict and not isinstance(vote, Mapping):
        return "not_a_vote"
    explicit = "action" in vote
    action = _read_action(vote["action"]) if explicit else HOLD
    if action is None:
        return "unknown_action"
    confidence = vote.get("confidence", DEFAULT_CONFIDENCE)
    if type(confidence) is not float:
        confidence = _as_float(confidence)
    if 0.0 <= confidence <= 1.0:
        return action, confidence, explicit
    return "confidence_not_a_number" if isnan(confidence) else "confidence_out_of_range"


def _read_action(stated: object) -> int | None:
    if not isinstance(stated, str):
        return None
    action = ACTION_CODES.get(stated)
    return action_code(stated) if action is None else action


def _as_float(value: object) -> float:
    """Return a number as a float, and NaN for what is none (a boolean is none)."""
    if isinstance(value, bool) or not isinstance(value, _NUMBERS):
        return nan
    try:
        return float(value)
    except OverflowError:  # an int beyond the range of floats
        return inf


def _strangers(predictions: Mapping[object, object], models: tuple[str, ...]) -> list[tuple[str, str]]:
    names = {printable_name(name) for name in predictions if name not in models}
    return [(name, "unregistered_model") for name in sorted(names)]


def printable_name(name: object) -> str:
    """Return a name that can be logged: itself, escaped where it is not printable, or its type in <>."""
    if not isinstance(name, str):
        return f"<{type(name).__name__}>"
    return name if name.isprintable() else name.encode("unicode_escape").decode("ascii")
