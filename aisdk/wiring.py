"""The parts of a client: the only file that knows them all and wires them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from functools import cached_property, lru_cache
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from pydantic import SecretStr

    from aisdk.core.results.progress import Progress
    from aisdk.core.runtime.cached import Cache
    from aisdk.core.runtime.guard import Call, Guard, Step
    from aisdk.core.runtime.intake import Intake
    from aisdk.core.runtime.limits import Limiter
    from aisdk.core.runtime.loop import LoopThread
    from aisdk.core.storage.cache import RedisServer
    from aisdk.core.storage.embedded import EmbeddedServer
    from aisdk.core.storage.engine import Database, PoolOptions
    from aisdk.core.tenants.directory import Directory
    from aisdk.core.usage.recorder import Recorder
    from aisdk.settings import Settings

__all__ = ["Parts"]

OWN_TIER: Final = "unlimited"  # of tenants that register themselves in an embedded database
PLATFORM_CONNECTIONS: Final = 2
CLOSED_IN_ORDER: Final = ("embedder", "recorder", "cache", "redis", "database", "platform_database")


class Parts:
    """The parts of a client, each made when it is first needed, and closed in order."""

    def __init__(self, settings: Settings, portal: LoopThread) -> None:
        self._settings = settings
        self._portal = portal
        self._lock = threading.RLock()
        self._warming: asyncio.Task[None] | None = None
        self._closed = False

    @cached_property
    def intake(self) -> Intake:
        """Counts the calls that run."""
        from aisdk.core.runtime.intake import Intake

        return Intake()

    @cached_property
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
                TenantStep(self.directory.find),
                LimitStep(self.limiter),
                ReplayStep(keys, self.database.repeat, Kept),
            ]
        )

    @cached_property
    def platform_guard(self) -> Guard:
        """The steps around every verb of the platform itself."""
        from aisdk.core.runtime.guard import Guard

        return Guard(self._outer_steps(None))

    def _outer_steps(self, record: Callable[[Call, float, str], None] | None) -> list[Step]:
        from aisdk.core.runtime.deadline import DeadlineStep
        from aisdk.core.runtime.logging import context_step, logger
        from aisdk.core.runtime.meter import MeterStep

        settings = self._settings
        return [
            self.intake,
            context_step,
            MeterStep(logger(), record),
            DeadlineStep(call_s=settings.deadline_s, bulk_s=settings.bulk_deadline_s),
        ]

    def _record(self, call: Call, duration_ms: float, outcome: str) -> None:
        """Notes what a tenant has used; not of tenants that are not known."""
        if outcome not in ("tenant_unknown", "tenant_suspended", "client_closed"):
            failed = outcome not in ("ok", "cancelled")
            self.recorder.call(call.tenant_id, call.verb.name, duration_ms, failed=failed)

    @cached_property
    def directory(self) -> Directory:
        """Knows how tenants stand; registers new ones where the database is our own."""
        from aisdk.core.tenants.directory import Directory

        async def enroll(tenant_id: str) -> None:
            from aisdk.core.tenants.store import TenantStore

            await TenantStore(self.platform_database).enroll(tenant_id, OWN_TIER, {})

        return Directory(self.database, enroll if self.server is not None else None)

    @cached_property
    def limiter(self) -> Limiter:
        """Charges tenants, in the shared cache's server where there is one."""
        from aisdk.core.runtime.dependency import Dependency
        from aisdk.core.runtime.limits import Limiter
        from aisdk.core.runtime.logging import logger
        from aisdk.core.runtime.rates import MemoryRates, RedisRates

        rates = MemoryRates()
        shared = RedisRates(self.redis) if self.redis else rates
        service = Dependency("cache", retries=0)
        return Limiter(shared, rates, service, logger(), self.recorder.tokens)

    @cached_property
    def recorder(self) -> Recorder:
        """Adds up what tenants use."""
        from aisdk.core.runtime.logging import logger
        from aisdk.core.usage.recorder import Recorder
        from aisdk.core.usage.store import UsageStore

        return Recorder(lambda: UsageStore(self.database), logger())

    @cached_property
    def server(self) -> EmbeddedServer | None:
        """The embedded server, where no other database is set."""
        from aisdk.core.storage.embedded import EmbeddedServer

        return EmbeddedServer(self._settings.home) if self._settings.database_url is None else None

    @cached_property
    def database(self) -> Database:
        """The pool of connections that serves tenants."""
        from aisdk.core.storage.embedded import APP_ROLE

        return self._database(APP_ROLE, self._settings.database_url, self._settings.pool_size)

    @cached_property
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
        from aisdk.core.runtime.limits import Turns
        from aisdk.core.storage.embedded import APP_ROLE
        from aisdk.core.storage.engine import Around, Database
        from aisdk.core.storage.schema import check_app_role, check_platform_role
        from aisdk.core.storage.server import Embedded, External

        options = _pool_options(self._settings, size)
        around = Around(Dependency("database").call, Turns(size, options.wait_s).turn)
        if self.server is not None:
            return Database(Embedded(self.server, role), options, around)
        assert url is not None  # noqa: S101  # no embedded server means that a URL is set
        check = check_app_role if role == APP_ROLE else check_platform_role
        external = External(url.get_secret_value(), self._settings.connect_timeout_s, check)
        return Database(external, options, around)

    @cached_property
    def redis(self) -> RedisServer | None:
        """The connections to the shared cache, where there is one."""
        from aisdk.core.storage.cache import RedisServer

        url = self._settings.dragonfly_url
        return RedisServer(url.get_secret_value()) if url else None

    @cached_property
    def cache(self) -> Cache:
        """The shared cache, or one in this process."""
        from aisdk.core.runtime.cached import Cache
        from aisdk.core.runtime.dependency import Dependency
        from aisdk.core.runtime.logging import logger
        from aisdk.core.storage.cache import MemoryCache, RedisCache

        backend = RedisCache(self.redis) if self.redis else MemoryCache()
        return Cache(backend, logger(), Dependency("cache", retries=0))

    @cached_property
    def embedder(self) -> Any:
        """The embedding model, or ``None`` where there is none."""
        return _embedder(self._settings)

    @cached_property
    def analyzer(self) -> Callable[[str], Any]:
        """Language → its analyzer, made once."""
        from aisdk.core.lexical import Analyzer

        return lru_cache(maxsize=64)(Analyzer)

    @cached_property
    def documents(self) -> Any:
        """The documents service."""
        from aisdk.core.documents.adding import Parts as AddingParts
        from aisdk.core.documents.service import DocumentsService
        from aisdk.core.documents.store import DocumentStore

        return DocumentsService(
            guard=self.guard,
            store=DocumentStore(self.database),
            parts=AddingParts(
                self.embedder,
                self.analyzer,
                _language(self._settings),
                _progress,
                self.limiter.spend,
            ),
            cursor_key=_cursor_key(self._settings),
        )

    @cached_property
    def rag(self) -> Any:
        """The rag service."""
        from aisdk.core.rag.service import RagService, warn_without_embedder
        from aisdk.core.rag.store import RagStore

        if self.embedder is None and self._settings.embedding == "auto":
            warn_without_embedder()
        return RagService(
            guard=self.guard,
            store=RagStore(self.database),
            embedder=self.embedder,
            analyzer=self.analyzer,
            cache=self.cache,
            cache_s=self._settings.query_cache_s,
            spend=self.limiter.spend,
        )

    @cached_property
    def caching(self) -> Any:
        """The cache service."""
        from aisdk.core.cache.service import CacheService

        return CacheService(self.guard, self.cache)

    @cached_property
    def usage(self) -> Any:
        """The usage service."""
        from aisdk.core.usage.service import UsageService
        from aisdk.core.usage.store import UsageStore

        return UsageService(self.guard, UsageStore(self.database), self.limiter, self.recorder)

    @cached_property
    def tenants(self) -> Any:
        """The tenants service."""
        from aisdk.core.tenants.moving import Moving
        from aisdk.core.tenants.service import TenantsService
        from aisdk.core.tenants.store import TenantStore

        store = TenantStore(self.platform_database)
        return TenantsService(
            guard=self.platform_guard,
            store=store,
            traces=_Traces(self),
            analyzer=self.analyzer,
            secret=_cursor_key(self._settings),
            moving=Moving(self.platform_database, self.analyzer),
        )

    @cached_property
    def isolation(self) -> Any:
        """The isolation service."""
        from aisdk.core.isolation.probes import Subjects
        from aisdk.core.isolation.service import IsolationService

        subjects = Subjects(
            database=self.database,
            documents=self.documents,
            rag=self.rag,
            caching=self.caching,
            usage=self.usage,
            cache=self.cache,
            limiter=self.limiter,
            record=self.recorder.tokens,
            export=self.tenants.moving.export,
        )
        return IsolationService(self.platform_guard, self.tenants, subjects)

    def start_server_early(self) -> None:
        """Lets an embedded server start while the rest is imported."""
        if self.server is None:
            return
        starting = threading.Thread(target=_quietly, args=(self.server.start,), daemon=True)
        starting.start()
        _ = self.database
        starting.join()

    async def ready(self) -> None:
        """Makes the database ready and begins to load the embedding model."""
        await self.database.ready()
        warm = getattr(self.embedder, "warm", None)
        if warm is not None and self._warming is None:
            self._warming = asyncio.create_task(_warm(warm))

    def close(self) -> None:
        """Closes what was made. Blocking; not on the portal's thread."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        made = vars(self)
        if set(CLOSED_IN_ORDER) & made.keys():
            self._portal.call(self._aclose)
        self._portal.close()
        if made.get("server") is not None:
            made["server"].close()

    async def _aclose(self) -> None:
        await self.intake.drain(self._settings.shutdown_s)
        if self._warming is not None:
            await asyncio.wait([self._warming])
        made = vars(self)
        for name in CLOSED_IN_ORDER:
            if made.get(name) is not None:
                await made[name].close()

    def forget(self) -> None:
        """In a forked child: lets go of the parent's connections, model and lease, unclosed."""
        made = vars(self)
        for name in ("server", *CLOSED_IN_ORDER, "intake", "directory"):
            if made.get(name) is not None:
                made[name].forget()


