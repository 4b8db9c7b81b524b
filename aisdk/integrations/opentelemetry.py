"""Spans and metrics for OpenTelemetry, through the providers that the application has set up."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from aisdk.core.runtime.tracing import Attributes, Span
from aisdk.errors import ConfigError

if TYPE_CHECKING:
    from opentelemetry.metrics import Counter, Histogram, MeterProvider
    from opentelemetry.trace import Span as OpenSpan
    from opentelemetry.trace import TracerProvider

__all__ = ["OpenTelemetry"]


class OpenTelemetry:
    """Hands spans and metrics to OpenTelemetry.

    Each call is a span named by its verb, with tenant, request and outcome; each attempt at using
    a service is a span below it. Failed spans have the error's code as their status, never its
    message. The metrics are the counters ``aisdk.calls`` and ``aisdk.dependency.attempts`` and the
    histogram ``aisdk.call.duration`` in seconds, without tenants.

    Args:
        tracers: Makes the tracer; by default the application's global provider.
        meters: Makes the meter; by default the application's global provider.

    Raises:
        ConfigError: The package ``opentelemetry-api`` is not installed.

    Example:
        >>> telemetry = OpenTelemetry()
    """

    def __init__(
        self, *, tracers: TracerProvider | None = None, meters: MeterProvider | None = None
    ) -> None:
        try:
            from opentelemetry import metrics, trace
        except ImportError as error:
            raise ConfigError(
                "AISDK_TELEMETRY asks for OpenTelemetry, which is not installed.",
                hint='pip install "aisdk[opentelemetry]"',
            ) from error
        self._tracer = trace.get_tracer("aisdk", tracer_provider=tracers)
        self._meter = metrics.get_meter("aisdk", meter_provider=meters)
        self._counters: dict[str, Counter] = {}
        self._histograms: dict[str, Histogram] = {}

    @contextmanager
    def span(self, name: str, attributes: Attributes) -> Iterator[Span]:
        """A span below the current one, current itself while the block runs."""
        with self._tracer.start_as_current_span(
            name, attributes=attributes, record_exception=False, set_status_on_exception=False
        ) as span:
            yield _Open(span)

    def count(self, name: str, attributes: Attributes) -> None:
        """Adds one to a counter."""
        if name not in self._counters:
            self._counters[name] = self._meter.create_counter(name)
        self._counters[name].add(1, attributes)

    def record(self, name: str, seconds: float, attributes: Attributes) -> None:
        """Adds a time to a histogram."""
        if name not in self._histograms:
            self._histograms[name] = self._meter.create_histogram(name, unit="s")
        self._histograms[name].record(seconds, attributes)


class _Open:
    """A span of OpenTelemetry's that is running."""

    def __init__(self, span: OpenSpan) -> None:
        self._span = span

    def end(self, outcome: str) -> None:
        """Notes how the work ended; what neither succeeded nor was cancelled is an error."""
        from opentelemetry.trace import StatusCode

        self._span.set_attribute("aisdk.outcome", outcome)
        if outcome not in ("ok", "cancelled"):
            self._span.set_status(StatusCode.ERROR, outcome)
