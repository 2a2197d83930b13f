"""People author proposals too: create one, correct its rationale, take it back."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, update
from sqlalchemy.dialects.postgresql import insert as upsert

from meta_pipeline.canonical import JsonValue, Level, digest
from meta_pipeline.errors import Conflict, IllegalTransition, NotPermitted
from meta_pipeline.proposals.configs import level_at
from meta_pipeline.proposals.digests import attempt_of, body_text, text_digest
from meta_pipeline.proposals.draft import ProposalDraft, ProposalRecord
from meta_pipeline.proposals.identity import clean_name, clean_reason, kind_of, name_key
from meta_pipeline.proposals.report_writer import ReportWriter
from meta_pipeline.proposals.roles import Power
from meta_pipeline.proposals.states import Status
from meta_pipeline.settings import Settings
from meta_pipeline.store import audit, people, proposal_rows, proposals, strategies
from meta_pipeline.store.database import Database
from meta_pipeline.store.outcome_rules import outcome_rule
from meta_pipeline.store.schema import meta_config_proposals, proposal_editors
from meta_pipeline.store.situation import situation
from meta_pipeline.store.transactions import in_transaction

_COLUMNS: Final = meta_config_proposals.c

BY_HAND: Final = "config_parameter_change"
"""The type of proposals that people author."""


@dataclass(frozen=True, kw_only=True)
class Created:
    """A proposal that a person authored. `new` is False if the very same one was there already."""

    record: ProposalRecord
    new: bool


def create(
    database: Database,
    *,
    strategy_id: str,
    knob: str,
    proposed: Level,
    reason: str,
    author: str,
    now: datetime,
    settings: Settings,
    report: ReportWriter | None = None,
) -> Created:
    """Make a proposal by hand, against the live configuration.

    Parameters
    ----------
    knob
        Path of a declared knob.
    proposed
        The new value; ABSENT to remove the key.
    reason
        Why. It is all the evidence there is: nothing is claimed, and no grade given.
    report
        Writes what an approver will read.

    Raises
    ------
    Blocked
        If the knob is not declared or does not allow the value, or the same change was rejected not long ago.
    InputError
        If the reason is empty, or the author is a machine.
    """
    who = clean_name(author)
    why = clean_reason(reason, what="the proposal")

    def work(connection: Connection) -> Created:
        strategies.lock(connection, strategy_id)
        people.require(connection, who, Power.AUTHOR)
        strategy = strategies.load(connection, strategy_id)
        current = level_at(strategy.strategy.live_config, knob)
        declared = strategy.knobs.get(knob)
        evidence: dict[str, JsonValue] = {"kind": "human", "reason": why}
        draft = ProposalDraft(
            strategy_id=strategy_id,
            proposal_type=BY_HAND,
            target_component=knob,
            current=current,
            proposed=proposed,
            base_version=strategy.live_version,
            rationale=why,
            supporting_metrics=evidence,
            evidence_digest=digest(evidence),
            risk_change="unknown" if declared is None else declared.risk_change(current, proposed),
            author=who,
            author_kind="human",
            outcome_rule=outcome_rule(connection, strategy_id, settings).to_json(),
        )
        identity, new = proposals.save_alone(connection, draft, now=now, settings=settings, report=report)
        people.require_still(connection, who, Power.AUTHOR)
        return Created(record=proposal_rows.get(connection, identity), new=new)

    return in_transaction(database, work)


def edit(
    database: Database,
    proposal_id: str,
    *,
    rationale: str,
    editor: str,
    now: datetime,
    report: ReportWriter | None = None,
) -> ProposalRecord:
    """Rewrite the rationale of a proposal that nobody has decided on.

    The content gets another digest, so that a decision on the former text no longer holds, and who edited
    can never approve it. What is changed and on which evidence is not up to an edit: propose that anew.
    Its report is written anew; without `report` it has none, as the former one no longer says what it says.

    Raises
    ------
    IllegalTransition
        If it is not PENDING any more.
    """
    who = clean_name(editor)
    text = clean_reason(rationale, what="the proposal")

    def work(connection: Connection) -> ProposalRecord:
        record = proposal_rows.lock(connection, proposal_id)
        people.require(connection, who, Power.AUTHOR)
        if record.status is not Status.PENDING:
            raise IllegalTransition(
                f"proposal {record.proposal_id} is {record.status} and can only be edited while it is PENDING; "
                "withdraw it and propose it anew"
            )
        draft = replace(record.draft, rationale=text, report_sha256=None)
        draft.check()
        attempt = attempt_of(record)
        if report is not None:
            seen = situation(connection, replace(record, draft=draft), now=now)
            draft = proposals.with_report(seen, report, attempt=attempt).draft
        body = body_text(draft, attempt=attempt, created_at=record.created_at, expires_at=record.expires_at)
        connection.execute(
            upsert(proposal_editors)
            .values(proposal_id=record.proposal_id, editor_key=name_key(who), edited_at=now)
            .on_conflict_do_nothing()
        )
        edited = connection.execute(
            update(meta_config_proposals)
            .where(
                _COLUMNS.proposal_id == record.proposal_id,
                _COLUMNS.status == Status.PENDING,
                _COLUMNS.body_digest == record.body_digest,
            )
            .values(rationale=text, body=body, body_digest=text_digest(body), report_sha256=draft.report_sha256)
        )
        if edited.rowcount != 1:
            raise Conflict(f"proposal {record.proposal_id} changed meanwhile; look at it again")
        event = audit.Event(
            action="proposal.edit",
            subject_type="proposal",
            subject_id=record.proposal_id,
            payload={"from_digest": record.body_digest, "to_digest": text_digest(body), "rationale": text},
        )
        audit.append(connection, event, actor=who, at=now)
        people.require_still(connection, who, Power.AUTHOR)
        return proposal_rows.get(connection, record.proposal_id)

    return in_transaction(database, work)


def withdraw(database: Database, proposal_id: str, *, actor: str, reason: str, now: datetime) -> ProposalRecord:
    """Take a proposal back. Its author may, and so may whoever edited it; others may reject it.

    Raises
    ------
    NotPermitted
        If the actor had no hand in it, or is an auditor.
    IllegalTransition
        If it is decided and done with.
    """
    who = clean_name(actor)
    why = clean_reason(reason, what="the withdrawal")

    def work(connection: Connection) -> ProposalRecord:
        record = proposal_rows.lock(connection, proposal_id)
        people.require(connection, who, Power.WITHDRAW)
        if name_key(who) not in {name_key(record.draft.author), *record.editor_keys}:
            raise NotPermitted(
                f"proposal {record.proposal_id} is {record.draft.author}'s, and {who!r} cannot withdraw it; "
                "an approver can reject it"
            )
        proposal_rows.move(connection, record, Status.WITHDRAWN, status_reason=f"withdrawn by {who}: {why}")
        event = audit.Event(
            action="proposal.withdraw",
            subject_type="proposal",
            subject_id=record.proposal_id,
            payload={"from": record.status, "reason": why, "actor_kind": kind_of(who)},
        )
        audit.append(connection, event, actor=who, at=now)
        people.require_still(connection, who, Power.WITHDRAW)
        return proposal_rows.get(connection, record.proposal_id)

    return in_transaction(database, work)
