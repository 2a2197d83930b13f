"""A database in which every page has something to show, with names as hostile or as plain as a test wants."""

from collections.abc import Sequence
from datetime import timedelta
from functools import cache
from hashlib import sha256
from typing import Any, ClassVar, Final

from sqlalchemy import Connection, insert

from meta_pipeline.canonical import JsonValue
from meta_pipeline.meta_model.artifact_store import FolderStore
from meta_pipeline.proposals.checks import Check
from meta_pipeline.proposals.decision import Decision
from meta_pipeline.proposals.diff import TouchedKey
from meta_pipeline.proposals.draft import ProposalDraft, ProposalRecord
from meta_pipeline.proposals.knobs import Knob, RiskDirection
from meta_pipeline.proposals.strategy import Strategy
from meta_pipeline.report.files import ProposalReports, report_files
from meta_pipeline.report.strategy_report import StrategyReport, strategy_html
from meta_pipeline.settings import Settings
from meta_pipeline.store import (
    approvers,
    audit,
    automation_freezes,
    diagnostics,
    executors,
    freezing,
    governance,
    proposals,
    strategies,
)
from meta_pipeline.store.database import Database
from meta_pipeline.store.schema_meta_model import meta_model_alarms, meta_model_versions
from meta_pipeline.store.schema_search import searches, top_configs
from meta_pipeline_tests.report import documents
from meta_pipeline_tests.report.builders import candidate
from meta_pipeline_tests.store.live_book import NOW, calm_policy

MODEL: Final = sha256(b"champion").hexdigest()
CANDIDATE_MODEL: Final = sha256(b"candidate").hexdigest()
NOTE: Final = "on the days held back"
REASON: Final = "a change of exit.kind was not what its proposal said"
GATES: Final = (
    ("viable", 1.0, 1.0, True, True, ""),
    ("deflated_sharpe_ratio", 0.981, 0.95, True, True, "417 trials"),
    ("backtest_overfitting", 0.31, 0.2, False, False, "the best of half the days is below the median on the others"),
    ("round_trips", 64.0, 30.0, True, True, ""),
    ("stressed_sharpe_ratio", 0.44, 0.5, True, False, "with doubled fees and slippage"),
)


