"""Three ways of making proposals of the same campaign: ours, the predecessor's rule, Welch with Benjamini-Hochberg."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.stats import ttest_ind

from benchmarks.proposal_quality.worlds import N_KNOBS, N_LEVELS, Campaign, Change, config_of
from meta_pipeline.evidence.metrics import summarize
from meta_pipeline.evidence.multiplicity import benjamini_hochberg
from meta_pipeline.proposals.candidate import ProposalType
from meta_pipeline.proposals.knobs import Knob
from meta_pipeline.proposals.legacy import legacy_confidence
from meta_pipeline.proposals.parameters import Parameters
from meta_pipeline.proposals.propose import propose

ALPHA: Final = 0.10
KNOBS: Final = tuple(Knob(path=f"k{knob}", knob_type="int") for knob in range(N_KNOBS))
MINIMUM_CONFIDENCE, MINIMUM_IMPROVEMENT = 0.3, 0.1  # the predecessor's thresholds


@dataclass(frozen=True, kw_only=True)
class Suggested:
    """One proposal: the change of the live configuration it leads to, what it claims and what it measured.

    `change` at level 0 changes nothing: the predecessor may propose the value that is live.
    """

    change: Change
    claim: float
    contrast: float


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """A probability that going from one level of a knob to another has a positive effect later."""

    knob: int
    low: int
    high: int
    probability: float


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a contestant made of one campaign. `significant`: the changes it calls so, proposed or not."""

    proposals: tuple[Suggested, ...]
    forecasts: tuple[Forecast, ...]
    significant: frozenset[Change]

    @property
    def alarmed(self) -> bool:
        """Whether it calls anything significant."""
        return bool(self.significant)


def ours(campaign: Campaign) -> Answer:
    """Ask the engine, as a nightly run does. Significant: changes of grade A or B, suppressed or not."""
    live = config_of(np.zeros(N_KNOBS, dtype=np.int64))
    found = propose(campaign.panel, knobs=KNOBS, live=live, parameters=Parameters(alpha=ALPHA))
    proposals, forecasts, significant = [], [], set()
    for candidate in found.candidates:
        if candidate.proposal_type is not ProposalType.CONFIG_PARAMETER_CHANGE:
            continue
        knob, level = int(candidate.knob[1:]), candidate.to_value
        assert isinstance(level, int)
        if candidate.grade.value in {"A", "B"}:
            significant.add((knob, level))
        if candidate.probability_positive is not None:
            forecasts.append(Forecast(knob=knob, low=0, high=level, probability=candidate.probability_positive))
        if candidate.is_proposal:
            claim, contrast = candidate.expected_uplift or 0.0, candidate.effect.estimate or 0.0
            proposals.append(Suggested(change=(knob, level), claim=claim, contrast=contrast))
    return Answer(proposals=tuple(proposals), forecasts=tuple(forecasts), significant=frozenset(significant))


def predecessor(campaign: Campaign) -> Answer:
    """Compare the mean reported Sharpe ratios of the first two values of each knob, as stored, newest run first."""
    proposals, forecasts = [], []
    for knob in range(N_KNOBS):
        levels = campaign.stored_configs[:, knob]
        values = list(dict.fromkeys(levels.tolist()))[:2]
        if len(values) < 2:
            continue
        low, high = (campaign.stored_sharpe[levels == value] for value in values)
        if min(len(low), len(high)) < 2:
            continue
        delta = float(high.mean() - low.mean())
        confidence = legacy_confidence(len(low) + len(high), delta)
        forecasts.append(Forecast(knob=knob, low=values[0], high=values[1], probability=confidence))
        if delta > 0 and confidence >= MINIMUM_CONFIDENCE and delta >= MINIMUM_IMPROVEMENT:
            proposals.append(Suggested(change=(knob, values[1]), claim=delta, contrast=delta))
    return _all_significant(proposals, forecasts)


def welch(campaign: Campaign) -> Answer:
    """Welch's t-test over runs of each level against the live one, Benjamini-Hochberg over all; the best per knob."""
    panel = campaign.panel
    sharpe = summarize(panel.returns, panel.periods_per_year).sharpe_ratio
    levels = np.array([[config[f"k{knob}"] for knob in range(N_KNOBS)] for config in panel.configs])
    tested, p_values = [], []
    for knob in range(N_KNOBS):
        base = sharpe[levels[:, knob] == 0]
        for level in range(1, N_LEVELS):
            other = sharpe[levels[:, knob] == level]
            if min(len(base), len(other)) < 2:
                continue
            result = ttest_ind(other, base, equal_var=False)
            p_values.append(float(result.pvalue))
            tested.append((knob, level, float(other.mean() - base.mean())))
    adjusted = benjamini_hochberg(np.array(p_values))
    best: dict[int, Suggested] = {}
    forecasts = []
    for (knob, level, delta), p_value, q_value in zip(tested, p_values, adjusted, strict=True):
        probability = 1 - p_value / 2 if delta > 0 else p_value / 2
        forecasts.append(Forecast(knob=knob, low=0, high=level, probability=probability))
        if q_value <= ALPHA and delta > 0 and (knob not in best or delta > best[knob].claim):
            best[knob] = Suggested(change=(knob, level), claim=delta, contrast=delta)
    return _all_significant(list(best.values()), forecasts)


def _all_significant(proposals: list[Suggested], forecasts: list[Forecast]) -> Answer:
    """Return the answer of a contestant that proposes exactly what it calls significant."""
    changes = frozenset(proposal.change for proposal in proposals)
    return Answer(proposals=tuple(proposals), forecasts=tuple(forecasts), significant=changes)


CONTESTANTS: Final = {"ours": ours, "predecessor": predecessor, "Welch + BH": welch}
