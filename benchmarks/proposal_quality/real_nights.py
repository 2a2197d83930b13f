"""Campaigns of real prices as a nightly run sees them: daily returns, `propose()`, a ledger that grows.

Belongs here: what `propose()` says of each campaign, and what came of it. Does not belong here: the campaigns
(real_campaigns), or the document (real_proposals).
"""

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from benchmarks.proposal_quality.real_campaigns import (
    DEAD,
    EVIDENCE_YEARS,
    OUTCOME_YEARS,
    Effect,
    RealCampaign,
    market,
)
from benchmarks.proposal_quality.real_rivals import Decision, decide, levels_of_runs
from meta_pipeline.canonical import JsonValue, level_key
from meta_pipeline.evidence.expected_value.ledger import Ledger, Outcome
from meta_pipeline.evidence.expected_value.surface import Samples
from meta_pipeline.evidence.panel import RunPanel
from meta_pipeline.lab.backtest import backtest
from meta_pipeline.lab.catalogue import STRATEGIES
from meta_pipeline.lab.strategy import Config, LabStrategy
from meta_pipeline.proposals.candidate import Candidate, ProposalType, Proposed
from meta_pipeline.proposals.experience import Experience
from meta_pipeline.proposals.parameters import RiskLimits
from meta_pipeline.proposals.propose import propose

NO_LIMITS: Final = RiskLimits(volatility_rise=None, expected_shortfall_rise=None, drawdown_rise=None)
PROPOSED: Final = "proposed"
PERIODS: Final = 252.0


@dataclass(frozen=True, kw_only=True)
class Fate:
    """What became of one candidate: the rule that stopped it or `PROPOSED`, its grade, its claim, and what came."""

    year: int
    rule: str
    grade: str
    claim: float
    realised: float


@dataclass(frozen=True, kw_only=True)
class Risk:
    """A proposal that is judged by its risk: the fall of volatility that it states, and what came.

    `stated` and `fallen` are falls of annualised volatility; `sharpe` is the change of the Sharpe ratio that came.
    """

    year: int
    kind: str
    stated: float
    fallen: float
    sharpe: float


@dataclass(kw_only=True)
class Said:
    """All that `propose()` said over the campaigns, one entry of `decisions` per campaign.

    `spoke_from` is the first year in which the ledger of each family was long enough to propose by expected value.
    """

    decisions: list[Decision] = field(default_factory=list)
    fates: list[Fate] = field(default_factory=list)
    risks: list[Risk] = field(default_factory=list)
    spoke_from: dict[str, int] = field(default_factory=dict)


def walk(drawn: Sequence[RealCampaign], *, limited: bool, tell: Callable[[str], None] = lambda _: None) -> Said:
    """Let `propose()` decide the campaigns in order of time; each knows what had ended by its own decision.

    Parameters
    ----------
    limited
        Whether the lab's limits on the size of a step and the default limits on risk apply.
    """
    strategies = {strategy.family: strategy for strategy in STRATEGIES.values()}
    rows: dict[str, list[Outcome]] = defaultdict(list)
    samples: dict[str, list[Samples]] = defaultdict(list)
    said = Said()
    for campaign in sorted(drawn, key=lambda one: one.year):
        strategy = strategies[campaign.family]
        known = [row for row in rows[campaign.family] if row.outcome_end <= _end(campaign.year)]
        panel, live, volatility = _panel(campaign, strategy)
        proposed = propose(
            panel,
            knobs=strategy.knobs if limited else [replace(knob, max_step=None) for knob in strategy.knobs],
            live=live,
            limits=RiskLimits() if limited else NO_LIMITS,
            experience=Experience(
                family=campaign.family,
                campaign=campaign.name,
                decided_on=_end(campaign.year),
                ledger=Ledger.of(known),
                # Decided on the same day: the campaigns of earlier years only have ended for certain.
                samples=tuple(part for part in samples[campaign.family] if part.ended < _end(campaign.year)),
            ),
        )
        _record(said, campaign, proposed, volatility)
        rows[campaign.family] += [*proposed.pseudo_outcomes, *_outcomes(campaign, proposed)]
        samples[campaign.family].append(_samples(campaign))
        tell(f"{campaign.name}: {len(known)} outcomes known, {len(proposed.proposals)} proposed")
    return said


def _end(year: int) -> np.datetime64:
    return np.datetime64(f"{year}-12-31", "D")


