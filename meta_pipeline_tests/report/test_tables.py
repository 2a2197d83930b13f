import pytest

from meta_pipeline.backtests.aggregates import Aggregate, Dimension
from meta_pipeline.canonical import ABSENT
from meta_pipeline.proposals.candidate import Effect, Rule
from meta_pipeline.report import tables
from meta_pipeline_tests.report.builders import candidate, effect


def test_a_proposal_is_a_row_with_knob_change_effect_grade_uplift_probability_and_why() -> None:
    shown = tables.proposals_table([candidate(), candidate(suppressed_by=Rule.NOT_BETTER)])
    assert [column.header for column in shown.columns] == [
        "Knob",
        "From → to",
        "Effect (Sharpe ratio, unless named)",
        "Grade",
        "Expected uplift",
        "P(better)",
        "Why",
    ]
    assert shown.cells() == [
        ["lookback", "20 → 50", "+0.31 [+0.05, +0.57]", "B", "+0.12", "0.71", "Raise the lookback."]
    ]


def test_a_suppressed_candidate_is_shown_with_its_rule_and_reason() -> None:
    shown = tables.suppressed_table([candidate(), candidate(suppressed_by=Rule.WEAK_EVIDENCE)])
    assert shown.cells()[0][-2:] == ["weak_evidence", "p = 0.4"]
    assert len(shown.rows) == 1


def test_counts_of_suppressed_candidates_come_most_frequent_first_and_are_explained() -> None:
    shown = tables.suppressed_counts_table({"dead_knob": 1, "not_better": 4, "weak_evidence": 4})
    assert [row["rule"] for row in shown.rows] == ["not_better", "weak_evidence", "dead_knob"]
    assert all(row["meaning"] for row in shown.rows)


@pytest.mark.parametrize("rule", Rule)
def test_every_rule_has_a_meaning_in_words(rule: Rule) -> None:
    assert tables.RULE_MEANINGS[rule]


def test_levels_that_differ_never_look_alike() -> None:
    levels = [ABSENT, None, "", "(absent)", "null", True, 1, 1.0, "1", [1], {"a": 1}]
    assert len({tables.level_text(level) for level in levels}) == len(levels)


@pytest.mark.parametrize(
    ("found", "shown"),
    [
        (effect(), "+0.31 [+0.05, +0.57]"),
        (effect(-0.04, 0.01, "volatility"), "volatility -4.0 % [-5.0 %, -3.0 %]"),
        (effect(None), None),
    ],
)
def test_an_effect_is_written_with_its_interval_and_its_metric(found: Effect, shown: str | None) -> None:
    assert tables.effect_text(found) == shown


def test_changes_show_touched_keys_only_and_tell_absent_from_null() -> None:
    shown = tables.changes_table([("risk.max_vol", 0.3, 0.25), ("stop", ABSENT, None)])
    assert shown.cells() == [["risk.max_vol", "0.3", "0.25"], ["stop", "(absent)", "null"]]
    assert "Nothing changes" in tables.changes_table([]).markdown()


def test_aggregates_are_shown_with_unknown_figures_as_unknown() -> None:
    known = Aggregate(
        dimension=Dimension.MARKET, label="SPX", n_runs=4, n_distinct=3, n_days=500, sharpe=0.51, max_drawdown=-0.2
    )
    config = Aggregate(dimension=Dimension.CONFIG, label="ab" * 32, n_runs=1, n_distinct=1)
    shown = tables.aggregates_table([known, config]).cells()
    assert shown[0] == ["market", "SPX", "4", "3", "500", "0.51", "n/a", "n/a", "-20.0 %", "n/a"]
    assert shown[1][:2] == ["config", "abababab"]


def test_a_value_as_long_as_a_book_is_cut_in_tables_and_still_told_from_another() -> None:
    one, other = tables.change_text(1, "x" * 100_000), tables.change_text(1, "x" * 99_999 + "y")
    assert one.startswith('1 → "xxx')
    assert len(one) < 120
    assert one != other
    assert tables.change_text(ABSENT, [1, 2]) == "(absent) → [1,2]"
