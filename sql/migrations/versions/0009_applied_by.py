"""The view of the predecessors' readers tells people from the machine, as 0009_applied_by.sql states them."""

from pathlib import Path

from alembic import op

revision = "0009_applied_by"
down_revision = "0008_reports"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Execute the SQL file beside this one."""
    # Straight to the driver: SQLAlchemy would take a percent sign for a parameter.
    driver = op.get_bind().connection.driver_connection
    driver.execute(Path(__file__).with_suffix(".sql").read_text(encoding="utf-8"))


def downgrade() -> None:
    """Refuse: the ledgers are append-only, so the way back is a restored backup."""
    raise NotImplementedError("there is no downgrade; restore a backup with `meta-pipeline db restore`")
