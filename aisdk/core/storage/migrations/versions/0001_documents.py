"""pre: documents, chunks, vectors and the lexical index of each tenant, behind row-level security.

Revision ID: 0001
"""

from __future__ import annotations

from typing import Final

from alembic import op

revision: Final = "0001"
down_revision: Final = None
branch_labels: Final = None
depends_on: Final = None

PARTITIONS: Final = 16

# Where a table has no statistics yet, the planner holds every index that begins with tenant_id
# to be as good as the next and takes the newest: the primary keys are therefore made last.
TABLES: Final = """
CREATE TABLE aisdk.stores (
    tenant_id text PRIMARY KEY,
    language text NOT NULL,
    embedding_model text,
    embedding_dimension integer,
    chunk_count bigint NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE aisdk.documents (
    tenant_id text,
    document_id uuid,
    source text NOT NULL,
    title text NOT NULL,
    metadata jsonb NOT NULL,
    content_key bytea NOT NULL,
    size_bytes bigint NOT NULL,
    chunk_count integer NOT NULL,
    state text NOT NULL CHECK (state IN ('ready', 'failed')),
    error_code text,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT documents_source UNIQUE (tenant_id, source)
);
ALTER TABLE aisdk.documents ADD PRIMARY KEY (tenant_id, document_id);
CREATE TABLE aisdk.chunks (
    tenant_id text,
    chunk_id bigint,
    document_id uuid NOT NULL,
    start_char integer NOT NULL,
    end_char integer NOT NULL,
    heading text NOT NULL,
    text text NOT NULL,
    CONSTRAINT chunks_document FOREIGN KEY (tenant_id, document_id)
        REFERENCES aisdk.documents (tenant_id, document_id)
);
CREATE INDEX chunks_by_document ON aisdk.chunks (tenant_id, document_id, start_char);
ALTER TABLE aisdk.chunks ADD PRIMARY KEY (tenant_id, chunk_id);
CREATE TABLE aisdk.chunk_vectors (
    tenant_id text,
    chunk_id bigint,
    embedding vector NOT NULL,
    PRIMARY KEY (tenant_id, chunk_id)
) PARTITION BY HASH (tenant_id);
CREATE TABLE aisdk.lexical_segments (
    tenant_id text,
    segment_id uuid,
    chunk_ids bytea STORAGE EXTERNAL NOT NULL,
    lengths bytea STORAGE EXTERNAL NOT NULL,
    chunk_count integer NOT NULL,
    PRIMARY KEY (tenant_id, segment_id)
);
CREATE TABLE aisdk.lexical_postings (
    tenant_id text,
    bucket integer,
    segment_id uuid,
    payload bytea STORAGE EXTERNAL NOT NULL,
    PRIMARY KEY (tenant_id, bucket, segment_id),
    CONSTRAINT lexical_postings_segment FOREIGN KEY (tenant_id, segment_id)
        REFERENCES aisdk.lexical_segments (tenant_id, segment_id) ON DELETE CASCADE
);
CREATE TABLE aisdk.lexical_tombstones (
    tenant_id text,
    chunk_id bigint,
    PRIMARY KEY (tenant_id, chunk_id)
);
CREATE SEQUENCE aisdk.chunk_ids
"""

NAMES: Final = (
    "stores",
    "documents",
    "chunks",
    "chunk_vectors",
    "lexical_segments",
    "lexical_postings",
    "lexical_tombstones",
)

