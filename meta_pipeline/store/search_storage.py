"""Optuna's storage in PostgreSQL, with a search's writes in one transaction each.

Optuna's own storage adds a configuration of 22 parameters with some 70 statements, and a rung's value in two
transactions of five. The rows here are the same, in Optuna's own tables by Optuna's own models, so that Optuna, its
dashboard and its plots read them as theirs (a test compares).

All of it waits out a database that is away (`search_outage`), so each write is the same twice as once.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any, Final, TypeVar

from optuna.distributions import distribution_to_json
from optuna.storages import RDBStorage
from optuna.storages._rdb import models
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import Executable, Integer, String, bindparam, func, insert, select
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session

from meta_pipeline.hyperband.trial_writer import TrialEnd, TrialReport
from meta_pipeline.store.search_outage import outlived

_Result = TypeVar("_Result")
_RUNNING: Final = TrialState.RUNNING
_TRIALS: Final[Any] = models.TrialModel.__table__
_ATTRIBUTES: Final[Any] = models.TrialUserAttributeModel.__table__
_VALUES: Final[Any] = models.TrialIntermediateValueModel.__table__


class LedgerStorage(RDBStorage):
    """Optuna's storage, and a `hyperband.trial_writer.TrialWriter`. PostgreSQL only.

    Attributes
    ----------
    revive
        Starts a server that is ours to start; None: somebody else will.
    """

    revive: Callable[[], None] | None = None

    def write_trials(self, study_id: int, trials: Sequence[FrozenTrial]) -> None:
        """Add running trials to a study in one transaction, numbered in their order. They are told by their starts."""
        self._outlived(partial(self._write_trials, study_id, trials))

    def _write_trials(self, study_id: int, trials: Sequence[FrozenTrial]) -> None:
        with Session(self.engine) as session, session.begin():
            # As Optuna does: numbers are counted, so whoever adds waits for whoever else does.
            session.execute(select(models.StudyModel).filter_by(study_id=study_id).with_for_update())
            if self._has(session, study_id, trials):
                return
            counted = select(func.count()).select_from(models.TrialModel).filter_by(study_id=study_id)
            first = session.execute(counted).scalar_one()
            added = []
            for number, trial in enumerate(trials, start=first):
                row = models.TrialModel(study_id=study_id, number=number, state=_RUNNING)
                row.datetime_start = trial.datetime_start
                added.append(row)
            session.add_all(added)
            session.flush()
            rows = [(row.trial_id, trial) for row, trial in zip(added, trials, strict=True)]
            parameters = [parameter for trial_id, trial in rows for parameter in _parameters(trial_id, trial)]
            if parameters:
                session.execute(insert(models.TrialParamModel), parameters)
            attributes = [
                {"trial_id": trial_id, "key": key, "value_json": json.dumps(value)}
                for trial_id, trial in rows
                for key, value in trial.user_attrs.items()
            ]
            if attributes:
                session.execute(insert(models.TrialUserAttributeModel), attributes)

    def write_advice(self, trial_id: int, name: str, attribute: Mapping[str, Any]) -> None:
        """Set a user attribute, the last ones of which a crash of the server may lose."""
        self._execute(_ADVICE, {"trial": trial_id, "name": name, "attribute": json.dumps(dict(attribute))})

    def write_report(self, trial_id: int, report: TrialReport) -> None:
        """Set a rung's attribute and value, both or neither. A trial that has ended has them already.

        It is on disk when this returns: a coordinator that outlives a crash of the server takes it for written.
        """
        stored, kind = models.TrialIntermediateValueModel.intermediate_value_to_stored_repr(report.value)
        given = {"trial": trial_id, "name": report.name, "attribute": json.dumps(dict(report.attribute))}
        self._execute(_REPORT, {**given, "step": report.step, "value": stored, "kind": kind})

    def write_ends(self, ends: Sequence[TrialEnd]) -> None:
        """End trials in one transaction."""
        self._outlived(partial(self._write_ends, ends))

    def _write_ends(self, ends: Sequence[TrialEnd]) -> None:
        with Session(self.engine) as session, session.begin():
            running = self._lock(session, [end.trial_id for end in ends])
            constraints, values = [], []
            for end in ends:
                row = running.get(end.trial_id)
                if row is None:
                    continue
                row.state, row.datetime_complete = TrialState[end.state], datetime.now().astimezone()
                constraints += [
                    {"trial_id": end.trial_id, "key": f"constraints:{name}", "value_json": json.dumps(figure)}
                    for name, figure in sorted(end.constraints.items())
                ]
                if end.value is not None:
                    stored, kind = models.TrialValueModel.value_to_stored_repr(end.value)
                    values.append({"trial_id": end.trial_id, "objective": 0, "value": stored, "value_type": kind})
            if constraints:
                told = upsert(models.TrialSystemAttributeModel).values(constraints)
                session.execute(told.on_conflict_do_nothing())
            if values:
                session.execute(insert(models.TrialValueModel), values)

    def _get_trials(self, *what: Any, **more: Any) -> list[FrozenTrial]:
        """Read trials, as all of Optuna's ways to read them do at their end."""
        return self._outlived(partial(super()._get_trials, *what, **more))

    def _execute(self, statement: Executable, given: Mapping[str, Any]) -> None:
        """Run a statement that is a transaction of its own: one round trip instead of three."""

        def execute() -> None:
            with self.engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
                connection.execute(statement, given)

        self._outlived(execute)

    def _outlived(self, work: Callable[[], _Result]) -> _Result:
        return outlived(work, revive=self.revive)

    def _has(self, session: Session, study_id: int, trials: Sequence[FrozenTrial]) -> bool:
        """Say whether these trials were written before, in a transaction whose answer was lost."""
        begun = [trial.datetime_start for trial in trials]
        same = select(_TRIALS.c.trial_id).where(_TRIALS.c.study_id == study_id, _TRIALS.c.datetime_start.in_(begun))
        return session.execute(same.limit(1)).first() is not None

    def _lock(self, session: Session, trial_ids: Sequence[int]) -> dict[int, models.TrialModel]:
        """Return those of the trials that run, kept from being ended by others until the transaction ends."""
        table = models.TrialModel
        found = select(table).where(table.trial_id.in_(trial_ids), table.state == _RUNNING)
        return {int(row.trial_id): row for row in session.scalars(found.order_by(table.trial_id).with_for_update())}


