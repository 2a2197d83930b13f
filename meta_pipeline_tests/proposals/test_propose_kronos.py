"""The predecessor's statistical defects, A06-A22 of the specification, each with our required result."""

from collections.abc import Mapping, Sequence
from itertools import product

import numpy as np
import pytest
from scipy import stats

from meta_pipeline.canonical import ABSENT, JsonValue
from meta_pipeline.evidence.grades import claim
from meta_pipeline.evidence.metrics import summarize
from meta_pipeline.evidence.multiplicity import holm
from meta_pipeline.evidence.panel import RunPanel
from meta_pipeline.proposals.candidate import Candidate, Grade, ProposalType, Proposed, Rule
from meta_pipeline.proposals.knobs import Knob, RiskDirection
from meta_pipeline.proposals.parameters import Parameters
from meta_pipeline.proposals.propose import propose
from meta_pipeline_tests.evidence.worlds import YEAR, chosen, grid, panel_of, world

Config = Mapping[str, JsonValue]
Rows = Sequence[tuple[Config, float]]
FAST = Parameters(bootstrap_draws=299)


def with_sharpe(rng: np.random.Generator, n_days: int, sharpe: float, volatility: float = 0.15) -> np.ndarray:
    """A series that has exactly this Sharpe ratio and volatility."""
    z = rng.standard_t(5, n_days)
    z = (z - z.mean()) / z.std(ddof=1)
    return np.asarray(z * volatility / np.sqrt(YEAR) + sharpe * volatility / YEAR)


def campaign(rows: Sequence[tuple[Config, float]], *, seed: int = 0, blocks: Sequence[str] | None = None) -> RunPanel:
    """Independent five-year runs with exact Sharpe ratios."""
    rng = np.random.default_rng(seed)
    returns = np.column_stack([with_sharpe(rng, 5 * YEAR, sharpe) for _, sharpe in rows])
    return panel_of(returns, [config for config, _ in rows], blocks=blocks)


def knob(path: str, kind: str = "json", **options: object) -> Knob:
    return Knob(path=path, knob_type=kind, **options)  # type: ignore[arg-type]


def only(found: Proposed, path: str, value: JsonValue) -> Candidate:
    matches = [c for c in found.candidates if c.knob == path and repr(c.to_value) == repr(value)]
    assert len(matches) == 1
    return matches[0]


def estimate(candidate: Candidate) -> float:
    assert candidate.effect.estimate is not None
    return candidate.effect.estimate


def test_a06_true_one_and_one_point_zero_are_judged_apart() -> None:
    rows: Rows = [({"k": (True, 1, 1.0)[i % 3]}, 0.1 * i) for i in range(12)]
    found = propose(campaign(rows), knobs=[knob("k")], live={"k": True}, parameters=FAST)
    assert [repr(c.to_value) for c in found.candidates] == ["1", "1.0"]
    assert all(c.effect.n_runs == 8 for c in found.candidates)


def test_a07_an_absent_key_is_a_level() -> None:
    rows: Rows = [({}, 0.0)] * 10 + [({"alpha": 0.7}, 2.0)] * 10
    live: Config = {}
    found = propose(campaign(rows), knobs=[knob("alpha", "float")], live=live, parameters=FAST)
    (proposal,) = found.proposals
    assert proposal.from_value is ABSENT
    assert proposal.to_value == 0.7
    assert estimate(proposal) == pytest.approx(2.0)
    assert proposal.to_json()["from"] == {"absent": True}


def test_a08_the_third_value_wins() -> None:
    rows: Rows = [({"h": h}, s) for h, s in ((5, 0.5), (21, 0.5), (63, 2.5)) for _ in range(10)]
    found = propose(campaign(rows), knobs=[knob("h", "int")], live={"h": 5}, parameters=FAST)
    (proposal,) = found.proposals
    assert (proposal.from_value, proposal.to_value, proposal.grade) == (5, 63, Grade.A)


