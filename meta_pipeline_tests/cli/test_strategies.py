"""`meta-pipeline strategies`: declared from a file, listed, shown."""

import json
from pathlib import Path
from typing import Any

import pytest

from meta_pipeline.cli.strategies import read_strategy
from meta_pipeline.errors import InputError
from meta_pipeline.store.database import Database
from meta_pipeline_tests.cli.shell import Shell
from meta_pipeline_tests.store.governed import applied, prepare

YAML = """\
strategy_id: STRAT_001
family: trend
description: Follows the trend
live_config:
  risk: {max_vol: 0.30}
  lookback: 63
knobs:
  - {path: risk.max_vol, knob_type: float, lower: 0.05, upper: 0.5, max_step: 0.1, risk_direction: higher_is_riskier}
  - {path: lookback, knob_type: int, choices: [21, 63, 126], risk_direction: neutral}
"""


@pytest.mark.database
def test_a_strategy_is_declared_from_a_file_and_again_without_effect(shell: Shell, tmp_path: Path) -> None:
    file = tmp_path / "strategy one.yaml"
    file.write_text(YAML)
    assert "STRAT_001: declared; live version 1" in shell.run("strategies", "declare", str(file)).out
    assert "STRAT_001: as it was" in shell.run("strategies", "declare", str(file)).out
    file.write_text(YAML.replace("upper: 0.5", "upper: 0.4"))
    assert shell.ask("strategies", "declare", str(file))["changed"] == ["knob risk.max_vol"]
    file.write_text(YAML.replace("lookback: 63", "lookback: 21"))
    refused = shell.run("strategies", "declare", str(file))
    assert (refused.code, "lookback: 63 is live, 21 declared" in refused.err) == (5, True)


@pytest.mark.database
def test_what_show_prints_as_json_can_be_declared(shell: Shell, tmp_path: Path, database: Database) -> None:
    prepare(database)
    shown = shell.ask("strategies", "show", "STRAT")
    fields = {name: shown[name] for name in ("strategy_id", "family", "description", "knobs", "live_config")}
    file = tmp_path / "s.json"
    file.write_text(json.dumps(fields))
    assert shell.ask("strategies", "declare", str(file))["changed"] == []


@pytest.mark.database
def test_knobs_live_values_and_versions_are_shown(shell: Shell, database: Database) -> None:
    prepare(database)
    change_id = applied(database)
    printed = shell.run("strategies", "show", "STRAT").out
    for seen in (
        "risk.max_vol",
        "0.25",
        "higher is riskier",
        "0.05 to 0.95",
        "version 2",
        change_id,
        "anything of its",
    ):
        assert seen in printed
    assert "STRAT" in shell.run("strategies", "list").out
    assert shell.run("strategies", "show", "NONE").code == 1


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("- a list", "holds a list"),
        ("{", "neither JSON nor YAML"),
        ("strategy_id: S", "missing fields \\['knobs', 'live_config'\\]"),
        (YAML + "owner: ann", "unknown fields \\['owner'\\]"),
        (YAML.replace("strategy_id: STRAT_001", "strategy_id: 7"), "strategy_id is 7; it must be a text"),
        ("strategy_id: S\nknobs: 5\nlive_config: {}", "knobs must be a list"),
        ("strategy_id: S\nknobs: []\nlive_config: []", "it must be an object"),
        ("strategy_id: S\nknobs: []\nlive_config: {start: 2020-01-01}", "no JSON"),
        ("strategy_id: S\nknobs: []\nlive_config: {x: .nan}", "no JSON"),
    ],
)
def test_a_file_that_declares_nothing_usable_is_refused(tmp_path: Path, content: str, said: str) -> None:
    file = tmp_path / "s.yaml"
    file.write_text(content)
    with pytest.raises(InputError, match=said):
        read_strategy(file)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere\.yaml cannot be read: No such file"):
        read_strategy(tmp_path / "nowhere.yaml")


def test_json_numbers_are_read_as_json_reads_them(tmp_path: Path) -> None:
    file = tmp_path / "s.json"
    declared: dict[str, Any] = {"strategy_id": "S", "knobs": [], "live_config": {"x": 1e-07, "y": 1, "z": 1.0}}
    file.write_text('{"strategy_id": "S", "knobs": [], "live_config": {"x": 1e-7, "y": 1, "z": 1.0}}')
    found = dict(read_strategy(file).live_config)
    assert json.dumps(found) == json.dumps(declared["live_config"])
