"""Never run, only checked: what mypy and pyright infer of every verb's faces."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import assert_type

import pandas as pd
from matplotlib.axes import Axes

from aisdk import AsyncSession, Client, Session
from aisdk.core.documents.types import (
    DocumentInfo,
    SourceOutcome,
    StoredDocument,
    StoreInfo,
)
from aisdk.core.jobs.handles import AsyncJob, Job
from aisdk.core.jobs.types import JobInfo
from aisdk.core.rag.types import Hit, QueryHit, Stage
from aisdk.core.results.page import AsyncPage, Page, Rows
from aisdk.notebook.widgets import Explorer


def blocking_faces(session: Session) -> None:
    """A cell gets values and blocking pages."""
    assert_type(session.documents.add("docs/", id="key", progress=False), Rows[SourceOutcome])
    assert_type(session.documents.add("docs/", wait=True), Rows[SourceOutcome])
    job = session.documents.add("docs/", wait=False, id="key")
    assert_type(job, Job[SourceOutcome])
    assert_type(job.status(), JobInfo)
    assert_type(job.result(timeout_s=5), Rows[SourceOutcome])
    assert_type(job.cancel(), JobInfo)
    assert_type(session.jobs.list(unfinished=True), Page[JobInfo])
    assert_type(session.jobs.get(job.job_id), JobInfo)
    assert_type(session.documents.get("key"), StoredDocument)
    assert_type(session.documents.list(limit=5, order="-title"), Page[DocumentInfo])
    assert_type(session.documents.count(where={"year": 2020}), int)
    assert_type(session.documents.update("key", title="New"), None)
    assert_type(session.documents.delete("key"), int)
    assert_type(session.documents.info(), StoreInfo)
    assert_type(session.documents.set_language("german"), None)
    page = session.rag.query("text", top_k=5, mode="lexical", weight=0.5)
    assert_type(page, Page[Hit])
    assert_type(page[0].text, str)
    assert_type(page.to_frame(), pd.DataFrame)
    assert_type(page.next(), Page[Hit])
    assert_type(page.pages(), Iterator[Page[Hit]])
    assert_type(page.collect(max_rows=10), Page[Hit])
    assert_type(page.explore(beside=session.rag.query("other")), Explorer[Hit])
    assert_type(page.explore().selected, Rows[Hit])
    assert_type(page.plot(), Axes)
    assert_type(page.explore().selected.to_frame(), pd.DataFrame)
    assert_type(session.rag.query_many(["a", "b"]), Page[QueryHit])
    assert_type(session.rag.explain("text"), Rows[Stage])


async def bound_faces(session: AsyncSession) -> None:
    """A coroutine gets the same values, and pages to await."""
    assert_type(await session.documents.add(["text"]), Rows[SourceOutcome])
    job = await session.documents.add(["text"], wait=False)
    assert_type(job, AsyncJob[SourceOutcome])
    assert_type(await job.result(), Rows[SourceOutcome])
    assert_type(await session.jobs.list(), AsyncPage[JobInfo])
    assert_type(await session.documents.get("key"), StoredDocument)
    assert_type(await session.documents.count(), int)
    assert_type(await session.documents.update("key", title="New"), None)
    assert_type(await session.documents.delete("key"), int)
    assert_type(await session.documents.info(), StoreInfo)
    assert_type(await session.documents.set_language("german"), None)
    page = await session.documents.list()
    assert_type(page, AsyncPage[DocumentInfo])
    assert_type(await page.next(), AsyncPage[DocumentInfo])
    assert_type(page.pages(), AsyncIterator[AsyncPage[DocumentInfo]])
    assert_type(await session.rag.query("text"), AsyncPage[Hit])
    assert_type(await session.rag.query_many(["a"]), AsyncPage[QueryHit])
    assert_type(await session.rag.explain("text"), Rows[Stage])


async def hosted_faces(client: Client) -> None:
    """A service names the tenant each time."""
    assert_type(await client.documents.add("acme", ["text"]), Rows[SourceOutcome])
    job = await client.documents.add("acme", "docs/", wait=False)
    assert_type(job, AsyncJob[SourceOutcome])
    assert_type(await client.jobs.cancel("acme", job.job_id), JobInfo)
    assert_type(await client.documents.get("acme", "key"), StoredDocument)
    assert_type(await client.documents.list("acme"), AsyncPage[DocumentInfo])
    assert_type(await client.documents.count("acme"), int)
    assert_type(await client.documents.update("acme", "key", title="New"), None)
    assert_type(await client.documents.delete("acme", "key"), int)
    assert_type(await client.documents.info("acme"), StoreInfo)
    assert_type(await client.documents.set_language("acme", "german"), None)
    assert_type(await client.rag.query("acme", "text", top_k=3), AsyncPage[Hit])
    assert_type(await client.rag.query_many("acme", ["a"]), AsyncPage[QueryHit])
    assert_type(await client.rag.explain("acme", "text"), Rows[Stage])


def wrong_calls(session: Session) -> None:
    """What a type checker refuses; an unused ignore is an error, so each must be one."""
    session.rag.query(5)  # type: ignore[arg-type]  # a text is needed
    session.rag.query("text", mode="magic")  # type: ignore[arg-type]  # no such mode
    session.rag.query("text", typo=True)  # type: ignore[call-arg]  # no such option
