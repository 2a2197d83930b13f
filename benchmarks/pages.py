"""Server time of the pages over ten thousand proposals, beside two usual ways to page through a list.

    python -m benchmarks.pages [--proposals 10000] [--times 30]

Measured is the whole answer of the app in this process, without a network: reading, filling in, and the layers around
it; wall time, and beside it the CPU time of this process (that of the database is not in it). The rivals read the last
page of the list by OFFSET, as most frameworks' pagination does, and the whole list to cut the page out of it in Python;
neither builds or renders anything beyond its rows. The exit code is 1 if a page takes longer than 300 ms in the median.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from fastapi.testclient import TestClient
from sqlalchemy import func, select

from meta_pipeline.api.app import create_app
from meta_pipeline.api.context import Context
from meta_pipeline.api.pages import page as page_cursor
from meta_pipeline.api.web.grid import proposals_grid
from meta_pipeline.proposals.draft import ProposalDraft
from meta_pipeline.proposals.knobs import Knob
from meta_pipeline.proposals.strategy import Strategy
from meta_pipeline.settings import Settings
from meta_pipeline.store import diagnostics, migrations, pages, proposals, strategies
from meta_pipeline.store.database import Database, open_database
from meta_pipeline.store.schema import audit_log, meta_config_proposals
from meta_pipeline_tests.report import documents
from meta_pipeline_tests.report.builders import candidate
from meta_pipeline_tests.store.live_book import evaluate_at, fill_book

STRATEGIES = 200
PAGE = 50
BAR = 300.0
POLICIES = 400
_ORDER = (meta_config_proposals.c.created_at.desc(), meta_config_proposals.c.proposal_id.desc())
_ROWS = select(meta_config_proposals).order_by(*_ORDER)
_ORDERED = select(meta_config_proposals.c.proposal_id, meta_config_proposals.c.created_at).order_by(*_ORDER)


def fill(database: Database, n: int, now: datetime) -> None:
    """Save so many pending proposals, over two hundred strategies."""
    each = n // STRATEGIES
    knobs = tuple(Knob(path=f"knob_{i}", knob_type="int") for i in range(each))
    live = {knob.path: 1 for knob in knobs}
    with database.begin() as connection:
        for number in range(STRATEGIES):
            name = f"STRAT_{number:03}"
            strategies.declare(
                connection, Strategy(strategy_id=name, knobs=knobs, live_config=live), actor="Ann", now=now
            )
            drafts = [_draft(name, knob.path) for knob in knobs]
            saved = proposals.save(connection, drafts, now=now, lifetime=timedelta(days=14))
            assert len(saved.new) == each, saved


def _draft(strategy: str, knob: str) -> ProposalDraft:
    return ProposalDraft(
        strategy_id=strategy,
        proposal_type="config_parameter_change",
        target_component=knob,
        current=1,
        proposed=2,
        base_version=1,
        rationale="A benchmark needs many of these; nobody is to approve one.",
        supporting_metrics={},
        evidence_digest="e" * 64,
        risk_change="unknown",
        author="Ann",
        author_kind="human",
    )


@dataclass(frozen=True, kw_only=True)
class Spent:
    """Milliseconds of the wall: the first time, then the median and the largest; and the median of the processor."""

    first: float
    wall: float
    slowest: float
    cpu: float


def rich(database: Database, now: datetime) -> str:
    """Add a night's report, a book with its policies, and a proposal with its evidence; return the proposal's id."""
    evidence = candidate("knob_0", 1, 3)
    draft = replace(
        _draft("STRAT_007", "knob_0"),
        proposed=3,
        supporting_metrics=evidence.to_json(),
        grade=str(evidence.grade),
        expected_sharpe_improvement=evidence.expected_uplift,
    )
    with database.begin() as connection:
        (saved,) = proposals.save(connection, [draft], now=now, lifetime=timedelta(days=14)).new
        diagnostics.write_report(connection, documents.diagnostics(), strategy_id="STRAT_007", now=now)
        fill_book(connection, until=now - timedelta(minutes=30 * POLICIES))
    for step in range(POLICIES):
        evaluate_at(database, now - timedelta(minutes=30 * (POLICIES - 1 - step)))
    return saved


def milliseconds(work: Callable[[], object], times: int) -> Spent:
    """Measure the first time, and some repetitions."""
    wall, cpu = [], []
    for _ in range(1 + times):
        began, used = time.perf_counter(), time.process_time()
        work()
        wall.append(1000 * (time.perf_counter() - began))
        cpu.append(1000 * (time.process_time() - used))
    return Spent(first=wall[0], wall=statistics.median(wall[1:]), slowest=max(wall[1:]), cpu=statistics.median(cpu[1:]))


def main() -> None:
    """Fill a database, and ask for pages."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--proposals", type=int, default=10_000)
    parser.add_argument("--times", type=int, default=30)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="meta-pipeline-benchmark-") as folder:
        settings = Settings(_env_file=None, home=Path(folder))  # type: ignore[call-arg]
        with open_database(settings) as database:
            migrations.migrate(database.engine)
            fill(database, given.proposals, datetime.now(UTC))
            context = Context(database=database, settings=settings, open_access=True, actor="Ann")
            client = TestClient(create_app(context), base_url="http://127.0.0.1")
            drawn = rich(database, datetime.now(UTC))
            below = _print(client, database, given.proposals, given.times, drawn)
    sys.exit(0 if below else 1)


