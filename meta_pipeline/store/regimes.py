"""The regime of each market on each day, as labels that were known when the day began."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, select

from meta_pipeline.errors import InputError
from meta_pipeline.store.queries import query
from meta_pipeline.store.schema import market_regimes

LONGEST = 32
"""Characters in a market's id, and in a label."""


def write_regimes(
    connection: Connection, market_id: str, dates: NDArray[np.datetime64], labels: NDArray[np.str_]
) -> int:
    """Write the labels of one market's days; return how many were new or other than before.

    Parameters
    ----------
    dates, labels
        Both of shape (n_days,), dates distinct. The label of a day must be known when that day begins: returns of the
        day are sliced by it.

    Raises
    ------
    InputError
        If lengths differ, a date repeats or is missing, or a market or label is empty or too long.
    """
    days = dates.astype("datetime64[D]")
    if days.shape != labels.shape or days.ndim != 1:
        raise InputError(f"{market_id}: {days.shape} dates for {labels.shape} labels; give one label per day")
    if np.isnat(days).any() or len(np.unique(days)) != len(days):
        raise InputError(f"{market_id}: a date is missing or repeated; give each day once")
    for text in (market_id, *np.unique(labels).tolist()):
        if not 1 <= len(text) <= LONGEST or "\x00" in text:
            raise InputError(f"{market_id}: {text!r} cannot be stored; give 1 to {LONGEST} characters")
    written = connection.execute(
        query("write_regimes"), {"market_id": market_id, "days": days.tolist(), "labels": labels.tolist()}
    )
    return written.rowcount


def read_regimes(
    connection: Connection, markets: Iterable[str], dates: NDArray[np.datetime64]
) -> dict[str, NDArray[np.str_]]:
    """Read the labels of some markets on some days, as `proposals.propose` takes them.

    Parameters
    ----------
    dates
        Shape (n_days,), of any datetime64 unit; a time of day is labelled as its day (UTC).

    Returns
    -------
    For each market that has any label: shape (n_days,), an empty text where there is none.
    """
    statement = select(market_regimes).where(market_regimes.c.market_id.in_(sorted(set(markets))))
    stored: dict[str, dict[object, str]] = {}
    for row in connection.execute(statement):
        stored.setdefault(row.market_id, {})[row.as_of] = row.label
    days = dates.astype("datetime64[D]").tolist()
    return {market: np.array([of_day.get(day, "") for day in days], dtype=np.str_) for market, of_day in stored.items()}
