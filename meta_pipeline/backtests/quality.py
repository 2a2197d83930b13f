"""The quality gate: every run is judged by its returns, and none is dropped.

Belongs here: the order of judgement, and what is recomputed from returns. Reading single parts of
a run (texts, configuration, trades, window) is in `reading`; reported metrics in `reported`; time
stamps in `periods`.
"""

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from meta_pipeline.backtests import reading
from meta_pipeline.backtests.defect import Defect, first_defect, printable
from meta_pipeline.backtests.inspected import Calendar, InspectedBatch, InspectedRun, Series
from meta_pipeline.backtests.periods import DECLARED_TOLERANCE, PeriodsPerYear, infer_periods_per_year
from meta_pipeline.backtests.reasons import ReasonCode
from meta_pipeline.backtests.reported import (
    CUMULATIVE_RETURN,
    DRAWDOWN,
    SHARPE,
    VOLATILITY,
    ReportedMetrics,
    read_reported,
    stand_alone_defects,
)
from meta_pipeline.backtests.run import BacktestRun, RunState, Trade
from meta_pipeline.canonical import JsonValue, canonical_json, digest
from meta_pipeline.evidence.metrics import ZERO_VOLATILITY, Summary, summarize

MIN_RETURNS: Final = 10
"""Fewer returns say nothing of volatility, let alone of its error."""

CHUNK_RUNS: Final = 1024
"""Runs that are copied into one matrix and measured together."""

MISMATCH_RELATIVE: Final = 0.05
MISMATCH_ABSOLUTE: Final = 0.005
"""A reported metric may differ from the recomputed one by 5 %, or by the rounding to two decimals."""

# Reported name -> name in evidence.metrics.Summary.
_RECOMPUTED: Final = {
    SHARPE: "sharpe_ratio",
    CUMULATIVE_RETURN: "cumulative_return",
    VOLATILITY: "volatility",
    DRAWDOWN: "max_drawdown",
}

_TRADE_FIELDS: Final = ("trade_date", "ticker", "direction", "size", "price")


@dataclass(kw_only=True, eq=False)
class _Draft:
    """A run on its way through the gate."""

    run: BacktestRun
    texts: Mapping[str, str]
    config_json: str
    trades: tuple[Trade, ...]
    window: reading.Window
    config_version: int | None
    reported: ReportedMetrics
    series: Series | None
    periods_per_year: float | None
    defects: list[Defect]
    computed: dict[str, JsonValue] = field(default_factory=dict)

    @property
    def measurable(self) -> bool:
        """Whether the returns are in order so far, so that numbers may be taken from them."""
        return self.series is not None and not any(d.code in reading.SERIES_DEFECTS for d in self.defects)


class Calendars:
    """The calendars of the runs seen so far, each digested and examined once."""

    def __init__(self) -> None:
        self._by_id: dict[str, tuple[Calendar, tuple[Defect, ...], PeriodsPerYear | None]] = {}

    def look_up(self, timestamps: NDArray[np.int64]) -> tuple[Calendar, tuple[Defect, ...], PeriodsPerYear | None]:
        """Return the calendar of some time stamps, what is wrong with it, and its periods per year if nothing is."""
        calendar = Calendar.of(timestamps)
        known = self._by_id.get(calendar.calendar_id)
        if known is None:
            defects = tuple(reading.calendar_defects(calendar.timestamps))
            known = (calendar, defects, None if defects else infer_periods_per_year(calendar.timestamps))
            self._by_id[calendar.calendar_id] = known
        return known


def inspect(runs: Sequence[BacktestRun], *, calendars: Calendars | None = None) -> InspectedBatch:
    """Judge runs: recompute their metrics from returns, and say of each whether it is evidence.

    A run is ACCEPTED when its returns stand every check, METRICS_ONLY when it has no returns but
    a usable reported Sharpe ratio, and else QUARANTINED with a reason code and a sentence that names the
    value. No value of a run raises.

    Parameters
    ----------
    calendars
        Calendars of earlier batches of the same delivery; saves examining them again.

    Raises
    ------
    InputError
        If a run has no strategy or campaign that could be stored: there is no place to quarantine it.
    """
    shared = Calendars() if calendars is None else calendars
    drafts = [_draft(run, shared) for run in runs]
    for chunk in _chunks([draft for draft in drafts if draft.measurable]):
        _measure(chunk)
    return InspectedBatch(runs=tuple(_judged(draft) for draft in drafts))


