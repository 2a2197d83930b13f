"""When the sensor fires, and what it says when it does not."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from meta_pipeline.orchestration.batching import MAX_ATTEMPTS, Attempts, Debounce, Decision, PendingStrategy, decide

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
DEBOUNCE = Debounce(quiet=timedelta(seconds=60), longest=timedelta(minutes=15))
FRESH = Attempts(epoch="e")


def pending(name: str = "S", *, oldest: float = 10, newest: float = 5, closed: bool = False) -> PendingStrategy:
    """Runs of one strategy; ages in seconds before NOW."""
    return PendingStrategy(
        strategy_id=name,
        n_runs=3,
        digest=f"digest of {name}",
        oldest=NOW - timedelta(seconds=oldest),
        newest=NOW - timedelta(seconds=newest),
        closed=closed,
    )


def ask(
    *waiting: PendingStrategy, now: datetime = NOW, attempts: Attempts = FRESH, in_flight: str | None = None
) -> Decision:
    return decide(waiting, DEBOUNCE, now=now, attempts=attempts, in_flight=in_flight)


def test_nothing_pending_is_said_in_a_sentence() -> None:
    assert ask().strategies == ()
    assert "nothing is pending" in ask().why


def test_a_closed_campaign_is_taken_at_once() -> None:
    decision = ask(pending(closed=True))
    assert decision.strategies == ("S",)
    assert "closed campaign" in decision.why


def test_an_open_campaign_that_still_receives_runs_waits_and_says_how_long() -> None:
    decision = ask(pending(newest=5))
    assert decision.strategies == ()
    assert "3 pending runs wait for more of S; due in 55 s" in decision.why


def test_a_campaign_that_went_quiet_is_taken() -> None:
    assert ask(pending(oldest=100, newest=60)).strategies == ("S",)


def test_a_busy_campaign_is_taken_when_its_oldest_run_has_waited_long_enough() -> None:
    assert ask(pending(oldest=899, newest=1)).strategies == ()
    assert ask(pending(oldest=900, newest=1)).strategies == ("S",)


def test_one_refresh_takes_all_strategies_that_are_due_and_leaves_the_others() -> None:
    decision = ask(pending("B", closed=True), pending("A", closed=True), pending("C"))
    assert decision.strategies == ("A", "B")


def test_a_refresh_in_flight_is_waited_for() -> None:
    decision = ask(pending(closed=True), in_flight="run 1234, which is under way")
    assert decision.strategies == ()
    assert decision.why == "3 pending runs wait for run 1234, which is under way"


def test_a_refresh_in_flight_does_not_use_up_an_attempt() -> None:
    assert ask(pending(closed=True), in_flight="run 1").attempts.tried == {}


def test_the_same_runs_are_tried_five_times_and_then_given_up_in_words() -> None:
    attempts, keys = FRESH, []
    for _ in range(MAX_ATTEMPTS):
        decision = ask(pending(closed=True), attempts=attempts)
        keys.append(decision.run_key)
        attempts = decision.attempts
    assert len(set(keys)) == MAX_ATTEMPTS
    last = ask(pending(closed=True), attempts=attempts)
    assert last.strategies == ()
    assert last.given_up == ("S",)
    assert "gave up on S after 5 refreshes" in last.why
    assert "reset this sensor's cursor" in last.why


def test_another_run_makes_a_given_up_strategy_worth_trying_again() -> None:
    tired = Attempts(epoch="e", tried={"S": ("digest of S", MAX_ATTEMPTS)})
    assert ask(replace(pending(closed=True), digest="more"), attempts=tired).strategies == ("S",)


def test_a_given_up_strategy_does_not_hold_up_the_others_and_is_still_named() -> None:
    tired = Attempts(epoch="e", tried={"S": ("digest of S", MAX_ATTEMPTS)})
    decision = ask(pending("S", closed=True), pending("T", closed=True), attempts=tired)
    assert decision.strategies == ("T",)
    assert "gave up on S" in decision.why
    assert "gave up on S" in ask(pending("S", closed=True), pending("T"), attempts=tired).why


def test_a_new_cursor_makes_new_run_keys_for_dagster_remembers_the_old_ones() -> None:
    one = ask(pending(closed=True), attempts=Attempts(epoch="1")).run_key
    two = ask(pending(closed=True), attempts=Attempts(epoch="2")).run_key
    assert one != two


def test_the_memory_survives_its_json() -> None:
    memory = Attempts(epoch="e", tried={"S": ("d", 2)})
    assert Attempts.from_json(memory.to_json()) == memory


def test_what_is_no_longer_pending_is_forgotten() -> None:
    memory = Attempts(epoch="e", tried={"S": ("digest of S", 2), "T": ("digest of T", 4)})
    assert ask(pending("T"), attempts=memory).attempts.tried == {"T": ("digest of T", 4)}


ages = st.floats(-3600, 7200, allow_nan=False)
strategies = st.lists(
    st.builds(
        lambda name, a, b, closed: pending(name, oldest=max(a, b), newest=min(a, b), closed=closed),
        st.sampled_from("ABCDE"),
        ages,
        ages,
        st.booleans(),
    ),
    unique_by=lambda p: p.strategy_id,
)


@given(strategies)
def test_no_pending_run_waits_for_ever(waiting: list[PendingStrategy]) -> None:
    """However the ages lie (clocks that were set back too), at the end of the longest wait everything is taken."""
    horizon = max([NOW, *(p.oldest for p in waiting)]) + DEBOUNCE.longest
    assert set(ask(*waiting, now=horizon).strategies) == {p.strategy_id for p in waiting}


@given(strategies, st.randoms(use_true_random=False))
def test_the_order_of_the_strategies_has_no_influence(waiting: list[PendingStrategy], chance: object) -> None:
    shuffled = list(waiting)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    assert ask(*shuffled) == ask(*waiting)


@given(strategies, st.integers(0, MAX_ATTEMPTS))
def test_every_decision_fires_or_says_why_not(waiting: list[PendingStrategy], tried: int) -> None:
    memory = Attempts(epoch="e", tried={p.strategy_id: (p.digest, tried) for p in waiting if tried})
    decision = ask(*waiting, attempts=memory)
    assert decision.why
    assert (decision.run_key is None) == (not decision.strategies)
    assert not set(decision.strategies) & set(decision.given_up)
    for name in decision.strategies:
        assert decision.attempts.tried[name][1] == tried + 1
