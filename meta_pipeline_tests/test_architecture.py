"""The rules of imports that docs/architecture.md states, each shown to hold and shown able to fail."""

import subprocess
import sys
from pathlib import Path

import pytest

from meta_pipeline_tests import architecture as rules

ROOT = Path(__file__).parents[1]
SOURCES = rules.sources_under(ROOT / "meta_pipeline")
# What executors copy runs at their edge, in their process: it has the clock, the network and a thread.
CLIENTS = frozenset({"meta_pipeline.policy.client"})
PURE = {name: source for name, source in SOURCES.items() if rules.room_of(name) in rules.PURE and name not in CLIENTS}

MAX_LINES = 400
LONG_FILES = {
    "meta_pipeline/policy/client.py": "executors copy it as one file",
    "meta_pipeline/proposals/candidate.py": "the records that cross one boundary, with their units, on one page",
    "meta_pipeline/store/schema.py": "one declaration per table, mirroring one SQL file from top to bottom",
    "meta_pipeline_tests/policy/test_client.py": "the states of one client, in one table from input to decision",
    "meta_pipeline_tests/meta_model/test_training.py": "inputs T1 to T15 of one specification, in its order",
}
"""File -> why it is longer than `MAX_LINES` and better so."""

HEAVY = ("numpy", "pandas", "sqlalchemy", "dagster", "matplotlib", "scipy", "pyarrow", "pydantic", "rich")
LATE = ("sklearn", "optuna", "matplotlib", "arch")
STANDARD_LIBRARY = frozenset(sys.stdlib_module_names)


def python(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, cwd=ROOT, timeout=120, check=False
    )


def loaded_by(module: str, names: tuple[str, ...]) -> list[str]:
    code = "import sys; __import__(sys.argv[1]); print(*[n for n in sys.argv[2:] if n in sys.modules])"
    done = python(code, module, *names)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_imports_run_one_way() -> None:
    assert [line for name, source in SOURCES.items() for line in rules.direction_violations(name, source)] == []


@pytest.mark.parametrize(
    ("module", "line", "said"),
    [
        ("meta_pipeline.evidence.sharpe", "from meta_pipeline.backtests.run import Trade", "may not import backtests"),
        ("meta_pipeline.lab.prices", "import meta_pipeline.store.runs", "lab may not import store"),
        ("meta_pipeline.store.runs", "from meta_pipeline import orchestration", "store may not import orchestration"),
        ("meta_pipeline.report.tables", "from meta_pipeline.store import schema", "report may not import store"),
        ("meta_pipeline.cli.db", "from meta_pipeline.api import app", "cli may not import api"),
        ("meta_pipeline.cli.db", "from meta_pipeline import definitions", "cli may not import definitions"),
        ("meta_pipeline.cli.db", "from . import common", "write absolute imports"),
        ("meta_pipeline.proposals.rules", "def f():\n    import meta_pipeline.cli.main", "may not import cli"),
        ("meta_pipeline.attic.old", "", "not in FLOORS"),
    ],
)
def test_an_import_that_goes_up_or_sideways_is_named(module: str, line: str, said: str) -> None:
    assert any(said in found for found in rules.direction_violations(module, line))


def test_a_report_may_name_the_type_of_a_stored_record_and_load_nothing() -> None:
    typed = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from meta_pipeline.store.runs import Stored"
    assert rules.direction_violations("meta_pipeline.report.tables", typed) == []
    assert rules.direction_violations("meta_pipeline.lab.prices", typed) != []


def test_no_modules_import_each_other_in_a_circle() -> None:
    assert rules.cycles(SOURCES) == []


def test_a_circle_is_named_even_through_a_third_module_or_a_function() -> None:
    circle = {
        "meta_pipeline.a": "from meta_pipeline.b import x",
        "meta_pipeline.b": "def f():\n    from meta_pipeline import c",
        "meta_pipeline.c": "import meta_pipeline.a",
        "meta_pipeline.d": "import meta_pipeline.a",
    }
    assert rules.cycles(circle) == [["meta_pipeline.a", "meta_pipeline.b", "meta_pipeline.c"]]
    circle["meta_pipeline.c"] = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import meta_pipeline.a"
    assert rules.cycles(circle) == []


def test_evidence_and_stages_know_no_framework_clock_environment_or_chance() -> None:
    assert [line for name, source in PURE.items() for line in rules.purity_violations(name, source)] == []


@pytest.mark.parametrize(
    "snippet",
    [
        "import dagster as dg",
        "from sqlalchemy.engine import Connection",
        "import psycopg",
        "import time",
        "def f():\n    from time import perf_counter",
        "import random",
        "from secrets import token_hex",
        "from uuid import uuid4",
        "from meta_pipeline.settings import Settings",
        "import os\nx = os.environ['HOME']",
        "import os\ndef f():\n    return os.getenv('HOME')",
        "from os import environ",
        "from datetime import datetime, UTC\ndef f():\n    return datetime.now(UTC)",
        "import datetime as dt\ndef f():\n    return dt.date.today()",
        "import pandas as pd\nx = pd.Timestamp.now()",
        "import numpy as np\nx = np.datetime64('now')",
        "import numpy as np\nx = np.random.default_rng()",
        "import numpy as np\nx = np.random.default_rng(None)",
        "from numpy.random import default_rng\nx = default_rng()",
        "import numpy as np\nx = np.random.normal(size=3)",
        "import numpy as np\nnp.random.seed(1)",
    ],
)
def test_what_makes_a_stage_impure_is_seen(snippet: str) -> None:
    assert rules.purity_violations("meta_pipeline.evidence.x", snippet)