def seed(
    database: Database,
    settings: Settings,
    *,
    strategy: str = "TREND",
    rationale: str = "The effect holds in both markets and in every half.",
    author: str = "Ann",
    approver: str = "Bob",
    description: str = "Trades the trend of two index futures.",
    note: str = NOTE,
) -> dict[str, str]:
    """Fill every table that a page reads; return the ids of what is pending, applied, and of the change."""
    knobs = (
        Knob(path="lookback", knob_type="int", lower=5, upper=200, max_step=60, risk_direction=RiskDirection.NEUTRAL),
        Knob(
            path="volatility_target",
            knob_type="float",
            lower=0.02,
            upper=0.4,
            risk_direction=RiskDirection.HIGHER_IS_RISKIER,
        ),
        Knob(path="exit.kind", knob_type="str", choices=("trail", "fixed")),
    )
    live: dict[str, JsonValue] = {"lookback": 20, "volatility_target": 0.15, "exit": {"kind": "trail"}}
    with database.begin() as connection:
        for name in (strategy, "REVERSION"):
            strategies.declare(
                connection,
                Strategy(strategy_id=name, knobs=knobs, live_config=live, family="futures", description=description),
                actor=author,
                now=NOW,
            )
        approvers.add(connection, approver, actor=author, now=NOW)
        drafts = [
            _draft(strategy, "lookback", 20, 50, "neutral", author, rationale),
            _draft("REVERSION", "volatility_target", 0.15, 0.1, "reduces", author, rationale),
            _draft("REVERSION", "lookback", 20, 35, "neutral", author, rationale),
        ]
        writer = _Remembering(report_files(settings.home))
        saved = proposals.save(connection, drafts, now=NOW, lifetime=timedelta(days=14), report=writer)
        assert len(saved.new) == 3, saved
        pending, applied, rejected = saved.new
        digests = {one: proposals.get(connection, one).body_digest for one in saved.new}
    verdicts = [
        Decision(proposal_id=applied, digest=digests[applied], verdict="approve", reason=rationale),
        Decision(proposal_id=rejected, digest=digests[rejected], verdict="reject", reason=rationale),
    ]
    for result in governance.decide(
        database, verdicts, approver=approver, channel="api", channel_ref="pages", now=NOW, settings=settings
    ):
        assert result.error is None, result.message
    done = governance.apply(database, applied, actor=approver, now=NOW, settings=settings)
    assert done.change_id is not None, done.message
    record = calm_policy(database)
    with database.begin() as connection:
        for name, behind in (("bot-frankfurt", 0), ("bot-tokyo" if note == NOTE else strategy, 2)):
            beat = executors.Heartbeat(
                executor_id=name,
                scope="live",
                epoch=record.epoch,
                version=record.version - behind,
                mode="NORMAL",
                reduce_only=False,
                reasons=(),
                problems={"strategy": strategy} if behind else {},
                reported_at=NOW,
            )
            executors.record_heartbeat(connection, beat, now=NOW)
        report = _diagnosed(connection, settings, strategy, poisoned=note != NOTE)
        freezes = _freezes(connection, strategy, note, actor=approver)
        search = "weekly" if note == NOTE else f"weekly {note}"
        _searches(connection, search, note)
        _models(connection, note)
        event = audit.Event(action="note", subject_type="strategy", subject_id="REVERSION", payload={"said": rationale})
        audit.append(connection, event, actor=author, at=NOW)
    automation_freezes.freeze(database, reason=REASON if note == NOTE else note, actor=approver, now=NOW)
    return {
        "pending": pending,
        "applied": applied,
        "rejected": rejected,
        "change": done.change_id,
        "report": report,
        "freeze": freezes,
        "strategy": strategy,
        "search": search,
    }


class _Remembering(ProposalReports):
    """Writes the reports of proposals; the same one is drawn once for all tests."""

    drawn: ClassVar[dict[str, bytes]] = {}

    def __init__(self, files: FolderStore) -> None:
        super().__init__(files, approval_hours=72, track_record=lambda _: None)
        self.folder = files

    def __call__(self, record: ProposalRecord, *, checks: Sequence[Check], touched: Sequence[TouchedKey]) -> str:
        if record.body_digest not in self.drawn:
            sha256 = super().__call__(record, checks=checks, touched=touched)
            self.drawn[record.body_digest] = self.folder.get(sha256)
        return self.folder.put(self.drawn[record.body_digest])


@cache
def _night(strategy: str, poisoned: bool) -> bytes:
    found = documents.poisoned_diagnostics() if poisoned else documents.diagnostics()
    return strategy_html(StrategyReport(strategy_id=strategy, night=NOW.date(), report=found))


def _diagnosed(connection: Connection, settings: Settings, strategy: str, *, poisoned: bool) -> str:
    """Keep what a night found of a strategy, and its document; return the document's sha256."""
    found = documents.poisoned_diagnostics() if poisoned else documents.diagnostics()
    sha256 = report_files(settings.home).put(_night(strategy, poisoned))
    diagnostics.write_report(connection, found, strategy_id=strategy, now=NOW, page_sha256=sha256)
    return sha256


def _freezes(connection: Connection, strategy: str, note: str, *, actor: str) -> str:
    """Freeze one strategy, and lift another freeze; return the number of the one that stands."""
    told = note != NOTE
    lifted = freezing.freeze_now(
        connection,
        reason=note if told else "the exchange changes its tick size",
        strategy_id=strategy,
        actor=actor,
        now=NOW,
    )
    freezing.lift(
        connection,
        lifted.freeze.freeze_id,
        reason=note if told else "fills compared, nothing odd",
        actor=actor,
        now=NOW,
    )
    frozen = freezing.freeze_now(
        connection,
        reason=note if told else "its broker migrates on Monday",
        strategy_id="REVERSION",
        actor=actor,
        now=NOW,
    )
    return str(frozen.freeze.freeze_id)


