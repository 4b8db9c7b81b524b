"""Signed cursors."""

from __future__ import annotations

import base64
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aisdk.core.results.cursor import sign, verify
from aisdk.errors import ConfigError, InvalidInput, TenantMismatch

KEY = b"0123456789abcdef"
POSITIONS = st.lists(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=40),
    max_size=5,
)


@given(POSITIONS, st.text(), st.text())
def test_verify_own_cursor_gives_the_position(position: list[Any], tenant: str, verb: str) -> None:
    """What was signed comes back, whatever the names."""
    assert verify(KEY, tenant, verb, sign(KEY, tenant, verb, position)) == position


@given(POSITIONS)
def test_sign_any_position_fits_in_a_url(position: list[Any]) -> None:
    """A cursor needs no quoting."""
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,4096}", sign(KEY, "acme", "documents.list", position))


@pytest.mark.parametrize(
    ("key", "tenant", "verb"),
    [
        (KEY, "globex", "documents.list"),
        (KEY, "acme", "rag.query"),
        (KEY[::-1], "acme", "documents.list"),
        (KEY, "acmedocuments", ".list"),
        (KEY, 'acme","', "documents.list"),
    ],
)
def test_verify_elsewhere_is_refused(key: bytes, tenant: str, verb: str) -> None:
    """Another tenant, verb or installation cannot use a cursor, nor a shifted border of names."""
    cursor = sign(KEY, "acme", "documents.list", [1])
    with pytest.raises(TenantMismatch):
        verify(key, tenant, verb, cursor)


@given(POSITIONS, st.data())
def test_verify_changed_cursor_is_refused(position: list[Any], data: st.DataObject) -> None:
    """Changing any one character is noticed."""
    cursor = sign(KEY, "acme", "documents.list", position)
    place = data.draw(st.integers(0, len(cursor) - 1))
    letter = data.draw(st.sampled_from("ABCabc012-_=~\n ").filter(lambda new: new != cursor[place]))
    with pytest.raises((InvalidInput, TenantMismatch)):
        verify(KEY, "acme", "documents.list", cursor[:place] + letter + cursor[place + 1 :])


@given(st.text() | st.binary(max_size=80).map(lambda raw: base64.urlsafe_b64encode(raw).decode()))
def test_verify_any_text_is_refused_and_never_crashes(text: str) -> None:
    """Only our two errors come out of foreign text."""
    with pytest.raises((InvalidInput, TenantMismatch)):
        verify(KEY, "acme", "documents.list", text)


@pytest.mark.parametrize("text", ["", "a", "A" * 21, "A" * 100_000, "\ud800", "ümlaut" * 9])
def test_verify_malformed_text_is_invalid_input(text: str) -> None:
    """Text of the wrong shape is no cursor at all."""
    with pytest.raises(InvalidInput):
        verify(KEY, "acme", "documents.list", text)


def test_verify_padded_cursor_is_invalid_input() -> None:
    """There is one spelling of a cursor: base64 with other tail bits or padding is refused."""
    cursor = sign(KEY, "acme", "documents.list", ["ab"])
    with pytest.raises(InvalidInput):
        verify(KEY, "acme", "documents.list", cursor + "=")


def test_errors_of_cursors_do_not_repeat_them() -> None:
    """A cursor holds values of a tenant, so no message quotes it."""
    cursor = sign(KEY, "acme", "documents.list", ["private title"])
    with pytest.raises(TenantMismatch) as caught:
        verify(KEY, "globex", "documents.list", cursor)
    assert cursor not in str(caught.value)
    assert "private" not in str(caught.value)


def test_sign_too_long_position_is_refused() -> None:
    """A cursor stays bounded."""
    with pytest.raises(InvalidInput, match="too long"):
        sign(KEY, "acme", "documents.list", ["x" * 5_000])


def test_sign_with_a_short_key_is_refused() -> None:
    """A key that could be guessed is a wrong setting."""
    with pytest.raises(ConfigError, match="16 bytes"):
        sign(b"short", "acme", "documents.list", [1])
