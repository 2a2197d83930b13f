"""The client that executors import: its states, its memory, its sources, and that nothing makes it raise or allow."""

import http.server
import json
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meta_pipeline.canonical import canonical_json
from meta_pipeline.policy import client as module
from meta_pipeline.policy.client import (
    MODE_LIMITS,
    MODE_STRATEGIES,
    HardCaps,
    HmacVerifier,
    PolicyClient,
    Refused,
    accept_unsigned,
    canonical,
    file_source,
    http_report,
    http_source,
    read_document,
    value_source,
)
from meta_pipeline.policy.document import signed
from meta_pipeline.policy.modes import RiskMode
from meta_pipeline.policy.parameters import LIMITS
from meta_pipeline.policy.risk_budget import BUDGET
from meta_pipeline.policy.selection import MOST
from meta_pipeline.policy.signing import Ed25519Signer, Ed25519Verifier, HmacSigner, Unsigned
from meta_pipeline_tests.policy.client_states import PAGE, SCENARIOS, Scenario, in_page, table
from meta_pipeline_tests.policy.documents import DWELL, EXPIRY, SECRET, SIGNER, STALE, VERIFIER, World, document

OK: dict[str, Any] = {"confidence": 0.9, "open_positions": 0, "trades_today": 0, "risk": 0.001}


@pytest.mark.parametrize("scenario", SCENARIOS, ids=[scenario.happens for scenario in SCENARIOS])
def test_each_state_leads_to_its_decision(scenario: Scenario) -> None:
    world = scenario.play()
    assert world.state() == (scenario.mode, scenario.reduce_only, scenario.reasons)
    decision = world.client.current()
    assert decision.allows_exit()
    assert decision.allows_cancel()


def test_the_table_in_the_docs_is_the_one_that_these_tests_generate() -> None:
    assert in_page(PAGE.read_text(encoding="utf-8")) == table()


def test_the_limits_in_the_copyable_file_are_those_of_the_package() -> None:
    for mode in RiskMode:
        assert MODE_LIMITS[mode] == {**LIMITS[mode].to_json(), "max_expected_shortfall": BUDGET[mode]}
        assert MODE_STRATEGIES[mode] == MOST[mode]


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(json_values)
@settings(max_examples=200, deadline=None)
def test_the_client_writes_canonical_json_as_the_package_does(value: Any) -> None:
    try:
        wanted = canonical_json(value)
    except ValueError:
        return  # NUL, half a character: a document cannot hold them
    assert canonical(json.loads(json.dumps(value))) == wanted


def test_an_entry_is_allowed_only_within_every_limit() -> None:
    decision = World().settled(document()).client.current()
    assert decision.check_entry("A", "X", **OK)
    assert decision.weight("A") == 0.5
    assert decision.weight("Z") == 0.0
    refused: list[tuple[dict[str, Any], str]] = [
        ({"confidence": 0.59}, "confidence"),
        ({"confidence": 60}, "confidence"),
        ({"confidence": None}, "confidence"),
        ({"confidence": float("nan")}, "confidence"),
        ({"confidence": True}, "confidence"),
        ({"open_positions": 10}, "max_positions"),
        ({"open_positions": None}, "max_positions"),
        ({"open_positions": -1}, "max_positions"),
        ({"trades_today": 30}, "max_daily_trades"),
        ({"trades_today": "2"}, "max_daily_trades"),
        ({"risk": 0.0076}, "risk"),
        ({"risk": None}, "risk"),
        ({"risk": -0.001}, "risk"),
    ]
    for change, said in refused:
        verdict = decision.check_entry("A", "X", **{**OK, **change})
        assert not verdict
        assert said in verdict.why
    assert "strategy 'C' is not allowed" in decision.check_entry("C", "X", **OK).why
    assert "symbol 'Z' is not allowed" in decision.check_entry("A", "Z", **OK).why
    unhashable: Any = []
    assert not decision.check_entry(unhashable, "X", **OK)


def test_an_empty_list_allows_none_and_no_restriction_of_symbols_is_said_as_null() -> None:
    none = World().settled(document(allowed_strategies=[], weights={})).client.current()
    assert not none.check_entry("A", "X", **OK)
    assert not World().settled(document(allowed_symbols=[])).client.current().check_entry("A", "X", **OK)
    assert World().settled(document(allowed_symbols=None)).client.current().check_entry("A", "anything", **OK)


