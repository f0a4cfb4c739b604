"""Blobs that were sent ahead of analyses, none yet."""

from typing import Final

from alembic import op
from sqlalchemy import BigInteger, Column, DateTime, String

revision: Final = "0006"
down_revision: Final = "0005"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "blobs",
        Column("tenant", String(100), primary_key=True),
        Column("sha256", String(64), primary_key=True),
        Column("size", BigInteger, nullable=False),
        Column("kept_until", DateTime(timezone=True), nullable=False),
    )
    op.create_index("blobs_by_name", "blobs", ["sha256"])
    op.create_index("blobs_by_time", "blobs", ["kept_until"])
