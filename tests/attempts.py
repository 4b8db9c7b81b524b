"""Ways to reach another tenant: each is ``async (world, me, them)`` and raises where it works."""

from __future__ import annotations

import asyncio
import re
import tempfile
import uuid
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, TypeAlias

import pyarrow.parquet as pq
from rivals import LIMITS, Tenant, World
from statements import functions, linked, register, sql

import aisdk
from aisdk.core.runtime.rates import Charge, Rate
from aisdk.errors import (
    AisdkError,
    IdempotencyConflict,
    InProgress,
    NotFound,
    TenantMismatch,
    Unavailable,
)

__all__ = ["ATTEMPTS", "Attempt"]

Attempt: TypeAlias = Callable[[World, Tenant, Tenant], Awaitable[None]]

WHERES: Final[list[Any]] = [
    {"year": {">=": 2000}},
    {"owner": {"in": ["a", "b", "c"]}},
    {"mark": {"!=": "x"}},
    {"tenant_id": "other"},
    {"owner": "' OR tenant_id IS NOT NULL --"},
    {"owner') OR ('": {"exists": False}},
]


def told(error: BaseException) -> str:
    """All that an error says, its causes included."""
    texts, link = [], error
    while link is not None:
        texts += [str(link), repr(link), repr(vars(link)) if hasattr(link, "__dict__") else ""]
        link = link.__cause__ or link.__context__  # type: ignore[assignment]  # None ends it
    return " ".join(texts)


async def queried(world: World, me: Tenant, them: Tenant) -> None:
    """No mode and no filter finds another's chunks, nor does explaining."""
    for mode in world.modes:
        for where in (None, *WHERES[:3]):
            page = await world.ask(
                me, "rag.query", f"pump {them.mark}", mode=mode, where=where, top_k=50
            )
            world.watch.see("search", me, list(page))
            world.watch.that("search", len(page) <= len(me.held), "more hits than chunks")
        world.watch.see("search", me, page._repr_html_())
    many = await world.ask(me, "rag.query_many", ["pump", them.mark[:9]], mode="lexical")
    world.watch.see("search", me, list(many))
    world.watch.see("search", me, list(await world.ask(me, "rag.explain", "pump")))


async def listed(world: World, me: Tenant, them: Tenant) -> None:
    """A listing has the own documents, all of them without a filter."""
    for where in WHERES:
        for state in ("ready", "all"):
            page = await world.ask(me, "documents.list", where=where, state=state, limit=100)
            world.watch.see("listings", me, page.to_frame().to_csv())
    found = await world.ask(me, "documents.list", where={"mark": them.mark})
    world.watch.that("listings", not len(found), "another's document was listed")
    count = await world.ask(me, "documents.count")
    world.watch.that("listings", count == len(me.held), "documents were miscounted")


async def keyed(world: World, me: Tenant, them: Tenant) -> None:
    """Another's document cannot be got, changed or deleted by its key; the error says nothing."""
    for key in [*them.held.values()][:3]:
        attempts: list[tuple[str, dict[str, Any]]] = [
            ("documents.get", {}),
            ("documents.update", {"title": me.mark}),
            ("documents.delete", {}),
        ]
        for verb, named in attempts:
            try:
                await world.ask(me, verb, key, **named)
            except NotFound as error:
                world.watch.see("errors", me, told(error))
                continue
            world.watch.that("document keys", holds=False, otherwise=f"{verb} reached another's")


async def cursors(world: World, me: Tenant, them: Tenant) -> None:
    """A cursor works for the tenant and the listing that got it, changed or not."""
    theirs = (await world.ask(them, "documents.list", limit=1)).cursor
    platform = (await world.client.tenants.list(limit=1)).cursor
    for stolen in filter(None, (theirs, platform)):
        for cursor in (stolen, stolen[:-2] + ("AA" if stolen[-2:] != "AA" else "BB"), stolen[:-4]):
            for order in ("source", "-created_at"):
                try:
                    await world.ask(me, "documents.list", cursor=cursor, order=order)
                except AisdkError as error:
                    right = isinstance(error, TenantMismatch) or cursor != stolen
                    world.watch.that("cursors", right, "a cursor was refused for another reason")
                    world.watch.see("errors", me, told(error))
                else:
                    world.watch.that("cursors", holds=False, otherwise="a cursor was taken")


