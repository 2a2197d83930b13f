"""Records as the engine makes them, small enough to read."""

from meta_pipeline.canonical import Level
from meta_pipeline.proposals.candidate import Candidate, Effect, Grade, ProposalType, Rule


def effect(estimate: float | None = 0.31, half_width: float = 0.26, metric: str = "sharpe_ratio") -> Effect:
    if estimate is None:
        return Effect(metric=metric, method="none", reason="no pairs")
    return Effect(
        metric=metric,
        method="matched_pairs",
        estimate=estimate,
        standard_error=half_width / 1.645,
        lower=estimate - half_width,
        upper=estimate + half_width,
        confidence_level=0.9,
        p_value=0.03,
        n_pairs=12,
        n_runs=24,
        n_blocks=2,
        n_days=1260,
    )


def candidate(
    knob: str = "lookback",
    from_value: Level = 20,
    to_value: Level = 50,
    *,
    estimate: float | None = 0.31,
    suppressed_by: Rule | None = None,
    rationale: str = "Raise the lookback.",
) -> Candidate:
    return Candidate(
        proposal_type=ProposalType.CONFIG_PARAMETER_CHANGE,
        knob=knob,
        from_value=from_value,
        to_value=to_value,
        grade=Grade.B,
        effect=effect(estimate),
        risk_change="neutral",
        risk_effects=(effect(0.02, 0.01, "volatility"), effect(-0.03, 0.02, "max_drawdown")),
        expected_uplift=0.12,
        uplift_lower=-0.2,
        uplift_upper=0.44,
        haircut=0.4,
        probability_positive=0.71,
        horizon_years=2.0,
        n_runs=24,
        n_distinct=24,
        n_effective=3.4,
        n_days=1260,
        n_trials=300,
        legacy_confidence=0.64,
        rationale=rationale,
        suppressed_by=suppressed_by,
        suppression_reason=None if suppressed_by is None else "p = 0.4",
    )
