"""Databases that are not ours: which are refused and why, and how ``migrate`` mends them."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import asyncpg
import pytest
from pydantic import SecretStr

import aisdk
from aisdk.__main__ import main
from aisdk.core.storage.embedded import EmbeddedServer
from aisdk.core.storage.schema import REVISION, check_server
from aisdk.errors import ConfigError, Conflict, TenantUnknown, Unavailable
from aisdk.settings import Settings

SECRET: Final = "hunter2-hunter2"  # noqa: S105  # the secret that must not be seen


class Elsewhere:
    """A server with a fresh database, an owner and an app role, as an operator would make it."""

    def __init__(self, home: Path, name: str) -> None:
        self.server = EmbeddedServer(home)
        self.server.start()
        self.name = name
        self.owner = f"{name}_owner"
        self.app = f"{name}_app"
        self.platform = f"{name}_platform"

    def sql(self, *statements: str, database: str | None = None) -> Any:
        """The value of the last statement, run by the superuser."""

        async def run() -> Any:
            connection = await asyncpg.connect(self.url("postgres", database))
            try:
                for statement in statements[:-1]:
                    await connection.execute(statement)
                return await connection.fetchval(statements[-1])
            finally:
                await connection.close()

        return asyncio.run(run())

    def url(self, role: str, database: str | None = None) -> str:
        """The address for a role."""
        return self.server.address(role, database or self.name)

    def migrate(self) -> subprocess.CompletedProcess[str]:
        """``python -m aisdk migrate`` in a new process."""
        return self.run("migrate")

    def run(self, command: str) -> subprocess.CompletedProcess[str]:
        """A command in a new process."""
        variables = {
            "AISDK_DATABASE_URL": self.url(self.app),
            "AISDK_DATABASE_OWNER_URL": self.url(self.owner),
            "AISDK_PLATFORM_DATABASE_URL": self.url(self.platform),
        }
        return subprocess.run(  # noqa: S603  # this interpreter, our own command
            [sys.executable, "-m", "aisdk", command],
            env={**os.environ, "AISDK_EMBEDDING": "none", **variables},
            capture_output=True,
            text=True,
            check=False,
        )

    def client(self, **settings: Any) -> aisdk.Client:
        """A client over the addresses of the app and platform roles, by default."""
        urls = {
            "database_url": SecretStr(self.url(self.app)),
            "platform_database_url": SecretStr(self.url(self.platform)),
        }
        return aisdk.Client(Settings(embedding="none", **{**urls, **settings}))

    def connect(self, **settings: Any) -> aisdk.Session:
        """A session of a tenant that is registered if it is not yet."""
        client = self.client(**settings)
        try:
            with suppress(Conflict):
                client.start()
                asyncio.run(client.tenants.create("acme", tier="standard"))
            return aisdk.connect("acme", client=client)
        except BaseException:
            client.close()
            raise


@pytest.fixture(scope="module")
def machine() -> Iterator[Path]:
    """A running server."""
    home = Path(tempfile.mkdtemp(prefix="aisdk-"))
    server = EmbeddedServer(home)
    server.start()
    yield home
    server.close()
    shutil.rmtree(home, ignore_errors=True)


@pytest.fixture
def elsewhere(machine: Path) -> Iterator[Elsewhere]:
    """A fresh database with its two roles and the extension."""
    made = Elsewhere(machine, f"db{uuid.uuid4().hex[:8]}")
    made.sql(
        f"CREATE ROLE {made.owner} LOGIN",
        f"CREATE ROLE {made.app} LOGIN",
        f"CREATE ROLE {made.platform} LOGIN",
        f"CREATE DATABASE {made.name} OWNER {made.owner}",
        database="postgres",
    )
    made.sql("CREATE EXTENSION vector")
    yield made
    made.server.close()


def test_unmigrated_database_is_refused_until_it_is_migrated(elsewhere: Elsewhere) -> None:
    """The hint is the command that mends it; running it twice changes nothing."""
    with pytest.raises(ConfigError, match=r"no aisdk schema.*python -m aisdk migrate"):
        elsewhere.connect()
    done = elsewhere.migrate()
    assert (done.returncode, done.stderr) == (0, "")
    assert REVISION in done.stdout
    assert elsewhere.migrate().returncode == 0
    session = elsewhere.connect()
    session.documents.add(["the red pump"], progress=False)
    assert [hit.text for hit in session.rag.query("pumps")] == ["the red pump"]
    session.client.close()


def test_migrate_without_addresses_says_which() -> None:
    """Both variables are named, and the exit code is not 0."""
    done = subprocess.run(
        [sys.executable, "-m", "aisdk", "migrate"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "AISDK_DATABASE_OWNER_URL" in done.stderr
    assert "AISDK_DATABASE_URL" in done.stderr


@pytest.mark.parametrize("wrong", ["AISDK_DATABASE_URL", "AISDK_PLATFORM_DATABASE_URL"])
def test_migrate_names_the_address_that_cannot_be_read(
    wrong: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before anything is connected to."""
    for name in ("DATABASE_URL", "DATABASE_OWNER_URL", "PLATFORM_DATABASE_URL"):
        monkeypatch.setenv(f"AISDK_{name}", "postgresql://role@host/database")
    monkeypatch.setenv(wrong, f"postgresql://role:{SECRET}@[host/database")
    assert main(["migrate"]) == 2
    told = capsys.readouterr().err
    assert f"{wrong} cannot be read" in told
    assert SECRET not in told


