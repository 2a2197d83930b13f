"""Signatures of decisions: good for one message by one key, and for nothing else."""

import subprocess
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from meta_pipeline.errors import InputError
from meta_pipeline.proposals.signatures import (
    Message,
    is_good,
    is_locked,
    key_id_of,
    new_private_key,
    read_private_key,
    read_public_key,
    read_signature,
    sign,
)

SECRET, OTHER = bytes(range(32)), bytes(32)
ENDS = datetime(2026, 11, 23, 12, tzinfo=UTC)
MESSAGE = Message(proposal_id="prop-1", body_digest="a" * 64, decision="approve", approver="Bob Ray", expires_at=ENDS)


def public_of(secret: bytes) -> bytes:
    return read_public_key(new_private_key(secret)[1])


def test_a_signature_is_good_for_its_message_and_key_and_for_no_other() -> None:
    line = sign(SECRET, MESSAGE).text()
    signature = read_signature(f"  {line}\n")
    assert signature.text() == line
    assert is_good(signature, MESSAGE, public_key=public_of(SECRET))
    assert is_good(signature, replace(MESSAGE, approver=" BOB  ray"), public_key=public_of(SECRET))
    assert not is_good(signature, MESSAGE, public_key=public_of(OTHER))
    for other in (
        replace(MESSAGE, proposal_id="prop-2"),
        replace(MESSAGE, body_digest="b" * 64),
        replace(MESSAGE, decision="reject"),
        replace(MESSAGE, approver="Rob Ray"),
        replace(MESSAGE, expires_at=ENDS.replace(second=1)),
    ):
        assert not is_good(signature, other, public_key=public_of(SECRET))
    assert not is_good(replace(signature, value=bytes(64)), MESSAGE, public_key=public_of(SECRET))
    # A key of another person under the id of this one.
    assert not is_good(sign(OTHER, MESSAGE), MESSAGE, public_key=public_of(SECRET))


@pytest.mark.parametrize(
    "line",
    [
        "",
        "ed25519",
        "ed25519." + "a" * 32 + ".20261399T000000Z." + "A" * 86,
        "hmac.x.y.z",
        "x" * 10_000,
        "\ud800",
        "\x00",
    ],
)
def test_what_is_no_signature_is_refused_in_words(line: str) -> None:
    with pytest.raises(InputError, match="signature"):
        read_signature(line)


def test_keys_are_read_as_pem_and_as_openssh_writes_them(tmp_path: Path) -> None:
    private, public = new_private_key(SECRET)
    pem = tmp_path / "key"
    pem.write_text(private)
    pem.chmod(0o600)
    assert read_private_key(pem) == SECRET
    assert key_id_of(read_public_key(public)) == sign(SECRET, MESSAGE).key_id
    with pytest.raises(InputError, match="this is a private key"):
        read_public_key(private)
    for text in ("ssh-rsa AAAA", "nonsense", "ssh-ed25519 AAAA", "\ud800"):
        with pytest.raises(InputError):
            read_public_key(text)


def test_a_key_of_ssh_keygen_signs_too(tmp_path: Path) -> None:
    file = tmp_path / "id_ed25519"
    made = subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(file)], check=False, capture_output=True
    )
    if made.returncode != 0:
        pytest.skip("ssh-keygen is not installed here")
    secret = read_private_key(file)
    public = read_public_key(file.with_suffix(".pub").read_text())
    assert is_good(sign(secret, MESSAGE), MESSAGE, public_key=public)
    assert not is_locked(file)


def test_a_private_key_that_others_may_read_is_refused_and_a_locked_one_asks_for_its_passphrase(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(new_private_key(SECRET, passphrase="correct horse")[0])
    file.chmod(0o640)
    with pytest.raises(InputError, match="chmod 600"):
        read_private_key(file)
    file.chmod(0o600)
    assert is_locked(file)
    assert read_private_key(file, passphrase="correct horse") == SECRET
    for wrong in (None, "battery staple"):
        with pytest.raises(InputError, match="passphrase"):
            read_private_key(file, passphrase=wrong)
