"""The form of the gate: which fields it asks for, what it refuses before a run exists, and the link that opens it.

Belongs here: the shape of a decision as a person types it. Does not belong here: whether the decision is
allowed (store.governance), and carrying it out (gate).

Texts are Dagster's `String`, never the `StringSource` that a `dg.Config` would make of them: a source reads
`{env: X}`, and a secret of the server could end in the ledger.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal, Self
from urllib.parse import quote

import dagster as dg
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from meta_pipeline.canonical import canonical_json
from meta_pipeline.errors import InputError
from meta_pipeline.proposals.identity import MAX_REASON, check_text, clean_name, clean_reason
from meta_pipeline.proposals.signatures import read_signature
from meta_pipeline.report.text import visible

GATE_JOB: Final = "approve_proposals"

FORM: Final = {
    "approver": dg.Field(str, description="Who decides: your name, as on the list of approvers."),
    "decisions": dg.Field(
        [
            {
                "proposal_id": dg.Field(str, description="Which proposal."),
                "digest": dg.Field(str, description="sha256 of the content you read, 64 hexadecimal digits."),
                "decision": dg.Field(
                    dg.Enum(
                        "Verdict",
                        [
                            dg.EnumValue("approve", description="It may be applied."),
                            dg.EnumValue("reject", description="It may not; a reason is needed."),
                        ],
                    )
                ),
                "reason": dg.Field(str, description="Why. Needed to reject."),
                "signature": dg.Field(
                    str,
                    is_required=False,
                    description="Where approvals are signed: what meta-pipeline approve ID --sign KEYFILE --sign-only "
                    "prints.",
                ),
            }
        ],
        description="One entry per proposal that you decide on.",
    ),
}
"""The fields of the gate, as Dagster shows and checks them. Every one but the signature is required."""


def _sha256(text: str) -> str:
    if len(text) != 64 or not set(text) <= set("0123456789abcdef"):
        raise ValueError(f"{text!r} is no digest; copy the 64 hexadecimal digits that the proposal shows")
    return text


def _a_signature(text: str) -> str:
    return read_signature(text).text()


class DecisionLine(BaseModel):
    """A verdict on one proposal."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    proposal_id: Annotated[str, StringConstraints(min_length=1, max_length=64)]
    digest: Annotated[str, AfterValidator(_sha256)]
    decision: Literal["approve", "reject"]
    reason: str
    signature: Annotated[str, AfterValidator(_a_signature)] | None = None

    @model_validator(mode="after")
    def _a_rejection_says_why(self) -> Self:
        if self.decision == "reject":
            clean_reason(self.reason, what=f"rejecting proposal {self.proposal_id}")
        else:
            check_text(self.reason, what="the reason", longest=MAX_REASON)
        return self


class DecisionForm(BaseModel):
    """The whole form, checked before a run exists."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    approver: Annotated[str, AfterValidator(clean_name)]
    decisions: Annotated[list[DecisionLine], Field(min_length=1)]

    @model_validator(mode="after")
    def _one_verdict_per_proposal(self) -> Self:
        ids = [line.proposal_id for line in self.decisions]
        twice = sorted({name for name in ids if ids.count(name) > 1})
        if twice:
            raise ValueError(f"proposals {', '.join(twice)} are decided more than once; give one verdict each")
        return self


def read_form(values: Mapping[str, Any]) -> DecisionForm:
    """Read the form as Dagster hands it over.

    Raises
    ------
    InputError
        If a value cannot be used; the message names each field and what is wrong with it.
    """
    try:
        return DecisionForm.model_validate(values)
    except ValidationError as error:
        raise InputError("the gate refuses this form: " + problems_of(error)) from None


def problems_of(error: ValidationError) -> str:
    """Write what pydantic objects to as one line."""
    return "; ".join(
        f"{'.'.join(str(part) for part in item['loc']) or 'form'}: {item['msg'].removeprefix('Value error, ')}"
        for item in error.errors(include_url=False)
    )


@dataclass(frozen=True, kw_only=True)
class OpenProposal:
    """What the form says about a proposal that waits for a verdict.

    Parameters
    ----------
    proposal_id, digest
        What the verdict is bound to.
    summary
        One line for the person: strategy, knob, from, to.
    """

    proposal_id: str
    digest: str
    summary: str


def blank_form(proposals: Sequence[OpenProposal]) -> str:
    """Write the form as YAML, filled in but for the name and the verdicts: so it cannot be launched yet."""
    lines = ["# Write your name, and approve or reject for each proposal. A rejection needs a reason.", "approver:"]
    lines.append("decisions:")
    for proposal in proposals:
        lines += [
            f"  # {visible(proposal.summary)}",
            # JSON texts are YAML texts; unquoted, a digest of digits alone would be read as a number.
            f"  - proposal_id: {canonical_json(proposal.proposal_id)}",
            f"    digest: {canonical_json(proposal.digest)}",
            "    decision:",
            '    reason: ""',
        ]
    return "\n".join(lines) + "\n"


def launchpad_link(location: str, proposals: Sequence[OpenProposal]) -> str:
    """Return the address, below that of the Dagster UI, which opens the gate's form for these proposals."""
    return (
        f"/locations/{quote(location, safe='')}/jobs/{GATE_JOB}/playground/setup"
        f"?config={quote(blank_form(proposals), safe='')}"
    )
