"""Alerts: what went wrong, where a person will see it.

Belongs here: writing an alert down and handing it to a webhook. Does not belong here: what is worth an alert
(sensors).
"""

import json
import urllib.error
import urllib.request
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Final

from meta_pipeline.settings import Settings

ALERTS_FILE: Final = Path("alerts") / "alerts.jsonl"
"""Below the home folder; one JSON object per line, oldest first."""

WEBHOOK_SECONDS: Final = 5.0


@dataclass(frozen=True, kw_only=True)
class Alert:
    """One thing that a person should know.

    Parameters
    ----------
    kind
        "run_failure", "check_failure", "approval_waiting", "approval_lapses" or "stale_asset".
    subject
        The job, the check, the proposal or the asset.
    run_id
        The Dagster run; None where no run is to blame.
    message
        What happened, in words.
    at
        When, UTC.
    """

    kind: str
    subject: str
    run_id: str | None
    message: str
    at: datetime

    @property
    def text(self) -> str:
        """The alert in one line."""
        run = "" if self.run_id is None else f" (run {self.run_id})"
        return f"meta_pipeline {self.kind}: {self.subject}: {self.message}{run}"

    def line(self) -> str:
        """Return the alert as one line of JSON."""
        return json.dumps({**asdict(self), "at": self.at.isoformat()}, ensure_ascii=False)


def send(alert: Alert, settings: Settings) -> str:
    """Append the alert to the file in the home folder, and hand it to the webhook if there is one.

    An alert is on disk before the webhook is called, and a webhook that fails does not raise: the failure
    is written beside the alert.

    Returns
    -------
    str
        Where the alert went, in words. Never the webhook's address, which may hold a secret.
    """
    path = settings.home / ALERTS_FILE
    _append(path, alert.line())
    if settings.alert_webhook is None:
        return f"written to {path}"
    problem = _post(settings.alert_webhook.get_secret_value(), {"text": alert.text})
    if problem is None:
        return f"written to {path} and sent to the webhook"
    undelivered = replace(alert, kind="webhook_failure", message=f"{alert.kind} was not delivered: {problem}")
    _append(path, undelivered.line())
    return f"written to {path}; the webhook failed: {problem}"


def _append(path: Path, line: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # One write of one line: appends of several processes do not mix.
    with path.open("a", encoding="utf-8") as file:
        file.write(line + "\n")


def _post(url: str, body: dict[str, str]) -> str | None:
    if not url.startswith(("https://", "http://")):
        return "the address is neither https:// nor http://"
    request = urllib.request.Request(  # noqa: S310 -- the scheme is checked above
        url, data=json.dumps(body).encode(), headers={"Content-Type": "application/json"}, method="POST"
    )
    try:
        with urllib.request.urlopen(request, timeout=WEBHOOK_SECONDS):  # noqa: S310
            return None
    except urllib.error.HTTPError as error:
        return f"HTTP {error.code}"
    except (OSError, ValueError) as error:
        # The text of an error may quote the address.
        return type(error).__name__