def test_own_caps_win_over_the_document_and_never_loosen_it() -> None:
    caps = HardCaps(max_positions=3, min_confidence=0.8, max_risk_per_trade=0.5, symbols=("Y", "Z"), strategies=("B",))
    decision = World(caps=caps).settled(document()).client.current()
    assert (decision.limits["max_positions"], decision.limits["min_confidence"]) == (3, 0.8)
    assert decision.limits["max_risk_per_trade"] == 0.0075
    assert (decision.strategies, decision.symbols, decision.weights) == (("B",), ("Y",), {"B": 0.25})
    assert decision.reasons == ("STATIC", "CAPPED")
    wrongs: list[dict[str, Any]] = [{"mode": "BRAVE"}, {"max_positions": -1}, {"max_positions": float("nan")}]
    for wrong in wrongs:
        with pytest.raises(ValueError, match="the cap"):
            HardCaps(**wrong)


def test_a_document_that_allows_more_than_its_mode_is_held_to_the_mode() -> None:
    limits = {**MODE_LIMITS["DEFENSIVE"], "max_positions": 50}
    decision = World().settled(document(mode="DEFENSIVE", limits=limits)).client.current()
    assert decision.limits["max_positions"] == 4


def test_a_document_that_allows_more_strategies_than_its_mode_is_cut_to_the_first() -> None:
    names = [f"S{number}" for number in range(9)]
    many = document(allowed_strategies=names, weights=dict.fromkeys(names, 0.1))
    assert World().settled(many).client.current().strategies == tuple(names[:8])


def test_a_strategy_trades_its_usual_size_at_an_equal_share_less_below_and_never_more() -> None:
    decision = World().settled(document(weights={"A": 0.6, "B": 0.125})).client.current()
    assert [decision.size_factor(name) for name in ("A", "B", "C")] == [1.0, 0.25, 0.0]
    alone = World(caps=HardCaps(strategies=("B",))).settled(document(weights={"A": 0.6, "B": 0.125})).client.current()
    assert alone.size_factor("B") == 0.25
    assert World().client.current().size_factor("A") == 0.0


def test_a_strategy_without_a_share_of_the_risk_may_open_nothing() -> None:
    decision = World().settled(document(weights={"A": 0.0, "B": 0.5})).client.current()
    asked: dict[str, Any] = {"confidence": 0.9, "open_positions": 0, "trades_today": 0, "risk": 0.001}
    assert decision.check_entry("A", "X", **asked).why == "strategy 'A' has no share of the book's risk"
    assert decision.check_entry("B", "X", **asked)


def test_a_looser_document_waits_and_one_that_is_looser_still_waits_anew() -> None:
    world = World().settled(document(1, "DEFENSIVE"))
    world.given(document(2, "NORMAL")).after(DWELL - 1).given(document(3, "AGGRESSIVE")).after(2)
    assert world.state()[0] == "DEFENSIVE"
    world.after(DWELL).client.refresh()
    assert world.state() == ("AGGRESSIVE", False, ("STATIC",))


def test_a_tighter_document_does_not_make_the_looser_part_of_it_act_early() -> None:
    world = World().settled(document(1, allowed_strategies=["A"], weights={"A": 0.5}))
    world.given(document(2, allowed_strategies=["A", "B"], weights={"A": 0.2, "B": 0.8}))
    decision = world.client.current()
    assert (decision.strategies, decision.weights) == (("A",), {"A": 0.2})
    world.after(DWELL)
    assert world.client.current().weights == {"A": 0.2, "B": 0.8}


def test_nothing_loosens_while_the_document_is_stale() -> None:
    world = World().settled(document(1, "DEFENSIVE")).given(document(2, "NORMAL")).after(STALE)
    world.client.refresh()
    world.after(10 * DWELL)
    assert world.state()[0] == "DEFENSIVE"


@pytest.mark.parametrize("silent_looks", range(3, 20))
def test_the_wait_does_not_run_while_the_sources_are_silent(silent_looks: int) -> None:
    world = World(max_silence_seconds=30.0).settled(document())
    for _ in range(silent_looks):
        world.given(OSError("down")).after(10)
    assert world.state() == ("DEFENSIVE", False, ("EXPIRED",))
    for _ in range(round(DWELL / 10)):
        world.given(document())
        assert world.state() == ("DEFENSIVE", False, ("STATIC", "CAPPED"))
        world.after(10)
    assert world.given(document()).state() == ("NORMAL", False, ("STATIC",))


