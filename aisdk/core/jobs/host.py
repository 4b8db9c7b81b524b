"""The place whose files a job needs, told apart from others by a name that outlives its host."""

from __future__ import annotations

import os
import socket
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Final

__all__ = ["host_of"]

FILE: Final = "place"


def host_of(home: Path) -> str:
    """The name kept in ``home``, made on first use. Blocking.

    A container has another host name at each start; what it keeps on a volume stays.

    Args:
        home: ``AISDK_HOME``.

    Returns:
        The same name for all clients of this folder; that of the host where nothing can be kept.
    """
    file = home / FILE
    with suppress(OSError):
        if not file.exists():
            home.mkdir(parents=True, exist_ok=True)
            _put(file)
        return file.read_text("utf-8").strip() or socket.gethostname()
    return socket.gethostname()


def _put(file: Path) -> None:
    """Makes the file with its text in one step, unless another process has made it."""
    draft = file.with_name(f"{file.name}.{uuid.uuid4().hex}")
    try:
        draft.write_text(uuid.uuid4().hex, "utf-8")
        with suppress(FileExistsError):
            os.link(draft, file)
    finally:
        draft.unlink(missing_ok=True)
