"""The command itself: help, unknown commands, and what an error looks like to a shell."""

import json
import os
import subprocess
import sys
from importlib import import_module

import pytest

from meta_pipeline.cli.main import COMMANDS


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


def test_usage_that_a_command_refuses_has_the_parsers_exit_code() -> None:
    answer = run("live", "capital", "nan", "--json")
    assert answer.returncode == 2
    assert json.loads(answer.stdout)["error"]["code"] == "usage"


URL = "postgresql://somebody:hunter2@127.0.0.1:1/nowhere?connect_timeout=2"


def test_an_error_is_one_message_and_one_exit_code_and_shows_no_password() -> None:
    answer = run("proposals", "list", META_PIPELINE_DATABASE_URL=URL)
    assert answer.returncode == 7
    assert answer.stderr.startswith("error (database_unavailable): ")
    assert "hunter2" not in answer.stderr + answer.stdout
    assert "Traceback" not in answer.stderr


def test_with_json_an_error_is_a_document_with_a_stable_code() -> None:
    answer = run("proposals", "list", "--json", META_PIPELINE_DATABASE_URL=URL)
    assert answer.returncode == 7
    assert json.loads(answer.stdout)["error"]["code"] == "database_unavailable"


def test_a_setting_that_cannot_be_used_is_named_without_its_value() -> None:
    answer = run("proposals", "list", META_PIPELINE_ALPHA="hunter2")
    assert answer.returncode == 1
    assert "META_PIPELINE_ALPHA" in answer.stderr
    assert "hunter2" not in answer.stderr
