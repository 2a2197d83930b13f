"""Every command that a document shows is run, or held against the parser where a comment says why it is not run."""

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import text

from meta_pipeline import lab
from meta_pipeline.backtests import record
from meta_pipeline.meta_model.synthetic import SyntheticSettings, write_synthetic_logs
from meta_pipeline.store import approvers, strategies
from meta_pipeline.store.backtests import RunStore
from meta_pipeline.store.database import Database
from meta_pipeline_tests.backtests.runs import a_run
from meta_pipeline_tests.cli.shell import Shell
from meta_pipeline_tests.docs.command_line import complaint, inline_complaint
from meta_pipeline_tests.docs.pages import GENERATED, PROGRAMS, ROOT, SHELLS, blocks, inline_commands, pages
from meta_pipeline_tests.docs.walks import Walk, walk_of
from meta_pipeline_tests.store.governed import applied, decide, declare, propose

EVIDENCE = ("docs/backtests.md", "docs/start.md")
SERVICES = ("docs/database.md", "docs/api.md", "docs/executors.md", "docs/meta-model.md", "docs/dagster.md")
WALKED = {*EVIDENCE, *SERVICES, "README.md", "docs/governance.md", "docs/operations.md", "docs/outcomes.md"}


@pytest.fixture
def shell(database: Database, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(database, monkeypatch, capsys)


@pytest.fixture
def walk(database: Database, shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Walk:
    return walk_of(database, shell, tmp_path, monkeypatch)


def test_every_page_with_commands_is_walked_and_says_which_blocks_are_commands() -> None:
    for page in set(pages()) - GENERATED:
        for block in blocks(page):
            shown = block.language == "" and any(
                line.removeprefix("$ ").startswith(PROGRAMS) for line in block.text.splitlines()
            )
            assert not shown, f"{block.place} shows commands: write ```sh, or ```console with answers"
            if block.language in SHELLS and not block.parsed_only:
                assert page in WALKED, f"{block.place}: name the page in WALKED, beside what it takes for granted"


def test_every_command_is_one_that_the_programs_take(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shown = [
        (block, command)
        for page in set(pages()) - GENERATED
        for block in blocks(page)
        for command in block.commands()
        if not block.run_elsewhere
    ]
    assert len(shown) > 60
    wrong = [f"{block.place}: {told}" for block, command in shown if (told := complaint(command))]
    wrong += [
        f"{page}: {told}" for page in pages() for named in inline_commands(page) if (told := inline_complaint(named))
    ]
    assert wrong == []


def test_what_is_not_run_says_why() -> None:
    for page in set(pages()) - GENERATED:
        for block in blocks(page):
            if not block.checked:
                continue
            assert re.match(
                r"run$|parsed only, .{9}|all but `[^`]+`.*, .{9}|run by meta_pipeline_tests/", block.checked
            ), f"{block.place}: {block.checked}"
            if block.run_elsewhere:
                test = (ROOT / block.run_elsewhere).read_text(encoding="utf-8")
                helper = "".join(file.read_text("utf-8") for file in (ROOT / block.run_elsewhere).parent.glob("*.py"))
                assert Path(page).name in test + helper, f"{block.place}: {block.run_elsewhere} does not read it"


def test_python_in_the_documents_compiles() -> None:
    for page in pages():
        for block in blocks(page):
            if block.language == "python":
                compile(block.text, block.place, "exec")


@pytest.mark.database
@pytest.mark.slow
def test_a_stranger_hands_in_a_campaign_and_takes_a_change_to_its_undoing(
    walk: Walk, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("META_PIPELINE_BOOTSTRAP_DRAWS", "99")
    for page in EVIDENCE:
        walk.page(page)
    # The files, and Python, hand in the same runs.
    assert walk.values["<printed>"] == "0 accepted, 36 known before\n"
    (change,) = walk.shell.ask("changes", "list", "--strategy", "CROSSOVER")["changes"]
    assert (change["target_component"], change["new_value"]["value"]) == ("exposure", 0.5)
    assert change["is_reverted"]


@pytest.mark.database
def test_the_front_page_is_followed(walk: Walk, database: Database) -> None:
    declare(database, "TREND")
    proposed = propose(database, strategy_id="TREND", now=datetime.now(UTC))

    def by_the_gate() -> None:
        assert decide(database, proposed, by="Rita Risk", now=datetime.now(UTC)).outcome == "approved"

    walk.before = {"meta-pipeline apply": by_the_gate}
    walk.page("README.md")


@pytest.mark.database
def test_a_day_of_governance_is_followed(walk: Walk, database: Database) -> None:
    declare(database, "TREND")
    propose(database, strategy_id="TREND", now=datetime.now(UTC))
    walk.before = {
        "meta-pipeline approve prop-5c0d27e1": lambda: proposed_again(database, walk),
        "meta-pipeline approvers revoke-key": lambda: learn_the_key(walk),
    }
    walk.page("docs/governance.md")


def proposed_again(database: Database, walk: Walk) -> None:
    walk.shell.ask("freeze", "lift", "kill-file", "--reason", "the incident is over")
    propose(database, strategy_id="TREND", proposed=0.3, now=datetime.now(UTC))


def learn_the_key(walk: Walk) -> None:
    with walk.database.connect() as connection:
        walk.values["3d117e76"] = connection.execute(text("SELECT key_id FROM approver_keys")).scalar_one()


@pytest.mark.database
def test_outcomes_are_followed_on_a_change_of_the_lab(walk: Walk, database: Database) -> None:
    now = datetime.now(UTC)
    trend = lab.strategy_named("LAB_TREND")
    with database.begin() as connection:
        strategies.declare(connection, trend, actor="ann", now=now)
        approvers.add(connection, "Bob", actor="ann", now=now)
    run = a_run(strategy_id="LAB_TREND", market_id="SP500", config=dict(trend.live_config))
    record([run], into=RunStore(database, actor="ann", clock=lambda: now))
    applied(database, "short_scale", 0.5, strategy_id="LAB_TREND", now=now)
    walk.page("docs/outcomes.md")


@pytest.mark.database
def test_an_operator_backs_up_and_changes_keys_and_tokens(walk: Walk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STATE", str(walk.folder))
    (walk.folder / "backups").mkdir()
    walk.before = {
        # The one that signs before the page begins.
        "meta-pipeline policy keys new": lambda: walk.shell.ask("policy", "keys", "new"),
        "meta-pipeline policy keys retire": lambda: name_the_first(walk, "policy", "keys"),
        "meta-pipeline approvers register": lambda: walk.shell.ask("approvers", "add", "Bob"),
        "meta-pipeline approvers revoke-key": lambda: name_the_key_of_bob(walk),
        "meta-pipeline tokens revoke": lambda: name_the_first(walk, "tokens"),
    }
    walk.page("docs/operations.md")
    assert len(list((walk.folder / "backups").glob("loop-*.backup"))) == 1


def name_the_first(walk: Walk, *group: str) -> None:
    """Put the first that a command lists in the place of the page's KEY or ID."""
    one = walk.shell.ask(*group, "list")[group[-1]][0]
    walk.values |= dict.fromkeys(("KEY", "ID"), one.get("key_id") or one["token_id"])


def name_the_key_of_bob(walk: Walk) -> None:
    with walk.database.connect() as connection:
        walk.values["KEY"] = connection.execute(text("SELECT key_id FROM approver_keys")).scalar_one()


@pytest.mark.database
def test_the_pages_of_services_are_followed(walk: Walk) -> None:
    predictions, outcomes = write_synthetic_logs(walk.folder, SyntheticSettings(n=1200, seed=1))
    predictions.rename(walk.folder / "predictions.jsonl")
    outcomes.rename(walk.folder / "outcomes.csv")
    walk.before = {"meta-pipeline policy keys retire": lambda: learn_the_old_key(walk)}
    for page in SERVICES:
        walk.page(page)


def learn_the_old_key(walk: Walk) -> None:
    oldest = walk.shell.ask("policy", "keys", "list")["keys"][0]
    walk.values["20260901-77ab10"] = oldest if isinstance(oldest, str) else oldest["key_id"]
