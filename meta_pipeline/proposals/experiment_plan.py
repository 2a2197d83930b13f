"""What to run next: the runs that would identify what is not, and how much more evidence the rest would need.

Belongs here: from an answer of the engine to configurations that a backtester can take. Does not belong here: which
contrast is identified (changes), or how large an effect must be to be found (evidence.grades).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Final

from meta_pipeline.canonical import ABSENT, JsonValue, canonical_json
from meta_pipeline.errors import InputError
from meta_pipeline.proposals.candidate import Candidate, ProposalType, Proposed, finite, level_to_json
from meta_pipeline.proposals.configs import with_level
from meta_pipeline.proposals.knobs import Knob

WORTH_FINDING: Final = 0.3
PLAN_FORMAT: Final = 1


@dataclass(frozen=True, kw_only=True)
class MissingRun:
    """One run to make.

    Parameters
    ----------
    market, window, campaign
        The block it joins: its market, its first and last day (ISO, "from..to"), its campaign.
    config
        The whole configuration, ready for a backtester.
    identifies
        What it would tell, one sentence for each change.
    """

    market: str
    window: str
    campaign: str
    config: Mapping[str, JsonValue]
    identifies: tuple[str, ...]

    def to_json(self) -> dict[str, JsonValue]:
        """Return the run as a canonical-JSON-safe object."""
        return asdict(self) | {"config": dict(self.config), "identifies": list(self.identifies)}


@dataclass(frozen=True, kw_only=True)
class MoreEvidence:
    """How much longer, or broader, the evidence on one change would have to be.

    Parameters
    ----------
    knob, from_value, to_value
        The change, levels as `level_to_json` writes them.
    estimate, smallest_detectable_effect
        Today, in annualised Sharpe ratio.
    worth_finding
        The effect that is to be found.
    days, days_needed, more_days
        Calendar days with returns: there are, would be needed on the same markets, and the difference.
    markets, markets_needed, more_markets
        The same at today's number of days, if each further market told as much as those there are; markets that move
        together tell less, so that this is the least.
    """

    knob: str
    from_value: Mapping[str, JsonValue]
    to_value: Mapping[str, JsonValue]
    estimate: float | None
    smallest_detectable_effect: float
    worth_finding: float
    days: int
    days_needed: int
    more_days: int
    markets: int
    markets_needed: int
    more_markets: int

    def to_json(self) -> dict[str, JsonValue]:
        """Return it as a canonical-JSON-safe object."""
        return asdict(self) | {
            "estimate": finite(self.estimate),
            "smallest_detectable_effect": finite(self.smallest_detectable_effect),
        }


@dataclass(frozen=True, kw_only=True)
class ExperimentPlan:
    """What to run next for one strategy."""

    evidence_digest: str
    runs: tuple[MissingRun, ...]
    more_evidence: tuple[MoreEvidence, ...]

    def to_json(self, *, strategy_id: str) -> dict[str, JsonValue]:
        """Return the plan as a canonical-JSON-safe object."""
        return {
            "format": PLAN_FORMAT,
            "strategy_id": strategy_id,
            "evidence_digest": self.evidence_digest,
            "runs": [run.to_json() for run in self.runs],
            "more_evidence": [one.to_json() for one in self.more_evidence],
        }


def plan_experiments(
    proposed: Proposed,
    *,
    knobs: Sequence[Knob],
    live: Mapping[str, JsonValue],
    n_markets: int,
    worth_finding: float = WORTH_FINDING,
) -> ExperimentPlan:
    """Collect what is missing.

    Parameters
    ----------
    proposed
        The engine's answer.
    knobs, live
        As it was asked.
    n_markets
        Markets with runs.
    worth_finding
        Effect on the annualised Sharpe ratio below which nothing more is asked for.

    Raises
    ------
    InputError
        If the effect is not positive.
    """
    if not worth_finding > 0 or not math.isfinite(worth_finding):
        raise InputError(f"the effect worth finding is {worth_finding!r}; it must be positive, for instance 0.3")
    tested = [c for c in proposed.candidates if c.proposal_type is ProposalType.CONFIG_PARAMETER_CHANGE]
    more = [_more(candidate, n_markets, worth_finding) for candidate in tested]
    return ExperimentPlan(
        evidence_digest=proposed.evidence_digest,
        runs=_runs(tested, knobs, live),
        more_evidence=tuple(
            sorted(
                (one for one in more if one is not None),
                key=lambda one: (one.more_days, one.knob, canonical_json(one.to_value)),
            )
        ),
    )


def _runs(
    candidates: Sequence[Candidate], knobs: Sequence[Knob], live: Mapping[str, JsonValue]
) -> tuple[MissingRun, ...]:
    reasons: dict[tuple[str, str], tuple[Mapping[str, JsonValue], dict[str, None]]] = {}
    for candidate in candidates:
        for experiment in candidate.experiments:
            config: Mapping[str, JsonValue] = live
            for knob in knobs:
                config = with_level(config, knob.path, experiment.config.get(knob.path, ABSENT))
            key = experiment.block, canonical_json(config)
            reasons.setdefault(key, (config, {}))[1].setdefault(experiment.why)
    found = []
    for (block, _), (config, why) in sorted(reasons.items()):
        market, window, campaign = [*block.rsplit("|", 2), "", ""][:3]
        found.append(MissingRun(market=market, window=window, campaign=campaign, config=config, identifies=tuple(why)))
    return tuple(found)


def _more(candidate: Candidate, n_markets: int, worth_finding: float) -> MoreEvidence | None:
    """Say how much is missing, or None where such an effect would have been found, or no amount would help."""
    smallest = candidate.smallest_detectable_effect
    if smallest is None or not smallest > worth_finding or not candidate.effect.n_days:
        return None
    # An error shrinks with the root of the days, and at best with that of the markets.
    times = (smallest / worth_finding) ** 2
    days, markets = candidate.effect.n_days, max(n_markets, 1)
    days_needed, markets_needed = math.ceil(days * times), math.ceil(markets * times)
    return MoreEvidence(
        knob=candidate.knob,
        from_value=level_to_json(candidate.from_value),
        to_value=level_to_json(candidate.to_value),
        estimate=candidate.effect.estimate,
        smallest_detectable_effect=smallest,
        worth_finding=worth_finding,
        days=days,
        days_needed=days_needed,
        more_days=days_needed - days,
        markets=markets,
        markets_needed=markets_needed,
        more_markets=markets_needed - markets,
    )
