"""What a panel holds for evidence: usable distinct runs, their design, and notes on everything else.

Belongs here: from a panel and declared knobs to rows that contrasts can be taken over. Does not belong here: effects.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from typing import Final

import numpy as np
from numpy.typing import NDArray

from meta_pipeline.canonical import JsonValue, canonical_json
from meta_pipeline.counted import counted
from meta_pipeline.evidence.dead_knobs import dead_knobs
from meta_pipeline.evidence.design import Design
from meta_pipeline.evidence.distinct import DistinctRuns, distinct_runs, evidence_digest
from meta_pipeline.evidence.factors import Factor, Role, aliases, level_at
from meta_pipeline.evidence.grades import effective_number
from meta_pipeline.evidence.influence import Runs
from meta_pipeline.evidence.metrics import ZERO_VOLATILITY, Summary, summarize
from meta_pipeline.evidence.panel import RunPanel
from meta_pipeline.evidence.records import Records
from meta_pipeline.proposals.candidate import Note
from meta_pipeline.proposals.knobs import Knob
from meta_pipeline.proposals.parameters import Parameters, RiskLimits

MAX_SUBJECTS: Final = 100
EFFECTIVE_SAMPLE: Final = 256  # series are enough to estimate the mean squared correlation
REPORTED_SHARPE: Final = ("annualised_sharpe", "sharpe_ratio")

_EXCLUSIONS: Final = {
    "periods_per_year_unknown": "with returns but no periods per year, so nothing can be annualised",
    "not_finite": "with infinite returns",
    "too_few_returns": "with too few returns",
    "ruined": "that lost all equity",
    "zero_volatility": "with zero volatility, so no Sharpe ratio",
}


@dataclass(frozen=True, kw_only=True, eq=False)
class Campaign:
    """Distinct usable runs of a panel, and what was left out.

    Parameters
    ----------
    panel, knobs, live, parameters
        As handed to `propose`; knobs by path.
    distinct
        Distinct runs with a return series.
    metrics_only
        Distinct runs that only report metrics; their `series` codes stand for the reported Sharpe ratio.
    reported_sharpe
        Shape (n_metrics_only,): NaN where a run reports none.
    runs
        The distinct runs, for contrasts.
    notes, n_excluded, n_excluded_distinct
        What was left out, and why; how many runs, and how many distinct ones.
    """

    panel: RunPanel
    knobs: tuple[Knob, ...]
    live: Mapping[str, JsonValue]
    parameters: Parameters
    distinct: DistinctRuns
    metrics_only: DistinctRuns
    reported_sharpe: NDArray[np.float64]
    runs: Runs
    notes: tuple[Note, ...]
    n_excluded: int
    n_excluded_distinct: int

    @cached_property
    def dead(self) -> tuple[str, ...]:
        """Paths of the declared knobs that change nothing."""
        return dead_knobs(self.distinct, self.runs)

    @cached_property
    def aliased(self) -> tuple[tuple[str, ...], ...]:
        """Sets of keys that move together; a set with a dead knob is not worth a word."""
        return tuple(
            group
            for group in aliases(self.distinct.factors, self.distinct.blocks)
            if not any(path in self.dead for path in group)
        )

    @cached_property
    def confounded(self) -> dict[str, tuple[str, ...]]:
        """Declared knob -> the other knobs and nuisances that move with it."""
        roles = {factor.path: factor.role for factor in self.distinct.factors}
        result: dict[str, tuple[str, ...]] = {}
        for group in self.aliased:
            solid = tuple(path for path in group if roles[path] in {Role.KNOB, Role.NUISANCE})
            for path in solid:
                if roles[path] is Role.KNOB and len(solid) > 1:
                    result[path] = tuple(other for other in solid if other != path)
        return result

    @cached_property
    def design(self) -> Design:
        """The design over live, varying knobs and nuisances."""
        held = tuple(
            factor
            for factor in self.distinct.factors
            if factor.role in {Role.KNOB, Role.NUISANCE} and len(factor.levels) > 1 and factor.path not in self.dead
        )
        lengths = self.runs.summary.n_observations
        return Design(
            blocks=self.distinct.blocks,
            factors=held,
            lengths=lengths,
            years=lengths / self.runs.periods_per_year,
        )

    @cached_property
    def live_codes(self) -> dict[str, int | None]:
        """Path of each factor of the design -> code of the live level, None where no run has it."""
        return {factor.path: factor.code_of(level_at(self.live, factor.path)) for factor in self.design.factors}

    def factor(self, path: str) -> Factor | None:
        """Return the factor of a path among the runs with a series."""
        return next((factor for factor in self.distinct.factors if factor.path == path), None)

    @property
    def n_available(self) -> int:
        """Distinct runs that say anything at all."""
        return len(self.distinct) + int(np.isfinite(self.reported_sharpe).sum())

    @property
    def n_trials(self) -> int:
        """Distinct trials ever scored, left-out and earlier ones included."""
        return self._n_scored + self.parameters.prior_trials

    @property
    def _n_scored(self) -> int:
        return len(self.distinct) + len(self.metrics_only) + self.n_excluded_distinct

    @cached_property
    def n_effective(self) -> float:
        """Effective number of independent series among the distinct ones; estimated from at most 256."""
        _, first = np.unique(
            self.distinct.series * (int(self.distinct.blocks.max(initial=0)) + 1) + self.distinct.blocks,
            return_index=True,
        )
        if not len(first):
            return 0.0
        sample = first[np.linspace(0, len(first) - 1, min(len(first), EFFECTIVE_SAMPLE)).astype(np.intp)]
        summary = self.runs.summary
        periods = self.runs.periods_per_year[sample]
        n = summary.n_observations[sample]
        part = effective_number(
            self.runs.by_run[self.runs.columns[sample]].T,
            summary.volatility[sample] / np.sqrt(periods) * np.sqrt((n - 1) / n),
            summary.mean_return[sample] / periods,
        )
        if len(sample) == len(first) or part <= 1:
            return part
        squared = (len(sample) / part - 1) / (len(sample) - 1)
        return float(len(first) / (1 + (len(first) - 1) * squared))

    def digest(self, limits: RiskLimits, regimes: Mapping[str, NDArray[np.str_]] | None) -> str:
        """Return one digest of everything that an answer depends on: the runs, and what is asked of them."""
        labels = {market: sha256(" ".join(map(str, found)).encode()) for market, found in (regimes or {}).items()}
        question = canonical_json(
            {
                "live": dict(self.live),
                "knobs": [knob.to_json() for knob in self.knobs],
                "parameters": self.parameters.to_json(),
                "limits": limits.to_json(),
                "regimes": {market: label.hexdigest() for market, label in labels.items()},
            }
        )
        return evidence_digest(
            [b"series" + self.distinct.digest, b"reports" + self.metrics_only.digest, question.encode()]
        )


def read_campaign(
    panel: RunPanel, knobs: Sequence[Knob], live: Mapping[str, JsonValue], parameters: Parameters
) -> Campaign:
    """Sort a panel's runs into usable, metrics-only and left out, and reduce them to distinct ones."""
    periods = np.where(panel.periods_per_year > 0, panel.periods_per_year, np.nan)
    position = panel.columns
    held = np.flatnonzero(position >= 0)
    in_order = np.array_equal(position[held], np.arange(panel.returns.shape[1]))
    matrix = panel.returns if in_order else panel.returns[:, position[held]]
    summary = summarize(matrix, periods[held], tail=parameters.tail)
    with_returns = summary.n_observations > 0
    excluded = {
        code: held[members] for code, members in _exclusions(summary, periods[held], with_returns, parameters).items()
    }
    left_out = np.zeros(panel.n_runs, dtype=bool)
    for members in excluded.values():
        left_out[members] = True
    has_series = np.zeros(panel.n_runs, dtype=bool)
    has_series[held[with_returns]] = True
    declared = [knob.path for knob in knobs]
    usable = np.flatnonzero(has_series & ~left_out)
    distinct = distinct_runs(panel, usable, declared)
    bare = np.flatnonzero(~has_series)
    reports = Records.of(panel.reported).take(bare)
    sharpe = _reported_sharpe(reports)
    metrics_only = distinct_runs(panel, bare, declared, reported=sharpe)
    runs = Runs(
        by_run=panel.returns.T,
        columns=position[distinct.columns],
        summary=summary.take(np.searchsorted(held, distinct.columns)),
        periods_per_year=periods[distinct.columns],
        tail=parameters.tail,
    )
    return Campaign(
        panel=panel,
        knobs=tuple(sorted(knobs, key=lambda knob: knob.path)),
        live=live,
        parameters=parameters,
        distinct=distinct,
        metrics_only=metrics_only,
        reported_sharpe=sharpe[np.searchsorted(bare, metrics_only.columns)],
        runs=runs,
        notes=_notes(panel, excluded, distinct, metrics_only, bare, sharpe),
        n_excluded=int(left_out.sum()),
        n_excluded_distinct=len(distinct_runs(panel, np.flatnonzero(left_out), declared)),
    )


