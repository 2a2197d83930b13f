"""What to run next: whole configurations for what is not identified, days and markets for what is too faint."""

import json
from dataclasses import replace

import numpy as np
import pytest

from meta_pipeline.canonical import JsonValue
from meta_pipeline.errors import InputError
from meta_pipeline.evidence.panel import RunPanel
from meta_pipeline.proposals.experiment_plan import plan_experiments
from meta_pipeline.proposals.knobs import Knob
from meta_pipeline.proposals.propose import propose
from meta_pipeline_tests.evidence.worlds import panel_of

KNOBS = (Knob(path="a", knob_type="int"), Knob(path="risk.cap", knob_type="int"))
LIVE: dict[str, JsonValue] = {"a": 0, "risk": {"cap": 0, "note": "kept"}, "name": "kept, too"}


def campaign(cells: list[tuple[int, int]], *, n_days: int = 1000, markets: int = 4) -> RunPanel:
    rng = np.random.default_rng(5)
    names = [f"m{m}|2010-01-04..2013-11-01|c" for m in range(markets) for _ in cells]
    configs: list[dict[str, JsonValue]] = [{"a": a, "risk": {"cap": cap}} for _ in range(markets) for a, cap in cells]
    returns = rng.normal(0.0, 0.01, (n_days, len(configs)))
    return panel_of(returns, configs, blocks=names, markets=[name.split("|")[0] for name in names])


def test_missing_runs_are_whole_configurations_and_with_them_the_effect_is_identified() -> None:
    aliased = [(0, 0), (1, 1)]
    found = propose(campaign(aliased), knobs=KNOBS, live=LIVE)
    plan = plan_experiments(found, knobs=KNOBS, live=LIVE, n_markets=4)
    assert {run.market for run in plan.runs} == {"m0", "m1", "m2", "m3"}
    assert {run.window for run in plan.runs} == {"2010-01-04..2013-11-01"}
    wanted = {(run.config["a"], run.config["risk"]["cap"]) for run in plan.runs}  # type: ignore[call-overload, index]
    assert wanted == {(1, 0), (0, 1)}
    assert all(run.config["name"] == "kept, too" for run in plan.runs)
    assert all(run.config["risk"]["note"] == "kept" for run in plan.runs)  # type: ignore[call-overload, index]
    again = propose(campaign([*aliased, (1, 0), (0, 1)]), knobs=KNOBS, live=LIVE)
    assert plan_experiments(again, knobs=KNOBS, live=LIVE, n_markets=4).runs == ()
    json.dumps(plan.to_json(strategy_id="s"))


def test_days_and_markets_grow_with_the_square_of_what_is_to_be_found() -> None:
    found = propose(campaign([(0, 0), (1, 0), (0, 1), (1, 1)]), knobs=KNOBS, live=LIVE)
    coarse = plan_experiments(found, knobs=KNOBS, live=LIVE, n_markets=4, worth_finding=0.4)
    fine = plan_experiments(found, knobs=KNOBS, live=LIVE, n_markets=4, worth_finding=0.2)
    one, two = coarse.more_evidence[0], next(e for e in fine.more_evidence if e.knob == coarse.more_evidence[0].knob)
    assert one.days == 1000
    assert two.days_needed == pytest.approx(4 * one.days_needed, abs=4)
    assert one.days_needed == pytest.approx(1000 * (one.smallest_detectable_effect / 0.4) ** 2, abs=1)
    assert one.more_markets == one.markets_needed - 4 > 0
    easy = plan_experiments(found, knobs=KNOBS, live=LIVE, n_markets=4, worth_finding=50.0)
    assert easy.more_evidence == ()
    with pytest.raises(InputError, match="must be positive"):
        plan_experiments(replace(found), knobs=KNOBS, live=LIVE, n_markets=4, worth_finding=0.0)


def test_runs_without_returns_are_asked_for_again_with_them() -> None:
    with_returns = campaign([(0, 0), (1, 0)])
    bare = panel_of(
        np.full((0, 8), np.nan),
        with_returns.configs,
        blocks=with_returns.blocks,
        markets=with_returns.markets,
        periods_per_year=np.nan,
        reported=[{"annualised_sharpe": float(i)} for i in range(8)],
    )
    plan = plan_experiments(propose(bare, knobs=KNOBS, live=LIVE), knobs=KNOBS, live=LIVE, n_markets=4)
    assert len(plan.runs) == 8
    assert {run.config["a"] for run in plan.runs} == {0, 1}
