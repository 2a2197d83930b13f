import json
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meta_pipeline.backtests.aggregates import aggregate
from meta_pipeline.canonical import JsonValue, canonical_json
from meta_pipeline.diagnostics.diagnose import DiagnosticsReport, diagnose
from meta_pipeline.diagnostics.records import DataHealth, Thresholds
from meta_pipeline.diagnostics.report_json import report_from_json
from meta_pipeline.errors import InputError, InsufficientData
from meta_pipeline.evidence.panel import RunPanel
from meta_pipeline.proposals.candidate import Effect, Note, Proposed, Rule, SliceEffect, Stability, finite
from meta_pipeline.report.diagnostics import diagnostics_markdown
from meta_pipeline_tests.diagnostics.builders import KNOBS, LIVE, Run, nothing_proposed, panel, run
from meta_pipeline_tests.report.builders import candidate

HEALTH = DataHealth.of_states({"accepted": 6, "quarantined:ruin": 2, "quarantined:zero_volatility": 1})
DEFAULT = Thresholds()
SIX = [run(20 + 10 * (i % 3), sharpe=0.4 * i, seed=i, market=("SPX", "NDX")[i % 2]) for i in range(6)]


def diagnosed(
    made: RunPanel,
    *,
    proposed: Proposed | None = None,
    health: DataHealth = HEALTH,
    live: Mapping[str, JsonValue] = LIVE,
    thresholds: Thresholds = DEFAULT,
    regimes: Mapping[str, np.ndarray] | None = None,
) -> DiagnosticsReport:
    return diagnose(
        made,
        knobs=KNOBS,
        live=live,
        proposed=proposed or nothing_proposed(),
        aggregates=aggregate(made, strategy_id="STRAT_001", regimes=regimes),
        data_health=health,
        thresholds=thresholds,
        regimes=regimes,
    )


@pytest.mark.parametrize(
    ("runs", "sentence"),
    [
        ([run(1), run(2)], "insufficient data: 2 runs available, need 5"),
        ([run(1, seed=i) for i in range(3)] * 10, "insufficient data: 3 runs available, need 5"),
        ([], "insufficient data: 0 runs available, need 5"),
    ],
)
def test_too_few_distinct_runs_are_refused_in_these_words(runs: list[Run], sentence: str) -> None:
    with pytest.raises(InsufficientData) as refused:
        diagnosed(panel(runs))
    assert str(refused.value) == sentence
    assert refused.value.exit_code == 8


def test_the_number_of_runs_needed_can_be_set() -> None:
    assert diagnosed(panel([run(1), run(2)]), thresholds=Thresholds(minimum_runs=2)).n_distinct == 2


def test_data_health_counts_every_run_with_the_reason_it_was_dropped() -> None:
    report = diagnosed(panel(SIX), proposed=nothing_proposed(notes=(Note(code="short", sentence="One is short."),)))
    assert report.data_health.n_runs == 9
    assert report.data_health.reasons == {"ruin": 2, "zero_volatility": 1}
    assert (report.n_runs, report.n_distinct, report.n_days) == (6, 6, 500)
    assert report.notes[0].code == "short"


def test_performance_is_sliced_by_market_and_nothing_is_made_up_without_labels_a19() -> None:
    report = diagnosed(panel(SIX))
    assert [one.label for one in report.by_market] == ["NDX", "SPX"]
    assert report.by_regime == ()
    assert report.by_sector == ()
    assert report.overall is not None
    assert report.overall.n_runs == 6


def test_regimes_are_shown_where_days_are_labelled_a19() -> None:
    labels = np.array(["calm"] * 250 + ["crisis"] * 250)
    report = diagnosed(panel(SIX), regimes={"": labels})
    assert [one.label for one in report.by_regime] == ["calm", "crisis"]
    calm, crisis = (one.figures.sharpe for one in report.by_regime)
    assert calm != crisis


def test_runs_without_metrics_are_data_quality_and_not_underperformers_a17() -> None:
    report = diagnosed(panel([Run(config={"lookback": i}, reported={}) for i in range(4)] + [run(9, sharpe=2.0)]))
    assert report.underperforming.count == 0
    assert report.n_without_figures == 4
    assert report.overall is not None
    assert report.overall.sharpe == pytest.approx(2.0)


