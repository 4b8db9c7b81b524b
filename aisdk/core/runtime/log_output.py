"""Where the log events go: the application's choice, made with one call."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final, Literal

from aisdk.core.runtime.logging import LOG_FIELDS
from aisdk.errors import InvalidInput

__all__ = ["configure_logging"]

LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR")
_FIRST: Final = ("tenant_id", "request_id")


def configure_logging(
    style: Literal["json", "console"] = "console", *, level: str = "INFO"
) -> None:
    """Writes aisdk's log events to standard error, from now on.

    Call it once where the application starts, or again to change style and level. Without it
    nothing is written unless the application has set up ``logging`` itself, whose handlers get the
    events in either case.

    Args:
        style: ``console`` for people, ``json`` for machines: one object a line with timestamp
            (UTC), level, event, tenant_id, request_id and the event's own fields.
        level: The least that is written: ``DEBUG``, ``INFO``, ``WARNING`` or ``ERROR``.

    Raises:
        InvalidInput: The style or the level is none of these.

    Example:
        >>> aisdk.configure_logging("json", level="WARNING")
    """
    if style not in tuple(_FORMATTERS):
        raise InvalidInput("style is unknown.", hint=f"Use one of: {', '.join(_FORMATTERS)}.")
    if level not in LEVELS:
        raise InvalidInput("level is unknown.", hint=f"Use one of: {', '.join(LEVELS)}.")
    handler = _Handler()
    handler.setFormatter(_FORMATTERS[style]())
    target = logging.getLogger("aisdk")
    for earlier in [held for held in target.handlers if isinstance(held, _Handler)]:
        target.removeHandler(earlier)
    target.addHandler(handler)
    target.setLevel(level)


class _Handler(logging.StreamHandler[Any]):
    """Ours, so that a second call finds it."""


class _JsonLines(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """The event as JSON."""
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        head = {"timestamp": time, "level": record.levelname.lower(), "event": record.getMessage()}
        return json.dumps({**head, **dict(_fields(record))})


class _Console(logging.Formatter):
    """One readable line: local time, level, event, and the fields that have a value."""

    def format(self, record: logging.LogRecord) -> str:
        """The event as a line."""
        time = datetime.fromtimestamp(record.created, UTC).astimezone().strftime("%H:%M:%S")
        fields = [f"{name}={value}" for name, value in _fields(record) if value is not None]
        return " ".join([time, f"{record.levelname:<7}", record.getMessage(), *fields])


def _fields(record: logging.LogRecord) -> Iterator[tuple[str, Any]]:
    """The event's fields; tenant and request come first."""
    held = vars(record)
    for name in (*_FIRST, *sorted(LOG_FIELDS & held.keys() - set(_FIRST))):
        yield name, held.get(name)


_FORMATTERS: Final[dict[str, type[logging.Formatter]]] = {"json": _JsonLines, "console": _Console}
