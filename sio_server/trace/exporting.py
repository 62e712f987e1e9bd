"""Where spans go: to a collector of OpenTelemetry, by OTLP over HTTP, as the variables `OTEL_...` say."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

    from sio_server.trace.spans import Spans


log = logging.getLogger(__name__)

TRY_S = 5.0
CLOSE_S = 0.8  # for the last spans: a node without runs is gone within a second


class CannotExport(Exception):
    """The extra `otel` is not installed, or a variable is wrong; the message is for people."""


class Exporting:
    """Spans, and the thread that sends them. While a collector is away spans are dropped, and nothing waits."""

    def __init__(self, node_name: str, version: str) -> None:
        """Raises CannotExport."""
        try:
            from opentelemetry import trace
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.resources import OTELResourceDetector, Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor

            from sio_server.trace.spans import ChosenIds, Spans
        except ImportError as exc:
            raise CannotExport(f"the package {exc.name} is missing. Install roomgraph[otel]") from None
        ids = ChosenIds()
        # What OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES say counts before this.
        named = {"service.name": "roomgraph", "service.version": version, "service.instance.id": node_name}
        resource = Resource.create({**named, **OTELResourceDetector().detect().attributes})
        try:
            self._provider: TracerProvider = TracerProvider(
                resource=resource,
                id_generator=ids,
                shutdown_on_exit=False,  # which would wait for a collector that is silent
            )
            self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        except ValueError as exc:
            raise _wrong_variable(exc) from None
        # For libraries that graphs use, whose spans belong to the same traces.
        if isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
            trace.set_tracer_provider(self._provider)
        self.spans: Spans = Spans(self._provider, ids)

    async def close(self) -> None:
        """Send what waits, for CLOSE_S at most: a collector that is silent holds nothing up."""
        loop, sent = asyncio.get_running_loop(), asyncio.Event()

        def send() -> None:
            self._provider.shutdown()
            with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile
                loop.call_soon_threadsafe(sent.set)

        # Not one of the loop's own threads, for which the end of the process waits.
        threading.Thread(target=send, name="last-spans", daemon=True).start()
        try:
            async with asyncio.timeout(CLOSE_S):
                await sent.wait()
        except TimeoutError:
            log.warning("the collector of traces is silent: the last spans are dropped")


def _wrong_variable(exc: ValueError) -> CannotExport:
    return CannotExport(f"a variable OTEL_... is wrong: {exc}")


def collector_url() -> str:
    """Where spans go, as the variables say."""
    variables = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
    return next((os.environ[name] for name in variables if os.environ.get(name)), "http://localhost:4318")


def try_collector() -> bool:
    """Whether the collector takes spans: none are sent. Blocks. Raises CannotExport."""
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult
    except ImportError as exc:
        raise CannotExport(f"the package {exc.name} is missing. Install roomgraph[otel]") from None
    # It logs each attempt, and the caller says it in its own words.
    logger = logging.getLogger("opentelemetry")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        exporter = OTLPSpanExporter(timeout=TRY_S)
        processor = BatchSpanProcessor(exporter)  # which reads variables of its own
        try:
            return exporter.export(()) is SpanExportResult.SUCCESS
        finally:
            processor.shutdown()  # type: ignore[no-untyped-call]
    except ValueError as exc:
        raise _wrong_variable(exc) from None
    finally:
        logger.setLevel(level)
