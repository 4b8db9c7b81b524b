"""Database: the pool of connections, transactions of one tenant, and errors in our words."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
    nullcontext,
)
from contextvars import ContextVar
from dataclasses import dataclass
from functools import wraps
from typing import Any, Concatenate, Final, ParamSpec, Protocol, TypeVar

import asyncpg
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from aisdk.core.results.frame import from_stored
from aisdk.core.storage.connection import (
    Farewells,
    HastyConnection,
    abandoned,
    driver_of,
    give_up,
    refuse_lost,
    register_vectors,
    within,
)
from aisdk.core.storage.translation import LOST, translated
from aisdk.errors import InternalError, Unavailable

__all__ = [
    "Around",
    "Database",
    "PoolOptions",
    "Repeat",
    "Server",
    "Stored",
    "repeated",
]

P = ParamSpec("P")
T = TypeVar("T")

SET_TENANT: Final = "SELECT set_config('aisdk.tenant_id', $1, true)"
XACT: Final = "SELECT pg_current_xact_id_if_assigned()::text"
XACT_STATUS: Final = "SELECT pg_xact_status($1::text::xid8)"


@dataclass(frozen=True, slots=True)
class PoolOptions:
    """How connections are made and kept; all times in seconds."""

    size: int
    wait_s: float
    connect_s: float
    statement_s: float
    idle_in_transaction_s: float
    command_s: float

    def server_settings(self) -> dict[str, str]:
        """What each connection tells the server."""
        return {
            "application_name": "aisdk",
            "statement_timeout": str(int(self.statement_s * 1000)),
            "idle_in_transaction_session_timeout": str(int(self.idle_in_transaction_s * 1000)),
        }


class Server(Protocol):
    """Where the database is."""

    def url(self) -> str:
        """``postgresql://…`` of the app role."""
        ...

    async def prepare(self) -> None:
        """Makes it ready for use, once."""
        ...

    async def revive(self) -> bool:
        """Starts it again after it could not be reached; whether that is ours to do."""
        ...


class Repeat(Protocol):
    """Runs a piece of work, again where it failed in a way that may pass."""

    async def __call__(self, work: Callable[[], Awaitable[T]], /) -> T:
        """The result of the work, which is safe to repeat."""
        ...


async def once(work: Callable[[], Awaitable[T]], /) -> T:
    """Runs the work and never again."""
    return await work()


@dataclass(frozen=True, slots=True)
class Around:
    """What surrounds the use of connections.

    Attributes:
        repeat: Runs a piece of work, again where the connection was lost.
        turn: Waits until a connection may be taken.
    """

    repeat: Repeat = once
    turn: Callable[[], AbstractAsyncContextManager[None]] = nullcontext


# The transaction that everything below a write joins, so that effect and answer end as one.
_unit: Final[ContextVar[tuple[Any, str, AsyncConnection] | None]] = ContextVar(
    "aisdk_unit", default=None
)


