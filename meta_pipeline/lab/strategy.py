"""What a strategy of the lab is: a declaration, and a rule for the direction."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from meta_pipeline.canonical import ABSENT, JsonValue
from meta_pipeline.errors import InputError
from meta_pipeline.lab.indicators import Indicators
from meta_pipeline.proposals.strategy import Strategy

Config = Mapping[str, JsonValue]
Columns = Mapping[str, NDArray[np.float64]]
DirectionRule = Callable[[Indicators, Columns, int], NDArray[np.float64]]


@dataclass(frozen=True, kw_only=True, eq=False)
class LabStrategy(Strategy):
    """One strategy of the lab: a declaration as any user writes it, and the rule that trades it.

    The choices of a knob are the levels that campaigns sample. The live configuration holds conventional values from
    the literature; it was not chosen by looking at results.

    Parameters
    ----------
    directions
        The rule: (indicators, knob columns of n_configs configs, first day) -> shape (n_days, n_configs), the wish
        at each day's close as a share of the full position, positive for long; zero before the first day.
    """

    directions: DirectionRule

    def check(self, config: Config) -> None:
        """Check a configuration against the declared knobs.

        Raises
        ------
        InputError
            Naming everything that is wrong: missing knobs, unknown ones, wrong types, values not declared.
        """
        objections = [knob.objection(config.get(knob.path, ABSENT)) for knob in self.knobs]
        found = [objection for objection in objections if objection is not None]
        paths = {knob.path for knob in self.knobs}
        found += [f"{key} is not a knob; there are {', '.join(sorted(paths))}" for key in config if key not in paths]
        if found:
            raise InputError(f"{self.strategy_id}: " + "; ".join(found))

    def columns(self, configs: Sequence[Config]) -> Columns:
        """Lay checked configurations out by knob: one array of n_configs values each.

        Raises
        ------
        InputError
            If there is no configuration, or one breaks the declaration.
        """
        if not configs:
            raise InputError(f"{self.strategy_id}: there is no configuration to run; give at least one")
        for config in configs:
            self.check(config)
        return {knob.path: np.array([config[knob.path] for config in configs], dtype=np.float64) for knob in self.knobs}
