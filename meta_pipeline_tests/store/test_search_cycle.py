"""From a search to a proposal: only a winner, only on prices that somebody recorded, only through the gate.

The file with a planted signal is made here and is called what it is not (`recorded`) in one test, to reach what follows
a winner at all: real prices have none. It proves the way, and nothing about markets.
"""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet
from sqlalchemy import text

from meta_pipeline.errors import Blocked, InputError, NotPermitted, StaleBase
from meta_pipeline.hyperband.executors import InProcess
from meta_pipeline.hyperband.forest_strategy import (
    FOREST_LAB,
    FORESTS,
    USUAL,
    as_declared,
    declaration,
    parameters_of,
    require_real,
    search_of,
    strategy_searched,
)
from meta_pipeline.hyperband.ledger import create_or_open, ledger_digest
from meta_pipeline.hyperband.results import result_of
from meta_pipeline.hyperband.search import Search
from meta_pipeline.hyperband.strategy_space import CHOICES
from meta_pipeline.hyperband.verdict import Thresholds
from meta_pipeline.hyperband.watching import Limits
from meta_pipeline.proposals.decision import Decision
from meta_pipeline.proposals.knob_groups import objection_inside
from meta_pipeline.report.files import ProposalReports, report_files
from meta_pipeline.settings import Settings
from meta_pipeline.store import (
    approvers,
    experiments,
    governance,
    runs,
    search,
    search_cycle,
    search_verdict,
    search_watch,
    strategies,
)
from meta_pipeline.store import proposals as stored_proposals
from meta_pipeline.store.database import Database
from meta_pipeline.store.queries import query
from meta_pipeline.store.search_ledgers import folder_place
from meta_pipeline_tests.hyperband import toy
from meta_pipeline_tests.hyperband.paths import FOUR_HOURS, path

pytestmark = pytest.mark.database
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
SETTINGS = Settings(_env_file=None)  # type: ignore[call-arg]
# Between two equally good configurations no search can show that one beats the other: here only the way is at stake.
LENIENT = Thresholds(draws=49, superior_p_value=1.0, neighbourhood=-9.0, backtest_overfitting=1.0)
FIXED: dict[str, Any] = {"n_folds": 2, "sample_share": 0.2, "train_bars": 500}


def planted(folder: Path, *, origin: str | None = None, until: datetime = NOW, n_bars: int = 2200) -> Path:
    """A file with a trend in it up to a day, for these tests only; `origin` goes into its metadata."""
    whole = path(2600, seed=3, drift=0.35)
    # What came before is the same however far the file has grown: bar 2,199 is that of NOW.
    times = np.datetime64(NOW.replace(tzinfo=None), "s") + FOUR_HOURS * (np.arange(len(whole)) - 2199)
    kept = np.flatnonzero(times <= np.datetime64(until.replace(tzinfo=None), "s"))[-n_bars:]
    columns = {name: getattr(whole, name)[kept] for name in ("open", "high", "low", "close", "volume")}
    table = pa.Table.from_pandas(pd.DataFrame({"timestamp": times[kept], **columns}))
    if origin is not None:
        table = table.replace_schema_metadata({b"origin": origin.encode()})
    parquet.write_table(table, folder / "bars.parquet")
    return folder / "bars.parquet"


def searched(database: Database, folder: Path, *, origin: str, name: str = "FOREST_PLANTED") -> str:
    """Declare a strategy on the planted file, search it, judge it; return the search's name."""
    slow = {name: choices[0] for name, choices in CHOICES.items() if name.endswith("n_estimators")}
    data = {"path": str(planted(folder)), "origin": origin, "symbols": None}
    live = {**USUAL, **slow}
    with database.begin() as connection:
        strategies.declare(
            connection, declaration(name, fixed={**FIXED, "data": data}, parameters=live), actor="Ann", now=NOW
        )
        config = strategies.live_config(connection, name).config
    wanted = search_of(name, config, maximum_resource=3, seed=3)
    place = folder_place(folder / "search", wanted.name)
    ledger = create_or_open(place.storage, wanted)
    Search(ledger, place.checkpoints, worker="test", clock=lambda: 0.0).run(InProcess())
    result = result_of(ledger.settings, ledger.entries())
    with database.begin() as connection:
        search.record(connection, result, place=place.described, now=NOW)
    judged = search_cycle.judge_finished(database, place, ledger, result, actor="Ann", now=NOW, thresholds=LENIENT)
    assert judged is not None
    assert judged["winner"], [gate for gate in judged["gates"] if not gate["passed"]]  # type: ignore[union-attr, index, call-overload]
    assert search_cycle.judge_finished(database, place, ledger, result, actor="Ann", now=NOW) == judged
    return wanted.name


