"""When the report of a job was computed that answers the same question again; those of before do not."""

from typing import Final

from alembic import op
from sqlalchemy import Column, DateTime

revision: Final = "0005"
down_revision: Final = "0004"


def upgrade() -> None:
    """Add the column."""
    op.add_column("jobs", Column("computed", DateTime(timezone=True)))
