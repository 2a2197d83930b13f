"""Reading who may do what about a proposal now, by the very checks that the acts are put through.

Nothing is locked and nothing is written: what is found holds for the moment, and each act makes every check again.
"""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime

from sqlalchemy import Connection

from meta_pipeline.errors import InputError
from meta_pipeline.proposals.checks import AFTERWARDS, APPLY, ELIGIBLE, first_failure, run_checks
from meta_pipeline.proposals.decision import Verdict
from meta_pipeline.proposals.draft import ProposalRecord
from meta_pipeline.proposals.identity import clean_name
from meta_pipeline.proposals.roles import Power
from meta_pipeline.proposals.situation import Check, Situation
from meta_pipeline.proposals.standing import Act, Decider, Prospect, Standing
from meta_pipeline.proposals.states import Status
from meta_pipeline.store import approver_keys, approvers, people, proposal_rows
from meta_pipeline.store.decisions import checks_to_come
from meta_pipeline.store.rules import Rules
from meta_pipeline.store.situation import situation


def read_standing(
    connection: Connection, proposal_id: str, *, viewer: str | None, now: datetime, rules: Rules
) -> Standing:
    """Read who may decide on a proposal, and what would be checked of one person's acts.

    Parameters
    ----------
    viewer
        Who looks. None: only who may decide is read.

    Raises
    ------
    NotFound
        If there is no such proposal.
    """
    record = proposal_rows.get(connection, proposal_id)
    found = Standing(proposal_id=proposal_id, status=str(record.status), viewer=viewer)
    acts = _acts(record)
    if not acts:
        return found
    seen = situation(connection, record, now=now, rules=rules)
    return replace(
        found,
        deciders=tuple(_deciders(connection, seen)),
        prospects=() if viewer is None else _prospects(connection, record, acts, viewer, now=now, rules=rules),
    )


def _acts(record: ProposalRecord) -> tuple[Act, ...]:
    if record.status is Status.PENDING:
        return ("approve", "reject", "apply")
    return ("reject", "apply") if record.status is Status.APPROVED else ()


def _prospects(
    connection: Connection,
    record: ProposalRecord,
    acts: tuple[Act, ...],
    viewer: str,
    *,
    now: datetime,
    rules: Rules,
) -> tuple[Prospect, ...]:
    try:
        who = clean_name(viewer)
    except InputError as error:
        unusable = Check(name="name", passed=False, error=InputError, text=str(error))
        return tuple(Prospect(act=act, checks=(unusable,)) for act in acts)
    found = []
    for act in acts:
        if act == "apply":
            found.append(_apply(connection, record, who, now=now, rules=rules))
        else:
            checks = checks_to_come(connection, record, _VERDICTS[act], approver=who, now=now, rules=rules)
            found.append(Prospect(act=act, checks=checks))
    return tuple(found)


def _apply(connection: Connection, record: ProposalRecord, who: str, *, now: datetime, rules: Rules) -> Prospect:
    role = people.check_role(connection, who, Power.APPLY)
    if record.status is Status.APPROVED:
        approval = proposal_rows.approval_of(connection, record.proposal_id)
        seen = situation(connection, record, now=now, rules=rules, approval=approval, applier=who)
        return Prospect(act="apply", checks=(role, *run_checks(APPLY, seen)))
    seen = situation(connection, record, now=now, rules=rules)
    return Prospect(act="apply", checks=(role, *run_checks(AFTERWARDS, seen)), later=True)


def _deciders(connection: Connection, seen: Situation) -> Iterator[Decider]:
    """Put everybody on the list through the checks that are about the person."""
    for one in approvers.list_approvers(connection):
        name = one.display_name
        keys = approver_keys.good_keys(connection, name)
        theirs = replace(seen, approver=name, approver_active=True, approval=None, signature=None, keys=keys)
        failed = first_failure((people.check_role(connection, name, Power.DECIDE), *run_checks(ELIGIBLE, theirs)))
        yield Decider(name=name, objection=None if failed is None else failed.text)


_VERDICTS: dict[Act, Verdict] = {"approve": "approve", "reject": "reject"}
