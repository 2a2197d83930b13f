"""Candidates read back from JSON: the reverse of `Candidate.to_json`."""

from collections.abc import Mapping
from typing import Any, Final

from meta_pipeline.canonical import ABSENT, Level
from meta_pipeline.errors import InputError
from meta_pipeline.proposals.candidate import (
    Candidate,
    Effect,
    Experiment,
    Grade,
    ProposalType,
    Rule,
    SliceEffect,
    Stability,
)

Json = Mapping[str, Any]

# Fields of the JSON that are derived from the others, or stand under another name in the record.
_DERIVED: Final = frozenset({"expected_return_improvement", "expected_risk_reduction"})
_RENAMED: Final = {"from": "from_value", "to": "to_value"}


def level_from_json(data: Json) -> Level:
    """Read a level that `level_to_json` wrote."""
    if data["absent"]:
        return ABSENT
    level: Level = data["value"]
    return level


def candidate_from_json(data: Json) -> Candidate:
    """Read a candidate that `Candidate.to_json` wrote; keys that it does not write are ignored.

    Raises
    ------
    InputError
        If a field is missing, or a value is not one that the record knows.
    """
    try:
        return _candidate(data)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"this is not a candidate as this version writes it ({type(error).__name__}: {error}); "
            "it was written by another version, compute it anew"
        ) from error


def _candidate(data: Json) -> Candidate:
    fields = {_RENAMED.get(name, name): value for name, value in data.items() if name not in _DERIVED}
    local = data["local_effect"]
    stability = data["stability"]
    rule = data["suppressed_by"]
    fields.setdefault("decision", {})  # written before there was a ledger of outcomes
    known = {name: fields[name] for name in Candidate.__dataclass_fields__}
    return Candidate(
        **known
        | {
            "proposal_type": ProposalType(data["proposal_type"]),
            "from_value": level_from_json(data["from"]),
            "to_value": level_from_json(data["to"]),
            "grade": Grade(data["grade"]),
            "suppressed_by": None if rule is None else Rule(rule),
            "effect": Effect(**data["effect"]),
            "other_effects": tuple(Effect(**effect) for effect in data["other_effects"]),
            "local_effect": None if local is None else Effect(**local),
            "risk_effects": tuple(Effect(**effect) for effect in data["risk_effects"]),
            "stability": None if stability is None else _stability(stability),
            "regimes": tuple(SliceEffect(**regime) for regime in data["regimes"]),
            "experiments": tuple(Experiment(**experiment) for experiment in data["experiments"]),
        }
    )


def _stability(data: Json) -> Stability:
    periods = tuple(SliceEffect(**period) for period in data["sub_periods"])
    return Stability(**dict(data) | {"sub_periods": periods})