FUNCTIONS: Final = """
CREATE FUNCTION aisdk.check_model(p_tenant text, p_model text, p_dimension int) RETURNS bigint
LANGUAGE plpgsql STABLE SECURITY INVOKER
AS $$
DECLARE
    v_model text;
    v_dimension int;
    v_count bigint;
BEGIN
    SELECT s.embedding_model, s.embedding_dimension, s.chunk_count
    INTO v_model, v_dimension, v_count
    FROM aisdk.stores AS s WHERE s.tenant_id = p_tenant;
    IF v_dimension <> p_dimension OR (p_model IS NOT NULL AND v_model <> p_model) THEN
        RAISE EXCEPTION 'embedding mismatch' USING ERRCODE = 'AI001';
    END IF;
    RETURN v_count;
END
$$;
-- The hot path: one round trip that sets the tenant for its own transaction and searches exactly.
-- STABLE gives all statements inside one snapshot. A generic plan saves planning where a store is
-- small; above, the tenant as a literal lets the planner see how many rows to expect.
CREATE FUNCTION aisdk.search_dense(p_tenant text, p_model text, p_query vector, p_limit int)
RETURNS TABLE (chunk_id bigint, score float8)
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET plan_cache_mode = force_generic_plan
AS $$
BEGIN
    PERFORM set_config('aisdk.tenant_id', p_tenant, true);
    IF aisdk.check_model(p_tenant, p_model, vector_dims(p_query)) <= 2000 THEN
        RETURN QUERY
            SELECT v.chunk_id, -(v.embedding <#> p_query)
            FROM aisdk.chunk_vectors AS v
            WHERE v.tenant_id = p_tenant
            ORDER BY v.embedding <#> p_query, v.chunk_id
            LIMIT p_limit;
    ELSE
        RETURN QUERY EXECUTE format(
            'SELECT v.chunk_id, -(v.embedding <#> $1)
             FROM aisdk.chunk_vectors AS v
             WHERE v.tenant_id = %L
             ORDER BY v.embedding <#> $1, v.chunk_id
             LIMIT $2', p_tenant) USING p_query, p_limit;
    END IF;
END
$$;
CREATE FUNCTION aisdk.search_dense_within(
    p_tenant text, p_model text, p_query vector, p_limit int, p_chunks bigint[]
)
RETURNS TABLE (chunk_id bigint, score float8)
LANGUAGE plpgsql STABLE SECURITY INVOKER
AS $$
BEGIN
    PERFORM set_config('aisdk.tenant_id', p_tenant, true);
    PERFORM aisdk.check_model(p_tenant, p_model, vector_dims(p_query));
    RETURN QUERY
        SELECT v.chunk_id, -(v.embedding <#> p_query)
        FROM aisdk.chunk_vectors AS v
        WHERE v.tenant_id = p_tenant AND v.chunk_id = ANY (p_chunks)
        ORDER BY v.embedding <#> p_query, v.chunk_id
        LIMIT p_limit;
END
$$;
CREATE FUNCTION aisdk.search_dense_hits(p_tenant text, p_model text, p_query vector, p_limit int)
RETURNS TABLE (
    chunk_id bigint, document_id text, title text, source text, text text,
    start_char int, end_char int, heading text, metadata jsonb, score float8
)
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET plan_cache_mode = force_generic_plan
AS $$
BEGIN
    PERFORM set_config('aisdk.tenant_id', p_tenant, true);
    RETURN QUERY
        SELECT c.chunk_id, d.document_id::text, d.title, d.source, c.text,
               c.start_char, c.end_char, c.heading, d.metadata, f.score
        FROM aisdk.search_dense(p_tenant, p_model, p_query, p_limit) AS f
        JOIN aisdk.chunks AS c ON c.tenant_id = p_tenant AND c.chunk_id = f.chunk_id
        JOIN aisdk.documents AS d
          ON d.tenant_id = p_tenant AND d.document_id = c.document_id
        ORDER BY f.score DESC, f.chunk_id;
END
$$;
CREATE FUNCTION aisdk.hits(p_tenant text, p_chunks bigint[])
RETURNS TABLE (
    chunk_id bigint, document_id text, title text, source text, text text,
    start_char int, end_char int, heading text, metadata jsonb
)
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET plan_cache_mode = force_generic_plan
AS $$
BEGIN
    PERFORM set_config('aisdk.tenant_id', p_tenant, true);
    RETURN QUERY
        SELECT c.chunk_id, d.document_id::text, d.title, d.source, c.text,
               c.start_char, c.end_char, c.heading, d.metadata
        FROM aisdk.chunks AS c
        JOIN aisdk.documents AS d
          ON d.tenant_id = p_tenant AND d.document_id = c.document_id
        WHERE c.tenant_id = p_tenant AND c.chunk_id = ANY (p_chunks);
END
$$;
CREATE FUNCTION aisdk.chunk_scores(p_tenant text, p_query vector, p_chunks bigint[])
RETURNS TABLE (chunk_id bigint, score float8)
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET plan_cache_mode = force_generic_plan
AS $$
BEGIN
    PERFORM set_config('aisdk.tenant_id', p_tenant, true);
    RETURN QUERY
        SELECT v.chunk_id, -(v.embedding <#> p_query)
        FROM aisdk.chunk_vectors AS v
        WHERE v.tenant_id = p_tenant AND v.chunk_id = ANY (p_chunks);
END
$$;
CREATE FUNCTION aisdk.lexical_read(p_tenant text, p_buckets int[])
RETURNS TABLE (segment_id uuid, bucket int, payload bytea, lengths bytea)
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET plan_cache_mode = force_generic_plan
AS $$
BEGIN
    PERFORM set_config('aisdk.tenant_id', p_tenant, true);
    RETURN QUERY
        SELECT s.segment_id, NULL::int, s.chunk_ids, s.lengths
        FROM aisdk.lexical_segments AS s WHERE s.tenant_id = p_tenant;
    RETURN QUERY
        SELECT p.segment_id, p.bucket, p.payload, NULL::bytea
        FROM aisdk.lexical_postings AS p
        WHERE p.tenant_id = p_tenant AND p.bucket = ANY (p_buckets);
    RETURN QUERY
        SELECT NULL::uuid, NULL::int, string_agg(int8send(t.chunk_id), ''::bytea), NULL::bytea
        FROM aisdk.lexical_tombstones AS t WHERE t.tenant_id = p_tenant
        HAVING count(*) > 0;
END
$$;
CREATE FUNCTION aisdk.store_language(p_tenant text) RETURNS text
LANGUAGE plpgsql STABLE SECURITY INVOKER
AS $$
BEGIN
    PERFORM set_config('aisdk.tenant_id', p_tenant, true);
    RETURN (SELECT s.language FROM aisdk.stores AS s WHERE s.tenant_id = p_tenant);
END"""