def _print(client: TestClient, database: Database, n: int, times: int, drawn: str) -> bool:
    """Print every measurement; return whether all pages stay below the bar."""

    def whole_list() -> None:
        with database.connect() as connection:
            records, _ = pages.proposals_page(connection, limit=n, after=None)
        proposals_grid(records[-PAGE:])

    def by_offset() -> None:
        with database.connect() as connection:
            rows = connection.execute(_ROWS.limit(PAGE).offset(n - PAGE)).all()
        assert len(rows) == PAGE

    def by_cursor() -> None:
        with database.connect() as connection:
            records, _ = pages.proposals_page(connection, limit=PAGE, after=end)
        assert len(records) == PAGE

    def page(address: str) -> Callable[[], None]:
        def ask() -> None:
            assert client.get(address).status_code == 200

        return ask

    with database.connect() as connection:
        last = connection.execute(_ORDERED.limit(1).offset(n - PAGE - 1)).one()
        end = (last.created_at, last.proposal_id)
        audited = connection.execute(select(func.count()).select_from(audit_log)).scalar_one()
    print(f"{n:,} proposals, {audited:,} audit entries, {times} times each; milliseconds")
    print(f"{'':<46}{'first':>9}{'median':>9}{'slowest':>9}{'CPU':>9}")
    cursor = _line("the last page of the list, by its cursor", milliseconds(by_cursor, times))
    for name, rival in (("by OFFSET", by_offset), ("cut out of the whole list", whole_list)):
        other = _line(f"  rival: {name}", milliseconds(rival, max(times // 10, 3)))
        print(f"  the cursor is {other.wall / cursor.wall:.1f} times as fast")
    deep = page_cursor([], end)["next_cursor"]
    worst = 0.0
    for address in (
        "/pages/inbox",
        "/pages/inbox/live",
        "/pages/inbox?status=all&strategy=STRAT_007",
        f"/pages/inbox?status=all&cursor={deep}",
        f"/pages/proposals/{drawn}",
        "/pages/policy",
        "/pages/strategy?id=STRAT_007",
        "/pages/strategies",
        "/pages/changes",
        "/pages/freezes",
        "/pages/audit",
    ):
        worst = max(worst, _line(address[:44], milliseconds(page(address), times)).wall)
    print(f"slowest page in the median: {worst:.1f} ms; the bar is {BAR:g} ms")
    return worst < BAR


def _line(name: str, spent: Spent) -> Spent:
    print(f"{name:<46}{spent.first:9.1f}{spent.wall:9.1f}{spent.slowest:9.1f}{spent.cpu:9.1f}")
    return spent


if __name__ == "__main__":
    main()
