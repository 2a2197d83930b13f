"""The search's ledger: one Optuna study, one trial per configuration, one reported value per rung.

Belongs here: what is written to the study, and reading it back as entries. Nothing is stored twice: whether a
configuration is paused, running, promoted or out is derived from the values reported (see `schedule`).

A trial stays RUNNING in Optuna while its configuration may still be promoted. The report of a rung's value comes last
of all that is written about it, so a rung whose value is there is there whole.
"""

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any, Final

from meta_pipeline.canonical import JsonValue, canonical_json, digest
from meta_pipeline.errors import NotFound
from meta_pipeline.hyperband.checkpoints import Moments
from meta_pipeline.hyperband.jobs import Outcome
from meta_pipeline.hyperband.protocol import ParameterValue
from meta_pipeline.hyperband.search_settings import SearchSettings
from meta_pipeline.hyperband.slots import Slot
from meta_pipeline.hyperband.spaces import distributions
from meta_pipeline.hyperband.trial_writer import OptunaWriter, TrialEnd, TrialReport, TrialWriter

if TYPE_CHECKING:
    import optuna

_SEARCH: Final = "search"
_SLOT: Final = "slot"
_RUNG: Final = "rung:{}"
_LEASE: Final = "lease:{}"


class End(Enum):
    """How a configuration's way ended; the names are Optuna's states."""

    COMPLETE = "complete"  # it got all of R
    PRUNED = "pruned"  # a rung was complete and it was not among the best
    FAIL = "fail"  # it could not be evaluated


@dataclass(frozen=True, kw_only=True)
class Lease:
    """Who works on a rung's value, and until when that is believed (seconds since 1970)."""

    worker: str
    expires: float


@dataclass(frozen=True, kw_only=True)
class RungValue:
    """What a configuration came to at one resource; the fields are `jobs.Outcome`'s."""

    value: float
    metrics: Mapping[str, float | None] = field(default_factory=dict)
    constraints: Mapping[str, float] = field(default_factory=dict)
    moments: Moments | None = None
    error: str | None = None
    checkpoint: str = ""
    cpu_seconds: float | None = None

    @property
    def violation(self) -> float:
        """By how much constraints are broken, added up; 0 if the configuration is feasible."""
        return sum(max(0.0, figure) for figure in self.constraints.values())


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One configuration, as the ledger has it.

    Parameters
    ----------
    slot
        Where it stands.
    trial_id, trial_number
        Optuna's.
    config
        The configuration.
    rungs
        Resource -> what was reported.
    leases
        Resource -> who works on it.
    end
        How its way ended; None while it may be promoted.
    """

    slot: Slot
    trial_id: int
    trial_number: int
    config: Mapping[str, ParameterValue]
    rungs: Mapping[int, RungValue]
    leases: Mapping[int, Lease]
    end: End | None

    @property
    def highest(self) -> int:
        """The most units it has been evaluated with; 0 if none."""
        return max(self.rungs, default=0)

    @property
    def last(self) -> RungValue | None:
        """What it came to at `highest`."""
        return self.rungs[self.highest] if self.rungs else None


class Ledger:
    """A search's study, opened.

    Parameters
    ----------
    study
        Of Optuna, with one direction: maximise.
    settings
        The search's, as they stand in the study.
    writer
        Writes its trials.
    """

    def __init__(self, study: "optuna.Study", settings: SearchSettings, writer: TrialWriter) -> None:
        self._study = study
        self._writer = writer
        self.settings = settings

    @property
    def study(self) -> "optuna.Study":
        """The study, for Optuna's plots and its dashboard."""
        return self._study

    def entries(self) -> dict[Slot, Entry]:
        """Read all configurations. Of two trials for one slot (two coordinators) the earlier one counts."""
        found: dict[Slot, Entry] = {}
        for trial in self._study.get_trials(deepcopy=False):
            if _SLOT in trial.user_attrs:  # whoever adds trials of their own does not disturb
                entry = _entry(trial)
                found.setdefault(entry.slot, entry)  # Optuna lists trials by number
        return found

    def add(self, configs: Mapping[Slot, Mapping[str, ParameterValue]]) -> None:
        """Give slots their configurations."""
        import optuna

        allowed = distributions(self.settings.space)
        trials = [
            optuna.trial.create_trial(
                state=optuna.trial.TrialState.RUNNING,
                params=dict(config),
                distributions=allowed,
                user_attrs={_SLOT: list(slot)},
            )
            for slot, config in configs.items()
        ]
        self._writer.write_trials(self._study._study_id, trials)

    def lease(self, entry: Entry, r: int, lease: Lease) -> None:
        """Write down who works on a rung's value."""
        given = {"worker": lease.worker, "expires": lease.expires}
        self._writer.write_advice(entry.trial_id, _LEASE.format(r), given)

    def report(self, entry: Entry, outcome: Outcome) -> RungValue:
        """Write an outcome down, the value last. A second report for a rung writes the same again."""
        rung = RungValue(
            value=outcome.value,
            metrics=outcome.metrics,
            constraints=outcome.constraints,
            moments=outcome.moments,
            error=outcome.error,
            checkpoint=outcome.checkpoint,
            cpu_seconds=outcome.cpu_seconds,
        )
        told = TrialReport(
            step=outcome.r_to, value=outcome.value, name=_RUNG.format(outcome.r_to), attribute=_rung_json(rung)
        )
        self._writer.write_report(entry.trial_id, told)
        return rung

    def close(self, ends: Iterable[tuple[Entry, End]]) -> None:
        """Tell Optuna how configurations' ways ended, with the constraints of their last rungs."""
        told = [_trial_end(entry, end) for entry, end in ends]
        if told:
            self._writer.write_ends(told)

    def extend(self, settings: SearchSettings) -> None:
        """Go on with settings that differ by more iterations only.

        Raises
        ------
        Conflict
            If they differ in anything else.
        """
        self.settings.continued_by(settings)
        if settings.iterations > self.settings.iterations:
            self._study.set_user_attr(_SEARCH, canonical_json(settings.to_json()))
            self.settings = settings


