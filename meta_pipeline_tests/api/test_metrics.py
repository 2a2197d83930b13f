"""Metrics under the documented names, bounded; deploy/ asks for no others. Documentation that stands alone."""

import json
import re
from datetime import timedelta
from pathlib import Path

import yaml

from meta_pipeline.api.app import create_app
from meta_pipeline.api.metrics import MOST_BOOKS
from meta_pipeline.store.database import Database
from meta_pipeline.store.live_books import open_scope
from meta_pipeline_tests.api.clients import client_of, context_of
from meta_pipeline_tests.store.live_book import NOW, calm_policy

DEPLOY = Path(__file__).parents[2] / "deploy"
# What Prometheus itself provides.
FOREIGN = {"up"}
FUNCTIONS = re.compile(
    r"\b(sum|rate|increase|by|max|min|avg|histogram_quantile|changes|absent|le|and|unless|on|time|bool|or)\b"
)


def names_in(text: str) -> set[str]:
    found = re.findall(r"^([a-z_]+)(?:\{[^}]*\})? ", text, flags=re.MULTILINE)
    return set(found)


def names_asked(expression: str) -> set[str]:
    """Return the metrics that an expression of PromQL names."""
    bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]|\"[^\"]*\"|by \([^)]*\)|on \([^)]*\)", "", expression)
    return set(re.findall(r"\b[a-z][a-z_]{3,}\b", FUNCTIONS.sub("", bare)))


def test_the_documented_metrics_are_there(database: Database, tmp_path: Path) -> None:
    calm_policy(database)
    client = client_of(database, tmp_path)
    text = client.get("/metrics").text
    assert 'msc_ai_evaluations_total{risk_mode="NORMAL",scope="live"} 2.0' in text
    assert 'msc_ai_evaluations_total{risk_mode="DEFENSIVE",scope="live"} 8.0' in text
    assert 'msc_ai_policy_changes_total{from_mode="DEFENSIVE",scope="live",to_mode="NORMAL"} 1.0' in text
    assert 'msc_ai_active_strategies{scope="live"} 2.0' in text
    assert 'msc_ai_evaluation_duration_seconds_count{scope="live"} 10.0' in text
    for bound in ("0.1", "0.5", "1.0", "2.0", "5.0", "10.0", "+Inf"):
        assert f'msc_ai_evaluation_duration_seconds_bucket{{le="{bound}",scope="live"}}' in text
    for name in ("msc_ai_system_health_winrate_pct", "msc_system_health_winrate_pct", "msc_system_health_drawdown_pct"):
        assert f'{name}{{scope="live"}}' in text
    assert 'msc_ai_risk_mode{mode="NORMAL",scope="live"} 1.0' in text
    assert "meta_pipeline_database_up 1.0" in text


def test_an_expired_policy_shows_as_defensive_and_past_its_end(database: Database, tmp_path: Path) -> None:
    calm_policy(database)
    text = client_of(database, tmp_path, clock=lambda: NOW + timedelta(hours=3)).get("/metrics").text
    assert 'msc_ai_risk_mode{mode="DEFENSIVE",scope="live"} 1.0' in text
    assert re.search(r'msc_ai_policy_expires_in_seconds\{scope="live"\} -\d+', text)


def test_however_many_books_there_are_the_live_one_has_its_metrics(database: Database, tmp_path: Path) -> None:
    with database.begin() as connection:
        for number in range(MOST_BOOKS + 5):
            open_scope(connection, f"a{number:02}", actor="ann", now=NOW)
    calm_policy(database)
    text = client_of(database, tmp_path).get("/metrics").text
    assert 'msc_ai_policy_version{scope="live"} 10.0' in text
    assert text.count("msc_ai_executor_versions_behind{") == MOST_BOOKS


def test_requests_are_counted_by_route_and_not_by_address(database: Database, tmp_path: Path) -> None:
    client = client_of(database, tmp_path)
    for number in range(30):
        client.get(f"/api/v1/proposals/p{number}")
        client.get(f"/nowhere/{number}")
        client.request("BREW", f"/pot/{number}")
    text = client.get("/metrics").text
    lines = [line for line in text.splitlines() if line.startswith("meta_pipeline_http_requests_total")]
    assert len(lines) < 8
    assert (
        'meta_pipeline_http_requests_total{method="GET",route="/api/v1/proposals/{proposal_id}",status="404"} 30.0'
        in text
    )
    assert 'route="unmatched",status="404"} 30.0' in text
    assert 'method="OTHER"' in text


def test_dashboard_and_alerts_ask_only_for_metrics_that_are_there(database: Database, tmp_path: Path) -> None:
    calm_policy(database)
    client = client_of(database, tmp_path)
    client.get("/healthz")
    known = names_in(client.get("/metrics").text) | FOREIGN
    # Only there once an executor reported, or a policy was published.
    known |= {"msc_ai_executors", "msc_ai_executor_versions_behind", "msc_ai_published", "meta_pipeline_proposals"}
    dashboard = json.loads((DEPLOY / "grafana" / "policy.json").read_text())
    expressions = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])]
    alerts = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yaml").read_text())
    rules = [rule for group in alerts["groups"] for rule in group["rules"]]
    assert len(expressions) >= 10
    assert len(rules) >= 8
    for rule in rules:
        assert {"alert", "expr", "for", "labels", "annotations"} <= rule.keys()
        assert rule["annotations"]["summary"]
        assert rule["annotations"]["action"]
    asked = {name for one in [*expressions, *(rule["expr"] for rule in rules)] for name in names_asked(one)}
    assert asked - known == set()


def test_the_documentation_lists_every_route_and_loads_nothing_from_elsewhere(
    database: Database, tmp_path: Path
) -> None:
    client = client_of(database, tmp_path)
    page = client.get("/docs").text
    document = client.get("/openapi.json").json()
    for path in document["paths"]:
        assert f"<code>{path}</code>" in page
    assert "<script" not in page
    assert not re.search(r'(src|href)="?https?:', page)
    assert "Problem" in document["components"]["schemas"]


def test_no_answer_is_undocumented_and_every_operation_says_what_it_does(database: Database, tmp_path: Path) -> None:
    document = create_app(context_of(database, tmp_path)).openapi()
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            assert operation["description"], path
            statuses = set(operation["responses"])
            assert {"400", "401", "403", "422", "503"} <= statuses, path
            if method == "post" and path.rpartition("/")[2] in {"decisions", "apply", "revert"}:
                assert {"409", "412", "428"} <= statuses
