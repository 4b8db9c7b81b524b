"""Finds the sources that a call names: files, folders, globs, URLs, texts, rows of a DataFrame."""

from __future__ import annotations

import glob
import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

from aisdk.core.documents.parsing import is_known, parse
from aisdk.core.documents.sources import (
    LOADER_VERSION,
    Document,
    LoadOptions,
    Parsed,
    Source,
    TextSource,
    too_large,
)
from aisdk.errors import InvalidInput, Unreadable

__all__ = ["enumerate_sources"]

SKIPPED_FOLDERS: Final = frozenset({"__pycache__", "node_modules", "venv", "site-packages"})
WHAT: Final = (
    "Give a path, folder, glob or URL; a list of texts, Documents or Paths; or a DataFrame."
)


def enumerate_sources(what: Any, options: LoadOptions) -> Iterator[Source]:
    """The sources that ``what`` names, one at a time, always in the same order.

    Folders are walked without listing them as a whole; hidden files and folders, caches and
    environments are passed over, and so are files of unknown formats. A symbolic link that leaves
    the folder, and whatever else must not be opened, comes as a source that fails on reading.

    Args:
        what: See `aisdk.Session.documents.add`.
        options: Column names and limits.

    Raises:
        InvalidInput: ``what`` is nothing of the kind, or names nothing.
    """
    if isinstance(what, Path):
        return _from_path(what, options)
    if isinstance(what, str):
        return _from_text(what, options)
    if hasattr(what, "columns") and hasattr(what, "iloc"):
        return _from_frame(what, options)
    if isinstance(what, Document):
        return iter([_text_source(what, options)])
    if isinstance(what, Iterable) and not isinstance(what, (bytes, Mapping)):
        return _from_items(what, options)
    raise InvalidInput("This cannot be added.", hint=WHAT)


