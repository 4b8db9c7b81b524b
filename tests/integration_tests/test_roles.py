"""Roles that are harmless, and may become others that are not: refused like those."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Final

import asyncpg
import pytest
from production import Production, produced

import aisdk
from aisdk.errors import ConfigError

ROUNDABOUT: Final = [
    ("CREATE ROLE {extra} SUPERUSER", "GRANT {extra} TO {app}", r"superuser, or may become one"),
    ("CREATE ROLE {extra} BYPASSRLS", "GRANT {extra} TO {app}", r"may become a role that does"),
    (
        "CREATE ROLE {extra}",
        "GRANT {owner} TO {app} WITH INHERIT FALSE, SET TRUE",
        r"may become their owner",
    ),
    (
        "CREATE ROLE {extra}",
        "GRANT {platform} TO {app} WITH INHERIT FALSE, SET TRUE",
        r"may register tenants",
    ),
]


@pytest.fixture(scope="module")
def production() -> Iterator[Production]:
    """The set-up, for the whole module."""
    with produced() as made:
        yield made


def start(production: Production) -> None:
    """Connects as the role that serves tenants."""
    with aisdk.Client(production.settings()) as client:
        client.start()


@pytest.mark.parametrize(("make", "grant", "says"), ROUNDABOUT)
def test_role_that_may_become_another_is_refused(
    production: Production, make: str, grant: str, says: str
) -> None:
    """Row-level security holds for what it is, and not for what it may become."""
    other = production.another()
    start(other)
    names = {
        "app": other.app,
        "owner": other.owner,
        "platform": other.platform,
        "extra": f"{other.name}_extra",
    }
    for statement in (make, grant):
        other.sql(other.name, statement.format_map(names))
    with pytest.raises(ConfigError, match=says):
        start(other)


def test_role_that_may_become_the_owner_can_open_the_walls(production: Production) -> None:
    """The control: what is refused is no idle fear."""
    other = production.another()
    other.sql(other.name, f"GRANT {other.owner} TO {other.app} WITH INHERIT FALSE, SET TRUE")

    async def open_the_wall() -> None:
        connection = await asyncpg.connect(other.url(other.app))
        await connection.execute(f"SET ROLE {other.owner}")
        await connection.execute("ALTER TABLE aisdk.documents DISABLE ROW LEVEL SECURITY")
        await connection.close()

    asyncio.run(open_the_wall())
    query = "SELECT relrowsecurity FROM pg_class WHERE oid = 'aisdk.documents'::regclass"
    assert other.sql(other.name, query) is False
