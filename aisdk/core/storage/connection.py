"""The driver's connection: how a transaction on it ends, and how it is given up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import asyncpg
from sqlalchemy.ext.asyncio import AsyncConnection

from aisdk.core.storage.translation import LOST

__all__ = ["HastyConnection", "driver_of", "give_up", "within"]

REST_S: Final = 1.0  # how long a cancelled statement may take to end, or a connection to close


class HastyConnection(asyncpg.Connection):  # type: ignore[misc]  # the driver ships no types
    """The driver's connection, which does not wait long for a farewell that may never come."""

    async def close(self, *, timeout: float | None = None) -> None:  # noqa: ASYNC109  # its name
        """Closes within a second, and just ends the connection where that is not enough."""
        with suppress(TimeoutError):  # it has been ended then
            await super().close(timeout=REST_S if timeout is None else min(timeout, REST_S))


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


async def give_up(connection: AsyncConnection) -> None:
    """Ends a connection on which a statement may have been cancelled, within two short times.

    The driver has asked the server to end the statement, and lets the next one wait for the
    answer; closing at once would take the request back. SQLAlchemy has done the same already
    where it saw the cancellation, and would connect again if it were asked for the driver's.
    """
    if connection.invalidated:
        return
    driver = await driver_of(connection)
    try:
        with suppress(asyncpg.PostgresError, asyncio.CancelledError):
            await driver.execute("ROLLBACK", timeout=REST_S)
        await driver.close()
    except LOST:
        driver.terminate()
    finally:
        await connection.invalidate()
