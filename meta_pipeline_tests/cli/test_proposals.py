"""`meta-pipeline proposals`, `approve`, `reject`, `apply`: what a person types and reads, and what a script gets."""

import io
import sys
from typing import Any

import pytest

from meta_pipeline.canonical import canonical_json
from meta_pipeline.cli import common
from meta_pipeline.proposals.candidate import Candidate, Effect, Grade, ProposalType
from meta_pipeline.store.database import Database
from meta_pipeline_tests.cli.shell import Shell
from meta_pipeline_tests.proposals.governed import draft
from meta_pipeline_tests.store.governed import NOW, by_hand, declare, live, prepare, save

pytestmark = pytest.mark.database

CREATE = ("proposals", "create", "--strategy", "STRAT", "--reason", "calmer")


@pytest.fixture(autouse=True)
def the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(common, "now", lambda: NOW)
    monkeypatch.setattr(common, "time_of", lambda _: NOW)


def created(shell: Shell, knob: str = "risk.max_vol", to: str = "0.25") -> Any:
    return shell.ask(*CREATE, "--knob", knob, "--to", to)


def approved(shell: Shell, knob: str = "risk.max_vol", to: str = "0.25") -> Any:
    made = created(shell, knob, to)
    shell.ask("approve", made["proposal_id"], "--digest", made["body_digest"], actor="Bob")
    return made


def test_from_a_proposal_to_its_revert_at_the_shell(database: Database, shell: Shell) -> None:
    prepare(database)
    told = shell.run(*CREATE, "--knob", "risk.max_vol", "--to", "0.25")
    assert told.code == 0
    assert "Change risk.max_vol of STRAT from 0.5 to 0.25: reduces risk." in told.out
    (made,) = shell.ask("proposals", "list")["proposals"]
    short = made["proposal_id"][:13]
    listed = shell.run("proposals", "list")
    for seen in (short, "STRAT", "risk.max_vol", "0.5 → 0.25", "reduces", "PENDING", "2026-12-04 12:00 UTC"):
        assert seen in listed.out
    shown = shell.run("proposals", "show", short)
    for seen in ("1. The change", "8. Who", "calmer", made["body_digest"], "proposal.create"):
        assert seen in shown.out
    approval = shell.run("approve", short, "--digest", made["body_digest"], "--reason", "fine", actor="Bob")
    assert "approved by Bob, may be applied until 2026-11-23 12:00 UTC" in approval.out
    rehearsal = shell.run("apply", short, "--dry-run")
    assert "dry run, rolled back" in rehearsal.out
    assert live(database).version == 1
    applied = shell.run("apply", short)
    assert (applied.code, '"max_vol": 0.25' in applied.out) == (0, True)
    again = shell.run("apply", short)
    assert (again.code, "already applied" in again.out) == (0, True)
    (change,) = shell.ask("changes", "list")["changes"]
    reverted = shell.run("changes", "revert", change["change_id"][:10], "--reason", "it hurt", actor="emil")
    assert (reverted.code, "raises risk" in reverted.out) == (0, True)
    assert live(database).version == 3
    assert shell.run("audit", "verify").code == 0


def test_b14_the_status_filter_filters(database: Database, shell: Shell) -> None:
    prepare(database)
    pending, waiting = created(shell), approved(shell, "lookback", "21")

    def listed(*options: str) -> list[str]:
        return [found["proposal_id"] for found in shell.ask("proposals", "list", *options)["proposals"]]

    assert listed("--status", "APPROVED") == [waiting["proposal_id"]]
    assert listed("--status", "pending") == [pending["proposal_id"]]
    assert set(listed("--status", "approved", "--status", "pending")) == set(listed()) == set(listed("--all"))
    assert listed("--status", "REJECTED") == []
    wrong = shell.run("proposals", "list", "--status", "OPEN")
    assert (wrong.code, "there are: PENDING" in wrong.err) == (2, True)
    assert shell.ask("proposals", "list", "--strategy", "OTHER")["proposals"] == []


def test_done_proposals_are_listed_when_asked_for_and_counted_always(database: Database, shell: Shell) -> None:
    prepare(database)
    made = created(shell)
    shell.ask("reject", made["proposal_id"], "--digest", made["body_digest"], "--reason", "no", actor="Bob")
    assert shell.ask("proposals", "list")["proposals"] == []
    answer = shell.ask("proposals", "list", "--all", "--limit", "1")
    assert [found["status_reason"] for found in answer["proposals"]] == ["rejected by Bob: no"]
    assert answer["counts"] == {"REJECTED": 1}
    assert "1 REJECTED" in shell.run("proposals", "list").out


