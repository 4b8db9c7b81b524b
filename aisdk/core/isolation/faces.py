"""The face of the isolation domain: awaited."""

from __future__ import annotations

from aisdk.core.isolation.service import IsolationService
from aisdk.core.runtime.faces import Face, administered

__all__ = ["ClientIsolation"]


class ClientIsolation(Face[IsolationService]):
    """The probes of a client's walls, awaited."""

    __slots__ = ()

    verify = administered(IsolationService.verify)
