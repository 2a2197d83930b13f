"""What earlier campaigns of a family taught, brought to bear on the changes of this one.

Belongs here: from a campaign's changes to cases of the decision core, and its own pseudo-outcomes. Does not belong
here: what is learned (evidence.expected_value), or which rule stops a change (screening).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from meta_pipeline.canonical import JsonValue, digest, level_key
from meta_pipeline.evidence import half_years as halves
from meta_pipeline.evidence.design import FULL_LEVELS
from meta_pipeline.evidence.expected_value.learning import Cases, Expected, Learned, learn
from meta_pipeline.evidence.expected_value.ledger import EMPTY, Ledger, Outcome
from meta_pipeline.evidence.expected_value.pseudo_outcomes import PseudoOutcome, pseudo_outcomes
from meta_pipeline.evidence.expected_value.reliability import Reliability, reliability
from meta_pipeline.evidence.expected_value.surface import SEVERAL, Samples, Surface, fit_surface
from meta_pipeline.evidence.factors import Role, level_at
from meta_pipeline.evidence.grades import Claim, predicted
from meta_pipeline.evidence.influence import SHARPE_RATIO
from meta_pipeline.evidence.metrics import CHUNK_RUNS
from meta_pipeline.proposals.campaign import Campaign
from meta_pipeline.proposals.candidate import finite
from meta_pipeline.proposals.changes import Change
from meta_pipeline.proposals.evaluation import Evaluation, raised_runs

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Experience:
    """What a decision may know of the past.

    Parameters
    ----------
    family, campaign
        Whose history it is; and the name of the campaign that is decided, as the ledger will know it.
    decided_on
        The day of the decision: no outcome, and no campaign, that ended after it is looked at.
    ledger
        Outcomes of the family, those of this campaign included or not.
    samples
        Runs of the family's other campaigns.
    own_campaigns
        How many campaigns the panel that is judged pools.
    """

    family: str
    campaign: str
    decided_on: np.datetime64
    ledger: Ledger = EMPTY
    samples: tuple[Samples, ...] = ()
    own_campaigns: int = 1

    @property
    def others(self) -> Ledger:
        """Outcomes that ended by the day of the decision, pseudo-outcomes of this very campaign left out."""
        ended = self.ledger.ended_by(self.decided_on)
        return ended.take(~(ended.pseudo & (ended.campaign == self.campaign)))

    @property
    def is_empty(self) -> bool:
        """Whether it holds nothing to learn from."""
        return not len(self.others) and not self.samples

    def digest(self) -> str:
        """Return one digest of all that a decision can learn from; equal where the lessons are."""
        rows = self.others
        columns: dict[str, JsonValue] = {
            name: [finite(value) if isinstance(value, float) else str(value) for value in getattr(rows, name).tolist()]
            for name in rows.__dataclass_fields__
        }
        ended = [part for part in self.samples if self._ended(part)]
        parts: list[JsonValue] = []
        parts.extend(sorted(digest([part.campaign, str(part.ended), _columns(part)]) for part in ended))
        own: dict[str, JsonValue] = {"family": self.family, "campaign": self.campaign, "pooled": self.own_campaigns}
        return digest({**own, "ledger": columns, "samples": parts})

    def fit(self, own: Samples, at: np.datetime64) -> Surface:
        """Fit the surface to all campaigns that ended by a day, this one up to that day included."""
        ended = [part for part in self.samples if part.ended <= at and part.campaign != own.campaign]
        return fit_surface([*ended, own], at=at) if len(ended) + self.own_campaigns >= SEVERAL else Surface()

    def _ended(self, part: Samples) -> bool:
        return bool(part.ended <= self.decided_on)


def _columns(part: Samples) -> list[JsonValue]:
    knobs = sorted(part.levels)
    rows = zip(part.groups, *(part.levels[knob] for knob in knobs), part.sharpe.tolist(), strict=True)
    content: list[JsonValue] = [*knobs]
    content.extend(sorted({"\x1f".join([*row[:-1], f"{row[-1]:.12g}"]) for row in rows}))
    return content


@dataclass(frozen=True, kw_only=True, eq=False)
class Verdict:
    """What experience says of the changes with a contrast, in their order.

    Parameters
    ----------
    learned, expected
        What was learned, and what is expected of each change.
    decisions
        Per change, for the record: everything that led to its claim.
    pseudo
        This campaign's own pseudo-outcomes.
    """

    learned: Learned
    expected: Expected
    decisions: tuple[Mapping[str, JsonValue], ...]
    pseudo: tuple[Outcome, ...]
    summary: Mapping[str, JsonValue]

    @property
    def cold(self) -> bool:
        """Whether nothing is known but this campaign: then the claims of theory stand."""
        return self.learned.is_first(str(self.summary["campaign"]))

    def claim(self, index: int, *, confidence_level: float) -> Claim:
        """Return what is claimed of one change, with its predictive interval."""
        return predicted(
            float(self.expected.claim[index]),
            float(self.expected.spread[index]),
            float(self.expected.probability[index]),
            confidence_level=confidence_level,
        )


UNKNOWN: Final = float("nan")
FROM_SURFACE, FIRST, HISTORY = "response surface", "contrast after a haircut", "contrast and history"


def consult(
    campaign: Campaign, changes: Sequence[Change], evaluation: Evaluation, spreads: Floats, experience: Experience
) -> Verdict:
    """Judge the changes of a campaign by what earlier ones taught.

    Parameters
    ----------
    changes, evaluation
        Changes with a contrast, and their figures.
    spreads
        Shape (n_changes,): standard deviation of the realised effect around the claim, as theory has it.
    """
    reduced = _half_years(campaign)
    incumbent = {knob.path: level_key(level_at(campaign.live, knob.path)) for knob in campaign.knobs}
    own = _pseudo(campaign, changes, evaluation, reduced, experience, incumbent)
    learned = learn(
        experience.others.plus(Ledger.of(own).ended_by(experience.decided_on)),
        at=experience.decided_on,
        haircuts=(
            (campaign.parameters.haircut_short_years, campaign.parameters.haircut_short),
            (campaign.parameters.haircut_long_years, campaign.parameters.haircut_long),
        ),
    )
    runs = _samples(campaign, experience, campaign.runs.metric(SHARPE_RATIO), experience.decided_on)
    # Without any outcome nothing is known of what a surface's word is worth.
    first = learned.is_first(experience.campaign)
    surface = Surface() if first else experience.fit(runs, experience.decided_on)
    cases = _cases(changes, evaluation, spreads, experience, surface, incumbent)
    expected = learned.expect(cases)
    past = reliability(experience.others)
    decisions = tuple(_decision(expected, cases, learned, past, index) for index in range(len(changes)))
    return Verdict(
        learned=learned,
        expected=expected,
        decisions=decisions,
        pseudo=own,
        summary=_summary(experience, learned, surface, past),
    )


def _cases(
    changes: Sequence[Change],
    evaluation: Evaluation,
    spreads: Floats,
    experience: Experience,
    surface: Surface,
    incumbent: Mapping[str, str],
) -> Cases:
    n = len(changes)
    highs = [level_key(change.to_value) for change in changes]
    return Cases(
        family=_texts([experience.family] * n),
        campaign=_texts([experience.campaign] * n),
        knob=_texts([change.knob.path for change in changes]),
        low=_texts([level_key(change.from_value) for change in changes]),
        high=_texts(highs),
        years=np.asarray(evaluation.years, dtype=np.float64),
        contrast=np.asarray([effect.estimate for effect in evaluation.effects], dtype=np.float64),
        standard_error=np.asarray([effect.standard_error for effect in evaluation.effects], dtype=np.float64),
        surface=np.asarray(
            [surface.uplift(incumbent, change.knob.path, high) for change, high in zip(changes, highs, strict=True)]
        ),
        spread=spreads,
    )


def _texts(values: Sequence[str]) -> NDArray[np.object_]:
    result = np.empty(len(values), dtype=np.object_)
    result[:] = values
    return result


def _half_years(campaign: Campaign) -> halves.HalfYears:
    """Reduce the distinct runs, a cache's worth of columns at a time."""
    columns, by_run, dates = campaign.runs.columns, campaign.runs.by_run, campaign.panel.dates
    parts = [
        halves.half_years(dates, by_run[columns[start : start + CHUNK_RUNS]].T)
        for start in range(0, len(columns), CHUNK_RUNS)
    ]
    return halves.HalfYears(
        first=parts[0].first,
        n=np.concatenate([part.n for part in parts], axis=1),
        total=np.concatenate([part.total for part in parts], axis=1),
        squared=np.concatenate([part.squared for part in parts], axis=1),
    )


