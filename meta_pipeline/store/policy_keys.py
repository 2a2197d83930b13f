"""The keys that sign policies: files of their owner alone, one per key, in one folder.

Rotation: make a new key, give executors its public half, and retire the old one when all have it. The newest key that
is not retired signs; executors go on accepting the old one for as long as they list it.
"""

import json
import os
import secrets
from base64 import b64decode, b64encode
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from meta_pipeline.canonical import JsonValue
from meta_pipeline.errors import InputError, NotFound, Unhealthy
from meta_pipeline.policy.signing import Algorithm, Ed25519Signer, HmacSigner, Signer, Unsigned
from meta_pipeline.settings import Settings
from meta_pipeline.store.file_lock import FileLock

SECRET_BYTES: Final = 32
_LOCK_SECONDS: Final = 10.0


@dataclass(frozen=True, kw_only=True)
class SigningKey:
    """One key. Its text form and its JSON hold no secret.

    Parameters
    ----------
    secret
        The private key (Ed25519) or the shared secret (HMAC).
    public
        What executors verify Ed25519 signatures with; None for HMAC.
    """

    key_id: str
    algorithm: Algorithm
    secret: bytes
    public: bytes | None
    created_at: datetime
    retired_at: datetime | None = None

    def __repr__(self) -> str:
        return f"SigningKey({self.key_id}, {self.algorithm})"

    def to_json(self) -> dict[str, JsonValue]:
        """Return what may be shown."""
        return {
            "key_id": self.key_id,
            "algorithm": self.algorithm,
            "public": None if self.public is None else b64encode(self.public).decode("ascii"),
            "created_at": self.created_at.isoformat(),
            "retired_at": None if self.retired_at is None else self.retired_at.isoformat(),
        }

    def signer(self) -> Signer:
        """Return what signs with this key."""
        if self.algorithm == "ed25519":
            return Ed25519Signer(self.key_id, self.secret)
        return HmacSigner(self.key_id, self.secret)


def keys_folder(settings: Settings) -> Path:
    """Return the folder of the keys."""
    return settings.home / "policy-keys" if settings.policy_keys is None else settings.policy_keys


def signer_of(settings: Settings, *, now: datetime) -> Signer:
    """Return what signs policies by the settings; the first time, a key is made.

    Raises
    ------
    Unhealthy
        If a key cannot be read, or others than its owner may read it.
    InputError
        If Ed25519 is asked for and `cryptography` is not installed.
    """
    if settings.policy_signing == "unsigned":
        return Unsigned()
    folder = keys_folder(settings)
    usable = [key for key in list_keys(folder) if key.algorithm == settings.policy_signing and key.retired_at is None]
    if usable:
        return usable[-1].signer()
    with closing(_locked(folder)):
        # Another process may have been quicker.
        there = [
            key for key in list_keys(folder) if key.algorithm == settings.policy_signing and key.retired_at is None
        ]
        key = there[-1] if there else _make(folder, settings.policy_signing, now=now)
    return key.signer()


def list_keys(folder: Path) -> list[SigningKey]:
    """Return all keys, the oldest first.

    Raises
    ------
    Unhealthy
        If a key cannot be read, or others than its owner may read it.
    """
    if not folder.is_dir():
        return []
    keys = [_read(path) for path in folder.glob("*.json")]
    return sorted(keys, key=lambda key: (key.created_at, key.key_id))


def new_key(folder: Path, algorithm: Algorithm, *, now: datetime) -> SigningKey:
    """Make a key; from now on it signs.

    Raises
    ------
    InputError
        If the algorithm is none, or `cryptography` is not installed.
    """
    if algorithm not in ("ed25519", "hmac-sha256"):
        raise InputError(f"algorithm {algorithm!r} makes no key; choose ed25519 or hmac-sha256")
    with closing(_locked(folder)):
        return _make(folder, algorithm, now=now)


def retire_key(folder: Path, key_id: str, *, now: datetime) -> SigningKey:
    """Say that a key signs no more.

    Raises
    ------
    NotFound
        If there is no such key.
    InputError
        If it is the last of its kind: make another one first.
    """
    with closing(_locked(folder)):
        keys = list_keys(folder)
        found = [key for key in keys if key.key_id == key_id]
        if not found:
            raise NotFound(f"there is no key {key_id!r}; there are: {', '.join(key.key_id for key in keys) or 'none'}")
        key = found[0]
        others = [one for one in keys if one.algorithm == key.algorithm and one.retired_at is None and one != key]
        if not others:
            raise InputError(f"{key_id!r} is the only {key.algorithm} key that signs; make a new one first")
        retired = SigningKey(
            key_id=key.key_id,
            algorithm=key.algorithm,
            secret=key.secret,
            public=key.public,
            created_at=key.created_at,
            retired_at=key.retired_at or now,
        )
        _write(folder, retired)
        return retired


def _make(folder: Path, algorithm: Algorithm, *, now: datetime) -> SigningKey:
    secret = secrets.token_bytes(SECRET_BYTES)
    key_id = f"{now:%Y%m%d}-{secrets.token_hex(3)}"
    public = None
    if algorithm == "ed25519":
        try:
            public = Ed25519Signer(key_id, secret).public_key()
        except ImportError as error:
            raise InputError(
                "Ed25519 needs the package cryptography: pip install 'meta-pipeline[policy]', or set "
                "META_PIPELINE_POLICY_SIGNING=hmac-sha256"
            ) from error
    key = SigningKey(key_id=key_id, algorithm=algorithm, secret=secret, public=public, created_at=now)
    _write(folder, key)
    return key


def _locked(folder: Path) -> FileLock:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = FileLock(folder / ".lock")
    lock.acquire(seconds=_LOCK_SECONDS)
    return lock


def _write(folder: Path, key: SigningKey) -> None:
    body = {**key.to_json(), "secret": b64encode(key.secret).decode("ascii")}
    beside = folder / f".{key.key_id}.new"
    beside.unlink(missing_ok=True)
    # Its owner's alone from the first byte on.
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(json.dumps(body, indent=2) + "\n")
        file.flush()
        os.fsync(file.fileno())
    beside.replace(folder / f"{key.key_id}.json")


def _read(path: Path) -> SigningKey:
    if path.stat().st_mode & 0o077:
        raise Unhealthy(f"the signing key {path} can be read by others than its owner; run: chmod 600 {path}")
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
        return SigningKey(
            key_id=str(body["key_id"]),
            algorithm=body["algorithm"],
            secret=b64decode(body["secret"], validate=True),
            public=None if body["public"] is None else b64decode(body["public"], validate=True),
            created_at=datetime.fromisoformat(body["created_at"]),
            retired_at=None if body["retired_at"] is None else datetime.fromisoformat(body["retired_at"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise Unhealthy(
            f"the signing key {path} cannot be read ({type(error).__name__}); restore it, or remove it and make a new "
            "one: meta-pipeline policy keys new"
        ) from None