def test_two_searches_in_one_folder_never_take_each_others_checkpoints(tmp_path: Path) -> None:
    found: list[str] = []
    for seed in (1, 2, 1):
        wanted = toy.search_settings(resource=3, name=f"toy {seed} of {len(found)}", seed=seed)
        place = folder_place(tmp_path, wanted.name)
        with place.lock(wanted.name):
            search = Search(create_or_open(place.storage, wanted), place.checkpoints, worker="t", clock=lambda: 0.0)
            found.append(ledger_digest(search.run(InProcess())))
    assert found[0] == found[2] != found[1]


@pytest.mark.slow
def test_a_winner_becomes_a_proposal_that_the_gate_decides_on_and_nothing_goes_live_before(
    database: Database, tmp_path: Path
) -> None:
    name = searched(database, tmp_path, origin="recorded by the desk, 2026-11-20")
    with database.connect() as connection:
        before = strategies.load(connection, "FOREST_PLANTED")
        best = as_declared(search.top(connection, name, limit=1)[0]["config"])
    _counts_in_searches_whose_ledgers_are_elsewhere(database, name)
    files = report_files(tmp_path / "reports")
    written = ProposalReports(files, approval_hours=72, track_record=lambda _: None)
    identity = search_cycle.propose_winner(
        database, name, actor="meta-pipeline", now=NOW, settings=SETTINGS, report=written
    )
    assert search_cycle.propose_winner(database, name, actor="meta-pipeline", now=NOW, settings=SETTINGS) == identity
    with database.connect() as connection:
        proposal = stored_proposals.get(connection, identity)
        assert strategies.load(connection, "FOREST_PLANTED") == before
        # The check of the asset `proposals` knows that a winner rests on its verdict.
        assert connection.execute(query("proposals_without_evidence")).all() == []
    assert "deflated Sharpe ratio" in files.get(str(proposal.draft.report_sha256)).decode("utf-8")
    assert proposal.draft.supporting_metrics["verdict"]["winner"] is True  # type: ignore[index, call-overload]
    assert proposal.draft.supporting_metrics["data"]["origin"] == "recorded by the desk, 2026-11-20"  # type: ignore[index, call-overload]
    assert proposal.draft.expected_sharpe_improvement is None

    shadow = search_cycle.shadow_winner(database, name, actor="Ann", now=NOW, settings=SETTINGS)
    assert (shadow.state, shadow.knob_path) == ("running", "parameters")
    assert parameters_of(shadow.challenger_config) == best
    _trades_on_paper(database, tmp_path, shadow)
    experiments.stop(database, shadow.experiment_id, reason="enough", actor="Ann", now=NOW)

    with database.begin() as connection:
        approvers.add(connection, "Bob", actor="Ann", now=NOW)
    decision = Decision(proposal_id=identity, digest=proposal.body_digest, verdict="approve", reason="read")
    (decided,) = governance.decide(
        database, [decision], approver="Bob", channel="cli", channel_ref="", now=NOW, settings=SETTINGS
    )
    assert decided.error is None
    later = NOW + timedelta(hours=1)
    assert governance.apply(database, identity, actor="Bob", now=later, settings=SETTINGS).outcome == "applied"
    with database.connect() as connection:
        after = strategies.load(connection, "FOREST_PLANTED")
    assert after.live_version == 2
    assert parameters_of(after.strategy.live_config) == best
    with pytest.raises(StaleBase, match="search again"):
        search_cycle.shadow_winner(database, name, actor="Ann", now=NOW, settings=SETTINGS)


