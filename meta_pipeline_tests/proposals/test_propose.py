"""The rules between a candidate and a proposal, and what `propose` makes of odd panels."""

import json
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from meta_pipeline.canonical import JsonValue, canonical_json
from meta_pipeline.errors import InputError
from meta_pipeline.evidence.panel import RunPanel
from meta_pipeline.proposals.candidate import Candidate, Grade, ProposalType, Proposed, Rule
from meta_pipeline.proposals.knobs import Knob, RiskDirection
from meta_pipeline.proposals.parameters import Parameters, RiskLimits
from meta_pipeline.proposals.propose import propose
from meta_pipeline.proposals.rationale import unsupported_numbers
from meta_pipeline_tests.evidence.worlds import grid, panel_of, world

FAST = Parameters(bootstrap_draws=199)
LIVE: Mapping[str, JsonValue] = {f"k{i}": 0 for i in range(6)}


def knobs(**special: Knob) -> list[Knob]:
    return [special.get(f"k{i}", Knob(path=f"k{i}", knob_type="int")) for i in range(6)]


@pytest.fixture(scope="module")
def strong() -> RunPanel:
    """Four markets, five years, an effect nobody can miss on k0 = 1 and a smaller one on k0 = 2."""
    effects = {(0, 1): 1.6, (0, 2): 0.9}
    return world(np.random.default_rng(8), [grid()] * 4, n_days=1260, effects=effects)


def ask(panel: RunPanel, limits: RiskLimits | None = None, **special: Knob) -> Proposed:
    return propose(panel, knobs=knobs(**special), live=LIVE, parameters=FAST, limits=limits or RiskLimits())


def only(found: Proposed, path: str, value: JsonValue) -> Candidate:
    (match,) = [c for c in found.candidates if c.knob == path and c.to_value == value]
    return match


def test_a_strong_effect_is_proposed_with_everything_a_person_asks(strong: RunPanel) -> None:
    found = ask(strong)
    (proposal,) = found.proposals
    assert (proposal.knob, proposal.from_value, proposal.to_value) == ("k0", 0, 1)
    assert proposal.grade is Grade.A
    effect = proposal.effect
    assert effect.estimate is not None
    assert effect.lower is not None
    assert effect.upper is not None
    assert effect.lower < effect.estimate < effect.upper
    assert set(effect.adjusted_p_values) == {"romano_wolf", "holm", "benjamini_hochberg", "benjamini_yekutieli"}
    assert proposal.expected_uplift == pytest.approx(0.25 * effect.estimate, rel=0.02)
    assert proposal.uplift_lower is not None
    assert proposal.uplift_lower < effect.lower
    assert 0.5 < (proposal.probability_positive or 0) < 1
    assert proposal.local_effect is not None
    assert proposal.local_effect.method == "local_pairs"
    assert {e.metric for e in proposal.risk_effects} == {
        "mean_return",
        "volatility",
        "max_drawdown",
        "expected_shortfall",
    }
    assert proposal.stability is not None
    assert len(proposal.stability.sub_periods) == 8
    assert proposal.stability.sign_consistency == 1.0
    assert proposal.n_days == 1260
    assert proposal.n_trials == strong.n_runs
    assert proposal.legacy_confidence is not None
    assert proposal.variance_convention == "estimate"
    assert proposal.rationale.startswith("Change k0 from 0 to 1.")


def test_the_lesser_of_two_good_values_is_dominated(strong: RunPanel) -> None:
    other = only(ask(strong), "k0", 2)
    assert other.grade is Grade.A
    assert other.suppressed_by is Rule.DOMINATED
    assert "k0 = 1" in str(other.suppression_reason)


def test_dead_and_leverage_knobs_are_named_and_not_proposed(strong: RunPanel) -> None:
    found = ask(strong)
    assert found.dead_knobs == ("k4",)
    assert only(found, "k4", 1).suppressed_by is Rule.DEAD_KNOB
    assert only(found, "k5", 1).suppressed_by is Rule.IDENTICAL_RETURNS
    assert found.n_distinct < strong.n_runs


