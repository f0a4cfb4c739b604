"""What tenants did in the span of time that it is, nothing yet."""

from typing import Final

from alembic import op
from sqlalchemy import BigInteger, Column, Float, String

revision: Final = "0009"
down_revision: Final = "0008"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "rates",
        Column("tenant", String(100), primary_key=True),
        Column("what", String(20), primary_key=True),
        Column("began", Float, nullable=False),
        Column("taken", BigInteger, nullable=False),
    )
