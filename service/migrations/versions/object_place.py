"""Which mark lies among the objects of this database; none yet."""

from typing import Final

from alembic import op
from sqlalchemy import Column, String

revision: Final = "0002"
down_revision: Final = "0001"


def upgrade() -> None:
    """Make the table."""
    op.create_table("object_place", Column("mark", String(36), primary_key=True))