def _counts_in_searches_whose_ledgers_are_elsewhere(database: Database, name: str) -> None:
    with database.connect() as connection:
        found = search_verdict._recorded_elsewhere(connection, "four forests: bars", here=set())
        last = {
            (row["iteration"], row["bracket"], row["number"]): row["metrics"]["sharpe_ratio"]
            for row in search.history(connection, name)
            if row["iteration"] >= 0  # the live configuration was not searched for
        }
        assert found == list(last.values())
        assert len(found) == 5
        assert search_verdict._recorded_elsewhere(connection, "four forests: bars", here={name}) == []
        assert search_verdict._recorded_elsewhere(connection, "four forests: others", here=set()) == []


def _trades_on_paper(database: Database, folder: Path, shadow: experiments.Experiment) -> None:
    """The night looks at the winner beside the live configuration, on days that no search saw."""
    with database.connect() as connection:
        # The live configuration's days in the search were handed in: from them the loop knows the strategy's markets.
        (handed_in,) = runs.list_runs(connection)
        assert (handed_in.state, handed_in.market_id, handed_in.config_version) == ("accepted", "bars", 1)
        (watched,) = search_watch.watch(connection, "FOREST_PLANTED")
        assert (watched.n_trades, watched.note, watched.fired) == (0, "no day to look at yet", ())
    later = NOW + timedelta(days=40)
    planted(folder, until=later, n_bars=2600)  # the file has grown
    until = (later - timedelta(days=1)).date()
    (look,) = experiments.look_at_all(database, until=until, now=later, settings=SETTINGS)
    assert (look.error, look.n_days, look.verdict) == (None, 39, "INSUFFICIENT_DATA")  # 60 days decide
    with database.connect() as connection:
        (watched,) = search_watch.watch(connection, "FOREST_PLANTED")
        assert watched.triggers[0].value == look.body["after"]["sharpe"]  # type: ignore[index]
        (strict,) = search_watch.watch(connection, "FOREST_PLANTED", limits=Limits(sharpe_ratio=99.0))
    assert (watched.n_trades, watched.fired, len(strict.fired)) == (39, (), 1)