def _exclusions(
    summary: Summary, periods: NDArray[np.float64], has_series: NDArray[np.bool_], parameters: Parameters
) -> dict[str, NDArray[np.bool_]]:
    """Return who is left out by which reason; a run counts under its first."""
    with np.errstate(all="ignore"):
        per_period_sd = summary.volatility / np.sqrt(periods)
        mean = np.abs(summary.mean_return / periods)
    tests = {
        "periods_per_year_unknown": np.isnan(periods),
        "not_finite": ~np.isfinite(summary.cumulative_return),
        "too_few_returns": summary.n_observations < parameters.minimum_observations,
        "ruined": summary.ruined,
        "zero_volatility": ~(per_period_sd > ZERO_VOLATILITY * np.maximum(1.0, mean)),
    }
    remaining = has_series.copy()
    excluded = {}
    for code, failed in tests.items():
        excluded[code] = remaining & failed
        remaining &= ~failed
    return excluded


def _reported_sharpe(reports: Records) -> NDArray[np.float64]:
    """Return the annualised Sharpe ratio each run reports, NaN where it reports no finite number."""
    found = np.full(len(reports), np.nan)
    for name in REPORTED_SHARPE:
        values = reports.numbers(name)
        found = np.where(np.isnan(found) & np.isfinite(values), values, found)
    return found


