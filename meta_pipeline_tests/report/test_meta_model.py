"""What is shown of a trained meta-model."""

import pytest

from meta_pipeline.meta_model.promotion import Check, Verdict
from meta_pipeline.meta_model.synthetic import Truth
from meta_pipeline.meta_model.training import Training, train
from meta_pipeline.report import meta_model as report
from meta_pipeline.report.pictures import MAX_BYTES, probabilities_picture
from meta_pipeline_tests.meta_model.training_logs import SETTINGS, planted


@pytest.fixture(scope="module")
def training() -> Training:
    return train(*planted(Truth.EDGE, n=1200, real=True), settings=SETTINGS)


def verdict(*failed: str) -> Verdict:
    names = ("data_kind", "lift_over_majority_vote", "lift_over_always_hold", "lift_over_champion")
    return Verdict(
        checks=tuple(
            Check(name=name, passed=name not in failed, measured="1", needed="0", sentence=name) for name in names
        )
    )


def test_the_lift_is_said_plainly() -> None:
    assert report.lift_sentence(verdict()) == "A lift was found over majority vote, always hold."
    assert report.lift_sentence(verdict("lift_over_always_hold")) == (
        "A lift was found over majority vote, but not over always hold."
    )
    none = verdict("lift_over_majority_vote", "lift_over_always_hold")
    assert report.lift_sentence(none) == "No lift was found: not over majority vote, nor over always hold."


def test_the_verdict_says_who_decides_now() -> None:
    assert report.verdict_sentence(verdict(), has_champion=True).endswith("and decides from now on.")
    assert "the champion goes on deciding" in report.verdict_sentence(verdict("data_kind"), has_champion=True)
    assert "every decision defers" in report.verdict_sentence(verdict("data_kind"), has_champion=False)


def test_every_table_has_rows_and_no_figure_is_missing(training: Training) -> None:
    metadata = training.model.metadata
    tables = [
        report.checks_table(training.verdict),
        report.earnings_table(metadata),
        report.calibration_table(metadata),
        report.regimes_table(metadata),
        report.confusion_table(metadata),
        report.reliability_table(metadata),
        report.coverage_table(metadata),
        report.features_table(metadata),
        report.inputs_table(metadata),
    ]
    for table in tables:
        assert len(table.rows) >= 3, table.title
        assert table.markdown().startswith("| ")
    # what the meta-model has no lift over is itself, and no decision was made without a regime
    shown = [cell for table in tables for row in table.cells() for cell in row]
    assert shown.count("n/a") == 2


def test_the_picture_is_small(training: Training) -> None:
    test = training.model.metadata["test"]
    assert isinstance(test, dict)
    picture = probabilities_picture(test["reliability"], test["risk_coverage"])
    assert picture.startswith(b"\x89PNG")
    assert len(picture) < MAX_BYTES
