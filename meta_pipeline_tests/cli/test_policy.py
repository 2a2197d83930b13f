"""`meta-pipeline live`, `policy` and `tokens`: from files of fills to a signed policy at the shell."""

import csv
import json
import socket
from base64 import b64decode
from datetime import timedelta
from pathlib import Path

import pytest

from meta_pipeline.cli import common
from meta_pipeline.policy.client import HmacVerifier, read_document
from meta_pipeline.policy.signing import Ed25519Verifier
from meta_pipeline.store.database import Database
from meta_pipeline_tests.cli.shell import Shell
from meta_pipeline_tests.store.live_book import NOW, prices, round_trips

pytestmark = pytest.mark.database


@pytest.fixture(autouse=True)
def the_time(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(common, "now", lambda: NOW)
    monkeypatch.setenv("META_PIPELINE_HOME", str(tmp_path / "home"))


def files(folder: Path) -> tuple[Path, Path]:
    """Write fills as CSV, one of them unreadable, and prices as JSON lines."""
    fills, quotes = folder / "fills.csv", folder / "prices.jsonl"
    rows = [fill.to_json() for fill in round_trips("S0", 30, seed=1)]
    with fills.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
        writer.writerow({**rows[0], "execution_id": "odd", "quantity": "many"})
    lines = [{"symbol": one.symbol, "at": one.at.isoformat(), "close": one.close} for one in prices(days=200)]
    quotes.write_text("\n".join(map(json.dumps, lines)))
    return fills, quotes


def test_from_files_to_a_policy_at_the_shell(database: Database, shell: Shell, tmp_path: Path) -> None:
    fills, quotes = files(tmp_path)
    assert shell.run("live", "capital", "100000", "--at", "2026-10-01").code == 0
    assert "was on record" in shell.run("live", "capital", "100000", "--at", "2026-10-01").out
    assert shell.run("live", "declare", "S0", "--name", "First").code == 0
    told = shell.run("live", "ingest", str(fills))
    assert told.code == 1  # one row was no fill
    assert "60 new fills" in told.out
    assert "row 62: quantity is 'many', which is no number" in told.out
    assert shell.ask("live", "prices", str(quotes))["days_written"] == 200
    # A row that nobody can read may be a position that nobody knows of.
    waiting = shell.run("live", "refused").out
    assert "quantity is 'many'" in waiting
    assert "1 fill was refused" in shell.run("policy", "evaluate").out
    assert shell.run("live", "dismiss", "--reason", "a line of the export's footer").code == 0
    assert "No refused fill waits" in shell.run("live", "refused").out
    made = shell.run("policy", "evaluate")
    for seen in (
        "DEFENSIVE: S0 (live, version 2, default profile)",
        "calm for 0.0 of the 4 hours",
        "win rate",
        "file: published",
    ):
        assert seen in made.out
    status = shell.ask("policy", "status")
    assert status["policy"]["allowed_strategies"] == ["S0"]
    assert status["publications"][0]["error"] is None
    seen_by_people = shell.run("policy", "status").out
    assert "No executor has reported." in seen_by_people
    assert "file: published" in seen_by_people
    document = shell.run("policy", "show").out.strip()
    ring = json.loads(shell.run("policy", "keys", "export").out)
    keys = {key: b64decode(value) for key, value in ring["ed25519"].items()}
    assert read_document(document, scope="live", verifier=Ed25519Verifier(keys)).version == 2
    shown = shell.ask("policy", "show")
    assert (shown["schema"], shown["document"]) == ("meta-pipeline/policy.show/1", document)
    assert shown["policy"] == json.loads(document)
    exported = shell.ask("policy", "keys", "export")
    assert (exported["schema"], exported["keys"]) == ("meta-pipeline/policy.keys.export/1", ring)
    assert shell.run("policy", "show", "7").code == 1


def test_halt_and_resume_keys_and_history_at_the_shell(database: Database, shell: Shell) -> None:
    shell.run("live", "capital", "1000")
    assert shell.run("policy", "halt").code == 2
    assert "halted, only exits" in shell.run("policy", "halt", "--reason", "news").out
    assert shell.run("policy", "resume", "--reason", "over", actor="dagster").code == 4
    assert shell.ask("policy", "resume", "--reason", "over")["policy"]["halt"]["active"] is False
    assert shell.run("policy", "resume", "--reason", "over").code == 5
    history = shell.ask("policy", "history")
    assert [row["trigger"] for row in history["history"]] == ["resume", "halt"]
    assert "halted by" in shell.run("policy", "history").out
    first = shell.ask("policy", "keys", "list")["keys"][0]["key_id"]
    made = shell.ask("policy", "keys", "new", "--algorithm", "hmac-sha256")
    shared = json.loads(shell.run("policy", "keys", "export", "--with-secrets").out)["hmac-sha256"]
    HmacVerifier({key: b64decode(value) for key, value in shared.items()})
    assert made["key_id"] in shared
    assert made["key_id"] not in shell.run("policy", "keys", "export").out
    assert shell.run("policy", "keys", "retire", first).code == 1
    assert shell.run("policy", "keys", "new", "--algorithm", "rot13").code == 1
    assert len(shell.ask("policy", "new-epoch", "--reason", "restored")["epoch"]) == 32
    assert shell.run("policy", "evaluate", "--scope", "nowhere").code == 1


def test_the_lab_is_replayed_as_live_trading_and_goes_on_where_it_was(
    database: Database, shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = shell.ask("live", "replay")
    assert first["accepted"] > 100
    assert first["days_moved"] % 7 == 0
    made = shell.ask("policy", "evaluate", "--scope", "lab")
    assert made["health"]["problems"] == []
    assert len(made["rankings"]["best"]) == 3
    assert made["policy"]["reasons"]
    monkeypatch.setattr(common, "now", lambda: NOW + timedelta(days=60))
    later = shell.ask("live", "replay")
    assert later["accepted"] > 0
    assert later["duplicates"] == first["accepted"]
    assert later["days_moved"] == first["days_moved"]
    shell.run("live", "capital", "1000")
    assert "is no replay" in shell.run("live", "replay", "--scope", "live").err
    monkeypatch.setattr(common, "now", lambda: NOW + timedelta(days=3000))
    assert "held-back days end" in shell.run("live", "replay").err


def test_strategies_are_admitted_and_refusals_dismissed_at_the_shell(
    database: Database, shell: Shell, tmp_path: Path
) -> None:
    shell.run("live", "capital", "1000")
    shell.run("live", "declare", "NEW", "--regime", "RANGING", "--paused")
    assert shell.ask("live", "declare", "NEW")["status"] == "LIVE"
    assert shell.ask("live", "admit", "NEW", "--reason", "try it", "--days", "5")["admitted_until"].startswith(
        "2026-11-25"
    )
    assert shell.ask("policy", "evaluate")["policy"]["allowed_strategies"] == ["NEW"]
    assert shell.run("live", "dismiss", "--reason", "x").code == 1
    for name, content, said in (
        ("a.txt", "", "none of .csv"),
        ("b.jsonl", "{", "no JSON"),
        ("c.jsonl", "[1]", "no JSON object"),
        ("d.csv", "a\n1,2\n", "more fields than"),
    ):
        path = tmp_path / name
        path.write_text(content)
        assert said in shell.run("live", "ingest", str(path)).err
    assert "no file" in shell.run("live", "ingest", str(tmp_path / "nowhere.csv")).err
    for amount in ("nan", "inf"):
        answer = shell.run("live", "capital", amount)
        assert "must be a number" in answer.err
        assert answer.code == 2
    early = tmp_path / "early.csv"
    columns = "execution_id,strategy_id,symbol,side,quantity,price,executed_at"
    early.write_text(f"{columns}\ne1,A,X,BUY,1,1,0001-01-01T00:00:00+14:00\n")
    assert "no time in UTC" in shell.run("live", "ingest", str(early)).out


def test_tokens_are_shown_once_listed_and_revoked(database: Database, shell: Shell) -> None:
    made = shell.ask("tokens", "new", "--name", "Bob", "--role", "approver")
    assert made["token"].startswith("mp_")
    assert "Shown once" in shell.run("tokens", "new", "--name", "bot", "--role", "executor").out
    listed = shell.run("tokens", "list")
    assert made["token"] not in listed.out
    assert made["token_id"] in listed.out
    assert shell.ask("tokens", "revoke", made["token_id"])["revoked_at"] is not None
    assert shell.run("tokens", "revoke", "nope").code == 1
    assert shell.run("tokens", "new", "--name", "Bob", "--role", "king").code == 1


def test_a_server_that_others_can_reach_is_refused_at_the_shell(database: Database, shell: Shell) -> None:
    refused = shell.run("serve", "--host", "0.0.0.0")
    assert refused.code == 4
    assert "tokens new" in refused.err


def test_a_port_that_another_program_has_is_an_error_before_an_address_is_named(
    database: Database, shell: Shell
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        refused = shell.run("serve", "--port", str(other.getsockname()[1]))
    assert refused.code == 1
    assert "take another --port" in refused.err
    assert "http://" not in refused.out + refused.err
