"""pre: metadata count in the bytes that a tenant stores.

Revision ID: 0005
"""

from __future__ import annotations

from typing import Final

from alembic import op

revision: Final = "0005"
down_revision: Final = "0004"
branch_labels: Final = None
depends_on: Final = None

# The owner is behind the wall too, and steps around it for the time of this transaction.
COUNT: Final = """
ALTER TABLE aisdk.stores NO FORCE ROW LEVEL SECURITY;
ALTER TABLE aisdk.documents NO FORCE ROW LEVEL SECURITY;
UPDATE aisdk.stores AS s SET size_bytes = d.size_bytes
FROM (
    SELECT tenant_id, sum({size}) AS size_bytes
    FROM aisdk.documents WHERE state = 'ready' GROUP BY tenant_id
) AS d WHERE d.tenant_id = s.tenant_id;
ALTER TABLE aisdk.stores FORCE ROW LEVEL SECURITY;
ALTER TABLE aisdk.documents FORCE ROW LEVEL SECURITY
"""


def upgrade() -> None:
    """Counts them for the documents that are there; an empty object counts for nothing."""
    _count("size_bytes + octet_length(metadata::text) - 2")


def downgrade() -> None:
    """Counts sources alone."""
    _count("size_bytes")


def _count(size: str) -> None:
    for statement in COUNT.format(size=size).split(";\n"):
        op.execute(statement)
