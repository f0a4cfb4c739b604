"""The place in a trace of the request that submitted a job; of those before, none."""

from typing import Final

from alembic import op
from sqlalchemy import Column, String

revision: Final = "0010"
down_revision: Final = "0009"


def upgrade() -> None:
    """Add the column."""
    op.add_column("jobs", Column("traceparent", String(55)))
