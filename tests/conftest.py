"""Real parts for the tests: one embedded PostgreSQL for all, a fresh tenant for each."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import coverage
import pytest
from documentation import ROOT, site_of
from hypothesis import settings
from proxy import FaultProxy

import aisdk
from aisdk.settings import Settings

KILLS = {"short": 4, "full": 60}
LIMITER_SECONDS = {"short": 2, "full": 60}
REPORT = os.environ.get("AISDK_FAULTS_REPORT")  # read before the environment is cleaned

settings.register_profile("untimed", deadline=None)  # a busy machine is no failure
settings.load_profile("untimed")


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--faults=full`` runs the long campaign, ``--screenshots=DIR`` keeps pictures."""
    parser.addoption("--faults", choices=list(KILLS), default="short")
    parser.addoption("--screenshots", type=Path, default=None)


def pytest_sessionfinish() -> None:
    """Keeps what was measured of coverage: a process of several may be ended before its exit."""
    measured = coverage.Coverage.current()
    if measured is not None:
        measured.save()


@pytest.fixture
def kills(request: pytest.FixtureRequest) -> int:
    """How often to kill."""
    return KILLS[request.config.getoption("--faults")]


@pytest.fixture
def limiter_seconds(request: pytest.FixtureRequest) -> int:
    """How long to press on a limiter."""
    return LIMITER_SECONDS[request.config.getoption("--faults")]


@pytest.fixture(scope="session", autouse=True)
def clean_environment() -> Iterator[None]:
    """No AISDK_ variable of the developer's reaches a test."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("AISDK_")]:
            patch.delenv(name)
        yield


@pytest.fixture
def fault_proxy() -> Iterator[Callable[[tuple[str, int] | str], FaultProxy]]:
    """Makes a proxy before the server at an address, which can be told to fail."""
    with ExitStack() as stack:
        yield lambda server: stack.enter_context(FaultProxy(server))


@pytest.fixture(scope="session")
def report() -> Callable[[str, int, int, str], None]:
    """Appends what a campaign tried to the file named by AISDK_FAULTS_REPORT, if any."""

    def write(name: str, tried: int, failed: int, detail: str) -> None:
        if REPORT:
            with Path(REPORT).open("a", encoding="utf-8") as file:
                entry = {"name": name, "tried": tried, "failed": failed, "detail": detail}
                file.write(json.dumps(entry) + "\n")

    return write


@pytest.fixture(scope="session")
def home(clean_environment: None) -> Iterator[Path]:
    """A data folder of the tests' own, with a path short enough for a socket."""
    folder = Path(tempfile.mkdtemp(prefix="aisdk-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def short_home() -> Iterator[Path]:
    """A data folder for one test, with a path short enough for a socket."""
    folder = Path(tempfile.mkdtemp(prefix="aisdk-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def site() -> Path:
    """The documentation site, built without a warning from what stands here now."""
    return site_of(ROOT)


@pytest.fixture(scope="session")
def client(home: Path) -> Iterator[aisdk.Client]:
    """A client without an embedding model, shared by all tests."""
    with aisdk.Client(Settings(home=home, embedding="none")) as shared:
        yield shared


@pytest.fixture(scope="session")
def minilm_client(home: Path) -> Iterator[aisdk.Client]:
    """A client with the default embedding model."""
    with aisdk.Client(Settings(home=home, embedding="minilm")) as shared:
        yield shared


@pytest.fixture
def tenant() -> str:
    """A tenant that no other test has."""
    return f"t-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def session(client: aisdk.Client, tenant: str) -> aisdk.Session:
    """A blocking session of a fresh tenant, without an embedding model."""
    return aisdk.connect(tenant, client=client)


@pytest.fixture
def minilm_session(minilm_client: aisdk.Client, tenant: str) -> aisdk.Session:
    """A blocking session of a fresh tenant, with the default embedding model."""
    return aisdk.connect(tenant, client=minilm_client)
