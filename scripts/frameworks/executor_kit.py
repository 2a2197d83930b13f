"""What the checks inside real frameworks share: the client and an adapter, copied away, and documents to read.

Nothing of meta_pipeline is installed where these checks run: its files are copied into a folder, and imported from it.
"""

import hashlib
import hmac
import importlib
import json
import shutil
import sys
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

POLICY = Path(__file__).resolve().parents[2] / "meta_pipeline" / "policy"
SECRET = b"a secret of thirty-two bytes....."
KEY = "check"
LIFE, DWELL = 600.0, 10.0


def copied(folder: str, *names: str) -> list[Any]:
    """Copy files of the policy into a folder, and import them from there alone."""
    for name in names:
        shutil.copy(POLICY / f"{name}.py", folder)
    sys.path.insert(0, folder)
    return [importlib.import_module(name) for name in names]


def document(client: Any, version: int, at: float, mode: str = "NORMAL", **changes: Any) -> str:
    """Return a signed document that is issued at this moment, in seconds since 1970, and lives for ten minutes."""
    issued = datetime.fromtimestamp(at, UTC)
    body: dict[str, Any] = {
        "schema": client.SCHEMA,
        "scope": "live",
        "epoch": "e" * 32,
        "version": version,
        "mode": mode,
        "halt": {"active": False, "by": None, "reason": None, "since": None},
        "reduce_only": False,
        "limits": dict(client.MODE_LIMITS[mode]),
        "allowed_strategies": ["TREND"],
        "allowed_symbols": None,
        "weights": {"TREND": 1.0},
        "issued_at": issued.isoformat(),
        "stale_at": (issued + timedelta(seconds=LIFE)).isoformat(),
        "expires_at": (issued + timedelta(seconds=LIFE)).isoformat(),
        "reasons": [],
        **changes,
    }
    body["digest"] = hashlib.sha256(client.canonical(body).encode()).hexdigest()
    message = client.SCHEMA.encode() + b"\x00" + client.canonical(body).encode()
    value = b64encode(hmac.new(SECRET, message, hashlib.sha256).digest()).decode()
    body["signature"] = {"algorithm": "hmac-sha256", "key_id": KEY, "value": value}
    return json.dumps(body)


def halted(client: Any, version: int, at: float) -> str:
    """Return a document of a book that a person halted."""
    halt = {"active": True, "by": "rita", "reason": "check", "since": None}
    return document(client, version, at, "DEFENSIVE", reduce_only=True, halt=halt, allowed_strategies=[], weights={})


class Checks:
    """Collects what held and what did not."""

    def __init__(self) -> None:
        self.failed = 0

    def that(self, held: bool, text: str) -> None:
        """Note one finding and print it."""
        self.failed += not held
        sys.stdout.write(f"{'ok  ' if held else 'FAIL'} {text}\n")

    def end(self) -> None:
        """Leave with 1 if anything failed."""
        sys.exit(1 if self.failed else 0)
