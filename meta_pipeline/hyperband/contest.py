"""What a finished search leaves to be judged, read from its result and its checkpoints.

Belongs here: that reading. Does not belong here: judging (judging), or searching (search).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from meta_pipeline.errors import ArtifactBroken, InputError
from meta_pipeline.hyperband.checkpoints import CheckpointStore, EvaluationRecord
from meta_pipeline.hyperband.ledger import Entry
from meta_pipeline.hyperband.protocol import ParameterValue
from meta_pipeline.hyperband.results import SearchResult, TopConfig
from meta_pipeline.hyperband.slots import LIVE, Slot

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Contest:
    """What a search leaves behind.

    Parameters
    ----------
    config, checkpoint, units
        Of the best configuration at the full resource.
    all_returns
        Shape (n_bars, n_configs): of all configurations of the search, each at its last rung.
    all_sharpe_ratios
        Shape (n,): per period, of all configurations ever scored on this scope.
    n_scored
        Their number, with failed ones.
    live_returns
        Shape (n_bars,): of the live configuration on the same bars; None if there is none.
    """

    config: dict[str, ParameterValue]
    checkpoint: bytes
    units: int
    all_returns: Floats
    all_sharpe_ratios: Floats
    n_scored: int
    live_returns: Floats | None = None


def contest_of(
    result: SearchResult,
    checkpoints: CheckpointStore,
    *,
    chosen: TopConfig | None = None,
    earlier_sharpe_ratios: Sequence[float] = (),
    earlier_scored: int = 0,
) -> Contest:
    """Gather what is judged.

    Parameters
    ----------
    result
        Of the search.
    checkpoints
        Its records.
    chosen
        Which to judge; None: the candidate, or without one the first of the top, so that people see why it fails.
    earlier_sharpe_ratios
        Per period, of configurations that earlier searches scored on the same scope.
    earlier_scored
        Their number, with failed ones; at least as many as there are ratios.

    Raises
    ------
    InputError
        If nothing has had the whole resource, or fewer were scored earlier than have a ratio.
    ArtifactBroken
        If a record is not there.
    """
    best = chosen or result.candidate or next(iter(result.top), None)
    if best is None:
        raise InputError("no configuration has had the whole resource; let the search go on before it is judged")
    if earlier_scored < len(earlier_sharpe_ratios):
        raise InputError(
            f"{earlier_scored} were scored earlier, but {len(earlier_sharpe_ratios)} have a Sharpe ratio; count all"
        )
    entries = {slot: entry for slot, entry in result.entries.items() if slot != LIVE}
    units = result.settings.maximum_resource
    columns, ratios = [], list(earlier_sharpe_ratios)
    for slot, entry in sorted(entries.items()):
        last = _last(entry)
        if last is not None:
            columns.append(_record(checkpoints, slot, last).returns)
            moments = entry.rungs[last].moments
            ratios.append(np.nan if moments is None else moments.sharpe_ratio)
    live = None
    if result.live is not None and result.live.error is None:
        live = _record(checkpoints, LIVE, units).returns
    return Contest(
        config=dict(best.entry.config),
        checkpoint=_record(checkpoints, best.entry.slot, units).checkpoint,
        units=units,
        all_returns=np.column_stack(columns),
        all_sharpe_ratios=np.asarray(ratios, dtype=np.float64),
        n_scored=len(entries) + earlier_scored,
        live_returns=live,
    )


def _last(entry: Entry) -> int | None:
    """Return the highest resource at which a configuration was evaluated; None if it never was, or failed."""
    return max((r for r, rung in entry.rungs.items() if rung.error is None), default=None)


def _record(checkpoints: CheckpointStore, slot: Slot, units: int) -> EvaluationRecord:
    found = checkpoints.find(slot, units)
    if found is None:
        raise ArtifactBroken(f"the record of configuration {slot} at {units} units is gone; run the search again")
    return found[1]
