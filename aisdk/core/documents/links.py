"""The links of a URL such as ``zip://*.md::https://host/a.zip``: all checked, then opened."""

from __future__ import annotations

import re
import weakref
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path
from threading import Lock
from typing import Any, BinaryIO, Final

from aisdk.core.documents.access import Access
from aisdk.core.documents.fetching import WEB, Web
from aisdk.core.documents.files import open_file
from aisdk.core.documents.sources import LoadOptions
from aisdk.core.documents.unreadable import too_large
from aisdk.errors import InvalidInput

__all__ = ["open_links", "split_links"]

LOCAL: Final = ("file", "local")
MOST_UNPACKED: Final = 2**30  # of a .tar.gz and the like, which is unpacked to be listed
_SEPARATOR: Final = re.compile(r"::(?![\w:.%]*\])")  # not the one in http://[::1]/


def split_links(url: str) -> list[str]:
    """The links of a URL, their schemes in lower case.

    fsspec splits in its own way; as it is only ever given the last link, and never one with a
    separator, it cannot see other links than those that were checked.
    """
    links = [link.partition("://") for link in _SEPARATOR.split(url)]
    return [scheme.lower() + found + path if found else scheme for scheme, found, path in links]


def open_links(links: Sequence[str], options: LoadOptions, access: Access) -> tuple[Any, str]:
    """The file system that a URL's first link names a path of, and that path.

    Raises:
        Unreadable: A link must not be reached, or an archive cannot be had.
        InvalidInput: The links do not fit together.
    """
    *archives, last = links
    for link in archives:
        scheme = link.partition("://")[0]
        if scheme not in _ARCHIVES:
            access.check_scheme(scheme)
            raise _do_not_fit()
    files, path = _open_last(last, options, access)
    for link in reversed(archives):
        scheme, _, below = link.partition("://")
        files = _Archive(files.open(path, "rb"), _ARCHIVES[scheme], path, options.max_bytes)
        path = below.strip("/")
    return files, path


def _open_last(link: str, options: LoadOptions, access: Access) -> tuple[Any, str]:
    import fsspec

    scheme, found, path = link.partition("://")
    if link.startswith("data:"):
        scheme = "data"
    elif not found or scheme in LOCAL:
        return _Local(access), path if found else link
    if scheme in _ARCHIVES:
        raise _do_not_fit()
    access.check_scheme(scheme)
    if scheme in WEB:
        return Web(access, options.max_bytes), link
    if "::" in link:
        raise _do_not_fit()
    files, path = fsspec.core.url_to_fs(link)
    return files, path


def _zip(file: BinaryIO, _: str) -> Any:
    import fsspec

    return fsspec.filesystem("zip", fo=file)


def _tar(file: BinaryIO, name: str) -> Any:
    import fsspec

    packed = fsspec.utils.infer_compression(name.partition("?")[0])
    if packed is None:
        return fsspec.filesystem("tar", fo=file)
    return fsspec.filesystem("tar", fo=_Bounded(fsspec.compression.compr[packed](file)))


class _Local:
    """Files of this machine, as what an archive is read from."""

    def __init__(self, access: Access) -> None:
        self._access = access

    def open(self, path: str, mode: str) -> BinaryIO:
        """A file that may be read."""
        del mode
        return open_file(Path(path).expanduser(), None, self._access)


class _Archive:
    """The files of an archive, each read as a whole and one at a time.

    They share a position in the archive, and threads would read one another's bytes.
    """

    def __init__(self, file: BinaryIO, kind: _Kind, name: str, max_bytes: int) -> None:
        weakref.finalize(self, file.close)
        self._files = kind(file, name)
        self._max_bytes = max_bytes
        self._turn = Lock()

    def open(self, path: str, mode: str) -> BytesIO:
        """A file's bytes.

        Raises:
            Unreadable: It unpacks to more than allowed.
        """
        with self._turn, self._files.open(path, mode) as file:
            data = file.read(self._max_bytes + 1)
        if len(data) > self._max_bytes:
            raise too_large()
        return BytesIO(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._files, name)


class _Bounded:
    """A file that is unpacked while it is read, up to a limit."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self.tell = file.tell

    def read(self, size: int) -> bytes:
        """The next bytes.

        Raises:
            Unreadable: They lie beyond the limit.
        """
        self._check(self.tell() + size)
        data: bytes = self._file.read(size)
        return data

    def seek(self, place: int) -> int:
        """Goes on from another place.

        Raises:
            Unreadable: It lies beyond the limit.
        """
        self._check(place)
        return int(self._file.seek(place))

    def _check(self, place: int) -> None:
        if place > MOST_UNPACKED:
            raise too_large()


def _do_not_fit() -> InvalidInput:
    return InvalidInput(
        "The parts of this URL do not fit together.",
        hint="Write zip:// or tar:// before each ::, and where the archive is after the last.",
    )


_Kind = Callable[[BinaryIO, str], Any]
_ARCHIVES: Final[dict[str, _Kind]] = {"zip": _zip, "tar": _tar}
