"""Never run, only checked: what mypy and pyright infer of every verb's faces."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, assert_type

import pandas as pd
from matplotlib.axes import Axes

from aisdk import (
    AddOptions,
    AsyncSession,
    Client,
    ListOptions,
    ManyOptions,
    QueryOptions,
    Receipt,
    Session,
    Tier,
)
from aisdk.core.cache.types import CacheInfo
from aisdk.core.documents.faces import Documents
from aisdk.core.documents.types import (
    DocumentInfo,
    SourceOutcome,
    StoredDocument,
    StoreInfo,
)
from aisdk.core.isolation.types import ProbeResult
from aisdk.core.jobs.handles import AsyncJob, Job
from aisdk.core.jobs.types import JobInfo
from aisdk.core.rag.faces import ClientRag
from aisdk.core.rag.types import Hit, QueryHit, Stage
from aisdk.core.results.page import AsyncPage, Page, Rows
from aisdk.core.tenants.faces import ClientTenants
from aisdk.core.tenants.types import Erased, TenantInfo
from aisdk.core.usage.types import LimitInfo, UsageInfo
from aisdk.notebook.widgets import Explorer


def kept_options(session: Session) -> None:
    """Options that are kept for several calls have the types that the docstrings name."""
    search: QueryOptions = {"mode": "dense", "vector": [0.5, 0.5]}
    many: ManyOptions = {"min_score": 0.5, "progress": False}
    listing: ListOptions = {"order": "-title", "state": "failed"}
    adding: AddOptions = {"id": "key", "raise_on_error": False}
    assert_type(session.rag.query("text", **search), Page[Hit])
    assert_type(session.rag.query_many(["a"], **many), Page[QueryHit])
    assert_type(session.documents.list(**listing), Page[DocumentInfo])
    assert_type(session.documents.add("docs/", **adding), Rows[SourceOutcome])


def blocking_faces(session: Session) -> None:
    """A cell gets values and blocking pages."""
    assert_type(session.documents.add("docs/", id="key", progress=False), Rows[SourceOutcome])
    assert_type(session.documents.add("docs/", wait=True), Rows[SourceOutcome])
    job = session.documents.add("docs/", wait=False, id="key")
    assert_type(job, Job[SourceOutcome])
    assert_type(job.status(), JobInfo)
    assert_type(job.result(timeout_s=5), Rows[SourceOutcome])
    assert_type(job.cancel(), JobInfo)
    assert_type(session.job(job.job_id), Job[Any])
    assert_type(session.job(job.job_id).result(), Rows[Any])
    assert_type(session.jobs.list(unfinished=True), Page[JobInfo])
    assert_type(session.jobs.get(job.job_id), JobInfo)
    assert_type(session.jobs.result(job.job_id), Rows[Any])
    assert_type(session.jobs.cancel(job.job_id), JobInfo)
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
    assert_type(session.cache.set("key", {"pump": 1}, ttl_s=60), bool)
    assert_type(session.cache.get("key", default=0), Any)
    assert_type(session.cache.delete("key"), bool)
    assert_type(session.cache.stats(), Rows[CacheInfo])
    assert_type(session.usage.limits(), Rows[LimitInfo])
    assert_type(session.usage.list(days=7), Rows[UsageInfo])
    assert_type(session.verify_isolation(), Rows[ProbeResult])
    assert_type(session.with_options(deadline_s=5, retries=0), Session)
    assert_type(session.documents.with_options(idempotency_key="key"), Documents)
    assert_type(session.asynchronous(), AsyncSession)
    assert_type(session.close(), None)


async def bound_faces(session: AsyncSession) -> None:
    """A coroutine gets the same values, and pages to await."""
    assert_type(await session.documents.add(["text"]), Rows[SourceOutcome])
    job = await session.documents.add(["text"], wait=False)
    assert_type(job, AsyncJob[SourceOutcome])
    assert_type(await job.status(), JobInfo)
    assert_type(await job.result(), Rows[SourceOutcome])
    assert_type(await job.cancel(), JobInfo)
    assert_type(session.job(job.job_id), AsyncJob[Any])
    assert_type(await session.jobs.list(), AsyncPage[JobInfo])
    assert_type(await session.jobs.get(job.job_id), JobInfo)
    assert_type(await session.jobs.result(job.job_id), Rows[Any])
    assert_type(await session.jobs.cancel(job.job_id), JobInfo)
    assert_type(await session.documents.get("key"), StoredDocument)
    assert_type(await session.documents.count(), int)
    assert_type(await session.documents.update("key", title="New"), None)
    assert_type(await session.documents.delete("key"), int)
    assert_type(await session.documents.info(), StoreInfo)
    assert_type(await session.documents.set_language("german"), None)
    assert_type(await session.documents.list(), AsyncPage[DocumentInfo])
    page = await session.documents.list()
    assert_type(await page.next(), AsyncPage[DocumentInfo])
    assert_type(page.pages(), AsyncIterator[AsyncPage[DocumentInfo]])
    assert_type(await session.rag.query("text"), AsyncPage[Hit])
    assert_type(await session.rag.query_many(["a"]), AsyncPage[QueryHit])
    assert_type(await session.rag.explain("text"), Rows[Stage])
    assert_type(await session.cache.set("key", [1], ttl_s=60), bool)
    assert_type(await session.cache.get("key"), Any)
    assert_type(await session.cache.delete("key"), bool)
    assert_type(await session.cache.stats(), Rows[CacheInfo])
    assert_type(await session.usage.limits(), Rows[LimitInfo])
    assert_type(await session.usage.list(), Rows[UsageInfo])
    assert_type(await session.verify_isolation(), Rows[ProbeResult])
    assert_type(session.with_options(retries=0), AsyncSession)
    async with AsyncSession.connect("acme") as other:
        assert_type(other, AsyncSession)


async def hosted_faces(client: Client) -> None:
    """A service names the tenant each time."""
    assert_type(await client.documents.add("acme", ["text"]), Rows[SourceOutcome])
    job = await client.documents.add("acme", "docs/", wait=False)
    assert_type(job, AsyncJob[SourceOutcome])
    assert_type(await client.jobs.list("acme", limit=5), AsyncPage[JobInfo])
    assert_type(await client.jobs.get("acme", job.job_id), JobInfo)
    assert_type(await client.jobs.result("acme", job.job_id), Rows[Any])
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
    assert_type(await client.cache.set("acme", "key", "value"), bool)
    assert_type(await client.cache.get("acme", "key"), Any)
    assert_type(await client.cache.delete("acme", "key"), bool)
    assert_type(await client.cache.stats("acme"), Rows[CacheInfo])
    assert_type(await client.usage.limits("acme"), Rows[LimitInfo])
    assert_type(await client.usage.list("acme", days=7), Rows[UsageInfo])


async def platform_faces(client: Client, tier: Tier, receipt: Receipt) -> None:
    """Whoever runs the platform has the register, the probes and the client itself."""
    assert_type(await client.tenants.create("acme", tier="free"), TenantInfo)
    assert_type(await client.tenants.get("acme"), TenantInfo)
    assert_type(await client.tenants.list(state="active"), AsyncPage[TenantInfo])
    assert_type(await client.tenants.update("acme", settings={"documents": 9}), TenantInfo)
    assert_type(await client.tenants.tiers(), Rows[Tier])
    assert_type(await client.tenants.put_tier(tier), None)
    assert_type(await client.tenants.export("acme", "acme/"), Path)
    assert_type(await client.tenants.import_("acme/", tenant_id="copy"), TenantInfo)
    assert_type(await client.tenants.erase("acme"), Receipt)
    keyed = client.tenants.with_options(idempotency_key="key")
    assert_type(keyed, ClientTenants)
    assert_type(await keyed.create("acme"), TenantInfo)
    assert_type(await keyed.erase("acme"), Receipt)
    assert_type(await client.tenants.verify_erased(receipt), Rows[Erased])
    assert_type(await client.verify_isolation(), Rows[ProbeResult])
    assert_type(client.session("acme"), AsyncSession)
    assert_type(client.face(ClientRag, "rag"), ClientRag)
    assert_type(client.call(client.tenants.tiers), Rows[Tier])
    assert_type(client.check("acme"), None)
    assert_type(client.resume("acme"), None)
    assert_type(client.start(), None)
    assert_type(await client.astart(), None)
    assert_type(client.close(), None)
    assert_type(await client.aclose(), None)


def wrong_calls(session: Session) -> None:
    """What a type checker refuses; an unused ignore is an error, so each must be one."""
    session.rag.query(5)  # type: ignore[arg-type]  # a text is needed
    session.rag.query("text", mode="magic")  # type: ignore[arg-type]  # no such mode
    session.rag.query("text", typo=True)  # type: ignore[call-arg]  # no such option
