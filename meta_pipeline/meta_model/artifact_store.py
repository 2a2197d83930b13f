"""Where artifacts are kept: a folder of files named by the sha256 of their bytes."""

import os
import re
import tempfile
from pathlib import Path
from typing import Final, Protocol

from meta_pipeline.errors import ArtifactBroken, InputError, NotFound
from meta_pipeline.meta_model.artifact import address, read_artifact, write_artifact
from meta_pipeline.meta_model.model import MetaModel

_ADDRESS: Final = re.compile("[0-9a-f]{64}")


class ArtifactStore(Protocol):
    """What keeps bytes by their address; a folder here, an object store elsewhere."""

    def put(self, content: bytes) -> str:
        """Keep bytes and return their address; keeping them twice is keeping them once."""
        ...

    def get(self, sha256: str) -> bytes:
        """Return the bytes of an address, checked against it."""
        ...


class FolderStore:
    """Artifacts in a folder, one file each, named by its sha256.

    Parameters
    ----------
    folder
        Made when the first artifact is put.
    suffix
        Of the files' names.
    """

    def __init__(self, folder: Path, *, suffix: str = ".json") -> None:
        self.folder = folder
        self.suffix = suffix

    def path(self, sha256: str) -> Path:
        """Return the file of an address, whether it exists or not.

        Raises
        ------
        InputError
            If it is not an address: a name with dots and slashes must not leave the folder.
        """
        if not _ADDRESS.fullmatch(sha256):
            raise InputError(f"{sha256!r} is not the sha256 of an artifact; give 64 hexadecimal digits")
        return self.folder / f"{sha256}{self.suffix}"

    def put(self, content: bytes) -> str:
        """Write bytes to the file of their address, whole or not at all; never overwrites."""
        name = address(content)
        target = self.path(name)
        if target.exists():
            return name
        self.folder.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=self.folder, prefix=".writing-")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).replace(target)
        finally:
            Path(temporary).unlink(missing_ok=True)
        return name

    def get(self, sha256: str) -> bytes:
        """Read the file of an address.

        Raises
        ------
        NotFound
            If there is no such file.
        ArtifactBroken
            If its bytes have another address.
        """
        try:
            content = self.path(sha256).read_bytes()
        except FileNotFoundError:
            raise NotFound(f"no artifact {sha256} in {self.folder}; restore the file, or make it anew") from None
        if address(content) != sha256:
            raise ArtifactBroken(f"the artifact {sha256} was changed or cut: its bytes are {address(content)}")
        return content


def save_model(model: MetaModel, store: ArtifactStore) -> MetaModel:
    """Keep a model; returns it with its address."""
    content = write_artifact(model)
    sha256 = store.put(content)
    return read_artifact(content, expected=sha256, for_use=False)


def load_model(store: ArtifactStore, sha256: str, *, for_use: bool = True) -> MetaModel:
    """Read the model of an address, with every check of `read_artifact`."""
    return read_artifact(store.get(sha256), expected=sha256, for_use=for_use)
