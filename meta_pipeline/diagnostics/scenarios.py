"""Scenarios of two configurations: the paths they are put through, and how that is kept.

Belongs here: horizon and seed of the families, and their JSON. Does not belong here: the families (evidence.scenarios).
"""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from meta_pipeline.canonical import JsonValue
from meta_pipeline.diagnostics.equity import EquityComparison
from meta_pipeline.diagnostics.regime_days import Labels
from meta_pipeline.errors import InputError
from meta_pipeline.evidence.scenarios import ScenarioFamily, Scenarios, compare_scenarios
from meta_pipeline.proposals.candidate import finite

SEED: Final = 20261121
MONTHS_PER_YEAR: Final = 12


def scenarios_between(
    live: NDArray[np.float64],
    challenger: NDArray[np.float64],
    periods_per_year: float,
    labels: Labels | None = None,
) -> Scenarios:
    """Put two series through the same months.

    Parameters
    ----------
    live, challenger
        Shape (n_days,), simple returns per period; NaN where there is none.
    periods_per_year
        Of both; the horizon is a twelfth of it.
    labels
        Shape (n_days,): regime of each day; None: no families of regimes.
    """
    return compare_scenarios(
        live,
        challenger,
        generator=np.random.default_rng(SEED),
        labels=labels,
        horizon=max(1, round(periods_per_year / MONTHS_PER_YEAR)),
    )


def scenarios_of_change(found: EquityComparison) -> Scenarios | None:
    """Put the two configurations of a comparison through the same months; None where one has no series, or no year."""
    if found.incumbent is None or found.challenger is None or found.periods_per_year is None:
        return None
    return scenarios_between(found.incumbent, found.challenger, found.periods_per_year, found.labels)


def scenarios_to_json(found: Scenarios) -> dict[str, JsonValue]:
    """Return scenarios as a canonical-JSON-safe object."""
    families: list[JsonValue] = [
        asdict(one) | {"baseline": finite(one.baseline), "challenger": finite(one.challenger)} for one in found.families
    ]
    return asdict(found) | {"families": families}


def scenarios_from_json(data: Mapping[str, Any]) -> Scenarios:
    """Read scenarios that `scenarios_to_json` wrote.

    Raises
    ------
    InputError
        If a field is missing, or one is not known.
    """
    try:
        families = tuple(ScenarioFamily(**one) for one in data["families"])
        return Scenarios(**dict(data) | {"families": families})
    except (KeyError, TypeError) as error:
        raise InputError(f"these are no scenarios as this version writes them ({error}); compute them anew") from error
