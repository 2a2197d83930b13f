"""The list of approvers: persons only, compared by key, every change on record."""

import pytest

from meta_pipeline.errors import InputError, NotFound, NothingToDo, NotPermitted
from meta_pipeline.store import approvers
from meta_pipeline.store.database import Database
from meta_pipeline_tests.store.governed import NOW

pytestmark = pytest.mark.database


def add(database: Database, name: str, actor: str = "ann") -> approvers.Approver:
    with database.begin() as connection:
        return approvers.add(connection, name, actor=actor, now=NOW)


def remove(database: Database, name: str, actor: str = "ann") -> approvers.Approver:
    with database.begin() as connection:
        return approvers.remove(connection, name, actor=actor, now=NOW)


def names(database: Database, *, inactive: bool = False) -> list[tuple[str, bool]]:
    with database.connect() as connection:
        found = approvers.list_approvers(connection, inactive=inactive)
    return [(approver.display_name, approver.active) for approver in found]


def test_a_person_is_on_the_list_under_any_spelling_of_the_name(database: Database) -> None:
    assert add(database, "  Bob  Ray ").display_name == "Bob Ray"
    with database.connect() as connection:
        assert approvers.is_active(connection, "BOB RAY")
        assert not approvers.is_active(connection, "Bob")
    with pytest.raises(NothingToDo, match="'Bob Ray' is an approver already"):
        add(database, "bob ray")


def test_who_is_taken_off_stays_on_record_and_can_come_back(database: Database) -> None:
    add(database, "Bob")
    remove(database, "bob")
    assert names(database) == []
    assert names(database, inactive=True) == [("Bob", False)]
    with pytest.raises(NotFound, match="'Bob' is not on the list of approvers; on it are: nobody"):
        remove(database, "Bob")
    add(database, "Bob")
    assert names(database) == [("Bob", True)]


def test_no_machine_is_on_the_list_and_none_manages_it(database: Database) -> None:
    with pytest.raises(InputError, match="reserved for machines"):
        add(database, "meta-pipeline")
    with pytest.raises(NotPermitted, match="who may approve is up to people"):
        add(database, "Bob", actor="dagster")
    add(database, "Bob")
    with pytest.raises(NotPermitted):
        remove(database, "Bob", actor="system")
