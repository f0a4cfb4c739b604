"""Jobs, workers, deleted jobs and API keys, where there are none: databases of before there were versions have them."""

from typing import Final

from alembic import op
from sqlalchemy import Column, DateTime, Float, Integer, String, Text

revision: Final = "0001"
down_revision: Final = None


def upgrade() -> None:
    """Make what is not there."""
    _make_jobs()
    op.create_table(
        "workers",
        Column("owner", Text, primary_key=True),
        Column("seen", DateTime(timezone=True), nullable=False),
        Column("ready", Integer, nullable=False),
        if_not_exists=True,
    )
    op.create_table(
        "deleted_jobs",
        Column("id", String(36), primary_key=True),
        Column("tenant", String(100), nullable=False),
        Column("deleted", DateTime(timezone=True), nullable=False),
        if_not_exists=True,
    )
    op.create_table(
        "api_keys",
        Column("id", String(16), primary_key=True),
        Column("sha256", String(64), nullable=False),
        Column("tenant", String(100), nullable=False),
        Column("scopes", Text, nullable=False),
        Column("created", DateTime(timezone=True), nullable=False),
        Column("expires", DateTime(timezone=True)),
        Column("revoked", DateTime(timezone=True)),
        if_not_exists=True,
    )


def _make_jobs() -> None:
    op.create_table(
        "jobs",
        Column("id", String(36), primary_key=True),
        Column("tenant", String(100), nullable=False),
        Column("state", String(16), nullable=False),
        Column("attempt", Integer, nullable=False),
        Column("fence", Integer, nullable=False),
        Column("owner", Text),
        Column("lease_until", DateTime(timezone=True)),
        Column("created", DateTime(timezone=True), nullable=False),
        Column("started", DateTime(timezone=True)),
        Column("finished", DateTime(timezone=True)),
        Column("stage", String(100), nullable=False),
        Column("fraction", Float, nullable=False),
        Column("model_sha256", String(64), nullable=False),
        Column("model_name", Text, nullable=False),
        Column("batch_sha256", String(64)),
        Column("options", Text, nullable=False),
        Column("digest", String(64), nullable=False),
        Column("data_files", Text, nullable=False),
        Column("idempotency_key", String(255)),
        Column("report_sha256", String(64)),
        Column("error", Text),
        Column("labels", Text, nullable=False),
        if_not_exists=True,
    )
    op.create_index("jobs_to_claim", "jobs", ["state", "created"], if_not_exists=True)
    op.create_index("jobs_by_digest", "jobs", ["tenant", "digest"], if_not_exists=True)
    op.create_index("jobs_by_key", "jobs", ["tenant", "idempotency_key"], unique=True, if_not_exists=True)
