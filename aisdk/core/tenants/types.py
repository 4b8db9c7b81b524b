"""The values of the tenants domain."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Literal, TypeAlias

from aisdk.core.results.frame import JSON
from aisdk.core.results.record import Shown
from aisdk.errors import InvalidInput

__all__ = ["Erased", "Receipt", "State", "TenantInfo", "Tier"]

State: TypeAlias = Literal["active", "suspended"]


@dataclass(frozen=True, slots=True)
class TenantInfo(Shown):
    """A row of ``tenants.list``.

    Attributes:
        tenant_id: Its name.
        tier: The name of its tier.
        state: ``active`` or ``suspended``.
        settings: Its own limits, under the names of a tier's, and its ``language``.
        documents: Documents stored.
        chunks: Chunks they are cut into.
        size_bytes: Bytes of their sources and metadata.
        created_at: When it was registered.
        updated_at: When tier, state or settings were last changed.
    """

    tenant_id: str
    tier: str
    state: str
    settings: Mapping[str, JSON]
    documents: int
    chunks: int
    size_bytes: int
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Tier(Shown):
    """A row of ``tenants.tiers``: what its tenants may use; ``None`` is no limit.

    Attributes:
        tier: Its name.
        requests_per_minute: Calls a minute, for reads and for writes each.
        burst: Calls at once, after a pause.
        concurrent_calls: Calls that run at a time in one client.
        tokens_per_minute: Tokens a minute that models are asked for.
        documents: Documents stored.
        size_bytes: Bytes of their sources and metadata.
        weight: Share of the service under load, in proportion to that of other tenants; at
            least 0.001.
    """

    tier: str
    requests_per_minute: int | None
    burst: int | None
    concurrent_calls: int | None
    tokens_per_minute: int | None
    documents: int | None
    size_bytes: int | None
    weight: float


@dataclass(frozen=True, slots=True)
class Receipt(Shown):
    """What ``tenants.erase`` removed.

    Attributes:
        tenant_id: The tenant that was erased.
        erased_at: When, in UTC, by the database's clock.
        counts: What was removed, by kind.
        digest: Signs the rest, 64 hexadecimal digits.
    """

    tenant_id: str
    erased_at: datetime
    counts: Mapping[str, int]
    digest: str

    def to_json(self) -> str:
        """The receipt as text, to be kept."""
        told = asdict(self) | {"erased_at": self.erased_at.isoformat()}
        return json.dumps(told, sort_keys=True)

    @classmethod
    def from_json(cls, text: str | bytes) -> Receipt:
        """The receipt that ``to_json`` wrote.

        Raises:
            InvalidInput: It is none.
        """
        try:
            told = json.loads(text)
            told["erased_at"] = datetime.fromisoformat(told["erased_at"])
            return cls(**told)
        except (KeyError, RecursionError, TypeError, ValueError):
            raise InvalidInput(
                "This is no receipt.", hint="Pass what Receipt.to_json wrote."
            ) from None


@dataclass(frozen=True, slots=True)
class Erased(Shown):
    """A row of ``tenants.verify_erased``.

    Attributes:
        kind: What it is about, such as ``chunks``.
        erased: How many the receipt says were removed.
        left: How many there are now.
        recreated: Whether a tenant of that name was registered after the erasure. What is left is
            counted by name, and may be that tenant's own.
    """

    kind: str
    erased: int
    left: int
    recreated: bool
