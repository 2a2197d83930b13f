"""How long the event simulator takes per bar, beside the same loop in Python, in the same run and to the same bits.

Three rivals: the very function that is compiled, not compiled, on the very same arrays; the same with all arrays turned
into lists beforehand, which is the fastest that Python gets; and a readable simulator of objects and methods, as
strategies are usually written. Seconds are of the processor.

Run: python -m benchmarks.simulator
"""

import time
from collections.abc import Callable
from typing import Final

import numpy as np

from meta_pipeline.hyperband.simulator import Orders, arguments, compiled, run_bars, simulate
from meta_pipeline_tests.hyperband.paths import path
from meta_pipeline_tests.hyperband.plain_simulator import Account

BARS: Final = (20_000, 100_000, 1_000_000)
NANOSECONDS: Final = 5.0
RATIO: Final = 100.0
FEE, SLIPPAGE = 0.0005, 0.0002
REPEATS: Final = 15


def main() -> None:
    """Time all four, check that they agree, and print ratios."""
    print("one position with stop-loss and take-profit, long and short, next-open fills, fee and slippage")
    print(f"{'':>19}{'nanoseconds a bar':^44}{'times the compiled':>33}")
    names = ("compiled", "same loop", "on lists", "objects")
    print(f"{'bars':>10}{'trips':>9}" + "".join(f"{name:>11}" for name in (*names, *names[1:])))
    kept = True
    for n in BARS:
        found, n_trips, same = _measure(n)
        own, loop, lists, objects = (seconds / n * 1e9 for seconds in found)
        kept &= own <= NANOSECONDS and loop >= RATIO * own and same
        print(
            f"{n:>10,}{n_trips:>9,}{own:>11.2f}{loop:>11.0f}{lists:>11.0f}{objects:>11.0f}"
            f"{loop / own:>11.0f}{lists / own:>11.0f}{objects / own:>11.0f}   {'same bits' if same else 'DIFFERENT'}"
        )
    print(f"bar: {NANOSECONDS:g} ns a bar, {RATIO:g} times the same loop in Python: {'kept' if kept else 'MISSED'}")


def _measure(n: int) -> tuple[tuple[float, float, float, float], int, bool]:
    prices, orders = path(n, seed=1).execution_prices(), _orders(n)
    given = arguments(prices, orders, fee=FEE, slippage=SLIPPAGE)
    function = compiled()
    loop: Callable[..., object] = run_bars
    repeats = max(REPEATS * BARS[0] // n, 1)
    function(*given)
    own = min(_seconds(lambda: function(*given)) for _ in range(REPEATS))
    done = simulate(prices, orders, fee=FEE, slippage=SLIPPAGE)

    arrays = min(_seconds(lambda: loop(*given)) for _ in range(max(repeats // 3, 1)))
    in_lists = [series.tolist() if isinstance(series, np.ndarray) else series for series in given[:-2]]
    returns, trips = [0.0] * n, np.empty((n + 1, 7))
    lists = min(_seconds(lambda: loop(*in_lists, returns, trips)) for _ in range(repeats))
    opening, high, low, close = in_lists[:4]
    account = Account((opening, high, low, close), orders, FEE, SLIPPAGE)
    objects = _seconds(account.run)
    same = done.returns.tolist() == given[-2].tolist() == returns == account.returns
    return (own, arrays, lists, objects), len(done.trips), same and len(done.trips) == len(account.trips)


def _orders(n: int) -> Orders:
    """Wish a position on a tenth of the bars, and leave it after ten bars on average, if it is not stopped."""
    generator = np.random.default_rng(2)
    return Orders(
        target=np.where(generator.random(n) < 0.1, generator.choice([-0.5, 0.5], n), 0.0),
        leave=np.where(generator.random(n) < 0.1, 3, 0).astype(np.uint8),
        stop=np.full(n, 0.02),
        take=np.full(n, 0.03),
    )


def _seconds(work: Callable[[], object]) -> float:
    begun = time.process_time()
    work()
    return time.process_time() - begun


if __name__ == "__main__":
    main()