def _draft(run: BacktestRun, calendars: Calendars) -> _Draft:
    reading.check_address(run)
    defects = [Defect(ReasonCode.MALFORMED_ROW, sentence) for sentence in run.defects]
    texts = reading.read_texts(run, defects)
    config_json = reading.read_config(run.config, defects)
    trades = reading.read_trades(run.trades, defects)
    reported = read_reported(run.metrics)
    defects.extend(reported.defects)
    series, inferred = _series(run, calendars, defects)
    declared = reading.read_periods(run.periods_per_year, defects)
    window = reading.read_window(run, None if series is None else series.calendar.timestamps, defects)
    if inferred is not None:
        defects.extend(_period_defects(declared, inferred))
    if reading.count_of(run.returns) == 0:
        defects.extend(stand_alone_defects(reported))
    return _Draft(
        run=run,
        texts=texts,
        config_json=config_json,
        trades=trades,
        window=window,
        config_version=reading.read_version(run.config_version, defects),
        reported=reported,
        series=series,
        periods_per_year=declared if declared is not None or inferred is None else inferred.value,
        defects=defects,
    )


def _series(
    run: BacktestRun, calendars: Calendars, defects: list[Defect]
) -> tuple[Series | None, PeriodsPerYear | None]:
    arrays = reading.read_arrays(run, defects)
    if arrays is None:
        return None, None
    timestamps, returns = arrays
    calendar, calendar_defects, inferred = calendars.look_up(timestamps)
    defects.extend(calendar_defects)
    if len(returns) < MIN_RETURNS:
        sentence = f"{len(returns)} returns; at least {MIN_RETURNS} are needed"
        defects.append(Defect(ReasonCode.TOO_FEW_RETURNS, sentence))
    # Adding zero turns -0.0 into 0.0, so that equal returns have equal bytes.
    series_digest = hashlib.sha256(calendar.calendar_id.encode() + (returns + 0.0).tobytes()).hexdigest()
    return Series(calendar=calendar, returns=returns, digest=series_digest), inferred


def _period_defects(declared: float | None, inferred: PeriodsPerYear) -> Iterator[Defect]:
    if declared is None:
        if inferred.value is None:
            sentence = f"periods per year were not given and cannot be inferred: {inferred.why}; give periods_per_year"
            yield Defect(ReasonCode.AMBIGUOUS_PERIODS_PER_YEAR, sentence)
    elif inferred.observed is not None:
        ratio = declared / inferred.observed
        if not 1.0 / DECLARED_TOLERANCE <= ratio <= DECLARED_TOLERANCE:
            sentence = f"periods_per_year is given as {declared:g}, but the dates hold {inferred.observed:.4g} a year"
            yield Defect(ReasonCode.PERIODS_PER_YEAR_CONFLICT, sentence)


def _chunks(drafts: Sequence[_Draft]) -> Iterator[list[_Draft]]:
    """Group drafts of equally many returns, in chunks."""
    by_length: dict[int, list[_Draft]] = {}
    for draft in drafts:
        assert draft.series is not None
        by_length.setdefault(len(draft.series.returns), []).append(draft)
    for group in by_length.values():
        for start in range(0, len(group), CHUNK_RUNS):
            yield group[start : start + CHUNK_RUNS]


def _measure(chunk: Sequence[_Draft]) -> None:
    """Find defects of the returns, and recompute metrics where there are none; fills the drafts."""
    by_run = np.stack([draft.series.returns for draft in chunk if draft.series is not None])
    finite = np.isfinite(by_run)
    sound = [bool(all_finite) for all_finite in np.all(finite, axis=1)]
    for draft, days, is_sound in zip(chunk, finite, sound, strict=True):
        if not is_sound:
            first = int(np.argmin(days))
            draft.defects.append(_bad_return(draft, first, ReasonCode.NOT_FINITE, "is not a finite number"))
    clean = by_run if all(sound) else by_run[np.asarray(sound)]
    members = [draft for draft, is_sound in zip(chunk, sound, strict=True) if is_sound]
    if not members:
        return
    # Where periods per year are unknown (a defect already), one year per period leaves the other metrics right.
    periods = np.array([draft.periods_per_year or 1.0 for draft in members])
    summary = summarize(clean.T, periods)
    for row, draft in enumerate(members):  # rows of `clean` and of the summary
        draft.defects.extend(_numeric_defects(draft, clean[row], summary, row))
        _keep_computed(draft, summary, row)


def _bad_return(draft: _Draft, position: int, code: ReasonCode, what: str) -> Defect:
    assert draft.series is not None
    day = reading.moment(draft.series.calendar.timestamps[position])
    return Defect(code, f"the return of {day} is {float(draft.series.returns[position])!r}, which {what}")