def upgrade() -> None:
    """Makes the tables, their walls, the search functions and the app role's rights."""
    for statement in TABLES.split(";\n"):
        op.execute(statement)
    for number in range(PARTITIONS):
        op.execute(
            f"CREATE TABLE aisdk.chunk_vectors_{number} PARTITION OF aisdk.chunk_vectors "
            f"FOR VALUES WITH (MODULUS {PARTITIONS}, REMAINDER {number})"
        )
    walled = [*NAMES, *(f"chunk_vectors_{number}" for number in range(PARTITIONS))]
    for name in walled:
        op.execute(f"ALTER TABLE aisdk.{name} ENABLE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE aisdk.{name} FORCE ROW LEVEL SECURITY")
        op.execute(
            f"CREATE POLICY tenant ON aisdk.{name} "
            "USING (tenant_id = nullif(current_setting('aisdk.tenant_id', true), '')) "
            "WITH CHECK (tenant_id = nullif(current_setting('aisdk.tenant_id', true), ''))"
        )
    for statement in FUNCTIONS.split("\n$$;\n"):
        op.execute(f"{statement}\n$$")


def downgrade() -> None:
    """Removes everything this migration made, and with it all documents."""
    op.execute(
        "DROP FUNCTION aisdk.search_dense_hits, aisdk.search_dense_within, aisdk.search_dense, "
        "aisdk.check_model, aisdk.hits, aisdk.chunk_scores, aisdk.lexical_read, "
        "aisdk.store_language"
    )
    for name in reversed(NAMES):
        op.execute(f"DROP TABLE aisdk.{name}")
    op.execute("DROP SEQUENCE aisdk.chunk_ids")
