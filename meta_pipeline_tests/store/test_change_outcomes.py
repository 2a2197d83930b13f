"""What applied changes really did: judged by their own days, written down once, acted on only where that is safe."""

from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from sqlalchemy import text

from meta_pipeline import failpoints
from meta_pipeline.errors import InputError
from meta_pipeline.outcomes.scorecard import JOINT
from meta_pipeline.proposals.states import Status
from meta_pipeline.report.approval import TrackRecord
from meta_pipeline.report.outcomes import scorecard_table, track_record
from meta_pipeline.store import auto_revert, change_outcomes, changes, governance, judging, scorecards
from meta_pipeline.store.applied_together import applied_with
from meta_pipeline.store.change_outcomes import Judged, judge_change
from meta_pipeline.store.database import Database
from meta_pipeline.store.doctor_loop import examine_loop
from meta_pipeline.store.outcome_days import span_of
from meta_pipeline.store.run_replay import StoredRuns
from meta_pipeline_tests.backtests.runs import trading_days
from meta_pipeline_tests.proposals.governed import LIVE
from meta_pipeline_tests.store.governed import NOW, actions, approved, by_hand, contents, decide, declare, live, prepare
from meta_pipeline_tests.store.invariants import check_invariants
from meta_pipeline_tests.store.known_truth import MARKET, after, hand_in_runs, settings

pytestmark = pytest.mark.database


def applied(database: Database, proposed: Any = 0.25, knob: str = "risk.max_vol", **options: Any) -> str:
    record = approved(database, knob, proposed, **options)
    result = governance.apply(
        database, record.proposal_id, actor="dora", now=options.get("now", NOW), settings=settings()
    )
    assert result.change_id is not None
    return result.change_id


def judge(database: Database, change_id: str, days: int, **options: Any) -> Judged:
    return judge_change(
        database, change_id, until=after(days), now=NOW + timedelta(days=days + 1), settings=settings(**options)
    )


def change_of(database: Database, change_id: str) -> changes.ChangeRecord:
    with database.connect() as connection:
        return changes.get(connection, change_id)


def status_of(database: Database, change_id: str) -> str:
    proposal_id = change_of(database, change_id).proposal_id
    with database.connect() as connection:
        statement = text("SELECT status FROM meta_config_proposals WHERE proposal_id = :id")
        return str(connection.execute(statement, {"id": proposal_id}).scalar_one())


def test_a_good_change_is_kept_with_its_figures_and_looking_again_adds_nothing(database: Database) -> None:
    prepare(database)
    declare(database, "OTHER")
    hand_in_runs(database, "STRAT", "OTHER")
    change_id = applied(database)
    young = judge(database, change_id, 20)
    assert young.look is not None
    assert (young.outcome, young.look.verdict, young.kept) == ("judged", "INSUFFICIENT_DATA", False)
    assert change_of(database, change_id).sharpe_after is not None
    kept = judge(database, change_id, 300)
    assert kept.look is not None
    assert (kept.look.verdict, kept.kept, status_of(database, change_id)) == ("KEEP", True, Status.KEPT)
    control = kept.look.body["control"]
    assert control["strategies"] == ["OTHER"]
    change = change_of(database, change_id)
    assert change.outcome_verdict == "KEEP"
    assert change.evaluation_missing_reason is None
    assert change.sharpe_after is not None
    assert change.sharpe_before is not None
    assert change.sharpe_after - change.sharpe_before == pytest.approx(kept.look.estimate)
    assert change.evaluation_start_date == after(3)  # applied on a Friday: the Monday after
    assert judge(database, change_id, 300).outcome == "known"
    assert judge(database, change_id, 100).outcome == "known"
    with database.connect() as connection:
        assert len(change_outcomes.looks(connection, change_id)) == 2
        (score,) = scorecards.scorecard(connection)
    assert (score.n_changes, score.claimed, score.verdicts) == (1, None, {"KEEP": 1})
    assert actions(database).count("change.judge") == 2
    check_invariants(database)


