"""The whole flow of governance at the shell, in a process of its own, wherever it runs: `python -m ... FOLDER`.

Prints one JSON document: the answer of every command, and what this process takes time, zone and locale to be.
"""

import contextlib
import io
import json
import locale
import os
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

STRATEGY = """\
strategy_id: Größe 1
family: trend
live_config:
  risk: {max_vol: 0.30}
  lookback: 63
knobs:
  - {path: risk.max_vol, knob_type: float, lower: 0.05, upper: 0.5, max_step: 0.1, risk_direction: higher_is_riskier}
  - {path: lookback, knob_type: int, choices: [21, 63, 126], risk_direction: neutral}
"""


def run(*arguments: str, actor: str = "ann") -> Any:
    """Run one command with --json; return its exit code, and its document where there is one."""
    from meta_pipeline.cli.main import main

    os.environ["META_PIPELINE_ACTOR"] = actor
    sys.argv = ["meta-pipeline", *arguments, "--json"]
    out, err, code = io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main()
        except SystemExit as ended:
            code = int(ended.code or 0)
    text = out.getvalue()
    return {"code": code, "answer": json.loads(text) if text.strip() else None, "err": err.getvalue()[-2000:]}


def flow(folder: Path) -> dict[str, Any]:
    """Declare, propose, approve, apply, revert; verify and anchor the log; look at the installation."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "the strategy.yaml"
    file.write_text(STRATEGY, encoding="utf-8")
    found = {
        "declare": run("strategies", "declare", str(file)),
        "approver": run("approvers", "add", "Bob"),
        "create": run(
            *("proposals", "create", "--strategy", "Größe 1", "--knob", "risk.max_vol", "--to", "0.25"),
            *("--reason", "ruhiger, 1,5 mal"),
        ),
    }
    made = found["create"]["answer"]
    found["show"] = run("proposals", "show", made["proposal_id"])
    found["approve"] = run("approve", made["proposal_id"], "--digest", made["body_digest"], actor="Bob")
    found["apply"] = run("apply", made["proposal_id"])
    change_id = found["apply"]["answer"]["change_id"]
    found["revert"] = run("changes", "revert", change_id, "--reason", "doch nicht")
    found["change"] = run("changes", "show", change_id)
    way = os.environ.get("META_PIPELINE_TESTS_WAY")
    if way is not None:
        found[way] = decided_through(way)
    found["token"] = run("tokens", "new", "--name", "reader", "--role", "reader", "--days", "1")
    found["anchor"] = run("audit", "anchor")
    found["verify"] = run("audit", "verify")
    found["doctor"] = run("doctor")
    return found


def decided_through(way: str) -> dict[str, Any]:
    """Propose once more, and approve through the API or the gate; return what is on record of it."""
    from sqlalchemy import text

    from meta_pipeline.settings import Settings
    from meta_pipeline.store import proposals
    from meta_pipeline.store.database import open_database

    wanted = ("--strategy", "Größe 1", "--knob", "lookback", "--to", "126", "--reason", "länger")
    made = run("proposals", "create", *wanted)["answer"]
    with open_database(Settings()) as database:
        with database.connect() as connection:
            record = proposals.get(connection, made["proposal_id"])
        answer = (_by_api if way == "api" else _by_gate)(database, record)
        with database.connect() as connection:
            kept = "SELECT channel, decided_at, expires_at FROM approvals WHERE proposal_id = :id"
            row = connection.execute(text(kept), {"id": record.proposal_id}).mappings().one()
    on_record = {name: str(value) for name, value in row.items()}
    return {"code": 0, "answer": {**on_record, "answered": answer}, "err": ""}


def _by_api(database: Any, record: Any) -> Any:
    from fastapi.testclient import TestClient

    from meta_pipeline.api.app import create_app
    from meta_pipeline.api.context import Context
    from meta_pipeline.settings import Settings

    context = Context(database=database, settings=Settings(), open_access=True, actor="Bob")
    client = TestClient(create_app(context), base_url="http://127.0.0.1")
    address = f"/api/v1/proposals/{record.proposal_id}"
    tag = client.get(address).headers["ETag"]
    body = {"verdict": "approve", "digest": record.body_digest, "reason": "gut"}
    return client.post(f"{address}/decisions", json=body, headers={"If-Match": tag}).json()


def _by_gate(database: Any, record: Any) -> Any:
    from meta_pipeline.orchestration.resources import DatabaseResource
    from meta_pipeline_tests.orchestration.builders import form, launch, verdict

    result = launch("approve_proposals", form(verdict(record)), DatabaseResource(database))
    return {"success": result.success}


def place() -> dict[str, Any]:
    """Return what this process takes time, zone and locale to be."""
    with contextlib.suppress(locale.Error):
        locale.setlocale(locale.LC_ALL, "")
    return {
        "now": datetime.now(UTC).isoformat(),
        "time": time.time(),
        "zone": time.tzname[0],
        "lc_all": os.environ.get("LC_ALL"),
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps({"flow": flow(Path(sys.argv[1])), "place": place()}))
