"""`make dev`: `dagster dev -w workspace.yaml` on the home of one machine starts, has everything, and ends."""

import shutil
import time
from pathlib import Path

import dagster as dg
import pytest

from meta_pipeline.store.database import Database
from meta_pipeline_tests.orchestration.dagster_dev import ROOT, dagster_dev
from meta_pipeline_tests.orchestration.webserver import Webserver

JOBS = """
{ repositoriesOrError { ... on RepositoryConnection { nodes { location { name } jobs { name } } } } }
"""
DAEMONS = "{ instance { daemonHealth { allDaemonStatuses { daemonType required healthy } } } }"
WITHIN = 120.0


@pytest.mark.slow
@pytest.mark.database
def test_make_dev_serves_every_job_with_a_daemon_that_is_alive(database: Database, tmp_path: Path) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert "dagster dev -w workspace.yaml" in makefile.partition("\ndev:")[2].partition("\n\n")[0]
    shutil.copy(ROOT / "dagster_home" / "dagster.yaml", tmp_path)
    environment = {
        "DAGSTER_HOME": str(tmp_path),
        "META_PIPELINE_HOME": str(tmp_path / "home"),
        "META_PIPELINE_DATABASE_URL": database.engine.url.render_as_string(hide_password=False),
    }
    with dagster_dev(environment, log=tmp_path / "dev.log") as address, dg.DagsterInstance.ephemeral() as unused:
        webserver = Webserver(url=address, instance=unused)
        deadline = time.monotonic() + WITHIN
        while not (nodes := webserver.ask(JOBS).get("nodes")) or not alive(webserver):
            assert time.monotonic() < deadline, (tmp_path / "dev.log").read_text()[-4000:]
            time.sleep(0.3)
        (served,) = nodes
        assert served["location"]["name"] == "meta_pipeline.definitions"
        jobs = {job["name"] for job in served["jobs"]}
        assert {"nightly", "approve_proposals", "apply_approved", "revert_change", "policy"} <= jobs


def alive(webserver: Webserver) -> bool:
    """Tell whether every daemon that is needed has sent its first heartbeat."""
    statuses = webserver.ask(DAEMONS)["daemonHealth"]["allDaemonStatuses"]
    return all(status["healthy"] for status in statuses if status["required"])
