"""Whatever a run is made of, the gate answers, and everything it hands on can be stored."""

import json
import math
from collections import Counter
from datetime import date
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from meta_pipeline.backtests import BacktestRun, IngestSummary, RunState, Trade
from meta_pipeline.backtests.quality import inspect
from meta_pipeline.backtests.recording import inspected_batches, record
from meta_pipeline.canonical import canonical_json
from meta_pipeline_tests.backtests.runs import a_metrics_only_run, a_run

ANY_TEXT = st.text(st.characters(), max_size=140)  # NUL and lone surrogates included
NUMBERS = st.one_of(st.integers(), st.floats(), st.booleans(), st.floats(width=32).map(np.float32))
VALUES = st.recursive(
    st.one_of(st.none(), NUMBERS, ANY_TEXT, st.dates()),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.one_of(ANY_TEXT, NUMBERS), inner, max_size=3)
    ),
    max_leaves=6,
)
RETURNS = st.one_of(
    st.none(),
    VALUES,
    st.lists(st.one_of(st.floats(), st.floats(-0.1, 0.1)), max_size=30).map(np.array),
    st.lists(st.floats(-0.1, 0.1), min_size=12, max_size=30).map(np.array),
)
DATES = st.one_of(
    st.none(),
    VALUES,
    st.lists(st.integers(-(2**40), 2**40), max_size=30).map(lambda s: np.array(s, dtype="datetime64[s]")),
    st.integers(0, 30).map(lambda n: np.datetime64("2020-01-06") + np.arange(n)),
)
RUNS = st.builds(
    a_run,
    config=VALUES,
    metrics=st.one_of(VALUES, st.dictionaries(st.sampled_from(["sharpe", "max_drawdown", "x"]), VALUES)),
    returns=RETURNS,
    dates=DATES,
    start_date=st.one_of(st.none(), st.dates(), VALUES),
    end_date=st.one_of(st.none(), st.dates(), VALUES),
    periods_per_year=st.one_of(st.none(), VALUES),
    run_id=st.one_of(st.none(), ANY_TEXT),
    market_id=ANY_TEXT,
    sector=VALUES,
    source=ANY_TEXT,
    config_version=VALUES,
    trades=st.lists(
        st.builds(Trade, trade_date=st.dates(), ticker=ANY_TEXT, direction=st.just("BUY"), size=NUMBERS, price=NUMBERS),
        max_size=2,
    ),
    defects=st.lists(ANY_TEXT, max_size=1),
)


@settings(max_examples=150, deadline=None)
@given(run=RUNS)
def test_the_gate_answers_whatever_a_run_is_made_of(run: BacktestRun) -> None:
    judged, again = inspect([run, run]).runs
    assert judged.content_digest == again.content_digest
    assert (judged.state is RunState.QUARANTINED) == (judged.reason_code is not None) == (judged.reason is not None)
    limits = {"run_id": 128, "market_id": 32, "universe_id": 64, "sector": 64, "code_version": 64}
    for name in (*limits, "source", "reason", "config_json", "metrics_json", "computed_json"):
        value = getattr(judged, name)
        assert value is None or b"\x00" not in value.encode("utf-8")
        assert value is None or len(value) <= limits.get(name, 10**9)
    for name in ("config_json", "metrics_json", "computed_json"):
        document = json.loads(getattr(judged, name) or "{}")
        assert isinstance(document, dict)
        canonical_json(document)
    assert judged.run_id
    if judged.state is not RunState.QUARANTINED:
        assert judged.start_date is not None
        assert judged.end_date is not None
        assert judged.start_date <= judged.end_date
    if judged.state is RunState.ACCEPTED:
        assert judged.series is not None
        assert judged.periods_per_year is not None
        assert np.isfinite(judged.series.returns).all()
        assert json.loads(judged.computed_json or "{}")["sharpe_ratio"] is not None
    assert judged.periods_per_year is None or 0 < judged.periods_per_year < math.inf


def test_batches_end_by_number_and_by_size_and_keep_the_order() -> None:
    runs = [a_metrics_only_run({"annualised_sharpe": float(i)}) for i in range(5000)]
    batches = list(inspected_batches(runs))
    assert [len(batch.runs) for batch in batches] == [4096, 904]
    assert [json.loads(run.metrics_json)["annualised_sharpe"] for batch in batches for run in batch.runs] == list(
        range(5000)
    )
    long = a_run(n=1)
    heavy = [a_run(dates=long.dates, returns=np.zeros(3_000_000)) for _ in range(4)]
    assert [len(batch.runs) for batch in inspected_batches(heavy)] == [3, 1]


class Counting:
    """A sink that is no database."""

    def write(self, batches: Any) -> IngestSummary:
        states = Counter(run.state for batch in batches for run in batch.runs)
        return IngestSummary(accepted=states[RunState.ACCEPTED], metrics_only=states[RunState.METRICS_ONLY])


def test_any_sink_will_do_and_one_run_needs_no_list() -> None:
    assert record(a_run(), into=Counting()).accepted == 1
    assert record(iter([a_run(), a_metrics_only_run({"sharpe": 1})]), into=Counting()).total == 2


def test_summaries_add_up() -> None:
    first = IngestSummary(accepted=1, quarantined={"ruin": 2}, examples={"ruin": "a: why"}, undeclared=frozenset({"s"}))
    second = IngestSummary(
        metrics_only=3,
        duplicates=4,
        quarantined={"ruin": 1, "not_finite": 1},
        examples={"ruin": "b: why", "not_finite": "c"},
        reopened=frozenset({("s", "c")}),
    )
    total = first + second
    assert (total.accepted, total.metrics_only, total.duplicates, total.n_quarantined) == (1, 3, 4, 4)
    assert total.quarantined == {"not_finite": 1, "ruin": 3}
    assert total.examples == {"ruin": "a: why", "not_finite": "c"}
    assert (total.added, total.total) == (8, 12)
    assert len(total.hints) == 2
    assert total.to_json()["quarantined"] == {"not_finite": 1, "ruin": 3}


def test_a_window_may_be_wider_than_its_dates() -> None:
    judged = inspect([a_run(start_date=date(2014, 12, 31), end_date=date(2017, 1, 1))]).runs[0]
    assert (judged.state, judged.start_date, judged.end_date) == (
        RunState.ACCEPTED,
        date(2014, 12, 31),
        date(2017, 1, 1),
    )