class Database:
    """One pool of connections of one role, shared by all tenants of a client.

    Nothing is connected before it is needed.

    Args:
        server: Where the database is, and how it is made ready.
        options: The pool's sizes and times.
        around: What surrounds the use of connections.
    """

    def __init__(self, server: Server, options: PoolOptions, around: Around | None = None) -> None:
        self._server = server
        self._options = options
        self._around = around or Around()
        self._ready: asyncio.Lock | None = asyncio.Lock()
        self._farewells = Farewells()
        self._abandoned: list[Any] = []
        self._engine: AsyncEngine = create_async_engine(
            "postgresql+asyncpg://",
            async_creator=self._connect,
            pool_size=options.size,
            max_overflow=0,
            pool_timeout=options.wait_s,
            hide_parameters=True,
            json_deserializer=from_stored,
        )
        event.listen(self._engine.sync_engine, "checkout", refuse_lost)

    @asynccontextmanager
    async def transaction(self, tenant_id: str) -> AsyncIterator[AsyncConnection]:
        """A transaction that sees and writes one tenant's rows only.

        Yields:
            A SQLAlchemy connection; committed at the end, rolled back on any error. Within a
            ``unit`` it is the unit's.
        """
        joined = self._joined(tenant_id)
        if joined is not None:
            yield joined
            return
        async with self._connected() as connection, within(connection.begin()):
            await connection.exec_driver_sql(SET_TENANT, (tenant_id,))
            yield connection

    @asynccontextmanager
    async def bulk(self, tenant_id: str) -> AsyncIterator[Any]:
        """The same as ``transaction``, but yields the driver's connection, for bulk transfer."""
        joined = self._joined(tenant_id)
        if joined is not None:
            yield await driver_of(joined)
            return
        async with self.driver() as connection, within(connection.transaction()):
            await connection.execute(SET_TENANT, tenant_id)
            yield connection

    @asynccontextmanager
    async def snapshot(self, tenant_id: str) -> AsyncIterator[Any]:
        """The driver's connection in a transaction that sees one moment and writes nothing."""
        async with self.driver() as connection:
            moment = connection.transaction(isolation="repeatable_read", readonly=True)
            async with within(moment):
                await connection.execute(SET_TENANT, tenant_id)
                yield connection

    @asynccontextmanager
    async def unit(self, tenant_id: str) -> AsyncIterator[AsyncConnection]:
        """A transaction that every other one of this tenant below it joins."""
        async with self.transaction(tenant_id) as connection:
            token = _unit.set((self, tenant_id, connection))
            try:
                yield connection
            finally:
                _unit.reset(token)

    def _joined(self, tenant_id: str) -> AsyncConnection | None:
        """The connection of the unit that we are in, which is of this tenant."""
        database, owner, connection = _unit.get() or (None, "", None)
        if database is not self:
            return None
        if owner != tenant_id:
            raise InternalError(
                "A transaction of another tenant was begun within a unit.",
                hint="Report it with its event in the log.",
            )
        return connection

    async def repeat(self, work: Callable[[], Awaitable[T]]) -> T:
        """The result of a whole transaction, begun again where the connection was lost.

        Within a ``unit`` it is a part of that, and not repeated by itself.
        """
        database, _, _ = _unit.get() or (None, "", None)
        return await (work() if database is self else self._around.repeat(work))

    async def exactly_once(self, tenant_id: str, work: Callable[[], Awaitable[T]]) -> T:
        """The result of a unit, begun again where it was lost; its effect is there once.

        Where the answer to COMMIT was lost, the server is asked what became of the transaction.

        Args:
            tenant_id: The tenant.
            work: What belongs to the unit; it has no other effects.

        Raises:
            Unavailable: The server does not know yet what became of an earlier attempt.
        """
        earlier: list[tuple[str, T]] = []

        async def attempt() -> T:
            if earlier and await self._was_committed(earlier[-1][0]):
                return earlier[-1][1]
            async with self.unit(tenant_id) as connection:
                result = await work()
                number = await (await driver_of(connection)).fetchval(XACT)
                if number is not None:
                    earlier.append((number, result))
            return result

        return await self.repeat(attempt)

    async def _was_committed(self, number: str) -> bool:
        async with self.driver() as connection:
            status = await connection.fetchval(XACT_STATUS, number)
        if status == "in progress":
            raise Unavailable(
                "The database has not ended an earlier attempt of this call yet.",
                hint="Try again in a few seconds.",
                dependency="database",
            )
        return bool(status == "committed")

    @asynccontextmanager
    async def driver(self) -> AsyncIterator[Any]:
        """The driver's connection outside a transaction, for functions that set their tenant.

        Nothing set on it survives: without a tenant it sees no rows.
        """
        async with self._connected() as connection:
            driver = await driver_of(connection)
            try:
                yield driver
            except Exception as error:
                if isinstance(error, LOST) or driver.is_closed() or driver.is_in_transaction():
                    await connection.invalidate()
                raise

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[AsyncConnection]:
        """A connection of the pool, given up after a cancellation.

        What a cancelled statement leaves is known to nobody for sure: a transaction may have been
        begun or not, and the driver may take the next one for a savepoint in it.
        """
        with translated():
            async with AsyncExitStack() as held:
                connection = None
                await held.enter_async_context(self._around.turn())
                try:
                    connection = await held.enter_async_context(self._engine.connect())
                    yield connection
                except asyncio.CancelledError:
                    await self._farewells.begin(self._depart(connection, held.pop_all()))
                    raise

    async def _depart(self, connection: AsyncConnection | None, held: AsyncExitStack) -> None:
        """Gives a connection up, and then its places in the pool and among those who use it."""
        async with held:
            if connection is not None:
                await give_up(connection)

    async def fetch(self, query: str, *arguments: Any) -> list[Any]:
        """The rows of one statement that only reads, on a connection of its own: the hot path."""

        async def fetch() -> list[Any]:
            async with self.driver() as connection:
                rows: list[Any] = await connection.fetch(query, *arguments)
                return rows

        return await self._around.repeat(fetch)

    async def close(self) -> None:
        """Closes every connection."""
        await self._farewells.over()
        await self._engine.dispose()

    def forget(self) -> None:
        """After a fork: lets go of the connections unclosed, for they are the parent's.

        They stay referenced: the driver would end them when they are collected.
        """
        self._abandoned.append(self._engine.sync_engine.pool)
        self._engine.sync_engine.dispose(close=False)
        self._farewells = Farewells()
        self._ready = asyncio.Lock()

    async def ready(self) -> None:
        """Starts, checks or migrates the database before its first use.

        Raises:
            ConfigError: It is not fit; the message says why and what mends it.
            Unavailable: It cannot be reached.
        """
        lock = self._ready
        if lock is None:
            return
        with translated():
            async with lock:
                if self._ready is not None:
                    await self._server.prepare()
                    self._ready = None

    async def _connect(self) -> Any:
        """Opens a connection; the pool logs its errors, so they are in our words already.

        Those that leave still count at the server, so they leave first.
        """
        await self.ready()
        await self._farewells.over()
        with translated():
            opening = asyncio.create_task(self._opened())
            try:
                return await asyncio.shield(opening)
            except asyncio.CancelledError:
                await self._farewells.begin(abandoned(opening))
                raise

    async def _opened(self) -> HastyConnection:
        try:
            connection = await self._open()
        except (OSError, asyncpg.CannotConnectNowError):
            if not await self._server.revive():
                raise
            connection = await self._open()
        try:
            await register_vectors(connection)
        except BaseException:  # a cancellation too: it is raised again
            connection.terminate()
            raise
        return connection

    async def _open(self) -> HastyConnection:
        options = self._options
        connection: HastyConnection = await asyncpg.connect(
            self._server.url(),
            timeout=options.connect_s,
            command_timeout=options.command_s,
            server_settings=options.server_settings(),
            connection_class=HastyConnection,
        )
        connection.farewells = self._farewells
        return connection


class Stored(Protocol):
    """What reads and writes in a database."""

    _database: Database


S = TypeVar("S", bound=Stored)


def repeated(
    method: Callable[Concatenate[S, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[S, P], Coroutine[Any, Any, T]]:
    """Marks a method that is one whole transaction and safe to begin again."""

    @wraps(method)
    async def whole(self: S, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._database.repeat(lambda: method(self, *args, **kwargs))

    return whole
