"""Runs a search, kills its whole process group again and again, and lets the last one finish. Prints JSON.

A program of its own, because it forks: every attempt is a session of its own, with its pool and forkserver in it.
"""

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

from meta_pipeline.hyperband.ledger import open_existing
from meta_pipeline.store.search_ledgers import folder_place
from meta_pipeline_tests.hyperband import toy


def attempt(folder: str, settings: dict[str, object]) -> int:
    child = os.fork()
    if child == 0:
        os.setsid()
        digest = toy.slow_search(folder, 2, settings, iterations=2)
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
        entries = open_existing(folder_place(Path(folder)).storage, "toy").entries()
    except ValueError:
        return set()  # killed before there was a study
    return {f"{r} {sorted(entry.config.items())}" for entry in entries.values() for r in entry.rungs}


def main(folder: str, kills: int, seed: int) -> None:
    rng = random.Random(seed)
    log = Path(folder) / "log"
    log.touch()
    settings: dict[str, object] = {"seconds": 0.01, "log": str(log)}
    done, begun, repeated, after_kill = set[str](), 0, 0, []
    for turn in range(kills + 1):
        child = attempt(folder, settings)
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
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
