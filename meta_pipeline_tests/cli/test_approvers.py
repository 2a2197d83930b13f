"""`meta-pipeline approvers`: who may approve."""

import pytest

from meta_pipeline_tests.cli.shell import Shell

pytestmark = pytest.mark.database


def test_people_come_on_the_list_and_off_it(shell: Shell) -> None:
    assert "Nobody yet" in shell.run("approvers", "list").out
    assert "Bob may approve now" in shell.run("approvers", "add", "Bob").out
    assert shell.run("approvers", "add", "BOB").code == 3
    assert [found["name"] for found in shell.ask("approvers", "list")["approvers"]] == ["Bob"]
    assert shell.ask("approvers", "remove", "bob")["active"] is False
    assert shell.ask("approvers", "list")["approvers"] == []
    assert shell.ask("approvers", "list", "--all")["approvers"][0]["added_by"] == "ann"
    assert shell.run("approvers", "remove", "bob").code == 1


def test_machines_neither_get_on_the_list_nor_manage_it(shell: Shell) -> None:
    assert shell.run("approvers", "add", "meta-pipeline").code == 1
    assert shell.run("approvers", "add", "Bob", actor="dagster").code == 4
