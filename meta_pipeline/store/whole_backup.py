"""Backups of everything that is needed to stand up again: the tables, and the files of the home folder beside them.

One file, a compressed tar: the archive of `meta_pipeline.store.backup`, the files, and at its end a list of both with
their sha256; without the list it was cut short. What belongs together is not torn apart: anchors are read before the
tables, because an anchor of an entry that the tables lack would look like a log that was cut; all other files are read
after them, because a row names a report only once the report is written.
"""

import io
import json
import os
import shutil
import tarfile
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import file_digest, sha256
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import Final

from meta_pipeline.canonical import JsonValue, canonical_json
from meta_pipeline.errors import Conflict, InputError, MetaPipelineError
from meta_pipeline.settings import Settings
from meta_pipeline.store import backup as tables
from meta_pipeline.store import home_files
from meta_pipeline.store.database import Database
from meta_pipeline.store.home_files import HomeFile

FORMAT: Final = 1
_LIST: Final = "contents.json"
_TABLES: Final = "loop.dump"
_HOME: Final = "home"
_GZIP: Final = b"\x1f\x8b"
_COMPRESSION: Final = 1
"""The tables are compressed already; reports shrink to a fifth by the fastest level too."""


@dataclass(frozen=True, kw_only=True)
class WholeArchive:
    """A backup file.

    Parameters
    ----------
    path
        Where it is, absolute.
    size
        In bytes.
    revision
        The revision of the schema in it.
    files
        Names of the home folder's files in it, sorted; empty for a backup of the tables alone.
    """

    path: Path
    size: int
    revision: str
    files: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Restored:
    """What a restore did.

    Parameters
    ----------
    written
        Names of files that were not there.
    kept
        Names of files that were there, with other bytes, and were left as they are.
    elsewhere
        Names of files that the settings keep in a place that is not restored into (anchors in an object store).
    """

    archive: WholeArchive
    written: tuple[str, ...]
    kept: tuple[str, ...]
    elsewhere: tuple[str, ...]


def backup(
    database: Database, settings: Settings, path: Path, *, overwrite: bool = False, keys: bool = True
) -> WholeArchive:
    """Write the tables, as they are at one moment, and the files beside them to one compressed file.

    It appears under its name only when it is complete, readable by its owner alone. Writers are not held up.

    Parameters
    ----------
    keys
        Whether the keys that sign policies go into it; without them it holds no secret of ours.

    Raises
    ------
    Conflict
        If the file exists and `overwrite` is not set.
    NothingToDo, InputError, DatabaseUnavailable
        As `meta_pipeline.store.backup.backup`.
    """
    path = path.expanduser().absolute()
    if path.exists() and not overwrite:
        raise Conflict(f"{path} exists; choose another name, or replace it with --overwrite")
    if not path.parent.is_dir():
        raise InputError(f"there is no folder {path.parent}; make it first, or choose another path")
    anchors = {one.name: one.path.read_bytes() for one in home_files.home_files(settings) if _is_anchor(one.name)}
    with tempfile.TemporaryDirectory(prefix=f".{path.name}.", suffix=".partial", dir=path.parent) as folder:
        dump = tables.backup(database, Path(folder) / _TABLES)
        others = [one for one in home_files.home_files(settings, keys=keys) if not _is_anchor(one.name)]
        partial = Path(folder) / "whole"
        names = _write(partial, dump, anchors, others)
        size = partial.stat().st_size
        partial.replace(path)
    return WholeArchive(path=path, size=size, revision=dump.revision, files=names)


def restore(database: Database, settings: Settings, path: Path) -> Restored:
    """Fill an empty database from a backup, and put back the files that are missing.

    A file that is there is never overwritten: a key that was retired since stays retired, and the newer anchors stay.
    Only a report or model whose bytes are not those of its name is replaced by the sound one. The tables come last and
    in one transaction; if they are refused, the files that were put back are taken away again.

    Also reads a backup of the tables alone, as `meta_pipeline.store.backup.backup` writes it.

    Raises
    ------
    InputError
        If the file is not a backup of the loop, was cut short or changed, or is of a newer revision.
    Conflict
        If the database is not empty; nothing is changed.
    DatabaseUnavailable
        If the restore fails; the database stays empty.
    """
    path = path.expanduser().absolute()
    if not _is_whole(path):
        archive = tables.restore(database, path)
        alone = WholeArchive(path=archive.path, size=archive.size, revision=archive.revision, files=())
        return Restored(archive=alone, written=(), kept=(), elsewhere=())
    with tempfile.TemporaryDirectory(prefix="meta-pipeline-restore-") as folder:
        names = _extract(path, Path(folder))
        targets = {name: home_files.path_of(name, settings) for name in names}
        replaced: list[Path] = []
        try:
            written, kept = _put_back(Path(folder) / _HOME, targets, replaced)
            archive = tables.restore(database, Path(folder) / _TABLES)
        except (MetaPipelineError, OSError):
            for target in replaced:
                target.unlink(missing_ok=True)
            raise
    whole = WholeArchive(path=path, size=path.stat().st_size, revision=archive.revision, files=names)
    elsewhere = tuple(name for name, target in targets.items() if target is None)
    return Restored(archive=whole, written=written, kept=kept, elsewhere=elsewhere)


