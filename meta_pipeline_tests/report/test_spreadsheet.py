"""Exported CSV: text stays text in a spreadsheet."""

import csv
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from meta_pipeline.report.search import write_files
from meta_pipeline.report.spreadsheet import safe_cell

TEXTS = ("=1", "=cmd()", "+1", "-1", "@x", "\t=1", "\r=1", " =1", "\u00a0=1", "|calc", "\uff1d1")


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_that_a_spreadsheet_would_calculate_gets_an_apostrophe(text: str) -> None:
    assert safe_cell(text) == f"'{text}"


def test_numbers_stay_numbers_and_what_is_nested_is_json() -> None:
    assert safe_cell(-1.5) == "-1.5"
    assert safe_cell(None) == ""
    assert safe_cell("1 = 1") == "1 = 1"
    assert safe_cell(["=cmd()"]) == '["=cmd()"]'


def test_the_history_of_a_search_holds_no_formula(tmp_path: Path) -> None:
    row = dict.fromkeys(("slot", "iteration", "bracket", "number", "resource", "value"))
    found: Any = SimpleNamespace(
        entries={},
        settings=SimpleNamespace(name="s", space=SimpleNamespace(names=("=name",))),
        history=lambda: [{**row, "value": -0.5, "error": "=cmd()", "config": {"=name": "@x"}, "metrics": {}}],
        to_json=lambda *, history: {"top_configs": []},
    )
    write_files(found, tmp_path)
    with (tmp_path / "optimization_history.csv").open(encoding="utf-8") as file:
        header, line = csv.reader(file)
    assert header[-1] == "'=name"
    assert line[-3:] == ["-0.5", "'=cmd()", "'@x"]
