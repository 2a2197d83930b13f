"""The benchmark of the proposals fails a build when it should, and does not fail today's."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.proposal_quality import bars
from benchmarks.proposal_quality.__main__ import main
from benchmarks.proposal_quality.campaigns import NULLS, POWERS
from benchmarks.proposal_quality.contestants import ALPHA, Answer
from benchmarks.proposal_quality.histories import History
from benchmarks.proposal_quality.repeated_looks import NULL, Looked
from benchmarks.proposal_quality.scores import Scored, score
from benchmarks.proposal_quality.worlds import World, draw, sharpe_of, single_changes

N = 60


def scored() -> Scored:
    campaign = draw(World(runs_per_market=3), np.random.default_rng(1))
    return score(campaign, Answer(proposals=(), forecasts=(), significant=frozenset()))


def table(*, alarms: int, found: int) -> Mapping[str, Mapping[str, list[Scored]]]:
    """Every world with N campaigns, so many of them alarmed or found."""
    plain = scored()
    nulls = {name: {"ours": [replace(plain, alarmed=i < alarms) for i in range(N)]} for name in NULLS}
    return nulls | {name: {"ours": [replace(plain, found=i < found) for i in range(N)]} for name in POWERS}


def looks(*, by_value: int) -> dict[str, list[Looked]]:
    one = Looked(
        history=0,
        number=0,
        rows=400,
        graded=False,
        by_value=False,
        claimed=0.0,
        true=0.0,
        realised=0.0,
        all_claimed=0.0,
        all_true=0.0,
        value=0.0,
        pairs=(),
    )
    return {NULL: [replace(one, history=i % 4, by_value=i < by_value) for i in range(N)]}


@pytest.fixture
def recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "recorded.json"
    path.write_text(json.dumps({"quick": {"effect 0.3": 0.7, "effect 0.5": 0.7}}))
    monkeypatch.setattr(bars, "RECORDED", path)


@pytest.mark.usefixtures("recorded")
def test_false_alarms_beyond_monte_carlo_error_and_lost_power_fail_the_build() -> None:
    good = table(alarms=round(ALPHA * N), found=42)
    assert bars.failures(good, looks(by_value=0), full=False) == []
    assert any(
        "grade A or B" in said for said in bars.failures(table(alarms=12, found=42), looks(by_value=0), full=False)
    )
    just_enough, too_little = round(0.9 * 0.7 * N) + 1, round(0.9 * 0.7 * N) - 2
    assert bars.failures(table(alarms=6, found=just_enough), looks(by_value=0), full=False) == []
    lost = bars.failures(table(alarms=6, found=too_little), looks(by_value=0), full=False)
    assert [said.split(":")[0] for said in lost] == ["effect 0.3", "effect 0.5"]
    (said,) = bars.failures(good, looks(by_value=30), full=False)
    assert "by expected value alone" in said


def test_power_that_was_never_recorded_is_no_power_that_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bars, "RECORDED", tmp_path / "nothing.json")
    missed = bars.failures(table(alarms=0, found=N), looks(by_value=0), full=False)
    assert all("no power is recorded" in said for said in missed)
    assert len(missed) == 2


def test_a_true_effect_is_what_a_change_adds_to_the_sharpe_ratio_of_a_whole_history() -> None:
    world = World(effects={(0, 1): 1.5})
    place = int(np.flatnonzero((single_changes() == [1, 0, 0, 0, 0, 0]).all(axis=1))[0])
    histories = [History(world, np.random.default_rng(seed)) for seed in range(4)]
    ratios = np.mean([sharpe_of(returns) for history in histories for returns in history.futures], axis=0)
    assert all(history.truth[0, 1] == 1.5 for history in histories)
    assert ratios[place] - ratios[0] == pytest.approx(1.5, abs=0.2)


@pytest.mark.slow
def test_the_quick_benchmark_holds_alpha_and_its_power(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--quick"]) == 0, capsys.readouterr().out
    assert "Monte Carlo error: of a null rate" in capsys.readouterr().out
