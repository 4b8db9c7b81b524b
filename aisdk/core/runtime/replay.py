"""Writes that are not done twice: the same key and the same request get the first one's answer."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from functools import partial
from typing import Any, Final, Protocol

import msgpack

from aisdk.core.results.page import Rows
from aisdk.core.results.record import Shown
from aisdk.core.runtime.deadline import with_time
from aisdk.core.runtime.ending import UNKEPT, Ending, ends
from aisdk.core.runtime.fingerprint import fingerprint
from aisdk.core.runtime.guard import Call, Proceed
from aisdk.core.runtime.turns import InThread
from aisdk.errors import AisdkError, IdempotencyConflict, InProgress

__all__ = ["Kept", "Keys", "ReplayStep"]

LEASE_S: Final = 60.0
RELEASE_S: Final = 1.0
LOOK_S: Final = 0.02  # a claim that is in our way ends soon
SHORT_S: Final = 0.2  # how long a write of one transaction takes, more or less


class Kept(Protocol):
    """What is remembered of a key."""

    @property
    def verb(self) -> str:
        """What was called."""
        ...

    @property
    def fingerprint(self) -> bytes:
        """Of what it was given."""
        ...

    @property
    def holder(self) -> str:
        """The request that did or does it."""
        ...

    @property
    def answer(self) -> bytes | None:
        """What came of it; ``None`` while it runs."""
        ...

    @property
    def leased_s(self) -> float:
        """For how long the holder still has the key to itself, in seconds."""
        ...


class Keys(Protocol):
    """Where keys and answers are kept, in the database of what they are about."""

    def unit(self, tenant_id: str) -> AbstractAsyncContextManager[Any]:
        """A transaction for a write and its answer."""
        ...

    async def once(self, tenant_id: str, work: Callable[[], Awaitable[Any]]) -> Any:
        """The result of a write that is one transaction and bears no key."""
        ...

    async def lock(self, tenant_id: str, key: str) -> bool:
        """Takes the key for the rest of the unit; whether it was free."""
        ...

    async def find(self, tenant_id: str, key: str) -> Kept | None:
        """What is remembered of the key; nobody changes it before the unit ends."""
        ...

    async def keep(self, tenant_id: str, key: str, kept: Any) -> None:
        """Remembers a key."""
        ...

    async def renew(self, tenant_id: str, key: str, holder: str, lease_s: float) -> None:
        """Gives the holder the key for so many seconds from now."""
        ...

    async def release(self, tenant_id: str, key: str, holder: str) -> None:
        """Gives the key back that was not answered."""
        ...


class Repeat(Protocol):
    """Runs a whole transaction, and again where its connection was lost."""

    async def __call__(self, work: Callable[[], Awaitable[Any]], /) -> Any:
        """The result of the work."""
        ...


class ReplayStep:
    """Does each write once.

    A write of one transaction with a key stores its answer in the same transaction, so that a
    repetition after a lost COMMIT finds it; without a key the database is asked what became of the
    transaction. A write of many transactions holds its key by a lease that it renews; what it did
    before it was killed is found unchanged by whoever does it again, or is done in its last one,
    which keeps the answer too (`current_ending`). Where a lease ended too soon and two did it, the
    first answer is that of both.

    Args:
        keys: Where keys and answers are kept.
        repeat: Runs whole transactions, and again where a connection was lost.
        kept: Makes what is kept of a key from its fields.
        in_thread: Runs blocking work in a thread.
    """

    def __init__(
        self, keys: Keys, repeat: Repeat, kept: Callable[..., Any], in_thread: InThread
    ) -> None:
        self._keys = keys
        self._repeat = repeat
        self._kept = kept
        self._in_thread = in_thread

    async def __call__(self, call: Call, proceed: Proceed) -> Any:
        """The answer of the first call with this key."""
        key = call.options.idempotency_key
        if call.verb.reads:
            return await proceed(call)
        if key is not None:
            request = await self._in_thread(_Request, call, key)  # a frame may be large
            return await (self._leased if call.verb.bulk else self._whole)(request, proceed)
        if call.verb.bulk or not call.verb.stored:
            with ends(UNKEPT):
                return await proceed(call)

        async def work() -> Any:
            return await proceed(call)

        return await self._keys.once(call.tenant_id, work)

    async def _whole(self, request: _Request, proceed: Proceed) -> Any:
        """One transaction of the write and its answer."""
        call = request.call

        async def once() -> Any:
            async with self._keys.unit(call.tenant_id):
                kept = await self._taken(request)
                if kept is not None:
                    return _answer(call, kept)
                result = await proceed(call)
                await self._keep(request, call.tenant_id, _packed(result))
            return result

        return await self._repeat(once)

    async def _leased(self, request: _Request, proceed: Proceed) -> Any:
        """A write of many transactions, its key held from the first to the answer."""
        call = request.call

        async def claim() -> Any:
            async with self._keys.unit(call.tenant_id):
                kept = await self._taken(request)
                if kept is None:
                    await self._keep(request, call.tenant_id, None)
                return kept

        kept = await self._repeat(claim)
        if kept is not None:
            return _answer(call, kept)
        async with self._held(request):
            with ends(Ending(partial(self._end, request), partial(self._undo, request))):
                result = await proceed(call)
            if request.ended:
                return result

            async def given() -> Any:
                return result

            return await self._end(request, call.tenant_id, given)

    async def _end(
        self, request: _Request, tenant_id: str, work: Callable[[], Awaitable[Any]]
    ) -> Any:
        """The result of the call's last transaction, which keeps it as the answer."""

        async def once() -> Any:
            async with self._keys.unit(tenant_id):
                kept = await self._met(request, tenant_id)
                if kept is None or kept.answer is None:
                    result = await work()
                    await self._keep(request, tenant_id, _packed(result))
                    return result
                # Ours, whose COMMIT was lost, or of who took the key over when our lease had ended.
                return _answer(request.call, kept) if request.is_kept_as(kept) else await work()

        result = await self._repeat(once)
        request.ended = True
        return result

    async def _undo(
        self, request: _Request, tenant_id: str, work: Callable[[], Awaitable[Any]]
    ) -> None:
        """Does work in place of the last transaction, unless that was committed after all."""

        async def once() -> None:
            async with self._keys.unit(tenant_id):
                kept = await self._met(request, tenant_id)
                if kept is None or kept.answer is None:
                    await work()

        await self._repeat(once)

    async def _met(self, request: _Request, tenant_id: str) -> Any:
        """What is kept under the key that we hold; who asks about it meanwhile is told so."""
        key = request.name
        while not await self._keys.lock(tenant_id, key):  # noqa: ASYNC110  # nobody is told of it
            await asyncio.sleep(LOOK_S)
        return await self._keys.find(tenant_id, key)

    async def _taken(self, request: _Request) -> Any:
        """What is kept under the key, which is ours now; ``None`` where the work is to be done."""
        call = request.call
        if not await self._keys.lock(call.tenant_id, request.name):
            raise _running(SHORT_S)
        kept = await self._keys.find(call.tenant_id, request.name)
        if kept is None:
            return None
        if not request.is_kept_as(kept):
            raise IdempotencyConflict(hint="Use a new key for a new request.")
        if kept.answer is not None:
            return kept
        if kept.leased_s > 0 and kept.holder != call.request_id:
            raise _running(min(kept.leased_s, LEASE_S / 3))
        return None

    async def _keep(self, request: _Request, tenant_id: str, answer: bytes | None) -> None:
        call = request.call
        kept = self._kept(call.verb.name, request.mark, call.request_id, answer, LEASE_S)
        await self._keys.keep(tenant_id, request.name, kept)

    @asynccontextmanager
    async def _held(self, request: _Request) -> AsyncIterator[None]:
        """Renews the lease meanwhile, and gives it back where no answer comes."""
        call = request.call
        renewing = asyncio.create_task(self._renew(request))
        try:
            yield
        except BaseException:
            with suppress(AisdkError, TimeoutError, asyncio.CancelledError):
                async with asyncio.timeout(RELEASE_S):
                    with with_time(RELEASE_S):
                        await self._keys.release(call.tenant_id, request.name, call.request_id)
            raise
        finally:
            renewing.cancel()
            await asyncio.wait([renewing])

    async def _renew(self, request: _Request) -> None:
        call = request.call
        while True:
            await asyncio.sleep(LEASE_S / 3)
            with suppress(AisdkError):  # the next time will do; if none does, the lease ends
                await self._keys.renew(call.tenant_id, request.name, call.request_id, LEASE_S)


