"""Log events: allowed fields only, no secrets, always with tenant and request, in two styles."""

from __future__ import annotations

import io
import json
import logging
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any, Final

import pytest
import structlog

import aisdk
from aisdk.core.runtime.guard import Call, Verb
from aisdk.core.runtime.logging import LOG_FIELDS, context_step, logger, new_request_id
from aisdk.core.runtime.redaction import redacted
from aisdk.errors import InvalidInput

MARK: Final = "Zx9" + "qJ4v" * 3  # part of each planted secret
SECRETS: Final = [
    f"postgresql://me:{MARK}@host:5432/db",
    f"redis://:{MARK}@host/0",
    f"https://host/file.pdf?X-Signature={MARK}&expires=1",
    f"Bearer {MARK}",
    f"authorization: Basic {MARK}==",
    f"password={MARK}",
    f"api_key: {MARK}",
    f'{{"password": "{MARK}"}}',
    f'{{"user": "me", "api_key":"two words \\" {MARK}", "port": 1}}',
    f'{{\\"password\\": \\"two words {MARK}\\"}}',
    f"AWS_SECRET_ACCESS_KEY={MARK}",
    f"passphrase={MARK}",
    f"password='hunter2 {MARK}'",
    f"eyJhbGciOiJ9.{MARK}.x",
    f"sk-{MARK}",
    f"ghp_{MARK}",
    f"AKIA{MARK}",
    MARK * 3,
    f"{MARK}/{MARK}+{MARK}==",
]
PLAIN: Final = [
    "embedding service",
    "unavailable",
    "documents.add",
    "https://host/v1",
    "TimeoutError",
    "rag:embedding",
    "skyscraper task risk-taking",
    "tokens_per_minute: 100",
    "3 passed: all of them",
    "a_rather_long_name_in_small_letters",
]


def leaks(record: logging.LogRecord) -> bool:
    """Whether a record holds a part of a planted secret."""
    return MARK[:4] in f"{record.getMessage()} {vars(record)}"


