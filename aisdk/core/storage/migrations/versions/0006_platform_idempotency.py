"""pre: idempotency keys of the platform's own verbs.

Revision ID: 0006
"""

from __future__ import annotations

from typing import Final

from alembic import op

revision: Final = "0006"
down_revision: Final = "0005"
branch_labels: Final = None
depends_on: Final = None

# The keys are no tenant's: its place is empty, and what is kept outlives whom it is about. Who may
# come through the wall is said where the platform's role gets its rights.
TABLE: Final = """
CREATE TABLE aisdk.platform_idempotency (
    tenant_id text CHECK (tenant_id = ''),
    key text,
    verb text NOT NULL,
    fingerprint bytea NOT NULL,
    holder text NOT NULL,
    leased_until timestamptz NOT NULL,
    answer bytea,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX platform_idempotency_by_age
    ON aisdk.platform_idempotency (tenant_id, created_at);
ALTER TABLE aisdk.platform_idempotency ADD PRIMARY KEY (tenant_id, key);
ALTER TABLE aisdk.platform_idempotency ENABLE ROW LEVEL SECURITY;
ALTER TABLE aisdk.platform_idempotency FORCE ROW LEVEL SECURITY
"""


def upgrade() -> None:
    """Makes the table and its wall."""
    for statement in TABLE.split(";\n"):
        op.execute(statement)


def downgrade() -> None:
    """Removes it."""
    op.execute("DROP TABLE aisdk.platform_idempotency")