def test_every_candidate_without_a_rule_is_a_proposal_and_every_other_says_why(strong: RunPanel) -> None:
    found = ask(strong)
    assert all(c.suppressed_by is None for c in found.proposals)
    assert all(c.suppressed_by is not None and c.suppression_reason for c in found.suppressed)
    assert sum(found.suppressed_by_rule().values()) == len(found.suppressed)
    assert len({(c.proposal_type, c.knob, repr(c.to_value)) for c in found.candidates}) == len(found.candidates)


def test_bounds_steps_and_fixed_knobs_stop_a_candidate_and_the_next_best_takes_its_place(strong: RunPanel) -> None:
    fixed = Knob(path="k0", knob_type="int", changeable=False)
    assert only(ask(strong, k0=fixed), "k0", 1).suppressed_by is Rule.NOT_CHANGEABLE
    two_only = Knob(path="k0", knob_type="int", choices=(0, 2))
    found = ask(strong, k0=two_only)
    assert only(found, "k0", 1).suppressed_by is Rule.NOT_CHANGEABLE
    assert [c.to_value for c in found.proposals] == [2]


def test_without_effect_a_candidate_is_weak_or_not_better(strong: RunPanel) -> None:
    rules = {c.suppressed_by for c in ask(strong).suppressed if c.knob in {"k1", "k2", "k3"}}
    assert rules <= {Rule.WEAK_EVIDENCE, Rule.NOT_BETTER, Rule.SUGGESTIVE}


def test_an_effect_below_the_switching_cost_is_not_proposed_however_sure_it_is(strong: RunPanel) -> None:
    costly = replace(FAST, switching_cost=5.0)
    found = propose(strong, knobs=knobs(), live=LIVE, parameters=costly)
    assert found.proposals == ()
    assert only(found, "k0", 1).suppressed_by is Rule.BELOW_SWITCHING_COST


def test_an_effect_that_turns_round_at_the_live_configuration_is_not_proposed() -> None:
    rng = np.random.default_rng(0)
    rows = [(a, b) for a in (0, 1) for b in range(5) for _ in range(2)]
    # a = 1 helps everywhere but where it would be used, at the live b = 0.
    returns = np.column_stack([rng.standard_normal(1260) * 0.01 + a * (-0.0006 if b == 0 else 0.0012) for a, b in rows])
    panel = panel_of(returns, [{"a": a, "b": b} for a, b in rows])
    both = [Knob(path=p, knob_type="int") for p in "ab"]
    candidate = only(propose(panel, knobs=both, live={"a": 0, "b": 0}, parameters=FAST), "a", 1)
    assert candidate.grade is Grade.A
    assert candidate.suppressed_by is Rule.LOCAL_OPPOSITE_SIGN
    local = candidate.local_effect
    assert local is not None
    assert local.standard_error is not None
    assert candidate.effect.standard_error is not None
    assert local.standard_error > candidate.effect.standard_error


def test_ceilings_on_risk_veto_and_unknown_risk_never_passes(strong: RunPanel) -> None:
    tight = only(ask(strong, RiskLimits(volatility=0.01)), "k0", 1)
    assert tight.suppressed_by is Rule.RISK_LIMIT
    assert "the strategy's limit is 0.01" in str(tight.suppression_reason)
    short = replace(strong, returns=strong.returns[:75], dates=strong.dates[:75])  # too short for a tail
    found = propose(short, knobs=knobs(), live=LIVE, parameters=replace(FAST, alpha=0.5, switching_cost=0.0))
    stopped = {c.suppressed_by for c in found.candidates if c.grade in {Grade.A, Grade.B}}
    assert stopped
    assert stopped <= {Rule.RISK_UNKNOWN, Rule.RISK_LIMIT}
    free = RiskLimits(volatility_rise=None, expected_shortfall_rise=None, drawdown_rise=None)
    assert only(ask(strong, free), "k0", 1).is_proposal


def test_an_undeclared_key_that_varies_is_held_fixed_and_asks_to_be_declared() -> None:
    rng = np.random.default_rng(0)
    configs = [{"a": a, "cost": cost} for a in (0, 1) for cost in ("low", "high") for _ in range(3)]
    returns = np.column_stack(
        [rng.standard_normal(600) * 0.01 + (0.003 if c["cost"] == "low" else 0.0) for c in configs]
    )
    live: Mapping[str, JsonValue] = {"a": 0, "cost": "high"}
    found = propose(panel_of(returns, configs), knobs=[Knob(path="a", knob_type="int")], live=live, parameters=FAST)
    undeclared = only(found, "cost", "low")
    assert undeclared.suppressed_by is Rule.UNDECLARED
    assert all(c.knob != "cost" for c in found.proposals)
    assert "nuisances_held_fixed" in {note.code for note in found.notes}


