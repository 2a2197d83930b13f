"""Reading a `Situation`: all that the checks of a proposal look at, under the lock of its strategy."""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select

from meta_pipeline.canonical import digest
from meta_pipeline.errors import NotFound
from meta_pipeline.proposals.configs import related
from meta_pipeline.proposals.draft import Approval, ProposalRecord
from meta_pipeline.proposals.situation import Rival, Situation
from meta_pipeline.proposals.states import OPEN, Status
from meta_pipeline.store import approver_keys, approvers, freezing, limits, strategies, tiers
from meta_pipeline.store.report_state import report_state
from meta_pipeline.store.rules import Rules
from meta_pipeline.store.schema import meta_config_proposals

_COLUMNS = meta_config_proposals.c


def situation(
    connection: Connection,
    record: ProposalRecord,
    *,
    now: datetime,
    rules: Rules | None = None,
    approver: str | None = None,
    approval: Approval | None = None,
    decision: str = "approve",
    signature: str | None = None,
    lock: bool = False,
    applier: str | None = None,
) -> Situation:
    """Read what the checks of one proposal look at.

    Parameters
    ----------
    rules
        Of the settings. None: for checks that look neither at signatures nor at freezes, the budget or the report.
    decision, signature
        What is being decided, and the signature that came with it; by default the one on record.
    approver
        Who decides; by default, who decided according to `approval`.
    lock
        Keep the approver on the list, or off it, until the transaction ends.
    applier
        Who applies; None while it is only being decided.
    """
    who = approver if approver is not None or approval is None else approval.approver
    try:
        strategy = strategies.load(connection, record.draft.strategy_id)
    except NotFound:  # or one without a live configuration: the checks of base and target say so
        strategy = None
    operating = {} if rules is None else _operating(connection, record, rules, now=now)
    return Situation(
        record=record,
        now=now,
        live_version=None if strategy is None else strategy.live_version,
        live=None if strategy is None else strategy.strategy.live_config,
        live_as_hashed=strategy is None or digest(dict(strategy.strategy.live_config)) == strategy.live_digest,
        knobs={} if strategy is None else strategy.knobs,
        moved_by=_moved_by(connection, record),
        approver=who,
        approver_active=who is not None and approvers.is_active(connection, who, lock=lock),
        approval=approval,
        rivals=rivals(connection, record),
        decision=decision,
        signature=signature if approval is None else approval.signature,
        keys={} if who is None else approver_keys.good_keys(connection, who, lock=lock),
        tier=tiers.tier_of(connection, record.draft.strategy_id, record.draft.target_component),
        applier=applier,
        **operating,
    )


def _operating(connection: Connection, record: ProposalRecord, rules: Rules, *, now: datetime) -> dict[str, Any]:
    """Read what stops an apply for a while (freezes, the kill file, the budget), and what depends on the settings."""
    strategy_id = record.draft.strategy_id
    killed = rules.killed_now()
    windows = freezing.in_force(connection, strategy_id, now)
    return {
        "require_signed": rules.require_signed,
        "report": report_state(record.draft.report_sha256, rules.settings),
        "freezes": windows if killed is None else (killed, *windows),
        "budget": limits.budget(
            connection, strategy_id, now=now, max_changes=rules.settings.max_changes, window=rules.window
        ),
    }


def rivals(connection: Connection, record: ProposalRecord) -> tuple[Rival, ...]:
    """Return the other open proposals whose change touches the same key, one around it, or one inside it."""
    rows = connection.execute(
        select(_COLUMNS.proposal_id, _COLUMNS.target_component, _COLUMNS.status, _COLUMNS.proposed_value)
        .where(
            _COLUMNS.strategy_id == record.draft.strategy_id,
            _COLUMNS.status.in_(OPEN),
            _COLUMNS.proposal_id != record.proposal_id,
        )
        .order_by(_COLUMNS.proposal_id)
    )
    return tuple(
        Rival(
            proposal_id=row.proposal_id,
            path=row.target_component,
            status=Status(row.status),
            proposed=row.proposed_value,
        )
        for row in rows
        if related(row.target_component, record.draft.target_component)
    )


def _moved_by(connection: Connection, record: ProposalRecord) -> str:
    later = strategies.versions(connection, record.draft.strategy_id, after=record.draft.base_version)
    shown = [f"version {v.version} by {v.created_by}, {v.action} of {v.change_id}" for v in later[-3:]]
    earlier = [] if len(later) <= len(shown) else [f"{len(later) - len(shown)} before"]
    return "; ".join([*earlier, *shown])
