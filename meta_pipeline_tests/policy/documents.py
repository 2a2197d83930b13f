"""Signed documents and a client with clocks of its own, for the tests of what executors read."""

from datetime import UTC, datetime, timedelta
from typing import Any

from meta_pipeline.canonical import canonical_json
from meta_pipeline.policy.client import MODE_LIMITS, HardCaps, HmacVerifier, PolicyClient
from meta_pipeline.policy.document import signed
from meta_pipeline.policy.signing import HmacSigner, Signer

SECRET = b"a secret of thirty-two bytes....."
SIGNER = HmacSigner("k1", SECRET)
VERIFIER = HmacVerifier({"k1": SECRET})
T0 = datetime(2026, 11, 20, 12, tzinfo=UTC)
STALE, EXPIRY = 45 * 60.0, 60 * 60.0
DWELL = 60.0


def document(
    version: int = 1, mode: str = "NORMAL", *, signer: Signer = SIGNER, at: float = 0.0, **changes: Any
) -> str:
    """Return a signed document, issued so many seconds after T0."""
    issued = T0 + timedelta(seconds=at)
    known = MODE_LIMITS.get(mode, MODE_LIMITS["NORMAL"])
    content: dict[str, Any] = {
        "schema": "meta-pipeline/policy/1",
        "scope": "live",
        "epoch": "e" * 32,
        "version": version,
        "profile": "default",
        "mode": mode,
        "halt": {"active": False, "by": None, "reason": None, "since": None},
        "reduce_only": False,
        "limits": dict(known),
        "allowed_strategies": ["A", "B"],
        "allowed_symbols": ["X", "Y"],
        "weights": {"A": 0.5, "B": 0.25},
        "inputs_as_of": T0.isoformat(),
        "issued_at": issued.isoformat(),
        "stale_at": (issued + timedelta(seconds=STALE)).isoformat(),
        "expires_at": (issued + timedelta(seconds=EXPIRY)).isoformat(),
        "reasons": [{"code": "a", "text": "b"}],
        **changes,
    }
    return canonical_json(signed(content, signer))


class World:
    """A client, a source that can be changed, and two clocks that only the test moves."""

    def __init__(self, offered: Any = None, **options: Any) -> None:
        self.offered = offered
        self.wall, self.elapsed = T0.timestamp(), 1000.0
        given: dict[str, Any] = {
            "executor_id": "bot",
            "scope": "live",
            "sources": [self.read],
            "verifier": VERIFIER,
            "loosen_after_seconds": DWELL,
            **options,
        }
        self.client = PolicyClient(clock=lambda: self.wall, monotonic=lambda: self.elapsed, **given)

    def read(self) -> Any:
        """Give what is offered; raise it if it is an error."""
        if isinstance(self.offered, Exception):
            raise self.offered
        return self.offered

    def after(self, seconds: float, *, wall: float | None = None) -> "World":
        """Let time pass, on both clocks, or by another amount on the wall."""
        self.elapsed += seconds
        self.wall += seconds if wall is None else wall
        return self

    def given(self, offered: Any) -> "World":
        """Offer something else, and refresh."""
        self.offered = offered
        self.client.refresh()
        return self

    def settled(self, offered: Any) -> "World":
        """Offer something and let it stand for longer than the dwell."""
        self.given(offered).after(DWELL)
        self.client.refresh()
        return self

    def state(self) -> tuple[str, bool, tuple[str, ...]]:
        """What is decided: mode, whether only exits are allowed, and why."""
        decision = self.client.current()
        return decision.mode, decision.reduce_only, decision.reasons


CAPS = HardCaps(max_positions=3, mode="NORMAL", strategies=("A",))
