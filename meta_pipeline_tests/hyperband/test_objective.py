import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meta_pipeline.errors import InputError, NotFound
from meta_pipeline.hyperband.objective import GOODNESS, OBJECTIVES, PENALTIES, Objective, Viability, objective_named
from meta_pipeline.hyperband.performance import Figure, performance

PERFECT = {
    **dict.fromkeys(GOODNESS, math.inf),
    "max_drawdown": 0.0,
    "expected_shortfall": 0.0,
    "alpha_persistence": 1.0,
    "trade_efficiency": 1.0,
    "win_rate": 1.0,
    "volatility": 0.1,
}

figures = st.fixed_dictionaries(
    {name: st.one_of(st.floats(-20, 20), st.floats(-1, 1), st.just(math.nan), st.just(math.inf)) for name in PERFECT}
)


@pytest.mark.parametrize("objective", OBJECTIVES.values(), ids=lambda objective: objective.name)
def test_a_flawless_strategy_scores_one(objective: Objective) -> None:
    assert objective.score_of(PERFECT) == pytest.approx(1.0, abs=1e-12)


@given(found=figures, name=st.sampled_from(sorted(PERFECT)), better=st.floats(0, 5))
def test_no_figure_makes_the_score_worse_by_getting_better(found: dict[str, float], name: str, better: float) -> None:
    for objective in OBJECTIVES.values():
        if not math.isnan(found[name]):
            change = -better if name in PENALTIES else better
            assert objective.score_of({**found, name: found[name] + change}) >= objective.score_of(found)
        assert objective.score_of({**found, name: math.nan}) <= objective.score_of(found)
        assert objective.score_of(found) <= 1.0 + 1e-12


def test_each_weighed_figure_does_matter() -> None:
    middling = {name: (0.5 if name != "max_drawdown" else -0.15) for name in PERFECT}
    middling |= {"sharpe_ratio": 1.5, "profit_factor": 2.0, "expected_shortfall": -0.02, "volatility": 0.3}
    for objective in OBJECTIVES.values():
        for name in objective.weights:
            step = 0.01
            assert objective.score_of({**middling, name: middling[name] + step}) > objective.score_of(middling)
        for name in objective.penalties:
            assert objective.score_of({**middling, name: middling[name] + 0.01}) < objective.score_of(middling)


def test_the_documented_preset_has_the_documented_weights() -> None:
    documented = objective_named("documented")
    assert dict(documented.weights) == {
        "sharpe_ratio": 0.4,
        "profit_factor": 0.3,
        "max_drawdown": 0.2,
        "alpha_persistence": 0.1,
        "trade_efficiency": 0.05,
    }
    assert dict(documented.penalties) == {"volatility": 0.05}
    assert documented.viability == Viability(round_trips=10, sharpe_ratio=0.5, profit_factor=1.1, max_drawdown=-0.30)


def found(n: int, sharpe: float, factor: float, drawdown: float) -> dict[str, Figure]:
    given = {"round_trips": float(n), "sharpe_ratio": sharpe, "profit_factor": factor, "max_drawdown": drawdown}
    return {name: Figure(value=value, reason="for the test") for name, value in given.items()}


@pytest.mark.parametrize(
    ("figures", "reasons"),
    [
        (found(10, 0.5, 1.1, -0.3), ()),
        (found(10, 0.5, math.inf, -0.3), ()),
        (found(9, 0.5, 1.1, -0.3), ("round_trips is 9, at least 10 is needed",)),
        (found(10, 0.4, 1.0, -0.3), ("sharpe_ratio is 0.4", "profit_factor is 1, at least 1.1 is needed")),
        (found(10, 0.5, 1.1, -0.31), ("max_drawdown is -0.31, at least -0.3 is needed",)),
        (found(10, math.nan, 1.1, -0.3), ("sharpe_ratio is unknown (for the test), at least 0.5 is needed",)),
    ],
)
def test_viability_is_a_constraint_with_a_reason(figures: dict[str, Figure], reasons: tuple[str, ...]) -> None:
    viability = Viability()
    missed = viability.constraints(figures)
    assert sum(value > 0 for value in missed.values()) == len(reasons)
    said = viability.reasons(figures)
    assert len(said) == len(reasons)
    assert all(text.startswith(start) for text, start in zip(said, reasons, strict=True))
    assert all(math.isfinite(value) for value in missed.values())


def test_a_strategy_that_never_trades_is_not_viable_and_scores_low() -> None:
    idle = performance([0.0] * 500, [], [], periods_per_year=252.0)
    assert len(Viability().reasons(idle)) == 3
    assert objective_named("documented").score(idle) < 0.25


def test_weights_that_make_no_sense_are_refused() -> None:
    with pytest.raises(InputError, match=r"the weight of max_drawdown is -0.2; it must be positive: penalties are"):
        Objective(name="x", weights={"max_drawdown": -0.2}, penalties={})
    with pytest.raises(InputError, match="no weight can be put on 'luck'"):
        Objective(name="x", weights={"luck": 1.0}, penalties={})
    with pytest.raises(InputError, match="weighs nothing"):
        Objective(name="x", weights={}, penalties={})
    with pytest.raises(NotFound, match="no objective 'seed'; there are documented, cautious, sharpe"):
        objective_named("seed")