async def jobs(world: World, me: Tenant, them: Tenant) -> None:
    """Another's job is unknown: how it stands, its answer, and how to end it."""
    text = world.document(them, "s0")
    theirs = await world.ask(them, "documents.add", [text], wait=False)
    world.bill(them, "documents.add", ())  # the job's own call
    for verb in ("jobs.get", "jobs.result", "jobs.cancel"):
        try:
            await world.ask(me, verb, theirs.job_id)
        except NotFound as error:
            world.watch.see("errors", me, told(error))
            continue
        world.watch.that("jobs", holds=False, otherwise=f"{verb} reached another's")
    mine = {row.job_id for row in await world.ask(me, "jobs.list", limit=1_000)}
    world.watch.that("jobs", theirs.job_id not in mine, "another's job was listed")
    while True:
        try:
            rows = await world.ask(them, "jobs.result", theirs.job_id)
        except InProgress:
            await asyncio.sleep(0.05)
        else:
            break
    them.held |= {row.source: row.document_id for row in rows}
    world.watch.see("jobs", them, list(rows))


async def cached(world: World, me: Tenant, them: Tenant) -> None:
    """The same key holds each tenant's own value."""
    for key in ("shared", "rag:query:x", f"tenant:{them.name}:cache:shared"):
        for tenant in (them, me):
            await world.ask(tenant, "cache.set", key, tenant.mark, ttl_s=600)
        for tenant in (them, me):
            world.watch.see("cache", tenant, await world.ask(tenant, "cache.get", key))
        await world.ask(me, "cache.delete", key)
        kept = await world.ask(them, "cache.get", key, default=them.mark)
        world.watch.that("cache", kept == them.mark, "another's value was deleted")
    world.watch.see("cache", me, list(await world.ask(me, "cache.stats")))


async def stolen(world: World, me: Tenant, them: Tenant) -> None:
    """Another's cached values, moved as they are under one's own keys, are not served."""
    question, answer = f"pump {next(world.numbers)}", None
    await world.ask(them, "cache.set", "stolen", them.mark, ttl_s=600)
    for mode in world.modes:
        await world.ask(them, "rag.query", question, mode=mode)
        await world.ask(me, "rag.query", question, mode=mode)
    theirs, mine = f"tenant:{them.name}:", f"tenant:{me.name}:"
    for key in await world.raw_keys():
        data = await world.backend.get(key)
        if data is None or ":limit:" in key:
            continue
        if key.startswith(theirs):
            await world.backend.set(mine + key.removeprefix(theirs), data, 600)
            answer = data if ":rag:query:" in key else answer
        elif key.startswith(f"{mine}rag:query:") and answer is not None:
            await world.backend.set(key, answer, 600)
    world.watch.see("cache", me, await world.ask(me, "cache.get", "stolen"))
    for mode in world.modes:
        page = await world.ask(me, "rag.query", question, mode=mode)
        world.watch.see("cache", me, list(page))


async def raw(world: World, me: Tenant, them: Tenant) -> None:
    """Every key of the cache begins with a tenant that is registered."""
    await world.ask(me, "rag.query", f"pump {next(world.numbers)}", mode="lexical")
    await world.ask(me, "cache.set", "raw", me.mark, ttl_s=600)
    registered = await world.registered()
    wrong = [
        key
        for key in await world.raw_keys()
        if not re.match(r"tenant:[\w.-]+:(cache|limit|rag:embedding|rag:query):", key)
        or key.split(":")[1] not in registered
    ]
    world.watch.that("raw keys", not wrong, "a key of the cache has no tenant")
    world.watch.that("raw keys", {me.name, them.name} <= registered, "a tenant is gone")


async def rates(world: World, me: Tenant, them: Tenant) -> None:
    """What one takes of a limit is not taken from another."""
    limiter = world.client._parts.limiter
    charge = Charge(f"probe-{uuid.uuid4().hex}", Rate(1, 1_000), 30)
    look = Charge(charge.name, charge.rate, 0)
    for times in range(1, 4):
        await limiter.take(me.name, charge)
        used = (await limiter.take(them.name, look)).used
        world.watch.that("limits", used == 0, "a limit was used up by another")
        used = (await limiter.take(me.name, look)).used
        world.watch.that("limits", used <= 30 * times, "a limit counts too much")
    for tenant in (me, them):
        limits = {row.limit: row for row in await world.ask(tenant, "usage.limits")}
        fair = limits["read"].used <= tenant.reads
        world.watch.that("limits", fair, "a tenant was charged for another's calls")
        stored = limits["documents"].used == len(tenant.held)
        world.watch.that("limits", stored, "another's documents fill a quota")


