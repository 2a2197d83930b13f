"""The gate carries decisions to the service, and refuses each wrong one by a message of its own."""

from datetime import timedelta
from typing import Any

import dagster as dg
import pytest
from sqlalchemy import text

from meta_pipeline.errors import NotPermitted
from meta_pipeline.orchestration.acting import FORWARDED_USER, acting_person
from meta_pipeline.orchestration.forwarded_user import ForwardedUserRunCoordinator
from meta_pipeline.orchestration.resources import DatabaseResource
from meta_pipeline.proposals.signatures import Message, new_private_key, read_public_key, sign
from meta_pipeline.settings import Settings
from meta_pipeline.store import approver_keys
from meta_pipeline.store.database import Database
from meta_pipeline_tests.orchestration.builders import (
    NOW,
    allow,
    declare_strategy,
    failure_of,
    form,
    launch,
    resource_of,
    save_proposal,
    status_of,
    verdict,
)

pytestmark = pytest.mark.database
GATE = "approve_proposals"


def settings_with(**values: Any) -> Settings:
    return Settings.model_construct().model_copy(update=values)


@pytest.fixture
def declared(database: Database) -> Database:
    declare_strategy(database)
    allow(database, "Bob", "Ann")
    return database


def test_an_approval_is_carried_to_the_service_with_the_run_as_its_reference(declared: Database) -> None:
    proposal = save_proposal(declared)
    result = launch(GATE, form(verdict(proposal)), resource_of(declared))
    assert result.success
    assert status_of(declared, proposal) == "APPROVED"
    with declared.connect() as connection:
        row = connection.execute(text("SELECT approver, channel, channel_ref FROM approvals")).one()
    assert row == ("Bob", "gate", result.run_id)


def test_the_result_names_each_decision_and_the_command_that_applies_it(declared: Database) -> None:
    proposal = save_proposal(declared)
    result = launch(GATE, form(verdict(proposal)), resource_of(declared))
    (event,) = [e for e in result.all_node_events if e.is_step_materialization]
    metadata = event.materialization.metadata
    assert event.materialization.asset_key == dg.AssetKey("approvals")
    assert metadata["approved"].value == 1
    assert f"meta-pipeline apply {proposal.proposal_id}" in str(metadata["next"].value)
    assert status_of(declared, proposal) == "APPROVED"  # and not applied


def test_a_rejection_with_a_reason_is_carried_to_the_service(declared: Database) -> None:
    proposal = save_proposal(declared)
    assert launch(GATE, form(verdict(proposal, "reject", reason="too early")), resource_of(declared)).success
    assert status_of(declared, proposal) == "REJECTED"


@pytest.mark.parametrize(
    ("config", "error", "said"),
    [
        (None, dg.DagsterInvalidConfigError, "Missing required config entries ['approver', 'decisions']"),
        ({"approver": "Bob"}, dg.DagsterInvalidConfigError, 'Missing required config entry "decisions"'),
        (form({}), dg.DagsterInvalidConfigError, "Missing required config entries"),
        (form({"extra": "x"}), dg.DagsterInvalidConfigError, 'unexpected config entry "extra"'),
        ({"approver": {"env": "HOME"}, "decisions": []}, dg.DagsterInvalidConfigError, "Invalid scalar at path"),
    ],
)
def test_without_a_complete_form_there_is_not_even_a_run(
    config: dict[str, Any] | None, error: type[Exception], said: str, declared: Database
) -> None:
    with pytest.raises(error) as refusal:
        launch(GATE, config, resource_of(declared))
    assert said in str(refusal.value)


