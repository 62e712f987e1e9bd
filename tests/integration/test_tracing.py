"""Traces name the graph and the conversation, so that LangSmith, Langfuse and OpenTelemetry group its turns."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import langsmith
import pytest
from langchain_core.runnables import RunnableConfig
from langgraph.graph import MessagesState
from langsmith import run_trees
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from sio_server.dialog import outcome
from tests.served.dialogs import graph_of, said
from tests.waiting import poll

pytest_plugins = ["tests.served.dialog_fixtures"]


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    """What LangSmith's own bridge to OpenTelemetry exports; nothing leaves this process."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    client = langsmith.Client(
        api_url="http://127.0.0.1:9", api_key="none", otel_tracer_provider=provider, tracing_mode="otel"
    )
    monkeypatch.setenv("LANGSMITH_TRACING", "true")
    monkeypatch.setattr(run_trees, "_CLIENT", client)
    langsmith.utils.get_env_var.cache_clear()  # type: ignore[attr-defined]
    yield exporter
    client.close()
    langsmith.utils.get_env_var.cache_clear()  # type: ignore[attr-defined]


def told(span: ReadableSpan, name: str) -> Any:
    return (span.attributes or {}).get(f"langsmith.metadata.{name}")


async def test_attempts_and_turns_are_traced_as_one_conversation_under_the_graphs_name(
    dialogs, spans, monkeypatch
):
    monkeypatch.setattr(outcome, "BACK_OFF_S", 0.01)
    failures = [ValueError("once")]
    threads: list[str] = []

    async def work(state: MessagesState, config: RunnableConfig) -> Any:
        threads.append(config["configurable"]["thread_id"])
        if failures:
            raise failures.pop()
        return said("well")

    await dialogs.serve(graph_of(work))
    conversation = await dialogs.conversation()
    runs = [await dialogs.send(conversation, "first")]
    await dialogs.ended_with(conversation, runs[0])
    runs.append(await dialogs.send(conversation, "second"))
    await dialogs.ended_with(conversation, runs[1])

    async def finished() -> list[ReadableSpan]:
        found = [span for span in spans.get_finished_spans() if not told(span, "langgraph_node")]
        return found if len(found) == 3 else []

    found = await poll(finished, "the spans of three attempts", came=spans.get_finished_spans)
    assert {span.name for span in found} == {"work"}
    told_of_all = dict.fromkeys(("thread_id", "session_id", "langfuse_session_id"), conversation)
    for name, value in (*told_of_all.items(), ("user_id", "ann"), ("langfuse_user_id", "ann")):
        assert {told(span, name) for span in spans.get_finished_spans()} == {value}
    assert [(told(span, "roomgraph_run"), told(span, "attempt")) for span in found] == [
        *((runs[0], 1), (runs[0], 2), (runs[1], 1))
    ]
    # The checkpoints of each attempt stay apart.
    assert len(set(threads)) == 3
