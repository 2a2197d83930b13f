"""Effects from reported metrics alone, where no return series says anything.

Belongs here: the weaker answer for runs without returns. It takes runs for independent, which runs of common market
days are not, so it is shown and never graded above D.
"""

from dataclasses import replace

import numpy as np
from scipy.special import stdtr, stdtrit

from meta_pipeline.evidence.design import Design
from meta_pipeline.evidence.factors import Role, aliases
from meta_pipeline.proposals.campaign import Campaign
from meta_pipeline.proposals.candidate import Effect
from meta_pipeline.proposals.changes import Change


class ReportedMetrics:
    """Least squares over the Sharpe ratios that metrics-only runs report.

    Parameters
    ----------
    campaign
        The campaign; its metrics-only runs with a reported Sharpe ratio are used.
    """

    def __init__(self, campaign: Campaign) -> None:
        present = np.flatnonzero(np.isfinite(campaign.reported_sharpe))
        self._level = 1 - campaign.parameters.alpha
        self._values = campaign.reported_sharpe[present]
        runs = campaign.metrics_only
        held = (f.take(present) for f in runs.factors if f.role in {Role.KNOB, Role.NUISANCE})
        factors = tuple(factor for factor in held if len(factor.levels) > 1)
        _, blocks = np.unique(runs.blocks[present], return_inverse=True)
        ones = np.ones(len(present))
        self._design = Design(
            blocks=blocks.astype(np.int64), factors=factors, lengths=ones.astype(np.int64), years=ones
        )
        self._left, self._freedom = self._design.residuals(self._values) if len(present) else (self._values, 0)
        self._aliased = {path for group in aliases(factors, self._design.blocks) for path in group}

    def effect(self, change: Change) -> Effect | None:
        """Return the effect of a change, or None if these runs cannot say."""
        factor = next((f for f in self._design.factors if f.path == change.knob.path), None)
        if factor is None or factor.path in self._aliased:
            return None
        low, high = factor.code_of(change.from_value), factor.code_of(change.to_value)
        if low is None or high is None:
            return None
        found = self._design.least_squares(factor, low, high)
        if found.weights is None:
            return None
        estimate = float(np.sum(found.weights * self._values))
        used = found.weights != 0
        left, freedom = self._left, self._freedom
        weaker = Effect(
            metric="sharpe_ratio",
            method="metrics_only",
            estimate=estimate,
            baseline=float(np.mean(self._values[factor.codes == low])),
            n_pairs=found.n_pairs,
            n_runs=int(used.sum()),
            n_blocks=int(np.count_nonzero(np.bincount(self._design.blocks[used]))),
        )
        if freedom < 1:
            return replace(weaker, reason="too few runs to estimate an error")
        # White's (1980) errors with the usual correction of degrees of freedom.
        error = float(np.sqrt(np.sum((found.weights * left) ** 2) * len(left) / freedom))
        width = float(stdtrit(freedom, 0.5 + self._level / 2)) * error
        return replace(
            weaker,
            standard_error=error,
            lower=estimate - width,
            upper=estimate + width,
            confidence_level=self._level,
            p_value=float(stdtr(freedom, -estimate / error)) if error > 1e-12 else float(estimate <= 0),
        )
