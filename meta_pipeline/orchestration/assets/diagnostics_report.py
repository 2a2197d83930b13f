"""The asset `diagnostics_report`: what a researcher reads about each strategy before anything is proposed."""

from typing import TYPE_CHECKING, Any, Final

import dagster as dg

from meta_pipeline.counted import counted
from meta_pipeline.errors import InsufficientData
from meta_pipeline.orchestration.assets import GROUP, RESEARCH, THROUGH_BY_FOUR
from meta_pipeline.orchestration.evidence_state import evidence_state
from meta_pipeline.orchestration.isolation import Outcome, check_result, check_spec, each_strategy
from meta_pipeline.orchestration.judging import judge
from meta_pipeline.orchestration.metadata import on_the_pages, picture_value, strategy_pages
from meta_pipeline.orchestration.refreshing import scope_of
from meta_pipeline.orchestration.resources import DatabaseResource

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from meta_pipeline.diagnostics.diagnose import DiagnosticsReport
    from meta_pipeline.evidence.panel import RunPanel
    from meta_pipeline.orchestration.judging import Judged

NAME: Final = "diagnostics_report"

MAX_STRATEGIES: Final = 25
MAX_SENTENCES: Final = 900
MAX_REPORTS: Final = 8
MAX_ROWS: Final = 12
"""Strategies that are described, whole reports, and rows of each of their tables: the event log keeps all for ever."""


@dg.asset(
    name=NAME,
    deps=["backtest_aggregates"],
    group_name=GROUP,
    owners=RESEARCH,
    kinds={"postgresql", "numpy", "html"},
    freshness_policy=THROUGH_BY_FOUR,
    check_specs=[check_spec(NAME)],
    description=(
        "Per strategy: data health, the effect of each knob, dead and aliased knobs, underperforming and high-risk "
        "configurations, stability over time, and how much of the best may be luck."
    ),
)
def diagnostics_report(
    context: dg.AssetExecutionContext, database: dg.ResourceParam[DatabaseResource]
) -> dg.MaterializeResult:  # type: ignore[type-arg]  # Dagster knows the bare type only
    """Write a report for every strategy with evidence."""
    with database.connect() as connection:
        state = evidence_state(connection)
    scope = scope_of(context.run)
    chosen = [strategy for strategy in state.strategies if scope is None or strategy in scope]
    outcome = each_strategy(
        [name for name in chosen if name in state.declared], lambda name: report_for(name, database), context.log
    )
    return dg.MaterializeResult(
        metadata={
            **_metadata(outcome),
            **_documents(outcome, database),
            **on_the_pages(database.settings, strategy_pages(outcome.done)),
        },
        data_version=dg.DataVersion(state.digest),
        check_results=[check_result(outcome)],
    )


def report_for(strategy_id: str, database: DatabaseResource) -> "DiagnosticsReport | str":
    """Diagnose one strategy and keep the report; too little data gives the sentence that says so instead."""
    from meta_pipeline.diagnostics.diagnose import diagnose
    from meta_pipeline.store import diagnostics
    from meta_pipeline.store.aggregates import read_aggregates
    from meta_pipeline.store.regimes import read_regimes

    judged = judge(strategy_id, database)
    with database.connect() as connection:
        aggregates = read_aggregates(connection, strategy_id)
        health = diagnostics.data_health(connection, strategy_id)
        regimes = read_regimes(connection, judged.panel.markets, judged.panel.dates)
    try:
        report = diagnose(
            judged.panel,
            knobs=judged.record.strategy.knobs,
            live=judged.record.strategy.live_config,
            proposed=judged.proposed,
            aggregates=aggregates,
            data_health=health,
            regimes=regimes,
            buy_and_hold=_buy_and_hold(judged.panel),
        )
    except InsufficientData as sentence:
        return str(sentence)
    page = _page(strategy_id, judged, report, database)
    with database.begin() as connection:
        diagnostics.write_report(connection, report, strategy_id=strategy_id, now=database.now(), page_sha256=page)
    return report


def _page(strategy_id: str, judged: "Judged", report: "DiagnosticsReport", database: DatabaseResource) -> str:
    """Write the report as a document, and return its sha256."""
    from meta_pipeline.diagnostics.equity import compare_equity
    from meta_pipeline.report.diagnostics import knobs_text
    from meta_pipeline.report.experience import Past
    from meta_pipeline.report.files import report_files
    from meta_pipeline.report.strategy_report import StrategyReport, strategy_html
    from meta_pipeline.store.scorecards import scorecard

    strategy, best = judged.record.strategy, report.overfitting.best
    with database.connect() as connection:
        scores = scorecard(connection)
    equity = compare_equity(
        judged.panel,
        knobs=strategy.knobs,
        live=strategy.live_config,
        challenger=None if best is None else best.knobs,
        name="none" if best is None else f"the best, {knobs_text(best.knobs)}",
    )
    past = Past(strategy_id=strategy_id, experience=judged.proposed.experience)
    found = StrategyReport(
        strategy_id=strategy_id,
        night=database.now().date(),
        report=report,
        equity=equity,
        past=past,
        scores=scores,
    )
    return report_files(database.settings.home).put(strategy_html(found))


