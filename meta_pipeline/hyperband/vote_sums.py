"""The checkpoint of a forest: not its trees, only the sums of their votes on the test bars.

Belongs here: the bytes, and the ladder of resources that pieces stand on. Does not belong here: growing trees.

A forest of r units is the first pieces of the forest of R units, because each piece has a seed of its own and votes
add up. So a promoted configuration goes on where it stopped, and 190 kB hold what pickled trees would fill megabytes
with. Bytes: magic, version, length of the header, header (JSON), sums (float32, little endian), sha256 of all before.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from meta_pipeline.canonical import canonical_json
from meta_pipeline.errors import ArtifactBroken, InputError

MAGIC: Final = b"mpvotes\n"
VERSION: Final = 1
_HASH: Final = 32


@dataclass(frozen=True, kw_only=True, eq=False)
class VoteSums:
    """Sums of votes of four forests after some units of the resource.

    Parameters
    ----------
    forests
        Digest of the parameters that the forests depend on.
    fingerprint
        Of the evaluator that counted.
    units
        Units that voted, at least 1.
    sums
        Model -> shape (n_test_rows,), float32; NaN where features do not exist.
    """

    forests: str
    fingerprint: str
    units: int
    sums: Mapping[str, NDArray[np.float32]]

    def to_bytes(self) -> bytes:
        """Write the sums down."""
        header = canonical_json(
            {
                "forests": self.forests,
                "fingerprint": self.fingerprint,
                "units": self.units,
                "models": [[name, len(values)] for name, values in sorted(self.sums.items())],
            }
        ).encode()
        body = b"".join(self.sums[name].astype("<f4").tobytes() for name in sorted(self.sums))
        text = MAGIC + VERSION.to_bytes(2, "little") + len(header).to_bytes(4, "little") + header + body
        return text + hashlib.sha256(text).digest()

    @classmethod
    def from_bytes(cls, content: bytes, *, forests: str, fingerprint: str, units: int) -> "VoteSums":
        """Read sums that `to_bytes` wrote, and check that they are the ones expected.

        Raises
        ------
        ArtifactBroken
            If the bytes are cut, changed, of another version, or other forests', another evaluator's or rung's.
        """
        text, seal = content[:-_HASH], content[-_HASH:]
        start = len(MAGIC) + 6
        if not text.startswith(MAGIC) or len(text) < start or hashlib.sha256(text).digest() != seal:
            raise ArtifactBroken(
                "the checkpoint is cut or changed: its sha256 does not fit; delete it and evaluate anew"
            )
        version = int.from_bytes(text[len(MAGIC) : len(MAGIC) + 2], "little")
        if version != VERSION:
            raise ArtifactBroken(f"the checkpoint is of version {version}, this reads {VERSION}; evaluate anew")
        body = start + int.from_bytes(text[len(MAGIC) + 2 : start], "little")
        header = json.loads(text[start:body])
        expected = {"forests": forests, "fingerprint": fingerprint, "units": units}
        for name, value in expected.items():
            if header[name] != value:
                raise ArtifactBroken(f"the checkpoint's {name} is {header[name]!r}, not {value!r}; evaluate anew")
        sums, at = {}, body
        for name, length in header["models"]:
            sums[name] = np.frombuffer(text, dtype="<f4", count=length, offset=at).astype(np.float32)
            at += 4 * length
        return cls(forests=forests, fingerprint=fingerprint, units=units, sums=sums)


def ladder(max_resource: int, eta: int) -> tuple[int, ...]:
    """Return the units at which pieces end: R over the powers of eta, rounded down, as Hyperband's rungs have them.

    Raises
    ------
    InputError
        If there is no unit, or eta is below 2.
    """
    if max_resource < 1 or eta < 2:
        raise InputError(f"max_resource is {max_resource} and eta {eta}; give at least 1 and 2")
    found, units = {max_resource}, max_resource
    while units >= eta:
        units //= eta  # floors of floors are the floors of R over the powers
        found.add(units)
    return tuple(sorted(found))


def pieces(rungs: tuple[int, ...], r_from: int, r_to: int) -> list[tuple[int, int]]:
    """Return the pieces between two rungs, as pairs of units (after, up to).

    Raises
    ------
    InputError
        If either is not a rung, or the second does not lie above the first.
    """
    ends = (0, *rungs)
    if r_from not in ends or r_to not in rungs or r_from >= r_to:
        raise InputError(
            f"cannot go from {r_from} units to {r_to}: pieces end at {', '.join(map(str, rungs))}; declare the rungs "
            "of your brackets as the evaluator's `rungs`"
        )
    chosen = [end for end in ends if r_from <= end <= r_to]
    return list(pairwise(chosen))


def trees_of_piece(n_estimators: int, max_resource: int, piece: tuple[int, int]) -> int:
    """Return how many trees a piece holds, so that R units hold `n_estimators` and any unit at least its share."""
    after, up_to = piece
    return -(-n_estimators * up_to // max_resource) - -(-n_estimators * after // max_resource)
