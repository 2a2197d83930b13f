"""How long a full campaign of the lab takes, beside the plain loop that gives the same returns.

Run: python -m benchmarks.lab [--configs 300] [--sample 3]
"""

import argparse
import time

import numpy as np

from meta_pipeline import lab
from meta_pipeline.backtests.run import BacktestRun
from meta_pipeline_tests.lab.plain_backtest import plain_backtest

BUDGET_SECONDS = 30.0
SEED = 20261120


def main() -> None:
    """Time both, check that they agree, and print the ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--configs", type=int, default=300)
    parser.add_argument("--sample", type=int, default=3, help="configurations per strategy and market of the rival")
    arguments = parser.parse_args()
    begun = time.perf_counter()
    for market in lab.markets():
        lab.load_prices(market.market_id)
    print(f"prices read (with the import of arch)   {time.perf_counter() - begun:7.2f} s")
    campaigns, vectorised = [], 0.0
    for strategy in lab.strategies():
        begun = time.perf_counter()
        runs = lab.campaign(strategy, n_configs=arguments.configs, seed=SEED)
        seconds = time.perf_counter() - begun
        print(f"{strategy.strategy_id:<39} {seconds:7.2f} s   {len(runs)} runs")
        campaigns.append(runs)
        vectorised += seconds
    n_runs = sum(len(runs) for runs in campaigns)
    n_returns = sum(len(run.returns) for runs in campaigns for run in runs if run.returns is not None)
    print(
        f"full campaign, vectorised               {vectorised:7.2f} s   {n_runs} runs, {n_returns / 1e6:.1f} M returns"
    )
    n_sampled, plain, worst = _rival(campaigns, arguments.sample)
    extrapolated = plain / n_sampled * n_runs
    print(f"rival: plain Python, run by run         {plain:7.2f} s   {n_sampled} runs sampled, same numbers")
    print(f"rival, extrapolated to {n_runs} runs       {extrapolated:7.2f} s   (linear in runs, not measured)")
    print(f"largest difference of a return: {worst:.1e}")
    print(f"ratio rival / vectorised: {extrapolated / vectorised:.0f}; budget {BUDGET_SECONDS:.0f} s", end=" ")
    print("kept" if vectorised <= BUDGET_SECONDS and worst < 1e-9 else "MISSED")


def _rival(campaigns: list[list[BacktestRun]], n_sample: int) -> tuple[int, float, float]:
    n_sampled, seconds, worst = 0, 0.0, 0.0
    for runs in campaigns:
        for market in lab.markets():
            closes = lab.load_prices(market.market_id).until(lab.CAMPAIGN_END).closes.tolist()
            in_market = [run for run in runs if run.market_id == market.market_id]
            for run in in_market[:: max(len(in_market) // n_sample, 1)][:n_sample]:
                begun = time.perf_counter()
                returns = plain_backtest(run.strategy_id, run.config, closes, cost=market.cost)
                seconds += time.perf_counter() - begun
                assert run.returns is not None
                worst = max(worst, float(np.abs(np.array(returns) - run.returns).max()))
                n_sampled += 1
    return n_sampled, seconds, worst


if __name__ == "__main__":
    main()
