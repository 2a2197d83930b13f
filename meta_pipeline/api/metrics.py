"""Metrics for Prometheus, under the documented names. How many series there can be is bounded.

What policies did is counted in the database, not in a process: whichever process evaluates, and whichever restarts, the
figures are the same. Belongs here: names, labels and their bounds. Does not belong here: when to alert (deploy/).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from sqlalchemy import Connection

from meta_pipeline.api.context import Context
from meta_pipeline.policy.modes import RiskMode
from meta_pipeline.store.executors import ExecutorStatus, list_executors
from meta_pipeline.store.live_books import LIVE, list_scopes
from meta_pipeline.store.policies import PolicyRecord, latest_policy
from meta_pipeline.store.policy_publishing import Publication, publications
from meta_pipeline.store.policy_views import effective
from meta_pipeline.store.proposals import count_by_status
from meta_pipeline.store.queries import query

MOST_BOOKS: Final = 20
"""Books that get series of their own: "live", and of more than that, those that were made first."""

BUCKETS: Final = ("0.05", "0.1", "0.5", "1.0", "2.0", "5.0", "10.0")
HTTP_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


@dataclass(frozen=True, kw_only=True)
class BookFigures:
    """What is reported of one book."""

    scope: str
    record: PolicyRecord | None
    executors: Sequence[ExecutorStatus]
    publications: Sequence[Publication]


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What is reported of the database; None where it does not answer."""

    books: Sequence[BookFigures]
    evaluations: Sequence[Mapping[str, Any]]
    proposals: Mapping[str, int]
    now: datetime


class HttpMetrics:
    """Requests and how long they took, by route: the templates of routes, whose number is fixed, and "unmatched"."""

    def __init__(self, registry: CollectorRegistry) -> None:
        labels = ["method", "route"]
        self._requests = Counter(
            "meta_pipeline_http_requests", "Requests answered.", [*labels, "status"], registry=registry
        )
        self._seconds = Histogram(
            "meta_pipeline_http_request_duration_seconds",
            "Time to answer.",
            labels,
            buckets=HTTP_BUCKETS,
            registry=registry,
        )

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        """Note one request."""
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(method, route).observe(seconds)


def read_figures(context: Context) -> Figures:
    """Read what is reported of the database."""
    now = context.now()
    with context.database.connect() as connection:
        scopes = sorted(list_scopes(connection), key=lambda one: (one.scope != LIVE, one.created_at, one.scope))
        books = [_book(connection, scope.scope, now) for scope in scopes[:MOST_BOOKS]]
        shown = {book.scope for book in books}
        rows = [dict(row._mapping) for row in connection.execute(query("policy_metrics")) if row.scope in shown]
        counts = {str(status): n for status, n in count_by_status(connection).items()}
    return Figures(books=books, evaluations=rows, proposals=counts, now=now)


def _book(connection: Connection, scope: str, now: datetime) -> BookFigures:
    record = latest_policy(connection, scope)
    epoch, version = ("", 0) if record is None else (record.epoch, record.version)
    return BookFigures(
        scope=scope,
        record=record,
        executors=list_executors(connection, scope, epoch=epoch, version=version, now=now),
        publications=publications(connection, scope),
    )


def exposition(registry: CollectorRegistry, figures: Figures | None) -> bytes:
    """Return all metrics in Prometheus's text format.

    Parameters
    ----------
    registry
        With the metrics of this process.
    figures
        Of the database; None: it does not answer, and only that is said.
    """
    own = CollectorRegistry()

    class Once:
        def collect(self) -> Iterator[Metric]:
            yield from _families(figures)

    own.register(Once())
    return generate_latest(own) + generate_latest(registry)


def _families(figures: Figures | None) -> Iterator[Metric]:
    up = GaugeMetricFamily("meta_pipeline_database_up", "Whether the database answers.")
    up.add_metric([], 0.0 if figures is None else 1.0)
    yield up
    if figures is None:
        return
    proposals = GaugeMetricFamily("meta_pipeline_proposals", "Proposals by status.", labels=["status"])
    for status, n in sorted(figures.proposals.items()):
        proposals.add_metric([status], n)
    yield proposals
    yield from _evaluation_families(figures.evaluations)
    yield from _policy_families(figures)
    yield from _executor_families(figures)


