"""Experiments as rows: read, and held against what was fixed when they started."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, select, update

from meta_pipeline.canonical import JsonValue, Level, digest
from meta_pipeline.errors import ContentTampered, NotFound, NotPermitted
from meta_pipeline.outcomes.experiment import ExperimentVerdict
from meta_pipeline.proposals.candidate import level_to_json
from meta_pipeline.proposals.configs import level_at
from meta_pipeline.proposals.digests import instant
from meta_pipeline.proposals.identity import clean_name, is_machine
from meta_pipeline.proposals.outcome_rule import OutcomeRule, rule_of
from meta_pipeline.store import audit
from meta_pipeline.store.schema_outcomes import experiment_looks, experiments

_COLUMNS: Final = experiments.c
_LOOKS: Final = experiment_looks.c


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """One experiment, as stored.

    Parameters
    ----------
    outcome_rule, digest
        The rule fixed at the start, and the sha256 of all that was fixed then; checked at every look.
    verdict, reason
        Of the last look, once it ended.
    """

    experiment_id: str
    strategy_id: str
    knob_path: str
    incumbent_value: Level
    challenger_value: Level
    incumbent_version: int
    challenger_config: Mapping[str, JsonValue]
    outcome_rule: Mapping[str, JsonValue]
    digest: str
    state: str
    verdict: str | None
    reason: str
    why: str
    started_by: str
    started_at: datetime
    ended_by: str | None
    ended_at: datetime | None
    proposal_id: str | None

    @property
    def rule(self) -> OutcomeRule:
        """The rule by which it is decided."""
        return rule_of(self.outcome_rule)


@dataclass(frozen=True, kw_only=True)
class ExperimentLook:
    """One look at an experiment. `body` is the judgement; `error` says why there could be none."""

    experiment_id: str
    judged_until: date | None = None
    simulated: bool = False
    looked_at: datetime | None = None
    n_days: int = 0
    verdict: str = str(ExperimentVerdict.INSUFFICIENT_DATA)
    body: Mapping[str, Any] | None = None
    error: str | None = None


def get(connection: Connection, experiment_id: str) -> Experiment:
    """Return one experiment.

    Raises
    ------
    NotFound
        If there is none of that id.
    """
    asked = experiment_id if experiment_id.isascii() and experiment_id.isprintable() else ""
    rows = connection.execute(
        select(experiments).where(_COLUMNS.experiment_id.startswith(asked, autoescape=True)).limit(2)
    ).all()
    if not asked or len(rows) != 1:
        raise NotFound(f"{experiment_id[:64]!r} names no experiment; see: meta-pipeline experiments status")
    return _experiment(rows[0])


def list_experiments(connection: Connection, *, running: bool | None = None) -> list[Experiment]:
    """Return experiments, the newest first; `running` keeps those that are (True) or are not (False)."""
    statement = select(experiments).order_by(_COLUMNS.started_at.desc(), _COLUMNS.experiment_id)
    if running is not None:
        statement = statement.where((_COLUMNS.state == "running") == running)
    return [_experiment(row) for row in connection.execute(statement)]


def latest_look(connection: Connection, experiment_id: str) -> ExperimentLook | None:
    """Return the last look at an experiment, or None."""
    row = connection.execute(
        select(experiment_looks)
        .where(_LOOKS.experiment_id == experiment_id)
        .order_by(_LOOKS.judged_until.desc())
        .limit(1)
    ).one_or_none()
    return None if row is None else ExperimentLook(**row._asdict())


def check_content(experiment: Experiment) -> None:
    """Refuse an experiment whose terms were changed after its start."""
    fixed: dict[str, JsonValue] = {
        "strategy_id": experiment.strategy_id,
        "knob": experiment.knob_path,
        "incumbent": level_to_json(experiment.incumbent_value),
        "challenger": level_to_json(experiment.challenger_value),
        "incumbent_version": experiment.incumbent_version,
        "outcome_rule": dict(experiment.outcome_rule),
        "started_at": instant(experiment.started_at),
    }
    at_path = level_at(experiment.challenger_config, experiment.knob_path)
    if digest(fixed) != experiment.digest or level_to_json(at_path) != level_to_json(experiment.challenger_value):
        raise ContentTampered(
            f"the terms of experiment {experiment.experiment_id} are not those it was started with; stop it, look for "
            "who changed it, and start a new one"
        )


def end(
    connection: Connection,
    experiment: Experiment,
    state: str,
    verdict: ExperimentVerdict,
    reason: str,
    *,
    actor: str,
    now: datetime,
) -> None:
    """End a running experiment, with an entry in the audit log."""
    connection.execute(
        update(experiments)
        .where(_COLUMNS.experiment_id == experiment.experiment_id, _COLUMNS.state == "running")
        .values(state=state, verdict=str(verdict), reason=reason, ended_by=actor, ended_at=now)
    )
    told: dict[str, JsonValue] = {"state": state, "verdict": str(verdict), "reason": reason}
    note(connection, "experiment.end", experiment.experiment_id, told, actor=actor, now=now)


def note(
    connection: Connection, action: str, identity: str, payload: Mapping[str, JsonValue], *, actor: str, now: datetime
) -> None:
    """Write an entry about an experiment into the audit log."""
    event = audit.Event(action=action, subject_type="experiment", subject_id=identity, payload=payload)
    audit.append(connection, event, actor=actor, at=now)


def _experiment(row: Row[Any]) -> Experiment:
    return Experiment(**row._asdict())


def person(actor: str) -> str:
    """Return the name of who acts on an experiment.

    Raises
    ------
    NotPermitted
        If it is reserved for machines.
    """
    who = clean_name(actor)
    if is_machine(who):
        raise NotPermitted(f"{who!r} is a name reserved for machines; experiments are a person's (META_PIPELINE_ACTOR)")
    return who
