"""Signatures of the policy document: Ed25519, HMAC-SHA256, or, by explicit choice, none.

Belongs here: what is signed, signers, and the verifier that needs `cryptography`. Does not belong here: where keys are
kept (store), and the client, which verifies HMAC with the standard library alone. Copy this file beside the client
where executors verify Ed25519; of this package it imports nothing.
"""

import hashlib
import hmac
from base64 import b64encode
from collections.abc import Mapping
from typing import Any, Final, Literal, Protocol

Algorithm = Literal["ed25519", "hmac-sha256", "unsigned"]

SHORTEST_SECRET: Final = 16
ED25519_BYTES: Final = 32


class Signer(Protocol):
    """Signs messages with one key."""

    algorithm: Algorithm
    key_id: str

    def sign(self, message: bytes) -> bytes:
        """Return the signature of a message."""


class Ed25519Signer:
    """Signs with a private Ed25519 key: whoever can verify cannot sign.

    Raises
    ------
    ValueError
        If the key is not 32 bytes.
    """

    algorithm: Algorithm = "ed25519"

    def __init__(self, key_id: str, private_key: bytes) -> None:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        if len(private_key) != ED25519_BYTES:
            raise ValueError(f"the private key {key_id!r} has {len(private_key)} bytes; Ed25519 takes {ED25519_BYTES}")
        self.key_id = key_id
        self._key = Ed25519PrivateKey.from_private_bytes(private_key)

    def sign(self, message: bytes) -> bytes:
        """Return the signature of a message, 64 bytes."""
        return self._key.sign(message)

    def public_key(self) -> bytes:
        """Return what executors verify with, 32 bytes."""
        return self._key.public_key().public_bytes_raw()


class HmacSigner:
    """Signs with a shared secret: whoever can verify can also sign. The standard library suffices.

    Raises
    ------
    ValueError
        If the secret is shorter than 16 bytes.
    """

    algorithm: Algorithm = "hmac-sha256"

    def __init__(self, key_id: str, secret: bytes) -> None:
        if len(secret) < SHORTEST_SECRET:
            raise ValueError(f"the secret {key_id!r} has {len(secret)} bytes; at least {SHORTEST_SECRET} are needed")
        self.key_id = key_id
        self._secret = secret

    def sign(self, message: bytes) -> bytes:
        """Return the signature of a message, 32 bytes."""
        return hmac.new(self._secret, message, hashlib.sha256).digest()


class Unsigned:
    """Signs nothing, and says so. Executors must have chosen to accept it."""

    algorithm: Algorithm = "unsigned"
    key_id: str = ""

    def sign(self, message: bytes) -> bytes:  # noqa: ARG002 -- the protocol's signature
        """Return no bytes."""
        return b""


class Ed25519Verifier:
    """Verifies Ed25519 signatures.

    Parameters
    ----------
    public_keys
        Key id -> public key, 32 bytes. Several, so that an old and a new one can both be good for a while.

    Raises
    ------
    ValueError
        If a key is not 32 bytes.
    """

    def __init__(self, public_keys: Mapping[str, bytes]) -> None:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        wrong = [key_id for key_id, key in public_keys.items() if len(key) != ED25519_BYTES]
        if wrong:
            raise ValueError(f"the public key {wrong[0]!r} is not {ED25519_BYTES} bytes long")
        self._keys = {key_id: Ed25519PublicKey.from_public_bytes(key) for key_id, key in public_keys.items()}

    def __call__(self, algorithm: str, key_id: str, message: bytes, signature: bytes) -> bool:
        """Say whether the signature is good."""
        from cryptography.exceptions import InvalidSignature

        key = self._keys.get(key_id)
        if algorithm != "ed25519" or key is None:
            return False
        try:
            key.verify(signature, message)
        except InvalidSignature:
            return False
        return True


def signature_of(signer: Signer, message: bytes) -> dict[str, Any]:
    """Sign a message; return the document's field `signature`."""
    value = b64encode(signer.sign(message)).decode("ascii")
    return {"algorithm": signer.algorithm, "key_id": signer.key_id, "value": value}
