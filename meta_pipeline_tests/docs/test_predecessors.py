"""docs/predecessors.md: whatever it names as ours exists: modules, routes, tables, variables, commands, files."""

import importlib
import re
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache

from fastapi.routing import APIRoute
from prometheus_client import CollectorRegistry
from pydantic import AliasChoices

from meta_pipeline.api.metrics import Figures, exposition
from meta_pipeline.api.routes import backtests, changes, diagnostics, meta_agent, msc, policy, proposals, system
from meta_pipeline.settings import Settings
from meta_pipeline.store import schema
from meta_pipeline.store.live_books import LIVE
from meta_pipeline.store.policy_publishing import keys_of
from meta_pipeline_tests.docs.command_line import inline_complaint
from meta_pipeline_tests.docs.pages import ROOT, text_of

PAGE = "docs/predecessors.md"
ROUTERS = (backtests, changes, diagnostics, meta_agent, msc, policy, proposals, system)
SUBJECTS = ("Kronos", "Meta-Orchestrator", "Meta-Agent", "Meta-Optimizer", "Meta Strategy Controller")


def rows() -> list[tuple[str, str]]:
    """Return (there, here) of each row of the page's tables."""
    found = []
    for line in text_of(PAGE).splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split(" | ")]
        if line.startswith("|") and not line.startswith("|---") and len(cells) == 2 and cells[1] != "here":
            found.append((cells[0], cells[1]))
    return found


@cache
def routes() -> frozenset[str]:
    every = [route for module in ROUTERS for route in module.router.routes if isinstance(route, APIRoute)]
    return frozenset(f"{method} {route.path}" for route in every for method in route.methods or ())


@cache
def variables() -> frozenset[str]:
    named: set[str] = set()
    for name, field in Settings.model_fields.items():
        also = field.validation_alias
        named |= {f"META_PIPELINE_{name.upper()}", *(map(str, also.choices) if isinstance(also, AliasChoices) else ())}
    read = (ROOT / "meta_pipeline/meta_model/predecessor_environment.py").read_text(encoding="utf-8")
    return frozenset(named | set(re.findall(r'environ(?:\.get\(|, )"([A-Z_0-9]+)"', read)))


@cache
def tables() -> frozenset[str]:
    columns = {f"{table.name}.{column.name}" for table in schema.metadata.sorted_tables for column in table.columns}
    return frozenset({table.name for table in schema.metadata.sorted_tables} | columns | set(schema.VIEWS))


@cache
def source() -> str:
    files = [
        *(ROOT / "meta_pipeline").rglob("*.py"),
        *(ROOT / "sql").rglob("*.sql"),
        *(ROOT / "deploy").rglob("*.yaml"),
    ]
    return "\n".join(file.read_text(encoding="utf-8") for file in files)


@cache
def metrics() -> frozenset[str]:
    """Return the names of metrics that a server shows, before Prometheus adds `_total`."""
    nothing = Figures(books=(), evaluations=(), proposals={}, now=datetime(2026, 11, 20, tzinfo=UTC))
    shown = exposition(CollectorRegistry(), nothing).decode()
    return frozenset(name.removesuffix("_total") for name in re.findall(r"^# TYPE (\S+)", shown, re.MULTILINE))


def redis_keys() -> set[str]:
    return {key.rpartition(":")[2] for key in keys_of(LIVE).values()}


def imported(name: str) -> bool:
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:end]))
        except ModuleNotFoundError:
            continue
        return not parts[end:] or attribute(found, parts[end:])
    return False


def attribute(found: object, parts: list[str]) -> bool:
    """Tell whether the parts lead from one attribute to the next."""
    for part in parts:
        if not hasattr(found, part):
            return False
        found = getattr(found, part)
    return True


KINDS: dict[str, Callable[[str], bool]] = {
    r"(GET|POST|PUT|DELETE) /.*": lambda name: name in routes(),
    r"meta_pipeline\..*": imported,
    r"meta-pipeline .*": lambda name: not inline_complaint(name),
    r"make .*": lambda name: f"\n{name[5:]}:" in (ROOT / "Makefile").read_text(encoding="utf-8"),
    r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)+": lambda name: name in variables(),
    r"msc_\w+": lambda name: name in tables() or name.removesuffix("_total") in metrics(),
    r"msc_ai:\w+": lambda name: name.removeprefix("msc_ai:") in redis_keys(),
    r".*/.*": lambda name: (ROOT / name).exists(),
    r"[a-z_]+\.[a-z_]+": lambda name: name in tables(),
    r".*": lambda name: name in tables() or name in source(),
}
"""The shape of a name -> whether something of ours has it; the first shape that fits counts."""


def is_there(name: str) -> bool:
    """Tell whether something of ours has this name."""
    return next(there(name) for shape, there in KINDS.items() if re.fullmatch(shape, name))


def test_everything_that_the_page_names_as_ours_is_there() -> None:
    assert len(rows()) > 110
    missing = [
        f"{there}: {name}" for there, here in rows() for name in re.findall(r"`([^`]+)`", here) if not is_there(name)
    ]
    assert missing == []


def test_every_row_has_an_equal_or_says_why_it_is_gone() -> None:
    for there, here in rows():
        assert here, there
        assert not here.startswith("gone") or re.match(r"gone(?: from \w+)?: .{20}", here), there


def test_all_five_predecessors_have_their_part() -> None:
    headings = re.findall(r"^## \d\. (.+)$", text_of(PAGE), re.MULTILINE)
    assert len(headings) == len(SUBJECTS)
    assert all(heading.startswith(subject) for heading, subject in zip(headings, SUBJECTS, strict=True))


def test_a_name_that_nothing_has_is_found_out() -> None:
    for name in (
        *("GET /api/intelligence/health", "meta_pipeline.store.governance.approve", "meta-pipeline intelligence run"),
        *("MSC_PROFILE", "backtest_daily_equity", "backtest_runs.sharpe", "meta_pipeline/kronos.py", "make everything"),
    ):
        assert not is_there(name), name
