"""The descriptive views: they answer where they can, say why where they cannot, never compare across frequencies."""

from statistics import NormalDist

import numpy as np
import pytest

from meta_pipeline.canonical import canonical_json
from meta_pipeline.diagnostics.configurations import configurations
from meta_pipeline.diagnostics.descriptive import Descriptive, describe
from meta_pipeline.diagnostics.interactions import LEVEL, MINIMUM_PAIRS, overturning_interactions
from meta_pipeline.evidence.panel import RunPanel
from meta_pipeline.proposals.campaign import read_campaign
from meta_pipeline.proposals.candidate import level_to_json
from meta_pipeline.proposals.changes import enumerate_changes
from meta_pipeline.proposals.knobs import Knob
from meta_pipeline.proposals.parameters import Parameters
from meta_pipeline.proposals.propose import propose
from meta_pipeline_tests.evidence.worlds import YEAR, chosen, panel_of

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
    # Two changes, each at two levels of the other knob: the interval holds for the four together.
    together = NormalDist().inv_cdf(1 - (1 - LEVEL) / 2 / 4)
    assert (one.upper - one.estimate) / one.standard_error == pytest.approx(together)
    plain = crossed({(0, 0): 0.5, (1, 0): 1.5, (0, 1): 0.5, (1, 1): 1.5})
    campaign = read_campaign(plain, KNOBS, LIVE, Parameters())
    assert overturning_interactions(campaign, enumerate_changes(campaign)) == ()


def test_a_setting_with_few_pairs_overturns_nothing() -> None:
    cells = {(0, 0): 0.5, (1, 0): -0.5, (0, 1): 0.5, (1, 1): 2.5}
    for markets, named in ((MINIMUM_PAIRS, True), (MINIMUM_PAIRS - 1, False)):
        campaign = read_campaign(crossed(cells, markets=markets), KNOBS, LIVE, Parameters())
        assert bool(overturning_interactions(campaign, enumerate_changes(campaign))) is named


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


def test_days_on_which_holding_is_not_known_are_left_out_and_not_taken_for_days_without_a_return() -> None:
    panel = crossed({(0, 0): 0.0, (1, 0): 2.5}, n_days=600, markets=2)
    holding = panel.returns[:, 1::2].mean(axis=1)  # as good as the better one of the two
    holding[:300] = np.nan
    _, found = described(panel, buy_and_hold=holding).against
    assert found.missing is None
    assert found.n_compared == 2
    assert found.better == ()


def test_without_returns_every_view_says_why() -> None:
    panel = crossed({(0, 0): 0.0, (1, 0): 1.0})
    bare = panel_of(np.full((0, 0), np.nan), [])
    assert set(described(panel).missing) == {"scenarios"}
    empty = described(bare)
    assert empty.probability_of_overfitting is None
    assert empty.missing["probability_of_overfitting"] == "no run has a return series"
    assert empty.knobs == ()
    for name in ("live", "across_configurations", "across_markets", "scenarios", "r_squared"):
        assert getattr(empty, name) is None
        assert empty.missing[name]


def named(panel: RunPanel, **levels: int) -> str:
    """Return the id of the configuration with these levels."""
    found = configurations(panel, knobs=KNOBS, live=LIVE)
    wanted = {path: level_to_json(level) for path, level in levels.items()}
    return next(one.configuration_id for one in found.all if one.knobs == wanted)


def test_the_live_configuration_is_put_through_scenarios_with_the_best_one() -> None:
    panel = crossed({(0, 0): 1.0, (1, 0): -3.0, (0, 1): 4.0})
    regimes = {"": np.array(["CALM"] * 900 + ["CRISIS"] * 600)}
    better = described(panel, regimes=regimes, best=named(panel, a=0, b=1))
    assert better.challenger == named(panel, a=0, b=1)
    assert better.scenarios is not None
    assert better.scenarios.passed is True
    assert better.scenarios.families[-1].name == "resampled from CRISIS"
    worse = described(panel, best=named(panel, a=1, b=0)).scenarios
    assert worse is not None
    assert worse.passed is False
    same = described(panel, best=named(panel, a=0, b=0))
    assert same.scenarios is None
    assert same.missing["scenarios"] == "the live configuration is the best"


def test_the_views_of_knobs_agree_on_the_one_that_matters_and_dispersion_says_what_moves_together() -> None:
    panel = crossed({(0, 0): 0.0, (1, 0): 2.5, (0, 1): 0.0, (1, 1): 2.5})
    found = described(panel, regimes={"": np.array(["A", "B"] * 750)})
    first, second = found.knobs
    assert (first.path, second.path) == ("a", "b")
    assert first.permutation is not None
    assert first.permutation > 0.5 > abs(second.permutation or 0.0)
    assert found.r_squared is not None
    assert found.r_squared > 0.5
    configurations_apart, markets_apart = found.across_configurations, found.across_markets
    assert configurations_apart is not None
    assert markets_apart is not None
    assert (configurations_apart.n_series, markets_apart.n_series) == (4, 6)
    # Configurations share 80 % of their variance with each market; markets share nothing.
    assert configurations_apart.relative == pytest.approx(0.2, abs=0.04)
    assert markets_apart.relative == pytest.approx(1.0, abs=0.05)
    assert [one.label for one in markets_apart.by_regime] == ["A", "B"]


def test_no_view_depends_on_the_order_of_the_runs_or_on_copies_of_them() -> None:
    panel = crossed({(0, 0): 0.0, (1, 0): 1.5, (0, 1): 0.3, (1, 1): 1.0}, n_days=600, markets=3)
    regimes = {"": np.array(["A"] * 250 + ["B"] * 350)}
    best = named(panel, a=1, b=0)
    shuffled = chosen(panel, [*np.random.default_rng(1).permutation(panel.n_runs).tolist(), 3, 5])
    assert (
        described(shuffled, regimes=regimes, best=best).to_json()
        == described(panel, regimes=regimes, best=best).to_json()
    )


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
