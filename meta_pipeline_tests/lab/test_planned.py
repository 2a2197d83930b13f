"""What the engine asks to be run, run by the lab: the alias that it asked about is resolved."""

import json
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import numpy as np
import pytest

from meta_pipeline import lab
from meta_pipeline.backtests.run import BacktestRun
from meta_pipeline.canonical import JsonValue
from meta_pipeline.errors import InputError
from meta_pipeline.evidence.panel import RunPanel
from meta_pipeline.lab.campaign import runs_of_market
from meta_pipeline.lab.prices import load_prices, market_named
from meta_pipeline.lab.window import campaign_window
from meta_pipeline.proposals.candidate import Proposed, Rule
from meta_pipeline.proposals.experiment_plan import PLAN_FORMAT, plan_experiments
from meta_pipeline.proposals.parameters import Parameters
from meta_pipeline.proposals.propose import propose
from meta_pipeline_tests.evidence.worlds import panel_of

TREND = lab.strategy_named("LAB_TREND")
TOGETHER = ((10, 150), (20, 200), (50, 250))
"""Values of `fast_days` and `slow_days` that are only ever run with each other."""


def aliased_runs(campaign: str = "aliased") -> list[BacktestRun]:
    """Twelve configurations in each market, in which two knobs never part."""
    live = {**TREND.live_config, "fast_days": 10, "slow_days": 150}
    configs = [
        {**live, "fast_days": fast, "slow_days": slow, "entry_band": band}
        for fast, slow in TOGETHER
        for band in (0.0, 0.01, 0.02, 0.04)
    ]
    runs: list[BacktestRun] = []
    for market in lab.markets():
        window = campaign_window(market, load_prices(market.market_id), date(2005, 1, 3), date(2009, 12, 31))
        runs += runs_of_market(TREND, configs, market_named(market.market_id), window, campaign)
    return runs


def aligned(runs: Sequence[BacktestRun]) -> RunPanel:
    dates = np.unique(np.concatenate([run.dates for run in runs if run.dates is not None])).astype("datetime64[s]")
    returns = np.full((len(dates), len(runs)), np.nan)
    for column, run in enumerate(runs):
        assert run.dates is not None
        assert run.returns is not None
        returns[np.searchsorted(dates, run.dates.astype("datetime64[s]")), column] = run.returns
    return panel_of(
        returns,
        [run.config for run in runs],
        blocks=[f"{run.market_id}|{run.start_date}..{run.end_date}|{run.campaign_id}" for run in runs],
        markets=[run.market_id for run in runs],
        dates=dates,
    )


LIVE: Mapping[str, JsonValue] = {**TREND.live_config, "fast_days": 10, "slow_days": 150, "entry_band": 0.0}


def judged(runs: Sequence[BacktestRun]) -> Proposed:
    return propose(aligned(runs), knobs=TREND.knobs, live=LIVE, parameters=Parameters(bootstrap_draws=99))


def planned(found: Proposed) -> dict[str, Any]:
    plan = plan_experiments(found, knobs=TREND.knobs, live=LIVE, n_markets=3)
    written: dict[str, Any] = json.loads(json.dumps(plan.to_json(strategy_id="LAB_TREND")))
    return written


def test_running_what_is_asked_for_resolves_the_alias() -> None:
    runs = aliased_runs()
    before = judged(runs)
    assert {"fast_days", "slow_days"} in [set(group) for group in before.aliased_knobs]
    stopped = {one.knob for one in before.suppressed if one.suppressed_by is Rule.ALIASED_KNOB}
    assert stopped == {"fast_days", "slow_days"}
    plan = planned(before)
    assert len(plan["runs"]) == 3 * 4  # per market: each knob alone at each of its two other values
    made = lab.run_plan(plan)
    assert len(made) == 12
    assert {(run.config["fast_days"], run.config["slow_days"]) for run in made} == {
        *((10, 200), (10, 250), (20, 150), (50, 150)),
    }
    after = judged([*runs, *made])
    assert after.aliased_knobs == ()
    for knob in ("fast_days", "slow_days"):
        effects = [one.effect for one in after.candidates if one.knob == knob]
        assert len(effects) == 2
        assert all(effect.estimate is not None and effect.standard_error for effect in effects)
    assert planned(after)["runs"] == []


def test_what_is_measured_then_is_what_the_runs_say_at_the_live_configuration() -> None:
    runs = aliased_runs()
    made = lab.run_plan(planned(judged(runs)))
    (candidate,) = [one for one in judged([*runs, *made]).candidates if one.knob == "fast_days" and one.to_value == 20]
    assert candidate.local_effect is not None
    sharpe = {}
    for run in (*runs, *made):
        others = {name: value for name, value in run.config.items() if name != "fast_days"}
        if run.returns is not None and others == {k: v for k, v in LIVE.items() if k != "fast_days"}:
            sharpe[run.market_id, run.config["fast_days"]] = (
                run.returns.mean() / run.returns.std(ddof=1) * np.sqrt(252),
                len(run.returns),
            )
    pairs = [(sharpe[name, 20][0] - sharpe[name, 10][0], sharpe[name, 10][1]) for name in ("SP500", "NASDAQ", "WTI")]
    expected = np.average([gap for gap, _ in pairs], weights=[days for _, days in pairs])
    assert candidate.local_effect.estimate == pytest.approx(expected, rel=0.02)


def test_an_effect_that_is_too_faint_for_these_days_then_asks_for_more_of_them() -> None:
    runs = aliased_runs()
    before = judged(runs)
    assert planned(before)["more_evidence"] == []  # nothing is known of the aliased ones, and the band is precise
    after = judged([*runs, *lab.run_plan(planned(before))])
    more = planned(after)["more_evidence"]
    assert {one["knob"] for one in more} == {"fast_days", "slow_days"}
    for one in more:
        assert one["smallest_detectable_effect"] > one["worth_finding"] == 0.3
        assert one["days_needed"] == pytest.approx(one["days"] * (one["smallest_detectable_effect"] / 0.3) ** 2, abs=1)
        assert one["more_days"] == one["days_needed"] - one["days"] > 0
        assert (one["markets"], one["more_markets"] > 0) == (3, True)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"format": 99}, "format 99, the lab reads 1"),
        ({"strategy_id": "OTHER"}, "'OTHER' is not in the lab"),
        ({"runs": [{"market": "SP500"}]}, "no plan of missing runs"),
        ({"runs": "all"}, "no plan of missing runs"),
        ({"window": "2005"}, "'2005' is not two days"),
        ({"window": "1990-01-01..1995-01-01"}, "can be simulated from"),
        ({"market": "MARS"}, "MARS"),
        ({"config": {"fast_days": 10}}, "slow_days"),
    ],
)
def test_a_plan_that_the_lab_cannot_run_is_refused_in_words(change: dict[str, Any], said: str) -> None:
    run = {
        "market": "SP500",
        "window": "2005-01-03..2009-12-31",
        "campaign": "c",
        "config": dict(LIVE),
        "identifies": ["x"],
    }
    plan: dict[str, Any] = {"format": PLAN_FORMAT, "strategy_id": "LAB_TREND", "runs": [run]}
    assert len(lab.run_plan(plan)) == 1
    run |= {name: value for name, value in change.items() if name in run}
    plan |= {name: value for name, value in change.items() if name in plan}
    with pytest.raises(InputError, match=said):
        lab.run_plan(plan)
