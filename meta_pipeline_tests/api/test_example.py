"""The example executor, in a process of its own, beside a server that is killed and started again."""

import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from meta_pipeline.store.database import Database
from meta_pipeline_tests.api.clients import serving_process
from meta_pipeline_tests.store.live_book import calm_policy

ROOT = Path(__file__).parents[2]


def url_of(database: Database) -> str:
    return database.address.url().render_as_string(hide_password=False)


class Log:
    """What a process prints, line by line."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process
        self.lines: list[str] = []

    def until(self, *words: str) -> str:
        """Read on until a line has all these words."""
        deadline = time.monotonic() + 60
        assert self.process.stdout is not None
        while time.monotonic() < deadline:
            line = self.process.stdout.readline()
            if not line:
                break
            self.lines.append(line)
            if all(word in line for word in words):
                return line
        raise AssertionError(f"no line with {words} in {self.lines}")


def cli(home: Path, database: Database, *arguments: str) -> str:
    import os

    environment = {**os.environ, "META_PIPELINE_HOME": str(home), "META_PIPELINE_DATABASE_URL": url_of(database)}
    done = subprocess.run(
        [sys.executable, "-m", "meta_pipeline", *arguments], env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout


def test_an_executor_goes_defensive_when_the_server_is_killed(database: Database, tmp_path: Path) -> None:
    calm_policy(database, until=datetime.now(UTC) - timedelta(seconds=30))
    cli(tmp_path, database, "policy", "evaluate")
    keys = tmp_path / "keys.json"
    keys.write_text(cli(tmp_path, database, "policy", "keys", "export"))
    with serving_process(tmp_path, url_of(database)) as (address, server):
        command = [
            *(sys.executable, str(ROOT / "examples" / "executor.py"), "--url", address, "--keys", str(keys)),
            *("--strategy", "S0", "--symbol", "X", "--refresh", "0.2", "--dwell", "0.5", "--look", "0.05"),
            *("--max-silence", "1.0", "--seconds", "60", "--state", str(tmp_path / "state.json")),
        ]
        bot = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True, env={"PYTHONPATH": str(ROOT)})
        try:
            log = Log(bot)
            assert "exits allowed" in log.until("DEFENSIVE", "STATIC+CAPPED", "refused")
            assert "at most 6 positions" in log.until("NORMAL", "STATIC", "entry of S0 in X allowed")
            server.kill()
            log.until("CACHED")
            gone = log.until("DEFENSIVE", "EXPIRED")
            assert "at most 4 positions, 0.30% a trade" in gone
            assert "exits allowed" in gone
        finally:
            bot.kill()
            bot.wait()
            if bot.stdout is not None:
                bot.stdout.close()
    shown = cli(tmp_path, database, "policy", "status")
    assert "example" in shown
