"""The first wall: no call without a tenant that is well-formed, known and active."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import replace
from functools import partial
from typing import Any, Final, TypeAlias, TypeGuard

from aisdk.core.runtime.guard import Call, Proceed, Standing
from aisdk.errors import InvalidInput, TenantRequired, TenantSuspended

__all__ = ["TenantStep", "checked_tenant", "current_standing", "is_tenant", "present_standing"]

Find: TypeAlias = Callable[[str], Awaitable[Standing]]

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
        raise TenantRequired(hint='Give a name such as "acme".')
    if not is_tenant(tenant_id):
        raise InvalidInput(
            "tenant_id is not a valid name.",
            hint="Use 1 to 63 letters, digits, dots, hyphens or underscores, as in acme-eu.",
        )
    return tenant_id


def is_tenant(value: object) -> TypeGuard[str]:
    """Whether a value could be a tenant's name."""
    return isinstance(value, str) and _TENANT.fullmatch(value) is not None


_standing: Final[ContextVar[Standing | None]] = ContextVar("aisdk_standing", default=None)
_ask: Final[ContextVar[Callable[[], Awaitable[Standing]] | None]] = ContextVar(
    "aisdk_ask", default=None
)


def current_standing() -> Standing | None:
    """How the tenant of the current call stands; ``None`` outside a call."""
    return _standing.get()


async def present_standing() -> Standing | None:
    """How the tenant of the current call stands by now; ``None`` outside a call.

    Long work asks before each piece of it, and goes by what it is told.

    Raises:
        TenantSuspended: It is not served any more.
        TenantUnknown: It was erased meanwhile.
    """
    ask, before = _ask.get(), _standing.get()
    if ask is None or before is None:
        return before
    standing = await ask()
    if standing.since != before.since:  # another one of its name: what is written tells it apart
        return before
    _standing.set(_served(standing))
    return standing


class TenantStep:
    """Refuses calls of tenants that are not served.

    Args:
        find: The tenant → how it stands; raises ``TenantUnknown``.
        again: The same during a call, which registers nobody.
    """

    def __init__(self, find: Find, again: Find) -> None:
        self._find = find
        self._again = again

    async def __call__(self, call: Call, proceed: Proceed) -> Any:
        """Goes on with the tenant's standing."""
        standing = _served(await self._find(call.tenant_id))
        tokens = _standing.set(standing), _ask.set(partial(self._again, call.tenant_id))
        try:
            return await proceed(replace(call, standing=standing))
        finally:
            _standing.reset(tokens[0])
            _ask.reset(tokens[1])


def _served(standing: Standing) -> Standing:
    if not standing.active:
        raise TenantSuspended(hint="Ask whoever runs this platform.")
    return standing