def test_what_nothing_plays_is_not_started_on_paper(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    with database.begin() as connection:
        search_cycle.declare_lab(connection, actor="Ann", now=NOW)
    monkeypatch.setattr(search_cycle, "_winner", lambda *_: dict(USUAL))
    monkeypatch.setattr(search_cycle, "_refuse_stale", lambda *_: None)
    found = search.StoredSearch(
        search_name="FOREST_LAB-2018-12-31-r9-eta3-01234567", status="finished", place="", summary={}, verdict=None,
        settings={"evaluator": {"target": FORESTS, "settings": {}}}, digest="", started_at=NOW, updated_at=NOW,
    )  # fmt: skip
    monkeypatch.setattr(search, "get", lambda *_: found)
    unplayed = SETTINGS.model_copy(update={"replays": "LAB_*=meta_pipeline.lab.replay:replay"})
    with pytest.raises(Blocked, match=r"add FOREST_LAB=meta_pipeline\.hyperband\.forest_replay:replay to META"):
        search_cycle.shadow_winner(database, found.search_name, actor="Ann", now=NOW, settings=unplayed)


@pytest.mark.parametrize(
    ("name", "strategy"),
    [
        ("FOREST_LAB-2018-12-31-r9-eta3-01234567", "FOREST_LAB"),
        ("DESK-2-2018-12-31-r81-eta3-01234567", "DESK-2"),  # not that of DESK
        ("lab-01234567-r9-eta3-seed0", None),
    ],
)
def test_a_searchs_name_says_whose_it_is(name: str, strategy: str | None) -> None:
    assert strategy_searched(name) == strategy


def test_without_a_winner_there_is_nothing_to_propose_and_nothing_to_shadow(database: Database) -> None:
    with database.begin() as connection:
        search_cycle.declare_lab(connection, actor="Ann", now=NOW)
        assert search_cycle.declare_lab(connection, actor="Ann", now=NOW).live_version == 1
        connection.execute(
            text(
                "INSERT INTO searches (search_name, status, place, settings, digest, verdict, started_at, updated_at) "
                "VALUES ('FOREST_LAB-x', 'finished', 'here', '{}', repeat('a', 64), :verdict, now(), now())"
            ),
            {"verdict": '{"winner": false, "summary": "No winner: it fails.", "digest": "' + "a" * 64 + '"}'},
        )
    for act in (search_cycle.propose_winner, search_cycle.shadow_winner):
        with pytest.raises(Blocked, match="No winner: it fails"):
            act(database, "FOREST_LAB-x", actor="Ann", now=NOW, settings=SETTINGS)
    with database.begin() as connection:
        connection.execute(text("UPDATE searches SET verdict = NULL"))
    with pytest.raises(Blocked, match="not judged yet"):
        search_cycle.propose_winner(database, "FOREST_LAB-x", actor="Ann", now=NOW, settings=SETTINGS)


@pytest.mark.parametrize(
    ("target", "origin", "in_file", "said"),
    [
        ("", None, None, "nobody has said who recorded"),
        ("", "synthetic, seed 3", None, "never taken from synthetic data"),
        ("", "the desk", "simulated by tests", "never taken from synthetic data"),
        ("somebody:build", "the desk", None, "not the built-in strategy"),
    ],
)
def test_parameters_are_never_taken_from_prices_that_nobody_recorded(
    tmp_path: Path, target: str, origin: str | None, in_file: str | None, said: str
) -> None:
    data = {"path": str(planted(tmp_path, origin=in_file)), "origin": origin}
    forests = "meta_pipeline.hyperband.forest_evaluator:build"
    with pytest.raises(Blocked, match=said):
        require_real(target or forests, {"data": data})
    assert require_real(forests, {})["source"] == "lab"
    assert require_real(forests, {"data": {**data, "path": "latest.csv", "origin": "Kraken"}})["origin"] == "Kraken"


def test_the_strategy_declares_its_22_parameters_alone_and_as_one(database: Database) -> None:
    made = declaration()
    knobs = {knob.path: knob for knob in made.knobs}
    assert set(knobs) == {"parameters", *(f"parameters.{name}" for name in CHOICES)}
    assert parameters_of(made.live_config) == dict(USUAL)
    live = dict(USUAL)

    def objection(**changed: Any) -> str | None:
        return objection_inside(made.knobs, "parameters", live, {**live, **changed})

    assert objection(exit_threshold=0.6) is None
    assert "not one of" in (objection(exit_threshold=0.99) or "")
    assert "not declared inside" in (objection(leverage=10) or "")
    assert "no object" in (objection_inside(made.knobs, "parameters", live, 3) or "")
    assert "must be present" in (objection_inside(made.knobs, "parameters", live, {}) or "")
    assert objection_inside(made.knobs, "parameters.exit_threshold", 0.5, 0.6) is None
    # JSON has one kind of number: what is read back is what was declared.
    assert as_declared({**live, "momentum_threshold": 2, "entry_max_features": 1}) == {
        **live, "momentum_threshold": 2.0, "entry_max_features": 1.0,
    }  # fmt: skip
    with pytest.raises(InputError, match="not of the four-model strategy"):
        parameters_of({"window": 3})
    with pytest.raises(InputError, match="are a search's"):
        declaration(fixed={"max_resource": 9})
    with database.begin() as connection:
        strategies.declare(connection, made, actor="Ann", now=NOW)
    # A person cannot smuggle a figure past its own knob inside the group.
    with pytest.raises((Blocked, NotPermitted), match="not one of"):
        experiments.start(
            database, strategy_id=FOREST_LAB, knob="parameters", challenger={**live, "exit_threshold": 9.0}, why="x",
            actor="Ann", now=NOW, settings=SETTINGS,
        )  # fmt: skip
