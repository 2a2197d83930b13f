from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from meta_pipeline.errors import InputError, NotFound
from meta_pipeline.hyperband.bar_files import read_bars
from meta_pipeline.hyperband.bars import Bars
from meta_pipeline.hyperband.lab_bars import lab_bars
from meta_pipeline_tests.hyperband.paths import path

GOOD = path(60 * 6, seed=0)


def changed(name: str, at: int, value: float) -> dict[str, Any]:
    series = getattr(GOOD, name).copy()
    series[at] = value
    return {name: series}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (changed("close", 5, 0.0), r"the close of 2015-01-01T20:00:00 is 0.0: a price is a positive number \(1 such"),
        (changed("open", 5, -3.0), "the open of .* is -3.0"),
        (changed("high", 5, np.nan), "the high of .* is nan"),
        (changed("low", 5, np.inf), "the low of .* is inf"),
        (changed("high", 5, 1.0), "it is below the low of its bar"),
        (changed("low", 5, GOOD.close[5] * 1.0001), "the low of .* it is above the open or the close"),
        (changed("volume", 5, -1.0), "a volume is not negative"),
        (changed("volume", 5, np.nan), "the volume of .* is nan"),
        ({"close": GOOD.close[:-1]}, "close has shape"),
        ({"periods_per_year": 0.0}, "periods_per_year is 0.0; it must be a positive number"),
    ],
)
def test_a_bad_price_is_refused_with_its_place_and_never_repaired(change: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        replace(GOOD, **change)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([0, 1, 2, 2, 3], r"X: 2015-01-01T08:00:00 comes twice \(1 such bars\)"),
        ([0, 1, 3, 2, 4], "2015-01-01T08:00:00 comes after 2015-01-01T12:00:00; sort the bars"),
        ([*range(100), *range(101, 200)], "0.333333 days without a bar after 2015-01-17T12:00:00"),
        ([0, 1], "2 bars; at least 3"),
    ],
)
def test_times_that_repeat_run_backwards_or_lack_a_bar_are_refused(rows: list[int], said: str) -> None:
    series = {name: getattr(GOOD, name)[rows] for name in ("times", "open", "high", "low", "close", "volume")}
    with pytest.raises(InputError, match=said):
        Bars(symbol="X", **series)


def test_a_time_that_is_missing_is_refused() -> None:
    times = GOOD.times.copy()
    times[3] = np.datetime64("NaT")
    with pytest.raises(InputError, match="bar 3 has no time"):
        replace(GOOD, times=times)


def test_a_declared_gap_is_accepted() -> None:
    rows = [*range(100), *range(160, 300)]
    series = {name: getattr(GOOD, name)[rows] for name in ("times", "open", "high", "low", "close", "volume")}
    with pytest.raises(InputError, match=r"declare max_gap_days of 10.1667 \(--set data.max_gap_days=10.1667\)"):
        Bars(symbol="X", **series)
    assert len(Bars(symbol="X", **series, max_gap_days=11)) == 240


def test_bars_a_year_come_from_the_times_and_not_from_habit() -> None:
    assert GOOD.annual_periods == 2190.0
    assert [bars.annual_periods for bars in lab_bars()] == [252.0] * 3
    sessions = np.array([f"2015-01-{d:02d}T{h:02d}" for d in range(5, 31) for h in (14, 16, 18)], dtype="datetime64[s]")
    n = len(sessions)
    series = {name: getattr(GOOD, name)[:n] for name in ("open", "high", "low", "close")}
    with pytest.raises(InputError, match=r"do not tell how many bars a year .* declare periods_per_year"):
        Bars(symbol="X", times=sessions, **series).annual_periods  # noqa: B018
    assert Bars(symbol="X", times=sessions, periods_per_year=756, **series).annual_periods == 756


def test_the_digest_tells_any_other_bar_apart() -> None:
    assert GOOD.digest == path(60 * 6, seed=0).digest
    others = [replace(GOOD, **changed("volume", 7, 9.0)), replace(GOOD, symbol="Y"), replace(GOOD, fills="next_close")]
    others += [replace(GOOD, volume=None), GOOD.cut(0, 359)]
    assert len({GOOD.digest, *(other.digest for other in others)}) == 6


def test_the_lab_is_filled_at_closes_since_its_opens_are_not_quotes() -> None:
    sp500, nasdaq, wti = lab_bars()
    assert [bars.symbol for bars in (sp500, nasdaq, wti)] == ["SP500", "NASDAQ", "WTI"]
    assert all(series is sp500.close for series in sp500.execution_prices())
    assert (sp500.high > sp500.low).all()
    stale = np.mean(sp500.open[1:] == sp500.close[:-1])
    assert stale > 0.35


def table(symbol: str | None = None) -> pd.DataFrame:
    frame = pd.DataFrame({name.title(): getattr(GOOD, name) for name in ("open", "high", "low", "close", "volume")})
    frame.insert(0, "Timestamp", GOOD.times)
    if symbol is not None:
        frame["Symbol"] = symbol
    return frame


