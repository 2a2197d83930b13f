"""Signatures of decisions: what is signed, how a signature is written, and whether it is good.

Belongs here: the message and its text form. Does not belong here: where keys are kept (store.approver_keys), whether
one is needed (checks). Ed25519 needs the package `cryptography`.

A signature travels as one line, `ed25519.KEY.EXPIRY.VALUE`: the id of the key, until when the approval may be applied
(UTC, seconds), and 64 bytes in base64url.
"""

import hashlib
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from meta_pipeline.canonical import JsonValue, canonical_json
from meta_pipeline.errors import InputError
from meta_pipeline.policy.signing import ED25519_BYTES, Ed25519Signer, Ed25519Verifier
from meta_pipeline.proposals.identity import name_key

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

PURPOSE: Final = "meta_pipeline decision"
"""Part of what is signed, so that a signature made for another purpose is none here."""

KEY_ID_DIGITS: Final = 32
LONGEST: Final = 256
_MOMENT: Final = "%Y%m%dT%H%M%SZ"
_FORM: Final = re.compile(r"ed25519\.([0-9a-f]{32})\.(\d{8}T\d{6}Z)\.([A-Za-z0-9_-]{86})")
_MISSING: Final = "signatures need the package cryptography: pip install 'meta-pipeline[policy]'"


@dataclass(frozen=True, kw_only=True)
class Signature:
    """A signature as it is read from its line.

    Parameters
    ----------
    expires_at
        Until when the approval may be applied, UTC; part of what is signed.
    """

    key_id: str
    expires_at: datetime
    value: bytes

    def text(self) -> str:
        """Return the line."""
        value = urlsafe_b64encode(self.value).decode("ascii").rstrip("=")
        return f"ed25519.{self.key_id}.{self.expires_at:{_MOMENT}}.{value}"


@dataclass(frozen=True, kw_only=True)
class Message:
    """What is signed: which decision, on which content of which proposal, by whom, until when."""

    proposal_id: str
    body_digest: str
    decision: str
    approver: str
    expires_at: datetime

    def encoded(self) -> bytes:
        """Return the bytes that are signed: canonical JSON."""
        signed: dict[str, JsonValue] = {
            "format": 1,
            "purpose": PURPOSE,
            "proposal_id": self.proposal_id,
            "body_digest": self.body_digest,
            "decision": self.decision,
            "approver": name_key(self.approver),
            "expires_at": f"{self.expires_at.astimezone(UTC):{_MOMENT}}",
        }
        return canonical_json(signed).encode("utf-8")


def read_signature(text: str) -> Signature:
    """Read a signature's line.

    Raises
    ------
    InputError
        If it is none.
    """
    found = _FORM.fullmatch(text.strip()) if len(text) <= LONGEST else None
    if found is None:
        raise InputError(
            f"{text[:40]!a}... is no signature; one looks like ed25519.KEY.EXPIRY.VALUE and is made with: "
            "meta-pipeline approve ID --sign KEYFILE --sign-only"
        )
    key_id, moment, value = found.groups()
    try:
        expires_at = datetime.strptime(moment, _MOMENT).replace(tzinfo=UTC)
    except ValueError as error:
        raise InputError(f"the signature names the expiry {moment!r}, which is no time") from error
    return Signature(key_id=key_id, expires_at=expires_at, value=urlsafe_b64decode(value + "=="))


def sign(private_key: bytes, message: Message) -> Signature:
    """Sign a message with a private key of 32 bytes."""
    try:
        signer = Ed25519Signer("", private_key)
    except ImportError as error:
        raise InputError(_MISSING) from error
    return Signature(
        key_id=key_id_of(signer.public_key()), expires_at=message.expires_at, value=signer.sign(message.encoded())
    )


def is_good(signature: Signature, message: Message, *, public_key: bytes) -> bool:
    """Say whether a signature is that of a message by a key."""
    try:
        verify = Ed25519Verifier({signature.key_id: public_key})
    except ImportError as error:
        raise InputError(_MISSING) from error
    return key_id_of(public_key) == signature.key_id and verify(
        "ed25519", signature.key_id, message.encoded(), signature.value
    )


