"""The rules of imports, as functions from source text to a list of violations; test_architecture applies them."""

import ast
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

PACKAGE: Final = "meta_pipeline"

# Room -> floor. A room may import rooms on floors below its own, and its own modules.
FLOORS: Final[Mapping[str, int]] = {
    "canonical": 0,
    "counted": 0,
    "errors": 0,
    "settings": 0,
    "failpoints": 0,
    "evidence": 1,
    "backtests": 2,
    "diagnostics": 2,
    "proposals": 2,
    "outcomes": 2,
    "meta_model": 2,
    "hyperband": 2,
    "policy": 2,
    "lab": 2,
    "store": 3,
    "report": 3,
    "orchestration": 4,
    "api": 4,
    "cli": 4,
    "definitions": 5,
    "definitions_celery": 6,
    "__main__": 6,
}
STAGES: Final = frozenset(room for room, floor in FLOORS.items() if floor == 2)
PURE: Final = STAGES | {"evidence", "report"}
# Stages read each other's records (a report reads candidates); cycles between modules stay forbidden.
NEIGHBOURS: Final = STAGES
# Some records that are shown are made by the store; naming their type loads nothing.
NAMED_ONLY: Final = frozenset({("report", "store")})
# `meta-pipeline nightly` runs the job of the schedule, in its own process.
STEPS_ASIDE: Final = frozenset({("cli", "orchestration")})
# Modules that step aside where their room may not: `meta-pipeline serve` serves the API.
MODULES_ASIDE: Final = frozenset({(f"{PACKAGE}.cli.serve", "api")})
FORBIDDEN_IN_PURE: Final = frozenset(
    {"dagster", "sqlalchemy", "psycopg", "time", "random", "secrets", "uuid", f"{PACKAGE}.settings"}
)
CLOCKS: Final = frozenset({"now", "utcnow", "today"})
SEEDED: Final = frozenset({"default_rng", "SeedSequence", "PCG64", "PCG64DXSM", "Philox", "SFC64", "MT19937"})
RANDOM_TYPES: Final = frozenset({"Generator", "BitGenerator"})


class Import(NamedTuple):
    """One imported name: the module or attribute, its line, and where the statement stands."""

    target: str  # "a.b" for `from a import b`
    parent: str  # "a" for `from a import b`, empty for `import a`
    line: int
    at_import: bool  # runs when the module is imported, not inside a function
    only_types: bool  # under `if TYPE_CHECKING:`


@cache
def _tree(source: str) -> ast.Module:
    return ast.parse(source)


def imports(source: str) -> list[Import]:
    """List what a module imports, inside functions too."""
    return list(_imports(_tree(source).body, at_import=True, only_types=False))


