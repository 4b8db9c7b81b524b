"""How one call is made: its deadline, its retries, its idempotency key."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any, Final, TypedDict

from aisdk.errors import InvalidInput

__all__ = [
    "LONGEST_S",
    "MOST_RETRIES",
    "CallOptions",
    "call_options",
    "check_page_size",
    "checked_options",
    "is_whole",
]

MOST_RETRIES: Final = 3
LONGEST_KEY: Final = 255
LONGEST_S: Final = 7 * 24 * 3600
LARGEST_PAGE: Final = 10_000  # rows


@dataclass(frozen=True, slots=True)
class CallOptions:
    """What `Session.with_options` sets for all calls of the session it returns.

    Attributes:
        deadline_s: Budget of a call in seconds, above 0; by default ``AISDK_DEADLINE_S``, or
            ``AISDK_BULK_DEADLINE_S`` for a call that works through a corpus.
        retries: How often a call may ask one dependency again, 0 to 3; one that works through a
            corpus, for each piece of the work.
        idempotency_key: Names a request, 1 to 255 printable characters: a write with the key of
            an earlier one is not done again and gets its answer. Kept for 24 hours.
    """

    deadline_s: float | None = None
    retries: int = MOST_RETRIES
    idempotency_key: str | None = None


call_options: Final[ContextVar[CallOptions]] = ContextVar(
    "aisdk_options", default=CallOptions()  # noqa: B039  # frozen
)


class Options(TypedDict, total=False):
    """Keywords of ``with_options``; see `CallOptions`."""

    deadline_s: float | None
    retries: int
    idempotency_key: str | None


def changed_options(options: CallOptions, changes: Options) -> CallOptions:
    """The options with these changes.

    Raises:
        InvalidInput: An option is unknown or out of its range.
    """
    try:
        return checked_options(replace(options, **changes))
    except TypeError:
        raise InvalidInput(
            "with_options has no such option.",
            hint=f"It takes {', '.join(Options.__annotations__)}.",
        ) from None


def checked_options(options: CallOptions) -> CallOptions:
    """The same options, if they are acceptable.

    Raises:
        InvalidInput: One is out of its range.
    """
    deadline_s, retries, key = options.deadline_s, options.retries, options.idempotency_key
    if deadline_s is not None and not (_is_number(deadline_s) and 0 < deadline_s <= LONGEST_S):
        raise InvalidInput(
            "deadline_s must be a number of seconds above 0, at most a week.",
            hint="Leave it out for the client's default.",
        )
    if not is_whole(retries, 0, MOST_RETRIES):
        raise InvalidInput(
            f"retries must be a whole number from 0 to {MOST_RETRIES}.",
            hint="Leave it out for the default.",
        )
    if key is not None and not _is_key(key):
        raise InvalidInput(
            f"idempotency_key must be text of 1 to {LONGEST_KEY} printable characters.",
            hint="A UUID that you keep with the request does well.",
        )
    return options


def is_whole(value: Any, least: int, most: int) -> bool:
    """Whether a value is a whole number of the range; ``True`` is none."""
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def check_page_size(limit: Any) -> None:
    """Lets the rows that a listing is asked for pass.

    Raises:
        InvalidInput: It is no whole number from 1 to 10,000.
    """
    if not is_whole(limit, 1, LARGEST_PAGE):
        raise InvalidInput(
            f"limit must be a whole number from 1 to {LARGEST_PAGE:,}.",
            hint="Go on with page.next() for more.",
        )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_key(key: Any) -> bool:
    return isinstance(key, str) and 0 < len(key) <= LONGEST_KEY and key.isprintable()
