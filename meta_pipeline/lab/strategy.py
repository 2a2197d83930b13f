"""What a strategy of the lab is: a rule for the direction, typed knobs, and a live configuration."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from meta_pipeline.canonical import ABSENT, JsonValue
from meta_pipeline.errors import InputError
from meta_pipeline.lab.indicators import Indicators
from meta_pipeline.proposals.knobs import Knob

Config = Mapping[str, JsonValue]
Columns = Mapping[str, NDArray[np.float64]]
DirectionRule = Callable[[Indicators, Columns, int], NDArray[np.float64]]


@dataclass(frozen=True, kw_only=True, eq=False)
class LabStrategy:
    """One strategy of the lab.

    Parameters
    ----------
    strategy_id, family, description
        Id as stored, family, and what it does, for people.
    knobs
        The declared knobs. The choices of a knob are the levels that campaigns sample.
    live_config
        The configuration it runs with before any change: conventional values from the literature, not chosen by
        looking at results.
    directions
        The rule: (indicators, knob columns of n_configs configs, first day) -> shape (n_days, n_configs), the wish
        at each day's close as a share of the full position, positive for long; zero before the first day.
    """

    strategy_id: str
    family: str
    description: str
    knobs: tuple[Knob, ...]
    live_config: Config
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