def test_a09_the_order_of_rows_changes_no_bit() -> None:
    rows: Rows = [({"h": 5}, 0.5)] * 15 + [({"h": 21}, 1.2)] * 15
    panel = campaign(rows)
    knobs = [knob("h", "int")]
    forward = propose(panel, knobs=knobs, live={"h": 5}, parameters=FAST)
    reversed_ = propose(chosen(panel, range(panel.n_runs)[::-1]), knobs=knobs, live={"h": 5}, parameters=FAST)
    assert forward.to_json() == reversed_.to_json()
    assert len(forward.proposals) == 1


def test_a10_simpsons_paradox_is_seen_through() -> None:
    rows: list[tuple[Config, float]] = []
    blocks = []
    for year, base, n_off, n_on in ((2017, 2.0, 2, 18), (2022, 0.0, 18, 2)):
        rows += [({"alpha": 0}, base)] * n_off + [({"alpha": 1}, base - 0.5)] * n_on
        blocks += [f"m|{year}|c"] * (n_off + n_on)
    panel = campaign(rows, blocks=blocks)
    naive = [float(np.mean([s for config, s in rows if config["alpha"] == level])) for level in (0, 1)]
    assert naive[1] - naive[0] == pytest.approx(1.1)  # what the predecessor proposes, with confidence .94
    found = propose(panel, knobs=[knob("alpha", "int")], live={"alpha": 0}, parameters=FAST)
    assert found.proposals == ()
    assert estimate(only(found, "alpha", 1)) == pytest.approx(-0.5)
    assert only(found, "alpha", 1).suppressed_by is Rule.NOT_BETTER


def test_a11_only_declared_knobs_are_judged_and_what_moves_with_them_is_said_once() -> None:
    rows, blocks = [], []
    for year, horizon, copy in product((2018, 2020), (5, 21), range(6)):
        name = f"S_H{horizon}"
        config: Config = {
            "sleeve_id": name,
            "portfolio_id": f"{name}_PORTFOLIO",
            "strategy_id": "S",
            "start_date": f"{year}-01-01",
            "run_label": f"{year}-{horizon}-{copy}",
            "assessment_horizon_days": horizon,
        }
        rows.append((config, 0.4 + 0.05 * copy))
        blocks.append(f"m|{year}|c")
    live: Config = {"assessment_horizon_days": 5}
    knobs = [knob("assessment_horizon_days", "int")]
    found = propose(campaign(rows, blocks=blocks), knobs=knobs, live=live, parameters=FAST)
    assert {c.knob for c in found.candidates} == {"assessment_horizon_days"}
    assert found.aliased_knobs == (("assessment_horizon_days", "portfolio_id", "sleeve_id"),)
    assert only(found, "assessment_horizon_days", 21).effect.estimate is not None


def test_a11_declared_knobs_that_move_together_are_not_proposed_but_an_experiment_is() -> None:
    rows: Rows = [({"a": v, "b": v}, 0.5 + 2.0 * v) for v in (0, 1) for _ in range(8)]
    found = propose(campaign(rows), knobs=[knob("a"), knob("b")], live={"a": 0, "b": 0}, parameters=FAST)
    assert found.proposals == ()
    assert found.aliased_knobs == (("a", "b"),)
    assert {c.suppressed_by for c in found.suppressed} == {Rule.ALIASED_KNOB}
    assert [e.config for e in only(found, "a", 1).experiments] == [{"a": 1, "b": 0}]


