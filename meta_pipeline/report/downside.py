"""What may go wrong with a proposal: worst slices, worst scenario, and the change of each risk. Part of its sheet.

Belongs here: the rows of the part "Downside". Does not belong here: the other parts (approval).
"""

from collections.abc import Mapping, Sequence

from meta_pipeline.counted import counted
from meta_pipeline.diagnostics.scenarios import scenarios_from_json
from meta_pipeline.errors import InputError
from meta_pipeline.evidence.influence import SHARPE_RATIO as SHARPE
from meta_pipeline.evidence.scenarios import Scenarios
from meta_pipeline.proposals.candidate import Candidate, Effect, SliceEffect
from meta_pipeline.proposals.draft import ProposalDraft
from meta_pipeline.report import search_evidence
from meta_pipeline.report.table import MISSING
from meta_pipeline.report.tables import METRIC_NAMES, estimate_text, metric_text, size_text

Rows = list[tuple[str, str | None]]


def downside_rows(draft: ProposalDraft, candidate: Candidate | None) -> Rows:
    """Return what may go wrong, row by row: what it is about, and what is known of it."""
    if candidate is None:
        unknown: Rows = [("Risk", "not measured: the proposal carries no evidence of the engine")]
        return search_evidence.downside_rows(draft.supporting_metrics) or unknown
    rows: Rows = [
        ("Worst regime", _worst(candidate.regimes, candidate.missing.get("regimes", "no regime labels"))),
        ("Worst sub-period", _worst(candidate.stability.sub_periods if candidate.stability else (), "not judged")),
        ("Worst stress", _stress(scenarios_of(draft))),
    ]
    for metric in ("mean_return", "expected_shortfall", "max_drawdown", "volatility"):
        effect = candidate.risk_effect(metric)
        rows.append((f"Change of {METRIC_NAMES[metric]}", None if effect is None else _risk(effect)))
    return rows


def _risk(effect: Effect) -> str:
    written = estimate_text(effect)
    if written is None or effect.estimate is None:
        return f"{MISSING}: {effect.reason}"
    if effect.metric == "mean_return":
        return f"{written}: {'more' if effect.estimate > 0 else 'less'} return" if effect.estimate else written
    # Drawdown and expected shortfall are negative numbers, so that a rise of these is less risk.
    riskier = effect.estimate > 0 if effect.metric == "volatility" else effect.estimate < 0
    return f"{written}: {'more' if riskier else 'less'} risk" if effect.estimate else f"{written}: no change"


def _worst(slices: Sequence[SliceEffect], otherwise: str) -> str:
    known = [(one.estimate, one) for one in slices if one.estimate is not None]
    if not known:
        return f"{MISSING}: {otherwise}"
    # A rise of volatility is the worst; of every other metric a fall is.
    riskier = -1.0 if known[0][1].metric == "volatility" else 1.0
    estimate, worst = min(known, key=lambda pair: (riskier * pair[0], pair[1].label))
    metric = worst.metric
    name = "" if metric == SHARPE else f"{METRIC_NAMES.get(metric, metric)} "
    error = "" if worst.standard_error is None else f" (standard error {size_text(metric, worst.standard_error)})"
    return f"{worst.label}: {name}{metric_text(metric, estimate)}{error}, {counted(worst.n_days, 'day')}"


def _stress(scenarios: Scenarios | None) -> str:
    if scenarios is None:
        return "no scenario is on record"
    family = next((one for one in scenarios.families if one.name == scenarios.worst), None)
    if family is None or family.challenger is None or family.baseline is None:
        return f"{MISSING}: {next((one.missing for one in scenarios.families if one.missing), 'no family is known')}"
    said = {True: "within tolerance", False: "worse than tolerated", None: "not all are known"}[scenarios.passed]
    brings = f"{100 * family.challenger:+z.1f} %, {100 * family.baseline:+z.1f} % as it is"
    worst = f"{family.name}: the worst 5 % of paths of {counted(scenarios.horizon, 'period')} bring {brings}"
    return f"{worst}; all families: {said} (descriptive)"


def scenarios_of(draft: ProposalDraft) -> Scenarios | None:
    """Return the scenarios that a proposal carries, or None if it carries none."""
    stored = draft.supporting_metrics.get("scenarios")
    if not isinstance(stored, Mapping):
        return None
    try:
        return scenarios_from_json(stored)
    except InputError:
        return None
