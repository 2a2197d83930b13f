"""One Sharpe ratio by itself: the golden numbers of the papers, in the units of a report."""

import math

import numpy as np
import pytest

from meta_pipeline.canonical import canonical_json
from meta_pipeline.diagnostics.absolute import AbsoluteTests, absolute_tests
from meta_pipeline.diagnostics.configurations import configurations
from meta_pipeline.diagnostics.overfitting import overfitting
from meta_pipeline.evidence.metrics import Summary, summarize
from meta_pipeline.report.diagnostics import overfitting_table
from meta_pipeline_tests.diagnostics.builders import KNOBS, LIVE, panel, run


def summary(sharpe: float, n: int, *, skewness: float = 0.0, kurtosis: float = 3.0) -> Summary:
    plain = summarize(np.random.default_rng(0).normal(size=30), 1.0)
    parts = {name: getattr(plain, name) for name in Summary.__dataclass_fields__}
    parts |= {"sharpe_ratio": np.array([sharpe]), "n_observations": np.array([n])}
    return Summary(**parts | {"skewness": np.array([skewness]), "kurtosis": np.array([kurtosis])})


def test_both_conventions_are_told_and_the_years_are_those_of_the_papers() -> None:
    found = absolute_tests(
        summary(2.5 / math.sqrt(250), 1250, skewness=-3, kurtosis=10),
        250,
        n_trials=100,
        variance_of_trials=0.5 / 250,
    )
    assert found.deflated["estimate"] is not None
    assert found.deflated["estimate"] == pytest.approx(0.9003968, abs=5e-8)
    assert found.deflated["null"] is not None
    assert found.deflated["null"] > found.deflated["estimate"]
    assert found.years == 5.0
    length = absolute_tests(summary(1 / math.sqrt(250), 250), 250, n_trials=45, variance_of_trials=0.1)
    assert length.backtest_years == pytest.approx(4.998087, abs=5e-7)
    monthly = absolute_tests(
        summary(0.036 / 0.079, 24, skewness=-2.448, kurtosis=10.164), 12, n_trials=2, variance_of_trials=0.1
    )
    assert monthly.probabilistic["estimate"] == pytest.approx(0.9132, abs=5e-4)
    assert monthly.probabilistic["null"] == pytest.approx(0.987, abs=5e-4)
    assert monthly.track_record_years is not None
    assert monthly.track_record_years > monthly.years


def missing(found: AbsoluteTests) -> set[str]:
    canonical_json(found.to_json())
    return set(found.missing)


def test_what_cannot_be_known_says_why() -> None:
    loser = absolute_tests(summary(-0.1, 500), 252, n_trials=10, variance_of_trials=0.01)
    assert missing(loser) == {"track_record_years", "backtest_years"}
    assert (loser.track_record_years, loser.backtest_years) == (None, None)
    alone = absolute_tests(summary(0.1, 500), 252, n_trials=10, variance_of_trials=None)
    assert missing(alone) == {"deflated"}
    assert alone.deflated == {"estimate": None, "null": None}


def test_the_table_shows_both_conventions_and_the_records_that_are_needed() -> None:
    made = panel([run(20 + 10 * i, sharpe=0.4 * i, seed=i) for i in range(5)])
    found = overfitting(made, configurations(made, knobs=KNOBS, live=LIVE), n_trials=40)
    assert found.absolute is not None
    assert found.deflated_sharpe == found.absolute.deflated["estimate"]
    rows = {row["what"]: row for row in overfitting_table(found).rows}
    assert rows["Deflated, by the other convention"]["value"] == f"{found.absolute.deflated['null']:.2f}"
    assert rows["Probabilistic Sharpe ratio"]["value"] == f"{found.absolute.probabilistic['estimate']:.2f}"
    assert str(rows["Track record needed, years"]["note"]).endswith("there are 2.0")
    assert rows["Backtest needed, years"]["value"] == f"{found.absolute.backtest_years:.1f}"
