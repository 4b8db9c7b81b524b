"""What Tab offers behind ``%aisdk``, ``%rag`` and ``hits[0].``, and where a source is named."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Any, Final

from IPython.core.completer import (
    CompletionContext,
    SimpleCompletion,
    SimpleMatcherResult,
    context_matcher,
)

from aisdk.core.results.rows import Rows
from aisdk.core.runtime.options import CallOptions
from aisdk.notebook.command import OPTIONS

__all__ = ["Completion"]

_MAGIC: Final = re.compile(r"\s*(?:[\w.]+\s*=\s*)?%{1,2}(aisdk|rag)\s+(.*)")
_SOURCE: Final = re.compile(
    r"""\b(\w+)\.documents\.(?:get|update|delete)\(\s*(?:key\s*=\s*)?(["'])([^"'\\]*)$"""
)
_ROW: Final = re.compile(r"(?<![\w.])([^\W\d]\w*)\[[^\[\]:]+\]\.(\w*)$")
_MODE: Final = re.compile(r"(?:.*\s)?--mode[\s=]+(\S*)")
_VERBS: Final = ("connect", "status", "tenants", "usage")
_MODES: Final = ("hybrid", "dense", "lexical")
_DEADLINE_S: Final = 0.5  # whoever types does not wait longer
_KEPT_S: Final = 10.0  # typing on does not ask again, nor use up the tenant's requests
_MOST: Final = 1_000


class Completion:
    """Holds an IPython matcher, which stays silent where it knows nothing or the database is slow.

    Args:
        find: Name of a variable, or nothing for the one that magics use → its session or ``None``.
        look_up: Name of a variable → what it holds, or ``None``.
    """

    def __init__(self, find: Callable[[str], Any], look_up: Callable[[str], Any]) -> None:
        self._find = find
        self._look_up = look_up
        self._kept: dict[tuple[str, str, int], tuple[float, list[str]]] = {}

    @context_matcher(identifier="aisdk")  # type: ignore[untyped-decorator]  # IPython's has no types
    def match(self, context: CompletionContext) -> SimpleMatcherResult:
        """The completions for what stands before the cursor."""
        fragment = ""
        known: Sequence[str] = ()
        line = context.text_until_cursor
        if match := _MAGIC.fullmatch(line):
            fragment, known = self._behind(match[1], match[2])
        elif match := _SOURCE.search(line):
            fragment, known = match[3], self._names("sources", match[1])
        elif match := _ROW.search(line):
            fragment, known = match[2], _fields(self._look_up(match[1]))
        fitting = [SimpleCompletion(name) for name in known if name.startswith(fragment)]
        return {
            "completions": fitting,
            "matched_fragment": fragment,
            "suppress": bool(fitting),
        }

    def _behind(self, magic: str, written: str) -> tuple[str, Sequence[str]]:
        """The word that is being written behind a magic, and what may stand there."""
        *before, fragment = re.split(r"\s+", written)
        if magic == "rag":
            if mode := _MODE.fullmatch(written):
                return mode[1], _MODES
            return fragment, OPTIONS if fragment.startswith("-") else ()
        if not before:
            return fragment, _VERBS
        if before == ["connect"]:
            return fragment, self._names("tenants", "")
        if before[0] == "connect" and len(before) == 2:
            return fragment, ("--as",)
        return fragment, ()

    def _names(self, kind: str, variable: str) -> list[str]:
        """Names of tenants or sources, asked for at most once in ten seconds; failing is none."""
        session = self._find(variable)
        if session is None:
            return []
        key = (kind, session.tenant_id, id(session.client))
        moment, names = self._kept.get(key, (-_KEPT_S, []))
        if monotonic() - moment >= _KEPT_S:
            try:
                names = _sources(session) if kind == "sources" else _tenants(session)
            except Exception:  # noqa: BLE001  # typing goes on whatever happens to the database
                names = []
            self._kept = {key: (monotonic(), names)}
        return names


def _fields(held: Any) -> list[str]:
    """What each of these rows has.

    IPython asks no ``__getitem__`` but those that it knows, and jedi does not see what rows hold.
    """
    return [name for name in dir(held.item) if name[0] != "_"] if isinstance(held, Rows) else []


def _sources(session: Any) -> list[str]:
    """The first sources by name; none that would not stay inside quotes."""
    page = session.with_options(deadline_s=_DEADLINE_S, retries=0).documents.list(limit=_MOST)
    return [row.source for row in page if _is_harmless(row.source)]


def _is_harmless(source: str) -> bool:
    return source.isprintable() and not set(source) & set("\"'\\{}")


def _tenants(session: Any) -> list[str]:
    from aisdk.core.tenants.faces import ClientTenants

    options = CallOptions(deadline_s=_DEADLINE_S, retries=0)
    client = session.client
    register = client.face(ClientTenants, "tenants", options=options)
    return [row.tenant_id for row in client.call(lambda: register.list(limit=_MOST))]