@dataclass(frozen=True, slots=True)
class FileSource:
    """A file of this machine; ``root`` is the folder that it must not leave."""

    source: str
    path: Path
    root: Path | None
    options: LoadOptions

    def read(self) -> bytes:
        """Its bytes.

        Raises:
            Unreadable: It leaves its folder, is no regular file, is too large or cannot be read.
        """
        _check_inside(self.path, self.root)
        try:
            with os.fdopen(os.open(self.path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
                if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                    raise Unreadable(
                        "A source is no regular file.", hint="Leave it out.", reason="special_file"
                    )
                return _bounded(file, self.options.max_bytes)
        except OSError as error:
            raise _unreachable(error) from error

    def content_key(self, data: bytes | None) -> bytes:
        """A hash of the bytes."""
        return _hash(data)

    def size_bytes(self, data: bytes | None) -> int:
        """Number of bytes."""
        return len(data or b"")

    def parse(self, data: bytes | None) -> Parsed:
        """Its text, by the format that its name tells."""
        return parse(self.path.name, data or b"", self.options)


@dataclass(frozen=True, slots=True)
class UrlSource:
    """A file of an fsspec file system."""

    source: str
    files: Any
    path: str
    options: LoadOptions

    def read(self) -> bytes:
        """Its bytes.

        Raises:
            Unreadable: It is too large or cannot be read.
        """
        try:
            with self.files.open(self.path, "rb") as file:
                return _bounded(file, self.options.max_bytes)
        except Unreadable:
            raise
        except Exception as error:  # noqa: BLE001  # file systems raise what they like
            raise _unreachable(error) from None

    def content_key(self, data: bytes | None) -> bytes:
        """A hash of the bytes."""
        return _hash(data)

    def size_bytes(self, data: bytes | None) -> int:
        """Number of bytes."""
        return len(data or b"")

    def parse(self, data: bytes | None) -> Parsed:
        """Its text, by the format that its name tells."""
        return parse(self.path.rsplit("/", 1)[-1], data or b"", self.options)


def _from_text(what: str, options: LoadOptions) -> Iterator[Source]:
    if "://" in what or "::" in what:
        return _from_url(what, options)
    try:
        exists = os.path.lexists(os.path.expanduser(what))  # noqa: PTH111  # a glob is no Path yet
    except ValueError:  # NUL
        exists = False
    if exists:
        return _from_path(Path(what), options)
    if glob.has_magic(what) and len(what) < 4096 and "\n" not in what:
        return _from_glob(what, options)
    raise InvalidInput(
        "There is no such file or folder.", hint="To add a text, wrap it in a list: add([text])."
    )


def _from_path(path: Path, options: LoadOptions) -> Iterator[Source]:
    path = path.expanduser()
    if path.is_dir():
        return _walk(path.resolve(), options)
    if not os.path.lexists(path):
        raise InvalidInput("There is no such file or folder.", hint=WHAT)
    whole = Path(os.path.abspath(path))  # noqa: PTH100  # a link keeps the name it was given
    return iter([FileSource(whole.as_posix(), whole, None, options)])


def _walk(folder: Path, options: LoadOptions) -> Iterator[Source]:
    """The known files below a folder, folder by folder, in the order of their names."""
    waiting = [folder]
    while waiting:
        here = waiting.pop()
        try:
            with os.scandir(here) as entries:
                found = sorted(entries, key=lambda entry: entry.name)
        except OSError:
            yield FileSource(here.as_posix(), here, folder, options)
            continue
        folders = []
        for entry in found:
            if entry.name.startswith("."):
                continue
            path = here / entry.name
            if entry.is_dir(follow_symlinks=False):
                if entry.name not in SKIPPED_FOLDERS and not (path / "pyvenv.cfg").exists():
                    folders.append(path)
            elif is_known(entry.name) or (entry.is_symlink() and entry.is_dir()):
                yield FileSource(path.as_posix(), path, folder, options)
        waiting.extend(reversed(folders))


def _from_glob(pattern: str, options: LoadOptions) -> Iterator[Source]:
    whole = Path(pattern).expanduser().absolute().as_posix()
    fixed = whole[: min(whole.index(sign) for sign in "*?[" if sign in whole)]
    root = Path(fixed).parent if not fixed.endswith("/") else Path(fixed)
    found = False
    for name in sorted(glob.iglob(whole, recursive=True)):  # noqa: PTH207  # as above
        path = Path(name)
        if path.is_dir() and not path.is_symlink():
            continue
        if is_known(path.name) or "*" not in Path(pattern).suffix:
            found = True
            yield FileSource(path.as_posix(), path, root.resolve(), options)
    if not found:
        raise InvalidInput("The glob matches no file that can be read.", hint=WHAT)


def _from_url(url: str, options: LoadOptions) -> Iterator[Source]:
    import fsspec

    try:
        files, path = fsspec.core.url_to_fs(url)
        if glob.has_magic(path):
            found = [name for name in sorted(files.glob(path)) if not files.isdir(name)]
        elif files.isdir(path):
            found = [name for name in sorted(files.find(path)) if is_known(name.rsplit("/", 1)[-1])]
        else:
            found = [path]
    except Exception as error:  # noqa: BLE001  # file systems raise what they like
        raise InvalidInput(
            f"The URL cannot be opened ({type(error).__name__}).",
            hint="Check it, and that the file system's package is installed.",
        ) from None
    scheme = _without_credentials(url).split("://")[0] if "::" not in url else ""
    return (UrlSource(_url_key(url, scheme, files, name), files, name, options) for name in found)


def _url_key(url: str, scheme: str, files: Any, name: str) -> str:
    if not scheme:  # chained, such as zip://*.txt::s3://…
        return (
            f"{files.protocol if isinstance(files.protocol, str) else files.protocol[0]}://{name}"
            + ("::" + _without_credentials(url.split("::", 1)[1]))
        )
    whole = str(files.unstrip_protocol(name))
    return _without_credentials(whole)


def _without_credentials(url: str) -> str:
    return re.sub(r"://[^/@]*@", "://", url)


def _from_items(items: Iterable[Any], options: LoadOptions) -> Iterator[Source]:
    for item in items:
        if isinstance(item, str):
            yield _text_source(Document(item), options)
        elif isinstance(item, Document):
            yield _text_source(item, options)
        elif isinstance(item, Path):
            yield from _from_path(item, options)
        else:
            raise InvalidInput("A list may hold texts, Documents and Paths only.", hint=WHAT)


def _text_source(document: Document, options: LoadOptions) -> TextSource:
    source: Any = document.source
    if source is None:
        text = str(document.text).encode("utf-8", "surrogatepass")
        source = f"text:{blake2b(text, digest_size=16).hexdigest()}"
    if not isinstance(source, str) or not source:
        raise InvalidInput("A Document's source must be text.", hint="Leave it out, or name it.")
    return TextSource(source, document, options.max_chars)


def _from_frame(frame: Any, options: LoadOptions) -> Iterator[Source]:
    """The rows of a DataFrame, taken column by column."""
    names = [str(name) for name in frame.columns]
    key = options.id or options.source
    used = [name for name in (options.text, key, options.title) if name is not None]
    for name in used:
        if names.count(name) != 1:
            raise InvalidInput(
                f"The DataFrame has no single column {name!r}.",
                hint=f"Name one of: {', '.join(names[:50])}.",
            )
    columns = {name: frame.iloc[:, names.index(name)].tolist() for name in names}
    others = [name for name in names if name not in used]
    return _rows(columns, others, options)


def _rows(
    columns: Mapping[str, list[Any]], others: list[str], options: LoadOptions
) -> Iterator[Source]:
    texts = columns[options.text]
    keys = columns[options.id or options.source or options.text]
    named = bool(options.id or options.source)
    titles = columns[options.title] if options.title else [""] * len(texts)
    for place, text in enumerate(texts):
        metadata = {name: columns[name][place] for name in others}
        document = Document(
            text,
            source=_row_key(keys[place]) if named else None,
            title=titles[place] if isinstance(titles[place], str) else "",
            metadata=metadata,
        )
        yield _text_source(document, options)


def _row_key(key: Any) -> str:
    if key is None or key != key or not str(key):  # noqa: PLR0124  # NaN is not equal to itself
        raise InvalidInput("A row has no id.", hint="Fill the id column, or leave id= out.")
    return str(int(key)) if isinstance(key, float) and key.is_integer() else str(key)


def _check_inside(path: Path, root: Path | None) -> None:
    if root is None:
        return
    try:
        inside = path.resolve(strict=True).is_relative_to(root)
    except (OSError, RuntimeError) as error:
        raise _unreachable(error) from error
    if not inside:
        raise Unreadable(
            "A symbolic link leaves the folder that is added.",
            hint="Add what it points to by itself.",
            reason="outside_folder",
        )


def _bounded(file: Any, most: int) -> bytes:
    data: bytes = file.read(most + 1)
    if len(data) > most:
        raise too_large()
    return data


def _hash(data: bytes | None) -> bytes:
    return blake2b((data or b"") + f"|{LOADER_VERSION}|file".encode(), digest_size=32).digest()


def _unreachable(error: BaseException) -> Unreadable:
    gone = isinstance(error, FileNotFoundError)
    return Unreadable(
        f"A source cannot be opened ({type(error).__name__}).",
        hint="Check that it is there and that you may read it.",
        reason="not_found" if gone else "not_readable",
    )
