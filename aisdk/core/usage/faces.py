"""The faces of the usage domain."""

from __future__ import annotations

from aisdk.core.runtime.faces import Face, blocking, bound, hosted
from aisdk.core.usage.service import UsageService

__all__ = ["AsyncUsage", "ClientUsage", "Usage"]


class AsyncUsage(Face[UsageService]):
    """What a tenant has used, awaited."""

    __slots__ = ()

    limits = bound(UsageService.limits)
    list = bound(UsageService.list)


class Usage(Face[UsageService]):
    """What a tenant has used, for notebook cells."""

    __slots__ = ()

    limits = blocking(UsageService.limits)
    list = blocking(UsageService.list)


class ClientUsage(Face[UsageService]):
    """What any tenant has used, awaited; the tenant comes first."""

    __slots__ = ()

    limits = hosted(UsageService.limits)
    list = hosted(UsageService.list)
