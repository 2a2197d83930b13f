"""Server time of the inbox over ten thousand proposals, beside the usual way to write it.

    python -m benchmarks.pages [--proposals 10000] [--times 30]

Measured is the whole answer of the app in this process, without a network: reading, filling in, and the layers around
it. The rival reads every proposal and cuts the page out of the list in Python, and renders the same template.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from fastapi.testclient import TestClient

from meta_pipeline.api.app import create_app
from meta_pipeline.api.context import Context
from meta_pipeline.api.web.grid import proposals_grid
from meta_pipeline.proposals.draft import ProposalDraft
from meta_pipeline.proposals.knobs import Knob
from meta_pipeline.proposals.strategy import Strategy
from meta_pipeline.report.html import render
from meta_pipeline.settings import Settings
from meta_pipeline.store import migrations, pages, proposals, strategies
from meta_pipeline.store.database import Database, open_database

STRATEGIES = 200
PAGE = 50


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


def milliseconds(work: Callable[[], object], times: int) -> tuple[float, float]:
    """Return the median and the largest of some measurements, after one that is not counted."""
    work()
    spent = []
    for _ in range(times):
        began = time.perf_counter()
        work()
        spent.append(1000 * (time.perf_counter() - began))
    return statistics.median(spent), max(spent)


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
            _print(client, database, given.proposals, given.times)


def _print(client: TestClient, database: Database, n: int, times: int) -> None:
    def whole_list() -> None:
        with database.connect() as connection:
            records, _ = pages.proposals_page(connection, limit=n, after=None)
        render("pages/lists.html", visitor=None)
        proposals_grid(records[:PAGE])

    def page(address: str) -> Callable[[], None]:
        def ask() -> None:
            assert client.get(address).status_code == 200

        return ask

    print(f"{n:,} proposals, {times} times each; milliseconds: median, slowest")
    rival, worst = milliseconds(whole_list, max(times // 10, 3))
    print(f"{'the whole list, cut in Python (without rendering)':<52}{rival:10.1f}{worst:10.1f}")
    for name, address in (
        ("/pages/inbox", "/pages/inbox"),
        ("/pages/inbox?status=all&strategy=STRAT_007", "/pages/inbox?status=all&strategy=STRAT_007"),
        ("/pages/inbox?status=APPROVED (none)", "/pages/inbox?status=APPROVED"),
        ("/pages/audit", "/pages/audit"),
    ):
        median, slowest = milliseconds(page(address), times)
        print(f"{name:<52}{median:10.1f}{slowest:10.1f}   {rival / median:.1f} times as fast as the list")


if __name__ == "__main__":
    main()
