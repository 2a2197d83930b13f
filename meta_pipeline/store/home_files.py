"""What a home folder holds beside the database, and has to be there again after a restore.

Belongs here: which files those are, and where the settings keep them. Does not belong here: what can be made again
(published policies, the lab's logs, checkpoints of searches), and what is kept elsewhere on purpose (anchors in an
object store).
"""

import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import Final

from meta_pipeline.errors import InputError
from meta_pipeline.settings import Settings
from meta_pipeline.store import anchors, kill_file
from meta_pipeline.store.policy_keys import keys_folder

KEYS: Final = "policy-keys"
ANCHORS: Final = anchors.FOLDER
ADDRESSED: Final = ("reports", "models")
"""Folders whose files are named by the sha256 of their bytes: what an approver read, and what decides."""
FOLDERS: Final = (*ADDRESSED, KEYS, ANCHORS, "alerts")
_PRIVATE_FILE: Final = 0o600
_PRIVATE_FOLDER: Final = 0o700
_ANCHOR_FILE: Final = 0o444
_PLAIN_FILE: Final = 0o644


@dataclass(frozen=True, kw_only=True)
class HomeFile:
    """One file.

    Parameters
    ----------
    name
        Its name in a backup: the folder's usual one below a home folder, "/", its own. The same wherever the settings
        keep it.
    path
        Where the settings keep it.
    """

    name: str
    path: Path


def home_files(settings: Settings, *, keys: bool = True) -> Iterator[HomeFile]:
    """Yield what is there, sorted by name within each folder; half-written and lock files (`.name`) are left out.

    Parameters
    ----------
    keys
        Whether the keys that sign policies are among them.
    """
    for folder in FOLDERS:
        place = _place(folder, settings)
        if place is None or not place.is_dir() or (folder == KEYS and not keys):
            continue
        for path in sorted(place.iterdir()):
            if path.is_file() and not path.is_symlink() and not path.name.startswith("."):
                yield HomeFile(name=f"{folder}/{path.name}", path=path)
    kill = kill_file.path_of(settings)
    if kill.is_file():
        yield HomeFile(name=kill_file.NAME, path=kill)


def path_of(name: str, settings: Settings) -> Path | None:
    """Return where the settings keep the file that a backup names; None if they keep such files somewhere else.

    Raises
    ------
    InputError
        If it is not a name that `home_files` gives: a backup must not write wherever it likes.
    """
    if name == kill_file.NAME:
        return kill_file.path_of(settings)
    parts = PurePosixPath(name).parts
    if len(parts) != 2 or parts[0] not in FOLDERS or parts[1].startswith(".") or "\\" in name or "\0" in name:
        raise InputError(f"the backup names the file {name!r}, which no home folder has; it is not one of ours")
    place = _place(parts[0], settings)
    return None if place is None else place / parts[1]


def is_sound(name: str, content: bytes) -> bool:
    """Tell whether a file that is named by the sha256 of its bytes has them; others are always sound."""
    folder, _, file = name.partition("/")
    return folder not in ADDRESSED or file.partition(".")[0] == sha256(content).hexdigest()


def write(name: str, path: Path, content: bytes) -> None:
    """Write a file, whole or not at all, readable for those who may read it, and on disk when this returns."""
    private = name.startswith(f"{KEYS}/")
    path.parent.mkdir(parents=True, exist_ok=True, mode=_PRIVATE_FOLDER if private else 0o777)
    # Its owner's alone from the first byte on.
    descriptor, beside = tempfile.mkstemp(dir=path.parent, prefix=".restoring-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if not private:
            Path(beside).chmod(_ANCHOR_FILE if name.startswith(f"{ANCHORS}/") else _PLAIN_FILE)
        Path(beside).replace(path)
    finally:
        Path(beside).unlink(missing_ok=True)


def _place(folder: str, settings: Settings) -> Path | None:
    if folder == KEYS:
        return keys_folder(settings)
    if folder == ANCHORS:
        place = settings.audit_anchor
        if place is not None:
            return None if "://" in place else Path(place)
    return settings.home / folder
