"""How calm the risk mode is and what the weights regret, beside the stateless rule and equal weights.

python -m benchmarks.policy_rules
"""

import itertools
from datetime import date, timedelta

import numpy as np

from benchmarks.policy import NOW, health
from meta_pipeline.policy.allocation import adahedge, fixed_share, latest_fixed_share, natural_rate, regret
from meta_pipeline.policy.classic import classic_mode
from meta_pipeline.policy.evaluate import WEIGHT_DAYS
from meta_pipeline.policy.modes import Volatility
from meta_pipeline.policy.risk_mode import ModeState, decide_mode


def calm() -> None:
    """Compare the switches of the mode over 30 days of random-walk health at half-hourly evaluations."""
    counts = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        n = 30 * 48
        drawdown = np.minimum(np.abs(5.0 + np.cumsum(rng.normal(0, 0.15, n))), 100.0)
        winrate = np.clip(0.5 + np.cumsum(rng.normal(0, 0.004, n)), 0.05, 0.95)
        slope = np.clip(np.cumsum(rng.normal(0, 0.03, n)), -5, 5)
        state: ModeState | None = None
        stateless, ours = [], []
        for tick in range(n):
            found = health(
                drawdown_pct=float(drawdown[tick]),
                winrate=float(winrate[tick]),
                equity_slope_pct_per_day=float(slope[tick]),
                volatility=Volatility.HIGH,
            )
            decided = decide_mode(state, found, (), now=NOW + timedelta(minutes=30 * tick))
            state = decided.state
            ours.append(decided.mode)
            stateless.append(classic_mode(found)[0])
        counts.append([sum(a is not b for a, b in itertools.pairwise(modes)) for modes in (stateless, ours)])
    theirs, mine = np.mean(counts, axis=0)
    worst = np.max(counts, axis=0)
    print(
        f"mode switches in 30 days of random-walk health: {mine:.1f} on average, {worst[1]} at most; the stateless",
        end="",
    )
    print(f" rule {theirs:.1f}, {worst[0]} at most ({theirs / mine:.1f} x). Bound: 10 on average")


def regrets() -> None:
    """Compare what weightings of the lab's strategies regret, on the held-back days 2013 to 2018."""
    from meta_pipeline import lab

    series = {}
    for strategy in lab.strategies():
        for market in lab.markets():
            days, returns = lab.replay(
                strategy.strategy_id, strategy.live_config, market.market_id, date(2013, 1, 2), date(2018, 12, 28)
            )
            series[strategy.strategy_id, market.market_id] = dict(zip(days.tolist(), returns.tolist(), strict=True))
    common = sorted(set.intersection(*(set(one) for one in series.values())))
    losses = -np.array([[one[day] for one in series.values()] for day in common])
    n = losses.shape[1]
    deployed = np.array(
        [latest_fixed_share(losses[max(0, t - WEIGHT_DAYS) : t], rate=_rate(losses, t)) for t in range(len(losses))]
    )
    leader = np.zeros((len(losses) + 1, n))
    cumulative = np.zeros(n)
    leader[0] = 1 / n
    for t, row in enumerate(losses):
        cumulative += row
        leader[t + 1] = cumulative == cumulative.min()
    weightings = {
        "AdaHedge": adahedge(losses),
        "Fixed-Share": fixed_share(losses, rate=natural_rate(losses)),
        f"the last {WEIGHT_DAYS} days'": deployed,
        "equal weights": np.full((len(losses) + 1, n), 1 / n),
        "follow the leader": leader,
    }
    print(f"regret in per cent of capital over {len(losses):,} real days, {n} strategy-market pairs of the lab:")
    print(f"  {'':<18} {'best fixed':>11} {'3 switches':>11} {'20 switches':>12} {'Sharpe':>7} {'largest weight':>15}")
    for name, weights in weightings.items():
        found = [100 * regret(losses, weights, switches=k) for k in (0, 3, 20)]
        daily = -np.sum(weights[: len(losses)] * losses, axis=1)
        sharpe = 252**0.5 * daily.mean() / daily.std()
        shown = f"{found[0]:>11.1f} {found[1]:>11.1f} {found[2]:>12.1f} {sharpe:>7.2f}"
        print(f"  {name:<18} {shown} {weights.max(axis=1).mean():>15.2f}")
    print(
        f"  (Fixed-Share over the last {WEIGHT_DAYS} days is what evaluations use: it spreads, AdaHedge concentrates)"
    )


def _rate(losses: np.ndarray, t: int) -> float:
    return natural_rate(losses[max(0, t - WEIGHT_DAYS) : t])


def main() -> None:
    """Run everything."""
    calm()
    regrets()


if __name__ == "__main__":
    main()
