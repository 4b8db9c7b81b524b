"""Parts: made once, however many threads ask for them first."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import pytest

from aisdk.part import part

THREADS: Final = 8


class Unlocked:
    """The control: what ``functools.cached_property`` is from Python 3.12 on."""

    def __init__(self, make: Callable[[Any], Any]) -> None:
        self._make = make

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, whole: Any, owner: type | None = None) -> Any:
        made = vars(whole)
        if self._name not in made:
            made[self._name] = self._make(whole)
        return made[self._name]


def whole_of(kind: Any) -> Any:
    """Something with an engine that takes its time to be made, and a car that needs one."""

    class Whole:
        def __init__(self) -> None:
            self.lock = threading.RLock()
            self.made = 0

        @kind
        def engine(self) -> object:
            """Its engine."""
            self.made += 1
            time.sleep(0.02)
            return object()

        @kind
        def car(self) -> tuple[object]:
            """Its car."""
            return (self.engine,)

        @kind
        def broken(self) -> object:
            """Never whole."""
            self.made += 1
            raise ValueError("not today")

    return Whole()


def ask_together(whole: Any) -> set[int]:
    """Which engines threads get that ask at the same time, directly and through the car."""
    barrier = threading.Barrier(THREADS)

    def ask(number: int) -> int:
        barrier.wait()
        return id(whole.engine if number % 2 else whole.car[0])

    with ThreadPoolExecutor(THREADS) as pool:
        return set(pool.map(ask, range(THREADS)))


def test_threads_that_ask_at_once_get_the_same() -> None:
    """It is made once; without the lock it is made several times."""
    whole = whole_of(part)
    assert len(ask_together(whole)) == 1
    assert whole.made == 1
    control = whole_of(Unlocked)
    ask_together(control)
    assert control.made > 1


def test_part_that_cannot_be_made_is_tried_again() -> None:
    """And is not held to be made."""
    whole = whole_of(part)
    for _ in range(2):
        with pytest.raises(ValueError, match="not today"):
            _ = whole.broken
    assert whole.made == 2
    assert "broken" not in vars(whole)


def test_part_that_is_made_is_a_plain_attribute() -> None:
    """It can be seen among the attributes, and asking again takes no lock."""
    whole = whole_of(part)
    engine = whole.engine
    assert vars(whole)["engine"] is engine
    whole.lock = None
    assert whole.engine is engine


def test_part_is_documented() -> None:
    """By the docstring of what makes it."""
    assert vars(type(whole_of(part)))["engine"].__doc__ == "Its engine."
