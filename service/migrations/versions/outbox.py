"""When the id of a job was told to a broker; of those that wait, not yet."""

from typing import Final

from alembic import op
from sqlalchemy import Column, DateTime

revision: Final = "0003"
down_revision: Final = "0002"


def upgrade() -> None:
    """Add the column."""
    op.add_column("jobs", Column("published", DateTime(timezone=True)))