class _Traces:
    """What a client holds of tenants outside the database."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def forget(self, tenant_id: str | None = None) -> None:
        """Has this client ask the register again."""
        self._parts.directory.forget(tenant_id)

    async def erase(self, tenant_id: str) -> dict[str, int]:
        """Removes cache entries and rates."""
        return {"cache_entries": await self._parts.cache.erase(tenant_id)}

    async def left(self, tenant_id: str) -> dict[str, int]:
        """How many there are."""
        return {"cache_entries": await self._parts.cache.left(tenant_id)}


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


def _embedder(settings: Settings) -> Any:
    kind = settings.embedding
    if kind == "auto":
        kind = "remote" if settings.embedding_url else "minilm"
        return _remote(settings) if kind == "remote" else _minilm(settings, needed=False)
    if kind == "remote":
        return _remote(settings)
    return _minilm(settings, needed=True) if kind == "minilm" else None


def _remote(settings: Settings) -> Any:
    from aisdk.errors import ConfigError
    from aisdk.integrations.openai_compatible import OpenAICompatible

    if settings.embedding_url is None or settings.embedding_model is None:
        raise ConfigError(
            "A remote embedding model is asked for, but not named.",
            hint="Set AISDK_EMBEDDING_URL and AISDK_EMBEDDING_MODEL.",
        )
    return OpenAICompatible(
        url=settings.embedding_url,
        model=settings.embedding_model,
        dimension=settings.embedding_dimension,
        api_key=settings.embedding_api_key,
    )


def _minilm(settings: Settings, *, needed: bool) -> Any:
    from aisdk.errors import ConfigError
    from aisdk.integrations.minilm import MiniLM, find_weights

    try:
        weights = find_weights(settings.minilm_path)
        if weights is None and not needed:
            return None
        return MiniLM(weights=weights, home=settings.home, precision=settings.embedding_precision)
    except ConfigError:
        if needed or settings.minilm_path is not None:
            raise
        return None


def _language(settings: Settings) -> str:
    """The language of new stores, if there is such a one."""
    from aisdk.core.lexical import languages
    from aisdk.errors import ConfigError

    if settings.language not in languages():
        raise ConfigError(
            "AISDK_LANGUAGE is unknown.", hint=f"Write one of: {', '.join(languages())}."
        )
    return settings.language


def _cursor_key(settings: Settings) -> bytes:
    """What signs cursors: the configured key, else the database's address."""
    secret = settings.secret_key or settings.database_url
    text = secret.get_secret_value() if secret else str(settings.home)
    return blake2b(text.encode(), digest_size=32, person=b"aisdk-cursor").digest()


def _progress(title: str, unit: str, total: int | None) -> Progress:
    """The progress display that fits where we run."""
    from aisdk.notebook.progress import choose_progress

    return choose_progress()(title, unit, total)


async def _warm(warm: Callable[[], Any]) -> None:
    """Loads the model ahead of its use; a failure shows with the first use."""
    from aisdk.core.runtime.logging import logger
    from aisdk.errors import AisdkError

    try:
        await warm()
    except AisdkError as error:
        logger().warning("embedding.not_ready", tenant_id=None, error=error.code)


def _quietly(start: Callable[[], None]) -> None:
    """Starts ahead; a failure shows when the database is made ready."""
    from aisdk.core.runtime.logging import logger
    from aisdk.errors import AisdkError

    try:
        start()
    except AisdkError as error:
        logger().debug("embedded.not_started", tenant_id=None, error=error.code)
