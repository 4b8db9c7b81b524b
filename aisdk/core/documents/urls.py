"""Files of any fsspec file system, named by URL: one, those of a folder, or those of a glob."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode

from aisdk.core.documents.access import Access
from aisdk.core.documents.files import Pattern
from aisdk.core.documents.links import open_links, split_links
from aisdk.core.documents.parsing import is_known, parse
from aisdk.core.documents.sources import FailedSource, FileBytes, LoadOptions, Parsed, Source
from aisdk.core.documents.unreadable import too_large, unreachable
from aisdk.errors import InvalidInput, Unreadable

__all__ = ["UrlSource", "from_url", "without_credentials"]

# Web pages link to others like folders do, and ? is part of their names.
SINGLE: Final = ("http://", "https://", "data:")
# Its paths hold all there is, with one slash or three.
WHOLE_PATHS: Final = ("memory://",)
# The part before @ names a repository there.
NO_CREDENTIALS: Final = ("github://",)
_USER: Final = re.compile(r"(?<=://)[^/@\s]*(?:@[^/@\s]*)*@")
_SECRET: Final = re.compile(
    r"(?i)token|key|sig|secret|passw|credential|auth|expires|session|^x-(amz|goog|ms)-|^s[a-z]$"
)


@dataclass(frozen=True, slots=True)
class UrlSource(FileBytes):
    """A file of an fsspec file system."""

    source: str
    files: Any
    path: str
    options: LoadOptions

    def read(self) -> bytes:
        """Its bytes.

        Raises:
            Unreadable: It is too large, must not be reached or cannot be read.
        """
        try:
            with self.files.open(self.path, "rb") as file:
                data: bytes = file.read(self.options.max_bytes + 1)
        except Unreadable:
            raise
        except Exception as error:  # noqa: BLE001  # file systems raise what they like
            raise unreachable(error) from None  # whose message may hold the URL
        if len(data) > self.options.max_bytes:
            raise too_large()
        return data

    def parse(self, data: bytes | None) -> Parsed:
        """Its text, by the format that its name tells."""
        name = self.path.partition("?")[0].rstrip("/").rsplit("/", 1)[-1]
        if self.path.startswith(SINGLE) and not is_known(name):
            name += ".html"
        return parse(name, data or b"", self.options)


def from_url(url: str, options: LoadOptions, access: Access) -> Iterator[Source]:
    """The source or sources that a URL names.

    Raises:
        Unreadable: It must not be reached.
        InvalidInput: It cannot be opened.
    """
    links = split_links(url)
    try:
        files, path = open_links(links, options, access)
        if links[0].startswith(SINGLE):
            return iter([UrlSource(without_credentials(links[0]), files, path, options)])
        keys = _Keys(links, files, path)
        if glob.has_magic(path):
            return _from_glob(files, path, keys, options)
        if files.isdir(path):
            return _walk((files, path), Pattern(["**"]), keys, options)
        return iter([UrlSource(keys.key(path), files, path, options)])
    except InvalidInput:
        raise
    except Exception as error:  # noqa: BLE001  # file systems raise what they like
        raise InvalidInput(
            f"The URL cannot be opened ({type(error).__name__}).",
            hint="Check it, and that the file system's package is installed.",
        ) from None


def _from_glob(files: Any, path: str, keys: _Keys, options: LoadOptions) -> Iterator[Source]:
    parts = path.split("/")
    first = next(place for place, part in enumerate(parts) if glob.has_magic(part))
    root = "/".join(parts[:first]) or files.root_marker
    return _walk((files, root), Pattern(parts[first:]), keys, options)


def _walk(
    where: tuple[Any, str], pattern: Pattern, keys: _Keys, options: LoadOptions
) -> Iterator[Source]:
    """The files below a folder that match, folder by folder, in the order of their names."""
    files, root = where
    waiting = [(root, pattern.start)]
    while waiting:
        here, places = waiting.pop()
        try:
            found = sorted(files.ls(here, detail=True), key=lambda entry: str(entry["name"]))
        except Exception as error:  # noqa: BLE001  # file systems raise what they like
            yield FailedSource(keys.key(here), unreachable(error))
            continue
        folders = []
        for entry in found:
            path = str(entry["name"]).rstrip("/")
            name = path.rsplit("/", 1)[-1]
            if not name or path == here.rstrip("/"):  # a folder that lists itself
                continue
            reached = pattern.step(places, name)
            if entry["type"] == "directory":
                if pattern.descends(reached):
                    folders.append((path, reached))
            elif pattern.accepts(reached) and (is_known(name) or pattern.names_format()):
                yield UrlSource(keys.key(path), files, path, options)
        waiting.extend(reversed(folders))


class _Keys:
    """Makes the keys of files below a URL: what was written before their path, and their path."""

    def __init__(self, links: Sequence[str], files: Any, path: str) -> None:
        self._files = files
        first, *rest = links
        self._after = "".join(f"::{without_credentials(link)}" for link in rest)
        first = first.rstrip("/")
        known = bool(path) and first.endswith(path) and not first.startswith(WHOLE_PATHS)
        self._before = without_credentials(first[: len(first) - len(path)]) if known else None

    def key(self, path: str) -> str:
        """The key of one file."""
        whole = path if self._before is None else self._before + path
        if self._before is None:
            whole = without_credentials(str(self._files.unstrip_protocol(path)))
        return whole + self._after


def without_credentials(url: str) -> str:
    """A URL without user, password, and whatever in its query may be a secret."""
    if not url.startswith(NO_CREDENTIALS):
        url = _USER.sub("", url, count=1)
    address, question, query = url.partition("?")
    if not question:
        return url
    kept = [
        (name, value)
        for name, value in parse_qsl(query, keep_blank_values=True)
        if not _SECRET.search(name)
    ]
    return f"{address}?{urlencode(kept)}" if kept else address
