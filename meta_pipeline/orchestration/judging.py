"""What the engine says about one strategy, asked once per run although two assets need it.

Belongs here: loading what `propose` is given. Does not belong here: what is done with its answer (assets).
"""

import hashlib
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from threading import Lock
from typing import TYPE_CHECKING, Final

from meta_pipeline.canonical import digest
from meta_pipeline.orchestration.resources import DatabaseResource

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from meta_pipeline.evidence.panel import RunPanel
    from meta_pipeline.proposals.candidate import Proposed
    from meta_pipeline.proposals.parameters import Parameters
    from meta_pipeline.settings import Settings
    from meta_pipeline.store.outcome_ledger import Judgement
    from meta_pipeline.store.strategies import StrategyRecord

REMEMBERED: Final = 256
"""Answers that are kept: one for each strategy of a run. An answer is small; the returns it rests on are not kept."""

_ANSWERS: "Final[OrderedDict[str, Proposed]]" = OrderedDict()
_GUARD: Final = Lock()


@dataclass(frozen=True, kw_only=True, eq=False)
class Judged:
    """One strategy, its runs, and what the engine says about them.

    `judgement` is what the outcome ledger will know of the decision; None where no run has returns. `regimes` are the
    labels of the panel's dates by market, as in `propose`.
    """

    record: "StrategyRecord"
    panel: "RunPanel"
    proposed: "Proposed"
    judgement: "Judgement | None" = None
    regimes: "Mapping[str, NDArray[np.str_]]" = field(default_factory=dict)


def judge(strategy_id: str, database: DatabaseResource) -> Judged:
    """Judge a strategy's evidence against its live configuration. Holds no transaction open while it computes."""
    from meta_pipeline.proposals.propose import propose
    from meta_pipeline.store import strategies
    from meta_pipeline.store.backtests import load_evidence
    from meta_pipeline.store.experience import load_experience
    from meta_pipeline.store.regimes import read_regimes
    from meta_pipeline.store.trials import earlier_trials

    with database.connect() as connection:
        record = strategies.load(connection, strategy_id)
        evidence = load_evidence(connection, strategy_id)
        panel = evidence.panel
        regimes = read_regimes(connection, panel.markets, panel.dates)
        known = load_experience(connection, record.strategy, panel, now=database.now())
        earlier = earlier_trials(connection, strategy_id)
    experience, judgement = (None, None) if known is None else known
    parameters = replace(parameters_of(database.settings), prior_trials=earlier)
    labels = {market: hashlib.sha256(found.tobytes()).hexdigest() for market, found in regimes.items()}
    # The engine is a function of exactly this.
    key = digest(
        {
            "strategy": strategy_id,
            "evidence": evidence.digest,
            "live": record.live_digest,
            "knobs": [knob.to_json() for knob in record.strategy.knobs],
            "parameters": parameters.to_json(),
            "limits": record.strategy.risk_limits.to_json(),
            "regimes": labels,
            "experience": None if experience is None else experience.digest(),
        }
    )
    proposed = _remembered(key)
    if proposed is None:
        proposed = propose(
            panel,
            knobs=record.strategy.knobs,
            live=record.strategy.live_config,
            parameters=parameters,
            limits=record.strategy.risk_limits,
            regimes=regimes,
            experience=experience,
        )
        _remember(key, proposed)
    return Judged(record=record, panel=panel, proposed=proposed, judgement=judgement, regimes=regimes)


def parameters_of(settings: "Settings") -> "Parameters":
    """Take from the settings what the engine may be told."""
    from meta_pipeline.proposals.parameters import Parameters

    return Parameters(
        alpha=settings.alpha,
        bootstrap_draws=settings.bootstrap_draws,
        seed=settings.seed,
        switching_cost=settings.switching_cost,
        several_changes=settings.several_changes,
    )


def _remembered(key: str) -> "Proposed | None":
    with _GUARD:
        return _ANSWERS.get(key)


def _remember(key: str, proposed: "Proposed") -> None:
    with _GUARD:
        _ANSWERS[key] = proposed
        while len(_ANSWERS) > REMEMBERED:
            _ANSWERS.popitem(last=False)