def test_a12_two_lucky_months_are_not_evidence_against_ten_years() -> None:
    rng = np.random.default_rng(0)
    returns = np.full((2520, 12), np.nan)
    for run in range(10):
        returns[:, run] = with_sharpe(rng, 2520, 0.8)
    returns[-20:, 10] = with_sharpe(rng, 20, 6.0)
    returns[-20:, 11] = with_sharpe(rng, 20, -1.0)
    configs: Sequence[Config] = [{"h": 5}] * 10 + [{"h": 21}] * 2
    found = propose(panel_of(returns, configs), knobs=[knob("h", "int")], live={"h": 5}, parameters=FAST)
    candidate = only(found, "h", 21)
    assert found.proposals == ()
    assert estimate(candidate) == pytest.approx(1.7, abs=1e-6)
    error = candidate.effect.standard_error
    assert error is not None
    assert error == pytest.approx(np.sqrt(252 / 20 / 2), rel=0.5)
    assert candidate.grade is Grade.D


@pytest.mark.parametrize("copies", [3, 30])
def test_a13_storing_runs_again_adds_no_evidence(copies: int) -> None:
    rows: Rows = [({"h": h}, 0.4 + 0.2 * i) for h in (5, 21) for i in range(4)]
    panel = campaign(rows)
    knobs = [knob("h", "int")]
    once = propose(panel, knobs=knobs, live={"h": 5}, parameters=FAST)
    again = propose(chosen(panel, list(range(8)) * copies), knobs=knobs, live={"h": 5}, parameters=FAST)
    assert [c.to_json() for c in again.candidates] == [c.to_json() for c in once.candidates]
    assert again.evidence_digest == once.evidence_digest
    assert "duplicates" in {note.code for note in again.notes}


@pytest.mark.parametrize("copies", [1, 3, 30])
def test_a13_four_runs_are_too_few_however_often_they_are_stored(copies: int) -> None:
    panel = campaign([({"h": h}, 0.5) for h in (5, 5, 21, 21)])
    found = propose(chosen(panel, list(range(4)) * copies), knobs=[knob("h")], live={"h": 5}, parameters=FAST)
    assert found.insufficient_data == "insufficient data: 4 runs available, need 5"


def reported(values: Sequence[float], configs: Sequence[Config]) -> RunPanel:
    return panel_of(
        np.full((10, len(values)), np.nan), configs, reported=[{"annualised_sharpe": value} for value in values]
    )


def test_a14_dispersion_counts() -> None:
    configs: Sequence[Config] = [{"h": 5}] * 20 + [{"h": 21}] * 20
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((2, 20))
    noise = 3 * (noise - noise.mean(axis=1, keepdims=True)) / noise.std(axis=1, ddof=1, keepdims=True)
    wide = reported(np.concatenate([0.5 + noise[0], 0.7 + noise[1]]).tolist(), configs)
    tight = reported([0.5 + 1e-9 * i for i in range(20)] + [0.7 + 1e-9 * i for i in range(20)], configs)
    p = {}
    for name, panel in (("wide", wide), ("tight", tight)):
        found = only(propose(panel, knobs=[knob("h", "int")], live={"h": 5}, parameters=FAST), "h", 21)
        assert estimate(found) == pytest.approx(0.2)
        assert found.grade is Grade.D
        assert found.suppressed_by is Rule.METRICS_ONLY
        p[name] = found.effect.p_value
    welch = stats.ttest_ind(np.asarray(noise[1]) + 0.2, noise[0], equal_var=False).pvalue
    assert 2 * float(p["wide"] or 0) == pytest.approx(welch, abs=0.01)
    assert welch == pytest.approx(0.83, abs=0.01)
    assert float(p["tight"] if p["tight"] is not None else 1) < 1e-9


