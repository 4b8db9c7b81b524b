"""What every domain of a client stands on: databases, cache, limits and the guards."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import nullcontext
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from aisdk.part import part

if TYPE_CHECKING:
    from pydantic import SecretStr

    from aisdk.core.runtime.cached import Cache
    from aisdk.core.runtime.dependency import Dependency
    from aisdk.core.runtime.guard import Call, Guard, Step
    from aisdk.core.runtime.intake import Intake
    from aisdk.core.runtime.limits import Limiter
    from aisdk.core.runtime.rates import MemoryRates
    from aisdk.core.runtime.tracing import Telemetry
    from aisdk.core.runtime.turns import Turns
    from aisdk.core.storage.cache import RedisServer
    from aisdk.core.storage.embedded import EmbeddedServer
    from aisdk.core.storage.engine import Database, PoolOptions
    from aisdk.core.tenants.directory import Directory
    from aisdk.core.usage.recorder import Recorder
    from aisdk.settings import Settings

__all__ = ["Foundation"]

OWN_TIER: Final = "unlimited"  # of tenants that register themselves in an embedded database
PLATFORM_CONNECTIONS: Final = 2
THREADS: Final = 4  # for work on few cores
FETCHES: Final = 16  # threads that wait for other servers
CACHE_ASKS: Final = 16  # at once; half the connections, since a reply can outlive its caller


class Foundation:
    """The parts below the domains, each made when it is first needed."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.lock = threading.RLock()

    @part
    def intake(self) -> Intake:
        """Counts the calls that run."""
        from aisdk.core.runtime.intake import Intake

        return Intake()

    @part
    def guard(self) -> Guard:
        """The steps around every verb of a tenant, outermost first."""
        from aisdk.core.runtime.guard import Guard
        from aisdk.core.runtime.limits import LimitStep
        from aisdk.core.runtime.replay import ReplayStep
        from aisdk.core.runtime.tenancy import TenantStep
        from aisdk.core.storage.idempotency import IdempotencyKeys, Kept

        keys = IdempotencyKeys(self.database)
        return Guard(
            [
                *self._outer_steps(self._record),
                TenantStep(self.directory.find, self.directory.again),
                LimitStep(self.limiter),
                ReplayStep(keys, self.database.repeat, Kept, self.threads.thread),
            ]
        )

    @part
    def platform_guard(self) -> Guard:
        """The steps around every verb of the platform itself."""
        from aisdk.core.runtime.guard import Guard
        from aisdk.core.runtime.replay import ReplayStep
        from aisdk.core.storage.idempotency import Kept, PlatformKeys

        database = self.platform_database
        return Guard(
            [
                *self._outer_steps(None),
                self.directory.renew,
                ReplayStep(PlatformKeys(database), database.repeat, Kept, self.threads.thread),
            ]
        )

    def _outer_steps(self, record: Callable[[Call, float, str], None] | None) -> list[Step]:
        from aisdk.core.runtime.deadline import DeadlineStep
        from aisdk.core.runtime.logging import context_step, logger
        from aisdk.core.runtime.meter import MeterStep
        from aisdk.core.runtime.tracing import TraceStep

        settings = self._settings
        return [
            self.intake,
            context_step,
            TraceStep(_telemetry(settings)),
            MeterStep(logger(), record),
            DeadlineStep(call_s=settings.deadline_s, bulk_s=settings.bulk_deadline_s),
        ]

    def _record(self, call: Call, duration_ms: float, outcome: str) -> None:
        """Notes what a tenant has used; not of tenants that are not known."""
        if outcome not in ("tenant_unknown", "tenant_suspended", "client_closed"):
            failed = outcome not in ("ok", "cancelled")
            self.recorder.call(call.tenant_id, call.verb.name, duration_ms, failed=failed)

    @part
    def directory(self) -> Directory:
        """Knows how tenants stand; registers new ones where the database is our own."""
        from aisdk.core.tenants.directory import Directory

        async def enroll(tenant_id: str) -> None:
            from aisdk.core.tenants.store import TenantStore

            await TenantStore(self.platform_database).enroll(tenant_id, OWN_TIER, {})

        return Directory(self.database, enroll if self.server is not None else None)

    @part
    def threads(self) -> Turns:
        """The threads in which tenants' blocking work runs."""
        from aisdk.core.runtime.turns import Turns

        return Turns(THREADS, "thread")

    @part
    def fetches(self) -> Turns:
        """The threads in which tenants' sources are read over the network."""
        from aisdk.core.runtime.turns import Quarters

        return Quarters(FETCHES, "connection to other servers")

    @part
    def own_rates(self) -> MemoryRates:
        """What tenants have used of late, where no shared cache keeps it."""
        from aisdk.core.runtime.rates import MemoryRates

        return MemoryRates()

    @part
    def limiter(self) -> Limiter:
        """Charges tenants, in the shared cache's server where there is one."""
        from aisdk.core.runtime.limits import Limiter
        from aisdk.core.runtime.logging import logger
        from aisdk.core.runtime.rates import RedisRates

        shared = RedisRates(self.redis) if self.redis else self.own_rates
        service = self._cache_service()
        return Limiter(shared, self.own_rates, service, logger(), self.recorder.tokens)

    @part
    def recorder(self) -> Recorder:
        """Adds up what tenants use."""
        from aisdk.core.runtime.logging import logger
        from aisdk.core.usage.recorder import Recorder
        from aisdk.core.usage.store import UsageStore

        return Recorder(lambda: UsageStore(self.database), logger(), self.directory.since)

    @part
    def server(self) -> EmbeddedServer | None:
        """The embedded server, where no other database is set."""
        from aisdk.core.storage.embedded import EmbeddedServer

        return EmbeddedServer(self._settings.home) if self._settings.database_url is None else None

    @part
    def database(self) -> Database:
        """The pool of connections that serves tenants."""
        from aisdk.core.storage.embedded import APP_ROLE

        return self._database(APP_ROLE, self._settings.database_url, self._settings.pool_size)

    @part
    def platform_database(self) -> Database:
        """The connections of the role that registers tenants.

        Raises:
            ConfigError: There is no such role.
        """
        from aisdk.core.storage.embedded import PLATFORM_ROLE
        from aisdk.errors import ConfigError

        url = self._settings.platform_database_url
        if self.server is None and url is None:
            raise ConfigError(
                "This client may not register tenants.",
                hint="Set AISDK_PLATFORM_DATABASE_URL to the role that may.",
            )
        return self._database(PLATFORM_ROLE, url, PLATFORM_CONNECTIONS)

    def _database(self, role: str, url: SecretStr | None, size: int) -> Database:
        from aisdk.core.runtime.dependency import Dependency
        from aisdk.core.runtime.turns import Turns
        from aisdk.core.storage.embedded import APP_ROLE
        from aisdk.core.storage.engine import Around, Database
        from aisdk.core.storage.schema import check_app_role, check_platform_role
        from aisdk.core.storage.server import Embedded, External

        options = _pool_options(self._settings, size)
        turns = Turns(
            size,
            "database connection",
            hint="Send less at once, or raise AISDK_POOL_SIZE.",
            wait_s=options.wait_s,
            dependency="database",
        )
        around = Around(Dependency("database").call, turns.turn)
        if self.server is not None:
            return Database(Embedded(self.server, role), options, around)
        assert url is not None  # noqa: S101  # no embedded server means that a URL is set
        variable, check = (
            ("AISDK_DATABASE_URL", check_app_role)
            if role == APP_ROLE
            else ("AISDK_PLATFORM_DATABASE_URL", check_platform_role)
        )
        connect_s = self._settings.connect_timeout_s
        external = External(url.get_secret_value(), connect_s, variable, check)
        return Database(external, options, around)

    @part
    def redis(self) -> RedisServer | None:
        """The connections to the shared cache, where there is one."""
        from aisdk.core.storage.cache import RedisServer

        url = self._settings.dragonfly_url
        return RedisServer(url.get_secret_value()) if url else None

    @part
    def cache(self) -> Cache:
        """The shared cache, or one in this process."""
        from aisdk.core.runtime.cached import Cache
        from aisdk.core.runtime.logging import logger
        from aisdk.core.storage.cache import MemoryCache, RedisCache

        backend = RedisCache(self.redis) if self.redis else MemoryCache()
        return Cache(backend, logger(), self._cache_service())

    @part
    def cache_turns(self) -> Turns:
        """Whose turn it is to ask the shared cache's server."""
        from aisdk.core.runtime.turns import Turns

        return Turns(CACHE_ASKS, "turn at the cache", dependency="cache")

    def _cache_service(self) -> Dependency:
        from aisdk.core.runtime.dependency import Dependency

        turn = self.cache_turns.turn if self.redis else nullcontext
        return Dependency("cache", retries=0, turn=turn)

    @part
    def embedder(self) -> Any:
        """The embedding model, or ``None`` where there is none."""
        from aisdk.integrations.choice import choose_embedder

        return choose_embedder(self._settings)

    @part
    def analyzer(self) -> Callable[[str], Any]:
        """Language → its analyzer, made once."""
        from aisdk.core.lexical import Analyzer

        return lru_cache(maxsize=64)(Analyzer)


def _telemetry(settings: Settings) -> Telemetry:
    from aisdk.core.runtime.tracing import NoTelemetry
    from aisdk.integrations.opentelemetry import OpenTelemetry

    return OpenTelemetry() if settings.telemetry == "opentelemetry" else NoTelemetry()


def _pool_options(settings: Settings, size: int) -> PoolOptions:
    from aisdk.core.storage.engine import PoolOptions

    return PoolOptions(
        size=size,
        wait_s=settings.pool_timeout_s,
        connect_s=settings.connect_timeout_s,
        statement_s=settings.statement_timeout_s,
        idle_in_transaction_s=settings.idle_in_transaction_timeout_s,
        command_s=settings.command_timeout_s,
    )
