"""The importers by name. To add one: write a class with `recognises` and `read`, and name it here."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from meta_pipeline.backtests.importers.generic import GenericImporter
from meta_pipeline.backtests.importers.importer import Importer
from meta_pipeline.errors import InputError

IMPORTERS: Final[Mapping[str, Importer]] = {
    "generic": GenericImporter(),
}
"""In the order in which they are asked whether they recognise a path."""


def choose(path: Path, name: str | None = None) -> Importer:
    """Return the importer of that name, or the first that recognises the path.

    Raises
    ------
    InputError
        If there is nothing at the path, no importer of that name, or none that recognises it.
    """
    if not path.exists():
        raise InputError(f"there is nothing at {path}; give a folder, or the runs table in it")
    known = ", ".join(IMPORTERS)
    if name is not None:
        if name not in IMPORTERS:
            raise InputError(f"there is no importer {name!r}; there are: {known}")
        return IMPORTERS[name]
    for importer in IMPORTERS.values():
        if importer.recognises(path):
            return importer
    raise InputError(
        f"no importer ({known}) recognises {path}; the generic one reads a folder with a runs table (runs.parquet or "
        "runs.csv) or a configs.json, and a returns table beside it; see docs/backtests.md"
    )