def _notes(
    panel: RunPanel,
    excluded: Mapping[str, NDArray[np.intp]],
    distinct: DistinctRuns,
    metrics_only: DistinctRuns,
    bare: NDArray[np.intp],
    sharpe: NDArray[np.float64],
) -> tuple[Note, ...]:
    notes = []
    for code, members in excluded.items():
        if len(members):
            names = sorted(panel.run_ids[column] for column in members)
            notes.append(_note(code, f"{counted(len(names), 'run')} {_EXCLUSIONS[code]}; left out.", names))
    if len(bare):
        names = sorted(panel.run_ids[column] for column in bare)
        sentence = f"{counted(len(bare), 'run')} with metrics and no return series: never a grade above D."
        notes.append(_note("metrics_only", sentence, names))
    if np.isnan(sharpe).any():
        names = sorted(panel.run_ids[column] for column in bare[np.isnan(sharpe)])
        sentence = f"{counted(len(names), 'run')} with neither returns nor a reported Sharpe ratio; left out."
        notes.append(_note("no_sharpe_ratio", sentence, names))
    copies = int(distinct.copies.sum() - len(distinct) + metrics_only.copies.sum() - len(metrics_only))
    if copies:
        again = counted(copies, "run repeats", "runs repeat")
        sentence = f"{again} another run's block, configuration and returns; each counts once."
        notes.append(Note(code="duplicates", sentence=sentence, count=copies))
    ignored = sorted({f.path for f in distinct.factors if f.role is Role.IDENTIFIER and len(f.levels) > 1})
    if ignored:
        sentence = f"{', '.join(ignored)}: undeclared keys that only name runs; they are ignored."
        notes.append(_note("identifiers_ignored", sentence, ignored))
    nuisances = sorted({f.path for f in distinct.factors if f.role is Role.NUISANCE and len(f.levels) > 1})
    if nuisances:
        sentence = f"{', '.join(nuisances)}: undeclared keys that vary beside the knobs; they are held fixed."
        notes.append(_note("nuisances_held_fixed", sentence, nuisances))
    return tuple(notes)


def _note(code: str, sentence: str, subjects: Sequence[str]) -> Note:
    return Note(code=code, sentence=sentence, subjects=tuple(subjects[:MAX_SUBJECTS]), count=len(subjects))
