"""What the gate's form refuses before a run exists, and the link that opens it filled in."""

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml

from meta_pipeline.errors import InputError
from meta_pipeline.orchestration.decision_form import OpenProposal, blank_form, launchpad_link, read_form

DIGEST = "0123456789abcdef" * 4
LINE = {"proposal_id": "p1", "digest": DIGEST, "decision": "approve", "reason": ""}


def form(*lines: dict[str, Any], approver: str = "Ann") -> dict[str, Any]:
    return {"approver": approver, "decisions": [{**LINE, **line} for line in lines]}


def test_a_filled_in_form_is_read() -> None:
    read = read_form(form({}, {"proposal_id": "p2", "decision": "reject", "reason": "too early"}))
    assert [(line.proposal_id, line.decision) for line in read.decisions] == [("p1", "approve"), ("p2", "reject")]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (form({}, approver="  "), "the name '  ' is empty"),
        (form({}, approver="An\u200bn"), "cannot be seen"),
        (form(), "at least 1 item"),
        (form({"digest": DIGEST[:8]}), "'01234567' is no digest; copy the 64"),
        (form({"digest": DIGEST.upper()}), "is no digest"),
        (form({"decision": "maybe"}), "'approve' or 'reject'"),
        (form({"decision": "reject"}), "rejecting proposal p1 needs a reason"),
        (form({"decision": "reject", "reason": " \n"}), "rejecting proposal p1 needs a reason"),
        (form({}, {}), "proposals p1 are decided more than once"),
        (form({"reason": "x" * 5000}), "5000 characters"),
        (form({"proposal_id": ""}), "at least 1 character"),
    ],
)
def test_a_form_that_cannot_be_a_decision_is_refused_by_a_message_that_says_what_is_wrong(
    values: dict[str, Any], said: str
) -> None:
    with pytest.raises(InputError, match="the gate refuses this form") as refusal:
        read_form(values)
    assert said in str(refusal.value)


PROPOSALS = [
    OpenProposal(proposal_id="p1", digest="1" * 64, summary="S: window 20 → 50"),
    OpenProposal(proposal_id="p2", digest=DIGEST, summary="S: evil\napprover: me # \u202e"),
]


def test_the_blank_form_lacks_the_name_and_the_verdicts_and_nothing_else() -> None:
    filled = yaml.safe_load(blank_form(PROPOSALS))
    assert filled == {
        "approver": None,
        "decisions": [
            {"proposal_id": "p1", "digest": "1" * 64, "decision": None, "reason": ""},
            {"proposal_id": "p2", "digest": DIGEST, "decision": None, "reason": ""},
        ],
    }


def test_a_name_and_the_verdicts_make_the_blank_form_a_decision() -> None:
    typed = blank_form(PROPOSALS).replace("approver:", "approver: Ann", 1).replace("decision:", "decision: approve")
    assert len(read_form(yaml.safe_load(typed)).decisions) == 2


def test_the_link_opens_the_launchpad_of_the_named_location_with_the_blank_form() -> None:
    link = urlsplit(launchpad_link("my location/1", PROPOSALS))
    assert link.path == "/locations/my%20location%2F1/jobs/approve_proposals/playground/setup"
    assert parse_qs(link.query)["config"] == [blank_form(PROPOSALS)]
