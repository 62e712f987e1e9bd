"""What is done for a message is one trace, whichever nodes do it, and nothing that people say is in it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from opentelemetry import trace as opentelemetry_trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ParentBased, Sampler, TraceIdRatioBased

from sio_server.trace.contract import TraceKind
from sio_server.trace.recording import Trace
from sio_server.trace.spans import HEARD_MAX, ChosenIds, Spans, ids_of

WHERE = {"conversation_id": "c-1", "seq": 7}
RUN = {"conversation_id": "c-1", "epoch": "e1", "input_seq": 7, "run_id": "r-1", "attempt": 1, "graph": "echo"}


class Node:
    """A node whose spans are kept."""

    def __init__(self, sampler: Sampler | None = None) -> None:
        ids = ChosenIds()
        self.provider = TracerProvider(id_generator=ids, sampler=sampler)
        self.exporter = InMemorySpanExporter()
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.spans = Spans(self.provider, ids)
        self.trace = Trace("n", self.spans)

    def append(self, **changed: Any) -> None:
        fields = {**WHERE, "epoch": "e1", "device_id": "phone", "ms": 4.0, "new": True, **changed}
        self.trace.record(TraceKind.RECEIVED, user_id="ann", conversation_id="c-1", device_id="phone")
        self.trace.record(TraceKind.APPENDED, **fields)

    def deliver(self, **changed: Any) -> None:
        self.trace.record(TraceKind.HEARD, **{**WHERE, "epoch": "e1", "type": "message", **changed})
        self.trace.record(TraceKind.DELIVERED, **WHERE, device_ids=["phone", "tablet"])

    def ended(self) -> dict[str, ReadableSpan]:
        spans = self.exporter.get_finished_spans()
        assert len({span.name for span in spans}) == len(spans)
        return {span.name: span for span in spans}


def ids(span: ReadableSpan) -> tuple[int, int]:
    context = span.get_span_context()
    assert context is not None
    return context.trace_id, context.span_id


def below(span: ReadableSpan, parent: ReadableSpan) -> bool:
    return span.parent is not None and (span.parent.trace_id, span.parent.span_id) == ids(parent)


def test_the_trace_of_a_backend_and_that_of_its_message_link_to_each_other() -> None:
    node = Node()
    trace_id, span_id = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    with node.trace.called_by(f"00-{trace_id}-{span_id}-01", "post_message"):
        node.append()
    called, sent = node.ended()["post_message"], node.ended()["message:send"]
    assert called.parent is not None
    assert (called.parent.trace_id, called.parent.span_id) == (int(trace_id, 16), int(span_id, 16))
    assert [link.context for link in called.links] == [sent.get_span_context()]
    assert [link.context for link in sent.links] == [called.get_span_context()]
    node.exporter.clear()
    node.append(seq=8)  # of another request
    assert not node.ended()["message:send"].links


@pytest.mark.parametrize("header", ["", "nonsense", "00-0-0-00"])
def test_a_request_without_a_trace_makes_no_span(header: str) -> None:
    node = Node()
    with node.trace.called_by(header, "post_message"):
        node.append()
    assert set(node.ended()) == {"message:send", "append"}
    assert not node.ended()["message:send"].links


def test_a_message_that_one_node_appends_and_another_delivers_is_one_trace() -> None:
    here, there = Node(), Node()
    here.append()
    for node in (here, there):
        node.deliver()
    sent = here.ended()["message:send"]
    assert sent.parent is None
    assert below(here.ended()["append"], sent)
    assert below(here.ended()["deliver"], sent)
    assert below(there.ended()["deliver"], sent)
    assert ids(here.ended()["deliver"])[1] != ids(there.ended()["deliver"])[1]
    assert sent.end_time is not None
    assert sent.start_time is not None
    assert sent.end_time - sent.start_time == 4_000_000
    assert (there.ended()["deliver"].attributes or {})["roomgraph.devices"] == 2


def test_a_run_that_is_taken_over_by_another_node_stays_in_the_trace_of_its_message() -> None:
    first, second = Node(), Node()
    first.append()
    with first.trace.working(**RUN):
        first.trace.record(TraceKind.RUN_STEP, **RUN, step="plan", checkpoint=1)
    again = {**RUN, "attempt": 2}
    with second.trace.working(**again):
        second.trace.record(TraceKind.RUN_SPOKE, **again)
        second.trace.record(TraceKind.RUN_STEP, **again, step="write", checkpoint=2)
        second.trace.record(TraceKind.RUN_ENDED, **again, status="failed")
    sent, left, run = first.ended()["message:send"], first.ended()["run"], second.ended()["run"]
    assert below(left, sent)
    assert below(run, sent)
    assert below(first.ended()["step plan"], left)
    assert below(second.ended()["first text"], run)
    assert below(second.ended()["step write"], run)
    statuses = [((span.attributes or {})["roomgraph.status"], span.status.is_ok) for span in (left, run)]
    assert statuses == [("left", True), ("failed", False)]


async def test_what_libraries_of_a_graph_trace_is_below_the_run_also_in_tasks() -> None:
    node = Node()

    async def call_a_model() -> None:
        node.provider.get_tracer("model").start_span("chat").end()

    with node.trace.working(**RUN):
        await asyncio.create_task(call_a_model())
    assert below(node.ended()["chat"], node.ended()["run"])
    assert not opentelemetry_trace.get_current_span().get_span_context().is_valid


def test_a_repeated_send_and_entries_of_the_agent_make_no_spans() -> None:
    node = Node()
    node.append(new=False)
    node.deliver(type="answer")
    assert node.ended() == {}


def test_other_conversations_epochs_and_messages_have_other_traces() -> None:
    made = {ids_of(*of) for of in (("c-1", "e1", 7), ("c-2", "e1", 7), ("c-1", "e2", 7), ("c-1", "e1", 8))}
    assert len({one.trace_id for one in made}) == len({one.span_id for one in made}) == 4


def test_all_nodes_sample_the_same_messages() -> None:
    here, there = (Node(ParentBased(TraceIdRatioBased(0.5))) for _ in range(2))
    for seq in range(100):
        here.append(seq=seq)
        there.trace.record(TraceKind.HEARD, conversation_id="c-1", seq=seq, epoch="e1", type="message")
        there.trace.record(TraceKind.DELIVERED, conversation_id="c-1", seq=seq, device_ids=[])
    sent = {ids(span)[0] for span in here.exporter.get_finished_spans()}
    delivered = {ids(span)[0] for span in there.exporter.get_finished_spans()}
    assert sent == delivered
    assert 20 < len(sent) < 80


def test_messages_that_are_delivered_to_nobody_do_not_pile_up() -> None:
    node = Node()
    for seq in range(HEARD_MAX + 10):
        node.trace.record(TraceKind.HEARD, conversation_id="c-1", seq=seq, epoch="e1", type="message")
    assert len(node.spans._heard) == HEARD_MAX


def test_without_spans_and_a_stage_nothing_is_recorded() -> None:
    trace = Trace("n")
    assert not trace.on
    with trace.working(**RUN):
        trace.record(TraceKind.RUN_ENDED, **RUN, status="answered")
    assert Trace("n", Node().spans).on