def _pseudo(
    campaign: Campaign,
    changes: Sequence[Change],
    evaluation: Evaluation,
    reduced: halves.HalfYears,
    experience: Experience,
    incumbent: Mapping[str, str],
) -> tuple[Outcome, ...]:
    """Return this campaign's own pseudo-outcomes."""
    weighting, periods = evaluation.weighting, campaign.runs.periods_per_year
    local = np.zeros_like(weighting.main)
    for index, column in enumerate(weighting.local_columns):
        if column is not None:
            local[:, index] = weighting.columns[:, column]
    found = pseudo_outcomes(
        reduced,
        periods_per_year=periods,
        blocks=campaign.distinct.blocks,
        weights=weighting.main,
        raised=raised_runs(changes),
        local=local,
        last_day=campaign.panel.dates[-1].astype("datetime64[D]"),
    )
    surfaces = {}
    for past, ended in sorted({(row.past_stop, row.evidence_end) for row in found}):
        sharpe = reduced.sharpe(reduced.first, past, periods)
        surfaces[past] = experience.fit(_samples(campaign, experience, sharpe, ended), ended)
    return tuple(
        _outcome(row, changes[row.change], evaluation, experience, surfaces[row.past_stop], incumbent) for row in found
    )


def _outcome(
    row: PseudoOutcome,
    change: Change,
    evaluation: Evaluation,
    experience: Experience,
    surface: Surface,
    incumbent: Mapping[str, str],
) -> Outcome:
    error, years = evaluation.effects[row.change].standard_error, evaluation.years[row.change]
    high = level_key(change.to_value)
    return Outcome(
        family=experience.family,
        campaign=experience.campaign,
        knob=change.knob.path,
        low=level_key(change.from_value),
        high=high,
        evidence_end=row.evidence_end,
        outcome_end=row.outcome_end,
        years=row.years,
        contrast=row.contrast,
        # An error shrinks with the root of time, so that a part of the window has the larger one.
        standard_error=UNKNOWN if error is None else error * float(np.sqrt(years / row.years)),
        main=row.main,
        incumbent=row.incumbent,
        surface=surface.uplift(incumbent, change.knob.path, high),
        pseudo=True,
        dead=evaluation.negligible[row.change],
    )


