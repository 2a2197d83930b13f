"""A proposal before it is stored, and as it is stored."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from meta_pipeline.canonical import ABSENT, JsonValue, Level, canonical_json
from meta_pipeline.errors import InputError
from meta_pipeline.proposals.configs import related
from meta_pipeline.proposals.identity import ActorKind, check_text, clean_name, is_machine
from meta_pipeline.proposals.outcome_rule import rule_of
from meta_pipeline.proposals.states import Status

RISK_CHANGES: Final = frozenset({"raises", "reduces", "neutral", "unknown"})
GRADES: Final = frozenset({"A", "B", "C", "D"})

_NUMBERS: Final = (
    *("expected_sharpe_improvement", "expected_return_improvement", "expected_risk_reduction"),
    *("confidence_score", "legacy_confidence"),
)
_TEXTS: Final = {"strategy_id": 64, "proposal_type": 64, "target_component": 256, "rationale": 20_000}


@dataclass(frozen=True, kw_only=True)
class ProposalDraft:
    """One change of one knob, as its author proposes it.

    Parameters
    ----------
    target_component
        The knob's path.
    current, proposed
        What the knob is in the configuration the proposal was made against, and what it shall become.
        ABSENT: the key is not there.
    base_version
        That configuration's version.
    expected_sharpe_improvement
        Claimed change of the annualised Sharpe ratio; positive is better. None: nothing is claimed.
    expected_return_improvement
        Claimed change of the annualised mean return, as a fraction.
    expected_risk_reduction
        Claimed fall of annualised volatility, as a fraction; negative when risk rises.
    confidence_score
        Calibrated probability that the realised effect is positive, 0 to 1.
    legacy_confidence
        The predecessor's score, for comparison only.
    supporting_metrics
        The evidence, a JSON object. It is part of what an approval names.
    evidence_digest
        sha256 (64 hexadecimal digits) of the evidence the proposal rests on; part of its id.
    risk_change
        "raises", "reduces", "neutral" or "unknown", as the knob declares.
    author, author_kind
        Who proposes. A name reserved for machines is never human.
    outcome_rule
        How the change will be judged, as `proposals.outcome_rule` writes it; part of what an approval names. None: a
        proposal from before there were such rules; its change can never be judged.
    report_sha256
        sha256 of the report that an approver reads, written when the proposal is saved; part of what an approval
        names. None: no report was written.
    """

    strategy_id: str
    proposal_type: str
    target_component: str
    current: Level
    proposed: Level
    base_version: int
    rationale: str
    supporting_metrics: Mapping[str, JsonValue]
    evidence_digest: str
    risk_change: str
    author: str
    author_kind: ActorKind
    expected_sharpe_improvement: float | None = None
    expected_return_improvement: float | None = None
    expected_risk_reduction: float | None = None
    confidence_score: float | None = None
    legacy_confidence: float | None = None
    grade: str | None = None
    candidate_id: str | None = None
    market_id: str | None = None
    outcome_rule: Mapping[str, JsonValue] | None = None
    report_sha256: str | None = None

    def check(self) -> None:
        """Check that the draft can be stored. Not done on construction: what is stored must be readable, come what may.

        Raises
        ------
        InputError
            If a number is not finite, or a text is empty, too long, or cannot be stored.
        """
        for name, longest in _TEXTS.items():
            text = getattr(self, name)
            if not text.strip():
                raise InputError(f"a proposal's {name} is {text!r}; it must not be empty")
            check_text(text, what=f"a proposal's {name}", longest=longest)
        for name in _NUMBERS:
            self._check_number(name, getattr(self, name))
        if self.confidence_score is not None and not 0 <= self.confidence_score <= 1:
            raise InputError(f"a proposal's confidence_score is {self.confidence_score!r}; it must be 0 to 1")
        for name, value, allowed in (
            ("risk_change", self.risk_change, RISK_CHANGES),
            ("grade", self.grade, GRADES | {None}),
            ("author_kind", self.author_kind, {"machine", "human"}),
        ):
            if value not in allowed:
                raise InputError(f"a proposal's {name} is {value!r}; it must be one of {sorted(map(str, allowed))}")
        self._check_author()
        self._check_evidence()

    def _check_number(self, name: str, number: object) -> None:
        if number is None:
            return
        if isinstance(number, bool) or not isinstance(number, int | float) or not math.isfinite(number):
            raise InputError(f"a proposal's {name} is {number!r}; give a finite number, or None if it is not known")

    def _check_author(self) -> None:
        if clean_name(self.author) != self.author:
            raise InputError(f"a proposal's author is {self.author!r}; give the name as {clean_name(self.author)!r}")
        if self.author_kind == "human" and is_machine(self.author):
            raise InputError(
                f"{self.author!r} is a name reserved for machines, so the author is not human; "
                "propose under your own name (META_PIPELINE_ACTOR)"
            )

    def _check_evidence(self) -> None:
        _check_sha256("evidence_digest", self.evidence_digest)
        if self.report_sha256 is not None:
            _check_sha256("report_sha256", self.report_sha256)
        if self.market_id is not None:
            check_text(self.market_id, what="a proposal's market_id", longest=32)
        for name, level in (("current", self.current), ("proposed", self.proposed)):
            _check_json(f"{self.target_component} ({name})", level)
        _check_json("supporting_metrics", dict(self.supporting_metrics))
        if self.outcome_rule is not None:
            rule_of(self.outcome_rule)


@dataclass(frozen=True, kw_only=True)
class ProposalRecord:
    """A proposal as it is stored.

    Parameters
    ----------
    body, body_digest
        The canonical JSON that was hashed, and its sha256: what an approval names.
    status_reason
        Why it ended as it did, or who approved it and why.
    editor_keys
        Keys of the names of all who edited it. They can never approve it, and neither can its author.
    """

    proposal_id: str
    draft: ProposalDraft
    body: str
    body_digest: str
    status: Status
    created_at: datetime
    expires_at: datetime
    status_reason: str | None = None
    approved_by: str | None = None
    approved_at: datetime | None = None
    approval_expires_at: datetime | None = None
    applied_at: datetime | None = None
    reverted_at: datetime | None = None
    editor_keys: frozenset[str] = field(default_factory=frozenset)


@dataclass(frozen=True, kw_only=True)
class Approval:
    """An approval on record: who approved which content, until when it holds, and the line it was signed with."""

    approval_id: int
    proposal_id: str
    body_digest: str
    approver: str
    approver_key: str
    reason: str
    channel: str
    channel_ref: str
    decided_at: datetime
    expires_at: datetime
    signature: str | None = None


def compatible(one: ProposalDraft, other: ProposalDraft) -> bool:
    """Say whether two changes can be applied together: one strategy, version and evidence, and different keys.

    They are then judged together, so one rule has to be fixed for the outcome of both.
    """
    same = (one.strategy_id, one.base_version, one.evidence_digest, one.outcome_rule) == (
        other.strategy_id,
        other.base_version,
        other.evidence_digest,
        other.outcome_rule,
    )
    return same and not related(one.target_component, other.target_component)


def _check_sha256(what: str, text: str) -> None:
    if len(text) != 64 or not set(text) <= set("0123456789abcdef"):
        raise InputError(f"{what} is {text!r}; it must be a sha256 in 64 hexadecimal digits")


def _check_json(what: str, level: Level) -> None:
    if level is ABSENT:
        return
    try:
        canonical_json(level)
    except (TypeError, ValueError) as error:
        raise InputError(f"{what} cannot be written as JSON: {error}") from error