@pytest.fixture(autouse=True)
def every_level(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Nothing is too unimportant to be captured."""
    with caplog.at_level(logging.DEBUG, "aisdk"):
        yield


@pytest.fixture
def configure(capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[..., None]]:
    """``configure_logging``, undone afterwards."""
    target = logging.getLogger("aisdk")
    handlers, level = list(target.handlers), target.level
    yield aisdk.configure_logging
    target.handlers[:] = handlers
    target.setLevel(level)


@pytest.mark.parametrize("secret", SECRETS)
def test_redacted_secret_is_gone(secret: str) -> None:
    """Alone, and within a sentence."""
    assert MARK not in redacted(secret)
    assert MARK not in redacted(f"it answered '{secret}' twice")
    assert "***" in redacted(secret)


@pytest.mark.parametrize("text", PLAIN)
def test_redacted_plain_text_stays(text: str) -> None:
    """What is no secret can still be read."""
    assert redacted(text) == text


def test_redacted_quoted_secret_ends_with_its_quote() -> None:
    """What stands behind it can still be read."""
    assert redacted('{"password": "hunter2", "port": 5432}') == '{"password": ***, "port": 5432}'
    assert redacted("password='hunter2 x' failed") == "password=*** failed"


def test_redacted_long_hostile_text_is_done_quickly() -> None:
    """No pattern goes over the text again and again."""
    for text in (
        "://" * 5_000,
        "a" * 20_000,
        "://a?" * 4_000,
        "pwd" * 5_000,
        "pwd='" * 4_000,
        "eyJaaaa." * 2_000,
    ):
        assert isinstance(redacted(text), str)


@pytest.mark.parametrize("secret", SECRETS)
def test_event_with_a_secret_is_logged_without_it(
    caplog: pytest.LogCaptureFixture, secret: str
) -> None:
    """In an allowed field, in the event's name, and in a field that is not allowed."""
    logger().warning("cache.unavailable", error=secret)
    logger().warning(f"failed with {secret}")
    logger().warning("cache.unavailable", url=secret)
    assert len(caplog.records) == 3
    assert [leaks(record) for record in caplog.records] == [False, False, False]


def test_event_with_a_secret_is_seen_by_the_checker(caplog: pytest.LogCaptureFixture) -> None:
    """The control: the same events past the processors."""
    plain = logging.getLogger("aisdk")
    for secret in SECRETS:
        plain.warning("cache.unavailable", extra={"error": secret})
    assert len(caplog.records) == len(SECRETS)
    assert all(leaks(record) for record in caplog.records)


def test_event_with_an_unlisted_field_keeps_its_name_only(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A traceback is such a field too: it could show anything."""
    try:
        int(MARK)
    except ValueError:
        logger().exception("rag.query", query="pumps", outcome="internal")
    (record,) = caplog.records
    assert vars(record)["dropped"] == "exc_info,query"
    assert vars(record)["outcome"] == "internal"
    assert not record.exc_info
    assert not hasattr(record, "query")
    assert not leaks(record)


def test_event_with_odd_values_holds_plain_short_ones(caplog: pytest.LogCaptureFixture) -> None:
    """Other values become the name of their type, long ones are cut, lines stay lines."""
    logger().info("rag.query", error=ValueError(MARK), rows=[MARK], state="é " * 500)
    logger().info("rag.query", error="a\nb\x1b", rows=3, attempts=None, duration_ms=0.5)
    first, second = (vars(record) for record in caplog.records)
    assert (first["error"], first["rows"], len(first["state"])) == ("ValueError", "list", 200)
    assert (second["error"], second["rows"], second["duration_ms"]) == (r"a\nb\x1b", 3, 0.5)
    assert second["attempts"] is None
    assert not any(leaks(record) for record in caplog.records)


async def test_event_has_tenant_and_request_inside_and_outside_a_call(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """However long the tenant's name is; ``None`` outside."""
    call = Call(Verb("rag.query", reads=True), "Tenant-1." * 7, new_request_id())

    async def body(_: Call) -> None:
        logger().info("rag.query")

    await context_step(call, body)
    logger().info("embedding.not_ready")
    found = [(vars(record)["tenant_id"], vars(record)["request_id"]) for record in caplog.records]
    assert found == [(call.tenant_id, call.request_id), (None, None)]


def test_json_line_has_the_head_and_the_fields(
    configure: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    """Time in UTC, level, event, tenant, request, and the event's own fields."""
    configure("json", level="DEBUG")
    with structlog.contextvars.bound_contextvars(tenant_id="acme", request_id="0" * 16):
        logger().warning("rag.query", outcome="unavailable", duration_ms=1.5)
    logger().debug("embedded.not_started")
    first, second = map(json.loads, capsys.readouterr().err.splitlines())
    assert datetime.fromisoformat(first.pop("timestamp")).utcoffset() == timedelta(0)
    assert first == {
        "level": "warning",
        "event": "rag.query",
        "tenant_id": "acme",
        "request_id": "0" * 16,
        "outcome": "unavailable",
        "duration_ms": 1.5,
    }
    assert (second["tenant_id"], second["request_id"]) == (None, None)
    assert first.keys() - {"level", "event"} <= LOG_FIELDS


def test_console_line_can_be_read(
    configure: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    """Without what is not known."""
    configure()
    logger().warning("rag.query", outcome="unavailable", tenant_id="acme", error=None)
    logger().debug("rag.query")
    line = capsys.readouterr().err
    expected = r"\d\d:\d\d:\d\d WARNING rag\.query tenant_id=acme outcome=unavailable\n"
    assert re.fullmatch(expected, line)


def test_second_configuration_replaces_the_first(
    configure: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    """One line an event, in the new style and from the new level on; other handlers stay."""
    stream = io.StringIO()
    own = logging.StreamHandler(stream)
    logging.getLogger("aisdk").addHandler(own)
    configure("console", level="DEBUG")
    configure("json", level="WARNING")
    logger().info("rag.query")
    logger().warning("rag.query")
    lines = capsys.readouterr().err.splitlines()
    assert [json.loads(line)["level"] for line in lines] == ["warning"]
    assert stream.getvalue() == "rag.query\n"


@pytest.mark.parametrize(
    "wrong", [{"style": "xml"}, {"style": []}, {"level": "LOUD"}, {"level": "info"}]
)
def test_wrong_choice_is_refused_and_nothing_changes(
    configure: Callable[..., None], wrong: dict[str, Any]
) -> None:
    """With what there is to choose from."""
    before = list(logging.getLogger("aisdk").handlers)
    with pytest.raises(InvalidInput, match="Use one of: ") as raised:
        configure(**wrong)
    assert raised.value.hint
    assert logging.getLogger("aisdk").handlers == before


def test_import_configures_nothing() -> None:
    """No handler, no level, and the output module is not even imported."""
    code = (
        "import aisdk, logging, sys\n"
        "held = logging.getLogger('aisdk')\n"
        "print(held.handlers, held.level, 'aisdk.core.runtime.log_output' in sys.modules)"
    )
    done = subprocess.run(  # noqa: S603  # this interpreter, our own script
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[] 0 False"
