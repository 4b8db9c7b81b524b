"""The first wall: no call without a well-formed tenant."""

from __future__ import annotations

import re
from typing import Final

from aisdk.errors import InvalidInput, TenantRequired

__all__ = ["checked_tenant"]

_TENANT: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


def checked_tenant(tenant_id: object) -> str:
    """The tenant's name if it is one.

    Args:
        tenant_id: 1 to 63 ASCII letters, digits, dots, hyphens or underscores, the first a letter
            or digit. Names are case-sensitive.

    Returns:
        The same name.

    Raises:
        TenantRequired: It is missing, empty or no text; also a ``ValueError``.
        InvalidInput: It has other characters or is too long.
    """
    if not isinstance(tenant_id, str) or not tenant_id:
        raise TenantRequired
    if not _TENANT.fullmatch(tenant_id):
        raise InvalidInput(
            "tenant_id is not a valid name.",
            hint="Use 1 to 63 letters, digits, dots, hyphens or underscores, as in acme-eu.",
        )
    return tenant_id
