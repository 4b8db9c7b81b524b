"""Files of this machine: found in folders and by globs without leaving them, read with limits."""

from __future__ import annotations

import glob
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path, PurePath
from typing import BinaryIO, Final

from aisdk.core.documents.access import Access
from aisdk.core.documents.parsing import is_known, parse
from aisdk.core.documents.sources import FailedSource, FileBytes, LoadOptions, Parsed, Source
from aisdk.core.documents.unreadable import too_large, unreachable
from aisdk.errors import InvalidInput, Unreadable

__all__ = ["FileSource", "Pattern", "from_path", "open_file"]

PASSED_OVER: Final = frozenset({"__pycache__", "node_modules", "site-packages", "venv"})
LONGEST_PATTERN: Final = 4_096
# Not every system has each of these; without them the checks before opening remain.
OPEN_FLAGS: Final = os.O_RDONLY | sum(
    getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_BINARY")
)
# O_PATH opens a folder that may be passed through but not listed.
FOLDER_FLAGS: Final = os.O_RDONLY | sum(
    getattr(os, name, 0) for name in ("O_PATH", "O_DIRECTORY", "O_CLOEXEC")
)


@dataclass(frozen=True, slots=True)
class FileSource(FileBytes):
    """A file of this machine; ``root`` is the folder that it must not leave."""

    source: str
    path: Path
    root: Path | None
    options: LoadOptions
    access: Access

    def read(self) -> bytes:
        """Its bytes.

        Raises:
            Unreadable: It leaves its folder, is no regular file, is too large or cannot be read.
        """
        try:
            with open_file(self.path, self.root, self.access) as file:
                data = file.read(self.options.max_bytes + 1)
        except (OSError, RuntimeError, ValueError) as error:  # a loop of links, a NUL in the name
            if isinstance(error, Unreadable):
                raise
            raise unreachable(error) from error
        if len(data) > self.options.max_bytes:
            raise too_large()
        return data

    def parse(self, data: bytes | None) -> Parsed:
        """Its text, by the format that its name tells."""
        return parse(self.path.name, data or b"", self.options)


def open_file(path: Path, root: Path | None, access: Access) -> BinaryIO:
    """A regular file, opened for reading; links are followed, but not out of where it must stay.

    Args:
        path: Its path.
        root: A folder that it must not leave, without links in its own path.
        access: Knows the folders that may be read.

    Raises:
        Unreadable: It leaves them, or is no regular file.
        OSError: It cannot be opened.
    """
    real = Path(os.path.realpath(path))
    if root is not None and not real.is_relative_to(root):
        raise _outside()
    folder = access.folder_of(real) or root  # before it is told whether the file is there
    _check_regular(real.stat().st_mode)  # opening a pipe or a device may do something
    opener = partial(_open_below, folder)
    file = open(real, "rb", opener=opener)  # noqa: SIM115  # who asked for it closes it
    try:
        _check_regular(os.fstat(file.fileno()).st_mode)
    except Unreadable:
        file.close()
        raise
    return file


def _open_below(folder: Path | None, path: str, _: int) -> int:
    """Opens a path that was resolved before, and meets no link that was put there since.

    Below the folder it goes name by name, so that none of them can lead elsewhere.
    """
    if folder is None or os.open not in os.supports_dir_fd:
        return os.open(path, OPEN_FLAGS)
    *folders, name = Path(path).relative_to(folder).parts
    here = os.open(folder, FOLDER_FLAGS)
    try:
        for each in folders:
            below = os.open(each, FOLDER_FLAGS | os.O_NOFOLLOW, dir_fd=here)
            os.close(here)
            here = below
        return os.open(name, OPEN_FLAGS, dir_fd=here)
    finally:
        os.close(here)


