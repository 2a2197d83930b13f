"""The documents that the tests of this folder look at: whole ones, sparse ones, and ones full of hostile text."""

import sys
from dataclasses import replace
from datetime import date
from functools import cache

import numpy as np

from meta_pipeline.canonical import JsonValue
from meta_pipeline.diagnostics.diagnose import DiagnosticsReport
from meta_pipeline.diagnostics.equity import EquityComparison
from meta_pipeline.diagnostics.records import Thresholds
from meta_pipeline.outcomes.scorecard import Score
from meta_pipeline.proposals.checks import Check
from meta_pipeline.proposals.diff import TouchedKey
from meta_pipeline.proposals.drafting import draft
from meta_pipeline.report.approval import TrackRecord
from meta_pipeline.report.experience import Past
from meta_pipeline.report.proposal_report import ProposalReport, proposal_html
from meta_pipeline.report.strategy_report import StrategyReport, strategy_html
from meta_pipeline_tests.diagnostics.builders import panel
from meta_pipeline_tests.diagnostics.test_diagnose import SIX, SPOKEN, diagnosed
from meta_pipeline_tests.report.builders import candidate
from meta_pipeline_tests.report.test_approval import RISKY, stored

HOSTILE = ("<script>alert(1)</script>", "</svg><script>", "{{7*7}}", "=cmd()", "0.5 \u202e52.0")
NIGHT = date(2026, 11, 20)
N_DAYS = 500


def equity(name: str = "window = 50") -> EquityComparison:
    days = np.datetime64("2020-01-01", "s") + np.arange(N_DAYS) * np.timedelta64(1, "D")
    noise = np.random.default_rng(7)
    first, second = noise.normal(0.0003, 0.01, N_DAYS), noise.normal(0.0005, 0.01, N_DAYS)
    return EquityComparison(
        dates=days, incumbent=first, challenger=second, challenger_name=name, n_incumbent=2, n_challenger=3
    )


@cache
def diagnostics() -> DiagnosticsReport:
    return diagnosed(
        panel(SIX),
        proposed=SPOKEN,
        regimes={"": np.array(["calm"] * 250 + ["crisis"] * 250)},
        thresholds=Thresholds(sharpe=0.7),
    )


SCORE = Score(
    proposal_type="config_parameter_change",
    n_changes=3,
    n_realised=2,
    claimed=0.3,
    realised=0.1,
    lower=-0.1,
    upper=0.3,
    reason=None,
    verdicts={"KEEP": 1, "REVERT": 1},
)
BINS: dict[str, JsonValue] = {
    "bins": [{"lower": 0.5, "upper": 0.75, "n": 12, "said": 0.6, "came": 0.58}],
    "claimed": 0.2,
    "realised": 0.1,
}


def strategy_document(name: str = "STRAT_001", *, whole: bool = True) -> bytes:
    report = diagnostics()
    if not whole:
        bare = replace(report, effects=tuple(replace(one, regimes=()) for one in report.effects))
        return strategy_html(StrategyReport(strategy_id=name, night=NIGHT, report=bare))
    past = Past(strategy_id=name, experience={"family": "trend", "ended_outcomes": 12, "reliability": BINS})
    return strategy_html(
        StrategyReport(strategy_id=name, night=NIGHT, report=report, equity=equity(), past=past, scores=(SCORE,))
    )


def proposal_document(text: str = "window", *, whole: bool = True) -> bytes:
    chosen = replace(RISKY, knob=text, rationale=f"because {text}") if whole else candidate(knob=text)
    made = draft(chosen, strategy_id=f"S {text}", base_version=1, evidence_digest="e" * 64)
    checks = (
        Check(name="base", passed=True, text=f"live is version 1 {text}"),
        Check(name="freeze", passed=False, text=f"frozen: {text}"),
    )
    return proposal_html(
        ProposalReport(
            record=stored(made),
            checks=checks,
            touched=(TouchedKey(path=text, before=0.3, after=text, risk_change="reduces"),),
            track_record=TrackRecord(n_outcomes=2, claimed=0.3, realised=0.1, lower=-0.1, upper=0.3) if whole else None,
            approval_hours=72,
            equity=equity(text) if whole else None,
        )
    )


@cache
def poisoned_diagnostics() -> DiagnosticsReport:
    """Return findings in which every name and reason is hostile."""
    text = " ".join(HOSTILE)
    report = diagnostics()
    effects = tuple(
        replace(one, knob=text, reason=text, regimes=tuple(replace(r, label=text) for r in one.regimes))
        for one in report.effects
    )
    return replace(
        report,
        effects=effects,
        knobs=tuple(replace(knob, path=text, aliased_with=(text,)) for knob in report.knobs),
        insufficient_data=text,
        notes=tuple(replace(note, sentence=text, code=text) for note in report.notes),
    )


def hostile_strategy_document() -> bytes:
    """Return a report in which every name and reason is hostile."""
    text = " ".join(HOSTILE)
    poisoned = poisoned_diagnostics()
    score = replace(SCORE, proposal_type=text)
    past = Past(strategy_id=text, experience={"family": text, "reliability": BINS})
    return strategy_html(
        StrategyReport(strategy_id=text, night=NIGHT, report=poisoned, equity=equity(text), past=past, scores=(score,))
    )


if __name__ == "__main__":
    sys.stdout.buffer.write(strategy_document() + proposal_document())