async def idempotency(world: World, me: Tenant, them: Tenant) -> None:
    """The same key and request of two tenants are two requests."""
    number = next(world.numbers)
    source, add, delete = f"s{1000 + number}", f"add {number}", f"delete {number}"
    for tenant in (me, them):
        try:
            own = len(await world.add(tenant, source, key=add)) == 1
        except IdempotencyConflict:
            own = False
        world.watch.that("keys", own, "another's key was met")
    differ = me.held[source] != them.held[source]
    world.watch.that("keys", differ, "another's answer was given")
    await world.ask(me, "documents.delete", source, key=delete)
    del me.held[source]
    count = await world.ask(them, "documents.count")
    world.watch.that("keys", count == len(them.held), "another's document was deleted")
    await world.ask(them, "documents.delete", source, key=delete)
    del them.held[source]
    count = await world.ask(them, "documents.count")
    world.watch.that("keys", count == len(them.held), "another's answer was given")
    try:
        await world.ask(me, "documents.delete", "s999999", key=delete)
    except AisdkError as error:
        world.watch.see("errors", me, told(error))


async def exported(world: World, me: Tenant, them: Tenant) -> None:
    """An exported tenant is whole and holds its own texts alone."""
    with tempfile.TemporaryDirectory() as folder:
        path = await world.client.tenants.export(me.name, Path(folder))
        for file in sorted(path.iterdir()):
            text = file.read_text() if file.suffix == ".json" else pq.read_table(file).to_pylist()
            world.watch.see("exports", me, text)
            world.watch.that("exports", them.name != me.name, "a name was lost")
        rows = pq.read_table(path / "documents.parquet").num_rows
    world.watch.that("exports", rows == len(me.held), "documents are missing")


async def billed(world: World, me: Tenant, them: Tenant) -> None:
    """Each pays for its own calls and tokens."""
    for tenant in (me, them):
        asked, doubt = tenant.calls.copy(), tenant.maybe.copy()
        least, tokens = tenant.tokens
        rows = list(await world.ask(tenant, "usage.list"))
        for verb, most in asked.items():
            calls = sum(row.calls for row in rows if row.verb == verb)
            fair = most - doubt[verb] <= calls <= most
            told = f"{calls} calls of {verb} were billed instead of {most - doubt[verb]} to {most}"
            world.watch.that("usage", fair, told)
        found = sum(row.tokens for row in rows if row.verb == "rag.query")
        fair = least <= found <= tokens
        world.watch.that("usage", fair, "a tenant was billed for another's tokens")
        known = {row.verb for row in rows} <= asked.keys() | {"usage.list"}
        world.watch.that("usage", known, "a tenant was billed for what it never called")


async def together(world: World, me: Tenant, them: Tenant) -> None:
    """Both ask the same new question at once, several times; each gets an answer of its own."""
    question = f"pump valve {next(world.numbers)}"
    for mode in world.modes:
        before = [_loads(world, tenant) for tenant in (me, them)]
        pages = await asyncio.gather(
            *(
                world.begun(tenant, "rag.query", question, mode=mode)
                for _ in range(4)
                for tenant in (me, them)
            )
        )
        for place, page in enumerate(pages):
            world.watch.see("at once", (me, them)[place % 2], list(page))
            size = len((me, them)[place % 2].held)
            world.watch.that("at once", len(page) == min(size, 10), "another's answer was given")
        after = [_loads(world, tenant) for tenant in (me, them)]
        apart = all(later > sooner for sooner, later in zip(before, after, strict=True))
        world.watch.that("at once", apart, "two tenants shared one search")


def _loads(world: World, tenant: Tenant) -> int:
    rows = world.client._parts.cache.stats(tenant.name)
    return sum(row[3] for row in rows if row[0] == "rag:query")


async def threads(world: World, me: Tenant, them: Tenant) -> None:
    """Blocking sessions of both, each used from several threads."""
    both = [(tenant, aisdk.Session(world.client, tenant.name)) for tenant in (me, them)]

    def work(tenant: Tenant, session: aisdk.Session) -> list[Any]:
        answers: list[Any] = [list(session.rag.query("pump", mode="lexical"))]
        answers.append(list(session.documents.list(limit=100)))
        session.cache.set("thread", tenant.mark, ttl_s=600)
        answers.append(session.cache.get("thread"))
        return answers

    for tenant, _ in both * 3:
        world.bill(tenant, "rag.query", ("pump",), "lexical")
        for verb in ("documents.list", "cache.set", "cache.get"):
            world.bill(tenant, verb, ())
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(6) as pool:  # not the loop's own, which the calls need
        jobs = [loop.run_in_executor(pool, work, *each) for each in both * 3]
        for place, answers in enumerate(await asyncio.gather(*jobs)):
            for answer in answers:
                world.watch.see("threads", both[place % 2][0], answer)


