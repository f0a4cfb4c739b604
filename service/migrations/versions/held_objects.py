"""Which objects jobs hold, none yet: a sweep lists those of earlier jobs first. What was removed, nothing yet."""

from typing import Final

from alembic import op
from sqlalchemy import BigInteger, Column, ForeignKey, String

revision: Final = "0004"
down_revision: Final = "0003"


def upgrade() -> None:
    """Make the tables, and an index to find the jobs that ended first."""
    op.create_table(
        "held_objects",
        Column("sha256", String(64), primary_key=True),
        Column("job_id", String(36), ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
        Column("size", BigInteger, nullable=False),
    )
    op.create_index("held_by_job", "held_objects", ["job_id"])
    op.create_table(
        "removed",
        Column("what", String(20), primary_key=True),
        Column("number", BigInteger, nullable=False),
        Column("bytes", BigInteger, nullable=False),
    )
    op.create_index("jobs_by_end", "jobs", ["finished"])
