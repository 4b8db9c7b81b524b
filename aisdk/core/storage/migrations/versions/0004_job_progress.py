"""pre: of a job, the chunks that it has stored and when it was begun.

Revision ID: 0004
"""

from __future__ import annotations

from typing import Final

from alembic import op

revision: Final = "0004"
down_revision: Final = "0003"
branch_labels: Final = None
depends_on: Final = None


def upgrade() -> None:
    """Adds the columns; jobs that there are have stored no chunks that anybody counted."""
    op.execute("ALTER TABLE aisdk.jobs ADD COLUMN chunks bigint NOT NULL DEFAULT 0")
    op.execute("ALTER TABLE aisdk.jobs ADD COLUMN started_at timestamptz")


def downgrade() -> None:
    """Removes them."""
    op.execute("ALTER TABLE aisdk.jobs DROP COLUMN started_at, DROP COLUMN chunks")