class Pattern:
    """The parts of a glob, matched name by name on the way down, so that nothing else is listed.

    The places that a path may have reached in the pattern are a set of numbers; ``**`` stays where
    it is or is left. Hidden names match only what begins with a dot itself.
    """

    def __init__(self, parts: Sequence[str]) -> None:
        self._parts = parts
        self.start = self._closed({0})

    def step(self, places: frozenset[int], name: str) -> frozenset[int]:
        """The places after one more name; empty when it does not match."""
        reached: set[int] = set()
        for place in places - {len(self._parts)}:
            part = self._parts[place]
            if part == "**":
                if not name.startswith(".") and name not in PASSED_OVER:
                    reached.add(place)
            elif fnmatchcase(name, part) and (part[0] == "." or name[0] != "."):
                reached.add(place + 1)
        return self._closed(reached)

    def accepts(self, places: frozenset[int]) -> bool:
        """Whether a file that is reached by these places matches."""
        return len(self._parts) in places

    def descends(self, places: frozenset[int]) -> bool:
        """Whether anything below a folder that is reached by these places may match."""
        return any(place < len(self._parts) for place in places)

    def names_format(self) -> bool:
        """Whether the pattern spells a suffix, so that also unknown ones are meant."""
        suffix = PurePath(self._parts[-1]).suffix
        return bool(suffix) and not glob.has_magic(suffix)

    def _closed(self, places: set[int]) -> frozenset[int]:
        for place in sorted(places):
            while place < len(self._parts) and self._parts[place] == "**":
                place += 1  # noqa: PLW2901  # ** may stand for no folder at all
                places.add(place)
        return frozenset(places)


def from_path(path: Path, options: LoadOptions, access: Access) -> Iterator[Source]:
    """The source or sources of a file, a folder or a glob.

    Raises:
        InvalidInput: There is no such thing.
        Unreadable: It lies outside the folders that may be read, whether it is there or not.
    """
    try:
        path = path.expanduser()
        real = Path(os.path.realpath(path))
        access.folder_of(real)
        if real.is_dir():
            return _walk(real, Pattern(["**"]), options, access)
        if os.path.lexists(path):
            whole = path.parent.resolve() / path.name
            return iter([FileSource(whole.as_posix(), whole, None, options, access)])
    except (OSError, RuntimeError, ValueError) as error:  # too long, or with NUL: no path
        if isinstance(error, Unreadable):
            raise
        path = Path()
    if path.name and glob.has_magic(str(path)) and len(str(path)) < LONGEST_PATTERN:
        return _from_glob(path, options, access)
    raise InvalidInput(
        "There is no such file or folder.", hint="To add a text, wrap it in a list: add([text])."
    )


def _from_glob(path: Path, options: LoadOptions, access: Access) -> Iterator[Source]:
    """What matches a glob below its fixed part."""
    first = next(place for place, part in enumerate(path.parts) if glob.has_magic(part))
    root = Path(*path.parts[:first]).resolve()
    access.folder_of(root)
    if not root.is_dir():
        raise InvalidInput("The folder of the glob does not exist.", hint="Check its first part.")
    found = _walk(root, Pattern(path.parts[first:]), options, access)
    one = next(found, None)
    if one is None:
        raise InvalidInput(
            "The glob matches no file of a known format.",
            hint="** stands for folders of any depth.",
        )
    return _and_then(one, found)


def _and_then(first: Source, rest: Iterator[Source]) -> Iterator[Source]:
    yield first
    yield from rest


def _walk(root: Path, pattern: Pattern, options: LoadOptions, access: Access) -> Iterator[Source]:
    """The files below a folder that match, folder by folder, in the order of their names."""
    waiting = [(root, pattern.start)]
    while waiting:
        here, places = waiting.pop()
        try:
            with os.scandir(here) as entries:
                found = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            yield FailedSource(here.as_posix(), unreachable(error))
            continue
        folders = []
        for entry in found:
            path, reached = here / entry.name, pattern.step(places, entry.name)
            if entry.is_dir(follow_symlinks=False):
                if pattern.descends(reached) and not (path / "pyvenv.cfg").exists():
                    folders.append((path, reached))
            elif pattern.accepts(reached) and _is_wanted(entry, root, pattern):
                yield FileSource(path.as_posix(), path, root, options, access)
        waiting.extend(reversed(folders))


def _is_wanted(entry: os.DirEntry[str], root: Path, pattern: Pattern) -> bool:
    """Whether a file is to be read, or a link to a folder to be reported.

    A linked folder is not entered: below the root it is met by itself, elsewhere it must not be.
    """
    if entry.is_symlink() and os.path.isdir(entry.path):  # noqa: PTH112  # False for a circle
        return not Path(entry.path).resolve().is_relative_to(root)
    return is_known(entry.name) or pattern.names_format()


def _check_regular(mode: int) -> None:
    if not stat.S_ISREG(mode):
        raise Unreadable(
            "A source is no regular file.", hint="Leave it out.", reason="special_file"
        )


def _outside() -> Unreadable:
    return Unreadable(
        "A symbolic link leaves the folder that is added.",
        hint="Add what it points to by itself.",
        reason="outside_folder",
    )