def test_the_effect_is_listed_with_its_interval_where_the_evidence_has_one(database: Database, shell: Shell) -> None:
    prepare(database)
    effect = Effect(
        metric="sharpe_ratio", method="matched_pairs", estimate=0.31, lower=0.05, upper=0.57, confidence_level=0.9
    )
    candidate = Candidate(
        proposal_type=ProposalType.CONFIG_PARAMETER_CHANGE,
        knob="risk.max_vol",
        from_value=0.5,
        to_value=0.25,
        grade=Grade.A,
        effect=effect,
        risk_change="reduces",
    )
    save(database, draft(supporting_metrics=candidate.to_json()))
    listed = shell.run("proposals", "list").out
    assert "+0.31 [+0.05, +0.57]" in listed


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (("--knob", "risk.max_vol", "--to", "5"), 6, "5.0 is above its upper bound 0.95"),
        (("--knob", "risk.max_vol", "--to", "NaN"), 1, "not of the declared type float"),
        (("--knob", "risk.max_vol", "--to", "a lot"), 1, "cannot be read as float"),
        (("--knob", "start_date", "--to", "2020-01-01"), 6, "start_date is not a declared knob of STRAT"),
        (("--knob", "portfolio_id", "--to", "P2"), 6, "identifier or a date"),
        (("--knob", "risk.max_vol", "--remove"), 6, "must be present"),
        (("--knob", "risk.max_vol"), 2, "either --to VALUE or --remove"),
        (("--knob", "risk.max_vol", "--to", "1", "--remove"), 2, "either --to VALUE or --remove"),
        (("--knob", "lookback", "--to", "63"), 6, "would change nothing"),
        (("--to", "63"), 2, "--knob"),
    ],
)
def test_what_cannot_be_proposed_is_refused_by_message_and_exit_code(
    database: Database, shell: Shell, options: tuple[str, ...], code: int, said: str
) -> None:
    prepare(database)
    answer = shell.run(*CREATE, *options)
    assert (answer.code, said in answer.err) == (code, True), answer
    assert shell.ask("proposals", "list", "--all")["proposals"] == []


def test_a_value_is_read_by_the_type_of_its_knob(database: Database, shell: Shell) -> None:
    prepare(database)
    for knob, to, value in (
        ("mode", "slow", "slow"),
        ("risk", '{"max_vol": 0.1, "cap": 2}', {"max_vol": 0.1, "cap": 2}),
        ("lookback", "21", 21),
        ("alpha", "1", 1.0),
    ):
        proposed = created(shell, knob, to)["proposed"]
        assert canonical_json(proposed) == canonical_json({"absent": False, "value": value})


def test_the_same_proposal_again_is_said_to_be_there_already(database: Database, shell: Shell) -> None:
    prepare(database)
    first = created(shell)
    again = created(shell)
    assert (again["new"], again["proposal_id"]) == (False, first["proposal_id"])


@pytest.mark.parametrize(
    ("actor", "digest", "code", "said"),
    [
        ("ann", None, 4, "is the author"),
        ("Eve", None, 4, "not on the list of approvers"),
        ("meta-pipeline", None, 4, "never the human eye"),
        ("Bob", "0" * 64, 5, "names the content 000000000000"),
        ("Bob", "1234", 1, "is no sha256"),
        ("B\u200bob", None, 1, "U+200B"),
    ],
)
def test_an_approval_that_is_none_is_refused_by_its_own_message_and_exit_code(
    database: Database, shell: Shell, actor: str, digest: str | None, code: int, said: str
) -> None:
    prepare(database)
    made = created(shell)
    answer = shell.run("approve", made["proposal_id"], "--digest", digest or made["body_digest"], actor=actor)
    assert (answer.code, said in answer.err) == (code, True), answer
    assert shell.ask("proposals", "list")["proposals"][0]["status"] == "PENDING"


