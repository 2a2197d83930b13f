"""`propose` is a pure function of what the runs are, not of how they came in."""

import json
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meta_pipeline.canonical import JsonValue, canonical_json, level_key
from meta_pipeline.evidence.panel import RunPanel
from meta_pipeline.proposals.candidate import Candidate, Proposed
from meta_pipeline.proposals.knobs import Knob
from meta_pipeline.proposals.parameters import Parameters, RiskLimits
from meta_pipeline.proposals.propose import propose
from meta_pipeline_tests.evidence.worlds import chosen, grid, panel_of, world

FAST = Parameters(bootstrap_draws=99)
KNOBS = [Knob(path=f"k{i}", knob_type="json") for i in range(6)]
LIVE: Mapping[str, JsonValue] = {f"k{i}": 0 for i in range(6)}


def mixed_world(seed: int) -> RunPanel:
    """A grid and a random search, unequal windows, holidays, a dead and a leverage knob, one effect."""
    rng = np.random.default_rng(seed)
    designs = [grid(), rng.integers(0, 3, (14, 6)), rng.integers(0, 2, (10, 6))]
    panel = world(rng, designs, n_days=300, effects={(1, 1): 1.0})
    returns = panel.returns.copy()
    second = np.array([block.startswith("market1") for block in panel.blocks])
    returns[:80, second] = np.nan
    returns[::11, second] = np.nan
    return replace(panel, returns=np.asfortranarray(returns))


def ask(panel: RunPanel, live: Mapping[str, JsonValue] = LIVE) -> Proposed:
    return propose(panel, knobs=KNOBS, live=live, parameters=FAST)


def text(candidates: tuple[Candidate, ...]) -> str:
    return canonical_json([candidate.to_json() for candidate in candidates])


@given(st.integers(0, 3), st.randoms(use_true_random=False))
@settings(max_examples=12, deadline=None)
def test_order_and_repetition_of_runs_change_no_bit(seed: int, random: object) -> None:
    panel = mixed_world(seed)
    columns = list(range(panel.n_runs)) + [random.randrange(panel.n_runs) for _ in range(9)]  # type: ignore[attr-defined]
    random.shuffle(columns)  # type: ignore[attr-defined]
    one, two = ask(panel), ask(chosen(panel, columns))
    assert text(one.candidates) == text(two.candidates)
    assert one.evidence_digest == two.evidence_digest
    assert (one.n_distinct, one.n_effective, one.n_trials) == (two.n_distinct, two.n_effective, two.n_trials)


def numbers(value: JsonValue) -> JsonValue:
    """A JSON value without its texts: the figures alone."""
    if isinstance(value, str):
        return ""
    if isinstance(value, Mapping):
        return {key: numbers(item) for key, item in value.items() if key not in {"from", "to"}}
    if isinstance(value, list | tuple):
        return [numbers(item) for item in value]
    return value


NAMES: Mapping[int, JsonValue] = {0: "zebra", 1: {"nested": [1, None]}, 2: -7.5}


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_what_levels_are_called_changes_no_bit_of_any_figure(seed: int) -> None:
    panel = mixed_world(seed)
    renamed = replace(
        panel, configs=tuple({k: NAMES[int(str(v))] for k, v in config.items()} for config in panel.configs)
    )
    plain, other = ask(panel), ask(renamed, dict.fromkeys(LIVE, NAMES[0]))
    found = {(c.knob, level_key(c.to_value)): c for c in other.candidates}
    assert len(found) == len(plain.candidates)
    for candidate in plain.candidates:
        twin = found[candidate.knob, level_key(NAMES[int(str(candidate.to_value))])]
        assert canonical_json(numbers(twin.to_json())) == canonical_json(numbers(candidate.to_json())), candidate.knob
        assert (twin.grade, twin.suppressed_by) == (candidate.grade, candidate.suppressed_by)


def test_nothing_that_is_handed_in_is_changed() -> None:
    panel = mixed_world(0)
    returns, configs = panel.returns.copy(), json.dumps(panel.configs)
    ask(panel)
    assert np.array_equal(panel.returns, returns, equal_nan=True)
    assert json.dumps(panel.configs) == configs


def test_asking_twice_gives_the_same_answer_and_another_seed_another_one() -> None:
    panel = mixed_world(1)
    assert ask(panel).to_json() == ask(panel).to_json()
    other = propose(panel, knobs=KNOBS, live=LIVE, parameters=replace(FAST, seed=7))
    assert text(other.candidates) != text(ask(panel).candidates)


def test_how_the_matrix_lies_in_memory_does_not_matter() -> None:
    panel = mixed_world(2)
    rows_first = replace(panel, returns=np.ascontiguousarray(panel.returns))
    assert text(ask(rows_first).candidates) == text(ask(panel).candidates)


@pytest.mark.parametrize("change", ["returns", "live", "parameters", "limits", "regimes", "knobs"])
def test_the_digest_changes_with_whatever_the_answer_depends_on(change: str) -> None:
    panel = mixed_world(0)
    before = ask(panel).evidence_digest
    if change == "returns":
        returns = panel.returns.copy()
        returns[5, 0] = np.nextafter(returns[5, 0], 1)
        after = ask(replace(panel, returns=returns)).evidence_digest
    elif change == "live":
        after = ask(panel, {**LIVE, "k3": 1}).evidence_digest
    elif change == "parameters":
        after = propose(panel, knobs=KNOBS, live=LIVE, parameters=replace(FAST, alpha=0.05)).evidence_digest
    elif change == "limits":
        limits = RiskLimits(drawdown=-0.5)
        after = propose(panel, knobs=KNOBS, live=LIVE, parameters=FAST, limits=limits).evidence_digest
    elif change == "regimes":
        labels = {"": np.full(len(panel.dates), "CALM")}
        after = propose(panel, knobs=KNOBS, live=LIVE, parameters=FAST, regimes=labels).evidence_digest
    else:
        after = propose(panel, knobs=KNOBS[:-1], live=LIVE, parameters=FAST).evidence_digest
    assert after != before


def test_every_figure_is_a_number_or_null_with_a_reason() -> None:
    panel = mixed_world(0)
    bare = panel_of(np.full((300, 3), np.nan), [{"k0": i} for i in (0, 5, 9)], dates=panel.dates)
    both = RunPanel(
        run_ids=tuple(f"r{i}" for i in range(panel.n_runs + 3)),
        configs=[*panel.configs, *bare.configs],
        blocks=panel.blocks + bare.blocks,
        markets=panel.markets + bare.markets,
        dates=panel.dates,
        returns=np.asfortranarray(np.hstack([panel.returns, bare.returns])),
        periods_per_year=np.concatenate([panel.periods_per_year, [np.nan] * 3]),
        reported=(*panel.reported, {"annualised_sharpe": 1.0}, {"annualised_sharpe": 2.0}, {"sharpe_ratio": None}),
    )
    for candidate in ask(both).candidates:
        body = candidate.to_json()
        canonical_json(body)  # refuses NaN
        for name in ("expected_uplift", "probability_positive", "days_needed", "n_effective", "legacy_confidence"):
            assert (body[name] is None) == (name in candidate.missing), (candidate.knob, name)
        for effect in (candidate.effect, *candidate.other_effects, *candidate.risk_effects):
            assert (effect.estimate is None) <= (effect.reason is not None)