def _numeric_defects(draft: _Draft, returns: NDArray[np.float64], summary: Summary, row: int) -> Iterator[Defect]:
    periods = draft.periods_per_year or 1.0
    mean = float(summary.mean_return[row]) / periods
    deviation = float(summary.volatility[row]) / math.sqrt(periods)
    if bool(summary.ruined[row]):
        what = "takes equity to zero or below"
        yield _bad_return(draft, int(np.argmax(returns <= -1.0)), ReasonCode.RUIN, what)
    elif float(summary.cumulative_return[row]) <= -1.0:
        yield Defect(ReasonCode.RUIN, "equity compounds to zero")
    if deviation <= ZERO_VOLATILITY * max(1.0, abs(mean)):
        sentence = f"returns do not vary: standard deviation {deviation:.3g}, mean {mean:.6g}"
        yield Defect(ReasonCode.ZERO_VOLATILITY, sentence)
    elif not np.isfinite([deviation, *(getattr(summary, name)[row] for name in _RECOMPUTED.values())]).all():
        yield Defect(ReasonCode.NOT_FINITE, f"returns of up to {float(np.abs(returns).max()):.3g} compound to infinity")
    elif draft.periods_per_year is not None:
        yield from _mismatches(draft.reported, summary, row)


def _mismatches(reported: ReportedMetrics, summary: Summary, row: int) -> Iterator[Defect]:
    for name, recomputed_name in _RECOMPUTED.items():
        value = reported.number(name)
        if value is None:
            continue
        recomputed = float(getattr(summary, recomputed_name)[row])
        if abs(value - recomputed) > max(MISMATCH_RELATIVE * abs(recomputed), MISMATCH_ABSOLUTE):
            sentence = f"{name} is reported as {value:.6g}, but the returns give {recomputed:.6g}"
            yield Defect(ReasonCode.METRIC_MISMATCH, sentence)


def _keep_computed(draft: _Draft, summary: Summary, row: int) -> None:
    values = summary.of_run(row)
    if draft.periods_per_year is None:
        values.update(dict.fromkeys(("mean_return", "volatility", "sharpe_ratio", "annual_return")))
    draft.computed = {"n_returns": int(summary.n_observations[row]), **values}
    missing = {
        name: summary.reason(name, row) or "periods per year are unknown"
        for name, value in values.items()
        if value is None
    }
    if missing:
        draft.computed["missing"] = missing


def _judged(draft: _Draft) -> InspectedRun:
    defect = first_defect(draft.defects)
    if defect is not None:
        state = RunState.QUARANTINED
    else:
        state = RunState.ACCEPTED if draft.series is not None else RunState.METRICS_ONLY
    if draft.reported.missing:
        draft.computed["reported_missing"] = dict(draft.reported.missing)
    metrics_json = canonical_json(draft.reported.values)
    content_digest = _content_digest(draft, metrics_json)
    run_id = draft.texts["run_id"]
    return InspectedRun(
        run_id=run_id or f"run-{content_digest[:32]}",
        strategy_id=draft.run.strategy_id,
        campaign_id=draft.run.campaign_id,
        config_json=draft.config_json,
        config_digest=hashlib.sha256(draft.config_json.encode("utf-8")).hexdigest(),
        start_date=draft.window.start,
        end_date=draft.window.end,
        market_id=draft.texts["market_id"],
        universe_id=draft.texts["universe_id"],
        sector=draft.texts["sector"],
        code_version=draft.texts["code_version"],
        periods_per_year=draft.periods_per_year,
        config_version=draft.config_version,
        metrics_json=metrics_json,
        computed_json=canonical_json(draft.computed) if draft.computed else None,
        state=state,
        reason_code=None if defect is None else defect.code,
        reason=None if defect is None else printable(defect.sentence),
        content_digest=content_digest,
        source=draft.texts["source"],
        series=draft.series,
        trades=draft.trades,
    )


def _content_digest(draft: _Draft, metrics_json: str) -> str:
    """Digest everything that makes a run the run it is, as it was handed in: not its id, nor where it came from."""
    run = draft.run
    if draft.series is not None:
        series = draft.series.digest
    else:
        series = canonical_json([reading.as_content(run.dates), reading.as_content(run.returns)])
    others = (run.start_date, run.end_date, run.periods_per_year, run.config_version)
    trades = [[reading.as_content(getattr(trade, name)) for name in _TRADE_FIELDS] for trade in run.trades]
    parts = [
        run.strategy_id,
        run.campaign_id,
        *(draft.texts[name] for name in ("market_id", "universe_id", "sector", "code_version")),
        draft.config_json,
        *(canonical_json(reading.as_content(value)) for value in others),
        series,
        metrics_json,
        canonical_json(dict(draft.reported.missing)),
        canonical_json(trades),
        canonical_json([reading.as_content(sentence) for sentence in run.defects]),
    ]
    return digest(parts)
