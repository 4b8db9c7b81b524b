"""The face of the tenants domain: awaited, for whoever runs the platform."""

from __future__ import annotations

from aisdk.core.runtime.faces import Face, administered
from aisdk.core.tenants.service import TenantsService

__all__ = ["ClientTenants"]


class ClientTenants(Face[TenantsService]):
    """The register of tenants, awaited."""

    __slots__ = ()

    create = administered(TenantsService.create)
    get = administered(TenantsService.get)
    list = administered(TenantsService.list)
    update = administered(TenantsService.update)
    tiers = administered(TenantsService.tiers)
    put_tier = administered(TenantsService.put_tier)
    erase = administered(TenantsService.erase)
    verify_erased = administered(TenantsService.verify_erased)
    export = administered(TenantsService.export)
    import_ = administered(TenantsService.import_)
