"""The parts of a client: with what they stand on, the only place that knows them all."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final

from aisdk.foundation import Foundation
from aisdk.part import part

if TYPE_CHECKING:
    from aisdk.core.documents.access import Access
    from aisdk.core.runtime.loop import LoopThread
    from aisdk.settings import Settings

__all__ = ["Parts"]

CONNECTED: Final = ("embedder", "recorder", "cache", "redis", "database", "platform_database")
CLOSED_IN_ORDER: Final = (*CONNECTED, "threads", "fetches")
FORGOTTEN: Final = ("server", *CONNECTED, "intake", "directory", "runner")


class Parts(Foundation):
    """The domains of a client, each made when it is first needed, and closed in order."""

    def __init__(self, settings: Settings, portal: LoopThread) -> None:
        super().__init__(settings)
        self._portal = portal
        self._warming: asyncio.Task[None] | None = None
        self._closed = False

    @part
    def documents(self) -> Any:
        """The documents service."""
        from aisdk.core.documents.adding import Parts as AddingParts
        from aisdk.core.documents.service import DocumentsService
        from aisdk.core.documents.store import DocumentStore
        from aisdk.core.results.progress import fitting

        return DocumentsService(
            guard=self.guard,
            store=DocumentStore(self.database),
            parts=AddingParts(
                self.embedder,
                self.analyzer,
                _language(self._settings),
                fitting,
                self.limiter.spend,
                _access(self._settings),
                self.threads.thread,
                self.fetches.thread,
            ),
            cursor_key=_cursor_key(self._settings),
            jobs=self.jobs,
        )

    @part
    def jobs(self) -> Any:
        """The jobs service."""
        from aisdk.core.jobs.service import JobsService
        from aisdk.core.jobs.store import JobStore

        store = JobStore(self.database)
        return JobsService(self.guard, store, self.runner, _cursor_key(self._settings))

    @part
    def runner(self) -> Any:
        """Works on jobs."""
        from aisdk.core.documents.types import SourceOutcome
        from aisdk.core.jobs.host import host_of
        from aisdk.core.jobs.runner import Runner
        from aisdk.core.jobs.store import JobStore
        from aisdk.core.jobs.types import Kind
        from aisdk.core.runtime.logging import logger

        kinds = {"documents.add": Kind(SourceOutcome, self._add)}
        store, host = JobStore(self.database), host_of(self._settings.home)
        return Runner(store, kinds, logger(), host, self.directory.is_suspended)

    async def _add(self, *given: Any) -> Any:
        """Does a job of ``documents.add``; that domain is made later than the runner."""
        return await self.documents.work(*given)

    @part
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
            in_thread=self.threads.thread,
            text=self._text,
        )

    async def _text(self, tenant_id: str, document_id: str) -> str:
        """The text of a document."""
        text: str = (await self.documents.get(tenant_id, document_id)).text
        return text

    @part
    def caching(self) -> Any:
        """The cache service."""
        from aisdk.core.cache.service import CacheService

        return CacheService(self.guard, self.cache)

    @part
    def usage(self) -> Any:
        """The usage service."""
        from aisdk.core.documents.store import DocumentStore
        from aisdk.core.usage.service import UsageService
        from aisdk.core.usage.store import UsageStore

        return UsageService(
            guard=self.guard,
            store=UsageStore(self.database),
            limiter=self.limiter,
            recorder=self.recorder,
            stored=DocumentStore(self.database).room,
        )

    @part
    def tenants(self) -> Any:
        """The tenants service."""
        from aisdk.core.runtime.logging import logger
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
            moving=Moving(self.platform_database, self.analyzer, logger()),
        )

    @part
    def isolation(self) -> Any:
        """The isolation service."""
        from aisdk.core.isolation.service import IsolationService
        from aisdk.core.isolation.subjects import Subjects
        from aisdk.core.runtime.logging import logger

        subjects = Subjects(
            database=self.database,
            platform=self.platform_database,
            documents=self.documents,
            rag=self.rag,
            caching=self.caching,
            usage=self.usage,
            jobs=self.jobs,
            cache=self.cache,
            limiter=self.limiter,
            record=self.recorder.tokens,
            export=self.tenants.moving.export,
            erase=self.tenants.erase,
        )
        return IsolationService(self.platform_guard, self.tenants, subjects, logger())

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
        embedder = await asyncio.to_thread(lambda: self.embedder)  # may ask a disk or a hub
        warm = getattr(embedder, "warm", None)
        if warm is not None and self._warming is None:
            self._warming = asyncio.create_task(_warm(warm))

    def close(self) -> None:
        """Closes what was made. Blocking; not on the portal's thread."""
        with self.lock:
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
        made = vars(self)
        if made.get("runner") is not None:
            await made["runner"].close()
        await self.intake.drain(self._settings.shutdown_s)
        if self._warming is not None:
            await asyncio.wait([self._warming])
        for name in CLOSED_IN_ORDER:
            if made.get(name) is not None:
                await made[name].close()

    def forget(self) -> None:
        """In a forked child: lets go of the parent's connections, model and lease, unclosed."""
        self.lock = threading.RLock()  # the parent's may be held by a thread that is not here
        made = vars(self)
        for name in FORGOTTEN:
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
        """Removes cache entries and rates, and what was used and is not stored yet."""
        self._parts.recorder.drop(tenant_id)
        self._parts.own_rates.forget(tenant_id)
        return {"cache_entries": await self._parts.cache.erase(tenant_id)}

    async def left(self, tenant_id: str) -> dict[str, int]:
        """How many there are."""
        return {"cache_entries": await self._parts.cache.left(tenant_id)}


def _language(settings: Settings) -> str:
    """The language of new stores, if there is such a one."""
    from aisdk.core.lexical import languages
    from aisdk.errors import ConfigError

    if settings.language not in languages():
        raise ConfigError(
            "AISDK_LANGUAGE is unknown.", hint=f"Write one of: {', '.join(languages())}."
        )
    return settings.language


def _access(settings: Settings) -> Access:
    """What documents may be read from."""
    from aisdk.core.documents.access import Access

    return Access(
        schemes=frozenset(settings.url_schemes),
        hosts=settings.url_hosts,
        private=settings.url_private,
        folders=settings.source_folders,
        timeout_s=settings.url_timeout_s,
    )


def _cursor_key(settings: Settings) -> bytes:
    """What signs cursors: the configured key, else the database's address."""
    secret = settings.secret_key or settings.database_url
    text = secret.get_secret_value() if secret else str(settings.home)
    return blake2b(text.encode(), digest_size=32, person=b"aisdk-cursor").digest()


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
