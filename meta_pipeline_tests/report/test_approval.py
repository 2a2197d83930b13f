import io
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from rich.console import Console

from meta_pipeline.canonical import ABSENT, JsonValue
from meta_pipeline.diagnostics.scenarios import scenarios_between, scenarios_to_json
from meta_pipeline.errors import StaleBase
from meta_pipeline.proposals.candidate import SliceEffect, Stability
from meta_pipeline.proposals.checks import Check
from meta_pipeline.proposals.diff import TouchedKey
from meta_pipeline.proposals.digests import body_text, proposal_id, text_digest
from meta_pipeline.proposals.draft import ProposalDraft, ProposalRecord
from meta_pipeline.proposals.drafting import draft
from meta_pipeline.proposals.states import Status
from meta_pipeline.report.approval import Sheet, TrackRecord, approval_sheet
from meta_pipeline.report.text import visible
from meta_pipeline_tests.proposals.leverage import proposed
from meta_pipeline_tests.report.builders import candidate, effect
from meta_pipeline_tests.report.test_table import parsed
from meta_pipeline_tests.report.test_text import any_text

NOW = datetime(2026, 11, 20, 9, tzinfo=UTC)

RISKY = replace(
    candidate("risk.max_vol", 0.3, 0.25),
    risk_change="reduces",
    effect=replace(effect(), adjusted_p_values={"romano_wolf": 0.0421, "benjamini_hochberg": 0.00001}),
    other_effects=(replace(effect(0.2), method="least_squares"),),
    local_effect=effect(0.1),
    regimes=(
        SliceEffect(label="calm", estimate=0.4, standard_error=0.2, n_days=800),
        SliceEffect(label="crisis", estimate=-0.3, standard_error=0.5, n_days=90),
    ),
    stability=Stability(
        sub_periods=(SliceEffect(label="2001", estimate=0.1, standard_error=0.3, n_days=250),),
        sign_consistency=0.875,
        drift=0.12,
    ),
    risk_effects=(effect(-0.002, 0.001, "expected_shortfall"), effect(0.03, 0.02, "max_drawdown")),
    smallest_detectable_effect=0.42,
    days_needed=2100,
)


def stored(made: ProposalDraft, **changes: object) -> ProposalRecord:
    expires = NOW + timedelta(days=14)
    body = body_text(made, attempt=1, created_at=NOW, expires_at=expires)
    record = ProposalRecord(
        proposal_id=proposal_id(made),
        draft=made,
        body=body,
        body_digest=text_digest(body),
        status=Status.PENDING,
        created_at=NOW,
        expires_at=expires,
    )
    return replace(record, **changes)  # type: ignore[arg-type]


def machine_draft() -> ProposalDraft:
    return draft(RISKY, strategy_id="STRAT_001", base_version=3, evidence_digest="e" * 64)


def human_draft(rationale: str = "Because I say so.") -> ProposalDraft:
    return ProposalDraft(
        strategy_id="STRAT_001",
        proposal_type="config_parameter_change",
        target_component="stop",
        current=ABSENT,
        proposed=0.1,
        base_version=3,
        rationale=rationale,
        supporting_metrics={},
        evidence_digest="e" * 64,
        risk_change="unknown",
        author="Ada",
        author_kind="human",
    )


def printed(sheet: Sheet) -> str:
    out = io.StringIO()
    Console(file=out, width=200).print(sheet.rich())
    return out.getvalue()


def facts(sheet: Sheet, heading: str) -> dict[str, str]:
    section = next(section for section in sheet.sections if section.heading == heading)
    assert section.table is not None
    return dict(section.table.cells())


def test_the_sheet_has_its_parts_in_the_order_of_a_decision() -> None:
    sheet = approval_sheet(stored(machine_draft()))
    assert [section.heading for section in sheet.sections] == [
        "The change",
        "Effect",
        "Downside",
        "Checks",
        "Exact difference",
        "Track record",
        "Exit plan",
        "Who",
    ]
    text = printed(sheet)
    positions = [text.index(f"{i}. ") for i in range(1, 9)]
    assert positions == sorted(positions)


def test_the_first_sentence_says_what_changes_and_what_it_does_to_risk() -> None:
    sheet = approval_sheet(stored(machine_draft()))
    assert sheet.sections[0].sentences[0] == "Change risk.max_vol of STRAT_001 from 0.3 to 0.25: reduces risk."