def _draft(strategy: str, knob: str, before: Any, after: Any, risk: str, author: str, rationale: str) -> ProposalDraft:
    evidence = candidate(knob, before, after, rationale=rationale)
    return ProposalDraft(
        strategy_id=strategy,
        proposal_type=str(evidence.proposal_type),
        target_component=knob,
        current=before,
        proposed=after,
        base_version=1,
        rationale=rationale,
        supporting_metrics=evidence.to_json(),
        evidence_digest=sha256(b"evidence").hexdigest(),
        risk_change=risk,
        author=author,
        author_kind="human",
        grade=str(evidence.grade),
        expected_sharpe_improvement=evidence.expected_uplift,
        confidence_score=evidence.probability_positive,
        legacy_confidence=evidence.legacy_confidence,
    )


def _searches(connection: Any, search: str, text: str) -> None:
    names = ("name", "value", "threshold", "at_least", "passed", "reason")
    gates = [dict(zip(names, gate, strict=True)) for gate in GATES]
    verdict = {
        "winner": False,
        "summary": f"No winner: the best of 417 does not pass 2 of 5 gates {text}.",
        "gates": gates,
        "trials": 417,
        "config": sha256(b"config").hexdigest(),
    }
    summary = {"progress": {"evaluations": 206, "evaluations_planned": 206, "failures": 3, "best_value": 1.3}}
    row = {
        "search_name": search,
        "status": "finished",
        "place": "search",
        "settings": {},
        "digest": sha256(b"search").hexdigest(),
        "summary": summary,
        "verdict": verdict,
        "started_at": NOW,
        "updated_at": NOW,
    }
    connection.execute(insert(searches).values(**row))
    for rank in (1, 2, 3):
        top = {
            "search_name": search,
            "rank": rank,
            "slot": f"0.4.{10 + rank}",
            "config": {"lookback": 40 + rank, "exit": {"kind": "trail" if text == NOTE else text}},
            "value": 1.4 - 0.1 * rank,
            "feasible": rank < 3,
            "metrics": {"sharpe_ratio": 1.4 - 0.1 * rank, "max_drawdown": -0.08},
            "constraints": {},
        }
        connection.execute(insert(top_configs).values(**top))


def _models(connection: Any, text: str) -> None:
    checks = [
        {
            "name": "enough_decisions",
            "passed": True,
            "measured": 1840.0,
            "needed": 500.0,
            "sentence": f"1,840 decisions {text}",
        },
    ]
    lift = {"name": "lift_over_majority", "needed": 0.0}
    more = {**lift, "passed": True, "measured": 0.11, "sentence": f"earned more than the majority {text}"}
    less = {**lift, "passed": False, "measured": -0.02, "sentence": f"earned less than the majority {text}"}
    for model, status, passed in ((MODEL, "champion", True), (CANDIDATE_MODEL, "candidate", False)):
        values = {
            "model_id": model,
            "status": status,
            "data_kind": "real",
            "n_samples": 1840,
            "passed": passed,
            "verdict": {"checks": [*checks, more if passed else less]},
            "created_at": NOW,
            "promoted_at": NOW if passed else None,
        }
        connection.execute(insert(meta_model_versions).values(**values))
    alarm: dict[str, JsonValue] = {"n": 240, "statistic": 131.4, "largest": 131.4, "limit": 100.0, "raised_at": 238}
    found = alarm if text == NOTE else {**alarm, "where": text}
    connection.execute(insert(meta_model_alarms).values(model_id=MODEL, report=found, raised_at=NOW))
