"""What surrounds every verb: a list of small steps with one signature."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias, TypeVar, cast

__all__ = ["Call", "Guard", "Proceed", "Step", "Verb"]

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Verb:
    """What the guard knows of an operation.

    Attributes:
        name: Domain and method, such as ``rag.query``; also the name of its log event.
        reads: Whether it leaves the tenant's data as they are.
        bulk: Whether it may work through a whole corpus and so has the long deadline.
    """

    name: str
    reads: bool
    bulk: bool = False


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a verb by a tenant."""

    verb: Verb
    tenant_id: str
    request_id: str


Proceed: TypeAlias = Callable[[Call], Awaitable[Any]]
Step: TypeAlias = Callable[[Call, Proceed], Awaitable[Any]]


class Guard:
    """Folds the steps around a verb's body, the first step outermost.

    A step is ``async (call, proceed) -> result``: it may refuse by raising, answer itself,
    or go on with ``await proceed(call)``.
    """

    __slots__ = ("_steps",)

    def __init__(self, steps: Sequence[Step]) -> None:
        self._steps = tuple(reversed(steps))

    async def run(self, call: Call, body: Callable[[], Awaitable[R]]) -> R:
        """The result of ``body`` run inside all steps."""

        async def innermost(_: Call) -> R:
            return await body()

        proceed: Proceed = innermost
        for step in self._steps:
            proceed = partial(_enter, step, proceed)
        return cast("R", await proceed(call))


def _enter(step: Step, proceed: Proceed, call: Call) -> Awaitable[Any]:
    return step(call, proceed)
