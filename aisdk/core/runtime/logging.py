"""Structured log events that always carry tenant_id and request_id."""

from __future__ import annotations

import logging
import secrets
from typing import Any, Final

import structlog

from aisdk.core.runtime.guard import Call, Proceed

__all__ = ["context_step", "logger", "new_request_id"]

_PROCESSORS: Final = [
    structlog.stdlib.filter_by_level,
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.render_to_log_kwargs,
]


def logger() -> structlog.stdlib.BoundLogger:
    """A logger that hands structured events to the standard library's ``aisdk`` logger.

    The application decides about handlers and levels; aisdk configures none. Each record carries
    the event's fields as attributes, ``tenant_id`` and ``request_id`` among them.
    """
    standard = logging.getLogger("aisdk")
    if not standard.handlers:  # else Python would print our events where nobody asked for them
        standard.addHandler(logging.NullHandler())
    wrapped: structlog.stdlib.BoundLogger = structlog.wrap_logger(
        standard,
        processors=_PROCESSORS,
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    return wrapped


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