def _buy_and_hold(panel: "RunPanel") -> "NDArray[np.float64] | None":
    """Return the mean return of holding the panel's markets, where the lab knows their prices; else None."""
    import numpy as np

    from meta_pipeline.errors import InputError
    from meta_pipeline.lab.prices import MARKETS, load_prices

    markets = sorted(set(panel.markets))
    if not markets or not set(markets) <= set(MARKETS):
        return None
    days = panel.dates.astype("datetime64[D]")
    columns = np.full((len(markets), len(days)), np.nan)
    for row, market in enumerate(markets):
        try:
            prices = load_prices(market)
        except InputError:  # the lab's prices are an optional part of the installation
            return None
        place = np.searchsorted(prices.dates, days)
        there = (place > 0) & (place < len(prices.dates))
        there[there] = prices.dates[place[there]] == days[there]
        columns[row, there] = prices.closes[place[there]] / prices.closes[place[there] - 1] - 1.0
    traded = ~np.isnan(columns)
    total: NDArray[np.float64] = np.nan_to_num(columns).sum(axis=0) / np.maximum(traded.sum(axis=0), 1)
    return np.where(traded.any(axis=0), total, np.nan)


def _metadata(outcome: "Outcome[DiagnosticsReport | str]") -> dict[str, Any]:
    from meta_pipeline.report.descriptive import overfitting_panel
    from meta_pipeline.report.diagnostics import diagnostics_markdown
    from meta_pipeline.report.text import markdown

    reports = {name: found for name, found in outcome.done.items() if not isinstance(found, str)}
    said = [f"- {markdown(name)}: {markdown(found)}" for name, found in outcome.done.items() if isinstance(found, str)]
    said += [
        f"- {markdown(name)}: {markdown(note.sentence)}" for name, report in reports.items() for note in report.notes
    ]
    panels = {
        f"overfitting panel of {name}": dg.MetadataValue.md(overfitting_panel(report.descriptive).markdown(heading=3))
        for name, report in list(reports.items())[:MAX_REPORTS]
    }
    whole = {
        f"report of {name}": dg.MetadataValue.md(diagnostics_markdown(report, max_rows=MAX_ROWS))
        for name, report in list(reports.items())[:MAX_REPORTS]
    }
    return {
        **{name: dg.MetadataValue.text(_in_short(report)) for name, report in list(reports.items())[:MAX_STRATEGIES]},
        "picture of the effects": picture_value(_picture(reports), says="effect of each change that was looked at"),
        **({"remarks": dg.MetadataValue.md("\n".join(said))} if said else {}),
        **panels,
        **whole,
        "reports": len(reports),
        "strategies failed": len(outcome.failed),
        "configurations": sum(report.n_configurations for report in reports.values()),
        "underperforming": sum(report.underperforming.count for report in reports.values()),
        "high risk": sum(report.high_risk.count for report in reports.values()),
        "runs in quarantine": sum(report.data_health.quarantined for report in reports.values()),
    }


def _documents(outcome: "Outcome[DiagnosticsReport | str]", database: DatabaseResource) -> dict[str, Any]:
    """Return where the report of each strategy is, as a document that opens in any browser without a server."""
    from meta_pipeline.report.files import report_files
    from meta_pipeline.store.diagnostics import latest_pages

    files = report_files(database.settings.home)
    with database.connect() as connection:
        pages = latest_pages(connection)
    return {
        f"document of {name}": dg.MetadataValue.path(files.path(pages[name]).resolve())
        for name in list(outcome.done)[:MAX_STRATEGIES]
        if name in pages
    }


def _in_short(report: "DiagnosticsReport") -> str:
    """Write a report in a few sentences, short enough that the UI shows them without a click."""
    luck = report.overfitting
    live = None if report.live is None else report.live.figures.sharpe
    counts = (
        f"{counted(report.n_runs, 'run')} used, {report.data_health.quarantined:,} in quarantine; "
        f"{counted(report.n_configurations, 'configuration')}, {report.underperforming.count:,} of them "
        f"underperforming, {report.high_risk.count:,} of high risk."
    )
    sharpe = (
        f"Sharpe ratio: live {_figure(live)}, best {_figure(luck.sharpe)}, best by luck alone {_figure(luck.luck)}; "
        f"probability that the best is skill {_figure(luck.deflated_sharpe)}."
    )
    said = [counts, sharpe]
    for status in ("dead", "aliased", "constant"):
        knobs = [knob.path for knob in report.knobs if knob.status == status]
        said += [f"{status.capitalize()} knobs: {', '.join(knobs)}."] if knobs else []
    said.append(f"{counted(len(report.effects), 'change')} looked at, {report.n_proposals:,} proposed.")
    return " ".join(said)[:MAX_SENTENCES]


def _figure(value: float | None) -> str:
    return "n/a" if value is None else f"{value:.2f}"


def _picture(reports: "dict[str, DiagnosticsReport]") -> bytes:
    from meta_pipeline.proposals.candidate_json import level_from_json
    from meta_pipeline.report.pictures import Bar, intervals_picture
    from meta_pipeline.report.tables import change_text

    effects = [
        (name, effect)
        for name, report in reports.items()
        for effect in report.effects
        if effect.metric == "sharpe_ratio" and effect.estimate is not None
    ]
    # The widest stories first: what is proposed, then what moved the Sharpe ratio most.
    effects.sort(key=lambda item: (item[1].suppressed_by is not None, -abs(item[1].estimate or 0.0)))
    bars = [
        Bar(
            label=f"{name}  {effect.knob} "
            f"{change_text(level_from_json(effect.from_value), level_from_json(effect.to_value))}",
            value=effect.estimate,
            lower=effect.lower,
            upper=effect.upper,
            marked=effect.suppressed_by is None,
        )
        for name, effect in effects
    ]
    return intervals_picture(
        bars,
        title="Effect of changes against what is live",
        axis="change of the annualised Sharpe ratio",
        marked="proposed",
        unmarked="suppressed",
    )