def _put_back(
    folder: Path, targets: Mapping[str, Path | None], new: list[Path]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Write what is missing or broken; note down in `new` what was not there. Returns the names written and kept."""
    written, kept = [], []
    for name, target in targets.items():
        if target is None:
            continue
        content = (folder / name).read_bytes()
        before = target.read_bytes() if target.exists() else None
        if before == content:
            continue
        if before is not None and home_files.is_sound(name, before):
            kept.append(name)
            continue
        if before is None:
            new.append(target)
        home_files.write(name, target, content)
        written.append(name)
    return tuple(written), tuple(kept)


def _write(
    path: Path, dump: tables.Archive, anchors: Mapping[str, bytes], others: Sequence[HomeFile]
) -> tuple[str, ...]:
    """Write the tar and force it to the disk; return the names of the files in it, sorted."""
    listed: dict[str, JsonValue] = {}
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        with tarfile.open(fileobj=file, mode="w:gz", compresslevel=_COMPRESSION) as archive:
            archive.add(dump.path, arcname=_TABLES, filter=_plain)
            for name, content in chain(anchors.items(), _contents(others)):
                _add(archive, f"{_HOME}/{name}", content)
                listed[name] = sha256(content).hexdigest()
            with dump.path.open("rb") as opened:
                digest = file_digest(opened, "sha256").hexdigest()
            body: JsonValue = {"format": FORMAT, "revision": dump.revision, "tables": digest, "files": listed}
            _add(archive, _LIST, canonical_json(body).encode())
        file.flush()
        os.fsync(file.fileno())
    return tuple(sorted(listed))


def _contents(files: Sequence[HomeFile]) -> Iterator[tuple[str, bytes]]:
    for one in files:
        with suppress(FileNotFoundError):  # alerts are rotated by others; reports, models and keys stay
            yield one.name, one.path.read_bytes()


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), 0o600
    archive.addfile(entry, io.BytesIO(content))


def _plain(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = entry.mtime = 0
    entry.uname = entry.gname = ""
    entry.mode = 0o600
    return entry


def _extract(path: Path, folder: Path) -> tuple[str, ...]:
    """Put the tables and the files into a folder, each held against the list; return the files' names, sorted.

    Raises
    ------
    InputError
        If it was cut short or changed, is not ours, or of a format that this installation does not know.
    """
    found: dict[str, str] = {}
    try:
        with tarfile.open(path, mode="r:gz") as archive:
            for entry in archive:
                found[entry.name] = _one(archive, entry, folder)
    except InputError:
        raise
    except (tarfile.TarError, OSError, EOFError, ValueError) as error:
        raise InputError(
            f"{path} cannot be read to its end ({error}); it was cut short, damaged, or is not ours"
        ) from None
    if found.pop(_LIST, None) is None:
        raise InputError(f"{path} has no {_LIST}: it was cut short, or `meta-pipeline db backup` did not write it")
    wanted, names = _listed(path, (folder / _LIST).read_bytes())
    wrong = sorted(name for name in found.keys() | wanted.keys() if found.get(name) != wanted.get(name))
    if wrong:
        raise InputError(f"{path} is not what its list says ({', '.join(wrong[:5])}); use another backup")
    return names


def _listed(path: Path, text: bytes) -> tuple[dict[str, str], tuple[str, ...]]:
    """Read the list: entry -> sha256, and the names of the home folder's files, sorted."""
    try:
        body = json.loads(text)
        known = body["format"] == FORMAT
        digests = {f"{_HOME}/{name}": str(digest) for name, digest in body["files"].items()}
        digests[_TABLES] = str(body["tables"])
    except (AttributeError, KeyError, TypeError, ValueError):
        raise InputError(f"the list in {path} cannot be read; use another backup") from None
    if not known:
        raise InputError(
            f"{path} is of format {body['format']!r}, which this installation does not know; "
            "run: pip install --upgrade meta-pipeline"
        )
    return digests, tuple(sorted(body["files"]))


def _one(archive: tarfile.TarFile, entry: tarfile.TarInfo, folder: Path) -> str:
    """Put one entry into the folder, and nowhere else; return its sha256."""
    parts = PurePosixPath(entry.name).parts
    ours = entry.name in {_TABLES, _LIST} or (parts[:1] == (_HOME,) and ".." not in parts)
    opened = archive.extractfile(entry) if ours and entry.isreg() else None
    if opened is None:
        raise InputError(f"the backup holds {entry.name!r}, which none of ours does; nothing was restored")
    target = folder.joinpath(*parts)
    target.parent.mkdir(parents=True, exist_ok=True)
    with opened, target.open("w+b") as file:
        shutil.copyfileobj(opened, file, 1 << 20)
        file.seek(0)
        return file_digest(file, "sha256").hexdigest()


def _is_whole(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(_GZIP)) == _GZIP
    except OSError:
        return False  # the reader of tables says what is wrong with it


def _is_anchor(name: str) -> bool:
    return name.startswith(f"{home_files.ANCHORS}/")
