"""A storm: calls that are cancelled at random moments, and what is seen at servers meanwhile."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from aisdk.errors import AisdkError

__all__ = ["NUMBERS", "Look", "Question", "Questions", "Storm", "Watch"]

LONGEST_S: Final = 0.05  # a call is cancelled after at most so long
NUMBERS: Final = 40


@dataclass(frozen=True)
class Question:
    """A request, and the one answer that is its own."""

    ask: Callable[[], Awaitable[Any]]
    answer: Any


Look: TypeAlias = Callable[[], Awaitable[int]]
Questions: TypeAlias = Sequence[Callable[[int], Question]]


class Storm:
    """Asks and cancels at random moments, and looks at every reply that comes.

    Args:
        questions: Number → a question; each is asked as often as the others.
        wanted: How many calls are to be cancelled.
        at_once: How many calls run or wait at a time.
    """

    def __init__(self, questions: Questions, wanted: int, at_once: int) -> None:
        self._questions = questions
        self._wanted = wanted
        self._at_once = at_once
        self._chance = random.Random(7)  # noqa: S311  # not for secrets
        self.ends: Counter[str] = Counter()

    async def blow(self) -> None:
        """Until enough calls were cancelled."""
        await asyncio.gather(*(self._stream() for _ in range(self._at_once)))

    async def _stream(self) -> None:
        while self.ends["cancelled"] < self._wanted:
            make = self._chance.choice(self._questions)
            question = make(self._chance.randrange(NUMBERS))
            task = asyncio.ensure_future(question.ask())
            if self._chance.random() < 0.75:
                for _ in range(2):  # the second time it may be cleaning up
                    await asyncio.sleep(self._chance.uniform(0, LONGEST_S))
                    task.cancel()
            await asyncio.wait([task])
            self.ends[end_of(task, question)] += 1


def end_of(task: asyncio.Future[Any], question: Question) -> str:
    """How a call ended: cancelled, refused, right or wrong."""
    if task.cancelled():
        return "cancelled"
    if isinstance(task.exception(), AisdkError | ConnectionError):
        return "refused"
    return "right" if task.result() == question.answer else "wrong"


class Watch:
    """Counts connections at servers while something happens.

    Args:
        looks: Server → how many connections there are now.

    Attributes:
        peaks: Server → the most at a time.
    """

    def __init__(self, looks: Mapping[str, Look]) -> None:
        self._looks = looks
        self.peaks = dict.fromkeys(looks, 0)

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Looks again and again during the block; the last look is finished, not cancelled."""
        stop = asyncio.Event()
        task = asyncio.create_task(self._watch(stop))
        try:
            yield
        finally:
            stop.set()
            await task

    async def _watch(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            for server, look in self._looks.items():
                self.peaks[server] = max(self.peaks[server], await look())
            await asyncio.sleep(0.02)