def test_a_value_that_was_never_run_beside_the_live_one_asks_for_the_missing_runs() -> None:
    rng = np.random.default_rng(0)
    configs = [{"a": a, "b": 1} for a in (1, 2) for _ in range(4)]
    panel = panel_of(rng.standard_normal((300, 8)) * 0.01, configs)
    live: Mapping[str, JsonValue] = {"a": 0, "b": 1}
    both = [Knob(path=p, knob_type="int") for p in "ab"]
    candidate = only(propose(panel, knobs=both, live=live, parameters=FAST), "a", 2)
    assert candidate.suppressed_by is Rule.UNIDENTIFIED
    assert "no run has the live value 0 of a" in str(candidate.suppression_reason)
    assert [dict(e.config) for e in candidate.experiments] == [{"a": 0, "b": 1}]
    assert candidate.experiments[0].block == "m|w|c"


def test_markets_of_other_periods_per_year_are_compared_within_never_across() -> None:
    rng = np.random.default_rng(0)
    returns = rng.standard_normal((500, 12)) * 0.01
    configs = [{"a": 0}] * 6 + [{"a": 1}] * 6
    periods = np.array([252.0] * 6 + [2190.0] * 6)
    found = propose(
        panel_of(returns, configs, periods_per_year=periods),
        knobs=[Knob(path="a", knob_type="int")],
        live={"a": 0},
        parameters=FAST,
    )
    assert only(found, "a", 1).suppressed_by is Rule.UNIDENTIFIED


def test_two_runs_are_insufficient_in_these_words() -> None:
    panel = panel_of(np.random.default_rng(0).standard_normal((50, 2)) * 0.01, [{"a": 0}, {"a": 1}])
    found = propose(panel, knobs=[Knob(path="a", knob_type="int")], live={"a": 0})
    assert found.insufficient_data == "insufficient data: 2 runs available, need 5"
    assert found.candidates == ()


def test_an_empty_panel_is_insufficient_data_and_no_error() -> None:
    empty = panel_of(np.empty((0, 0)), [])
    assert propose(empty, knobs=knobs(), live=LIVE).insufficient_data == "insufficient data: 0 runs available, need 5"


def test_runs_that_cannot_be_used_are_left_out_by_reason_and_break_nothing(strong: RunPanel) -> None:
    returns = strong.returns.copy()
    periods = strong.periods_per_year.copy()
    returns[10, 1] = np.inf
    returns[10, 2] = -1.5
    returns[:, 3] = 0.001
    returns[5:, 4] = np.nan
    periods[5] = np.nan
    odd = replace(strong, returns=returns, periods_per_year=periods)
    found = ask(odd)
    notes = {note.code: note for note in found.notes}
    codes = {"not_finite", "ruined", "zero_volatility", "too_few_returns", "periods_per_year_unknown"}
    assert codes <= set(notes)
    assert all(notes[code].count == 1 for code in codes)
    assert notes["ruined"].subjects == ("run2",)
    assert found.n_excluded == 5
    assert found.n_trials == strong.n_runs
    assert only(found, "k0", 2).effect.estimate is not None


def test_odd_configs_and_metrics_break_nothing() -> None:  # A01-A05
    values: list[JsonValue] = [{"x": [1, {"y": None}]}, [[1], [2]], None, "n/a", True, 1, 1.0, 0.5]
    rng = np.random.default_rng(0)
    returns = rng.standard_normal((100, 16)) * 0.01
    returns[:, 12:] = np.nan
    configs: list[Mapping[str, JsonValue]] = [{"k": values[i % 8], "deep": {"a": {"b": i % 2}}} for i in range(16)]
    reported: list[dict[str, float | None]] = [{} for _ in range(12)]
    odd = (None, "1.2", float("nan"), 0.7)  # the quality gate refuses the text; it must not break this either
    reported += [{"annualised_sharpe": value} for value in odd]  # type: ignore[dict-item]
    panel = panel_of(returns, configs, reported=reported)
    declared = [Knob(path="k", knob_type="json"), Knob(path="deep.a.b", knob_type="int")]
    found = propose(panel, knobs=declared, live={"k": None, "deep": {"a": {"b": 0}}}, parameters=FAST)
    assert len({repr(c.to_value) for c in found.candidates if c.knob == "k"}) == 7
    assert {note.code: note.count for note in found.notes}["no_sharpe_ratio"] == 3


