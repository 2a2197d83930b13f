"""What the checks look at, and what one of them answers. Records only; the checks themselves are in `checks`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal, TypeAlias

from meta_pipeline.canonical import JsonValue, Level
from meta_pipeline.errors import MetaPipelineError
from meta_pipeline.proposals.draft import Approval, ProposalRecord
from meta_pipeline.proposals.knobs import Knob
from meta_pipeline.proposals.states import Status

ReportState: TypeAlias = Literal["unread", "none", "whole", "missing", "altered"]
"""What became of a report's file: not looked for; the proposal has none; as it was written; not here; another."""


@dataclass(frozen=True, kw_only=True)
class Check:
    """One check of one proposal, with its result in a sentence.

    Parameters
    ----------
    error
        What a failure is raised as; None if it passed.
    becomes
        The status that the proposal takes when this check fails; None: it stays as it is.
    """

    name: str
    passed: bool
    text: str
    error: type[MetaPipelineError] | None = None
    becomes: Status | None = None

    def to_json(self) -> dict[str, JsonValue]:
        """Return the check as a JSON object."""
        return {
            "name": self.name,
            "passed": self.passed,
            "text": self.text,
            "code": None if self.error is None else self.error.code,
        }


@dataclass(frozen=True, kw_only=True)
class Rival:
    """Another open proposal whose change touches the same target."""

    proposal_id: str
    path: str
    status: Status
    proposed: Level


@dataclass(frozen=True, kw_only=True)
class Budget:
    """How many changes a strategy may have in a window of time, and how many it has had.

    Parameters
    ----------
    limit
        The most there may be.
    window
        The time looked back on.
    spent
        Changes applied within it, those reverted since included.
    """

    limit: int
    window: timedelta
    spent: int = 0


@dataclass(frozen=True, kw_only=True)
class Situation:
    """All that the checks look at, read in one transaction.

    Parameters
    ----------
    live_version, live
        The strategy's live configuration; None if it has none.
    live_as_hashed
        Whether it still is what was hashed when it went live.
    moved_by
        What moved the configuration since the proposal's base, in words; empty if nothing did.
    approver
        Who decides (approve) or has decided (apply); None if nobody has.
    approver_active
        Whether that person is an active approver now.
    approval
        The approval on record, for apply.
    rivals
        Other open proposals on the same target, nested paths included.
    decision
        What is decided, or was.
    signature
        The line that goes with the decision (approve), or is on record (apply); None: unsigned.
    keys
        The keys of the approver that are registered and not revoked now: id -> 32 bytes.
    require_signed
        Whether an approval takes a signature.
    freezes
        What freezes applies at the time, in words: windows, and the kill file.
    budget
        The strategy's budget of changes; None: it is not known, which is no budget at all.
    tier
        Who may let the knob move: "blocked" (nobody), "human" (one approver), "four_eyes" (an approver, and another
        person who applies) or "automatic" (as "human", and the machine within its policy).
    applier
        Who applies; None while it is only being decided.
    report
        Whether the report that the proposal names lies, as it was written, in this machine's home folder.
    """

    record: ProposalRecord
    now: datetime
    live_version: int | None
    live: Mapping[str, JsonValue] | None
    knobs: Mapping[str, Knob]
    moved_by: str = ""
    approver: str | None = None
    approver_active: bool = False
    approval: Approval | None = None
    rivals: tuple[Rival, ...] = ()
    decision: str = "approve"
    signature: str | None = None
    keys: Mapping[str, bytes] = field(default_factory=dict)
    require_signed: bool = False
    freezes: tuple[str, ...] = ()
    budget: Budget | None = None
    tier: str = "human"
    applier: str | None = None
    report: ReportState = "unread"
    live_as_hashed: bool = True

    @property
    def knob(self) -> Knob | None:
        """The declaration of the target, if there still is one."""
        return self.knobs.get(self.record.draft.target_component)

    @property
    def notes(self) -> tuple[str, ...]:
        """What stops nothing, and should be known to whoever decides or applies."""
        if self.report != "missing":
            return ()
        sha256 = self.record.draft.report_sha256 or ""
        text = (
            f"the report {sha256[:12]}... that proposal {self.record.proposal_id} names is not in this machine's home "
            "folder, so that nobody can read it here; put it back, or set META_PIPELINE_HOME to where it is"
        )
        return (text,)

    @property
    def facts(self) -> dict[str, JsonValue]:
        """The same for the audit log."""
        return {"report": self.report} if self.report == "missing" else {}


Checker: TypeAlias = Callable[[Situation], Check]
