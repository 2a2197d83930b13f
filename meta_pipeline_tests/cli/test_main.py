"""The command itself: help, unknown commands, and what an error looks like to a shell."""

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from meta_pipeline.cli.hints import NEXT
from meta_pipeline.cli.main import COMMANDS, app
from meta_pipeline.cli.reference import reference
from meta_pipeline.errors import MetaPipelineError


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "meta_pipeline", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )


def test_help_names_every_command_and_what_the_exit_codes_mean() -> None:
    answer = run("--help")
    assert answer.returncode == 0
    for name in COMMANDS:
        assert f"  {name} " in answer.stdout
    assert "5 stale" in answer.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_that_help_names_exists(name: str) -> None:
    module, _, function = COMMANDS[name][0].partition(":")
    assert callable(getattr(import_module(f"meta_pipeline.cli.{module}"), function or "app"))


def test_an_unknown_command_is_a_usage_error() -> None:
    answer = run("frobnicate")
    assert answer.returncode == 2
    assert "frobnicate" in answer.stderr


@pytest.mark.parametrize("arguments", [("frobnicate",), ("policy", "halt"), ("live", "admit", "S", "--days", "-3")])
def test_with_json_a_usage_error_of_the_parser_is_a_document_too(arguments: tuple[str, ...]) -> None:
    answer = run(*arguments, "--json")
    assert answer.returncode == 2
    error = json.loads(answer.stdout)["error"]
    assert error["code"] == "usage"
    assert error["message"]


def test_an_unknown_command_that_is_nearly_one_is_named() -> None:
    answer = run("propsals")
    assert answer.returncode == 2
    assert "Did you mean 'proposals'?" in answer.stderr


def test_usage_that_a_command_refuses_has_the_parsers_exit_code() -> None:
    answer = run("live", "capital", "nan", "--json")
    assert answer.returncode == 2
    assert json.loads(answer.stdout)["error"]["code"] == "usage"


WITHOUT_JSON = {"completion": "it prints a program for a shell, which is text and no record"}
"""Command -> why a program that calls it needs no document."""


def _commands(command: Any, path: tuple[str, ...], context: Any) -> Iterator[tuple[str, Any]]:
    if not hasattr(command, "get_command"):
        yield " ".join(path), command
        return
    for name in command.list_commands(context):
        yield from _commands(command.get_command(context, name), (*path, name), context)


def test_every_command_answers_in_json_but_those_that_say_why_not() -> None:
    group: Any = get_command(app)
    context = group.make_context("meta-pipeline", [], resilient_parsing=True)
    found = dict(_commands(group, (), context))
    assert len(found) > 50
    without = {name for name, one in found.items() if not any("--json" in given.opts for given in one.params)}
    assert without == set(WITHOUT_JSON)


URL = "postgresql://somebody:hunter2@127.0.0.1:1/nowhere?connect_timeout=2"


def test_an_error_is_one_message_and_one_exit_code_and_shows_no_password() -> None:
    answer = run("proposals", "list", META_PIPELINE_DATABASE_URL=URL)
    assert answer.returncode == 7
    assert answer.stderr.startswith("error (database_unavailable): ")
    assert "\nnext: meta-pipeline db status\n" in answer.stderr
    assert "hunter2" not in answer.stderr + answer.stdout
    assert "Traceback" not in answer.stderr


def test_with_json_an_error_is_a_document_with_a_stable_code() -> None:
    answer = run("proposals", "list", "--json", META_PIPELINE_DATABASE_URL=URL)
    assert answer.returncode == 7
    document = json.loads(answer.stdout)
    assert document["schema"] == "meta-pipeline/error/1"
    assert document["error"]["code"] == "database_unavailable"
    assert document["error"]["next"] == "meta-pipeline db status"


def test_a_setting_that_cannot_be_used_is_named_without_its_value() -> None:
    answer = run("proposals", "list", META_PIPELINE_ALPHA="hunter2")
    assert answer.returncode == 1
    assert "META_PIPELINE_ALPHA" in answer.stderr
    assert "hunter2" not in answer.stderr


def test_every_command_that_an_error_names_next_exists() -> None:
    codes = set()
    waiting = [MetaPipelineError]
    while waiting:
        error = waiting.pop()
        codes.add(error.code)
        waiting += error.__subclasses__()
    assert set(NEXT) <= codes
    group: Any = get_command(app)
    context = group.make_context("meta-pipeline", [], resilient_parsing=True)
    for line in set(NEXT.values()):
        name, *rest = line.removeprefix("meta-pipeline ").split()
        command = group.get_command(context, name)
        assert command is not None, line
        assert not rest or rest[0] == "--help" or rest[0] in command.commands, line


def test_the_reference_says_what_the_commands_say() -> None:
    written = (Path(__file__).parents[2] / "docs" / "cli.md").read_text()
    assert written == reference(), "python -m meta_pipeline.cli.reference > docs/cli.md"


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("meta-pipeline propo", "proposals"),
        ("meta-pipeline proposals sh", "show"),
        ("meta-pipeline runs list --st", "--strategy --state"),
    ],
)
def test_bash_completes_commands_subcommands_and_options(words: str, found: str, tmp_path: Path) -> None:
    """By the script itself, in a real bash, with the command on its path."""
    (tmp_path / "meta-pipeline").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m meta_pipeline "$@"\n')
    (tmp_path / "meta-pipeline").chmod(0o755)
    call = (
        f'PATH="{tmp_path}:$PATH"; source <(meta-pipeline completion bash)\n'
        f"COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))\n"
        '_meta_pipeline_completion meta-pipeline; echo "${COMPREPLY[@]}"'
    )
    answer = subprocess.run(["bash", "-c", call], capture_output=True, text=True, check=True)
    assert answer.stdout.split() == found.split()


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_the_other_shells_have_a_script_too(shell: str) -> None:
    answer = run("completion", shell)
    assert answer.returncode == 0
    assert "_META_PIPELINE_COMPLETE=complete_" + shell in answer.stdout


def test_a_terminal_gets_colours_and_progress_and_a_pipe_or_no_color_gets_none() -> None:
    program = (
        "import sys, time\nfrom meta_pipeline.cli import common\n"
        "with common.progress('Working', total=3) as step:\n"
        "    step(2, 3, 'TREND'); time.sleep(0.3)\n"
        "common.console().print('[red]done[/red]')\n"
    )

    def shown(*command: str, **environment: str) -> str:
        clean = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
        given = {**clean, "TERM": "xterm-256color", **environment}
        return subprocess.run(command, capture_output=True, text=True, check=True, env=given).stdout

    alone = [sys.executable, "-c", program]
    assert shown(*alone) == "done\n"
    terminal = ["script", "-qec", shlex.join(alone), "/dev/null"]
    assert "Working: TREND" in shown(*terminal)
    assert "\x1b[31mdone" in shown(*terminal)
    assert "\x1b[31m" not in shown(*terminal, NO_COLOR="1")


def test_no_color_may_stand_anywhere_on_the_line() -> None:
    assert run("completion", "fish", "--no-color").returncode == 0
    assert run("--no-color", "completion", "fish").returncode == 0
