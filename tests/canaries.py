"""Texts that must not be seen anywhere, and the search for them in everything that is shown."""

from __future__ import annotations

import io
import logging
import secrets
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from typing import Any, Final

__all__ = ["LOUD", "Canaries", "Seen", "shown", "watched"]

LOUD: Final = ("", "aiohttp", "aisdk", "asyncio", "asyncpg", "redis", "sqlalchemy")
DEAF: Final = "fsspec"  # writes the URLs that it opens into its own debug log
ALLOWED: Final = frozenset({"result"})  # AddFailed's table is what the tenant asked for


@dataclass(frozen=True)
class Canaries:
    """Secrets made at run time, so that no line of source holds one."""

    root: str = field(default_factory=lambda: "cq" + secrets.token_hex(5))

    def __call__(self, kind: str) -> str:
        """The secret of a kind; letters and digits only."""
        return f"{self.root}{kind}"

    def found(self, text: str) -> bool:
        """Whether a text shows one."""
        return self.root in text.lower()


@dataclass
class Seen:
    """Everything that somebody could see of one failed call."""

    error: BaseException | None = None
    texts: dict[str, str] = field(default_factory=dict)

    def leaks(self, canaries: Canaries) -> list[str]:
        """Where a secret shows."""
        return sorted(where for where, text in self.texts.items() if canaries.found(text))


class _Keep(logging.Handler):
    """Keeps each record as text, with all of its attributes."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []
        self.setFormatter(logging.Formatter("%(name)s %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        """Takes a record as handlers do that send it elsewhere."""
        if not record.name.startswith(DEAF):
            self.lines.append(f"{self.format(record)} {vars(record)}")


@contextmanager
def watched(seen: Seen) -> Iterator[None]:
    """Notes what a call logs, warns of and prints, and the error that ends it."""
    handler, output = _Keep(), io.StringIO()
    loggers = [logging.getLogger(name) for name in LOUD]
    levels = [logger.level for logger in loggers]
    try:
        with warnings.catch_warnings(record=True) as warned, redirect_stdout(output):
            warnings.simplefilter("always")
            for logger in loggers:
                logger.setLevel(logging.DEBUG)
            loggers[0].addHandler(handler)
            with redirect_stderr(output):
                yield
    except BaseException as error:  # noqa: BLE001  # a cancellation is an error path too
        seen.error = error
        seen.texts |= shown(error)
    finally:
        loggers[0].removeHandler(handler)
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
    seen.texts["log"] = "\n".join(handler.lines)
    seen.texts["warnings"] = "\n".join(str(warning.message) for warning in warned)
    seen.texts["output"] = output.getvalue()


def shown(error: BaseException) -> dict[str, str]:
    """What an error and its whole chain show, the links included that Python does not print."""
    texts = {"traceback": "".join(traceback.format_exception(error))}
    for number, link in enumerate(_chain(error)):
        name = f"{number}:{type(link).__name__}"
        held = {key: value for key, value in vars(link).items() if key not in ALLOWED}
        reads: dict[str, Callable[[], Any]] = {
            "str": lambda link=link: str(link),
            "repr": lambda link=link: repr(link),
            "args": lambda link=link: repr(link.args),
            "attributes": lambda held=held: repr(held),
        }
        texts |= {f"{name}.{part}": read() for part, read in reads.items()}
    return texts


def _chain(error: BaseException) -> Iterator[BaseException]:
    waiting, met = [error], set[int]()
    while waiting:
        link = waiting.pop()
        if id(link) not in met:
            met.add(id(link))
            yield link
            waiting += [near for near in (link.__cause__, link.__context__) if near is not None]
            waiting += list(getattr(link, "exceptions", ()))