def test_days_are_attributed_by_version_and_end_with_the_next_one(database: Database) -> None:
    prepare(database)
    hand_in_runs(database, "STRAT")
    first = applied(database)
    second = applied(database, 42, "lookback", now=NOW + timedelta(days=40))
    with database.connect() as connection:
        span = span_of(connection, "STRAT", 2)
        assert (span.first, span.last, span.next_version) == (after(1), after(39), 3)
    judged = judge(database, first, 300)
    assert judged.look is not None
    assert judged.look.judged_until == after(39)
    assert judged.look.body["last_day"] <= after(39).isoformat()
    later = judge(database, second, 300)
    assert later.look is not None
    assert later.look.reason.startswith("the two configurations earned the same")
    with database.connect() as connection:
        assert change_outcomes.due(connection) == [second]


def test_a_change_without_a_whole_day_of_its_own_says_so_and_is_done_with(database: Database) -> None:
    prepare(database)
    hand_in_runs(database, "STRAT")
    first = applied(database)
    applied(database, 42, "lookback", now=NOW + timedelta(hours=1))
    assert judge(database, first, -1).outcome == "no days"
    judged = judge(database, first, 300)
    assert judged.look is not None
    assert (judged.outcome, judged.look.verdict, judged.look.judged_until) == ("judged", "INSUFFICIENT_DATA", after(0))
    assert "version 3 took the place of version 2 before that had a whole day" in judged.look.reason
    assert judge(database, first, 300).outcome == "known"
    with database.connect() as connection:
        assert first not in change_outcomes.due(connection)
    change = change_of(database, first)
    assert change.sharpe_after is None
    assert "version 3 took the place" in (change.evaluation_missing_reason or "")


def applied_as_one(database: Database, *values: tuple[str, Any], **options: Any) -> list[str]:
    """Approve changes of one strategy on the same evidence, and apply them in one transaction."""
    records = [approved(database, knob, value, reason="seen together", **options) for knob, value in values]
    ids = [record.proposal_id for record in records]
    results = governance.apply_approved(
        database, actor="dora", now=options.get("now", NOW), settings=settings(), proposal_ids=ids
    )
    assert [result.outcome for result in results] == ["applied"] * len(records), [one.message for one in results]
    return [str(result.change_id) for result in results]


def test_changes_applied_together_are_judged_as_one_against_the_configuration_before_all_of_them(
    database: Database,
) -> None:
    prepare(database)
    declare(database, "ALONE")
    hand_in_runs(database, "STRAT", "ALONE")
    first, last = applied_as_one(database, ("risk.max_vol", 0.25), ("lookback", 42))
    with database.connect() as connection:
        assert change_outcomes.due(connection) == [last]
        assert [one.change_id for one in applied_with(connection, first)] == [first, last]
    # Had each been held against the version before it, the lookback would have made no difference at all.
    judged = judge(database, first, 300)
    assert judged.look is not None
    assert (judged.look.verdict, judged.kept, judged.together) == ("KEEP", True, (first, last))
    assert judge(database, last, 300).outcome == "known"
    with database.connect() as connection:
        looks = [change_outcomes.latest_look(connection, one) for one in (first, last)]
        (score,) = scorecards.scorecard(connection)
    assert looks[0] is not None
    assert looks[1] is not None
    assert looks[0].body == looks[1].body
    assert looks[0].body["together"] == [first, last]
    figures = [change_of(database, one).sharpe_after for one in (first, last)]
    assert figures[0] == figures[1] is not None
    assert [status_of(database, one) for one in (first, last)] == [Status.KEPT, Status.KEPT]
    assert (score.n_changes, score.verdicts) == (2, {"KEEP": 2})
    assert actions(database).count("change.judge") == 2
    # The same change alone, on the same days of another strategy with the same truth, is judged alike.
    alone = judge(database, applied(database, strategy_id="ALONE"), 300)
    assert alone.look is not None
    assert alone.look.verdict == "KEEP"
    assert alone.together == ()
    check_invariants(database)