def test_migration_counts_the_metadata_that_are_there(elsewhere: Elsewhere) -> None:
    """Behind the wall, which stands again afterwards; failed sources count for nothing."""
    assert elsewhere.migrate().returncode == 0
    session = elsewhere.connect()
    given = [aisdk.Document("pump", source="p", metadata={"n": 1}), aisdk.Document("", source="f")]
    session.documents.add(given, progress=False, raise_on_error=False)
    session.client.close()
    elsewhere.sql(
        "UPDATE aisdk.stores SET size_bytes = 4",  # as 0004 had it
        "DROP TABLE aisdk.platform_idempotency",
        "UPDATE aisdk.alembic_version SET version_num = '0004'",
        "SELECT 1",
    )
    assert elsewhere.migrate().returncode == 0
    assert elsewhere.sql("SELECT size_bytes FROM aisdk.stores") == 4 + len('{"n": 1}') - 2
    elsewhere.connect().client.close()


@pytest.mark.parametrize(
    ("revision", "says"),
    [("9999", r"newer than.*pip install -U aisdk"), ("0000", r"needs.*python -m aisdk migrate")],
)
def test_schema_of_another_version_is_refused(
    elsewhere: Elsewhere, revision: str, says: str
) -> None:
    """Newer: upgrade the library. Older: migrate."""
    assert elsewhere.migrate().returncode == 0
    elsewhere.sql(f"UPDATE aisdk.alembic_version SET version_num = '{revision}'")
    with pytest.raises(ConfigError, match=says):
        elsewhere.connect()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("ALTER ROLE {app} SUPERUSER", r"superuser.*NOSUPERUSER"),
        ("ALTER ROLE {app} BYPASSRLS", r"bypasses row-level security.*NOBYPASSRLS"),
        ("GRANT {owner} TO {app}", r"owns aisdk's tables.*another role"),
        ("GRANT {platform} TO {app}", r"may register tenants.*another role"),
        ("ALTER TABLE aisdk.chunks OWNER TO {app}", r"owns aisdk's tables"),
        ("REVOKE ALL ON SCHEMA aisdk FROM {app}", r"no rights.*python -m aisdk migrate"),
        (
            "ALTER TABLE aisdk.chunks DISABLE ROW LEVEL SECURITY",
            r"not forced for all.*ENABLE ROW LEVEL SECURITY, FORCE",
        ),
        (
            "ALTER TABLE aisdk.stores NO FORCE ROW LEVEL SECURITY",
            r"not forced for all.*ENABLE ROW LEVEL SECURITY, FORCE",
        ),
        ("DROP EXTENSION vector CASCADE", r"no pgvector extension.*CREATE EXTENSION vector"),
    ],
    ids=[
        "superuser",
        "bypassrls",
        "member of the owner",
        "member of the platform",
        "owner of one",
        "no rights",
        "no wall",
        "no wall for its owner",
        "no vector",
    ],
)
def test_unfit_role_or_database_is_refused(elsewhere: Elsewhere, change: str, says: str) -> None:
    """With the reason and the command that mends it."""
    assert elsewhere.migrate().returncode == 0
    elsewhere.connect().client.close()
    elsewhere.sql(change.format_map(vars(elsewhere)))
    with pytest.raises(ConfigError, match=says):
        elsewhere.connect()


