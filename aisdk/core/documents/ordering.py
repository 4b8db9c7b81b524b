"""How documents are found: by name or state, in an order, from where a listing goes on."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ColumnElement, or_, true, tuple_

from aisdk.core.documents.names import LONGEST_GIVEN
from aisdk.core.documents.sources import JSON
from aisdk.core.documents.types import ORDERS
from aisdk.core.storage.filters import UNSTORABLE
from aisdk.core.storage.tables import documents
from aisdk.errors import InvalidInput

__all__ = ["after", "in_state", "is_named", "order_column", "sort_keys"]

STATES: Final = ("ready", "failed")


def order_column(order: Any) -> Any:
    """The column of an order such as ``-title``.

    Raises:
        InvalidInput: There is no such order.
    """
    if not isinstance(order, str) or order.removeprefix("-") not in ORDERS:
        raise InvalidInput(
            "order is unknown.", hint=f"Use one of: {', '.join(ORDERS)}, with - for descending."
        )
    return documents.c[order.removeprefix("-")]


def is_named(key: Any) -> ColumnElement[bool]:
    """The condition that a document has this document_id or source.

    Raises:
        InvalidInput: It is the name of no document.
    """
    if isinstance(key, str) and len(key) > LONGEST_GIVEN:
        raise InvalidInput(
            "The name of a document is too long.", hint="documents.list() shows those there are."
        )
    if not isinstance(key, str) or not key or UNSTORABLE.search(key):
        raise InvalidInput(
            "A document is named by its document_id or its source.",
            hint="documents.list() shows both.",
        )
    named = documents.c.source == key
    try:
        return or_(documents.c.document_id == UUID(key), named)  # a source may look like an id
    except ValueError:
        return named


def in_state(state: Any) -> ColumnElement[bool]:
    """The condition that documents are in a state.

    Raises:
        InvalidInput: There is no such state.
    """
    if isinstance(state, str) and state == "all":
        return true()
    if not isinstance(state, str) or state not in STATES:
        raise InvalidInput("state is unknown.", hint="Use ready, failed or all.")
    return documents.c.state == state


def sort_keys(column: Any) -> Sequence[Any]:
    """What orders a listing totally; no two documents of a tenant have the same source."""
    return (column,) if column.name == "source" else (column, documents.c.document_id)


def after(order: str, column: Any, position: list[JSON]) -> ColumnElement[bool]:
    """The condition that documents come after a position, as a cursor holds it."""
    value, document_id = position
    key = datetime.fromisoformat(str(value)) if column.name == "created_at" else value
    keys = sort_keys(column)
    here, there = tuple_(*keys), (key, UUID(str(document_id)))[: len(keys)]
    return here < there if order[0] == "-" else here > there