def test_those_of_one_type_are_one_outcome_against_the_sum_of_their_claims_and_those_of_several_are_one_beside_them(
    database: Database,
) -> None:
    prepare(database)
    hand_in_runs(database, "STRAT")
    both = applied_as_one(database, ("risk.max_vol", 0.25), ("lookback", 42))
    by_hand(database, "UPDATE meta_config_proposals SET expected_sharpe_improvement = 0.2")
    judged = judge(database, both[0], 300)
    assert judged.look is not None
    with database.connect() as connection:
        (score,) = scorecards.scorecard(connection)
    assert (score.n_changes, score.n_realised, score.claimed) == (2, 1, 0.4)
    assert score.realised == judged.look.estimate
    by_hand(database, "UPDATE config_change_log SET change_type = 'risk_reduction' WHERE change_id = :id", id=both[0])
    with database.connect() as connection:
        scores = scorecards.scorecard(connection)
    *alone, joint = scores
    assert [(one.n_changes, one.n_joint, one.n_realised, one.realised) for one in alone] == [(1, 1, 0, None)] * 2
    assert [one.verdicts for one in alone] == [{"KEEP": 1}] * 2
    assert (joint.proposal_type, joint.n_changes, joint.n_joint, joint.verdicts) == (JOINT, 2, 0, {"KEEP": 2})
    assert (joint.n_realised, joint.claimed, joint.realised) == (1, 0.4, judged.look.estimate)
    across = TrackRecord(n_outcomes=1, claimed=0.4, realised=judged.look.estimate)
    assert track_record(scores, "risk_reduction") == TrackRecord(n_outcomes=0, n_joint=1, jointly=across)
    assert track_record(scores, "another") is None
    shown = scorecard_table(scores)
    assert [row[-1] for row in shown.cells()] == ["1 KEEP; 1 of them jointly", "1 KEEP; 1 of them jointly", "2 KEEP"]
    assert "it is in no figure of a single type" in (shown.note or "")


