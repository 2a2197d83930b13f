"""The tables of docs/api.md that are made from the app: routes with their roles, and codes of problems.

python -m meta_pipeline_tests.api.api_page --write   puts them into the page
"""

import re
import sys
from collections.abc import Mapping
from pathlib import Path

from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from meta_pipeline import api
from meta_pipeline.api.access import POLICY_READERS, READERS
from meta_pipeline.api.problems import OF_THE_FRAMEWORK, STATUSES
from meta_pipeline.api.routes import backtests, changes, diagnostics, meta_agent, msc, policy, proposals, system
from meta_pipeline.store.api_tokens import ROLES

PAGE = Path(__file__).parents[2] / "docs" / "api.md"
MODULES = (msc, meta_agent, proposals, changes, diagnostics, policy, backtests, system)
NAMED = {READERS: "all but executor", POLICY_READERS: "all"}
# Codes that are no error of ours but of HTTP, as the api's files name them: problem(404, "code", ...
OF_HTTP = re.compile(r'(?:problem|ProblemError)\(\s*(\d{3}),\s*"([a-z_]+)"')


def roles_of(dependant: Dependant) -> frozenset[str] | None:
    """Return the roles of which a route takes one; None where it takes no token."""
    for one in dependant.dependencies:
        roles = getattr(one.call, "roles", None)
        if roles is not None:
            return frozenset(roles)
    return None


def routes_table() -> str:
    """Return the table of routes in Markdown."""
    rows = ["| route | does | roles |", "| --- | --- | --- |"]
    for module in MODULES:
        for route in module.router.routes:
            assert isinstance(route, APIRoute)
            if not route.include_in_schema:
                continue
            roles = roles_of(route.dependant)
            named = "no token" if roles is None else NAMED.get(roles) or ", ".join(r for r in ROLES if r in roles)
            said = (route.endpoint.__doc__ or "").strip().split("\n\n")[0].replace("\n", " ")
            does = re.sub(r"\s+", " ", said).split(". ")[0].rstrip(".")
            (method,) = route.methods or {"GET"}
            rows.append(f"| `{method} {route.path}` | {does} | {named} |")
    return "\n".join(rows) + "\n"


def codes() -> Mapping[str, int]:
    """Return every code of a problem and its status."""
    found = {**{code: status for status, code in OF_THE_FRAMEWORK.items()}, **STATUSES}
    for file in sorted(Path(api.__file__).parent.rglob("*.py")):
        for status, code in OF_HTTP.findall(file.read_text(encoding="utf-8")):
            found.setdefault(code, int(status))
    return found


def codes_table() -> str:
    """Return the table of codes in Markdown, by status."""
    by_status: dict[int, list[str]] = {}
    for code, status in codes().items():
        by_status.setdefault(status, []).append(f"`{code}`")
    rows = [f"| {status} | {', '.join(sorted(names))} |" for status, names in sorted(by_status.items())]
    return "\n".join(["| status | codes |", "| --- | --- |", *rows]) + "\n"


TABLES = {"routes": routes_table, "codes": codes_table}


def in_page(page: str, name: str) -> str:
    """Return the table that stands in the page under a name."""
    return page.partition(f"<!-- {name}: begin -->")[2].partition(f"<!-- {name}: end -->")[0].strip() + "\n"


def main() -> None:
    """Print the tables, or put them into the page."""
    page = PAGE.read_text(encoding="utf-8") if "--write" in sys.argv else ""
    for name, table in TABLES.items():
        begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
        if "--write" in sys.argv:
            before, _, rest = page.partition(begin)
            page = f"{before}{begin}\n{table()}{end}{rest.partition(end)[2]}"
        else:
            sys.stdout.write(table() + "\n")
    if page:
        PAGE.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