class _Request:
    """A call with its key.

    Attributes:
        call: The call.
        name: Under which its answer is kept.
        mark: A digest of what was asked.
        ended: Whether its answer is kept.
    """

    __slots__ = ("call", "ended", "mark", "name")

    def __init__(self, call: Call, key: str) -> None:
        self.call = call
        self.name = f"key:{key}"
        self.mark = fingerprint(_asked(call))
        self.ended = False

    def is_kept_as(self, kept: Kept) -> bool:
        """Whether what is kept under the key is of the same request."""
        return kept.verb == self.call.verb.name and kept.fingerprint == self.mark


def _asked(call: Call) -> dict[str, Any]:
    """What a call was given, by name and with its defaults; what only shows progress left out."""
    positional, named = call.arguments
    signature = call.verb.signature
    if signature is None:
        return {"": positional, **named}
    try:
        bound = signature.bind(*positional, **named)
    except TypeError:  # the method refuses it too
        return {"": positional, **named}
    bound.apply_defaults()
    asked = dict(bound.arguments)
    asked |= asked.pop("options", {})
    asked.pop("progress", None)
    return asked


def _running(wait_s: float) -> InProgress:
    return InProgress(hint=f"Ask again in {wait_s:.1f} s.", retry_after_s=wait_s)


def _packed(result: Any) -> bytes:
    if isinstance(result, Rows):
        result = ["rows", [list(record) for record in result.records]]
    elif isinstance(result, Shown):
        record: Any = result
        result = ["record", [getattr(record, field.name) for field in dataclasses.fields(record)]]
    else:
        result = ["value", result]
    packed: bytes = msgpack.packb(result, datetime=True)
    return packed


def _answer(call: Call, kept: Kept) -> Any:
    kind, value = msgpack.unpackb(kept.answer, timestamp=3)
    if kind == "value":
        return value
    assert call.verb.rows is not None  # noqa: S101  # a verb that returns records says of what
    if kind == "record":
        return call.verb.rows(*value)
    return Rows(call.verb.rows, [tuple(record) for record in value])
