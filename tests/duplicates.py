"""Many callers who ask for the same with the same key; as a program: one process of them."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterable
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any, Final

from aftermath import make_documents

import aisdk
from aisdk.core.documents import adding
from aisdk.core.runtime import replay
from aisdk.errors import AisdkError
from aisdk.settings import Settings

__all__ = ["BATCH_CHUNKS", "KINDS", "LEASE_S", "NUMBERS", "Order", "insist", "main"]

KINDS: Final = ("delete", "add", "update")
NUMBERS: Final = range(3)  # of the documents that an order is about
LEASE_S: Final = 3.0  # so short that it ends by itself while the database is away
BATCH_CHUNKS: Final = 1  # each document of an order is a transaction of its own
PAUSE_S: Final = 0.5


@dataclass(frozen=True)
class Order:
    """What is asked for again and again.

    Attributes:
        number: Tells it from the others.
        tenant: One that has no other order.
        kind: Which verb.
        key: Its idempotency key; ``None`` for none.
    """

    number: int
    tenant: str
    kind: str
    key: str | None


async def ask(session: aisdk.AsyncSession, kind: str) -> Any:
    """The answer to one call, as JSON has it."""
    if kind == "delete":
        return await session.documents.delete(where={})
    if kind == "update":
        return await session.documents.update("s1", title="ordered")
    rows = await session.documents.add(make_documents(NUMBERS, 1), progress=False)
    return [list(record) for record in rows.records]


async def insist(client: aisdk.Client, order: Order) -> Any:
    """The answer to an order, asked for until there is one; an error that waiting does not mend."""
    session = client.session(order.tenant).with_options(idempotency_key=order.key)
    while True:
        try:
            return await ask(session, order.kind)
        except AisdkError as error:
            if not error.retryable:
                return f"error: {error.code}"
            await asyncio.sleep(min(getattr(error, "retry_after_s", PAUSE_S), PAUSE_S))


async def serve(home: Path) -> None:
    """Takes lines of orders, each with how many ask for it, and writes a line for each answer."""
    async with aisdk.Client(Settings(home=home, embedding="none")) as client:
        await client.astart()
        print("ready", flush=True)  # noqa: T201  # a program prints
        while line := await asyncio.to_thread(sys.stdin.readline):
            await asyncio.gather(*(answer(client, order) for order in orders_of(line)))


async def answer(client: aisdk.Client, order: Order) -> None:
    """Writes the answer to an order."""
    print(json.dumps([order.number, await insist(client, order)]), flush=True)  # noqa: T201


def line_of(orders: Iterable[Order]) -> bytes:
    """Orders, one for each who asks, as a line for a process."""
    return json.dumps([astuple(order) for order in orders]).encode() + b"\n"


def orders_of(line: str) -> list[Order]:
    """The orders of a line."""
    return [Order(*each) for each in json.loads(line)]


def main() -> None:
    """One process of callers, with short leases and small batches."""
    replay.LEASE_S = LEASE_S  # type: ignore[misc]  # shorter than in earnest
    adding.BATCH_CHUNKS = BATCH_CHUNKS  # type: ignore[misc]
    asyncio.run(serve(Path(sys.argv[1])))


if __name__ == "__main__":
    main()
