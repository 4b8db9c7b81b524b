"""Database: the pool of connections, transactions of one tenant, and errors in our words."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final, Protocol

import asyncpg
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError, InvalidatePoolError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from aisdk.errors import (
    ConfigError,
    Conflict,
    DeadlineExceeded,
    EmbeddingMismatch,
    InternalError,
    Unavailable,
)

__all__ = ["Database", "PoolOptions", "Server", "translated"]

SET_TENANT: Final = "SELECT set_config('aisdk.tenant_id', $1, true)"
REST_S: Final = 1.0  # how long a cancelled statement may take to end
LOST: Final = (
    OSError,
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # the server's farewell came between two statements
)
REFUSED: Final = (asyncpg.InvalidAuthorizationSpecificationError, asyncpg.InvalidCatalogNameError)


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

    async def revive(self) -> None:
        """Starts it again after it could not be reached, where that is ours to do."""
        ...


class Database:
    """One pool of connections of the app role, shared by all tenants of a client.

    Nothing is connected before it is needed.

    Args:
        server: Where the database is, and how it is made ready.
        options: The pool's sizes and times.
    """

    def __init__(self, server: Server, options: PoolOptions) -> None:
        self._server = server
        self._options = options
        self._ready: asyncio.Lock | None = asyncio.Lock()
        self._engine: AsyncEngine = create_async_engine(
            "postgresql+asyncpg://",
            async_creator=self._connect,
            pool_size=options.size,
            max_overflow=0,
            pool_timeout=options.wait_s,
            hide_parameters=True,
        )
        event.listen(self._engine.sync_engine, "checkout", _refuse_lost)

    @asynccontextmanager
    async def transaction(self, tenant_id: str) -> AsyncIterator[AsyncConnection]:
        """A transaction that sees and writes one tenant's rows only.

        Yields:
            A SQLAlchemy connection; committed at the end, rolled back on any error.
        """
        async with self._connected() as connection, connection.begin():
            await connection.exec_driver_sql(SET_TENANT, (tenant_id,))
            yield connection

    @asynccontextmanager
    async def bulk(self, tenant_id: str) -> AsyncIterator[Any]:
        """The same as ``transaction``, but yields the driver's connection, for bulk transfer."""
        async with self.driver() as connection, connection.transaction():
            await connection.execute(SET_TENANT, tenant_id)
            yield connection

    @asynccontextmanager
    async def driver(self) -> AsyncIterator[Any]:
        """The driver's connection outside a transaction, for functions that set their tenant.

        Nothing set on it survives: without a tenant it sees no rows.
        """
        async with self._connected() as connection:
            driver: Any = (await connection.get_raw_connection()).driver_connection
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
            async with self._engine.connect() as connection:
                try:
                    yield connection
                except asyncio.CancelledError:
                    await _await_end(connection)
                    await connection.invalidate()
                    raise

    async def fetch(self, query: str, *arguments: Any) -> list[Any]:
        """The rows of one statement on a connection of its own: the hot path."""
        async with self.driver() as connection:
            rows: list[Any] = await connection.fetch(query, *arguments)
            return rows

    async def close(self) -> None:
        """Closes every connection."""
        await self._engine.dispose()

    def forget(self) -> None:
        """After a fork: lets go of the connections unclosed, for they are the parent's."""
        self._engine.sync_engine.dispose(close=False)
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
        await self.ready()
        try:
            connection = await self._open()
        except (OSError, asyncpg.CannotConnectNowError):
            await self._server.revive()
            connection = await self._open()
        try:
            await _register(connection)
        except BaseException:
            connection.terminate()
            raise
        return connection

    async def _open(self) -> Any:
        options = self._options
        return await asyncpg.connect(
            self._server.url(),
            timeout=options.connect_s,
            command_timeout=options.command_s,
            server_settings=options.server_settings(),
        )


async def _await_end(connection: AsyncConnection) -> None:
    """Waits until the server has ended a cancelled statement.

    The driver has asked it to, and lets the next statement wait for the answer; closing at once
    would take the request back.
    """
    driver: Any = (await connection.get_raw_connection()).driver_connection
    with suppress(asyncpg.PostgresError, *LOST, asyncio.CancelledError):
        await driver.execute("ROLLBACK", timeout=REST_S)


def _refuse_lost(connection: Any, *_: object) -> None:
    """Has the pool make new connections where the server has closed the old ones meanwhile."""
    if connection.driver_connection.is_closed():
        raise InvalidatePoolError


async def _register(connection: Any) -> None:
    """Binary vectors as the driver's bytes: four bytes of header and big-endian float32."""
    schema = await connection.fetchval(
        "SELECT n.nspname FROM pg_type AS t JOIN pg_namespace AS n ON n.oid = t.typnamespace "
        "WHERE t.typname = 'vector'"
    )
    if schema is not None:
        await connection.set_type_codec(
            "vector", schema=schema, encoder=bytes, decoder=bytes, format="binary"
        )


@contextmanager
def translated() -> Iterator[None]:
    """Turns the driver's and the pool's errors into ours, without the statement's values."""
    try:
        yield
    except PoolTimeout as error:
        raise Unavailable(
            "No database connection became free in time.",
            hint="Send less at once, or raise AISDK_POOL_SIZE.",
            dependency="postgres",
        ) from error
    except DBAPIError as error:
        raise _translation(_driver_error(error)) from None
    except (asyncpg.PostgresError, *LOST) as error:
        raise _translation(error) from None


def _driver_error(error: DBAPIError) -> BaseException:
    cause = error.orig.__cause__ if error.orig is not None else None
    return cause or error.orig or error


def _translation(error: BaseException) -> Exception:
    state = getattr(error, "sqlstate", None)
    if state == "AI001":
        return EmbeddingMismatch(
            hint="Use the model the documents were added with, or add them again elsewhere."
        )
    if isinstance(error, asyncpg.QueryCanceledError):
        return DeadlineExceeded(
            "The database ended a statement that took too long.",
            hint="Ask for less at a time, or raise AISDK_STATEMENT_TIMEOUT_S.",
        )
    if isinstance(error, REFUSED):
        return ConfigError(
            f"The database refuses to let us in ({state}).",
            hint="Check role, password and database name in AISDK_DATABASE_URL.",
        )
    if isinstance(error, LOST):
        return Unavailable(
            "The database cannot be reached.",
            hint="Check that it runs and that AISDK_DATABASE_URL is right, then try again.",
            dependency="postgres",
        )
    if isinstance(error, (asyncpg.SerializationError, asyncpg.DeadlockDetectedError)):
        return Conflict("Two transactions were in each other's way.", hint="Try again.")
    return InternalError(f"The database refused a statement ({state or type(error).__name__}).")
