"""The trace of the request that submitted a job; of those before, none."""

from typing import Final

from alembic import op
from sqlalchemy import Column, String

revision: Final = "0008"
down_revision: Final = "0007"


def upgrade() -> None:
    """Add the column."""
    op.add_column("jobs", Column("trace_id", String(32)))
