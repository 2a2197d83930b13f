"""What is asked of the governance service, and what it answers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, TypeAlias

from meta_pipeline.canonical import JsonValue
from meta_pipeline.errors import MetaPipelineError
from meta_pipeline.proposals.checks import Check
from meta_pipeline.proposals.diff import ThreeWay, TouchedKey

Verdict: TypeAlias = Literal["approve", "reject"]
Channel: TypeAlias = Literal["gate", "cli", "api", "python"]


@dataclass(frozen=True, kw_only=True)
class Decision:
    """One decision about one proposal.

    Parameters
    ----------
    digest
        The body digest of what was looked at (64 hexadecimal digits). Another digest is no approval.
    reason
        Required for a rejection.
    signature
        The line that `meta-pipeline approve --sign` makes (proposals.signatures); None: unsigned.
    """

    proposal_id: str
    digest: str
    verdict: Verdict
    reason: str = ""
    signature: str | None = None


@dataclass(frozen=True, kw_only=True)
class DecisionResult:
    """What became of one decision.

    Parameters
    ----------
    outcome
        "already": the same person had decided the same before; nothing was written.
    status
        The proposal's status afterwards; None if there is no such proposal.
    message
        One sentence; for a refusal, that of the error.
    notes
        What the approver should know although it did not stop the decision: competing proposals, for instance.
    checks
        Every check with its result, as far as they were made.
    """

    proposal_id: str
    verdict: Verdict
    outcome: Literal["approved", "rejected", "already", "refused"]
    message: str
    status: str | None = None
    approval_id: int | None = None
    approval_expires_at: datetime | None = None
    notes: tuple[str, ...] = ()
    checks: tuple[Check, ...] = ()
    error: MetaPipelineError | None = None

    def to_json(self) -> dict[str, JsonValue]:
        """Return the result as a JSON object."""
        return {
            "proposal_id": self.proposal_id,
            "verdict": self.verdict,
            "outcome": self.outcome,
            "message": self.message,
            "status": self.status,
            "approval_expires_at": None if self.approval_expires_at is None else self.approval_expires_at.isoformat(),
            "notes": list(self.notes),
            "checks": [check.to_json() for check in self.checks],
            "code": None if self.error is None else self.error.code,
        }


@dataclass(frozen=True, kw_only=True)
class ApplyResult:
    """What became, or in a dry run would become, of one proposal.

    Parameters
    ----------
    change_id
        The change on record; None if there is none. In a dry run, the id it would have.
    touched
        Only the keys that differ, each with its direction of risk.
    before, after
        The effective configuration before and after.
    checks
        Every check with its result.
    superseded, made_stale
        Other open proposals that this change ends: on the same target, or made against the version it replaces.
    notes
        What else there is to know: a freeze that did not stop it, an anchor that could not be written.
    error
        Why it was refused.
    """

    proposal_id: str
    outcome: Literal["applied", "already_applied", "would_apply", "refused"]
    message: str
    strategy_id: str | None = None
    change_id: str | None = None
    base_version: int | None = None
    new_version: int | None = None
    risk_change: str | None = None
    touched: tuple[TouchedKey, ...] = ()
    before: Mapping[str, JsonValue] = field(default_factory=dict)
    after: Mapping[str, JsonValue] = field(default_factory=dict)
    checks: tuple[Check, ...] = ()
    superseded: tuple[str, ...] = ()
    made_stale: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    dry_run: bool = False
    error: MetaPipelineError | None = None

    def to_json(self) -> dict[str, JsonValue]:
        """Return the result as a JSON object."""
        return {
            "proposal_id": self.proposal_id,
            "outcome": self.outcome,
            "message": self.message,
            "strategy_id": self.strategy_id,
            "change_id": self.change_id,
            "base_version": self.base_version,
            "new_version": self.new_version,
            "risk_change": self.risk_change,
            "touched": [key.to_json() for key in self.touched],
            "effective_config": dict(self.after),
            "checks": [check.to_json() for check in self.checks],
            "superseded": list(self.superseded),
            "made_stale": list(self.made_stale),
            "notes": list(self.notes),
            "dry_run": self.dry_run,
            "code": None if self.error is None else self.error.code,
        }


@dataclass(frozen=True, kw_only=True)
class RevertResult:
    """What became, or in a dry run would become, of the revert of one change.

    Parameters
    ----------
    three_way
        For a refusal because the key was changed since: its value before the change, after it, and now.
    made_stale
        Open proposals that the revert ends, because the version they were made against is no longer live.
    """

    change_id: str
    outcome: Literal["reverted", "already_reverted", "would_revert", "refused"]
    message: str
    proposal_id: str | None = None
    strategy_id: str | None = None
    base_version: int | None = None
    new_version: int | None = None
    risk_change: str | None = None
    touched: tuple[TouchedKey, ...] = ()
    before: Mapping[str, JsonValue] = field(default_factory=dict)
    after: Mapping[str, JsonValue] = field(default_factory=dict)
    three_way: ThreeWay | None = None
    made_stale: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    dry_run: bool = False
    error: MetaPipelineError | None = None

    def to_json(self) -> dict[str, JsonValue]:
        """Return the result as a JSON object."""
        return {
            "change_id": self.change_id,
            "outcome": self.outcome,
            "message": self.message,
            "proposal_id": self.proposal_id,
            "strategy_id": self.strategy_id,
            "base_version": self.base_version,
            "new_version": self.new_version,
            "risk_change": self.risk_change,
            "touched": [key.to_json() for key in self.touched],
            "effective_config": dict(self.after),
            "three_way": None if self.three_way is None else self.three_way.text(),
            "made_stale": list(self.made_stale),
            "notes": list(self.notes),
            "dry_run": self.dry_run,
            "code": None if self.error is None else self.error.code,
        }
