"""Reports read back from JSON: the reverse of `DiagnosticsReport.to_json`."""

from collections.abc import Mapping
from typing import Any, Final

from meta_pipeline.diagnostics.absolute import AbsoluteTests
from meta_pipeline.diagnostics.descriptive import Against, Descriptive
from meta_pipeline.diagnostics.diagnose import REPORT_FORMAT, DiagnosticsReport
from meta_pipeline.diagnostics.importance import KnobPair, KnobWeight
from meta_pipeline.diagnostics.interactions import Interaction
from meta_pipeline.diagnostics.overfitting import Overfitting, Period, SplitHalf
from meta_pipeline.diagnostics.records import (
    Configuration,
    DataHealth,
    Figures,
    Findings,
    KnobEffect,
    KnobStatus,
    Slice,
    Thresholds,
)
from meta_pipeline.diagnostics.scenarios import scenarios_from_json
from meta_pipeline.errors import InputError
from meta_pipeline.evidence.dispersion import Dispersion, RegimeDispersion
from meta_pipeline.evidence.robustness import RegimeShare, Robustness
from meta_pipeline.evidence.tails import Tail
from meta_pipeline.proposals.candidate import Note, SliceEffect
from meta_pipeline.proposals.experiment_plan import MissingRun, MoreEvidence

Json = Mapping[str, Any]

_LISTS_OF_SLICES: Final = ("by_market", "by_regime", "by_sector")
_NEW_VIEWS: Final = ("across_configurations", "across_markets", "scenarios")
_OLDER: Final = "an older version wrote this report; the next night computes it"
_FINDINGS: Final = ("underperforming", "high_risk", "pareto")


def report_from_json(data: Json) -> DiagnosticsReport:
    """Read a report that `DiagnosticsReport.to_json` wrote, or that of the version before it did.

    What that one did not look at is None, and says so.

    Raises
    ------
    InputError
        If it has another format, or a field is missing.
    """
    if data.get("format") not in {2, REPORT_FORMAT}:
        raise InputError(
            f"the report has format {data.get('format')!r}, this version reads 2 and {REPORT_FORMAT}; compute it anew"
        )
    try:
        return _report(_of_format_2(data) if data["format"] == 2 else data)
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"this is not a report as this version writes it ({type(error).__name__}: {error}); compute it anew"
        ) from error


def _of_format_2(data: Json) -> Json:
    """Bring a report that an older version wrote into the present form; what it did not look at is not known."""
    old = dict(data["descriptive"])
    old |= dict.fromkeys(("r_squared", *_NEW_VIEWS, "challenger"))
    old["missing"] = {**old["missing"], **dict.fromkeys(("r_squared", *_NEW_VIEWS), _OLDER)}
    if old["live"] is not None:
        old["live"] = _live_of_format_2(old["live"])
    new = {"missing_runs": (), "n_missing_runs": None, "more_evidence": ()}
    return {**data, **new, "descriptive": old, "overfitting": {"absolute": None, **data["overfitting"]}}


def _live_of_format_2(live: Json) -> Json:
    parts = {name: value for name, value in live.items() if name not in {"expected_shortfall", "tail_index"}}
    missing = {name: why for name, why in live["missing"].items() if name in parts}
    known = {"expected_shortfall": live["expected_shortfall"], "hill_index": live["tail_index"]}
    unknown = ("expected_shortfall", "hill_index", "extreme_shortfall", "pareto_shape")
    tail = {"n_days": live["n_days"], "n_excesses": 0, **known}
    tail["missing"] = {name: _OLDER for name in unknown if known.get(name) is None}
    regimes = [{"share": None, **one} for one in live["regimes"]]
    return {**parts, "regimes": regimes, "tail": tail, "missing": {**missing, "worst_regime_sharpe": _OLDER}}


def _report(data: Json) -> DiagnosticsReport:
    parts: dict[str, Any] = {name: data[name] for name in DiagnosticsReport.__dataclass_fields__}
    parts |= {name: tuple(_slice(one) for one in data[name]) for name in _LISTS_OF_SLICES}
    parts |= {name: _findings(data[name]) for name in _FINDINGS}
    parts |= {
        "thresholds": Thresholds(**data["thresholds"]),
        "data_health": DataHealth(**data["data_health"]),
        "notes": tuple(Note(**dict(note) | {"subjects": tuple(note["subjects"])}) for note in data["notes"]),
        "overall": None if data["overall"] is None else Figures(**data["overall"]),
        "live": _configuration(data["live"]),
        "knobs": tuple(_knob(knob) for knob in data["knobs"]),
        "effects": tuple(_effect(effect) for effect in data["effects"]),
        "periods": tuple(Period(**period) for period in data["periods"]),
        "overfitting": _overfitting(data["overfitting"]),
        "descriptive": _descriptive(data["descriptive"]),
        "missing_runs": tuple(
            MissingRun(**dict(run) | {"identifies": tuple(run["identifies"])}) for run in data["missing_runs"]
        ),
        "more_evidence": tuple(MoreEvidence(**one) for one in data["more_evidence"]),
    }
    return DiagnosticsReport(**parts)


def _slice(data: Json) -> Slice:
    return Slice(label=data["label"], figures=Figures(**data["figures"]))


def _configuration(data: Json | None) -> Configuration | None:
    if data is None:
        return None
    parts = {"figures": Figures(**data["figures"])} | {name: tuple(data[name]) for name in ("markets", "reasons")}
    return Configuration(**dict(data) | parts)


def _findings(data: Json) -> Findings:
    shown = tuple(one for item in data["configurations"] if (one := _configuration(item)) is not None)
    return Findings(count=data["count"], configurations=shown)


def _knob(data: Json) -> KnobStatus:
    return KnobStatus(**dict(data) | {"aliased_with": tuple(data["aliased_with"])})


def _effect(data: Json) -> KnobEffect:
    regimes = tuple(SliceEffect(**regime) for regime in data["regimes"])
    return KnobEffect(**dict(data) | {"regimes": regimes})


def _overfitting(data: Json) -> Overfitting:
    absolute = data["absolute"]
    parts = {
        "best": _configuration(data["best"]),
        "split_half": SplitHalf(**data["split_half"]),
        "absolute": None if absolute is None else AbsoluteTests(**absolute),
    }
    return Overfitting(**dict(data) | parts)


def _descriptive(data: Json) -> Descriptive:
    scenarios = data["scenarios"]
    parts = {
        "against": tuple(Against(**dict(one) | {"better": tuple(one["better"])}) for one in data["against"]),
        "knobs": tuple(KnobWeight(**one) for one in data["knobs"]),
        "pairs": tuple(KnobPair(**one) for one in data["pairs"]),
        "interactions": tuple(Interaction(**one) for one in data["interactions"]),
        "live": _robustness(data["live"]),
        "across_configurations": _dispersion(data["across_configurations"]),
        "across_markets": _dispersion(data["across_markets"]),
        "scenarios": None if scenarios is None else scenarios_from_json(scenarios),
    }
    return Descriptive(**dict(data) | parts)


def _robustness(data: Json | None) -> Robustness | None:
    if data is None:
        return None
    parts = {"tail": Tail(**data["tail"]), "regimes": tuple(RegimeShare(**one) for one in data["regimes"])}
    return Robustness(**dict(data) | parts)


def _dispersion(data: Json | None) -> Dispersion | None:
    if data is None:
        return None
    return Dispersion(**dict(data) | {"by_regime": tuple(RegimeDispersion(**one) for one in data["by_regime"])})
