"""The words of a proposal: a template filled with the candidate's own numbers.

Belongs here: sentences for a person who decides, and the check that a text (rewritten by a language model, say) claims
no number that the evidence does not hold. Does not belong here: tables and pictures (report).
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from meta_pipeline.canonical import ABSENT, JsonValue, Level, canonical_json
from meta_pipeline.counted import counted
from meta_pipeline.proposals.candidate import Candidate, Effect

METRIC_NAMES: Final = {
    "sharpe_ratio": "Sharpe ratio",
    "mean_return": "mean return",
    "volatility": "volatility",
    "max_drawdown": "maximum drawdown",
    "expected_shortfall": "expected shortfall",
}
METHODS: Final = {
    "matched_pairs": "matched pairs",
    "local_pairs": "matched pairs at the live configuration",
    "least_squares": "least squares with block effects",
    "metrics_only": "reported metrics only",
}

_NUMBER: Final = re.compile(r"(?<![\w.])[-+]?\d[\d,]*(?:\.\d+)?(?:[eE][-+]?\d+)?(?![\w])")


def show_level(level: Level) -> str:
    """Write a level for a sentence."""
    return "absent" if level is ABSENT else canonical_json(level)


def signed(value: float, digits: int = 2) -> str:
    """Write a number with its sign and a fixed number of decimals."""
    return f"{value:+z.{digits}f}"


def write_rationale(candidate: Candidate) -> str:
    """Say what is proposed and why, every figure taken from the candidate.

    Returns
    -------
    str
        A few sentences of plain text, the same for the same candidate.
    """
    effect = candidate.effect
    if effect.estimate is None:
        return f"{_headline(candidate)} No effect could be estimated: {effect.reason or 'no data'}."
    parts = [_headline(candidate), _effect(candidate, effect), _sharpe(candidate), _claim(candidate)]
    parts += [_stability(candidate), _risk(candidate), _power(candidate)]
    return " ".join(text for text in parts if text)


def _headline(candidate: Candidate) -> str:
    change = f"{candidate.knob} from {show_level(candidate.from_value)} to {show_level(candidate.to_value)}"
    return f"Change {change}."


def _effect(candidate: Candidate, effect: Effect) -> str:
    estimate = effect.estimate or 0.0
    text = f"{METRIC_NAMES.get(effect.metric, effect.metric).capitalize()} {_figure(effect.metric, estimate)}"
    if effect.lower is not None and effect.upper is not None and effect.confidence_level is not None:
        text += (
            f" ({100 * effect.confidence_level:.0f} % interval {_figure(effect.metric, effect.lower)}"
            f" to {_figure(effect.metric, effect.upper)})"
        )
    text += f" by {METHODS.get(effect.method, effect.method)}, over {counted(effect.n_days, 'day')}"
    text += f" and {candidate.n_distinct:,} distinct series of {counted(candidate.n_runs, 'run')}"
    adjusted = effect.adjusted_p_values.get("romano_wolf")
    p = f"; adjusted p {adjusted:.3f}" if adjusted is not None else ""
    return f"{text}{p}, grade {candidate.grade}."


def _sharpe(candidate: Candidate) -> str:
    """Where another metric is judged: what happens to the Sharpe ratio."""
    other = next((effect for effect in candidate.other_effects if effect.metric == "sharpe_ratio"), None)
    if candidate.effect.metric == "sharpe_ratio" or other is None or other.estimate is None:
        return ""
    unmoved = candidate.missing.get("probability_positive")
    if unmoved is not None:
        return f"{unmoved[0].upper()}{unmoved[1:]}."
    text = f"Sharpe ratio {signed(other.estimate)}"
    if other.lower is not None and other.upper is not None:
        text += f" ({signed(other.lower)} to {signed(other.upper)})"
    return f"{text}."


def _claim(candidate: Candidate) -> str:
    if candidate.expected_uplift is None or candidate.probability_positive is None:
        return ""
    text = f"Expected over {candidate.horizon_years:g} years: Sharpe ratio {signed(candidate.expected_uplift)}"
    if candidate.uplift_lower is not None and candidate.uplift_upper is not None:
        text += f" ({signed(candidate.uplift_lower)} to {signed(candidate.uplift_upper)})"
    text += f", positive with probability {candidate.probability_positive:.2f}"
    held = candidate.decision.get("ended_outcomes")
    if not held or candidate.decision.get("basis") == "contrast after a haircut":
        return f"{text}."
    return f"{text}: by {candidate.decision['basis']}, learned from {held} ended outcomes."


def _stability(candidate: Candidate) -> str:
    stability = candidate.stability
    if stability is None or stability.sign_consistency is None or stability.metric != candidate.effect.metric:
        return ""
    seen = [period for period in stability.sub_periods if period.estimate is not None]
    agreeing = round(stability.sign_consistency * len(seen))
    of = "" if stability.metric == "sharpe_ratio" else f" of the change of {METRIC_NAMES[stability.metric]}"
    return f"The sign{of} held in {agreeing} of {len(seen)} sub-periods."


def _risk(candidate: Candidate) -> str:
    parts = []
    for metric in ("mean_return", "volatility", "max_drawdown", "expected_shortfall"):
        effect = candidate.risk_effect(metric)
        if effect is not None and effect.estimate is not None and metric != candidate.effect.metric:
            parts.append(f"{METRIC_NAMES[metric]} {_figure(metric, effect.estimate)}")
    return f"Return and risk: {', '.join(parts)}." if parts else ""


def _power(candidate: Candidate) -> str:
    if candidate.smallest_detectable_effect is None:
        return ""
    metric = candidate.effect.metric
    smallest = _figure(metric, abs(candidate.smallest_detectable_effect)).removeprefix("+")
    return (
        f"The campaign could have found an effect on the {METRIC_NAMES.get(metric, metric)} of {smallest} "
        f"or more; {counted(candidate.n_trials, 'trial is', 'trials are')} counted."
    )


def _figure(metric: str, value: float) -> str:
    """Write a difference of a metric in the unit in which tables show it: per cent, but for the Sharpe ratio."""
    if metric == "sharpe_ratio":
        return signed(value)
    return f"{signed(100 * value, 2 if metric == 'expected_shortfall' else 1)} %"


def unsupported_numbers(text: str, evidence: Mapping[str, JsonValue]) -> tuple[str, ...]:
    """Return the numbers of a text that the evidence does not hold.

    A number is supported if some number of the evidence, or a hundred times it (a percentage), or a count of one of its
    lists, rounds to it at the number of decimals it is written with. Numbers inside the evidence's own texts (a knob's
    name, a level) are supported as they stand.

    Parameters
    ----------
    text
        The text to check.
    evidence
        For instance `Candidate.to_json()`, without the rationale itself.

    Returns
    -------
    tuple of str
        As written in the text, in order; empty if every number is supported.
    """
    known = {key: value for key, value in evidence.items() if key != "rationale"}
    values = sorted(set(_numbers(known)))
    literal = {match for words in _texts(known) for match in _NUMBER.findall(words)}
    return tuple(
        written for written in _NUMBER.findall(text) if written not in literal and not _supported(written, values)
    )


def _supported(written: str, values: Sequence[float]) -> bool:
    plain = written.replace(",", "")
    try:
        number = float(plain)
    except ValueError:
        return False
    decimals = len(plain.split("e")[0].split("E")[0].partition(".")[2])
    tolerance = 0.5000001 * 10.0**-decimals
    bare = plain[0] not in "+-"
    for value in values:
        for scaled in (value, 100 * value):
            if abs(scaled - number) <= tolerance or (bare and abs(abs(scaled) - number) <= tolerance):
                return True
    return False


def _numbers(value: JsonValue) -> Iterator[float]:
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return
    if isinstance(value, int | float):
        if math.isfinite(value):
            yield float(value)
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _numbers(item)
        share, periods = value.get("sign_consistency"), value.get("sub_periods")
        if isinstance(share, int | float) and isinstance(periods, Sequence):
            seen = sum(1 for p in periods if isinstance(p, Mapping) and p.get("estimate") is not None)
            yield float(round(share * seen))
            yield float(seen)
    else:
        for item in value:
            yield from _numbers(item)


def _texts(value: JsonValue) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield key
            yield from _texts(item)
    elif isinstance(value, Sequence):
        for item in value:
            yield from _texts(item)