def test_a15_the_probability_is_calibrated_in_the_world_it_assumes() -> None:
    rng = np.random.default_rng(1)
    share, error, years, horizon, drift = 0.25, 0.12, 5.0, 2.0, 0.05
    prior = error * np.sqrt(share / (1 - share))
    truth = prior * rng.standard_normal(20_000)
    seen = truth + error * rng.standard_normal(20_000)
    realised = (
        truth + drift * rng.standard_normal(20_000) + error * np.sqrt(years / horizon) * rng.standard_normal(20_000)
    )
    claims = [
        claim(float(x), error, share=share, drift=drift, years=years, horizon=horizon, confidence_level=0.9)
        for x in seen[:4000]
    ]
    probability = np.array([c.probability_positive for c in claims])
    positive = realised[:4000] > 0
    for low, high in ((0.0, 0.45), (0.45, 0.55), (0.55, 1.0)):
        inside = (probability >= low) & (probability < high)
        assert positive[inside].mean() == pytest.approx(probability[inside].mean(), abs=0.04)
    assert np.mean((probability - positive) ** 2) < 0.25
    covered = [c.lower <= r <= c.upper for c, r in zip(claims, realised[:4000], strict=True)]
    assert np.mean(covered) == pytest.approx(0.9, abs=0.015)


def test_a16_a_rise_of_risk_is_shown_with_its_sign_and_vetoed() -> None:
    rng = np.random.default_rng(0)
    columns, configs = [], []
    for _ in range(6):
        calm = with_sharpe(rng, 5 * YEAR, 0.5, 0.10)
        columns += [calm, 2.8 * calm + 0.2 * 0.28 / YEAR]
        configs += [{"cap": 1.0}, {"cap": 2.8}]
    found = propose(panel_of(np.column_stack(columns), configs), knobs=[knob("cap", "float")], live={"cap": 1.0})
    candidate = only(found, "cap", 2.8)
    assert candidate.grade is Grade.A
    assert estimate(candidate) == pytest.approx(0.2, abs=1e-6)
    assert candidate.suppressed_by is Rule.RISK_LIMIT
    volatility, drawdown = candidate.risk_effect("volatility"), candidate.risk_effect("max_drawdown")
    assert volatility is not None
    assert drawdown is not None
    assert volatility.estimate == pytest.approx(0.18)
    assert drawdown.estimate is not None
    assert drawdown.estimate < -0.1
    assert candidate.expected_risk_reduction == pytest.approx(-0.18)  # the predecessor stored 0


def test_a17_runs_without_a_sharpe_ratio_are_reported_and_do_not_count_as_bad_ones() -> None:
    configs: Sequence[Config] = [{"h": 5}] * 5
    panel = panel_of(np.full((10, 5), np.nan), configs, reported=[{}, {}, {}, {}, {"annualised_sharpe": 2.0}])
    found = propose(panel, knobs=[knob("h")], live={"h": 5}, parameters=FAST)
    assert found.insufficient_data == "insufficient data: 1 runs available, need 5"
    notes = {note.code: note.count for note in found.notes}
    assert notes["no_sharpe_ratio"] == 4
    assert found.proposals == ()


def test_a18_the_win_rate_is_computed() -> None:
    assert summarize([0.01, 0.02, -0.01, 0.0, 0.03], 252).win_rate[0] == 0.75


def test_a19_effects_by_regime_are_computed_from_labels_or_not_there() -> None:
    rows: Rows = [({"h": 5}, 0.0)] * 8 + [({"h": 21}, 1.0)] * 8
    panel = campaign(rows)
    knobs = [knob("h", "int")]
    without = propose(panel, knobs=knobs, live={"h": 5}, parameters=FAST)
    assert only(without, "h", 21).regimes == ()
    labels = np.where(np.arange(5 * YEAR) % 50 < 30, "CARRY", "CRISIS")
    labels[:10] = ""
    found = only(propose(panel, knobs=knobs, live={"h": 5}, parameters=FAST, regimes={"": labels}), "h", 21)
    assert [regime.label for regime in found.regimes] == ["CARRY", "CRISIS"]
    sharpe = summarize(panel.returns[labels == "CARRY"], YEAR).sharpe_ratio
    assert found.regimes[0].estimate == pytest.approx(sharpe[8:].mean() - sharpe[:8].mean())
    assert found.regimes[0].n_days + found.regimes[1].n_days == 5 * YEAR - 10