@pytest.mark.parametrize("field", ["proposal_id", "digest", "reason"])
def test_a_secret_of_the_server_cannot_be_read_into_a_form(
    field: str, declared: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET", "hunter2")
    line: dict[str, Any] = {**verdict(save_proposal(declared)), field: {"env": "SECRET"}}
    with pytest.raises(dg.DagsterInvalidConfigError, match="Invalid scalar at path") as refusal:
        launch(GATE, form(line), resource_of(declared))
    assert "hunter2" not in str(refusal.value)


def test_a_wrong_verdict_is_refused_before_there_is_a_run(declared: Database) -> None:
    proposal = save_proposal(declared)
    with pytest.raises(dg.DagsterInvalidConfigError, match="not in enum type Verdict got maybe"):
        launch(GATE, form(verdict(proposal, "maybe")), resource_of(declared))


def test_what_pydantic_refuses_is_refused_before_there_is_a_run(declared: Database) -> None:
    proposal = save_proposal(declared)
    with pytest.raises(dg.DagsterConfigMappingFunctionError) as refusal:
        launch(GATE, form(verdict(proposal, "reject")), resource_of(declared))
    assert "needs a reason" in str(refusal.value.__cause__)


def test_a_stale_digest_is_refused(declared: Database) -> None:
    proposal = save_proposal(declared)
    result = launch(GATE, form(verdict(proposal, digest="0" * 64)), resource_of(declared))
    assert not result.success
    assert "names the content 000000000000..." in failure_of(result)
    assert status_of(declared, proposal) == "PENDING"


def test_the_author_himself_is_refused_however_he_spells_his_name(declared: Database) -> None:
    proposal = save_proposal(declared, author="Ann")
    result = launch(GATE, form(verdict(proposal), approver=" aNN  "), resource_of(declared))
    assert not result.success
    assert "author" in failure_of(result)
    assert status_of(declared, proposal) == "PENDING"


def test_who_is_not_on_the_list_of_approvers_is_refused(declared: Database) -> None:
    proposal = save_proposal(declared)
    result = launch(GATE, form(verdict(proposal), approver="Mallory"), resource_of(declared))
    assert "Mallory" in failure_of(result)
    assert status_of(declared, proposal) == "PENDING"


@pytest.mark.parametrize("tag", ["dagster/parent_run_id", "dagster/root_run_id", "dagster/retry_number"])
def test_a_re_executed_run_is_refused_for_a_replayed_form_is_nobodys_decision(tag: str, declared: Database) -> None:
    proposal = save_proposal(declared)
    result = launch(GATE, form(verdict(proposal)), resource_of(declared), tags={tag: "1"})
    assert "a replayed form is nobody's decision" in failure_of(result)
    assert status_of(declared, proposal) == "PENDING"


def test_who_is_signed_in_is_who_decides(declared: Database) -> None:
    proposal = save_proposal(declared)
    result = launch(GATE, form(verdict(proposal)), resource_of(declared), tags={FORWARDED_USER: "mallory"})
    assert failure_of(result) == ("the form names 'Bob', but 'mallory' is signed in; act under your own name")
    assert status_of(declared, proposal) == "PENDING"
    assert launch(GATE, form(verdict(proposal)), resource_of(declared), tags={FORWARDED_USER: "BOB"}).success


def test_a_forged_sign_in_is_refused(declared: Database) -> None:
    proposal = save_proposal(declared)
    result = launch(GATE, form(verdict(proposal)), resource_of(declared), tags={FORWARDED_USER: ""})
    assert "written by the proxy, not by hand" in failure_of(result)


def test_where_a_proxy_has_to_say_who_it_is_a_name_in_a_form_alone_is_nobodys(declared: Database) -> None:
    proposal = save_proposal(declared)
    demanding = DatabaseResource(
        declared, settings=lambda: settings_with(identity_header="X-Forwarded-User"), clock=lambda: NOW
    )
    # The tag alone is no proof where no coordinator writes it: anybody may send one along.
    result = launch(GATE, form(verdict(proposal)), demanding, tags={FORWARDED_USER: "Bob"})
    assert "dagster.yaml does not configure the run coordinator" in failure_of(result)
    assert status_of(declared, proposal) == "PENDING"
    run = dg.DagsterRun(job_name=GATE)
    with pytest.raises(NotPermitted, match="no proxy has said who is signed in"):
        acting_person(run, "Bob", signed_in=True)
    assert acting_person(run.with_tags({FORWARDED_USER: "bob"}), "Bob", signed_in=True) == "Bob"
    assert ForwardedUserRunCoordinator.writes_forwarded_user


def test_a_signature_travels_with_the_form_and_nonsense_leaves_no_run(declared: Database) -> None:
    proposal, secret = save_proposal(declared), bytes(range(32))
    with declared.begin() as connection:
        public = read_public_key(new_private_key(secret)[1])
        approver_keys.register(connection, "Bob", public, actor="Ann", now=NOW)
    resource = DatabaseResource(
        declared, settings=lambda: settings_with(require_signed_approvals=True), clock=lambda: NOW
    )
    message = Message(
        proposal_id=proposal.proposal_id,
        body_digest=proposal.body_digest,
        decision="approve",
        approver="Bob",
        expires_at=NOW + timedelta(hours=5),
    )
    assert "is not signed" in failure_of(launch(GATE, form(verdict(proposal)), resource))
    with pytest.raises(dg.DagsterConfigMappingFunctionError) as refused:
        launch(GATE, form(verdict(proposal, signature="ed25519.x")), resource)
    assert "is no signature" in str(refused.value.__cause__)
    assert launch(GATE, form(verdict(proposal, signature=sign(secret, message).text())), resource).success
    assert status_of(declared, proposal) == "APPROVED"


def test_one_refused_decision_fails_the_run_after_the_others_were_carried_out(declared: Database) -> None:
    good, stale = save_proposal(declared, proposed=50), save_proposal(declared, proposed=60)
    bad = {"proposal_id": "prop-none", "digest": "1" * 64, "decision": "approve", "reason": ""}
    result = launch(
        GATE,
        form(bad, verdict(stale, digest="0" * 64), verdict(good)),
        resource_of(declared),
    )
    assert not result.success
    message = failure_of(result)
    assert message.startswith("2 of 3 decisions refused")
    assert "there is no proposal 'prop-none'" in message
    assert "names the content" in message
    assert status_of(declared, good) == "APPROVED"


def test_apply_and_revert_are_jobs_of_their_own_and_name_who_acts(declared: Database) -> None:
    proposal = save_proposal(declared)
    resource = resource_of(declared)
    assert launch(GATE, form(verdict(proposal)), resource).success
    assert launch("apply_approved", {"actor": "Bob", "dry_run": True}, resource).success
    assert status_of(declared, proposal) == "APPROVED"
    assert launch("apply_approved", {"actor": "Bob"}, resource).success
    assert status_of(declared, proposal) == "APPLIED"
    with declared.connect() as connection:
        change, actor = connection.execute(text("SELECT change_id, applied_by FROM config_change_log")).one()
    assert actor == "Bob"
    again = launch("revert_change", {"actor": "Zoe", "change_id": change, "reason": ""}, resource)
    assert "needs a reason" in failure_of(again)
    assert launch("revert_change", {"actor": "Zoe", "change_id": change, "reason": "no gain"}, resource).success
    assert status_of(declared, proposal) == "REVERTED"


def test_applying_what_nobody_approved_is_refused_and_applying_nothing_is_no_failure(declared: Database) -> None:
    proposal = save_proposal(declared)
    resource = resource_of(declared)
    assert launch("apply_approved", {"actor": "Bob"}, resource).success
    named = launch("apply_approved", {"actor": "Bob", "proposal_ids": [proposal.proposal_id]}, resource)
    assert "1 of 1 refused" in failure_of(named)
    assert status_of(declared, proposal) == "PENDING"


def test_acting_jobs_cannot_be_re_executed_either(declared: Database) -> None:
    resource = resource_of(declared)
    replayed = {"dagster/parent_run_id": "1"}
    for job, config in (
        ("apply_approved", {"actor": "Bob"}),
        ("revert_change", {"actor": "Bob", "change_id": "c", "reason": "r"}),
    ):
        assert "nobody's decision" in failure_of(launch(job, config, resource, tags=replayed))
