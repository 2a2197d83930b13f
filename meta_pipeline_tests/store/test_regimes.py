"""Regimes in the database: what was known of a market when a day began."""

import numpy as np
import pytest

from meta_pipeline.errors import InputError
from meta_pipeline.store.database import Database
from meta_pipeline.store.regimes import read_regimes, write_regimes

pytestmark = pytest.mark.database

DAYS = np.array(["2020-01-02", "2020-01-03", "2020-01-06"], dtype="datetime64[D]")
LABELS = np.array(["CALM_UP", "CALM_UP", "TURBULENT_DOWN"])


def test_labels_come_back_for_the_days_asked_for_and_an_unknown_day_has_none(database: Database) -> None:
    with database.begin() as connection:
        assert write_regimes(connection, "SP500", DAYS, LABELS) == 3
    asked = np.array(["2020-01-03T16:00", "2020-01-04T16:00", "2020-01-06T16:00"], dtype="datetime64[s]")
    with database.connect() as connection:
        found = read_regimes(connection, ["SP500", "DAX", "SP500"], asked)
    assert {market: labels.tolist() for market, labels in found.items()} == {"SP500": ["CALM_UP", "", "TURBULENT_DOWN"]}


def test_writing_again_changes_only_the_days_that_are_other_than_before(database: Database) -> None:
    with database.begin() as connection:
        write_regimes(connection, "SP500", DAYS, LABELS)
        assert write_regimes(connection, "SP500", DAYS, LABELS) == 0
        revised = np.array(["CALM_UP", "CALM_DOWN", "TURBULENT_DOWN"])
        assert write_regimes(connection, "SP500", DAYS, revised) == 1
        assert read_regimes(connection, ["SP500"], DAYS)["SP500"].tolist() == revised.tolist()


def test_markets_keep_their_own_labels(database: Database) -> None:
    with database.begin() as connection:
        write_regimes(connection, "SP500", DAYS, LABELS)
        write_regimes(connection, "WTI", DAYS[:1], np.array(["CALM_DOWN"]))
        found = read_regimes(connection, ["SP500", "WTI"], DAYS[:1])
    assert {market: labels.tolist() for market, labels in found.items()} == {"SP500": ["CALM_UP"], "WTI": ["CALM_DOWN"]}


def test_no_days_are_no_work(database: Database) -> None:
    with database.begin() as connection:
        assert write_regimes(connection, "SP500", DAYS[:0], LABELS[:0]) == 0
        assert read_regimes(connection, [], DAYS) == {}


@pytest.mark.parametrize(
    ("market", "days", "labels", "message"),
    [
        ("SP500", DAYS, LABELS[:2], "give one label per day"),
        ("SP500", DAYS[[0, 0, 1]], LABELS, "missing or repeated"),
        ("SP500", np.array(["NaT", "2020-01-02", "2020-01-03"], dtype="datetime64[D]"), LABELS, "missing or repeated"),
        ("SP500", DAYS, np.array(["CALM_UP", "", "CALM_UP"]), "'' cannot be stored; give 1 to 32 characters"),
        ("M" * 33, DAYS, LABELS, "cannot be stored"),
        ("SP500", DAYS[:1], np.array(["a\x00b"]), "cannot be stored"),
    ],
)
def test_labels_that_cannot_be_stored_are_refused(
    database: Database, market: str, days: np.ndarray, labels: np.ndarray, message: str
) -> None:
    with database.begin() as connection, pytest.raises(InputError, match=message):
        write_regimes(connection, market, days, labels)
