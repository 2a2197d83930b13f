"""The policy as one JSON document: what executors read.

Belongs here: the fields, the digest, and the message that is signed. Does not belong here: reading one, which is the
client's business and needs nothing of this package.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from meta_pipeline.canonical import JsonValue, canonical_json, digest
from meta_pipeline.policy.evaluate import Evaluation
from meta_pipeline.policy.signing import Signer, signature_of

SCHEMA: Final = "meta-pipeline/policy/1"

SHORTEST_LIFE: Final = timedelta(hours=1)
"""The documented time to live in Redis."""

STALE_AFTER: Final = 1.5
EXPIRES_AFTER: Final = 2.0
"""In evaluation intervals: one that is missed makes the policy stale, two make it expire."""


@dataclass(frozen=True, kw_only=True)
class Issue:
    """What makes an evaluation a document.

    Parameters
    ----------
    scope
        The book it is for.
    epoch
        Names the sequence of versions: another one after the database was made anew.
    version
        Rises by one with every document of the epoch.
    issued_at
        UTC-aware.
    interval
        Time until the next evaluation is due.
    """

    scope: str
    epoch: str
    version: int
    issued_at: datetime
    interval: timedelta

    @property
    def stale_at(self) -> datetime:
        """From when on an executor holds the policy to NORMAL."""
        return self.issued_at + min(self.interval * STALE_AFTER, self.lifetime)

    @property
    def lifetime(self) -> timedelta:
        """How long the document lives."""
        return max(self.interval * EXPIRES_AFTER, SHORTEST_LIFE)

    @property
    def expires_at(self) -> datetime:
        """From when on an executor is DEFENSIVE."""
        return self.issued_at + self.lifetime


def policy_document(evaluation: Evaluation, issue: Issue, signer: Signer) -> dict[str, JsonValue]:
    """Make the signed document."""
    as_of = evaluation.health.oldest_input()
    halt = evaluation.halt
    content: dict[str, JsonValue] = {
        "schema": SCHEMA,
        "scope": issue.scope,
        "epoch": issue.epoch,
        "version": issue.version,
        "profile": str(evaluation.profile),
        "mode": str(evaluation.mode),
        "halt": {
            "active": halt is not None,
            "by": None if halt is None else halt.by,
            "reason": None if halt is None else halt.reason,
            "since": None if halt is None else _instant(halt.at),
        },
        "reduce_only": evaluation.reduce_only,
        "limits": {**evaluation.limits.to_json(), "max_expected_shortfall": evaluation.max_expected_shortfall},
        "allowed_strategies": list(evaluation.strategies),
        "allowed_symbols": None if evaluation.symbols is None else list(evaluation.symbols),
        "weights": dict(evaluation.weights),
        "inputs_as_of": None if as_of is None else _instant(as_of),
        "issued_at": _instant(issue.issued_at),
        "stale_at": _instant(issue.stale_at),
        "expires_at": _instant(issue.expires_at),
        "reasons": [reason.to_json() for reason in evaluation.reasons],
    }
    return signed(content, signer)


def signed(content: Mapping[str, JsonValue], signer: Signer) -> dict[str, JsonValue]:
    """Add digest and signature to the content of a document."""
    document: dict[str, JsonValue] = {**content, "digest": digest(dict(content))}
    return {**document, "signature": signature_of(signer, message_of(document))}


def message_of(document: Mapping[str, JsonValue]) -> bytes:
    """Return what is signed: the schema's name, so that no other text can pass for a policy, and the document."""
    content = {key: value for key, value in document.items() if key != "signature"}
    return SCHEMA.encode() + b"\x00" + canonical_json(content).encode()


def _instant(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds")
