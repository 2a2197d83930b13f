"""How the suite is run: shown by running pytest on small files with the suite's own hooks."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SKIPS = "import pytest\n@pytest.mark.skip(reason='no browser')\ndef test_page(): ...\ndef test_other(): ...\n"
SKIPS_WHOLE = "import pytest\npytest.importorskip('a_module_nobody_has')\ndef test_page(): ...\n"
SLOW_LAST = "import pytest\ndef test_quick(): ...\n@pytest.mark.slow\ndef test_long(): ...\n"


def run(folder: Path, text: str, *, ci: bool) -> subprocess.CompletedProcess[str]:
    (folder / "test_it.py").write_text(text, encoding="utf-8")
    (folder / "pytest.ini").write_text("[pytest]\nmarkers = slow: takes long\n", encoding="utf-8")
    environment = {**os.environ, "CI": "true" if ci else "", "PYTHONPATH": str(Path(__file__).parents[1])}
    environment["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    command = [sys.executable, "-m", "pytest", "-p", "meta_pipeline_tests.in_ci", "-v", "."]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("text", [SKIPS, SKIPS_WHOLE])
def test_in_ci_a_skipped_test_is_a_failed_one_and_elsewhere_it_is_skipped(tmp_path: Path, text: str) -> None:
    assert run(tmp_path, text, ci=False).returncode in {0, pytest.ExitCode.NO_TESTS_COLLECTED}
    inside = run(tmp_path, text, ci=True)
    assert inside.returncode not in {0, pytest.ExitCode.NO_TESTS_COLLECTED}
    assert "CI=true allows no skips" in inside.stdout


def test_slow_tests_begin_first(tmp_path: Path) -> None:
    shown = run(tmp_path, SLOW_LAST, ci=False).stdout
    assert 0 < shown.index("::test_long") < shown.index("::test_quick")