def key_id_of(public_key: bytes) -> str:
    """Return the id of a public key: the start of its sha256."""
    return hashlib.sha256(public_key).hexdigest()[:KEY_ID_DIGITS]


def new_private_key(secret: bytes, *, passphrase: str | None = None) -> tuple[str, str]:
    """Write a new key as its owner keeps it (PKCS #8, PEM) and as others get it (OpenSSH, one line).

    Parameters
    ----------
    secret
        32 random bytes.
    passphrase
        Encrypts the private half.
    """
    try:
        from cryptography.hazmat.primitives import serialization as s
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    except ImportError as error:
        raise InputError(_MISSING) from error
    key = Ed25519PrivateKey.from_private_bytes(secret)
    locked = s.NoEncryption() if passphrase is None else s.BestAvailableEncryption(passphrase.encode("utf-8"))
    private = key.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, locked).decode("ascii")
    public = key.public_key().public_bytes(s.Encoding.OpenSSH, s.PublicFormat.OpenSSH).decode("ascii")
    return private, public


def read_private_key(file: Path, *, passphrase: str | None = None) -> bytes:
    """Read a private Ed25519 key (PEM or OpenSSH) that only its owner may read; return its 32 bytes.

    Raises
    ------
    InputError
        If it cannot be read, is another kind of key, is locked by another passphrase, or others may read it.
    """
    try:
        mode, text = file.stat().st_mode, file.read_bytes()
    except OSError as error:
        raise InputError(f"the key {file} cannot be read: {error.strerror or error}") from error
    if mode & 0o077:
        raise InputError(f"the key {file} can be read by others than its owner; run: chmod 600 {file}")
    return _private(text, file, passphrase).private_bytes_raw()


def is_locked(file: Path) -> bool:
    """Say whether a key file asks for a passphrase."""
    try:
        text = file.read_bytes()
    except OSError:
        return False
    return b"ENCRYPTED" in text or (b"OPENSSH" in text and not _opens(text, file))


def read_public_key(text: str) -> bytes:
    """Read a public Ed25519 key, as OpenSSH writes it in one line or as PEM; return its 32 bytes.

    Raises
    ------
    InputError
        If it is none, or the private half: that one is nobody's but its owner's.
    """
    if "PRIVATE KEY" in text:
        raise InputError("this is a private key; it stays with its owner. Register the public half (the file .pub)")
    try:
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives import serialization as s
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    except ImportError as error:
        raise InputError(_MISSING) from error
    data = text.strip().encode("utf-8", "replace")
    try:
        key = s.load_ssh_public_key(data) if data.startswith(b"ssh-") else s.load_pem_public_key(data)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise InputError(f"{text.strip()[:40]!a}... is no public key; give the line ssh-ed25519 ... or PEM") from error
    if not isinstance(key, Ed25519PublicKey):
        raise InputError(f"the key is of the kind {type(key).__name__}; only Ed25519 signs here")
    raw = key.public_bytes_raw()
    assert len(raw) == ED25519_BYTES
    return raw


def _opens(text: bytes, file: Path) -> bool:
    try:
        _private(text, file, None)
    except InputError:
        return False
    return True


def _private(text: bytes, file: Path, passphrase: str | None) -> "Ed25519PrivateKey":
    try:
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives import serialization as s
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    except ImportError as error:
        raise InputError(_MISSING) from error
    password = None if passphrase is None else passphrase.encode("utf-8")
    load = s.load_ssh_private_key if b"OPENSSH" in text else s.load_pem_private_key
    try:
        key = load(text, password)
    except (TypeError, ValueError, UnsupportedAlgorithm) as error:
        raise InputError(f"the key {file} cannot be read; is it Ed25519 in PEM, and the passphrase right?") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise InputError(f"the key {file} is of the kind {type(key).__name__}; only Ed25519 signs here")
    return key