def _evaluation_families(rows: Sequence[Mapping[str, Any]]) -> Iterator[Metric]:
    totals: dict[tuple[str, str], float] = {}
    changes: dict[tuple[str, str, str], float] = {}
    for row in rows:
        key = (row["scope"], row["risk_mode"])
        totals[key] = totals.get(key, 0.0) + row["n"]
        if row["previous_mode"] not in (None, row["risk_mode"]):
            changes[row["scope"], row["previous_mode"], row["risk_mode"]] = row["n"]
    evaluations = CounterMetricFamily("msc_ai_evaluations", "Policies made.", labels=["scope", "risk_mode"])
    for labels, n in sorted(totals.items()):
        evaluations.add_metric(list(labels), n)
    yield evaluations
    switches = CounterMetricFamily(
        "msc_ai_policy_changes", "Changes of the risk mode.", labels=["scope", "from_mode", "to_mode"]
    )
    for change, n in sorted(changes.items()):
        switches.add_metric(list(change), n)
    yield switches
    durations = HistogramMetricFamily("msc_ai_evaluation_duration_seconds", "Time to make a policy.", labels=["scope"])
    for scope in sorted({row["scope"] for row in rows}):
        own = [row for row in rows if row["scope"] == scope]
        counts = [(bound, float(sum(row[f"le_{i}"] for row in own))) for i, bound in enumerate(BUCKETS)]
        counts.append(("+Inf", float(sum(row["n"] for row in own))))
        durations.add_metric([scope], buckets=counts, sum_value=sum(row["seconds"] for row in own))
    yield durations


def _policy_families(figures: Figures) -> Iterator[Metric]:
    def gauge(name: str, text: str) -> GaugeMetricFamily:
        return GaugeMetricFamily(name, text, labels=["scope"])

    active = gauge("msc_ai_active_strategies", "Strategies that may trade now.")
    version = gauge("msc_ai_policy_version", "Version of the policy.")
    expires = gauge("msc_ai_policy_expires_in_seconds", "Time until the policy expires; negative: it has.")
    halted = gauge("msc_ai_halted", "Whether a person halted the book.")
    mode = GaugeMetricFamily("msc_ai_risk_mode", "1 for the mode executors are in.", labels=["scope", "mode"])
    families = [active, version, expires, halted]
    readings = [
        (gauge(name, text), reading)
        for reading, text in (("drawdown_pct", "Drawdown from the peak."), ("winrate_pct", "Win rate."))
        # The predecessor's document and its code name them differently; both are served.
        for name in (f"msc_ai_system_health_{reading}", f"msc_system_health_{reading}")
    ]
    for book in figures.books:
        if book.record is None:
            continue
        counted = effective(book.record, now=figures.now)
        active.add_metric([book.scope], len(counted.strategies))
        version.add_metric([book.scope], book.record.version)
        expires.add_metric([book.scope], (book.record.expires_at - figures.now).total_seconds())
        halted.add_metric([book.scope], float(book.record.halted))
        for one in RiskMode:
            mode.add_metric([book.scope, str(one)], float(one is counted.mode))
        for family, reading in readings:
            value = book.record.inputs["health"].get(reading)
            family.add_metric([book.scope], float("nan") if value is None else value)
    yield from [*families, mode, *(family for family, _ in readings)]


def _executor_families(figures: Figures) -> Iterator[Metric]:
    executors = GaugeMetricFamily("msc_ai_executors", "Executors by whether they report.", labels=["scope", "state"])
    behind = GaugeMetricFamily("msc_ai_executor_versions_behind", "The most any executor is behind.", labels=["scope"])
    published = GaugeMetricFamily("msc_ai_published", "1 if publishing went well.", labels=["scope", "sink"])
    for book in figures.books:
        talking = [one for one in book.executors if not one.silent]
        executors.add_metric([book.scope, "reporting"], len(talking))
        executors.add_metric([book.scope, "silent"], len(book.executors) - len(talking))
        known = [one.behind for one in talking if one.behind is not None]
        behind.add_metric([book.scope], max(known, default=0))
        for publication in book.publications:
            published.add_metric([book.scope, publication.sink], float(publication.error is None))
    yield from (executors, behind, published)
