"""docs/concepts.md says what the code says: rules that stop a candidate, grades, and the benchmark's figures."""

import re

from meta_pipeline.evidence.grades import grade
from meta_pipeline.proposals.candidate import Rule
from meta_pipeline_tests.docs.pages import text_of

PAGE = text_of("docs/concepts.md")


def section(heading: str) -> str:
    return PAGE.split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]


def test_the_reasons_of_no_proposal_are_rules_of_the_engine() -> None:
    rows = re.findall(r"^\| (`.+?`) \|", section('Why "no proposal" is an answer'), re.MULTILINE)
    named = [name for row in rows for name in re.findall(r"`(\w+)`", row)]
    assert len(named) >= 10
    assert set(named) <= {str(rule) for rule in Rule}


def test_the_grades_are_those_of_the_engine() -> None:
    said = dict(re.findall(r"^\| ([A-Z]) \| (\w+)", section("Grades"), re.MULTILINE))
    corrected = {"romano_wolf": 0.5, "benjamini_hochberg": 0.05}
    rules = {"alpha": 0.1, "smallest": 0.05}
    graded = [
        grade(0.2, 0.001, {**corrected, "romano_wolf": 0.01}, any_step_down=True, **rules),
        grade(0.2, 0.001, corrected, any_step_down=True, **rules),
        grade(0.2, 0.001, corrected, any_step_down=False, **rules),
        grade(-0.2, 0.9, corrected, any_step_down=True, **rules),
    ]
    assert graded == list(said)


def test_the_figures_are_those_of_the_benchmark() -> None:
    measured = text_of("docs/proposal-quality.md")
    figures = re.findall(r"\d\.\d{3} ± \d\.\d{3}", section("Why not just compare Sharpe ratios"))
    assert len(figures) == 6
    assert [figure for figure in figures if figure not in measured] == []
    (command,) = re.findall(r"`(python -m benchmarks\.proposal_quality[^`]*)`", PAGE)
    assert command in measured
    example = text_of("docs/sp500-example.md")
    for said in ("0.59", "0.24", "42 of 72", "| 0 of 72 |"):
        assert said in example