def _parameters(trial_id: Any, trial: FrozenTrial) -> list[dict[str, Any]]:
    return [
        {
            "trial_id": trial_id,
            "param_name": name,
            "param_value": trial.distributions[name].to_internal_repr(value),
            "distribution_json": distribution_to_json(trial.distributions[name]),
        }
        for name, value in trial.params.items()
    ]


def _attribute(trial: Any) -> Any:
    """Return the statement that sets an attribute of the trial that a query yields, if it yields one."""
    columns = ["trial_id", "key", "value_json"]
    given = bindparam("name", type_=String), bindparam("attribute", type_=String)
    row = upsert(_ATTRIBUTES).from_select(columns, trial.add_columns(*given))
    return row.on_conflict_do_update(index_elements=columns[:2], set_={columns[2]: row.excluded[columns[2]]})


def _advice() -> Any:
    """Return the statement that sets an attribute, and does not wait for the disk."""
    # A condition that is always met, and makes the commit of its statement not wait (see `search_checkpoints`).
    unawaited = func.set_config("synchronous_commit", "off", True) == "off"
    return _attribute(select(_TRIAL).where(unawaited))


def _report() -> Any:
    """Return the statement that sets an attribute and a value of a trial that runs."""
    running = select(_TRIALS.c.trial_id).where(_TRIALS.c.trial_id == _TRIAL, _TRIALS.c.state == _RUNNING)
    locked = running.with_for_update().cte("running")
    known = _attribute(select(locked.c.trial_id)).cte("known")
    columns = ["trial_id", "step", "intermediate_value", "intermediate_value_type"]
    names = ["step", "value", "kind"]
    figures = [bindparam(name, type_=_VALUES.c[column].type) for name, column in zip(names, columns[1:], strict=True)]
    row = upsert(_VALUES).from_select(columns, select(locked.c.trial_id, *figures))
    again = {name: row.excluded[name] for name in columns[2:]}
    return row.on_conflict_do_update(index_elements=columns[:2], set_=again).add_cte(known)


# Built once: of the two that are run for every evaluation, building takes longer than running.
_TRIAL: Final = bindparam("trial", type_=Integer)
_ADVICE: Final = _advice()
_REPORT: Final = _report()
