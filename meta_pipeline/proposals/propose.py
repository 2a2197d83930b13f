"""`propose`: runs, knobs and the live configuration in; graded candidates out. Pure."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from meta_pipeline.canonical import JsonValue
from meta_pipeline.evidence.panel import RunPanel
from meta_pipeline.proposals.candidate import Proposed
from meta_pipeline.proposals.knobs import Knob
from meta_pipeline.proposals.parameters import Parameters, RiskLimits

NO_RUNS = "insufficient data: {available} runs available, need {needed}"


def propose(
    panel: RunPanel,
    *,
    knobs: Sequence[Knob],
    live: Mapping[str, JsonValue],
    parameters: Parameters = Parameters(),  # noqa: B008 -- frozen
    limits: RiskLimits = RiskLimits(),  # noqa: B008 -- frozen
    regimes: Mapping[str, NDArray[np.str_]] | None = None,
) -> Proposed:
    """Judge every level of every declared knob against the live value.

    Parameters
    ----------
    panel
        The runs. Their order, and how often each is stored, have no influence on the answer.
    knobs
        The strategy's declared knobs. Only these can become proposals.
    live
        The live configuration.
    parameters, limits
        Error rate, bootstrap, thresholds; and how much more risk one change may bring.
    regimes
        Per market (or "" for all markets) the regime label of each of the panel's dates, shape (n_days,);
        an empty text means unknown. Must be labels that were known on the day.

    Returns
    -------
    Proposed
        Proposals, suppressed candidates with the rule that stopped each, and data health. Too little data is
        not an error: `insufficient_data` says so.
    """
    raise NotImplementedError
