"""What surrounds every verb: a list of small steps with one signature."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from inspect import Signature
from typing import Any, TypeAlias, TypeVar, cast

from aisdk.core.runtime.options import CallOptions

__all__ = ["Call", "Guard", "Limits", "Proceed", "Standing", "Step", "Verb"]

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Verb:
    """What the guard knows of an operation.

    Attributes:
        name: Domain and method, such as ``rag.query``; also the name of its log event.
        reads: Whether it leaves the tenant's data as they are.
        bulk: Whether it may work through a whole corpus and so has the long deadline.
        rows: What its answer is, or has rows of, where that is kept for repetitions.
        stored: Whether what it writes is in the database.
        charged: Whether it counts against the tenant's rates.
        signature: Of what a call is given, by which the same request is known however it is
            written.
    """

    name: str
    reads: bool
    bulk: bool = False
    rows: type[Any] | None = None
    stored: bool = True
    charged: bool = True
    signature: Signature | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Limits:
    """What a tenant may use; ``None`` is no limit.

    Attributes:
        requests_per_minute: Calls a minute, for reads and for writes each.
        burst: Calls at once, after a pause.
        concurrent_calls: Calls that run at a time in one client.
        tokens_per_minute: Tokens a minute that models are asked for.
        documents: Documents stored.
        size_bytes: Bytes of their sources and metadata.
        weight: Share of the service under load, in proportion to that of other tenants.
    """

    requests_per_minute: int | None = None
    burst: int | None = None
    concurrent_calls: int | None = None
    tokens_per_minute: int | None = None
    documents: int | None = None
    size_bytes: int | None = None
    weight: float = 4.0


@dataclass(frozen=True, slots=True)
class Standing:
    """How a tenant stands with the platform.

    Attributes:
        tier: The name of its tier.
        active: Whether it is served.
        limits: Those of its tier, and its own where it has some.
        language: Of its store when that is made; ``None`` for the client's.
        since: When it was registered, in seconds of Unix time: tells it from an erased one of the
            same name.
    """

    tier: str
    active: bool
    limits: Limits
    language: str | None = None
    since: float = 0.0


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a verb by a tenant.

    Attributes:
        verb: What is called.
        tenant_id: By whom; empty where the platform itself calls.
        request_id: Names the call in logs.
        options: How it is to be made.
        arguments: What it was given, by position and by name.
        standing: The tenant's, once it is known.
    """

    verb: Verb
    tenant_id: str
    request_id: str
    options: CallOptions = CallOptions()  # noqa: RUF009  # frozen
    arguments: tuple[Sequence[Any], Mapping[str, Any]] = field(default=((), {}))
    standing: Standing | None = None


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