def test_figures_come_from_the_data_and_not_from_a_table_a20() -> None:
    wild = [run(i, sharpe=-5.0, volatility=2.0, seed=i) for i in range(10)]
    mild = [run(i, sharpe=0.4, volatility=0.31, seed=i) for i in range(6)]
    first, second = diagnosed(panel(wild)), diagnosed(panel(mild))
    reasons = [report.high_risk.configurations[0].reasons for report in (first, second)]
    assert reasons[0] != reasons[1]
    assert "volatility 200.0 %" in reasons[0][0]
    assert "volatility 31.0 %" in reasons[1][0]


def test_the_same_configuration_run_often_is_one_finding() -> None:
    report = diagnosed(panel([run(20, sharpe=0.0, seed=i) for i in range(10)]))
    assert report.n_configurations == 1
    assert report.underperforming.count == 1
    assert report.live is not None
    assert report.live.figures.n_runs == 10


def test_knobs_are_varied_constant_dead_or_aliased() -> None:
    proposed = nothing_proposed(dead_knobs=("lookback",), aliased_knobs=(("lookback", "sleeve_id"),))
    by_path = {knob.path: knob for knob in diagnosed(panel(SIX), proposed=proposed).knobs}
    assert (by_path["lookback"].status, by_path["lookback"].n_levels) == ("dead", 3)
    assert by_path["lookback"].aliased_with == ("sleeve_id",)
    assert (by_path["risk.vol"].status, by_path["risk.vol"].n_levels) == ("constant", 1)
    aliased = nothing_proposed(aliased_knobs=(("lookback", "sleeve_id"),))
    assert {knob.path: knob.status for knob in diagnosed(panel(SIX), proposed=aliased).knobs}["lookback"] == "aliased"
    assert {knob.path: knob.status for knob in diagnosed(panel(SIX)).knobs}["lookback"] == "varied"


RULES = (Rule.WEAK_EVIDENCE, Rule.NOT_BETTER, Rule.NOT_BETTER)
SPOKEN = nothing_proposed(
    proposals=(
        replace(
            candidate(),
            stability=Stability(sub_periods=(), sign_consistency=0.75, drift=0.1),
            regimes=(SliceEffect(label="calm", estimate=0.2, standard_error=0.1, n_days=250),),
        ),
    ),
    suppressed=tuple(candidate(f"knob_{i}", suppressed_by=rule) for i, rule in enumerate(RULES)),
    n_trials=400,
    n_effective=3.5,
)


def test_every_candidate_is_there_with_its_effect_and_the_rule_that_stopped_it() -> None:
    report = diagnosed(panel(SIX), proposed=SPOKEN)
    assert report.n_proposals == 1
    assert report.suppressed == {"not_better": 2, "weak_evidence": 1}
    assert [effect.suppressed_by for effect in report.effects] == [None, "weak_evidence", "not_better", "not_better"]
    first = report.effects[0]
    assert (first.estimate, first.lower, first.upper, first.n_pairs) == (0.31, 0.05, 0.57, 12)
    assert (first.sign_consistency, first.regimes[0].label) == (0.75, "calm")
    assert report.effects[1].missing["sign_consistency"] == "stability was not judged"


def test_an_effect_that_could_not_be_estimated_is_null_with_the_reason() -> None:
    bare = replace(candidate(), effect=Effect(metric="sharpe_ratio", method="none", reason="no pairs"))
    effect = diagnosed(panel(SIX), proposed=nothing_proposed(suppressed=(bare,))).effects[0]
    assert effect.estimate is None
    assert effect.missing["estimate"] == "no pairs"


def test_all_trials_ever_counted_deflate_the_best() -> None:
    report = diagnosed(panel(SIX), proposed=SPOKEN)
    assert report.overfitting.n_trials == 400
    assert report.overfitting.n_effective == 3.5
    assert diagnosed(panel(SIX)).overfitting.n_trials == 6


def test_too_little_evidence_for_any_change_is_passed_on_in_words() -> None:
    proposed = nothing_proposed(insufficient_data="insufficient data: 4 runs available, need 5")
    assert diagnosed(panel(SIX), proposed=proposed).insufficient_data == "insufficient data: 4 runs available, need 5"


