"""Run the benchmark: `python -m benchmarks.proposal_quality --quick` or `--full`."""

import argparse
import os
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.proposal_quality import (
    bars,
    campaigns,
    document,
    power_ceiling,
    real_campaigns,
    real_prices,
    repeated_looks,
)

DOCUMENT = Path(__file__).parents[2] / "docs" / "proposal-quality.md"


def main(arguments: list[str] | None = None) -> int:
    """Run, print the tables, and return 1 where a bar is missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.proposal_quality", description=__doc__)
    size = parser.add_mutually_exclusive_group(required=True)
    size.add_argument("--quick", action="store_true", help="fixed seed, fewer campaigns, writes nothing (CI)")
    size.add_argument("--full", action="store_true", help="fixed and fresh seeds; writes docs/proposal-quality.md")
    parser.add_argument("--fresh-seed", type=int, help="the fresh seed of an earlier full run, to repeat it")
    parser.add_argument("--record", action="store_true", help="record the measured power")
    options = parser.parse_args(arguments)
    fresh = None
    if options.full:
        real_campaigns.stocks()  # if they are not installed, this says so now and not after a quarter of an hour
        fresh = int.from_bytes(os.urandom(4)) if options.fresh_seed is None else options.fresh_seed
    start = time.perf_counter()
    table = campaigns.run(full=options.full, fresh_seed=fresh, tell=lambda line: print(line, file=sys.stderr))
    looks = repeated_looks.run(
        size="full" if options.full else "quick",
        seed=campaigns.FIXED_SEED if fresh is None else fresh,
        tell=lambda line: print(line, file=sys.stderr),
    )
    ceilings: power_ceiling.Ceilings = {}
    if fresh is not None:
        ceilings = power_ceiling.run(n=power_ceiling.FULL, seed=fresh, tell=lambda line: print(line, file=sys.stderr))
    seconds = time.perf_counter() - start
    print("\n".join(document.sections(table, looks, ceilings)))
    n = sum(len(rows["ours"]) for rows in table.values())
    n += sum(len(rows) for rows in looks.values())
    print(f"{n:,} campaigns in {seconds:.0f} s")
    if options.full:
        import matplotlib

        matplotlib.use("svg")  # no window, and text that can be compared
        if options.record:
            bars.record(table)
        command = f"python -m benchmarks.proposal_quality --full --fresh-seed {fresh}"
        header = {
            "command": command,
            "day": datetime.now(UTC).date().isoformat(),
            "seconds": f"{seconds:.0f}",
            "fixed": str(campaigns.FIXED_SEED),
            "fresh": str(fresh),
            "n": f"{n:,}",
        }
        real = real_prices.run(
            quick=False,
            markets="all",
            seed=campaigns.FIXED_SEED,
            incumbents=1,
            tell=lambda line: print(line, file=sys.stderr),
        )
        document.write(table, looks, ceilings, real_prices.chapter(real), DOCUMENT, header)
    elif options.record:
        bars.record_quick(table)
    print(bars.monte_carlo(table, looks))
    missed = bars.failures(table, looks, full=options.full)
    for sentence in missed:
        print(f"MISSED: {sentence}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
