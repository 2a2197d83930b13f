"""Whether the report that a proposal names, by the sha256 of its bytes, is what lies in the home folder."""

import hashlib
import re
import stat
from typing import Final

from meta_pipeline.proposals.situation import ReportState
from meta_pipeline.settings import Settings
from meta_pipeline.store import home_files

_SHA256: Final = re.compile("[0-9a-f]{64}")


def report_state(sha256: str | None, settings: Settings) -> ReportState:
    """Hold the file of a report against its name.

    Parameters
    ----------
    sha256
        What the proposal names; None: it has no report.

    Returns
    -------
    ReportState
        "altered" also of what is there and is no file; "missing" also of what may not be read here.
    """
    if sha256 is None:
        return "none"
    path = home_files.path_of(f"reports/{sha256}.html", settings) if _SHA256.fullmatch(sha256) else None
    if path is None:
        return "missing"
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # a pipe, say, would have an apply wait for ever
            return "altered"
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return "missing"
    return "whole" if found == sha256 else "altered"
