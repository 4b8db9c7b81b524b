"""The tables, as SQLAlchemy sees them; the migrations make them.

Every primary key, foreign key and unique constraint begins with ``tenant_id``, and every table
has row-level security, so the schema can be distributed by tenant without change. The one table
without tenants is ``tiers``: a list of what can be bought, which tenants' calls only read. In
``platform_idempotency`` the tenant is empty: the platform's own keys are no tenant's.
"""

from __future__ import annotations

from typing import Final

from pgvector.sqlalchemy import VECTOR
from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

__all__ = [
    "SCHEMA",
    "chunk_vectors",
    "chunks",
    "documents",
    "idempotency",
    "jobs",
    "lexical_postings",
    "lexical_segments",
    "lexical_tombstones",
    "metadata",
    "platform_idempotency",
    "stores",
    "tenants",
    "tiers",
    "usage",
]

SCHEMA: Final = "aisdk"
metadata: Final = MetaData(schema=SCHEMA)


def _tenant() -> Column[str]:
    return Column("tenant_id", Text, primary_key=True)


tiers: Final = Table(
    "tiers",
    metadata,
    Column("tier", Text, primary_key=True),
    Column("requests_per_minute", BigInteger),
    Column("burst", BigInteger),
    Column("concurrent_calls", BigInteger),
    Column("tokens_per_minute", BigInteger),
    Column("documents", BigInteger),
    Column("size_bytes", BigInteger),
    Column("weight", Double, nullable=False),
)

tenants: Final = Table(
    "tenants",
    metadata,
    _tenant(),
    Column("tier", Text, ForeignKey("aisdk.tiers.tier"), nullable=False),
    Column("state", Text, nullable=False, server_default=text("'active'")),
    Column("settings", JSONB, nullable=False, server_default=text("'{}'")),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("updated_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
)

stores: Final = Table(
    "stores",
    metadata,
    _tenant(),
    Column("language", Text, nullable=False),
    Column("embedding_model", Text),
    Column("embedding_dimension", Integer),
    Column("chunk_count", BigInteger, nullable=False, server_default=text("0")),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("document_count", BigInteger, nullable=False, server_default=text("0")),
    Column("size_bytes", BigInteger, nullable=False, server_default=text("0")),
    Column(
        "generation",
        BigInteger,
        nullable=False,
        server_default=text(
            "((EXTRACT(epoch FROM clock_timestamp()) * (1000000)::numeric))::bigint"
        ),
    ),
    ForeignKeyConstraint(["tenant_id"], ["aisdk.tenants.tenant_id"], name="stores_tenant"),
)

documents: Final = Table(
    "documents",
    metadata,
    _tenant(),
    Column("document_id", Uuid, primary_key=True),
    Column("source", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("metadata", JSONB, nullable=False),
    Column("content_key", LargeBinary, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("chunk_count", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("error_code", Text),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("updated_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    UniqueConstraint("tenant_id", "source", name="documents_source"),
)

chunks: Final = Table(
    "chunks",
    metadata,
    _tenant(),
    Column("chunk_id", BigInteger, primary_key=True, autoincrement=False),
    Column("document_id", Uuid, nullable=False),
    Column("start_char", Integer, nullable=False),
    Column("end_char", Integer, nullable=False),
    Column("heading", Text, nullable=False),
    Column("text", Text, nullable=False),
    ForeignKeyConstraint(
        ["tenant_id", "document_id"],
        ["aisdk.documents.tenant_id", "aisdk.documents.document_id"],
        name="chunks_document",
    ),
    Index("chunks_by_document", "tenant_id", "document_id", "start_char"),
)

chunk_vectors: Final = Table(
    "chunk_vectors",
    metadata,
    _tenant(),
    Column("chunk_id", BigInteger, primary_key=True, autoincrement=False),
    Column("embedding", VECTOR, nullable=False),
    postgresql_partition_by="HASH (tenant_id)",
)

lexical_segments: Final = Table(
    "lexical_segments",
    metadata,
    _tenant(),
    Column("segment_id", Uuid, primary_key=True),
    Column("chunk_ids", LargeBinary, nullable=False),
    Column("lengths", LargeBinary, nullable=False),
    Column("chunk_count", Integer, nullable=False),
)

lexical_postings: Final = Table(
    "lexical_postings",
    metadata,
    _tenant(),
    Column("bucket", Integer, primary_key=True, autoincrement=False),
    Column("segment_id", Uuid, primary_key=True),
    Column("payload", LargeBinary, nullable=False),
    ForeignKeyConstraint(
        ["tenant_id", "segment_id"],
        ["aisdk.lexical_segments.tenant_id", "aisdk.lexical_segments.segment_id"],
        name="lexical_postings_segment",
        ondelete="CASCADE",
    ),
)

lexical_tombstones: Final = Table(
    "lexical_tombstones",
    metadata,
    _tenant(),
    Column("chunk_id", BigInteger, primary_key=True, autoincrement=False),
)


def _keys(name: str, *further: ForeignKeyConstraint) -> Table:
    return Table(
        name,
        metadata,
        _tenant(),
        Column("key", Text, primary_key=True),
        Column("verb", Text, nullable=False),
        Column("fingerprint", LargeBinary, nullable=False),
        Column("holder", Text, nullable=False),
        Column("leased_until", DateTime(timezone=True), nullable=False),
        Column("answer", LargeBinary),
        Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
        Index(f"{name}_by_age", "tenant_id", "created_at"),
        *further,
    )


idempotency: Final = _keys(
    "idempotency",
    ForeignKeyConstraint(["tenant_id"], ["aisdk.tenants.tenant_id"], name="idempotency_tenant"),
)

platform_idempotency: Final = _keys("platform_idempotency")

usage: Final = Table(
    "usage",
    metadata,
    _tenant(),
    Column("hour", DateTime(timezone=True), primary_key=True),
    Column("verb", Text, primary_key=True),
    Column("calls", BigInteger, nullable=False),
    Column("failures", BigInteger, nullable=False),
    Column("tokens", BigInteger, nullable=False),
    Column("duration_ms", Double, nullable=False),
    ForeignKeyConstraint(["tenant_id"], ["aisdk.tenants.tenant_id"], name="usage_tenant"),
)

jobs: Final = Table(
    "jobs",
    metadata,
    _tenant(),
    Column("job_id", Uuid, primary_key=True),
    Column("verb", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("request", LargeBinary),
    Column("host", Text, nullable=False),
    Column("holder", Text, nullable=False),
    Column("leased_until", DateTime(timezone=True), nullable=False),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("done", BigInteger, nullable=False, server_default=text("0")),
    Column("failed", BigInteger, nullable=False, server_default=text("0")),
    Column("total", BigInteger),
    Column("answer", LargeBinary),
    Column("error", JSONB),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("updated_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("ended_at", DateTime(timezone=True)),
    Column("chunks", BigInteger, nullable=False, server_default=text("0")),
    Column("started_at", DateTime(timezone=True)),
    ForeignKeyConstraint(["tenant_id"], ["aisdk.tenants.tenant_id"], name="jobs_tenant"),
    Index("jobs_by_age", "tenant_id", "created_at", "job_id"),
)