@pytest.mark.parametrize(
    ("version", "vector", "says"),
    [
        (140_009, "0.8.1", r"PostgreSQL 14 is too old.*15 or newer"),
        (150_000, "0.7.4", r"pgvector 0\.7\.4 is too old.*ALTER EXTENSION vector UPDATE"),
        (150_000, "0.8.0", None),
        (180_001, "0.10.0", None),
    ],
)
async def test_versions_are_compared_as_numbers(
    version: int, vector: str, says: str | None
) -> None:
    """PostgreSQL 15 and pgvector 0.8 are the oldest that do."""

    class Answering:
        async def fetchrow(self, _: str) -> dict[str, object]:
            return {"version": version, "vector": vector}

    if says is None:
        await check_server(Answering())
    else:
        with pytest.raises(ConfigError, match=says):
            await check_server(Answering())


def test_unreachable_server_is_unavailable_and_keeps_the_secret() -> None:
    """Within the time for connecting; the password is in no message."""
    url = f"postgresql://app:{SECRET}@127.0.0.1:9/nowhere"
    client = aisdk.Client(
        Settings(database_url=SecretStr(url), embedding="none", connect_timeout_s=2)
    )
    with pytest.raises(Unavailable) as raised:
        aisdk.connect("acme", client=client)
    client.close()
    assert "AISDK_DATABASE_URL" in str(raised.value)
    assert SECRET not in f"{raised.value} {raised.value!r} {raised.value.__cause__!r}"


@pytest.mark.parametrize("setting", ["database_url", "platform_database_url"])
def test_address_that_does_not_work_is_the_setting_to_mend(
    elsewhere: Elsewhere, setting: str
) -> None:
    """An unknown role, an unknown database, and what cannot be read; the variable is named."""
    assert elsewhere.migrate().returncode == 0
    unknown = (elsewhere.url("nobody_at_all"), elsewhere.url(elsewhere.app, "no_such_database"))
    for url in (*unknown, f"postgresql://app:{SECRET}@host:port/database"):
        with pytest.raises(ConfigError, match=rf"\bAISDK_{setting.upper()}\b") as raised:
            elsewhere.connect(**{setting: SecretStr(url)})
        assert SECRET not in str(raised.value)


def test_unknown_tenant_is_refused_until_it_is_registered(elsewhere: Elsewhere) -> None:
    """A database of one's own does not learn of tenants by their calls."""
    assert elsewhere.migrate().returncode == 0
    with elsewhere.client() as client:
        with pytest.raises(TenantUnknown, match=r"client\.tenants\.create"):
            aisdk.connect("acme", client=client)
        asyncio.run(client.tenants.create("acme", tier="standard"))
        assert aisdk.connect("acme", client=client).documents.count() == 0


def test_client_without_platform_role_cannot_register(elsewhere: Elsewhere) -> None:
    """The variable is named; a role without the rights is sent to migrate."""
    assert elsewhere.migrate().returncode == 0
    with elsewhere.client(platform_database_url=None) as client:
        client.start()
        with pytest.raises(ConfigError, match="AISDK_PLATFORM_DATABASE_URL"):
            _ = client.tenants
    url = SecretStr(elsewhere.url(elsewhere.app))
    refused = pytest.raises(ConfigError, match=r"may not register tenants.*migrate")
    with elsewhere.client(platform_database_url=url) as client, refused:
        asyncio.run(client.tenants.list())


def test_platform_role_cannot_be_the_app_role(elsewhere: Elsewhere) -> None:
    """Migrating refuses to give both rights to one."""
    elsewhere.platform = elsewhere.app
    done = elsewhere.migrate()
    assert done.returncode == 2
    assert "AISDK_PLATFORM_DATABASE_URL" in done.stderr


def test_isolation_is_verified_from_the_command_line(elsewhere: Elsewhere) -> None:
    """Exit code 0 behind the wall, 1 where it is down, 2 where it cannot be told."""
    assert elsewhere.migrate().returncode == 0
    done = elsewhere.run("verify-isolation")
    assert done.returncode == 0, done.stderr
    assert "No tenant reaches another." in done.stdout
    elsewhere.sql("CREATE POLICY careless ON aisdk.documents USING (true)")
    done = elsewhere.run("verify-isolation")
    assert done.returncode == 1
    assert "ISOLATION IS BROKEN" in done.stdout
    elsewhere.platform = elsewhere.app
    assert elsewhere.run("verify-isolation").returncode == 2
