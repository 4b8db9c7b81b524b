"""Structured log events that always carry tenant_id and request_id."""

from __future__ import annotations

import logging
import secrets
from collections.abc import MutableMapping
from typing import Any, Final

import structlog

from aisdk.core.runtime.guard import Call, Proceed
from aisdk.core.runtime.redaction import redacted

__all__ = ["LOG_FIELDS", "context_step", "logger", "new_request_id"]

LOG_FIELDS: Final = frozenset(
    {
        "attempts",
        "dependency",
        "dropped",
        "duration_ms",
        "error",
        "namespace",
        "outcome",
        "request_id",
        "retry_after_s",
        "rows",
        "state",
        "tenant_id",
        "tier",
        "tokens",
    }
)
LONGEST: Final = 200  # characters of a value
_ALLOWED: Final = LOG_FIELDS | {"event", "level"}
_IDENTITY: Final = ("request_id", "tenant_id")


def logger() -> structlog.stdlib.BoundLogger:
    """A logger that hands structured events to the standard library's ``aisdk`` logger.

    The application decides about handlers and levels; aisdk configures none. Each record carries
    the event's fields as attributes, ``tenant_id`` and ``request_id`` among them. Fields that are
    not in ``LOG_FIELDS`` are dropped, and what looks like a secret is taken out.
    """
    standard = logging.getLogger("aisdk")
    if not standard.handlers:  # else Python would print our events where nobody asked for them
        standard.addHandler(logging.NullHandler())
    wrapped: structlog.stdlib.BoundLogger = structlog.wrap_logger(
        standard,
        processors=_PROCESSORS,
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    bound: structlog.stdlib.BoundLogger = wrapped.bind()  # else each event would bind it anew
    return bound


def new_request_id() -> str:
    """16 random hexadecimal digits."""
    return secrets.token_hex(8)


async def context_step(call: Call, proceed: Proceed) -> Any:
    """Binds tenant and request to every event logged below this call."""
    tokens = structlog.contextvars.bind_contextvars(
        tenant_id=call.tenant_id, request_id=call.request_id
    )
    try:
        return await proceed(call)
    finally:
        structlog.contextvars.reset_contextvars(**tokens)


def _identify(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Gives an event outside a call the two fields that every event has."""
    return {**dict.fromkeys(_IDENTITY), **event}


def _allow(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Drops fields that are not on the list, and notes their names."""
    kept = {name: event[name] for name in event if name in _ALLOWED}
    if len(kept) < len(event):
        kept["dropped"] = ",".join(sorted(event.keys() - kept.keys()))
    return kept


def _clean(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Leaves short plain values without secrets, and no traceback: it shows the values."""
    plain = {
        name: value if name in _IDENTITY and isinstance(value, str) else _plain(value)
        for name, value in event.items()
    }
    return {**plain, "exc_info": False}


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    if not isinstance(value, str):
        return type(value).__name__
    return redacted(value if value.isprintable() else ascii(value)[1:-1])[:LONGEST]


_PROCESSORS: Final = [
    structlog.stdlib.filter_by_level,
    structlog.contextvars.merge_contextvars,
    _identify,
    structlog.stdlib.add_log_level,
    _allow,
    _clean,
    structlog.stdlib.render_to_log_kwargs,
]
