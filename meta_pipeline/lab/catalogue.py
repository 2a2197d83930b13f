"""The strategies of the lab, by id."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from meta_pipeline.errors import InputError
from meta_pipeline.lab.breakout import BREAKOUT
from meta_pipeline.lab.reversion import REVERSION
from meta_pipeline.lab.strategy import LabStrategy
from meta_pipeline.lab.trend import TREND

STRATEGIES: Final[Mapping[str, LabStrategy]] = MappingProxyType(
    {strategy.strategy_id: strategy for strategy in (TREND, REVERSION, BREAKOUT)}
)


def strategy_named(strategy_id: str) -> LabStrategy:
    """Look a strategy up by its id.

    Raises
    ------
    InputError
        If there is no such strategy.
    """
    try:
        return STRATEGIES[strategy_id]
    except KeyError:
        raise InputError(f"strategy {strategy_id!r} is not in the lab; it has {', '.join(STRATEGIES)}") from None