def test_a_stale_or_expired_policy_shrinks_the_weights_to_the_tighter_risk_budget() -> None:
    names = [f"S{i}" for i in range(10)]
    wide = document(mode="AGGRESSIVE", allowed_strategies=names, weights=dict.fromkeys(names, 0.1))
    world = World().settled(wide).after(STALE)
    assert len(world.client.current().strategies) == 8
    assert world.client.current().weight("S0") == pytest.approx(0.05)
    world.after(EXPIRY)
    assert world.client.current().strategies == tuple(names[:4])
    assert world.client.current().weight("S0") == pytest.approx(0.02)


def test_a_restart_goes_on_from_the_last_document_and_accepts_nothing_older(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "state.json"
    World(state_path=path).settled(document(7))
    again = World(state_path=path, offered=OSError("down"))
    again.client.refresh()
    assert again.state() == ("DEFENSIVE", True, ("CACHED", "CAPPED"))
    again.after(DWELL)
    assert again.state() == ("NORMAL", False, ("CACHED",))
    old = World(state_path=path).settled(document(6, "AGGRESSIVE"))
    assert old.state() == ("NORMAL", False, ("CACHED", "ROLLBACK_REJECTED"))
    assert old.client.heartbeat()["version"] == 7
    late = World(state_path=path, offered=OSError("down"))
    late.after(0, wall=EXPIRY).client.refresh()
    assert late.state()[0] == "DEFENSIVE"


def test_a_state_that_cannot_be_read_or_kept_is_said_and_stops_nothing(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    path.write_text("{torn")
    world = World(state_path=path)
    assert "restored state" in world.client.heartbeat()["problems"]
    assert world.settled(document()).state()[0] == "NORMAL"
    (tmp_path / "file").write_text("in the way")
    unwritable = World(state_path=tmp_path / "file" / "state.json").settled(document())
    assert unwritable.state()[0] == "NORMAL"
    assert "cannot be kept" in unwritable.client.heartbeat()["problems"]["state"]


def test_a_source_that_says_not_changed_confirms_only_what_it_gave_itself() -> None:
    silent = World(max_silence_seconds=30.0).settled(document())
    silent.offered = document(2, schema="meta-pipeline/policy/2")
    silent.client.refresh()
    for _ in range(4):
        silent.after(10).given(None)
    assert silent.state() == ("DEFENSIVE", False, ("EXPIRED",))
    assert "schema" in silent.client.heartbeat()["problems"]["source 0"]


def test_a_place_that_came_back_empty_confirms_no_policy() -> None:
    redis: dict[str, str] = {"msc_ai:document": document()}
    world = World(sources=[value_source(lambda: redis.get("msc_ai:document"))], max_silence_seconds=90.0)
    world.client.refresh()
    world.after(DWELL).client.refresh()
    assert world.state() == ("NORMAL", False, ("STATIC",))
    redis.clear()
    world.client.refresh()
    assert world.state() == ("NORMAL", False, ("CACHED",))
    assert "no document" in world.client.heartbeat()["problems"]["source 0"]
    world.after(90.0).client.refresh()
    assert world.state() == ("DEFENSIVE", False, ("EXPIRED",))


def test_a_document_of_the_future_forbids_at_once_and_allows_when_its_time_has_come() -> None:
    world = World().settled(document()).given(document(2, "DEFENSIVE", at=600.0))
    assert world.state() == ("DEFENSIVE", False, ("CACHED", "CAPPED"))
    assert "clocks" in world.client.heartbeat()["problems"]["clock"]
    # The version before, from wherever, does not undo it.
    assert world.given(document()).after(DWELL).given(document()).state()[0] == "DEFENSIVE"
    assert world.after(600.0).given(document(2, "DEFENSIVE", at=600.0)).state() == ("DEFENSIVE", False, ("STATIC",))
    assert "clock" not in world.client.heartbeat()["problems"]
    assert world.given(document(3, at=660.0)).after(DWELL).state()[0] == "NORMAL"


def test_a_pinned_epoch_is_the_only_one() -> None:
    assert World(epoch="f" * 32).settled(document()).state()[1] is True
    assert World(epoch="e" * 32).settled(document()).state()[0] == "NORMAL"


def test_of_several_sources_the_highest_version_wins_and_one_that_is_tampered_with_stops_all() -> None:
    offered: list[Any] = [document(3), document(4, "DEFENSIVE"), OSError("down")]

    def source(index: int) -> Any:
        def read() -> Any:
            if isinstance(offered[index], Exception):
                raise offered[index]
            return offered[index]

        return read

    world = World(sources=[source(0), source(1), source(2)])
    world.client.refresh()
    assert world.client.current().version == 4
    assert world.client.heartbeat()["problems"]["source 2"] == "OSError: down"
    offered[2] = document(5).replace("NORMAL", "normal")
    world.client.refresh()
    assert world.state() == ("DEFENSIVE", True, ("BAD_SIGNATURE",))


def test_keys_rotate_by_their_id() -> None:
    other = HmacSigner("k2", b"another secret of many bytes.")
    both = HmacVerifier({"k1": SECRET, "k2": b"another secret of many bytes."})
    assert World(verifier=both).settled(document()).settled(document(2, signer=other)).client.current().version == 2
    with pytest.raises(ValueError, match="at least 16"):
        HmacVerifier({"k": b"short"})


def test_ed25519_is_verified_and_a_key_that_verifies_cannot_sign() -> None:
    signer = Ed25519Signer("main", bytes(range(32)))
    verifier = Ed25519Verifier({"main": signer.public_key()})
    good = document(signer=signer)
    assert World(verifier=verifier).settled(good).state()[0] == "NORMAL"
    forged = document(signer=HmacSigner("main", signer.public_key()))
    assert World(verifier=verifier).settled(forged).state()[2] == ("BAD_SIGNATURE",)
    assert World(verifier=verifier).settled(good.replace('"NORMAL"', '"AGGRESSIVE"')).state()[1] is True
    with pytest.raises(ValueError, match="32"):
        Ed25519Verifier({"main": b"short"})


def test_unsigned_documents_take_a_choice_on_both_sides() -> None:
    unsigned = document(signer=Unsigned())
    assert World().settled(unsigned).state()[2] == ("BAD_SIGNATURE",)
    assert World(verifier=accept_unsigned).settled(unsigned).state()[0] == "NORMAL"
    assert World(verifier=accept_unsigned).settled(document()).state()[2] == ("BAD_SIGNATURE",)


@given(st.binary(max_size=400) | st.text(max_size=400) | json_values.map(json.dumps))
@settings(max_examples=150, deadline=None)
def test_whatever_a_source_gives_the_client_neither_raises_nor_allows(garbage: Any) -> None:
    world = World().given(garbage)
    assert world.state()[:2] == ("DEFENSIVE", True)
    stood = World().settled(document()).given(garbage)
    assert stood.client.current().mode in {"DEFENSIVE", "NORMAL"}


GOOD = json.loads(document())


def altered(name: str, value: Any) -> str:
    """Return the good document with one field changed, signed anew unless it is the signature that changed."""
    if name in {"digest", "signature"}:
        return json.dumps({**GOOD, name: value})
    content = {key: field for key, field in GOOD.items() if key not in {"digest", "signature"}}
    return canonical_json(signed({**content, name: value}, SIGNER))


@given(st.sampled_from(sorted(GOOD)), json_values)
@settings(max_examples=200, deadline=None)
def test_a_signed_document_with_any_field_changed_is_used_whole_or_not_at_all(name: str, value: Any) -> None:
    try:
        changed = altered(name, value)
    except (ValueError, TypeError):
        return  # nothing that could be signed
    try:
        read = read_document(changed, scope="live", verifier=VERIFIER)
    except Refused:
        return
    assert read.decision.mode in MODE_LIMITS
    assert read.issued_at <= read.stale_at <= read.expires_at
    assert all(read.decision.limits[limit] >= 0 for limit in MODE_LIMITS["NORMAL"])


@pytest.mark.parametrize("missing", sorted(set(GOOD) - {"profile", "inputs_as_of", "reasons"}))
def test_a_document_that_lacks_a_field_is_refused(missing: str) -> None:
    body = {key: value for key, value in GOOD.items() if key not in {missing, "digest", "signature"}}
    lacking = signed(body, SIGNER)
    if missing in {"digest", "signature"}:
        del lacking[missing]
    with pytest.raises(Refused):
        read_document(canonical_json(lacking), scope="live", verifier=VERIFIER)


def test_a_document_that_would_live_for_days_or_is_nested_or_huge_is_refused() -> None:
    for changed in (
        document(expires_at="2026-12-20T12:00:00+00:00"),
        document(stale_at="2026-11-20T11:00:00+00:00"),
        document(version=True),
        document(reasons=[[[[[[[[[]]]]]]]] for _ in range(3)]).replace("[[]]", "[" * 40 + "]" * 40),
        " " * (module.LARGEST_DOCUMENT + 1),
        '{"schema": 1, "schema": 1}',
        '{"schema": NaN}',
        "[]",
        b"\xff\xfe",
    ):
        with pytest.raises((Refused, UnicodeDecodeError)):
            read_document(changed, scope="live", verifier=VERIFIER)


def test_a_million_calls_with_the_network_blocked_raise_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World().settled(document())

    def blocked(*_: object, **__: object) -> None:
        raise AssertionError("current() opened a socket or a file")

    monkeypatch.setattr(socket, "socket", blocked)
    monkeypatch.setattr("builtins.open", blocked)
    monkeypatch.setattr(Path, "open", blocked)
    current = world.client.current
    for _ in range(1_000_000):
        current()
    assert current().mode == "NORMAL"


class Served:
    """A server on loopback that answers what the test says."""

    def __init__(self) -> None:
        self.answer: tuple[int, str, dict[str, str]] = (200, document(), {"ETag": '"1"'})
        self.seen: list[dict[str, str]] = []
        self.posted: list[dict[str, Any]] = []
        owner = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                owner.seen.append(dict(self.headers))
                status, body, headers = owner.answer
                if headers.get("ETag") and self.headers.get("If-None-Match") == headers["ETag"]:
                    status, body = 304, ""
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body.encode())))
                self.end_headers()
                self.wfile.write(body.encode())

            def do_POST(self) -> None:
                length = int(self.headers["Content-Length"])
                owner.posted.append(json.loads(self.rfile.read(length)))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                return

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/policy"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def served() -> Iterator[Served]:
    one = Served()
    yield one
    one.server.shutdown()
    one.server.server_close()


