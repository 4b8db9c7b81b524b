"""Every error that aisdk raises on purpose, as one tree.

::

    AisdkError
    ├── ConfigError
    ├── TenantError
    │   ├── TenantRequired (ValueError)
    │   └── TenantMismatch
    ├── InvalidInput (ValueError)
    │   └── Unreadable
    ├── NotFound (LookupError)
    ├── Conflict
    │   ├── EmbeddingMismatch
    │   └── ClientClosed
    ├── AddFailed
    ├── DeadlineExceeded (TimeoutError)
    ├── DependencyError (dependency)
    │   ├── Unavailable        retryable
    │   └── BadReply
    └── InternalError

The docstring of a class is its default message. ``code`` is stable and meant for programs,
``hint`` says what to do next, ``retryable`` says whether the same call may succeed later.
No message ever holds a secret, a tenant's text or a query.
"""

from __future__ import annotations

from typing import Any, ClassVar

__all__ = [
    "AddFailed",
    "AisdkError",
    "BadReply",
    "ClientClosed",
    "ConfigError",
    "Conflict",
    "DeadlineExceeded",
    "DependencyError",
    "EmbeddingMismatch",
    "InternalError",
    "InvalidInput",
    "NotFound",
    "TenantError",
    "TenantMismatch",
    "TenantRequired",
    "Unavailable",
    "Unreadable",
]


class AisdkError(Exception):
    """Something went wrong in aisdk."""

    code: ClassVar[str] = "error"
    retryable: ClassVar[bool] = False

    def __init__(self, message: str = "", *, hint: str = "") -> None:
        self.message = message or (type(self).__doc__ or "").partition("\n")[0]
        self.hint = hint
        super().__init__(self.message)

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


class ConfigError(AisdkError):
    """A setting is missing or wrong."""

    code = "config"


class TenantError(AisdkError):
    """The tenant cannot be served."""

    code = "tenant"


class TenantRequired(TenantError, ValueError):
    """tenant_id is required: a non-empty name such as "acme"."""

    code = "tenant_required"


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


class ClientClosed(Conflict):
    """The client is closed."""

    code = "client_closed"


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


class BadReply(DependencyError):
    """A service that aisdk depends on answered nonsense."""

    code = "bad_reply"


class InternalError(AisdkError):
    """Something that should not happen did; please report it with the request id."""

    code = "internal"
