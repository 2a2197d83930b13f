"""What must hold of the governed tables at any time, whatever happened and in which order."""

from collections import Counter

from sqlalchemy import select

from meta_pipeline.canonical import canonical_json, digest, level_key
from meta_pipeline.proposals.configs import KeyChange, related, replay
from meta_pipeline.proposals.digests import tampering
from meta_pipeline.proposals.draft import ProposalRecord
from meta_pipeline.proposals.identity import is_machine, name_key
from meta_pipeline.proposals.states import Status
from meta_pipeline.store import audit, changes, proposals, strategies
from meta_pipeline.store.changes import ChangeRecord
from meta_pipeline.store.database import Database
from meta_pipeline.store.schema import approvals


def check_invariants(database: Database) -> None:
    """Assert all of them."""
    with database.connect() as connection:
        audit.verify(connection)
        entries = audit.entries(connection, limit=1_000_000)
        records = {record.proposal_id: record for record in proposals.list_proposals(connection)}
        applied = {change.proposal_id: change for change in changes.list_changes(connection)}
        decisions = connection.execute(select(approvals)).all()
        for strategy in strategies.list_strategies(connection):
            versions = strategies.versions(connection, strategy.strategy.strategy_id)
            _check_versions(versions, strategy.live_version, list(applied.values()))
    _check_records(records, applied)
    approved = {(row.proposal_id, row.body_digest, row.approver_key) for row in decisions if row.decision == "approve"}
    for change in applied.values():
        _check_four_eyes(records[change.proposal_id], approved)
    counted = Counter(entry.action for entry in entries)
    assert counted["change.apply"] == len(applied)
    assert counted["change.revert"] == sum(change.is_reverted for change in applied.values())
    assert counted["proposal.approve"] == sum(row.decision == "approve" for row in decisions)
    assert counted["proposal.reject"] == sum(row.decision == "reject" for row in decisions)
    assert counted["proposal.create"] == len(records)


def _check_versions(versions: list[strategies.LiveConfig], live: int, all_changes: list[ChangeRecord]) -> None:
    strategy_id = versions[0].strategy_id
    assert [version.version for version in versions] == list(range(1, live + 1))
    assert all(version.digest == digest(dict(version.config)) for version in versions)
    own = sorted((c for c in all_changes if c.strategy_id == strategy_id), key=lambda c: c.new_version)
    for version in versions:
        in_force = [
            KeyChange(path=change.target_component, level=change.new_value)
            for change in own
            if change.new_version <= version.version
            and not (change.revert_version is not None and change.revert_version <= version.version)
        ]
        expected = replay(versions[0].config, in_force)
        assert canonical_json(dict(version.config)) == canonical_json(expected)
    made = [change.new_version for change in own]
    undone = [change.revert_version for change in own if change.revert_version is not None]
    assert sorted([1, *made, *undone]) == list(range(1, live + 1))


def _check_records(records: dict[str, ProposalRecord], applied: dict[str, ChangeRecord]) -> None:
    for record in records.values():
        change = applied.get(record.proposal_id)
        assert tampering(record) is None
        assert (record.status in {Status.APPLIED, Status.KEPT}) == (change is not None and not change.is_reverted)
        assert (record.status is Status.REVERTED) == (change is not None and change.is_reverted)
        if change is not None:
            assert level_key(change.previous_value) == level_key(record.draft.current)
            assert level_key(change.new_value) == level_key(record.draft.proposed)
            assert record.applied_at == change.applied_at
            assert record.reverted_at == change.reverted_at
    waiting = [record for record in records.values() if record.status is Status.APPROVED]
    for record in waiting:
        for other in waiting:
            if other is not record and other.draft.strategy_id == record.draft.strategy_id:
                assert not related(other.draft.target_component, record.draft.target_component)


def _check_four_eyes(record: ProposalRecord, approved: set[tuple[str, str, str]]) -> None:
    keys = {key for identity, body, key in approved if (identity, body) == (record.proposal_id, record.body_digest)}
    assert keys
    assert not keys & {name_key(record.draft.author), *record.editor_keys}
    assert not any(is_machine(key) for key in keys)