def test_no_knobs_and_no_live_values_give_no_candidates(strong: RunPanel) -> None:
    assert [c for c in propose(strong, knobs=[], live={}, parameters=FAST).candidates if c.is_proposal] == []
    missing = propose(strong, knobs=knobs(), live={}, parameters=FAST)
    assert {c.suppressed_by for c in missing.candidates if c.knob not in missing.dead_knobs} == {Rule.UNIDENTIFIED}


def test_a_risk_reduction_is_looked_for_when_too_many_configurations_underperform() -> None:
    rng = np.random.default_rng(1)
    columns, configs = [], []
    for style in range(6):
        base = rng.standard_normal(1260) * 0.006 - 0.0004
        for size in (0.5, 1.0):
            columns.append(size * base)
            configs.append({"cap": size, "style": style})
    cap = Knob(path="cap", knob_type="float", risk_direction=RiskDirection.HIGHER_IS_RISKIER, lower=0.1)
    declared = [cap, Knob(path="style", knob_type="int")]
    live: Mapping[str, JsonValue] = {"cap": 1.0, "style": 0}
    panel = panel_of(np.column_stack(columns), configs)
    gentle = replace(FAST, deep_drawdown=-0.99)
    (proposal,) = propose(panel, knobs=declared, live=live, parameters=gentle).proposals
    assert proposal.proposal_type is ProposalType.RISK_REDUCTION
    assert proposal.effect.metric == "expected_shortfall"
    assert (proposal.effect.estimate or 0) > 0
    assert (proposal.effect.adjusted_p_values["holm"]) <= 0.005
    assert "The campaign holds 12 configurations, 12 with a Sharpe ratio below 0.5" in proposal.rationale
    assert proposal.trigger["n_underperforming"] == 12
    assert unsupported_numbers(proposal.rationale, json.loads(canonical_json(proposal.to_json()))) == ()
    bounded = [replace(cap, max_step=0.1), declared[1]]
    assert propose(panel, knobs=bounded, live=live, parameters=gentle).proposals == ()


def test_a_knob_with_a_value_per_run_is_held_fixed_and_asks_for_a_grid() -> None:
    rng = np.random.default_rng(0)
    levels = rng.integers(0, 2, 120)
    returns = rng.standard_normal((800, 120)) * 0.01 + levels * 0.0015
    configs = [{"a": int(a), "x": float(x)} for a, x in zip(levels, rng.random(120), strict=True)]
    live: Mapping[str, JsonValue] = {"a": 0, "x": 0.5}
    declared = [Knob(path="a", knob_type="int"), Knob(path="x", knob_type="float")]
    found = propose(panel_of(returns, configs), knobs=declared, live=live, parameters=FAST)
    assert {c.knob for c in found.candidates} == {"a"}
    assert [c.knob for c in found.proposals] == ["a"]
    assert {note.code: note.count for note in found.notes}["too_many_values"] == 120


def test_trials_of_before_are_counted_beside_those_of_the_panel(strong: RunPanel) -> None:
    here, before = ask(strong), propose(strong, knobs=knobs(), live=LIVE, parameters=replace(FAST, prior_trials=400))
    assert here.n_trials == strong.n_runs
    assert before.n_trials == here.n_trials + 400
    assert {one.n_trials for one in before.candidates} == {before.n_trials}


def test_parameters_out_of_range_are_named() -> None:
    with pytest.raises(InputError, match="alpha is 0"):
        Parameters(alpha=0)
    with pytest.raises(InputError, match="bootstrap_draws is 5"):
        Parameters(bootstrap_draws=5)
    with pytest.raises(InputError, match="switching_cost is nan"):
        Parameters(switching_cost=float("nan"))
    with pytest.raises(InputError, match=r"drawdown is 0\.2"):
        RiskLimits(drawdown=0.2)
