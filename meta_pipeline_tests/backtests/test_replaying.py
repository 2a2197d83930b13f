"""A replay is found by the strategy's name, and its answer is not believed unseen."""

from datetime import date

import numpy as np
import pytest

from meta_pipeline.backtests.replaying import load_replay, parse_replays, replay_for, replay_named, replayed
from meta_pipeline.errors import InputError
from meta_pipeline.lab.catalogue import STRATEGIES
from meta_pipeline.lab.replay import replay
from meta_pipeline.settings import Settings

START, END = date(2013, 1, 2), date(2013, 1, 31)
DAYS = np.array(["2013-01-02", "2013-01-03", "2013-01-04"], dtype="datetime64[D]")


def answering(dates: object, returns: object) -> object:
    return lambda *_: (dates, returns)


def test_the_lab_is_registered_for_its_strategies_and_answers_for_days_that_campaigns_never_saw() -> None:
    setting = Settings(_env_file=None).replays  # type: ignore[call-arg]
    strategy = STRATEGIES["LAB_TREND"]
    found = replay_for("LAB_TREND", setting)
    assert found is replay
    answer = replayed(found, "LAB_TREND", strategy.live_config, "SP500", START, END)
    assert len(answer.dates) == len(answer.returns) == 21
    assert replay_for("SOMEBODY_ELSES", setting) is None


def test_the_first_pattern_that_matches_counts() -> None:
    setting = " A_1=one.two:f , A_*=three:g,"
    assert replay_named("A_1", setting) == "one.two:f"
    assert replay_named("A_2", setting) == "three:g"
    assert replay_named("B", setting) is None
    assert parse_replays("") == ()


@pytest.mark.parametrize("setting", ["A", "=m:f", "A=m", "A="])
def test_an_entry_without_a_pattern_or_function_is_named(setting: str) -> None:
    with pytest.raises(InputError, match="write strategy_pattern="):
        parse_replays(setting)


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("math.sqrt", "names no function"),
        ("math:", "names no function"),
        ("math:os system", "names no function"),
        ("no_such_module_at_all:f", "No module named"),
        ("math:no_such", "has no function 'no_such'"),
        ("math:pi", "has no function 'pi'"),
    ],
)
def test_a_replay_that_cannot_be_loaded_is_refused_with_its_name(target: str, said: str) -> None:
    with pytest.raises(InputError, match=said) as refused:
        load_replay(target)
    assert target in str(refused.value)


@pytest.mark.parametrize(
    ("dates", "returns", "said"),
    [
        (DAYS, [0.1, 0.2], "one return per day"),
        (DAYS[::-1], [0.0] * 3, "sort the days"),
        (DAYS[[0, 0, 1]], [0.0] * 3, "sort the days"),
        (DAYS + 400, [0.0] * 3, "none outside the window"),
        (DAYS, [0.0, np.nan, 0.0], "nan for 2013-01-03"),
        (DAYS, [0.0, 0.0, -1.0], "-1.0 for 2013-01-04"),
        (DAYS, ["a", "b", "c"], "no days and numbers"),
        (["soon"], [0.0], "no days and numbers"),
        (np.array(["NaT"], dtype="datetime64[D]"), [0.0], "NaT"),
    ],
)
def test_an_answer_that_cannot_be_used_is_refused_in_words(dates: object, returns: object, said: str) -> None:
    with pytest.raises(InputError, match=said):
        replayed(answering(dates, returns), "S", {}, "M", START, END)  # type: ignore[arg-type]


def test_no_days_yet_is_an_answer_and_no_pair_is_none() -> None:
    assert len(replayed(answering([], []), "S", {}, "M", START, END).dates) == 0  # type: ignore[arg-type]
    with pytest.raises(InputError, match="returned a list"):
        replayed(lambda *_: [1, 2], "S", {}, "M", START, END)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="ends before it starts"):
        replayed(replay, "S", {}, "M", END, START)
