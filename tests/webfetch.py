"""Fetches as adding does, and as a plain session does: the control of what the walls are for."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, Final

import aiohttp
import pytest

from aisdk.core.documents.access import Access
from aisdk.core.documents.fetching import Web
from aisdk.core.documents.loading import enumerate_sources
from aisdk.core.documents.sources import LoadOptions, Source
from aisdk.errors import Unreadable
from aisdk.settings import URL_SCHEMES

__all__ = ["GUARDED", "MIB", "OPEN", "fetch", "fetch_naively", "named", "reason"]

GUARDED: Final = Access(schemes=frozenset(URL_SCHEMES), timeout_s=20)
OPEN: Final = replace(GUARDED, private=True)
MIB: Final = 2**20


def fetch(url: str, access: Access = OPEN, max_bytes: int = MIB) -> bytes:
    """What a URL names, read in a thread as adding does."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(Web(access, max_bytes).open, url).result().getvalue()


def named(url: str, access: Access = OPEN, max_bytes: int = MIB) -> list[Source]:
    """The sources that a URL names, found in a thread as adding does."""
    with ThreadPoolExecutor(1) as pool:
        options = LoadOptions(max_bytes=max_bytes)
        return pool.submit(lambda: list(enumerate_sources(url, options, access))).result()


def reason(url: str, access: Access = OPEN, max_bytes: int = MIB) -> str:
    """Why a URL cannot be read."""

    def read() -> None:
        (source,) = enumerate_sources(url, LoadOptions(max_bytes=max_bytes), access)
        source.read()

    with ThreadPoolExecutor(1) as pool, pytest.raises(Unreadable) as error:
        pool.submit(read).result()
    assert error.value.hint
    assert url not in str(error.value)
    return error.value.reason


def fetch_naively(url: str, **how: Any) -> bytes:
    """The control: a plain session, as fsspec makes it."""

    async def get() -> bytes:
        async with aiohttp.ClientSession(**how) as session, session.get(url) as response:
            return await response.read()

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, get()).result()