def test_without_a_digest_the_proposal_is_shown_and_its_first_digits_have_to_be_typed(
    database: Database, shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(database)
    made = created(shell)

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    def type_in(text: str) -> None:
        monkeypatch.setattr(sys, "stdin", Terminal(text + "\n"))

    type_in("00000000")
    wrong = shell.run("approve", made["proposal_id"], actor="Bob")
    assert (wrong.code, "nothing was decided" in wrong.err) == (1, True)
    assert "1. The change" in wrong.err
    type_in(made["body_digest"][:8])
    right = shell.run("approve", made["proposal_id"], actor="Bob")
    assert (right.code, "approved by Bob" in right.out) == (0, True)


def test_without_a_digest_and_without_a_terminal_nothing_is_decided(database: Database, shell: Shell) -> None:
    prepare(database)
    made = created(shell)
    for options in ((), ("--json",)):
        answer = shell.run("approve", made["proposal_id"], *options, actor="Bob")
        assert answer.code == 2
        assert made["body_digest"] in answer.out + answer.err  # what to pass


def test_a_rejection_needs_a_reason(database: Database, shell: Shell) -> None:
    prepare(database)
    made = created(shell)
    decision = ("reject", made["proposal_id"], "--digest", made["body_digest"])
    assert shell.run(*decision, actor="Bob").code == 2
    assert shell.run(*decision, "--reason", " ", actor="Bob").code == 1
    assert "rejected by Bob" in shell.run(*decision, "--reason", "too late", actor="Bob").out
    blocked = shell.run(*CREATE, "--knob", "risk.max_vol", "--to", "0.25")
    assert (blocked.code, "rejected by Bob: too late" in blocked.err) == (6, True)


def test_applying_answers_by_exit_code(database: Database, shell: Shell) -> None:
    prepare(database)
    assert shell.run("apply", "--all-approved").code == 3
    assert shell.run("apply").code == 2
    assert shell.run("apply", "prop-unknown").code == 1
    pending = created(shell)
    assert shell.run("apply", pending["proposal_id"]).code == 5
    rehearsed = shell.run("apply", pending["proposal_id"], "--dry-run", "--json")
    assert (rehearsed.code, rehearsed.document["outcome"], rehearsed.document["code"]) == (
        5,
        "refused",
        "illegal_transition",
    )
    waiting = approved(shell, "lookback", "21")
    by_hand(database, "UPDATE strategy_knobs SET changeable = false")
    assert shell.run("apply", waiting["proposal_id"]).code == 6
    by_hand(database, "UPDATE meta_config_proposals SET rationale = 'x'")
    assert shell.run("apply", waiting["proposal_id"]).code == 7


def test_all_approved_are_applied_and_one_that_cannot_be_shows_in_table_and_exit_code(
    database: Database, shell: Shell
) -> None:
    prepare(database)
    declare(database, "OTHER")
    approved(shell)
    # On evidence of its own, so that it cannot be applied together with the first.
    wanted = (("STRAT", "lookback", "21"), ("OTHER", "alpha", "0.5"))
    stale, other = (
        shell.ask("proposals", "create", "--strategy", where, "--knob", knob, "--to", to, "--reason", "r")
        for where, knob, to in wanted
    )
    for made in (stale, other):
        shell.ask("approve", made["proposal_id"], "--digest", made["body_digest"], actor="Bob")
    answer = shell.run("apply", "--all-approved", "--json")
    assert answer.code == 5
    outcomes = {result["proposal_id"]: result["outcome"] for result in answer.document["results"]}
    assert sorted(outcomes.values()) == ["applied", "applied", "refused"]
    assert set(outcomes) > {stale["proposal_id"], other["proposal_id"]}
    assert shell.run("apply", "--all-approved").code == 3


def test_the_difference_shows_touched_keys_checks_and_the_effective_configuration(
    database: Database, shell: Shell
) -> None:
    prepare(database)
    made = created(shell)
    seen = shell.ask("proposals", "diff", made["proposal_id"])
    assert seen["touched"] == [
        {
            "path": "risk.max_vol",
            "before": {"absent": False, "value": 0.5},
            "after": {"absent": False, "value": 0.25},
            "risk_change": "reduces",
        }
    ]
    assert seen["effective_config"]["risk"] == {"max_vol": 0.25, "cap": 3}
    assert all(check["passed"] for check in seen["checks"])
    printed = shell.run("proposals", "diff", made["proposal_id"]).out
    assert "would apply: Change risk.max_vol" in printed
    assert '"max_vol": 0.25' in printed


def test_an_author_edits_and_withdraws(database: Database, shell: Shell) -> None:
    prepare(database)
    made = created(shell)
    edited = shell.ask("proposals", "edit", made["proposal_id"], "--rationale", "calmer and cheaper", actor="zoe")
    assert edited["body_digest"] != made["body_digest"]
    assert shell.run("proposals", "withdraw", made["proposal_id"], "--reason", "x", actor="Bob").code == 4
    assert shell.ask("proposals", "withdraw", made["proposal_id"], "--reason", "x")["status"] == "WITHDRAWN"


def test_names_and_reasons_are_printed_and_never_obeyed(database: Database, shell: Shell) -> None:
    prepare(database)
    evil = "[bold]x[/bold] \x1b[31mred\u202e"
    made = shell.ask("proposals", "create", "--strategy", "STRAT", "--knob", "alpha", "--to", "0.5", "--reason", evil)
    for command in ("show", "diff"):
        printed = shell.run("proposals", command, made["proposal_id"]).out
        assert "\x1b" not in printed
        assert "\u202e" not in printed
    assert "[bold]x[/bold] \\x1b[31mred\\u202e" in shell.run("proposals", "show", made["proposal_id"]).out
