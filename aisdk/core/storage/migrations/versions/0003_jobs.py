"""pre: jobs, work that goes on after its call has returned.

Revision ID: 0003
"""

from __future__ import annotations

from typing import Final

from alembic import op

revision: Final = "0003"
down_revision: Final = "0002"
branch_labels: Final = None
depends_on: Final = None

TABLE: Final = """
CREATE TABLE aisdk.jobs (
    tenant_id text,
    job_id uuid,
    verb text NOT NULL,
    state text NOT NULL CHECK (state IN ('waiting', 'running', 'done', 'failed', 'cancelled')),
    request bytea,
    host text NOT NULL,
    holder text NOT NULL,
    leased_until timestamptz NOT NULL,
    attempts integer NOT NULL DEFAULT 0,
    done bigint NOT NULL DEFAULT 0,
    failed bigint NOT NULL DEFAULT 0,
    total bigint,
    answer bytea,
    error jsonb,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    ended_at timestamptz,
    CONSTRAINT jobs_tenant FOREIGN KEY (tenant_id) REFERENCES aisdk.tenants
)"""


def upgrade() -> None:
    """Makes the table and its wall."""
    op.execute(TABLE)
    op.execute("CREATE INDEX jobs_by_age ON aisdk.jobs (tenant_id, created_at, job_id)")
    op.execute("ALTER TABLE aisdk.jobs ADD PRIMARY KEY (tenant_id, job_id)")
    op.execute("ALTER TABLE aisdk.jobs ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE aisdk.jobs FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY tenant ON aisdk.jobs "
        "USING (tenant_id = nullif(current_setting('aisdk.tenant_id', true), '')) "
        "WITH CHECK (tenant_id = nullif(current_setting('aisdk.tenant_id', true), ''))"
    )


def downgrade() -> None:
    """Removes jobs; what they did stays."""
    op.execute("DROP TABLE aisdk.jobs")