def _panel(campaign: RealCampaign, strategy: LabStrategy) -> tuple[RunPanel, Config, dict[Effect, float]]:
    """Return the runs of a campaign with their days, the live configuration, and what only the outcome will tell.

    That is the fall of annualised volatility that each single change of the live one brings in the two years after.
    """
    values = {knob.path: {level_key(level): level for level in knob.choices or ()} for knob in strategy.knobs}
    n_configs = len(next(iter(campaign.levels.values())))
    configs = [{path: values[path][keys[i]] for path, keys in campaign.levels.items()} for i in range(n_configs)]
    free = replace(strategy, knobs=tuple(replace(knob, max_step=None) for knob in strategy.knobs))
    first, last = np.datetime64(f"{campaign.year - EVIDENCE_YEARS + 1}-01-01", "D"), _end(campaign.year)
    parts, later = [], []
    for name in campaign.markets:
        paths = backtest(free, configs, *market(name))
        inside = (paths.dates >= first) & (paths.dates <= last)
        after = (paths.dates > last) & (paths.dates <= _end(campaign.year + OUTCOME_YEARS))
        later.append(paths.returns[after].std(axis=0, ddof=1) * math.sqrt(PERIODS))
        parts.append((paths.dates[inside].astype("datetime64[s]"), paths.returns[inside]))
    dates = np.unique(np.concatenate([days for days, _ in parts]))
    returns = np.full((len(dates), n_configs * len(parts)), np.nan, order="F")
    for place, (days, found) in enumerate(parts):
        returns[np.searchsorted(dates, days), place * n_configs : (place + 1) * n_configs] = found
    markets = tuple(name for name in campaign.markets for _ in configs)
    panel = RunPanel(
        run_ids=tuple(f"{name}-{i}" for name in campaign.markets for i in range(n_configs)),
        configs=tuple(config for _ in campaign.markets for config in configs),
        blocks=tuple(f"{name}|{first}..{last}|{campaign.name}" for name in markets),
        markets=markets,
        dates=dates,
        returns=returns,
        periods_per_year=np.full(len(markets), PERIODS),
    )
    live = {path: values[path][key] for path, key in campaign.live.items()}
    volatility = np.mean(later, axis=0)
    fallen = {
        (path, level_key(config[path])): float(volatility[configs.index(live)] - volatility[place])
        for place, config in enumerate(configs)
        for path in live
        if config != live and config == {**live, path: config[path]}
    }
    return panel, live, fallen


def _single(candidate: Candidate) -> Effect:
    return candidate.knob, level_key(candidate.to_value)


def _record(said: Said, campaign: RealCampaign, proposed: Proposed, fallen: Mapping[Effect, float]) -> None:
    """Put down the decision of a campaign, the largest claim, and the fate of each of its candidates."""
    came = dict(zip(campaign.changes, campaign.realised.tolist(), strict=True))
    dead = dict(zip(campaign.changes, campaign.dead.tolist(), strict=True))
    probabilities: dict[Effect, float] = {}
    claims: list[tuple[float, Effect]] = []
    for one in proposed.candidates:
        change, claim = _single(one), _known(one.expected_uplift)
        if one.proposal_type is not ProposalType.CONFIG_PARAMETER_CHANGE:
            said.risks.append(
                Risk(
                    year=campaign.year,
                    kind=str(one.proposal_type),
                    stated=_known(one.expected_risk_reduction),
                    fallen=fallen[change],
                    sharpe=came[change],
                )
            )
            continue
        if one.decision.get("may_propose"):
            said.spoke_from.setdefault(campaign.family, campaign.year)
        said.fates.append(
            Fate(
                year=campaign.year,
                rule=PROPOSED if one.is_proposal else str(one.suppressed_by),
                grade=str(one.grade),
                claim=claim,
                realised=came[change],
            )
        )
        if one.probability_positive is not None and not dead[change]:
            probabilities[change] = one.probability_positive
        if one.is_proposal:
            claims.append((claim, change))
    said.decisions.append(decide(campaign, claims, probabilities))


def _outcomes(campaign: RealCampaign, proposed: Proposed) -> list[Outcome]:
    """Replay every change that has a contrast on the two years after its evidence, as a nightly run does."""
    main = dict(zip(campaign.changes, campaign.main.tolist(), strict=True))
    came = dict(zip(campaign.changes, campaign.realised.tolist(), strict=True))
    rows = []
    for one in proposed.candidates:
        effect, change = one.effect, _single(one)
        if one.proposal_type is not ProposalType.CONFIG_PARAMETER_CHANGE or effect.estimate is None:
            continue
        spoken = bool(one.decision.get("may_propose"))
        rows.append(
            Outcome(
                family=campaign.family,
                campaign=campaign.name,
                knob=one.knob,
                low=campaign.live[one.knob],
                high=change[1],
                evidence_end=_end(campaign.year),
                outcome_end=_end(campaign.year + OUTCOME_YEARS),
                years=float(EVIDENCE_YEARS),
                contrast=effect.estimate,
                standard_error=_known(effect.standard_error),
                surface=_known(one.decision.get("surface")),
                claimed=_known(one.expected_uplift) if spoken else math.nan,
                probability=_known(one.probability_positive),
                main=main[change],
                incumbent=came[change],
                dead=abs(effect.estimate) < DEAD,
            )
        )
    return rows


def _known(value: JsonValue) -> float:
    return float(value) if isinstance(value, int | float) else math.nan


def _samples(campaign: RealCampaign) -> Samples:
    return Samples(
        campaign=campaign.name,
        ended=_end(campaign.year),
        levels={path: levels_of_runs(campaign, path) for path in campaign.live},
        groups=np.repeat(np.array(campaign.markets, dtype=np.object_), campaign.evidence_sharpe.shape[1]),
        sharpe=campaign.evidence_sharpe.ravel(),
    )
