"""A challenger that won a shadow experiment becomes a proposal, with the experiment as its evidence."""

from datetime import datetime

from sqlalchemy import Connection, update

from meta_pipeline.canonical import JsonValue, digest
from meta_pipeline.errors import Conflict, StaleBase
from meta_pipeline.outcomes.experiment import ExperimentVerdict
from meta_pipeline.proposals.draft import ProposalDraft
from meta_pipeline.proposals.report_writer import ReportWriter
from meta_pipeline.proposals.roles import Power
from meta_pipeline.settings import Settings
from meta_pipeline.store import people, proposals, strategies
from meta_pipeline.store.authoring import BY_HAND
from meta_pipeline.store.database import Database
from meta_pipeline.store.experiment_rows import (
    Experiment,
    ExperimentLook,
    check_content,
    get,
    latest_look,
    note,
    person,
)
from meta_pipeline.store.outcome_rules import outcome_rule
from meta_pipeline.store.schema_outcomes import experiments
from meta_pipeline.store.transactions import in_transaction


def propose(
    database: Database,
    experiment_id: str,
    *,
    actor: str,
    now: datetime,
    settings: Settings,
    report: ReportWriter | None = None,
) -> str:
    """Make the challenger a proposal, with the experiment as its evidence. Somebody else has to approve it.

    Parameters
    ----------
    report
        As in `proposals.save`.

    Returns
    -------
    str
        The proposal's id.

    Raises
    ------
    Conflict
        If the challenger has not won.
    StaleBase
        If the incumbent is no longer live.
    NotPermitted
        If a machine asks, or somebody who may not propose.
    """
    who = person(actor)

    def work(connection: Connection) -> str:
        experiment = get(connection, experiment_id)
        strategies.lock(connection, experiment.strategy_id)
        people.require(connection, who, Power.AUTHOR)
        experiment = get(connection, experiment_id)
        check_content(experiment)
        look = latest_look(connection, experiment.experiment_id)
        if experiment.state != "decided" or experiment.verdict != ExperimentVerdict.CHALLENGER or look is None:
            raise Conflict(
                f"experiment {experiment.experiment_id} is {experiment.state} ({experiment.verdict or 'no verdict'}): "
                "only a challenger that won becomes a proposal; propose it by hand with your own reasons"
            )
        draft = _draft(connection, experiment, look, who, settings)
        identity, new = proposals.save_alone(connection, draft, now=now, settings=settings, report=report)
        people.require_still(connection, who, Power.AUTHOR)
        own = experiments.c.experiment_id == experiment.experiment_id
        connection.execute(update(experiments).where(own).values(proposal_id=identity))
        if new:
            told: dict[str, JsonValue] = {"proposal_id": identity}
            note(connection, "experiment.propose", experiment.experiment_id, told, actor=who, now=now)
        return identity

    return in_transaction(database, work)


def _draft(
    connection: Connection, experiment: Experiment, look: ExperimentLook, who: str, settings: Settings
) -> ProposalDraft:
    strategy = strategies.load(connection, experiment.strategy_id)
    if strategy.live_version != experiment.incumbent_version:
        raise StaleBase(
            f"version {strategy.live_version} of {experiment.strategy_id} is live, but experiment "
            f"{experiment.experiment_id} was about version {experiment.incumbent_version}; start a new one"
        )
    declared = strategy.knobs.get(experiment.knob_path)
    body = dict(look.body or {})
    evidence: dict[str, JsonValue] = {
        "kind": "experiment",
        "experiment_id": experiment.experiment_id,
        "digest": experiment.digest,
        "judged_until": None if look.judged_until is None else look.judged_until.isoformat(),
        "simulated": look.simulated,
        "judgement": body,
    }
    rule = outcome_rule(connection, experiment.strategy_id, settings)
    return ProposalDraft(
        strategy_id=experiment.strategy_id,
        proposal_type=BY_HAND,
        target_component=experiment.knob_path,
        current=experiment.incumbent_value,
        proposed=experiment.challenger_value,
        base_version=strategy.live_version,
        rationale=f"Experiment {experiment.experiment_id} ({experiment.why}): {experiment.reason}.",
        supporting_metrics=evidence,
        evidence_digest=digest(evidence),
        risk_change="unknown"
        if declared is None
        else declared.risk_change(experiment.incumbent_value, experiment.challenger_value),
        author=who,
        author_kind="human",
        expected_sharpe_improvement=body.get("estimate") if rule.metric == "sharpe_ratio" else None,
        outcome_rule=rule.to_json(),
    )
