"""Spans and metrics as OpenTelemetry's own SDK collects them from a real client."""

from __future__ import annotations

import builtins
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
from canaries import Canaries
from misbehaving import EmbeddingServer, answer_well
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode
from webfetch import OPEN
from webserver import found, serving

import aisdk
from aisdk import foundation
from aisdk.core.runtime.tracing import NoTelemetry
from aisdk.errors import BadReply, ConfigError, InvalidInput
from aisdk.integrations import opentelemetry
from aisdk.settings import Settings

SERVICE: Final = "embedding service"
SECRET: Final = Canaries()


@dataclass
class Collected:
    """What the SDK got, and the client it came from."""

    client: aisdk.Client
    tenant: str
    peer: EmbeddingServer
    tracers: TracerProvider
    exporter: InMemorySpanExporter
    reader: InMemoryMetricReader

    @property
    def session(self) -> aisdk.Session:
        """The tenant's."""
        return aisdk.connect(self.tenant, client=self.client)

    def spans(self) -> list[ReadableSpan]:
        """Those that ended since the last look, in the order in which they began."""
        spans = sorted(self.exporter.get_finished_spans(), key=lambda span: span.start_time or 0)
        self.exporter.clear()
        return spans

    def metrics(self) -> dict[str, list[Any]]:
        """Name → data points."""
        data = self.reader.get_metrics_data()
        scopes = [scope for held in data.resource_metrics for scope in held.scope_metrics]
        return {
            metric.name: list(metric.data.data_points)
            for scope in scopes
            for metric in scope.metrics
        }


@pytest.fixture
def collected(home: Path, tenant: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Collected]:
    """A client that hands its telemetry to providers of the test's own."""
    exporter, reader, peer = InMemorySpanExporter(), InMemoryMetricReader(), EmbeddingServer()
    tracers, meters = TracerProvider(), MeterProvider([reader])
    tracers.add_span_processor(SimpleSpanProcessor(exporter))
    telemetry = opentelemetry.OpenTelemetry(tracers=tracers, meters=meters)
    monkeypatch.setattr(foundation, "_telemetry", lambda _: telemetry)
    settings = Settings(
        home=home,
        embedding="remote",
        embedding_url=f"http://127.0.0.1:{peer.port}/v1",
        embedding_model="m",
        embedding_dimension=4,
    )
    with peer.running(), aisdk.Client(settings) as client:
        yield Collected(client, tenant, peer, tracers, exporter, reader)
    tracers.shutdown()
    meters.shutdown()


def told(span: ReadableSpan) -> str:
    """Everything a span tells, as text."""
    return span.to_json()


def test_query_is_one_span_with_its_attempts_below(collected: Collected) -> None:
    """With tenant, request and outcome, below the application's span, without any text."""
    collected.session.documents.add([SECRET("text")], progress=False)
    collected.spans()
    with collected.tracers.get_tracer("app").start_as_current_span("cell"):
        collected.session.rag.query(SECRET("query"), where={SECRET("key"): SECRET("value")})
    cell, query, *attempts = collected.spans()
    asked = [span for span in attempts if span.name == SERVICE]
    assert (query.name, len(asked)) == ("rag.query", 1)
    assert query.parent is not None
    assert query.parent.span_id == cell.context.span_id
    assert {span.parent.span_id for span in attempts if span.parent} == {query.context.span_id}
    attributes = dict(query.attributes or {})
    assert len(str(attributes.pop("aisdk.request_id"))) == 16
    assert attributes == {"aisdk.tenant_id": collected.tenant, "aisdk.outcome": "ok"}
    expected = {"aisdk.dependency": SERVICE, "aisdk.attempt": 1, "aisdk.outcome": "ok"}
    assert dict(asked[0].attributes or {}) == expected
    assert not SECRET.found("".join(map(told, [query, *attempts])))