def test_a_run_that_cannot_be_read_is_named_and_the_rest_is_reported() -> None:
    odd = Run(config={"lookback": 20, "risk.vol": 1}, returns=SIX[0].returns)
    report = diagnosed(panel([*SIX, odd]))
    assert report.n_distinct == 6
    assert [(note.code, note.subjects) for note in report.notes] == [("ambiguous_path", ("run-6",))]


@settings(max_examples=10, deadline=None)
@given(st.permutations(range(6)))
def test_the_same_evidence_in_any_order_has_the_same_report_id(order: list[int]) -> None:
    made = diagnosed(panel([SIX[i] for i in order]), proposed=SPOKEN)
    assert made.report_id(strategy_id="S") == diagnosed(panel(SIX), proposed=SPOKEN).report_id(strategy_id="S")


def test_another_strategy_or_other_evidence_has_another_report_id() -> None:
    report = diagnosed(panel(SIX))
    assert report.report_id(strategy_id="A") != report.report_id(strategy_id="B")
    other = diagnosed(panel(SIX), live={"lookback": 30, "risk": {"vol": 0.1}})
    assert other.report_id(strategy_id="A") != report.report_id(strategy_id="A")


def test_a_report_reads_back_as_it_was_written() -> None:
    report = diagnosed(panel(SIX), proposed=SPOKEN, regimes={"": np.array(["calm"] * 500)})
    written = canonical_json(report.to_json())
    read = report_from_json(json.loads(written))
    assert canonical_json(read.to_json()) == written
    assert read.report_id(strategy_id="S") == report.report_id(strategy_id="S")


def test_a_report_of_another_version_is_refused_in_words() -> None:
    data = diagnosed(panel(SIX)).to_json()
    with pytest.raises(InputError, match=r"format 99, this version reads 2 and 3; compute it anew"):
        report_from_json(data | {"format": 99})
    del data["knobs"]
    with pytest.raises(InputError, match=r"not a report.*knobs"):
        report_from_json(data)


def test_states_that_do_not_add_up_are_refused() -> None:
    with pytest.raises(InputError, match="3 runs are quarantined, but reasons are given for 2"):
        DataHealth(quarantined=3, reasons={"ruin": 2})


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"minimum_runs": 0}, "minimum_runs is 0"),
        ({"sharpe": float("nan")}, "Sharpe threshold is nan"),
        ({"volatility": -0.1}, "volatility threshold is -0.1"),
        ({"drawdown": 0.2}, "drawdown threshold is 0.2"),
    ],
)
def test_thresholds_that_make_no_sense_are_refused(changes: dict[str, float], said: str) -> None:
    with pytest.raises(InputError, match=said):
        Thresholds(**changes)  # type: ignore[arg-type]


def test_a_report_that_an_older_version_wrote_is_read_and_what_it_did_not_look_at_is_not_known() -> None:
    labels = np.array(["calm"] * 250 + ["crisis"] * 250)
    now = diagnosed(panel(SIX), regimes={"": labels})
    data = json.loads(canonical_json(now.to_json()))
    for name in ("missing_runs", "n_missing_runs", "more_evidence"):
        del data[name]
    del data["overfitting"]["absolute"]
    views = data["descriptive"]
    for name in ("r_squared", "across_configurations", "across_markets", "scenarios", "challenger"):
        del views[name]
    for knob in views["knobs"]:
        del knob["permutation"]
    tail = views["live"].pop("tail")
    views["live"] |= {"expected_shortfall": tail["expected_shortfall"], "tail_index": tail["hill_index"]}
    del views["live"]["worst_regime_sharpe"]
    for regime in views["live"]["regimes"]:
        del regime["share"]
    read = report_from_json(data | {"format": 2})
    whole = report_from_json(json.loads(canonical_json(now.to_json())))
    assert read.overfitting == replace(whole.overfitting, absolute=None)
    assert read.n_missing_runs is None
    live, before = read.descriptive.live, now.descriptive.live
    assert live is not None
    assert before is not None
    assert live.tail.expected_shortfall == finite(before.tail.expected_shortfall)
    assert live.worst_regime == before.worst_regime
    for view in ("r_squared", "across_configurations", "across_markets", "scenarios"):
        assert getattr(read.descriptive, view) is None
        assert "the next night computes it" in read.descriptive.missing[view]
    shown = diagnostics_markdown(read)
    assert shown.count("an older version wrote this report") >= 6
