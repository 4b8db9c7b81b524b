"""Every error that aisdk raises on purpose, as one tree.

::

    AisdkError
    ├── ConfigError
    ├── TenantError
    │   ├── TenantRequired (ValueError)
    │   ├── TenantUnknown
    │   ├── TenantSuspended
    │   └── TenantMismatch
    ├── InvalidInput (ValueError)
    │   └── Unreadable
    ├── NotFound (LookupError)
    ├── Conflict
    │   ├── EmbeddingMismatch
    │   ├── Contention         retryable
    │   ├── IdempotencyConflict
    │   ├── InProgress         retryable
    │   └── ClientClosed
    ├── LimitError (limit, used, retry_after_s, reset_s)
    │   ├── RateLimited        retryable
    │   └── QuotaExceeded
    ├── AddFailed
    ├── DeadlineExceeded (TimeoutError)
    ├── DependencyError (dependency)
    │   ├── Unavailable        retryable
    │   │   └── Busy
    │   ├── CircuitOpen        retryable
    │   └── BadReply
    ├── DamagedSegment
    └── InternalError

The docstring of a class is its default message. ``code`` is stable and meant for programs,
``hint`` says what to do next, ``retryable`` says whether the same call may succeed later.
No message ever holds a secret, a tenant's text or a query.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

__all__ = [
    "AddFailed",
    "AisdkError",
    "BadReply",
    "Busy",
    "CircuitOpen",
    "ClientClosed",
    "ConfigError",
    "Conflict",
    "Contention",
    "DamagedSegment",
    "DeadlineExceeded",
    "DependencyError",
    "EmbeddingMismatch",
    "IdempotencyConflict",
    "InProgress",
    "InternalError",
    "InvalidInput",
    "LimitError",
    "NotFound",
    "QuotaExceeded",
    "RateLimited",
    "TenantError",
    "TenantMismatch",
    "TenantRequired",
    "TenantSuspended",
    "TenantUnknown",
    "Unavailable",
    "Unreadable",
]


class AisdkError(Exception):
    """Something went wrong in aisdk."""

    code: ClassVar[str] = "error"
    retryable: bool = False

    def __init__(self, message: str = "", *, hint: str = "") -> None:
        self.message = message or (type(self).__doc__ or "").partition("\n")[0]
        self.hint = hint
        super().__init__(self.message)

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()

    def __repr__(self) -> str:
        hint = f", hint={self.hint!r}" if self.hint else ""
        return f"{type(self).__name__}({self.message!r}{hint})"

    def _repr_html_(self) -> str:
        from aisdk.core.results.html import render_record

        told = {"message": self.message, "hint": self.hint, "code": self.code}
        shown = [(name, text) for name, text in told.items() if text]
        return render_record(type(self).__name__, shown)


class ConfigError(AisdkError):
    """A setting is missing or wrong."""

    code = "config"


class TenantError(AisdkError):
    """The tenant cannot be served."""

    code = "tenant"


class TenantRequired(TenantError, ValueError):
    """tenant_id is required."""

    code = "tenant_required"


class TenantUnknown(TenantError):
    """There is no such tenant."""

    code = "tenant_unknown"


class TenantSuspended(TenantError):
    """The tenant is suspended."""

    code = "tenant_suspended"


class TenantMismatch(TenantError):
    """The value belongs to another tenant or another operation."""

    code = "tenant_mismatch"


class InvalidInput(AisdkError, ValueError):
    """An argument is not acceptable."""

    code = "invalid_input"


class Unreadable(InvalidInput):
    """A source cannot be read as a document.

    ``reason`` is a stable code such as ``too_large``, ``encrypted`` or ``unknown_format``.
    """

    code = "unreadable"

    def __init__(self, message: str = "", *, hint: str = "", reason: str = "unreadable") -> None:
        super().__init__(message, hint=hint)
        self.reason = reason


class NotFound(AisdkError, LookupError):
    """There is no such thing in this tenant."""

    code = "not_found"


class Conflict(AisdkError):
    """The request contradicts what is stored."""

    code = "conflict"


class EmbeddingMismatch(Conflict):
    """The tenant's store holds vectors of another embedding model."""

    code = "embedding_mismatch"


class Contention(Conflict):
    """Two transactions were in each other's way."""

    code = "contention"
    retryable = True


class IdempotencyConflict(Conflict):
    """The idempotency key was used for another request."""

    code = "idempotency_conflict"


class InProgress(Conflict):
    """A request with the same idempotency key is still running.

    ``retry_after_s`` says when to ask again, in seconds.
    """

    code = "in_progress"
    retryable = True

    def __init__(self, message: str = "", *, hint: str = "", retry_after_s: float = 1.0) -> None:
        super().__init__(message, hint=hint)
        self.retry_after_s = retry_after_s


class ClientClosed(Conflict):
    """The client is closed."""

    code = "client_closed"


class LimitError(AisdkError):
    """The tenant has used up what it may use.

    Attributes:
        limit: How much it may use.
        used: How much of it is used.
        retry_after_s: In how many seconds the same call may succeed; infinite when waiting does
            not help.
        reset_s: In how many seconds nothing will be used any more; infinite likewise.
    """

    code = "limit"

    def __init__(
        self,
        message: str = "",
        *,
        hint: str = "",
        limit: int = 0,
        used: int = 0,
        wait_s: tuple[float, float] = (math.inf, math.inf),
    ) -> None:
        super().__init__(message, hint=hint)
        self.limit = limit
        self.used = used
        self.retry_after_s, self.reset_s = wait_s
        self.retryable = type(self).retryable and math.isfinite(self.retry_after_s)


class RateLimited(LimitError):
    """The tenant has called too often."""

    code = "rate_limited"
    retryable = True


class QuotaExceeded(LimitError):
    """The tenant's store is full.

    ``result`` holds one row a source where ``documents.add`` raised it.
    """

    code = "quota_exceeded"
    result: Any = None


class AddFailed(AisdkError):
    """Some sources could not be added; the others were.

    ``result`` holds one row a source, as ``documents.add`` would have returned it.
    """

    code = "add_failed"

    def __init__(self, message: str = "", *, hint: str = "", result: Any = None) -> None:
        super().__init__(message, hint=hint)
        self.result = result


class DeadlineExceeded(AisdkError, TimeoutError):
    """The call took longer than its deadline."""

    code = "deadline_exceeded"
    retryable = True


class DependencyError(AisdkError):
    """A service that aisdk depends on failed."""

    code = "dependency"

    def __init__(self, message: str = "", *, hint: str = "", dependency: str = "") -> None:
        super().__init__(message, hint=hint)
        self.dependency = dependency


class Unavailable(DependencyError):
    """A service that aisdk depends on cannot be reached."""

    code = "unavailable"
    retryable = True


class Busy(Unavailable):
    """Too much is going on at once."""

    code = "busy"


class CircuitOpen(DependencyError):
    """A service that aisdk depends on failed too often and is left alone for a while.

    ``retry_after_s`` says for how long, in seconds.
    """

    code = "circuit_open"
    retryable = True

    def __init__(
        self, message: str = "", *, hint: str = "", dependency: str = "", retry_after_s: float = 0
    ) -> None:
        super().__init__(message, hint=hint, dependency=dependency)
        self.retry_after_s = retry_after_s


class BadReply(DependencyError):
    """A service that aisdk depends on answered nonsense."""

    code = "bad_reply"


class DamagedSegment(AisdkError):
    """A stored piece of the lexical index cannot be read."""

    code = "damaged_segment"


class InternalError(AisdkError):
    """Something that should not happen did; please report it with its event in the log."""

    code = "internal"
