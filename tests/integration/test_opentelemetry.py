"""Nodes send their spans to a collector, and those of one message make one trace."""

from __future__ import annotations

import asyncio
import gzip
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import aiohttp
import pytest
from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from sio_clients import ChatClient, guest_token
from sio_server.node import Node
from sio_server.settings import SettingsError, load_settings
from sio_server.trace.exporting import Exporting
from tests.conftest import ClusterFactory
from tests.waiting import Changes


@dataclass(frozen=True)
class Seen:
    """A span, and the node that has sent it."""

    node: str
    name: str
    trace_id: bytes
    span_id: bytes
    parent: bytes


@dataclass
class Collector:
    """What nodes send by OTLP over HTTP."""

    url: str = ""
    spans: list[Seen] = field(default_factory=list)
    changes: Changes = field(init=False)

    def __post_init__(self) -> None:
        self.changes = Changes(lambda: [(span.node, span.name) for span in self.spans])

    async def receive(self, request: web.Request) -> web.Response:
        body = await request.read()
        # aiohttp unpacks what its header says.
        sent = ExportTraceServiceRequest.FromString(gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body)
        for resource in sent.resource_spans:
            told = {each.key: each.value.string_value for each in resource.resource.attributes}
            assert told["service.name"] == "roomgraph"
            self.spans += [
                Seen(told["service.instance.id"], span.name, span.trace_id, span.span_id, span.parent_span_id)
                for scope in resource.scope_spans
                for span in scope.spans
            ]
        self.changes.changed()
        return web.Response(content_type="application/x-protobuf")

    def named(self, name: str) -> list[Seen]:
        return [span for span in self.spans if span.name == name]


@pytest.fixture
async def collector() -> AsyncIterator[Collector]:
    collector = Collector()
    application = web.Application()
    application.router.add_post("/v1/traces", collector.receive)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    collector.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield collector
    await runner.cleanup()


async def test_the_spans_of_a_message_on_all_nodes_make_one_trace(
    start_cluster: ClusterFactory, collector: Collector
) -> None:
    cluster = await start_cluster(
        2, TRACES="otlp", OTEL_EXPORTER_OTLP_ENDPOINT=collector.url, OTEL_BSP_SCHEDULE_DELAY="50", GRAPH="echo"
    )
    clients = []
    for url in cluster.urls:
        _, token = await guest_token(url, "Ann")
        clients.append(ChatClient([url], token))
        await clients[-1].connect()
    try:
        conversation = await clients[0].create(conversation_id="traced", access="open")
        await clients[1].join("traced")
        await conversation.send("hello")
        wanted = {"message:send", "append", "deliver", "run"}
        await collector.changes.until(
            lambda: wanted <= {span.name for span in collector.spans} and len(collector.named("deliver")) == 2,
            "the spans",
            20,
        )
    finally:
        for client in clients:
            await client.close()
    (sent,) = collector.named("message:send")
    assert {span.trace_id for span in collector.spans} == {sent.trace_id}
    assert not sent.parent
    assert {span.parent for span in (*collector.named("deliver"), *collector.named("run"))} == {sent.span_id}
    assert {span.node for span in collector.named("deliver")} == {str(port) for port in cluster.ports}
    (run,) = collector.named("run")
    (step,) = [span for span in collector.spans if span.name.startswith("step ")]
    assert {step.parent, collector.named("first text")[0].parent} == {run.span_id}


async def test_a_collector_that_is_silent_does_not_hold_up_the_end_of_a_node(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    asked, answer = asyncio.Event(), asyncio.Event()

    async def receive(request: web.Request) -> web.Response:
        asked.set()
        await answer.wait()
        return web.Response(content_type="application/x-protobuf")

    application = web.Application()
    application.router.add_post("/v1/traces", receive)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{runner.addresses[0][1]}")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "60")
    monkeypatch.setattr("opentelemetry.trace.set_tracer_provider", lambda provider: None)
    exporting = Exporting("web-1", "1")
    exporting._provider.get_tracer("tests").start_span("the last one").end()
    await exporting.close()
    assert "the last spans are dropped" in caplog.text
    await asyncio.wait_for(asked.wait(), 20)
    # The process can end meanwhile: nothing of this is waited for.
    (sending,) = [thread for thread in threading.enumerate() if thread.name == "last-spans"]
    assert sending.daemon
    assert exporting._provider._atexit_handler is None
    answer.set()
    await asyncio.to_thread(sending.join, 20)
    assert not sending.is_alive()
    caplog.clear()
    await exporting.close()  # all is sent
    assert "dropped" not in caplog.text
    await runner.cleanup()


async def test_a_variable_of_opentelemetry_that_is_wrong_is_named_as_a_setting_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "5000")
    with pytest.raises(SettingsError, match=r"^TRACES=otlp: a variable OTEL_... is wrong: max_export_batch_size"):
        Node(load_settings(auth_mode="guest", traces="otlp"))


async def test_a_request_of_a_backend_is_a_span_in_the_trace_of_the_backend(
    start_cluster: ClusterFactory, collector: Collector
) -> None:
    key, trace_id = "a-service-key-that-only-this-test-uses", "0af7651916cd43dd8448eb211c80319c"
    cluster = await start_cluster(
        1,
        **{"TRACES": "otlp", "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_BSP_SCHEDULE_DELAY": "50"},
        SERVICE_KEYS=f"shop:{key}",
    )
    headers = {"Authorization": f"Bearer {key}", "traceparent": f"00-{trace_id}-b7ad6b7169203331-01"}
    async with aiohttp.ClientSession(f"{cluster.urls[0]}/api/v1/", headers=headers) as http:
        async with http.post("conversations", json={"agent": "off"}) as answer:
            where = (await answer.json())["conversation_id"]
        async with http.post(f"conversations/{where}/messages", json={"text": "hello"}) as answer:
            assert answer.status == 201
    wanted = {"create_conversation", "post_message", "message:send"}
    await collector.changes.until(lambda: wanted <= {span.name for span in collector.spans}, "the spans", 20)
    (posted,), (sent,) = collector.named("post_message"), collector.named("message:send")
    assert (posted.trace_id.hex(), posted.parent.hex()) == (trace_id, "b7ad6b7169203331")
    assert sent.trace_id != posted.trace_id
