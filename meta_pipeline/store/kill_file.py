"""The kill file: while it is there, nothing is applied. It works with the database down, and from any shell: `touch`.

Whether it is there that cannot be told, it counts as there: a folder that may not be entered, a mount that is gone.
"""

import os
from datetime import datetime
from pathlib import Path
from typing import Final

from meta_pipeline.errors import InputError, NothingToDo, Unhealthy
from meta_pipeline.settings import Settings

NAME: Final = "KILL"
_SHOWN: Final = 200


def path_of(settings: Settings) -> Path:
    """Return where the kill file is looked for."""
    return settings.home / NAME if settings.kill_file is None else settings.kill_file


def found(settings: Settings) -> str | None:
    """Say in words that the kill file freezes applies, or return None if it does not."""
    path = path_of(settings)
    try:
        path.lstat()
    except FileNotFoundError:
        return _missing_folder(settings)
    except OSError as error:
        return f"the kill file {path} cannot be looked for ({error.strerror or error}), which counts as frozen"
    return f"the kill file {path} is there{_said(path)}"


def write(settings: Settings, *, reason: str, actor: str, now: datetime) -> Path:
    """Write the kill file, on disk when this returns.

    Raises
    ------
    Unhealthy
        If it cannot be written.
    """
    path = path_of(settings)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write(f"{now:%Y-%m-%d %H:%M:%S} UTC, {actor}: {reason}\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise Unhealthy(
            f"the kill file {path} cannot be written ({error.strerror or error}); make it by hand"
        ) from error
    return path


def remove(settings: Settings) -> Path:
    """Remove the kill file.

    Raises
    ------
    NothingToDo
        If it is not there.
    InputError
        If it cannot be removed.
    """
    path = path_of(settings)
    try:
        path.unlink()
    except FileNotFoundError:
        raise NothingToDo(f"there is no kill file {path}") from None
    except OSError as error:
        raise InputError(f"the kill file {path} cannot be removed: {error.strerror or error}") from error
    return path


def _missing_folder(settings: Settings) -> str | None:
    # A file that somebody configured, in a folder that is gone, was perhaps there: a mount that failed.
    if settings.kill_file is None:
        return None
    try:
        settings.kill_file.parent.stat()
    except OSError as error:
        return (
            f"the folder of the kill file {settings.kill_file} cannot be read ({error.strerror or error}), "
            "which counts as frozen"
        )
    return None


def _said(path: Path) -> str:
    try:
        with path.open("r", encoding="utf-8", errors="replace") as file:
            lines = file.read(4 * _SHOWN).strip().splitlines()
    except OSError:
        return ", and cannot be read"
    return f" ({lines[-1][:_SHOWN]})" if lines else ""
