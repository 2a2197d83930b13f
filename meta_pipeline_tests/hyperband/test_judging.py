"""From a search's leftovers to its verdict, on paths whose truth is known."""

from dataclasses import replace

import numpy as np
import pytest

from meta_pipeline.errors import Conflict
from meta_pipeline.hyperband.forest_evaluator import ForestEvaluator
from meta_pipeline.hyperband.judging import Contest, Judgeable, judge
from meta_pipeline.hyperband.verdict import Thresholds
from meta_pipeline_tests.hyperband.paths import path
from meta_pipeline_tests.hyperband.strategies import configurations, settings, trend

QUICK = Thresholds(draws=99)


def contest(evaluator: ForestEvaluator, n: int = 8) -> Contest:
    drawn = configurations(n, seed=1)
    found = [evaluator.evaluate(config, 0, 1, None) for config in drawn]
    returns = np.column_stack([one.returns for one in found])
    spread = returns.std(axis=0, ddof=1)
    best = max(range(n), key=lambda at: (max(found[at].constraints.values()) <= 0, found[at].value))
    return Contest(
        config=drawn[best],
        checkpoint=found[best].checkpoint,
        units=1,
        all_returns=returns,
        all_sharpe_ratios=returns.mean(axis=0) / np.where(spread > 0, spread, np.nan),
        n_scored=n,
    )


@pytest.mark.slow
def test_a_planted_signal_is_found_and_passes() -> None:
    evaluator = trend()
    assert isinstance(evaluator, Judgeable)
    opened: list[int] = []

    def opening() -> int:
        opened.append(1)
        return 0

    judged = judge(
        evaluator,
        contest(evaluator),
        open_holdout=opening,
        thresholds=QUICK,
        most_retrained=2,
    )
    assert judged.verdict.is_winner, judged.verdict.summary
    assert opened == [1]
    assert (judged.holdout["sharpe_ratio"] or 0) > 2
    assert (judged.stressed["sharpe_ratio"] or 0) < (judged.research["sharpe_ratio"] or 0)


@pytest.mark.parametrize("seed", [1, 2])
def test_on_noise_there_is_no_winner_and_the_holdout_stays_shut(seed: int) -> None:
    evaluator = ForestEvaluator(settings(sample_share=0.3), [path(2000, seed=seed)])

    def never() -> int:
        raise AssertionError("the holdout was opened for a configuration that fails other gates")

    judged = judge(evaluator, contest(evaluator), open_holdout=never, thresholds=QUICK, most_retrained=1)
    assert not judged.verdict.is_winner
    assert judged.verdict.summary.startswith("No winner")
    assert judged.holdout == {}
    assert judged.verdict.earlier_looks is None


def test_a_holdout_that_may_not_be_opened_is_not_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    evaluator = trend()

    def shut() -> int:
        raise Conflict("opened for another")

    def computed(*_: object) -> None:
        raise AssertionError("the holdout was computed before its opening was recorded")

    monkeypatch.setattr(ForestEvaluator, "holdout", computed)
    lenient = replace(QUICK, superior_p_value=1.0, backtest_overfitting=1.0, deflated_sharpe_ratio=0.0)
    with pytest.raises(Conflict, match="opened for another"):
        judge(evaluator, contest(evaluator, 2), open_holdout=shut, thresholds=lenient, most_retrained=0)
