"""The driver's connection: how a transaction on it ends, and how it is given up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import asyncpg
from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.ext.asyncio import AsyncConnection

from aisdk.core.storage.translation import LOST
from aisdk.errors import AisdkError

__all__ = [
    "Farewells",
    "HastyConnection",
    "abandoned",
    "affected",
    "driver_of",
    "give_up",
    "refuse_lost",
    "register_vectors",
    "unhurried",
    "within",
]

REST_S: Final = 1.0  # how long a cancelled statement may take to end, or a connection to close

TAKE_TIME: Final = "SELECT set_config('statement_timeout', $1, true)"


class Farewells:
    """How connections leave: work that goes on to its end, whoever is cancelled meanwhile."""

    def __init__(self) -> None:
        self._under_way: set[asyncio.Task[None]] = set()

    def begin(self, work: Coroutine[Any, Any, None]) -> asyncio.Future[None]:
        """Begins work, and gives what waits for its end and may be cancelled alone."""
        task = asyncio.create_task(work)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return asyncio.shield(task)

    async def over(self) -> None:
        """Waits for all that is under way now."""
        if self._under_way:
            await asyncio.wait(self._under_way)


class HastyConnection(asyncpg.Connection):  # type: ignore[misc]  # the driver ships no types
    """The driver's connection, which does not wait long for a farewell that may never come.

    A farewell that has begun goes on to its end, for a connection that is just dropped is one of
    the server's until that has noticed.

    Attributes:
        farewells: Where its own is kept.
        patience_s: How long it waits for each answer; ``None`` as long as usual.
    """

    farewells: Farewells
    patience_s: float | None = None
    _farewell: asyncio.Future[None] | None = None

    async def execute(self, query: str, *args: Any, **named: Any) -> Any:
        """The tag of a statement, or of several."""
        return await super().execute(query, *args, **{"timeout": self.patience_s} | named)

    async def fetch(self, query: str, *args: Any, **named: Any) -> Any:
        """The rows of a statement."""
        return await super().fetch(query, *args, **{"timeout": self.patience_s} | named)

    async def fetchrow(self, query: str, *args: Any, **named: Any) -> Any:
        """The first row of a statement."""
        return await super().fetchrow(query, *args, **{"timeout": self.patience_s} | named)

    async def close(self, *, timeout: float | None = None) -> None:  # noqa: ASYNC109  # its name
        """Closes within a second, and just ends the connection where that is not enough."""
        within_s = REST_S if timeout is None else min(timeout, REST_S)
        self._farewell = self.farewells.begin(self._say_farewell(within_s))
        await self._farewell

    async def _say_farewell(self, within_s: float) -> None:
        with suppress(TimeoutError):  # it has been ended then
            await super().close(timeout=within_s)

    def terminate(self) -> None:
        """Ends the connection at once, unless its farewell is going to."""
        if self._farewell is None:
            super().terminate()


async def driver_of(connection: AsyncConnection) -> Any:
    """The driver's connection below SQLAlchemy's."""
    return (await connection.get_raw_connection()).driver_connection


@asynccontextmanager
async def within(transaction: Any) -> AsyncIterator[None]:
    """Commits at the end and rolls back on an error; a cancelled connection is given up instead.

    A rollback would wait for an answer that a frozen network does not bring.
    """
    await transaction.start()
    try:
        yield
    except BaseException as error:
        if not isinstance(error, asyncio.CancelledError):
            await transaction.rollback()
        raise
    await transaction.commit()


@asynccontextmanager
async def unhurried(connection: HastyConnection, left_s: float | None) -> AsyncIterator[None]:
    """Lets statements of the transaction that is open take as long as the call may.

    What ends them is the call's deadline, and not the time that one statement has otherwise.

    Args:
        connection: The driver's.
        left_s: What the call has left; ``None`` where it has no deadline, and nothing changes.
    """
    if left_s is None:
        yield
        return
    connection.patience_s = left_s + REST_S  # the deadline comes first
    try:
        await connection.execute(TAKE_TIME, str(int(connection.patience_s * 1_000)))
        yield
    finally:
        connection.patience_s = None


async def give_up(connection: AsyncConnection) -> None:
    """Ends a connection on which a statement may have been cancelled, within two short times.

    The driver has asked the server to end the statement, and lets the next one wait for the
    answer; closing at once would take the request back. SQLAlchemy has begun the same already
    where it saw the cancellation, and would connect again if it were asked for the driver's.
    """
    if connection.invalidated:
        return
    driver = await driver_of(connection)
    if driver is None:  # cancelled when SQLAlchemy had let go of it
        return
    try:
        with suppress(asyncpg.PostgresError, asyncio.CancelledError):
            await driver.execute("ROLLBACK", timeout=REST_S)
        await driver.close()
    except LOST:
        driver.terminate()
    finally:
        await connection.invalidate()


async def abandoned(opening: asyncio.Task[HastyConnection]) -> None:
    """Closes a connection that nobody waits for any more, once it is open or has taken long."""
    await asyncio.wait([opening], timeout=REST_S)
    opening.cancel()
    with suppress(asyncio.CancelledError, AisdkError, asyncpg.PostgresError, *LOST):
        await (await opening).close()


def affected(tag: str) -> int:
    """How many rows a command changed, by its tag, such as ``DELETE 3``."""
    return int(tag.rsplit(maxsplit=1)[-1])


def refuse_lost(connection: Any, *_: object) -> None:
    """Has the pool make new connections where the server has closed the old ones meanwhile."""
    if connection.driver_connection.is_closed():
        raise InvalidatePoolError


async def register_vectors(connection: Any) -> None:
    """Binary vectors as the driver's bytes: four bytes of header and big-endian float32."""
    schema = await connection.fetchval(
        "SELECT n.nspname FROM pg_type AS t JOIN pg_namespace AS n ON n.oid = t.typnamespace "
        "WHERE t.typname = 'vector'"
    )
    if schema is not None:
        await connection.set_type_codec(
            "vector", schema=schema, encoder=bytes, decoder=bytes, format="binary"
        )