async def cancelled(world: World, me: Tenant, them: Tenant) -> None:
    """Every other of many calls is cancelled on its way; connections keep no tenant."""
    number = 10_000 + next(world.numbers)
    begun: list[tuple[Tenant, str, tuple[Any, ...], asyncio.Task[Any]]] = []
    for tenant in (me, them) * 3:
        for verb, arguments in (
            ("rag.query", (f"pump valve {number}",)),
            ("documents.add", ([world.document(tenant, f"s{number}")],)),
            ("cache.set", ("cancelled", tenant.mark)),
            ("documents.list", ()),
        ):
            named: dict[str, Any] = {"documents.add": {"progress": False}}.get(verb, {})
            named |= {"ttl_s": 600} if verb == "cache.set" else {}
            call = world.begun(tenant, verb, *arguments, **named)
            begun.append((tenant, verb, arguments, asyncio.ensure_future(call)))
    for tenant, verb, arguments, task in begun[::2]:
        await asyncio.sleep(0.0005)
        task.cancel()
        world.doubt(tenant, verb, arguments)
    answers = await asyncio.gather(*(task for *_, task in begun), return_exceptions=True)
    for (tenant, *_), answer in zip(begun, answers, strict=True):
        text = told(answer) if isinstance(answer, BaseException) else list_of(answer)
        world.watch.see("cancelled", tenant, text)
    for _ in range(4):
        async with world.client._parts.database.driver() as connection:
            left = await connection.fetchval("SELECT current_setting('aisdk.tenant_id', true)")
            world.watch.that("cancelled", not left, "a pooled connection kept its tenant")
    for tenant in (me, them):
        page = await world.ask(tenant, "documents.list", limit=1_000)
        tenant.held |= {r.source: r.document_id for r in page if r.source == f"s{number}"}
        world.watch.see("cancelled", tenant, list(page))


def list_of(answer: Any) -> Any:
    """The rows of a page, or the answer itself."""
    return list(answer) if isinstance(answer, aisdk.Rows) else answer


async def erased(world: World, me: Tenant, them: Tenant) -> None:
    """Erasing one tenant takes nothing of another's; who comes after it finds nothing of it."""
    await world.ask(them, "cache.set", "left", them.mark, ttl_s=600)
    await world.ask(me, "cache.set", "left", me.mark, ttl_s=600)
    begin = f"tenant:{them.name}:"
    before = {key for key in await world.raw_keys() if key.startswith(begin)}
    old = me.mark
    for _ in range(20):  # a cache that is slow for once refuses the erasing
        try:
            await world.client.tenants.erase(me.name)
        except Unavailable:
            await asyncio.sleep(0.3)
        else:
            break
    keys = await world.raw_keys()
    kept = {key for key in before if ":limit:" not in key} <= set(keys)  # buckets leak empty
    world.watch.that("erasing", kept, "another's cached values were erased")
    gone = not [key for key in keys if key.startswith(f"tenant:{me.name}:")]
    world.watch.that("erasing", gone, "cached values of an erased tenant are left")
    count = await world.ask(them, "documents.count")
    world.watch.that("erasing", count == len(them.held), "another's documents were erased")
    me.forget()
    await world.client.tenants.create(me.name, tier="unlimited", settings=LIMITS)
    value = await world.ask(me, "cache.get", "left")
    world.watch.that("erasing", value != old, "a value of the erased tenant was read")
    found = await world.ask(me, "rag.query", "pump", mode="lexical")
    world.watch.that("erasing", not len(found), "a hit of the erased tenant was read")
    await world.add(me, "s0", "s1")


ATTEMPTS: Final[dict[str, Attempt]] = {
    attempt.__name__: attempt
    for attempt in (
        sql,
        register,
        linked,
        functions,
        queried,
        listed,
        keyed,
        cursors,
        jobs,
        cached,
        stolen,
        raw,
        rates,
        idempotency,
        exported,
        billed,
        together,
        threads,
        cancelled,
        erased,
    )
}