def create_or_open(storage: "optuna.storages.BaseStorage", settings: SearchSettings) -> Ledger:
    """Open the search of a name, or begin it.

    Raises
    ------
    Conflict
        If there is one of that name with other settings.
    """
    import optuna

    with quiet_optuna():
        study = optuna.create_study(
            storage=storage, study_name=settings.name, direction="maximize", load_if_exists=True
        )
    if _SEARCH not in study.user_attrs:
        study.set_user_attr(_SEARCH, canonical_json(settings.to_json()))
        return Ledger(study, settings, _writer(storage, study))
    ledger = Ledger(study, _settings_of(study), _writer(storage, study))
    ledger.extend(settings)
    return ledger


def open_existing(storage: "optuna.storages.BaseStorage", name: str) -> Ledger:
    """Open the search of a name.

    Raises
    ------
    NotFound
        If there is none; it names those that there are.
    """
    import optuna

    names = searches(storage)
    if name not in names:
        raise NotFound(f"there is no search {name!r}; there are {', '.join(names) if names else 'none yet'}")
    study = optuna.load_study(study_name=name, storage=storage)
    return Ledger(study, _settings_of(study), _writer(storage, study))


def searches(storage: "optuna.storages.BaseStorage") -> list[str]:
    """List the searches of a storage by name; studies of others are left out."""
    return sorted(study.study_name for study in storage.get_all_studies() if _SEARCH in study.user_attrs)


def ledger_digest(entries: Mapping[Slot, Entry]) -> str:
    """Hash all configurations, values, constraints and ends; who computed them, when and how fast stays out."""
    rows: list[JsonValue] = [
        {
            "slot": list(slot),
            "config": dict(entry.config),
            "end": None if entry.end is None else entry.end.value,
            "rungs": [
                [r, _exact(rung.value), {k: _exact(v) for k, v in rung.constraints.items()}, rung.checkpoint]
                for r, rung in sorted(entry.rungs.items())
            ],
        }
        for slot, entry in sorted(entries.items())
    ]
    return digest(rows)


@contextmanager
def quiet_optuna() -> Iterator[None]:
    """Keep Optuna from telling of every study on standard error; as it was, afterwards."""
    import optuna

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)


def _writer(storage: "optuna.storages.BaseStorage", study: "optuna.Study") -> TrialWriter:
    return storage if isinstance(storage, TrialWriter) else OptunaWriter(study)


def _trial_end(entry: Entry, end: End) -> TrialEnd:
    last = None if end is End.FAIL else entry.last
    return TrialEnd(
        trial_id=entry.trial_id,
        trial_number=entry.trial_number,
        state=end.name,
        value=None if last is None else last.value,
        constraints={} if last is None else last.constraints,
    )


def _settings_of(study: "optuna.Study") -> SearchSettings:
    return SearchSettings.from_json(json.loads(study.user_attrs[_SEARCH]))


def _entry(trial: "optuna.trial.FrozenTrial") -> Entry:
    attributes = trial.user_attrs
    ended = trial.state.is_finished()
    return Entry(
        slot=Slot(*attributes[_SLOT]),
        trial_id=trial._trial_id,
        trial_number=trial.number,
        config=trial.params,
        rungs={r: _rung(value, attributes.get(_RUNG.format(r), {})) for r, value in trial.intermediate_values.items()},
        leases={
            int(name.removeprefix(_LEASE.format(""))): Lease(**lease)
            for name, lease in attributes.items()
            if name.startswith(_LEASE.format(""))
        },
        end=End[trial.state.name] if ended else None,
    )


def _rung_json(rung: RungValue) -> dict[str, Any]:
    return {
        "metrics": dict(rung.metrics),
        "constraints": dict(rung.constraints),
        "moments": None if rung.moments is None else list(rung.moments),
        "error": rung.error,
        "checkpoint": rung.checkpoint,
        "cpu_seconds": rung.cpu_seconds,
    }


def _rung(value: float, given: Mapping[str, Any]) -> RungValue:
    moments = given.get("moments")
    return RungValue(value=value, **{**given, "moments": None if moments is None else Moments(*moments)})


def _exact(value: float) -> JsonValue:
    return value if math.isfinite(value) else repr(value)
