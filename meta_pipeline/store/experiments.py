"""Shadow experiments: incumbent and challenger over the same days, nothing live, the rule fixed when it starts."""

from collections.abc import Container
from datetime import date, datetime
from typing import Final

from sqlalchemy import Connection, insert, select
from sqlalchemy.dialects.postgresql import insert as upsert

from meta_pipeline.canonical import JsonValue, Level, digest
from meta_pipeline.errors import (
    Blocked,
    Conflict,
    DatabaseUnavailable,
    SchemaMismatch,
)
from meta_pipeline.outcomes.experiment import ExperimentVerdict, decide, is_over
from meta_pipeline.outcomes.judgement import Judgement, judge_outcome
from meta_pipeline.proposals.candidate import level_to_json
from meta_pipeline.proposals.configs import level_at, with_level
from meta_pipeline.proposals.digests import instant
from meta_pipeline.proposals.identity import MACHINE_ACTOR, clean_reason
from meta_pipeline.proposals.knob_groups import objection_inside
from meta_pipeline.proposals.roles import Power
from meta_pipeline.settings import Settings
from meta_pipeline.store import people, strategies
from meta_pipeline.store.database import Database
from meta_pipeline.store.experiment_proposals import propose
from meta_pipeline.store.experiment_rows import (
    Experiment,
    ExperimentLook,
    check_content,
    end,
    get,
    latest_look,
    list_experiments,
    note,
    person,
)
from meta_pipeline.store.outcome_days import ONE_DAY, chosen_markets, config_of, days_of, source_of, span_of
from meta_pipeline.store.outcome_rules import outcome_rule
from meta_pipeline.store.schema_outcomes import experiment_looks, experiments
from meta_pipeline.store.transactions import in_transaction

__all__ = [
    "Experiment",
    "ExperimentLook",
    "get",
    "latest_look",
    "list_experiments",
    "look_at",
    "look_at_all",
    "propose",
    "start",
    "stop",
]

_COLUMNS: Final = experiments.c
_LOOKS: Final = experiment_looks.c
_ID_DIGITS: Final = 16


def start(
    database: Database,
    *,
    strategy_id: str,
    knob: str,
    challenger: Level,
    why: str,
    actor: str,
    now: datetime,
    settings: Settings,
) -> Experiment:
    """Start a shadow experiment: the live configuration against the same with one knob changed. Nothing goes live.

    Raises
    ------
    Blocked
        If the knob is not declared or does not allow the value.
    Conflict
        If an experiment on the same knob is running.
    NotPermitted
        If a machine asks, or somebody who may not propose: a winner becomes a proposal.
    """
    who, reason = person(actor), clean_reason(why, what="the experiment")

    def work(connection: Connection) -> Experiment:
        strategies.lock(connection, strategy_id)
        people.require(connection, who, Power.AUTHOR)
        strategy = strategies.load(connection, strategy_id)
        live = strategy.strategy.live_config
        current, declared = level_at(live, knob), strategy.knobs.get(knob)
        if declared is None:
            raise Blocked(
                f"{knob} is no declared knob of {strategy_id}; there are: {', '.join(sorted(strategy.knobs))}"
            )
        objection = declared.objection_to_change(current, challenger) or objection_inside(
            strategy.knobs.values(), knob, current, challenger
        )
        if objection is not None:
            raise Blocked(objection)
        _refuse_second(connection, strategy_id, knob)
        fixed: dict[str, JsonValue] = {
            "strategy_id": strategy_id,
            "knob": knob,
            "incumbent": level_to_json(current),
            "challenger": level_to_json(challenger),
            "incumbent_version": strategy.live_version,
            "outcome_rule": outcome_rule(connection, strategy_id, settings).to_json(),
            "started_at": instant(now),
        }
        identity = "exp-" + digest(fixed)[:_ID_DIGITS]
        connection.execute(
            insert(experiments).values(
                experiment_id=identity,
                strategy_id=strategy_id,
                knob_path=knob,
                incumbent_value=current,
                challenger_value=challenger,
                incumbent_version=strategy.live_version,
                challenger_config=with_level(live, knob, challenger),
                outcome_rule=fixed["outcome_rule"],
                digest=digest(fixed),
                state="running",
                why=reason,
                started_by=who,
                started_at=now,
            )
        )
        note(connection, "experiment.start", identity, {**fixed, "why": reason}, actor=who, now=now)
        people.require_still(connection, who, Power.AUTHOR)
        return get(connection, identity)

    return in_transaction(database, work)


def _refuse_second(connection: Connection, strategy_id: str, knob: str) -> None:
    running = connection.execute(
        select(_COLUMNS.experiment_id).where(
            _COLUMNS.strategy_id == strategy_id, _COLUMNS.knob_path == knob, _COLUMNS.state == "running"
        )
    ).scalar_one_or_none()
    if running is not None:
        raise Conflict(f"experiment {running} on {knob} of {strategy_id} is running; stop it first")


