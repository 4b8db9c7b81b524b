"""``@part``: what a client is made of, each made when it is first needed, and once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

__all__ = ["Whole", "part"]

T = TypeVar("T")


class Whole(Protocol):
    """What has parts."""

    lock: threading.RLock


class part(Generic[T]):  # noqa: N801  # used like property
    """An attribute that is made by the first who asks for it, however many threads ask at once.

    Python's ``cached_property`` makes it anew for each of them from version 3.12 on: two pools of
    connections, two sets of limits. Once made, it costs what a plain attribute does.

    Args:
        make: Makes it.
    """

    def __init__(self, make: Callable[[Any], T]) -> None:
        self._make = make
        self.__doc__ = make.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, whole: Whole, owner: type | None = None) -> T:
        with whole.lock:
            made: dict[str, Any] = vars(whole)
            if self._name not in made:
                made[self._name] = self._make(whole)
            value: T = made[self._name]
            return value