def test_the_effect_comes_with_interval_sample_sizes_and_the_out_of_sample_part_on_its_own() -> None:
    shown = facts(approval_sheet(stored(machine_draft())), "Effect")
    assert shown["Effect"] == "Sharpe ratio +0.31 [+0.05, +0.57] at 90 %, by matched pairs (12 pairs, 1,260 days)"
    assert shown["Adjusted p-values"] == "Benjamini-Hochberg < 0.001, Romano-Wolf 0.042"
    assert shown["Sharpe ratio, by least squares"] == "+0.20 [-0.06, +0.46]"
    assert shown["At the live configuration"].startswith("+0.10")
    assert shown["Expected uplift (Sharpe ratio)"] == "+0.12, realised effect within [-0.20, +0.44]"
    assert shown["Probability that it is better"] == "0.71, over 2 years"
    assert shown["Days and runs"] == "1,260 days, 24 runs (24 distinct)"
    assert shown["Independent return series"] == "3.4 effective, of 300 trials counted"
    assert shown["Smallest effect this campaign could find"] == "0.42; its own size needs 2,100 days"
    assert shown["Out of sample"] == "none yet: no day after the evidence has been replayed"
    replayed = approval_sheet(stored(machine_draft()), out_of_sample=effect(0.05, 0.3))
    assert facts(replayed, "Effect")["Out of sample"] == "+0.05 [-0.25, +0.35], 1,260 days"


def test_the_downside_names_the_worst_regime_and_what_was_not_measured() -> None:
    shown = facts(approval_sheet(stored(machine_draft())), "Downside")
    assert shown["Worst regime"] == "crisis: -0.30 (standard error 0.50), 90 days"
    assert shown["Worst stress"] == "no scenario is on record"
    assert shown["Change of expected shortfall"] == "-0.20 % [-0.30 %, -0.10 %]: more risk"
    assert shown["Change of maximum drawdown"] == "+3.0 % [+1.0 %, +5.0 %]: less risk"
    assert shown["Change of volatility"] == "n/a"


def test_a_change_of_leverage_is_shown_by_what_it_changes_and_what_does_not_apply_says_so() -> None:
    made = draft(proposed(), strategy_id="STRAT_001", base_version=3, evidence_digest="e" * 64)
    shown = facts(approval_sheet(stored(made)), "Effect")
    assert shown["Effect"].startswith("volatility -2")
    assert shown["Stability"].startswith("the same sign in 100 % of 8 sub-periods, drift ")
    assert re.fullmatch(r"volatility \d\.\d %", shown["Smallest effect this campaign could find"])
    assert shown["Expected uplift (Sharpe ratio)"].startswith("none: the change only scales returns")
    assert shown["Probability that it is better"].startswith("does not apply: the change only scales returns")
    assert shown["Sharpe ratio, at the live configuration"] == "+0.00 [+0.00, +0.00]"
    down = facts(approval_sheet(stored(made)), "Downside")
    assert re.fullmatch(
        r"(CALM|CRISIS): volatility -\d+\.\d % \(standard error \d\.\d %\), \d+ days", down["Worst regime"]
    )
    assert down["Change of mean return"].endswith(": less return")
    estimates = {part.label: part.estimate for part in proposed().regimes}
    assert down["Worst regime"].split(":")[0] == max(estimates, key=lambda label: estimates[label] or 0.0)


def test_sharpe_figures_under_a_risk_metric_as_older_versions_wrote_them_are_not_shown_as_its_own() -> None:
    older = replace(proposed(), stability=RISKY.stability, smallest_detectable_effect=0.42)
    made = draft(older, strategy_id="STRAT_001", base_version=3, evidence_digest="e" * 64)
    shown = facts(approval_sheet(stored(made)), "Effect")
    for row in ("Stability", "Smallest effect this campaign could find"):
        assert shown[row] == "does not apply: it is known of the Sharpe ratio, and this is judged by volatility"


def test_a_small_effect_that_could_be_found_is_not_written_as_none() -> None:
    made = draft(
        replace(RISKY, smallest_detectable_effect=0.0042),
        strategy_id="STRAT_001",
        base_version=3,
        evidence_digest="e" * 64,
    )
    shown = facts(approval_sheet(stored(made)), "Effect")
    assert shown["Smallest effect this campaign could find"].startswith("0.0042;")


def test_the_worst_scenario_is_read_from_the_proposal_and_a_broken_one_is_none() -> None:
    series = np.random.default_rng(1).normal(0.0003, 0.01, 600)
    scenarios = scenarios_between(series, 2 * series, 252)

    def shown(carried: Mapping[str, JsonValue]) -> str:
        made = draft(RISKY, strategy_id="S", base_version=3, evidence_digest="e" * 64, scenarios=carried)
        return facts(approval_sheet(stored(made)), "Downside")["Worst stress"]

    family = next(one for one in scenarios.families if one.name == scenarios.worst)
    said = shown(scenarios_to_json(scenarios))
    assert said.startswith(
        f"{family.name}: the worst 5 % of paths of 21 periods bring {100 * (family.challenger or 0):+.1f} %"
    )
    assert said.endswith("all families: worse than tolerated (descriptive)")
    assert shown({"families": "none"}) == "no scenario is on record"
    short = scenarios_between(series[:100], series[:100], 252)
    assert shown(scenarios_to_json(short)).startswith("n/a: 100 common days; 420 are needed")


def test_a_failed_check_stands_out_with_its_sentence() -> None:
    checks = (
        Check(name="base", passed=False, text="live is version 4", error=StaleBase),
        Check(name="risk", passed=True, text="as stated"),
    )
    shown = next(
        s.table for s in approval_sheet(stored(machine_draft()), checks=checks).sections if s.heading == "Checks"
    )
    assert shown is not None
    assert shown.cells() == [["base", "FAILED", "live is version 4"], ["risk", "passed", "as stated"]]


