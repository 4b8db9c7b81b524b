"""Cursors: where a listing goes on, as opaque text that only its own tenant and verb can use."""

from __future__ import annotations

import hmac
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any

from aisdk.core.results.frame import JSON
from aisdk.errors import ConfigError, InvalidInput, TenantMismatch

__all__ = ["sign", "verify"]

_MAC_BYTES = 16
_SHORTEST_KEY = 16
_LONGEST = 4_096  # characters of a cursor


def sign(key: bytes, tenant_id: str, verb: str, position: list[JSON]) -> str:
    """A cursor for the position after the last row of a page.

    Args:
        key: The secret of this installation, at least 16 bytes.
        tenant_id: The tenant that may use the cursor.
        verb: The verb that may use it, such as ``documents.list``.
        position: The values of the sort columns of the last row.

    Returns:
        Text that fits in a URL, at most 4,096 characters. It is signed, not encrypted.

    Raises:
        ConfigError: The key is too short.
        InvalidInput: The position is too long.

    Source: RFC 2104 (HMAC), truncated to 128 bits as its section 5 allows.
    """
    body = json.dumps(position, separators=(",", ":")).encode()
    mac = _mac(key, tenant_id, verb, body)
    cursor = urlsafe_b64encode(mac + body).rstrip(b"=").decode()
    if len(cursor) > _LONGEST:
        raise InvalidInput(
            "The last row's position is too long for a cursor.", hint="Order by another column."
        )
    return cursor


def verify(key: bytes, tenant_id: str, verb: str, cursor: str) -> list[JSON]:
    """The position in a cursor that :func:`sign` made for the same tenant and verb.

    Raises:
        ConfigError: The key is too short.
        InvalidInput: The text is not a cursor.
        TenantMismatch: It is one of another tenant, another verb or another installation, or it
            was changed: these cannot be told apart.
    """
    data = _decode(cursor)
    mac, body = data[:_MAC_BYTES], data[_MAC_BYTES:]
    if not hmac.compare_digest(mac, _mac(key, tenant_id, verb, body)):
        raise TenantMismatch(
            "The cursor belongs to another tenant or another operation.",
            hint="Use a page's cursor with the session and the verb that gave the page.",
        )
    position: list[JSON] = json.loads(body)
    return position


def _mac(key: bytes, tenant_id: str, verb: str, body: bytes) -> bytes:
    if len(key) < _SHORTEST_KEY:
        raise ConfigError(
            "The key for cursors is too short.", hint=f"Give at least {_SHORTEST_KEY} bytes."
        )
    scope = json.dumps([tenant_id, verb]).encode()
    message = len(scope).to_bytes(4, "big") + scope + body
    return hmac.digest(key, message, "sha256")[:_MAC_BYTES]


def _decode(cursor: Any) -> bytes:
    if not isinstance(cursor, str):
        cursor = ""
    padding = "=" * (-len(cursor) % 4)
    try:
        data = urlsafe_b64decode(cursor[:_LONGEST] + padding)
    except ValueError:  # neither ASCII nor base64
        data = b""
    canonical = urlsafe_b64encode(data).rstrip(b"=").decode()
    if cursor != canonical or len(data) <= _MAC_BYTES:
        raise InvalidInput(
            "This is not a cursor.", hint="Pass the cursor of a page as it is, or leave it out."
        )
    return data
