"""The descriptive views: they answer where they can, say why where they cannot, never compare across frequencies."""

import numpy as np
import pytest

from meta_pipeline.canonical import canonical_json
from meta_pipeline.diagnostics.configurations import configurations
from meta_pipeline.diagnostics.descriptive import Descriptive, describe
from meta_pipeline.diagnostics.interactions import overturning_interactions
from meta_pipeline.evidence.panel import RunPanel
from meta_pipeline.proposals.campaign import read_campaign
from meta_pipeline.proposals.changes import enumerate_changes
from meta_pipeline.proposals.knobs import Knob
from meta_pipeline.proposals.parameters import Parameters
from meta_pipeline.proposals.propose import propose
from meta_pipeline_tests.evidence.worlds import YEAR, panel_of

KNOBS = tuple(Knob(path=path, knob_type="int") for path in ("a", "b"))
LIVE = {"a": 0, "b": 0}


def crossed(effects: dict[tuple[int, int], float], *, n_days: int = 1500, markets: int = 6, seed: int = 3) -> RunPanel:
    """A full grid of two knobs per market; effects are annualised Sharpe ratios per cell."""
    rng = np.random.default_rng(seed)
    columns, configs, names = [], [], []
    for market in range(markets):
        common = rng.standard_normal(n_days)
        for (a, b), sharpe in effects.items():
            noise = np.sqrt(0.8) * common + np.sqrt(0.2) * rng.standard_normal(n_days)
            columns.append(0.01 * (noise + sharpe / np.sqrt(YEAR)))
            configs.append({"a": a, "b": b})
            names.append(f"market{market}")
    return panel_of(np.column_stack(columns), configs, blocks=names, markets=names)


def described(panel: RunPanel, **options: object) -> Descriptive:
    found = configurations(panel, knobs=KNOBS, live=LIVE)
    return describe(panel, found, read_campaign(panel, KNOBS, LIVE, Parameters()), **options)  # type: ignore[arg-type]


def test_an_interaction_that_turns_an_effect_round_is_named_and_a_plain_effect_is_not() -> None:
    turned = crossed({(0, 0): 0.5, (1, 0): -0.5, (0, 1): 0.5, (1, 1): 2.5})
    campaign = read_campaign(turned, KNOBS, LIVE, Parameters())
    found = overturning_interactions(campaign, enumerate_changes(campaign))
    assert ("a", "0 → 1", "b = 0") in {(one.knob, one.change, one.where) for one in found}
    one = next(one for one in found if one.where == "b = 0")
    assert one.main > 0 > one.upper >= one.estimate
    plain = crossed({(0, 0): 0.5, (1, 0): 1.5, (0, 1): 0.5, (1, 1): 1.5})
    campaign = read_campaign(plain, KNOBS, LIVE, Parameters())
    assert overturning_interactions(campaign, enumerate_changes(campaign)) == ()


def test_the_panel_says_what_beats_which_benchmark_and_which_knob_matters() -> None:
    panel = crossed({(0, 0): 0.0, (1, 0): 2.5, (0, 1): 0.0, (1, 1): 2.5})
    found = described(panel, buy_and_hold=np.full(len(panel.dates), np.nan))
    live, holding = found.against
    assert (live.benchmark, holding.benchmark) == ("live", "buy and hold")
    assert live.p_value is not None
    assert live.p_value < 0.05
    assert len(live.better) == 2
    assert holding.p_value is None
    assert holding.missing
    assert found.knobs[0].path == "a"
    assert found.knobs[0].mutual_information is not None
    assert found.probability_of_overfitting is not None
    assert found.live is not None
    assert "never a gate" in found.label
    canonical_json(found.to_json())


def test_without_returns_every_view_says_why() -> None:
    panel = crossed({(0, 0): 0.0, (1, 0): 1.0})
    bare = panel_of(np.full((0, 0), np.nan), [])
    assert described(panel).missing == {}
    empty = described(bare)
    assert empty.probability_of_overfitting is None
    assert empty.missing["probability_of_overfitting"] == "no run has a return series"
    assert empty.knobs == ()


def test_runs_of_other_frequencies_are_compared_within_and_never_across() -> None:
    daily = crossed({(0, 0): 0.0, (1, 0): 1.0}, markets=6)
    fast = {1} | {3, 5}  # of each market one run is of another frequency: nothing is left to compare within a block
    mixed = RunPanel(
        run_ids=daily.run_ids,
        configs=daily.configs,
        blocks=daily.blocks,
        markets=daily.markets,
        dates=daily.dates,
        returns=daily.returns,
        periods_per_year=np.array([2190.0 if i in fast | {7, 9, 11} else 252.0 for i in range(12)]),
    )
    (candidate,) = [one for one in propose(mixed, knobs=KNOBS, live=LIVE).candidates if one.knob == "a"]
    assert candidate.effect.estimate is None
    assert "same block" in str(candidate.suppression_reason)
    halves = np.array([2190.0 if i >= 6 else 252.0 for i in range(12)])  # three markets each: compared within
    within = RunPanel(
        run_ids=daily.run_ids,
        configs=daily.configs,
        blocks=daily.blocks,
        markets=daily.markets,
        dates=daily.dates,
        returns=daily.returns,
        periods_per_year=halves,
    )
    (candidate,) = [one for one in propose(within, knobs=KNOBS, live=LIVE).candidates if one.knob == "a"]
    assert candidate.effect.n_pairs == 6
    assert candidate.effect.estimate is not None
    assert described(within).missing["probability_of_overfitting"].startswith("runs of different frequency")
    assert candidate.effect.estimate == pytest.approx(_mean_of_differences(within), rel=1e-9)


def _mean_of_differences(panel: RunPanel) -> float:
    returns = panel.returns
    sharpe = returns.mean(axis=0) / returns.std(axis=0, ddof=1) * np.sqrt(panel.periods_per_year)
    years = len(returns) / panel.periods_per_year
    return float(np.average((sharpe[1::2] - sharpe[::2]), weights=years[::2]))
