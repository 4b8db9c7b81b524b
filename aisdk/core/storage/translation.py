"""The driver's and the pool's errors in our words, without a statement's values."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import asyncpg
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from aisdk.errors import (
    AisdkError,
    Busy,
    ConfigError,
    Contention,
    DeadlineExceeded,
    EmbeddingMismatch,
    InternalError,
    TenantUnknown,
    Unavailable,
)

__all__ = ["LOST", "REFUSED", "UNKNOWN_HINT", "translated"]

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
OF_TENANTS: Final = ("stores_tenant", "idempotency_tenant", "usage_tenant")
ADDRESS: Final = "AISDK_DATABASE_URL (of the platform: AISDK_PLATFORM_DATABASE_URL)"
UNKNOWN_HINT: Final = "Create it: await client.tenants.create(…)."


@contextmanager
def translated() -> Iterator[None]:
    """Turns the driver's and the pool's errors into ours, without the statement's values."""
    try:
        yield
    except AisdkError:  # a DeadlineExceeded is an OSError too
        raise
    except PoolTimeout as error:
        raise Busy(
            "No database connection became free in time.",
            hint="Send less at once, or raise AISDK_POOL_SIZE.",
            dependency="database",
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
    for kinds, made in TRANSLATIONS:
        if isinstance(error, kinds):
            return made(state)
    if getattr(error, "constraint_name", None) in OF_TENANTS:
        return TenantUnknown(hint=UNKNOWN_HINT)
    return InternalError(
        f"The database refused a statement ({state or type(error).__name__}).",
        hint="Report it with its event in the log.",
    )


TRANSLATIONS: Final[tuple[tuple[Any, Callable[[Any], Exception]], ...]] = (
    (
        asyncpg.QueryCanceledError,
        lambda _: DeadlineExceeded(
            "The database ended a statement that took too long.",
            hint="Ask for less at a time, or raise AISDK_STATEMENT_TIMEOUT_S.",
        ),
    ),
    (
        REFUSED,
        lambda state: ConfigError(
            f"The database refuses to let us in ({state}).",
            hint=f"Check role, password and database name in {ADDRESS}.",
        ),
    ),
    (
        LOST,
        lambda _: Unavailable(
            "The database cannot be reached.",
            hint=f"Check that it runs, and {ADDRESS}, then try again.",
            dependency="database",
        ),
    ),
    (
        (asyncpg.SerializationError, asyncpg.DeadlockDetectedError),
        lambda _: Contention(hint="Try again."),
    ),
)
