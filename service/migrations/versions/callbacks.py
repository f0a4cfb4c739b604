"""Who is told that a job has ended; of those before, nobody."""

from typing import Final

from alembic import op
from sqlalchemy import Column, DateTime, Integer, Text

revision: Final = "0007"
down_revision: Final = "0006"


def upgrade() -> None:
    """Add the columns, and an index to find those that are due."""
    op.add_column("jobs", Column("callback", Text))
    op.add_column("jobs", Column("callback_due", DateTime(timezone=True)))
    op.add_column("jobs", Column("callback_attempts", Integer, nullable=False, server_default="0"))
    op.create_index("jobs_by_callback", "jobs", ["callback_due"])