def test_over_http_a_document_is_fetched_once_and_then_only_asked_after(served: Served) -> None:
    world = World(sources=[http_source(served.url, token="t")], report=http_report(served.url))
    world.client.refresh()
    world.client.refresh()
    assert world.client.current().version == 1
    assert served.seen[0]["Authorization"] == "Bearer t"
    assert served.seen[1]["If-None-Match"] == '"1"'
    assert [beat["executor_id"] for beat in served.posted] == ["bot", "bot"]
    served.answer = (500, "broken", {})
    world.client.refresh()
    assert "500" in world.client.heartbeat()["problems"]["source 0"]
    served.answer = (302, "", {"Location": "http://127.0.0.1:1/elsewhere"})
    world.client.refresh()
    assert "302" in world.client.heartbeat()["problems"]["source 0"]
    served.answer = (200, document(2, "DEFENSIVE"), {})
    world.client.refresh()
    world.after(DWELL)
    assert world.state() == ("DEFENSIVE", False, ("STATIC",))
    for wrong in ("file:///etc/passwd", "ftp://x"):
        with pytest.raises(ValueError, match="neither http"):
            http_source(wrong)


def test_the_thread_refreshes_survives_its_sources_and_stops(tmp_path: Path) -> None:
    path = tmp_path / "policy.json"
    calls: list[int] = []

    def fails() -> str:
        calls.append(1)
        raise RuntimeError("boom")

    running = PolicyClient(
        executor_id="bot",
        scope="live",
        sources=[file_source(path), fails],
        verifier=VERIFIER,
        refresh_seconds=0.01,
        report=lambda _: 1 / 0,  # type: ignore[arg-type]
    ).start()
    deadline = time.monotonic() + 10
    while len(calls) < 5 and time.monotonic() < deadline:
        time.sleep(0.01)
    beat = running.heartbeat()
    running.stop()
    assert len(calls) >= 5
    assert beat["reduce_only"] is True
    assert {"source 0", "source 1", "report"} <= set(beat["problems"])
    n = len(calls)
    time.sleep(0.05)
    assert len(calls) == n


ALONE = """
import sys
sys.path.insert(0, sys.argv[1])
import client, freqtrade_adapter, nautilus_adapter
names = sorted({name.partition(".")[0] for name in sys.modules} - sys.stdlib_module_names)
print([name for name in names if name not in {"client", "freqtrade_adapter", "nautilus_adapter", "__main__"}])
bot = client.PolicyClient(executor_id="b", scope="live", sources=[], verifier=client.accept_unsigned)
print(bot.current().mode, bot.current().reduce_only)
"""


def test_the_file_works_copied_away_with_the_standard_library_alone(tmp_path: Path) -> None:
    folder = Path(module.__file__).parent
    for name in ("client.py", "freqtrade_adapter.py", "nautilus_adapter.py"):
        shutil.copy(folder / name, tmp_path)
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", ALONE, str(tmp_path)], capture_output=True, text=True, check=False, cwd="/"
    )
    assert done.stdout.splitlines() == ["[]", "DEFENSIVE True"], done.stderr