def _imports(body: Iterable[ast.AST], *, at_import: bool, only_types: bool) -> Iterator[Import]:
    for node in body:
        if isinstance(node, ast.Import):
            yield from (Import(alias.name, "", node.lineno, at_import, only_types) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            names = (f"{module}.{alias.name}" for alias in node.names)
            yield from (Import(name, module, node.lineno, at_import, only_types) for name in names)
        else:
            inside = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            types = isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
            yield from _imports(
                ast.iter_child_nodes(node), at_import=at_import and not inside, only_types=only_types or types
            )


def room_of(module: str) -> str | None:
    """Return the room of a module ("meta_pipeline.store.runs" -> "store"), None for the package itself."""
    parts = module.split(".")
    return parts[1] if parts[0] == PACKAGE and len(parts) > 1 else None


def direction_violations(module: str, source: str) -> list[str]:
    """Say which imports of a module go sideways or up."""
    own = room_of(module)
    if own is None:
        return []
    if own not in FLOORS:
        return [f"{module}: room {own!r} is not in FLOORS; say where it belongs"]
    found = []
    for item in imports(source):
        other = room_of(item.target)
        if item.target.startswith("."):
            found.append(f"{module}:{item.line} imports {item.target}; write absolute imports")
        elif (module, other) in MODULES_ASIDE:
            continue
        elif other is not None and other in FLOORS and other != own and not _allowed(own, other, item):
            found.append(f"{module}:{item.line} imports {item.target}: {own} may not import {other}")
    return found


def _allowed(own: str, other: str, item: Import) -> bool:
    lower = FLOORS[other] < FLOORS[own] or FLOORS[other] == 0
    named = item.only_types and (own, other) in NAMED_ONLY
    return lower or named or {own, other} <= NEIGHBOURS or (own, other) in STEPS_ASIDE


def cycles(sources: Mapping[str, str]) -> list[list[str]]:
    """Return groups of modules that import each other in a circle; imports for types only do not count."""
    graph = {
        module: {
            target
            for item in imports(source)
            if not item.only_types and (target := _module_of(item, sources)) in sources and target != module
        }
        for module, source in sources.items()
    }
    reach = {module: _reachable(module, graph) for module in graph}
    groups = {tuple(sorted(m for m in graph if m in reach[n] and n in reach[m])) for n in graph if n in reach[n]}
    return [list(group) for group in sorted(groups)]


def _module_of(item: Import, sources: Mapping[str, str]) -> str:
    """Return the module an import needs: `from package import module` needs the module, not the package's names."""
    return item.target if item.target in sources else item.parent


def _reachable(start: str, graph: Mapping[str, set[str]]) -> set[str]:
    seen: set[str] = set()
    waiting = list(graph[start])
    while waiting:
        module = waiting.pop()
        if module not in seen:
            seen.add(module)
            waiting.extend(graph[module])
    return seen


def purity_violations(module: str, source: str) -> list[str]:
    """Say where a module of evidence or a stage reaches for a framework, the clock, the environment or chance."""
    found = [
        f"{module}:{item.line} imports {item.target}"
        for item in imports(source)
        if any(item.target == name or item.target.startswith(name + ".") for name in FORBIDDEN_IN_PURE)
        or item.target in {"os.environ", "os.getenv"}
    ]
    names = _full_names(source)
    for node in ast.walk(_tree(source)):
        if isinstance(node, ast.Attribute):
            name = _dotted(node, names)
            if name in {"os.environ", "os.getenv", "os.urandom"}:
                found.append(f"{module}:{node.lineno} uses {name}")
        if isinstance(node, ast.Call):
            found.extend(f"{module}:{node.lineno} {problem}" for problem in _call_problems(node, names))
    return found


def _call_problems(node: ast.Call, names: Mapping[str, str]) -> Iterator[str]:
    name = _dotted(node.func, names)
    last = name.rpartition(".")[2]
    if name.startswith(("datetime.", "pandas.")) and last in CLOCKS:
        yield f"reads the clock by {name}()"
    if name == "numpy.datetime64" and node.args and ast.unparse(node.args[0]) in {"'now'", "'today'"}:
        yield "reads the clock by numpy.datetime64"
    if name.startswith("numpy.random."):
        unseeded = not node.args and not node.keywords
        if last in SEEDED and (unseeded or (node.args and ast.unparse(node.args[0]) == "None")):
            yield f"draws from {name} without a seed"
        if last not in SEEDED | RANDOM_TYPES:
            yield f"draws from the shared state of {name}"


def _full_names(source: str) -> dict[str, str]:
    """Return local name -> full name for what a module imports (`np` -> "numpy")."""
    names: dict[str, str] = {}
    for node in ast.walk(_tree(source)):
        if isinstance(node, ast.Import):
            names |= {
                alias.asname or alias.name.partition(".")[0]: alias.name
                if alias.asname
                else alias.name.partition(".")[0]
                for alias in node.names
            }
        elif isinstance(node, ast.ImportFrom):
            names |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    return names


def _dotted(node: ast.AST, names: Mapping[str, str]) -> str:
    if isinstance(node, ast.Name):
        return names.get(node.id, node.id)
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value, names)}.{node.attr}"
    return "?"


def environment_at_import(module: str, source: str) -> list[str]:
    """Say where importing a module would read the environment."""
    names = _full_names(source)
    functions = {
        inner
        for node in ast.walk(_tree(source))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for inner in range(node.lineno, (node.end_lineno or node.lineno) + 1)
    }
    return [
        f"{module}:{node.lineno} reads the environment at import"
        for node in ast.walk(_tree(source))
        if isinstance(node, ast.Attribute | ast.Name)
        and _dotted(node, names) in {"os.environ", "os.getenv"}
        and node.lineno not in functions
    ]


def foreign_imports(source: str, allowed: frozenset[str]) -> list[str]:
    """List the top-level packages a module imports that are not in `allowed`."""
    return sorted({item.target.partition(".")[0] for item in imports(source)} - allowed)


def sources_under(folder: Path) -> dict[str, str]:
    """Read every module under a folder, by its dotted name ("meta_pipeline.store" for its `__init__`)."""
    found = {}
    for path in sorted(folder.rglob("*.py")):
        parts = path.relative_to(folder.parent).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[name] = path.read_text(encoding="utf-8")
    return found


def too_long(lengths: Mapping[str, int], *, limit: int, reasons: Mapping[str, str]) -> list[str]:
    """Say which files are longer than the limit without a reason, and which reasons are no longer needed."""
    found = [
        f"{path} has {lines} lines, over {limit}; split it, or give a reason"
        for path, lines in sorted(lengths.items())
        if lines > limit and not reasons.get(path, "").strip()
    ]
    stale = [path for path in sorted(reasons) if lengths.get(path, 0) <= limit]
    return found + [f"{path} is within {limit} lines; drop its exception" for path in stale]
