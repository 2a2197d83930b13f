"""How a search's trials are written: by Optuna's own interface, or by a storage that can do more at once.

Belongs here: the four things that a ledger writes, and writing them to any Optuna storage. Does not belong here: what
they mean (ledger), and how one database does it faster (store.search_storage).
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    import optuna


@dataclass(frozen=True, kw_only=True)
class TrialReport:
    """One rung's value, with an attribute that says what else is known of it.

    Parameters
    ----------
    step
        Units of the resource.
    value
        Finite, or minus infinity.
    name, attribute
        Of the trial's user attribute; JSON.
    """

    step: int
    value: float
    name: str
    attribute: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class TrialEnd:
    """How a trial ends.

    Parameters
    ----------
    state
        Optuna's: COMPLETE, PRUNED or FAIL.
    value
        At its last rung; None if it has none, or failed.
    constraints
        At its last rung; a trial is feasible when none is above zero.
    """

    trial_id: int
    trial_number: int
    state: str
    value: float | None
    constraints: Mapping[str, float]


@runtime_checkable
class TrialWriter(Protocol):
    """Writes trials. Each call is there whole or not at all, or is written in an order in which a crash loses nothing.

    Who reads with Optuna afterwards finds what Optuna itself would have written.
    """

    def write_trials(self, study_id: int, trials: "Sequence[optuna.trial.FrozenTrial]") -> None:
        """Add running trials to a study, numbered in their order."""
        ...

    def write_advice(self, trial_id: int, name: str, attribute: Mapping[str, Any]) -> None:
        """Set a user attribute of which a crash may lose the last ones: leases."""
        ...

    def write_report(self, trial_id: int, report: TrialReport) -> None:
        """Set a rung's attribute and its value, the value last. Once more is the same as once."""
        ...

    def write_ends(self, ends: Sequence[TrialEnd]) -> None:
        """End trials; those that have ended stay as they are."""
        ...


class OptunaWriter:
    """Writes by Optuna's interface, to whatever storage a study is in.

    Parameters
    ----------
    study
        Whose trials.
    """

    def __init__(self, study: "optuna.Study") -> None:
        self._study = study

    def write_trials(self, study_id: int, trials: "Sequence[optuna.trial.FrozenTrial]") -> None:  # noqa: ARG002
        """Add them one by one."""
        for trial in trials:
            self._study.add_trial(trial)

    def write_advice(self, trial_id: int, name: str, attribute: Mapping[str, Any]) -> None:
        """Set the attribute."""
        self._storage.set_trial_user_attr(trial_id, name, dict(attribute))

    def write_report(self, trial_id: int, report: TrialReport) -> None:
        """Set the attribute, then the value."""
        self._storage.set_trial_user_attr(trial_id, report.name, dict(report.attribute))
        self._storage.set_trial_intermediate_value(trial_id, report.step, report.value)

    def write_ends(self, ends: Sequence[TrialEnd]) -> None:
        """Tell each one's constraints, then its state, which Optuna takes no more attributes after."""
        import optuna

        for end in ends:
            state = optuna.trial.TrialState[end.state]
            with _without_warnings():
                if end.constraints:
                    trial = optuna.Trial(self._study, end.trial_id)
                    for name, figure in sorted(end.constraints.items()):
                        trial.set_constraint(name, figure)
            told = end.value if state is optuna.trial.TrialState.COMPLETE else None
            self._study.tell(end.trial_number, told, state=state, skip_if_finished=True)

    @property
    def _storage(self) -> "optuna.storages.BaseStorage":
        # What Trial.set_user_attr and Trial.report call, without reading the whole trial before each.
        return self._study._storage


@contextmanager
def _without_warnings() -> Iterator[None]:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield
