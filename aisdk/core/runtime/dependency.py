"""The one way out of the process: few attempts, each timed, all within the call's deadline."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Final, TypeVar

from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception,
    stop_after_attempt,
    wait_random_exponential,
)

from aisdk.core.runtime.breaker import Breaker, Open, Permit
from aisdk.core.runtime.deadline import current_scope, remaining_s
from aisdk.core.runtime.logging import logger
from aisdk.core.runtime.options import MOST_RETRIES
from aisdk.core.runtime.tracing import traced
from aisdk.errors import (
    AisdkError,
    Busy,
    CircuitOpen,
    Contention,
    DeadlineExceeded,
    Unavailable,
)

__all__ = ["LONGEST_WAIT_S", "Dependency", "RetryBudget", "TryAgain"]

LONGEST_WAIT_S: Final = 60.0  # asked to wait longer than this, a call gives up at once
FAIR_S: Final = 1.0  # a deadline that left a service less time than this says nothing about it
_BACKOFF: Final = wait_random_exponential(multiplier=0.2, max=5.0)  # full jitter

T = TypeVar("T")


class TryAgain(Exception):
    """Raised by a call that failed in a way that may pass.

    Args:
        reason: What happened, as the end of a sentence: "answered with status 503".
        after_s: How long the other side asked to be left alone, in seconds.
    """

    def __init__(self, reason: str, *, after_s: float | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.after_s = after_s


class RetryBudget:
    """How many retries each tenant may add to its traffic: a tenth of it, though ten at first.

    Its calls count from the first retry on; when they have paid for the retries and for ten
    more, it begins anew. So ``n`` calls while nothing works add ten retries or n/10, whichever
    is more.

    Args:
        calls_a_retry: Calls that pay for one retry.
        reserve: Retries that need not be paid for before.
        tenants: How many tenants it remembers.

    Source:
        Retry budgets as in the Google SRE book, chapter 21.
    """

    def __init__(
        self, *, calls_a_retry: int = 10, reserve: int = 10, tenants: int = 10_000
    ) -> None:
        self._calls_a_retry = calls_a_retry
        self._reserve = reserve
        self._most = tenants
        self._spent: OrderedDict[str, tuple[int, int]] = OrderedDict()  # calls and retries

    def earn(self, tenant_id: str) -> None:
        """A first attempt pays for its share of a retry."""
        if tenant_id not in self._spent:
            return
        calls, retries = self._spent.pop(tenant_id)
        if calls + 1 < (retries + self._reserve) * self._calls_a_retry:
            self._spent[tenant_id] = (calls + 1, retries)

    def spend(self, tenant_id: str) -> bool:
        """Takes one retry; whether there was one."""
        calls, retries = self._spent.get(tenant_id, (1, 0))
        if retries >= max(self._reserve, calls // self._calls_a_retry):
            return False
        self._spent[tenant_id] = (calls, retries + 1)
        if len(self._spent) > self._most:
            self._spent.popitem(last=False)
        return True


class Dependency:
    """A service that aisdk depends on: how often, how long and whether at all it is asked.

    Used on one event loop.

    Args:
        name: What is called, as users know it: "embedding service".
        breaker: Leaves the service alone while it fails; one of its own by default.
        retries: How often one use may be tried again, 0 to 3.
        turn: Waits until it may be asked; that time is not the service's.
    """

    def __init__(
        self,
        name: str,
        *,
        breaker: Breaker | None = None,
        retries: int = MOST_RETRIES,
        turn: Callable[[], AbstractAsyncContextManager[None]] = nullcontext,
    ) -> None:
        self.name = name
        self.retries = retries
        self._turn = turn
        self.breaker = breaker or Breaker(name)
        self._budget = RetryBudget()

    async def call(self, work: Callable[[], Awaitable[T]], *, timeout_s: float | None = None) -> T:
        """The result of ``work``, tried up to four times while the deadline of the verb allows it.

        What is tried again: ``TryAgain``, a lost or refused connection, a timeout, two
        transactions in each other's way. Between attempts it waits at random between nothing and
        a bound that doubles (0.2 s to 5 s), or as long as the other side asked for. It gives up
        at once when that wait would outlive the deadline, when the call's retries are used up, or
        when the tenant's retries would be more than a tenth of its traffic, and than ten. Every
        other error of ``work``, and cancellation, passes as it is.

        Args:
            work: Makes one attempt; safe to repeat.
            timeout_s: How long one attempt may take, in seconds.

        Raises:
            Unavailable: The last attempt failed too.
            Busy: Its turn did not come in time.
            CircuitOpen: The service failed too often of late and is left alone.
            DeadlineExceeded: The deadline of the verb passed during an attempt.

        Source:
            Exponential backoff with full jitter as in the AWS Architecture Blog, 2015.
        """
        self._budget.earn(_tenant())
        attempt = traced(lambda: self._attempt(work, timeout_s), self.name)
        async with self._turn():
            try:
                return await attempt()
            except Exception as error:
                if not _may_pass(error):
                    raise
                failures = [error]  # emptied, lest it stays in a cycle with this frame
            return await self._repeat(failures, attempt)

    async def _repeat(self, failures: list[Exception], attempt: Callable[[], Awaitable[T]]) -> T:
        """What follows a first attempt that failed; a call that goes well does without."""

        async def following() -> T:
            if failures:
                raise failures.pop()
            return await attempt()

        tries = _Tries(self)
        engine = AsyncRetrying(
            stop=tries.must_stop,
            wait=_wait_s,
            retry=retry_if_exception(_may_pass),
            before_sleep=self._tell_retry,
            reraise=True,
        )
        try:
            return await engine(following)
        except (TryAgain, ConnectionError, TimeoutError) as error:
            if isinstance(error, AisdkError):
                raise
            raise Unavailable(
                f"The {self.name} {_reason(error)}; "
                f"tried {engine.statistics['attempt_number']} times.",
                hint="Try again later, or check that it runs and can be reached.",
                dependency=self.name,
            ) from error
        finally:
            engine.iter_state.reset()  # what it was to do next refers to it: a cycle, each call

    def may_retry(self) -> bool:
        """Whether the current call, and its tenant, may ask once more; counts it if so."""
        scope = current_scope()
        if scope is not None and not scope.bulk:
            if scope.retried[self.name] >= scope.retries:
                return False
            scope.retried[self.name] += 1
        return self._budget.spend(_tenant())

    async def _attempt(self, work: Callable[[], Awaitable[T]], timeout_s: float | None) -> T:
        with self._enter() as permit:
            started = time.monotonic()
            try:
                result = await self._timed(work, timeout_s)
            except (asyncio.CancelledError, DeadlineExceeded):
                # A deadline speaks against the service if it was a fair one: else a tenant could
                # open the circuit for all. A caller who leaves says nothing about it.
                if remaining_s() == 0 and time.monotonic() - started >= FAIR_S:
                    self._settle(permit.failed)
                raise
            except (Busy, CircuitOpen):  # it was not asked
                raise
            except Exception as error:
                self._settle(permit.failed if _is_failure(error) else permit.succeeded)
                raise
            self._settle(permit.succeeded)
            return result

    def _settle(self, settle: Callable[[], None]) -> None:
        """Ends a permit, and tells where that opened or closed the circuit."""
        before = self.breaker.state
        settle()
        after = self.breaker.state
        if after == "open" and before != after:
            logger().warning("dependency.open", dependency=self.name)
        elif after == "closed" and before != after:
            logger().info("dependency.closed", dependency=self.name)

    def _tell_retry(self, state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        code = error.code if isinstance(error, AisdkError) else Unavailable.code
        attempts = state.attempt_number
        logger().info("dependency.retry", dependency=self.name, attempts=attempts, error=code)

    def _enter(self) -> Permit:
        try:
            return self.breaker.enter()
        except Open as error:
            raise CircuitOpen(
                f"The {self.name} failed too often and is left alone for a while.",
                hint=f"Try again in {error.retry_after_s:.0f} s.",
                dependency=self.name,
                retry_after_s=error.retry_after_s,
            ) from None

    async def _timed(self, work: Callable[[], Awaitable[T]], timeout_s: float | None) -> T:
        left_s = remaining_s()
        budget_s = min((each for each in (timeout_s, left_s) if each is not None), default=None)
        scope = asyncio.timeout(budget_s)
        try:
            async with scope:
                return await work()
        except TimeoutError as error:
            if not scope.expired() or isinstance(error, AisdkError):
                raise
            if budget_s == left_s:
                raise DeadlineExceeded(
                    f"The deadline passed while waiting for the {self.name}.",
                    hint="Ask for less at a time, or give it more: with_options(deadline_s=…).",
                ) from error
            raise TryAgain(f"gave no answer within {timeout_s:g} s") from error


class _Tries:
    """When the attempts of one use of a dependency end."""

    def __init__(self, dependency: Dependency) -> None:
        self._dependency = dependency
        scope = current_scope()
        asked = MOST_RETRIES if scope is None else scope.retries
        self._enough = stop_after_attempt(1 + min(asked, dependency.retries))

    def must_stop(self, state: RetryCallState) -> bool:
        """Whether there is no further attempt; asked after each one that failed."""
        left_s = remaining_s()
        longest_s = LONGEST_WAIT_S if left_s is None else min(left_s, LONGEST_WAIT_S)
        if self._enough(state) or state.upcoming_sleep > longest_s:
            return True
        return not self._dependency.may_retry()


def _tenant() -> str:
    scope = current_scope()
    return "" if scope is None else scope.tenant_id


def _may_pass(error: BaseException) -> bool:
    if isinstance(error, AisdkError):
        return type(error) in (Unavailable, Contention)
    return isinstance(error, TryAgain | ConnectionError | TimeoutError)


def _is_failure(error: Exception) -> bool:
    """Whether an error speaks against the service, and not against what it was asked."""
    if isinstance(error, AisdkError):
        return type(error) is Unavailable
    return isinstance(error, TryAgain | ConnectionError | TimeoutError)


def _wait_s(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    if isinstance(error, TryAgain) and error.after_s is not None:
        return max(0.0, error.after_s)
    return _BACKOFF(state)


def _reason(error: Exception) -> str:
    return error.reason if isinstance(error, TryAgain) else "cannot be reached"