def test_fetched_url_is_a_span_an_attempt(collected: Collected) -> None:
    """Below the call, and without the URL."""
    busy = b"HTTP/1.1 503 Busy\r\nRetry-After: 0\r\nContent-Length: 0\r\n\r\n"
    answers = iter([busy, found(b"text")])
    parts: Any = collected.client._parts.documents.parts
    object.__setattr__(parts, "access", OPEN)
    with serving(lambda _: [next(answers)]) as server:
        collected.session.documents.add(server.url(f"/{SECRET('path')}.txt"), progress=False)
    spans = collected.spans()
    first, second = [span for span in spans if span.name == "url"]
    (call,) = [span for span in spans if span.name == "documents.add"]
    assert [dict(span.attributes or {})["aisdk.attempt"] for span in (first, second)] == [1, 2]
    assert {span.parent.span_id for span in (first, second) if span.parent} == {
        call.context.span_id
    }
    assert not SECRET.found("".join(map(told, spans)))


def test_text_in_an_attribute_is_seen(collected: Collected) -> None:
    """The control for the test above."""
    with collected.tracers.get_tracer("app").start_as_current_span("cell") as span:
        span.set_attribute("query", SECRET("query"))
    assert SECRET.found(told(collected.spans()[0]))


def test_failed_attempts_are_numbered_and_the_call_has_the_code(collected: Collected) -> None:
    """The status is the error's code; no message and no exception is attached."""
    failures = iter([503, 200])

    def answer(texts: list[str], key: str) -> Any:
        status = next(failures)
        return (503, SECRET("reply").encode(), {}) if status == 503 else answer_well(texts, key)

    collected.peer.answer = answer
    collected.session.documents.add(["text"], progress=False)
    first, second = [span for span in collected.spans() if span.name == SERVICE]
    assert [dict(span.attributes or {})["aisdk.attempt"] for span in (first, second)] == [1, 2]
    assert first.status.status_code is StatusCode.ERROR
    assert second.status.status_code is StatusCode.UNSET

    collected.peer.answer = lambda *_: (400, SECRET("reply").encode(), {})
    with pytest.raises(BadReply):
        collected.session.rag.query(SECRET("query"), mode="dense")
    (call,) = [span for span in collected.spans() if span.name == "rag.query"]
    assert (call.status.status_code, call.status.description) == (StatusCode.ERROR, "bad_reply")
    assert not call.events
    assert not SECRET.found(told(call))


def test_metrics_count_calls_and_attempts_without_tenants(collected: Collected) -> None:
    """By verb and outcome; times are in seconds."""
    collected.session.documents.add(["text"], progress=False)
    with pytest.raises(InvalidInput):
        collected.session.documents.list(limit=0)
    metrics = collected.metrics()
    calls = {
        (point.attributes["aisdk.verb"], point.attributes["aisdk.outcome"]): point.value
        for point in metrics["aisdk.calls"]
    }
    assert calls == {("documents.add", "ok"): 1, ("documents.list", "invalid_input"): 1}
    durations = metrics["aisdk.call.duration"]
    assert sum(point.count for point in durations) == 2
    assert all(0 < point.sum < 60 for point in durations)
    attempts = [dict(point.attributes) for point in metrics["aisdk.dependency.attempts"]]
    assert {"aisdk.dependency": SERVICE, "aisdk.outcome": "ok"} in attempts
    assert collected.tenant not in str(metrics)


def test_missing_package_is_named_with_the_command(
    home: Path, monkeypatch: pytest.MonkeyPatch, tenant: str
) -> None:
    """As soon as the first call needs it."""
    real: Callable[..., Any] = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name.startswith("opentelemetry"):
            raise ImportError(name)
        return real(name, *rest)

    for name in [name for name in sys.modules if name.startswith("opentelemetry")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(builtins, "__import__", without)
    settings = Settings(home=home, embedding="none", telemetry="opentelemetry")
    with (
        aisdk.Client(settings) as client,
        pytest.raises(ConfigError, match=r'pip install "aisdk\[opentelemetry\]"'),
    ):
        aisdk.connect(tenant, client=client)


def test_setting_chooses_the_application_s_providers_or_none(home: Path) -> None:
    """None by default."""
    chosen = foundation._telemetry(Settings(home=home, telemetry="opentelemetry"))
    assert isinstance(chosen, opentelemetry.OpenTelemetry)
    assert isinstance(foundation._telemetry(Settings(home=home)), NoTelemetry)