@pytest.mark.parametrize(
    "snippet",
    [
        "import numpy as np\ndef f(seed: int) -> np.random.Generator:\n    return np.random.default_rng(seed)",
        "from numpy.random import SeedSequence, default_rng\ndef f(seed):\n    return default_rng(SeedSequence(seed))",
        "from datetime import datetime\ndef f(now: datetime):\n    return now.date()",
        "import os.path\nx = os.path.join('a', 'b')",
    ],
)
def test_a_seed_or_a_time_that_is_passed_in_is_welcome(snippet: str) -> None:
    assert rules.purity_violations("meta_pipeline.evidence.x", snippet) == []


def test_no_module_reads_the_environment_when_it_is_imported() -> None:
    assert [line for name, source in SOURCES.items() for line in rules.environment_at_import(name, source)] == []
    assert rules.environment_at_import("m", "import os\nHOME = os.environ.get('HOME')")
    assert not rules.environment_at_import("m", "import os\ndef f():\n    return os.environ.get('HOME')")


CONNECT = """
import importlib, sys
def watch(event, arguments):
    writes = event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+")
    writes = writes and "__pycache__" not in str(arguments[0])
    if writes or event in {"socket.connect", "subprocess.Popen", "os.system"}:
        raise RuntimeError(f"importing did {event} {arguments}")
sys.addaudithook(watch)
for name in sys.argv[1:]:
    if name.startswith("!"):
        exec(name[1:])
    else:
        importlib.import_module(name)
"""


def test_importing_every_module_connects_to_nothing_and_writes_nothing() -> None:
    modules = [name for name in SOURCES if not name.endswith("__main__")]
    done = python(CONNECT, *modules)
    assert done.returncode == 0, done.stderr
    for deed in ("import socket; socket.create_connection(('127.0.0.1', 9))", "open('/dev/null', 'w')"):
        assert "importing did" in python(CONNECT, "!" + deed).stderr


def test_help_of_the_command_line_loads_nothing_heavy() -> None:
    assert loaded_by("meta_pipeline.cli.main", HEAVY) == []
    assert loaded_by("meta_pipeline.evidence.panel", HEAVY) == ["numpy"]


def test_modules_imported_by_the_code_location_leave_the_heaviest_libraries_for_later() -> None:
    assert loaded_by("meta_pipeline.definitions", LATE) == []
    assert loaded_by("matplotlib", LATE) == ["matplotlib"]


def test_the_policy_client_needs_only_the_standard_library() -> None:
    own = STANDARD_LIBRARY - {"meta_pipeline"}
    client = SOURCES.get("meta_pipeline.policy.client", "")
    assert rules.foreign_imports(client, own) == []
    assert rules.foreign_imports("import json\nfrom meta_pipeline import errors\nimport requests", own) == [
        "meta_pipeline",
        "requests",
    ]


BLOCKED = """
import importlib, importlib.abc, sys
class Block(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"dagster", "sqlalchemy", "psycopg"}:
            raise ImportError(f"{name} is blocked here")
sys.meta_path.insert(0, Block())
sys.path.insert(0, "")
split = sys.argv.index("--")
for name in sys.argv[1:split]:
    importlib.import_module(name)
import pytest
chosen = sys.argv[split + 1:]
code = pytest.main(["-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--noconftest", *chosen]) if chosen else 0
sys.exit(int(code))
"""

QUICK_PURE_TESTS = (
    "backtests/test_quality.py",
    "diagnostics/test_configurations.py",
    "evidence/test_contrasts.py",
    "evidence/test_design.py",
    "evidence/test_sharpe.py",
    "lab/test_design.py",
    "proposals/test_knobs.py",
    "proposals/test_states.py",
)


def test_evidence_and_stages_import_and_pass_their_tests_without_dagster_and_sqlalchemy() -> None:
    tests = [str(ROOT / "meta_pipeline_tests" / name) for name in QUICK_PURE_TESTS]
    done = python(BLOCKED, *PURE, "--", *tests)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout
    assert "sqlalchemy is blocked" in python(BLOCKED, "sqlalchemy", "--").stderr


def test_no_file_grows_long_without_a_reason() -> None:
    folders = ("meta_pipeline", "meta_pipeline_tests", "benchmarks")
    lengths = {
        str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines())
        for folder in folders
        for path in (ROOT / folder).rglob("*.py")
    }
    assert rules.too_long(lengths, limit=MAX_LINES, reasons=LONG_FILES) == []


def test_a_long_file_and_a_needless_exception_are_named() -> None:
    assert "split it" in rules.too_long({"a.py": 401}, limit=400, reasons={})[0]
    assert "split it" in rules.too_long({"a.py": 401}, limit=400, reasons={"a.py": " "})[0]
    assert rules.too_long({"a.py": 401}, limit=400, reasons={"a.py": "one table of constants"}) == []
    assert "drop its exception" in rules.too_long({"a.py": 12}, limit=400, reasons={"a.py": "was long once"})[0]
