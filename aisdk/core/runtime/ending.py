"""How a call of many transactions ends: what it answers is kept in the last one, under its key."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

__all__ = ["UNKEPT", "Ending", "current_ending", "ends"]

Work: TypeAlias = Callable[[], Awaitable[Any]]


async def _alone(_: str, work: Work) -> Any:
    return await work()


@dataclass(frozen=True, slots=True)
class Ending:
    """The ways in which a call may end; without a key the work is all there is to them.

    Attributes:
        keep: Tenant and work → its result, which is the call's answer and kept with its effect.
        undo: Tenant and work → does the work, unless an answer was kept after all.
    """

    keep: Callable[[str, Work], Awaitable[Any]] = _alone
    undo: Callable[[str, Work], Awaitable[Any]] = _alone


UNKEPT: Final = Ending()

_ending: Final[ContextVar[Ending]] = ContextVar("aisdk_ending", default=UNKEPT)


def current_ending() -> Ending:
    """How the current call ends."""
    return _ending.get()


@contextmanager
def ends(ending: Ending) -> Iterator[None]:
    """Has the call in the block end so, and not as one around it."""
    token = _ending.set(ending)
    try:
        yield
    finally:
        _ending.reset(token)