def test_the_difference_is_that_of_the_dry_run_or_else_what_the_proposal_states() -> None:
    def difference(*touched: TouchedKey) -> list[list[str]]:
        sheet = approval_sheet(stored(machine_draft()), touched=touched)
        section = next(section for section in sheet.sections if section.heading == "Exact difference")
        assert section.table is not None
        return section.table.cells()

    assert difference() == [["risk.max_vol", "0.3", "0.25", "reduces"]]
    key = TouchedKey(path="risk", before=ABSENT, after={"max_vol": 0.25}, risk_change="unknown")
    assert difference(key) == [["risk", "(absent)", '{"max_vol":0.25}', "unknown"]]


def test_a_missing_track_record_is_called_missing() -> None:
    none_yet = approval_sheet(stored(machine_draft())).sections[5].sentences[0]
    assert none_yet == "None yet: no proposal of the type config_parameter_change has an outcome on record."
    record = TrackRecord(n_outcomes=12, claimed=0.2, realised=0.05, lower=-0.1, upper=0.2)
    known = approval_sheet(stored(machine_draft()), track_record=record).sections[5].sentences[0]
    assert "claimed +0.20 on average, realised +0.05 [-0.10, +0.20]" in known


def test_a_track_record_across_types_is_told_beside_that_of_the_type_and_never_as_it() -> None:
    across = TrackRecord(n_outcomes=1, claimed=0.4, realised=0.1)
    told = [
        approval_sheet(stored(machine_draft()), track_record=record).sections[5].sentences[0]
        for record in (
            TrackRecord(n_outcomes=0, n_joint=1, jointly=across),
            TrackRecord(n_outcomes=12, claimed=0.2, realised=0.05, n_joint=3, jointly=across),
        )
    ]
    kind = machine_draft().proposal_type
    assert told[0].startswith(
        f"No proposal of the type {kind} has an outcome of its own on record. 1 change of it went"
    )
    assert told[1].startswith(
        f"12 proposals of the type {kind}, ended: claimed +0.20 on average, realised +0.05. 3 changes"
    )
    for sentence in told:
        assert sentence.endswith("1 set of changes of different types claimed +0.40 on average, realised +0.10.")


def test_the_exit_plan_says_what_a_revert_does_also_where_the_key_was_absent() -> None:
    machine = " ".join(approval_sheet(stored(machine_draft())).sections[6].sentences)
    assert "over 2 years" in machine
    assert "sets risk.max_vol to 0.3" in machine
    human = " ".join(approval_sheet(stored(human_draft())).sections[6].sentences)
    assert "removes stop" in human
    assert "states no horizon" in human
    assert "nothing will be judged" in human


def test_the_last_part_says_who_may_approve_and_until_when() -> None:
    shown = facts(approval_sheet(stored(human_draft()), approval_hours=72), "Who")
    assert shown["Author"] == "Ada (human)"
    assert shown["Approver"] == "nobody yet; one active approver, not Ada"
    assert shown["May be decided until"] == "2026-12-04 09:00 UTC"
    assert shown["An approval lapses"] == "72 hours after it is given"
    edited = facts(approval_sheet(stored(human_draft(), editor_keys=frozenset({"a", "b"}))), "Who")
    assert edited["Approver"].endswith("not Ada, nor its 2 editors")
    approved = stored(human_draft(), approved_by="Bo", approved_at=NOW, approval_expires_at=NOW + timedelta(hours=72))
    shown = facts(approval_sheet(approved), "Who")
    assert (shown["Approver"], shown["An approval lapses"]) == ("Bo, 2026-11-20 09:00 UTC", "2026-11-23 09:00 UTC")


@pytest.mark.parametrize("metrics", [{}, {"note": "felt right"}, {"effect": "strong"}])
def test_a_proposal_without_the_engines_evidence_says_so(metrics: dict[str, str]) -> None:
    sheet = approval_sheet(stored(replace(human_draft(), supporting_metrics=metrics)))
    assert facts(sheet, "Effect")["Evidence"].startswith("none of the engine's")
    assert facts(sheet, "Downside") == {"Risk": "not measured: the proposal carries no evidence of the engine"}


@settings(max_examples=60, deadline=None)
@given(any_text)
def test_a_hostile_rationale_is_text_on_both_surfaces(text: str) -> None:
    if not text.strip():
        return
    made = stored(human_draft().__class__(**human_draft().__dict__ | {"rationale": f"x{text}".replace("\x00", "")}))
    shown = visible(f"x{text}".replace("\x00", ""))
    sheet = approval_sheet(made)
    _, kinds = parsed(sheet.markdown())
    assert kinds <= {"text", "text_special"}
    out = printed(sheet)
    assert out.replace("\n", "").isprintable()
    assert "".join(shown.split()) in "".join(out.split())
