"""pre: tenants and their tiers, quotas, idempotency keys and usage.

Revision ID: 0002
"""

from __future__ import annotations

from typing import Final

from alembic import op

revision: Final = "0002"
down_revision: Final = "0001"
branch_labels: Final = None
depends_on: Final = None

# A limit that is NULL is none. Tenants that were there before keep working without limits.
# A store's generation starts at the time it was made: one that was erased and made again never
# comes to a generation under which somebody's cache still holds hits.
TABLES: Final = """
CREATE TABLE aisdk.tiers (
    tier text PRIMARY KEY,
    requests_per_minute bigint CHECK (requests_per_minute > 0),
    burst bigint CHECK (burst > 0),
    concurrent_calls bigint CHECK (concurrent_calls > 0),
    tokens_per_minute bigint CHECK (tokens_per_minute > 0),
    documents bigint CHECK (documents >= 0),
    size_bytes bigint CHECK (size_bytes >= 0),
    weight double precision NOT NULL CHECK (weight > 0)
);
INSERT INTO aisdk.tiers VALUES
    ('free', 60, 30, 2, 100000, 1000, 104857600, 1),
    ('standard', 600, 120, 4, 2000000, 100000, 10737418240, 4),
    ('enterprise', 6000, 1200, 16, 20000000, 10000000, 1099511627776, 16),
    ('unlimited', NULL, NULL, NULL, NULL, NULL, NULL, 4);
CREATE TABLE aisdk.tenants (
    tenant_id text PRIMARY KEY,
    tier text NOT NULL REFERENCES aisdk.tiers,
    state text NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'suspended')),
    settings jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE aisdk.idempotency (
    tenant_id text,
    key text,
    verb text NOT NULL,
    fingerprint bytea NOT NULL,
    holder text NOT NULL,
    leased_until timestamptz NOT NULL,
    answer bytea,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT idempotency_tenant FOREIGN KEY (tenant_id) REFERENCES aisdk.tenants
);
CREATE INDEX idempotency_by_age ON aisdk.idempotency (tenant_id, created_at);
ALTER TABLE aisdk.idempotency ADD PRIMARY KEY (tenant_id, key);
CREATE TABLE aisdk.usage (
    tenant_id text,
    hour timestamptz,
    verb text,
    calls bigint NOT NULL,
    failures bigint NOT NULL,
    tokens bigint NOT NULL,
    duration_ms double precision NOT NULL,
    PRIMARY KEY (tenant_id, hour, verb),
    CONSTRAINT usage_tenant FOREIGN KEY (tenant_id) REFERENCES aisdk.tenants
);
ALTER TABLE aisdk.stores
    ADD document_count bigint NOT NULL DEFAULT 0,
    ADD size_bytes bigint NOT NULL DEFAULT 0,
    ADD generation bigint NOT NULL
        DEFAULT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint
"""

# The owner is behind the wall too, and steps around it for the time of this transaction.
BACKFILL: Final = """
ALTER TABLE aisdk.stores NO FORCE ROW LEVEL SECURITY;
ALTER TABLE aisdk.documents NO FORCE ROW LEVEL SECURITY;
INSERT INTO aisdk.tenants (tenant_id, tier) SELECT s.tenant_id, 'unlimited' FROM aisdk.stores AS s;
UPDATE aisdk.stores AS s SET document_count = d.documents, size_bytes = d.size_bytes
FROM (
    SELECT tenant_id, count(*) AS documents, sum(size_bytes) AS size_bytes
    FROM aisdk.documents WHERE state = 'ready' GROUP BY tenant_id
) AS d WHERE d.tenant_id = s.tenant_id;
ALTER TABLE aisdk.stores
    ADD CONSTRAINT stores_tenant FOREIGN KEY (tenant_id) REFERENCES aisdk.tenants;
ALTER TABLE aisdk.stores FORCE ROW LEVEL SECURITY;
ALTER TABLE aisdk.documents FORCE ROW LEVEL SECURITY
"""

FUNCTIONS: Final = """
CREATE FUNCTION aisdk.store_state(p_tenant text) RETURNS TABLE (language text, generation bigint)
LANGUAGE plpgsql STABLE SECURITY INVOKER
AS $$
BEGIN
    PERFORM set_config('aisdk.tenant_id', p_tenant, true);
    RETURN QUERY
        SELECT s.language, s.generation FROM aisdk.stores AS s WHERE s.tenant_id = p_tenant;
END
$$;
CREATE FUNCTION aisdk.tenant(p_tenant text)
RETURNS TABLE (
    tier text, state text, settings jsonb, created_at timestamptz, requests_per_minute bigint,
    burst bigint, concurrent_calls bigint, tokens_per_minute bigint, documents bigint,
    size_bytes bigint, weight double precision
)
LANGUAGE plpgsql STABLE SECURITY INVOKER
AS $$
BEGIN
    PERFORM set_config('aisdk.tenant_id', p_tenant, true);
    RETURN QUERY
        SELECT t.tier, t.state, t.settings, t.created_at, r.requests_per_minute, r.burst,
               r.concurrent_calls, r.tokens_per_minute, r.documents, r.size_bytes, r.weight
        FROM aisdk.tenants AS t JOIN aisdk.tiers AS r ON r.tier = t.tier
        WHERE t.tenant_id = p_tenant;
END"""

WALLED: Final = ("tenants", "idempotency", "usage")


def upgrade() -> None:
    """Makes the tables and their walls, and registers the tenants that are there."""
    for statement in TABLES.split(";\n"):
        op.execute(statement)
    for statement in BACKFILL.split(";\n"):
        op.execute(statement)
    for name in WALLED:
        op.execute(f"ALTER TABLE aisdk.{name} ENABLE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE aisdk.{name} FORCE ROW LEVEL SECURITY")
        op.execute(
            f"CREATE POLICY tenant ON aisdk.{name} "
            "USING (tenant_id = nullif(current_setting('aisdk.tenant_id', true), '')) "
            "WITH CHECK (tenant_id = nullif(current_setting('aisdk.tenant_id', true), ''))"
        )
    op.execute("DROP FUNCTION aisdk.store_language")
    for statement in FUNCTIONS.split("\n$$;\n"):
        op.execute(f"{statement}\n$$")


def downgrade() -> None:
    """Removes tenants, tiers, keys and usage; documents stay."""
    op.execute("DROP FUNCTION aisdk.tenant, aisdk.store_state")
    op.execute("ALTER TABLE aisdk.stores DROP CONSTRAINT stores_tenant")
    for column in ("document_count", "size_bytes", "generation"):
        op.execute(f"ALTER TABLE aisdk.stores DROP COLUMN {column}")
    for name in (*reversed(WALLED), "tiers"):
        op.execute(f"DROP TABLE aisdk.{name}")
    op.execute(
        "CREATE FUNCTION aisdk.store_language(p_tenant text) RETURNS text "
        "LANGUAGE plpgsql STABLE SECURITY INVOKER AS $$ BEGIN "
        "PERFORM set_config('aisdk.tenant_id', p_tenant, true); "
        "RETURN (SELECT s.language FROM aisdk.stores AS s WHERE s.tenant_id = p_tenant); END $$"
    )
