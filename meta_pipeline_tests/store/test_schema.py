from sqlalchemy import text

from meta_pipeline.store.database import Database


def test_a_fresh_database_is_migrated(database: Database) -> None:
    with database.connect() as connection:
        assert (
            connection.execute(text("SELECT version_num FROM meta_pipeline_alembic_version")).scalar()
            == "0001_the_loop"
        )


def test_each_test_has_its_own(database: Database) -> None:
    with database.begin() as connection:
        connection.execute(text("INSERT INTO strategies (strategy_id, created_by) VALUES ('a', 'b')"))