def risky(scale: float, *, direction: RiskDirection) -> Proposed:
    rng = np.random.default_rng(3)
    columns: list[np.ndarray] = []
    configs: list[Config] = []
    for market in range(6):
        base = with_sharpe(rng, 5 * YEAR, 0.2, 0.40)
        for cap in (0.5, 1.0):
            columns.append(cap * scale * base)
            configs.append({"cap": cap, "style": f"s{market}"})
    knobs = [knob("cap", "float", risk_direction=direction)]
    return propose(panel_of(np.column_stack(columns), configs), knobs=knobs, live={"cap": 1.0}, parameters=FAST)


def test_a20_the_impact_of_a_risk_proposal_is_derived_from_the_runs() -> None:
    impact = {}
    for scale in (1.0, 1.5):
        found = risky(scale, direction=RiskDirection.HIGHER_IS_RISKIER)
        (proposal,) = found.proposals
        assert proposal.proposal_type is ProposalType.RISK_CONSTRAINT
        assert (proposal.knob, proposal.from_value, proposal.to_value) == ("cap", 1.0, 0.5)
        assert proposal.effect.metric == "volatility"
        impact[scale] = estimate(proposal)
        assert impact[scale] == pytest.approx(-0.2 * scale)
        assert proposal.expected_risk_reduction == pytest.approx(0.2 * scale)
        assert proposal.risk_change == "reduces"


def test_a20_without_a_knob_of_known_direction_there_is_a_note_and_no_number() -> None:
    found = risky(1.0, direction=RiskDirection.UNKNOWN)
    assert found.proposals == ()
    codes = {note.code for note in found.notes}
    assert {"no_risk_constraint", "no_risk_reduction"} <= codes


KNOBS = [knob(f"k{i}", "int") for i in range(6)]
LIVE = {f"k{i}": 0 for i in range(6)}


def test_a21_in_a_world_without_effects_few_campaigns_propose_anything() -> None:
    rng = np.random.default_rng(21)
    n_campaigns, false_grades = 120, 0
    for index in range(n_campaigns):
        designs = [grid()] * 3 if index % 2 else [rng.integers(0, 3, (16, 6)) for _ in range(3)]
        panel = world(rng, designs, n_days=2 * YEAR)
        found = propose(panel, knobs=KNOBS, live=LIVE, parameters=Parameters(bootstrap_draws=199))
        false_grades += any(c.grade in {Grade.A, Grade.B} for c in found.candidates)
    assert false_grades / n_campaigns <= 0.10 + 2 * np.sqrt(0.1 * 0.9 / n_campaigns)  # the predecessor: .60-.90


def test_a22_power_is_no_lower_than_regression_with_holm_where_that_is_valid() -> None:
    rng = np.random.default_rng(22)
    n_campaigns, ours, theirs = 40, 0, 0
    for _ in range(n_campaigns):
        levels = rng.integers(0, 2, (60, 4))
        sharpe = 0.5 + 0.5 * levels[:, 0]
        noise = rng.standard_normal((2 * YEAR, 60))  # runs are independent: the regression's best case
        returns = (noise + sharpe / np.sqrt(YEAR)) * 0.01
        configs = [{f"k{j}": int(v) for j, v in enumerate(row)} for row in levels]
        found = propose(panel_of(returns, configs), knobs=KNOBS[:4], live=LIVE, parameters=FAST)
        ours += only(found, "k0", 1).grade in {Grade.A, Grade.B}
        x = np.column_stack([np.ones(60), levels])
        y = summarize(returns, YEAR).sharpe_ratio
        beta, residual, *_ = np.linalg.lstsq(x, y, rcond=None)
        error = np.sqrt(residual[0] / 55 * np.diag(np.linalg.inv(x.T @ x)))
        theirs += holm(stats.t.sf((beta / error)[1:], 55))[0] <= 0.10
    assert 0.3 < theirs / n_campaigns < 0.98  # a bar that can be missed
    assert ours >= theirs - 2 * np.sqrt(n_campaigns * 0.25) / 2