def _samples(campaign: Campaign, experience: Experience, sharpe: Floats, ended: np.datetime64) -> Samples:
    """Return this campaign's runs as the surface sees them: their declared knobs, but for dead and too fine ones."""
    runs = campaign.distinct
    known = {knob.path for knob in campaign.knobs}
    levels = {}
    for factor in campaign.design.factors:
        if factor.role is Role.KNOB and factor.path in known and len(factor.levels) <= FULL_LEVELS:
            names = _texts([level_key(level) for level in factor.levels])
            levels[factor.path] = names[factor.codes]
    labels = _texts([f"{block}|{periods:g}" for block, periods in runs.block_labels])
    return Samples(campaign=experience.campaign, ended=ended, levels=levels, groups=labels[runs.blocks], sharpe=sharpe)


def _decision(
    expected: Expected, cases: Cases, learned: Learned, past: Reliability, index: int
) -> dict[str, JsonValue]:
    from_surface = bool(expected.from_surface[index])
    first = learned.is_first(str(cases.campaign[index]))
    return {
        "basis": "response surface"
        if from_surface
        else "contrast after a haircut"
        if first
        else "contrast and history",
        "main_mean": finite(float(expected.main_mean[index])),
        "surface": finite(float(cases.surface[index])),
        "share_claimed": finite(learned.rho if from_surface else 1.0 if first else learned.rho_main),
        "history": finite(float(expected.history[index])),
        "history_outcomes": int(expected.n_outcomes[index]),
        "win_rate": finite(float(expected.win_rate[index])),
        "halved": learned.alarm.sounded,
        "ended_outcomes": learned.n_outcomes,
        "may_propose": learned.enough,
        "past_claims": {
            "outcomes": past.n,
            "brier": finite(past.brier),
            "claimed": finite(past.claimed),
            "realised": finite(past.realised),
        },
    }


def _summary(experience: Experience, learned: Learned, surface: Surface, past: Reliability) -> dict[str, JsonValue]:
    return {
        "family": experience.family,
        "campaign": experience.campaign,
        "decided_on": str(experience.decided_on),
        "ended_outcomes": learned.n_outcomes,
        "campaigns": len(learned.campaigns),
        "weights": [finite(weight) for weight in learned.weights],
        "rho": finite(learned.rho),
        "rho_main": finite(learned.rho_main),
        "surface_campaigns": surface.n_campaigns,
        "surface_runs": surface.n_runs,
        "odds": None if learned.odds is None else [finite(learned.odds.score), finite(learned.odds.habit)],
        "realised_of_claimed": finite(learned.alarm.ratio),
        "alarm": learned.alarm.sentence,
        "reliability": past.to_json(),
    }
