"""Where spans go: to a collector of OpenTelemetry, by OTLP over HTTP, as the variables `OTEL_...` say."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

    from sio_server.trace.spans import Spans


TRY_S = 5.0


class NoOpenTelemetry(Exception):
    """The extra `otel` is not installed; the message is for people."""


class Exporting:
    """Spans, and the thread that sends them. While a collector is away spans are dropped, and nothing waits."""

    def __init__(self, node_name: str, version: str) -> None:
        """Raises NoOpenTelemetry."""
        try:
            from opentelemetry import trace
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.resources import OTELResourceDetector, Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor

            from sio_server.trace.spans import ChosenIds, Spans
        except ImportError as exc:
            raise NoOpenTelemetry(f"the package {exc.name} is missing. Install roomgraph[otel]") from None
        ids = ChosenIds()
        # What OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES say counts before this.
        named = {"service.name": "roomgraph", "service.version": version, "service.instance.id": node_name}
        resource = Resource.create({**named, **OTELResourceDetector().detect().attributes})
        self._provider: TracerProvider = TracerProvider(resource=resource, id_generator=ids)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        # For libraries that graphs use, whose spans belong to the same traces.
        if isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
            trace.set_tracer_provider(self._provider)
        self.spans: Spans = Spans(self._provider, ids)

    def close(self) -> None:
        """Send what waits. Blocks, for some seconds at most."""
        self._provider.shutdown()


def collector_url() -> str:
    """Where spans go, as the variables say."""
    variables = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
    return next((os.environ[name] for name in variables if os.environ.get(name)), "http://localhost:4318")


def try_collector() -> bool:
    """Whether the collector takes spans: none are sent. Blocks. Raises NoOpenTelemetry."""
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace.export import SpanExportResult
    except ImportError as exc:
        raise NoOpenTelemetry(f"the package {exc.name} is missing. Install roomgraph[otel]") from None
    # It logs each attempt, and the caller says it in its own words.
    logger = logging.getLogger("opentelemetry")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    exporter = OTLPSpanExporter(timeout=TRY_S)
    try:
        return exporter.export(()) is SpanExportResult.SUCCESS
    finally:
        exporter.shutdown()  # type: ignore[no-untyped-call]
        logger.setLevel(level)
