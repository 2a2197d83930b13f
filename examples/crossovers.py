"""A campaign of your own, as files: moving-average crossovers on real closes of two indices, by pandas alone.

Run: python examples/crossovers.py [FOLDER]; it writes FOLDER/csv, FOLDER/parquet and FOLDER/strategy.json. Needs
pandas, pyarrow and the closes that ship with arch (the extra `lab`). docs/backtests.md goes on from there. Nothing
here imports meta_pipeline: put your own backtester in the place of `backtest`.
"""

import itertools
import json
import sys
from pathlib import Path

import pandas as pd
from arch.data import nasdaq, sp500

FAST, SLOW, EXPOSURE = (5, 10, 20), (50, 100, 200), (0.5, 1.0)
LIVE = {"fast": 10, "slow": 100, "exposure": 1.0}
STRATEGY = {
    "strategy_id": "CROSSOVER",
    "family": "trend",
    "description": "Long while a fast moving average is above a slow one, else in cash.",
    "live_config": LIVE,
    "knobs": [
        {"path": "fast", "knob_type": "int", "lower": 2, "upper": 50, "risk_direction": "neutral"},
        {"path": "slow", "knob_type": "int", "lower": 20, "upper": 300, "risk_direction": "neutral"},
        {
            "path": "exposure",
            "knob_type": "float",
            "lower": 0.1,
            "upper": 1.0,
            "max_step": 0.5,
            "risk_direction": "higher_is_riskier",
        },
    ],
}


def backtest(closes: pd.Series, *, fast: int, slow: int, exposure: float) -> pd.Series:
    """Return simple net returns per day: decided at one close, held from it to the next, 5 basis points a switch."""
    invested = (closes.rolling(fast).mean() > closes.rolling(slow).mean()).astype(float) * exposure
    held = invested.shift(1).fillna(0.0)
    costs = 0.0005 * held.diff().abs().fillna(held.abs())
    return (held * closes.pct_change() - costs).iloc[max(SLOW) :]


def main(folder: Path) -> None:
    """Write the campaign twice, as CSV (returns wide) and as parquet (returns long), and the declaration."""
    runs, returns = [], {}
    for market, history in (("SP500", sp500), ("NASDAQ", nasdaq)):
        closes = history.load()["Adj Close"].dropna()
        for fast, slow, exposure in itertools.product(FAST, SLOW, EXPOSURE):
            run = f"{market}-{fast}-{slow}-{exposure}"
            config = {"fast": fast, "slow": slow, "exposure": exposure}
            runs.append({"run_id": run, "market": market, "config": json.dumps(config)})
            returns[run] = backtest(closes, fast=fast, slow=slow, exposure=exposure)
    wide = pd.DataFrame(returns).rename_axis("date")
    long = wide.melt(var_name="run_id", value_name="return", ignore_index=False).dropna().reset_index()

    for name in ("csv", "parquet"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    pd.DataFrame(runs).to_csv(folder / "csv" / "runs.csv", index=False)
    wide.to_csv(folder / "csv" / "returns.csv")
    pd.DataFrame(runs).to_parquet(folder / "parquet" / "runs.parquet")
    long.to_parquet(folder / "parquet" / "returns.parquet")
    (folder / "strategy.json").write_text(json.dumps(STRATEGY, indent=2) + "\n", encoding="utf-8")
    told = f"{len(runs)} runs of {len(wide)} days: {folder}/csv, {folder}/parquet, {folder}/strategy.json\n"
    sys.stdout.write(told)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "my_campaign"))