def test_whatever_stops_the_judging_of_several_changes_leaves_none_of_them_half_judged(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(database)
    hand_in_runs(database, "STRAT")
    both = applied_as_one(database, ("risk.max_vol", 0.25), ("lookback", 42))
    before = contents(database)
    for step in ("locked", "recorded", "logged", "moved", "audited"):

        def stop(name: str, step: str = step) -> None:
            if name == f"outcome.{step}":
                raise RuntimeError(step)

        with monkeypatch.context() as patched:
            patched.setattr(failpoints, "reach", stop)
            with pytest.raises(RuntimeError, match=step):
                judge(database, both[0], 300)
        assert contents(database) == before, step
        with database.connect() as connection:
            assert [change_outcomes.looks(connection, one) for one in both] == [[], []], step
    assert judge(database, both[1], 300).kept
    assert [status_of(database, one) for one in both] == [Status.KEPT, Status.KEPT]
    check_invariants(database)


def test_changes_whose_outcome_rules_differ_are_not_applied_together(database: Database) -> None:
    prepare(database)
    ids = []
    for knob, value, days in (("risk.max_vol", 0.25, 60), ("lookback", 42, 90)):
        made = governance.create(
            database, strategy_id="STRAT", knob=knob, proposed=value, reason="seen together", author="ann", now=NOW,
            settings=settings(outcome_minimum_days=days),
        ).record  # fmt: skip
        decide(database, made)
        ids.append(made.proposal_id)
    results = governance.apply_approved(database, actor="dora", now=NOW, settings=settings(), proposal_ids=ids)
    assert [result.outcome for result in results] == ["applied", "refused"]
    with database.connect() as connection:
        assert len(applied_with(connection, str(results[0].change_id))) == 1


def test_changes_applied_together_are_reverted_all_or_none(database: Database) -> None:
    prepare(database)
    hand_in_runs(database, "STRAT")
    riskier, neutral = applied_as_one(database, ("risk.max_vol", 0.95), ("lookback", 42))
    (told,) = judging.judge_all(database, now=NOW + timedelta(days=60), settings=settings()).recommendations
    assert (told.change_id, told.reverted) == (neutral, False)
    assert f"changes {neutral}, {riskier}, applied together, of STRAT should be reverted" in told.text
    assert told.text.index(f"revert {neutral}") < told.text.index(f"revert {riskier}")
    night = judging.judge_all(database, now=NOW + timedelta(days=60), settings=settings(auto_revert=True))
    (done,) = night.recommendations
    assert done.reverted
    assert [change_of(database, one).reverted_by for one in (riskier, neutral)] == ["meta-pipeline"] * 2
    assert live(database).config == LIVE
    check_invariants(database)


def test_where_one_of_them_cannot_be_reverted_by_itself_none_is(database: Database) -> None:
    prepare(database)
    hand_in_runs(database, "STRAT")
    riskier, neutral = applied_as_one(database, ("risk.max_vol", 0.95), ("lookback", 42))
    later = applied(database, 0.9, now=NOW + timedelta(days=60))
    before = live(database)
    night = judging.judge_all(database, now=NOW + timedelta(days=62), settings=settings(auto_revert=True))
    told = next(one for one in night.recommendations if one.change_id == neutral)
    assert not told.reverted
    assert f"reverting it by itself was refused: change {riskier} cannot be reverted" in told.text
    assert later in told.text
    assert live(database) == before
    assert not any(change_of(database, one).is_reverted for one in (riskier, neutral))
    assert "change.revert" not in actions(database)
    check_invariants(database)


def test_what_is_left_of_changes_applied_together_is_neither_kept_nor_reverted_by_itself(database: Database) -> None:
    prepare(database)
    declare(database, "GOOD")
    hand_in_runs(database, "STRAT", "GOOD")
    riskier, neutral = applied_as_one(database, ("risk.max_vol", 0.95), ("lookback", 42))
    better, other = applied_as_one(database, ("risk.max_vol", 0.25), ("lookback", 42), strategy_id="GOOD")
    later = NOW + timedelta(days=200)
    for one in (neutral, other):
        governance.revert(database, one, actor="dora", reason="not this one", now=later, settings=settings())
    night = judging.judge_all(database, now=later + timedelta(days=5), settings=settings(auto_revert=True))
    assert night.kept == ()
    assert status_of(database, better) == Status.APPLIED
    (told,) = night.recommendations
    assert (told.change_id, told.reverted) == (riskier, False)
    assert f"{neutral}, judged with it, is reverted already" in told.text


def test_a_bad_change_that_raised_risk_is_reverted_by_itself_only_if_that_is_allowed(database: Database) -> None:
    prepare(database)
    hand_in_runs(database, "STRAT")
    change_id = applied(database, 0.95)
    night = judging.judge_all(database, now=NOW + timedelta(days=60), settings=settings())
    (told,) = night.recommendations
    assert not told.reverted
    assert "switched off" in told.text
    assert "volatility" in told.text
    with database.connect() as connection:
        (said,) = [one for one in examine_loop(connection, settings(), NOW) if one.what == "outcomes"]
    assert (said.level, change_id in said.text) == ("WARN", True)
    turn = "UPDATE strategy_knobs SET risk_direction = :to WHERE path = 'risk.max_vol' AND risk_direction = :of"
    assert by_hand(database, turn, of="higher_is_riskier", to="unknown") == 1
    unknown = auto_revert.act_on(database, change_id, now=NOW + timedelta(days=60), settings=settings(auto_revert=True))
    assert unknown is not None
    assert (unknown.reverted, "its effect on risk: unknown" in unknown.text) == (False, True)
    by_hand(database, turn, of="unknown", to="higher_is_riskier")
    again = judging.judge_all(database, now=NOW + timedelta(days=60), settings=settings(auto_revert=True))
    (done,) = again.recommendations
    assert done.reverted
    change = change_of(database, change_id)
    assert (change.is_reverted, change.reverted_by) == (True, "meta-pipeline")
    assert (change.reversion_reason or "").startswith("verdict REVERT: guardrail breached")
    assert live(database).config == LIVE
    assert judging.judge_all(database, now=NOW + timedelta(days=61), settings=settings()).recommendations == ()
    check_invariants(database)


def test_a_revert_that_would_raise_risk_is_left_to_a_person_whatever_is_allowed(database: Database) -> None:
    prepare(database, live_config={**LIVE, "risk": {"max_vol": 0.95, "cap": 3}})
    hand_in_runs(database, "STRAT")
    change_id = applied(database, 0.8)
    # Undoing 0.95 -> 0.8 raises the limit again; make the look say REVERT, as a worse outcome would.
    with database.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO change_outcomes VALUES (:id, :day, false, :now, 90, 'REVERT', 'worse', -1, -2, -0.1, '{}')"
            ),
            {"id": change_id, "day": after(90), "now": NOW},
        )
    told = auto_revert.act_on(database, change_id, now=NOW + timedelta(days=91), settings=settings(auto_revert=True))
    assert told is not None
    assert (told.reverted, "does not lower risk" in told.text) == (False, True)
    assert not change_of(database, change_id).is_reverted


