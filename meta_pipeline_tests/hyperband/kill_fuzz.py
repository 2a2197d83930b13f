"""Runs a search, kills its whole process group again and again, and lets the last one finish. Prints JSON.

A program of its own, because it forks: every attempt is a session of its own, with its pool and forkserver in it.
The ledger is a journal in the folder, or in the PostgreSQL of META_PIPELINE_DATABASE_URL.
"""

import json
import os
import random
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from meta_pipeline.hyperband.ledger import open_existing
from meta_pipeline.orchestration.search_worker import checkpoints_of
from meta_pipeline.settings import Settings
from meta_pipeline.store.database import open_database
from meta_pipeline.store.search_ledgers import SearchPlace, database_place, folder_place
from meta_pipeline_tests.hyperband import toy


@contextmanager
def place_of(folder: str) -> Iterator[SearchPlace]:
    if "META_PIPELINE_DATABASE_URL" not in os.environ:
        yield folder_place(Path(folder))
        return
    with open_database(Settings()) as database:
        yield database_place(database, checkpoints_of("toy", database))


def attempt(folder: str, settings: dict[str, object], iterations: int) -> int:
    child = os.fork()
    if child == 0:
        os.setsid()
        with place_of(folder) as place:
            digest = toy.search_at(place, 2, settings, iterations=iterations)
        (Path(folder) / "digest").write_text(digest)
        os._exit(0)
    return child


def wait_for_lines(log: Path, many: int) -> None:
    deadline = time.monotonic() + 30
    while len(log.read_text().splitlines()) < many:
        assert time.monotonic() < deadline, "the search does not go on"
        time.sleep(0.002)


def reported(folder: str) -> set[str]:
    """The evaluations that the ledger has, as the toy writes them down."""
    try:
        with place_of(folder) as place:
            entries = open_existing(place.storage, "toy").entries()
    except ValueError:
        return set()  # killed before there was a study
    return {f"{r} {sorted(entry.config.items())}" for entry in entries.values() for r in entry.rungs}


def main(folder: str, kills: int, seed: int, iterations: int) -> None:
    rng = random.Random(seed)
    log = Path(folder) / "log"
    log.touch()
    settings: dict[str, object] = {"seconds": 0.01, "log": str(log)}
    done, begun, repeated, after_kill = set[str](), 0, 0, []
    for turn in range(kills + 1):
        child = attempt(folder, settings, iterations)
        if turn < kills:
            wait_for_lines(log, begun + rng.randint(1, 5))
            time.sleep(rng.uniform(0, 0.05))
            os.killpg(child, signal.SIGKILL)  # raises if it has ended already: then this was no test
        os.waitpid(child, 0)
        lines = log.read_text().splitlines()
        repeated += sum(line.partition(" ")[2] in done for line in lines[begun:])
        begun, kept = len(lines), reported(folder)
        assert kept >= done, "what was reported is gone"
        done = kept
        after_kill.append(len(done))
    digest = (Path(folder) / "digest").read_text()
    sys.stdout.write(json.dumps({"digest": digest, "repeated": repeated, "begun": begun, "reported": after_kill}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