def look_at_all(
    database: Database,
    *,
    until: date,
    now: datetime,
    settings: Settings,
    simulated: bool = False,
    strategies: Container[str] | None = None,
) -> list[ExperimentLook]:
    """Look at every running experiment, or at those of some strategies.

    One whose days cannot be replayed stops none of the others.
    """
    with database.connect() as connection:
        running = [
            one.experiment_id
            for one in list_experiments(connection, running=True)
            if strategies is None or one.strategy_id in strategies
        ]
    found = []
    for name in running:
        try:
            look = look_at(database, name, until=until, now=now, settings=settings, simulated=simulated)
        except (DatabaseUnavailable, SchemaMismatch):
            raise
        except Exception as error:  # a user's replay may raise anything, and terms may have been tampered with
            look = ExperimentLook(experiment_id=name, error=f"{type(error).__name__}: {error}")
        found += [] if look is None else [look]
    return found


def look_at(
    database: Database, experiment_id: str, *, until: date, now: datetime, settings: Settings, simulated: bool = False
) -> ExperimentLook | None:
    """Look at one experiment by its days up to `until`; end it if it is decided, or its days are used up.

    Its days begin after the day it was started, and end when another configuration of the strategy goes live.

    Returns
    -------
    ExperimentLook or None
        The latest look, an earlier one if there is no new day; None if there is no day at all yet.
    """
    with database.connect() as connection:
        experiment = get(connection, experiment_id)
        check_content(experiment)
        span = span_of(connection, experiment.strategy_id, experiment.incumbent_version)
        latest = latest_look(connection, experiment.experiment_id)
        markets = chosen_markets(connection, experiment.strategy_id, experiment.rule)
        incumbent = config_of(connection, experiment.strategy_id, experiment.incumbent_version)
    first = experiment.started_at.date() + ONE_DAY
    last = until if span.last is None else min(until, span.last)
    if experiment.state != "running" or (latest is not None and latest.judged_until and last <= latest.judged_until):
        return latest
    replaced = span.last is not None and until > span.last
    if last < first:
        if replaced:
            _end_without_days(database, experiment, now)
        return latest
    source = source_of(database, experiment.strategy_id, settings)
    if simulated and not source.held_back:
        return latest
    found = days_of(
        source,
        experiment.strategy_id,
        before=incumbent,
        after=experiment.challenger_config,
        markets=markets,
        first=first,
        last=last,
    )
    judgement = judge_outcome(found, experiment.rule, seed=settings.seed)

    def work(connection: Connection) -> ExperimentLook | None:
        return _write(connection, experiment, judgement, last, now=now, simulated=source.held_back, replaced=replaced)

    return in_transaction(database, work)


def _write(
    connection: Connection,
    experiment: Experiment,
    judgement: Judgement,
    last: date,
    *,
    now: datetime,
    simulated: bool,
    replaced: bool,
) -> ExperimentLook | None:
    strategies.lock(connection, experiment.strategy_id)
    verdict, reason = decide(judgement, experiment.rule)
    added = connection.execute(
        upsert(experiment_looks)
        .values(
            experiment_id=experiment.experiment_id,
            judged_until=last,
            simulated=simulated,
            looked_at=now,
            n_days=judgement.n_days,
            verdict=str(verdict),
            body={**judgement.to_json(), "verdict": str(verdict), "reason": reason},
        )
        .on_conflict_do_nothing()
        .returning(_LOOKS.experiment_id)
    ).one_or_none()
    still = get(connection, experiment.experiment_id)
    if added is not None and still.state == "running" and (replaced or is_over(verdict, judgement.n_days, still.rule)):
        text = f"{reason}; another configuration went live" if replaced else reason
        end(connection, still, "decided", verdict, text, actor=MACHINE_ACTOR, now=now)
    return latest_look(connection, experiment.experiment_id)


def _end_without_days(database: Database, experiment: Experiment, now: datetime) -> None:
    def work(connection: Connection) -> None:
        strategies.lock(connection, experiment.strategy_id)
        still = get(connection, experiment.experiment_id)
        if still.state == "running":
            why = "another configuration went live before a day was over"
            end(connection, still, "decided", ExperimentVerdict.INSUFFICIENT_DATA, why, actor=MACHINE_ACTOR, now=now)

    in_transaction(database, work)


def stop(database: Database, experiment_id: str, *, reason: str, actor: str, now: datetime) -> Experiment:
    """Stop a running experiment by hand. What it had found stays, and decides nothing.

    Raises
    ------
    Conflict
        If it is not running.
    NotPermitted
        If a machine asks, or somebody who may neither propose nor freeze.
    """
    who, why = person(actor), clean_reason(reason, what="stopping the experiment")

    def work(connection: Connection) -> Experiment:
        found = get(connection, experiment_id)
        strategies.lock(connection, found.strategy_id)
        if not people.check_role(connection, who, Power.FREEZE, lock=True).passed:
            people.require(connection, who, Power.AUTHOR)
        found = get(connection, experiment_id)
        if found.state != "running":
            raise Conflict(f"experiment {found.experiment_id} is {found.state} already; there is nothing to stop")
        look = latest_look(connection, found.experiment_id)
        verdict = ExperimentVerdict.INSUFFICIENT_DATA if look is None else ExperimentVerdict(look.verdict)
        end(connection, found, "stopped", verdict, f"stopped by {who}: {why}", actor=who, now=now)
        return get(connection, found.experiment_id)

    return in_transaction(database, work)