def test_without_days_or_a_rule_nothing_is_made_up(database: Database) -> None:
    prepare(database)
    change_id = applied(database)
    judged = judge(database, change_id, 100)
    assert judged.look is not None
    assert "no market of STRAT is known" in judged.look.reason
    change = change_of(database, change_id)
    assert (change.sharpe_before, change.sharpe_after, change.risk_after) == (None, None, None)
    assert "no market" in (change.evaluation_missing_reason or "")


def test_a_replay_that_fails_is_named_and_stops_none_of_the_others(database: Database) -> None:
    prepare(database)
    declare(database, "OTHER")
    hand_in_runs(database, "STRAT", "OTHER")
    bad, good = applied(database), applied(database, strategy_id="OTHER")
    given = "STRAT=meta_pipeline_tests.store.known_truth:broken_replay,*=meta_pipeline_tests.store.known_truth:replay"
    night = judging.judge_all(database, now=NOW + timedelta(days=100), settings=settings(replays=given))
    assert night.failed == {bad: "RuntimeError: the data vendor is down"}
    assert [one.change_id for one in night.judged] == [good]
    with pytest.raises(InputError, match="holds no days for the future"):
        judge_change(database, bad, until=after(900), now=NOW, settings=settings(), simulated=True)


def test_stored_runs_tell_what_a_configuration_earned_where_no_backtest_is_registered(database: Database) -> None:
    prepare(database)
    hand_in_runs(database, "STRAT")
    days, returns = StoredRuns(database)(
        "STRAT", LIVE, MARKET, trading_days(500)[10].item(), trading_days(500)[19].item()
    )
    assert np.array_equal(days, trading_days(500)[10:20])
    assert len(returns) == 10
    assert len(StoredRuns(database)("STRAT", {"other": 1}, MARKET, after(0), after(9))[0]) == 0
    change_id = applied(database)
    judged = judge(database, change_id, 100, replays="")
    assert judged.look is not None
    assert judged.look.verdict == "INSUFFICIENT_DATA"


def test_an_evaluation_ends_with_its_days(database: Database) -> None:
    prepare(database)
    hand_in_runs(database, "STRAT")
    short = settings(outcome_minimum_days=20, outcome_evaluation_days=30)
    made = governance.create(
        database,
        strategy_id="STRAT",
        knob="risk.max_vol",
        proposed=0.3,
        reason="x",
        author="ann",
        now=NOW,
        settings=short,
    ).record
    decide(database, made)
    result = governance.apply(database, made.proposal_id, actor="dora", now=NOW, settings=short)
    assert result.change_id is not None
    judged = judge(database, result.change_id, 300)
    assert judged.look is not None
    assert (judged.look.n_days, judged.look.judged_until.isoformat()) == (30, judged.look.body["last_day"])
    with database.connect() as connection:
        assert change_outcomes.due(connection) == []
