"""The checks of a signature: whether a decision carries a good one, and, beforehand, whether it could."""

from meta_pipeline.errors import InputError, NotSigned
from meta_pipeline.proposals.signatures import Message, is_good, read_signature
from meta_pipeline.proposals.situation import Check, Situation


def signed(s: Situation) -> Check:
    """Whether the decision is signed by a key of the approver, if that is required or it claims to be."""
    if s.signature is None:
        if not s.require_signed or s.decision != "approve":
            return _passed("none, and none is required")
        text = (
            f"the approval of proposal {s.record.proposal_id} is not signed, and approvals have to be; "
            "sign it with: meta-pipeline approve ID --sign KEYFILE"
        )
        return Check(name="signature", passed=False, error=NotSigned, text=text)
    try:
        objection = _objection_to_signature(s, s.signature)
    except InputError as error:
        objection = str(error)
    if objection is None:
        return _passed(f"signed with the key {s.signature.split('.')[1][:12]}... of {s.approver}")
    text = f"the signature on the decision about proposal {s.record.proposal_id} is not good: {objection}"
    return Check(name="signature", passed=False, error=NotSigned, text=text)


def can_sign(s: Situation) -> Check:
    """Whether the one who is about to decide could sign it, if that is required. Asked before there is a signature."""
    if not s.require_signed or s.decision != "approve":
        return _passed("none is required")
    if s.keys:
        known = " or ".join(sorted(f"{key[:12]}..." for key in s.keys))
        return _passed(f"it has to be signed with the key {known} of {s.approver}")
    text = (
        f"an approval has to be signed, and {s.approver!r} has no key that is registered and not revoked; "
        "make one with: meta-pipeline approvers keygen"
    )
    return Check(name="signature", passed=False, error=NotSigned, text=text)


def _objection_to_signature(s: Situation, line: str) -> str | None:
    signature = read_signature(line)
    key = s.keys.get(signature.key_id)
    if key is None:
        return (
            f"{s.approver!r} has no key {signature.key_id[:12]}... that is registered and not revoked; "
            "see: meta-pipeline approvers keys"
        )
    digest = s.record.body_digest if s.approval is None else s.approval.body_digest
    message = Message(
        proposal_id=s.record.proposal_id,
        body_digest=digest,
        decision=s.decision,
        approver=s.approver or "",
        expires_at=signature.expires_at,
    )
    if not is_good(signature, message, public_key=key):
        return "it was made for another proposal, content, decision, approver or expiry, or was altered; sign again"
    ends = f"{signature.expires_at:%Y-%m-%d %H:%M:%S %Z}"
    if s.now >= signature.expires_at:
        return f"it was good until {ends}; sign again"
    if s.approval is not None and s.approval.expires_at > signature.expires_at:
        return f"it ends on {ends}, before the approval on record; the record was altered"
    return None


def _passed(text: str) -> Check:
    return Check(name="signature", passed=True, text=text)