def same(left: Bars, right: Bars) -> bool:
    return all(np.array_equal(getattr(left, n), getattr(right, n)) for n in ("times", "open", "close", "volume"))


def test_parquet_csv_seconds_milliseconds_and_time_zones_give_the_same_bars(tmp_path: Path) -> None:
    frame = table()
    frame.to_parquet(tmp_path / "X.parquet")
    frame.to_csv(tmp_path / "X.csv", index=False)
    seconds = GOOD.times.astype(np.int64)
    stamps: dict[str, Any] = {
        "seconds": seconds,
        "milliseconds": seconds * 1000,
        "zone": pd.DatetimeIndex(GOOD.times).tz_localize("UTC").tz_convert("America/New_York"),
    }
    for name, times in stamps.items():
        frame.assign(Timestamp=times).to_parquet(tmp_path / f"{name}.parquet")
    frame.set_index("Timestamp").to_parquet(tmp_path / "index.parquet")
    west = GOOD.times - np.timedelta64(5, "h")
    pairs = enumerate(zip(GOOD.times, west, strict=True))
    offsets = [f"{utc}+00:00" if i % 2 else f"{there}-05:00" for i, (utc, there) in pairs]
    frame.assign(Timestamp=offsets).to_csv(tmp_path / "offsets.csv", index=False)
    read = [bars for file in sorted(tmp_path.iterdir()) for bars in read_bars(file)]
    assert len(read) == 7
    assert all(same(bars, GOOD) for bars in read)


def test_stacked_symbols_are_kept_apart(tmp_path: Path) -> None:
    other = path(60 * 6, seed=1, symbol="DOGE")
    both = pd.concat([table("BTC"), table("DOGE").assign(Close=other.close, High=1e6, Low=1e-6)])
    both.sort_values("Timestamp", kind="stable").to_csv(tmp_path / "crypto.csv", index=False)
    btc, doge = read_bars(tmp_path / "crypto.csv")
    assert (btc.symbol, doge.symbol) == ("BTC", "DOGE")
    np.testing.assert_allclose(btc.close, GOOD.close, rtol=1e-15)
    np.testing.assert_allclose(doge.close, other.close, rtol=1e-15)
    (only,) = read_bars(tmp_path / "crypto.csv", symbols=["DOGE"])
    assert only.symbol == "DOGE"
    with pytest.raises(InputError, match="holds the symbols BTC, DOGE, not ETH"):
        read_bars(tmp_path / "crypto.csv", symbols=["ETH"])
    both.drop(columns="Symbol").sort_values("Timestamp").to_csv(tmp_path / "mixed.csv", index=False)
    with pytest.raises(InputError, match=r"comes twice .* name the symbols in a column `symbol`"):
        read_bars(tmp_path / "mixed.csv")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda f: f.drop(columns="Low"), "has no column for the low .named low.; it has Timestamp, Open"),
        (lambda f: f.assign(Close=["1,5", *f.Close.astype(str)[1:]]), "Close of row 0 is '1,5', which is no number"),
        (lambda f: f.assign(Timestamp=["soon"] * len(f)), "a time cannot be read"),
        (lambda f: f.assign(Timestamp=f.index * 1e15), "neither seconds nor milliseconds"),
        (lambda f: f.assign(Timestamp=f.index + 0.5), "fractions of a second"),
        (lambda f: f.assign(Timestamp=range(20150101, 20150101 + len(f))).head(28), "dates in digits, as 20150101"),
        (lambda f: f.assign(Timestamp=range(201501010800, 201501010800 + len(f))).head(50), "dates in digits"),
        (lambda f: f.assign(Timestamp=["2015-01-01T00:00Z", *f.Timestamp[1:]]), "names its time zone and '2015-01-01"),
        (lambda f: f.assign(close=f.Close), "has both 'Close' and 'close'"),
        (lambda f: f.head(0), "has columns and no bars"),
        (lambda f: f.assign(Symbol=None), "row 0 has no symbol"),
        (lambda f: f.assign(Close=np.nan), "the close of .* is nan"),
    ],
)
def test_a_file_that_is_no_table_of_bars_is_refused(tmp_path: Path, change: Any, said: str) -> None:
    change(table()).to_csv(tmp_path / "X.csv", index=False)
    with pytest.raises(InputError, match=said):
        read_bars(tmp_path / "X.csv")


def test_a_file_that_is_missing_or_of_another_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="there is no file"):
        read_bars(tmp_path / "none.csv")
    (tmp_path / "bars.xlsx").write_bytes(b"PK")
    with pytest.raises(InputError, match=r"neither \.parquet nor \.csv"):
        read_bars(tmp_path / "bars.xlsx")
    (tmp_path / "bars.parquet").write_bytes(b"not parquet")
    with pytest.raises(InputError, match="cannot be read as parquet"):
        read_bars(tmp_path / "bars.parquet")
