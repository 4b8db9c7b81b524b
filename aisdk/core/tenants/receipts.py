"""Receipts of erasures: signed, and known again whatever else is passed for one."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic_core import to_json

from aisdk.core.runtime.options import is_whole
from aisdk.core.runtime.tenancy import is_tenant
from aisdk.core.tenants.types import Receipt

__all__ = ["is_genuine", "receipt_of"]


def receipt_of(
    secret: bytes, tenant_id: str, erased_at: datetime, counts: Mapping[str, int]
) -> Receipt:
    """A receipt that is signed with the secret."""
    return Receipt(tenant_id, erased_at, counts, _digest(secret, tenant_id, erased_at, counts))


def is_genuine(secret: bytes, receipt: Any) -> bool:
    """Whether it is a receipt that was signed with the secret, and not changed since."""
    if type(receipt) is not Receipt or not _is_signable(
        receipt.tenant_id, receipt.erased_at, receipt.counts
    ):
        return False
    digest: Any = receipt.digest
    expected = _digest(secret, receipt.tenant_id, receipt.erased_at, receipt.counts)
    return isinstance(digest, str) and digest.isascii() and hmac.compare_digest(digest, expected)


def _is_signable(tenant_id: Any, erased_at: Any, counts: Any) -> bool:
    """Whether each value is of its kind, so that a digest can be made of them."""
    return (
        is_tenant(tenant_id)
        and isinstance(erased_at, datetime)
        and erased_at.tzinfo is not None
        and isinstance(counts, dict)
        and all(
            isinstance(kind, str) and kind.isascii() and is_whole(count, 0, 2**63)
            for kind, count in counts.items()
        )
    )


def _digest(secret: bytes, tenant_id: str, erased_at: datetime, counts: Mapping[str, int]) -> str:
    message = to_json(["erased", tenant_id, erased_at.isoformat(), sorted(counts.items())])
    return hmac.digest(secret, message, "sha256").hex()
