import io
import re
from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from rich.console import Console

from meta_pipeline.diagnostics.diagnose import DiagnosticsReport
from meta_pipeline.diagnostics.records import Slice, Thresholds
from meta_pipeline.report import diagnostics
from meta_pipeline.report.descriptive import (
    best_scenarios_table,
    descriptive_tables,
    importance_table,
    robustness_table,
)
from meta_pipeline.report.text import visible
from meta_pipeline_tests.diagnostics.builders import panel
from meta_pipeline_tests.diagnostics.test_diagnose import SIX, SPOKEN, diagnosed
from meta_pipeline_tests.report.test_table import parsed
from meta_pipeline_tests.report.test_text import any_text

REPORT = diagnosed(
    panel(SIX),
    proposed=SPOKEN,
    regimes={"": np.array(["calm"] * 250 + ["crisis"] * 250)},
    thresholds=Thresholds(sharpe=0.7),
)


def printed(report: DiagnosticsReport) -> str:
    out = io.StringIO()
    Console(file=out, width=240).print(diagnostics.diagnostics_rich(report))
    return out.getvalue()


def test_the_parts_come_in_the_order_in_which_they_are_read() -> None:
    titles = [table.title for table in diagnostics.diagnostics_tables(REPORT)]
    assert titles == [
        "Data health",
        "Performance",
        "Underperforming configurations (1)",
        "High-risk configurations (1)",
        "Configurations that no other beats (2)",
        "Knobs",
        "Effect of each change",
        "Effect by regime, on the Sharpe ratio",
        "Over time, Sharpe ratio",
        "Overfitting",
        "Overfitting panel",
        "Importance of knobs",
        "Interactions that overturn an effect",
        "Pairs of knobs",
        "What the live configuration rests on",
        "Dispersion across",
        "Scenarios: the live configuration against the best configuration",
        "Suppressed candidates, by reason",
        "Missing runs (0)",
        "More evidence",
    ]


def test_data_health_shows_every_reason_with_its_number() -> None:
    shown = {row[0]: row[1] for row in diagnostics.data_health_table(REPORT).cells()}
    assert shown["quarantined"] == "3"
    assert shown["quarantined: ruin"] == "2"
    assert shown["distinct"] == "6"


def test_too_little_evidence_is_said_under_the_data() -> None:
    sentence = "insufficient data: 4 runs available, need 5"
    assert diagnostics.data_health_table(replace(REPORT, insufficient_data=sentence)).note == sentence


def test_performance_names_the_dimensions_without_labels() -> None:
    shown = diagnostics.performance_table(REPORT)
    assert [row["dimension"] for row in shown.rows] == ["all", "market", "market", "regime", "regime"]
    assert shown.note == "No labels of: sector."


def test_a_configuration_shows_its_knobs_figures_and_reasons() -> None:
    row = diagnostics.configurations_table(REPORT.underperforming, title="x").rows[0]
    assert row["knobs"] == "lookback = 20, risk.vol = 0.1"
    assert row["reasons"] == "Sharpe ratio 0.60 is below 0.70"


def test_findings_that_are_not_listed_are_counted() -> None:
    cut = replace(REPORT.underperforming, count=101)
    assert diagnostics.configurations_table(cut, title="x").note == "The report keeps the first 1 of 101."


def test_effects_come_with_interval_sample_and_fate() -> None:
    rows = diagnostics.effects_table(REPORT).rows
    assert (rows[0]["effect"], rows[0]["interval"], rows[0]["fate"]) == (
        "Sharpe ratio +0.31",
        "[+0.05, +0.57]",
        "proposed",
    )
    assert rows[1]["fate"] == "weak_evidence: p = 0.4"


def test_effects_by_regime_have_a_column_per_regime() -> None:
    shown = diagnostics.regimes_table(REPORT)
    assert [column.header for column in shown.columns] == ["Knob", "From → to", "calm"]
    assert shown.cells() == [["lookback", "20 → 50", "+0.20"]]
    twice = replace(REPORT, effects=(REPORT.effects[0], replace(REPORT.effects[0], metric="volatility")))
    assert diagnostics.regimes_table(twice).cells() == shown.cells()


def test_overfitting_says_what_luck_alone_would_give() -> None:
    shown = {row[0]: row[1] for row in diagnostics.overfitting_table(REPORT.overfitting).cells()}
    assert shown["Trials counted"] == "400"
    assert float(shown["What luck alone gives"]) > 0
    assert 0 <= float(shown["Deflated Sharpe ratio"]) <= 1
    assert shown["Best configuration"].startswith("lookback = ")


def test_the_whole_report_prints() -> None:
    text = printed(REPORT)
    assert "nan" not in text.lower().split()
    assert "Deflated Sharpe ratio" in text


@settings(max_examples=30, deadline=None)
@given(any_text)
def test_hostile_labels_are_text_on_both_surfaces(name: str) -> None:
    market = Slice(label=name, figures=REPORT.by_market[0].figures)
    effect = replace(REPORT.effects[0], knob=name or "k", reason=name, suppressed_by="not_better")
    hostile = replace(REPORT, by_market=(market,), effects=(effect,))
    _, kinds = parsed(diagnostics.diagnostics_markdown(hostile))
    assert kinds <= {"text", "text_special"}
    out = printed(hostile)
    assert out.replace("\n", "").isprintable()
    assert "".join(visible(name).split()) in "".join(out.split())


def test_every_descriptive_table_says_that_it_describes() -> None:
    tables = descriptive_tables(REPORT.descriptive)
    assert len(tables) == 7
    for table in tables:
        assert re.search(r"[Dd]escri", table.note), table.title
        assert "n/a" not in table.note


def test_views_show_their_figures_and_say_what_is_not_known() -> None:
    report = REPORT
    live = report.descriptive.live
    assert live is not None
    rests = {row["what"]: row for row in robustness_table(report.descriptive).rows}
    assert rests["Worst regime"]["value"] == f"{live.worst_regime_sharpe:z.2f} in {live.worst_regime}"
    assert "of all that was won or lost" in str(rests["In crisis"]["note"])
    assert rests["Tail shape"]["value"] is None
    assert "fewer than 50 losses" in str(rests["Tail shape"]["note"])
    scenarios = report.descriptive.scenarios
    assert scenarios is not None
    shown = best_scenarios_table(report.descriptive)
    assert [row["family"] for row in shown.rows] == [one.name for one in scenarios.families]
    assert {row["passed"] for row in shown.rows} <= {"yes", "no", "not known"}
    nothing = best_scenarios_table(replace(report.descriptive, scenarios=None, missing={"scenarios": "no run"}))
    assert nothing.empty == "None: no run."
    assert "means nothing" in importance_table(replace(report.descriptive, r_squared=-0.1)).note
