"""Graphs without messages, and entrypoints, answer, ask, remember and are taken over like any other."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest
from redis.asyncio import Redis

from tests.served.devices import LANGGRAPH_JSON, Device, devices_of
from tests.waiting import poll

pytest_plugins = ["tests.served.fixtures"]


async def answer(device: Device, text: str) -> str:
    """What the agent answers to this."""
    entry = await device.ended((await device.conversation.send(text)).run_id)
    assert entry.type == "answer", entry.data
    return entry.text


async def test_a_graph_is_given_the_text_and_its_answer_is_streamed_and_logged(devices):
    ann = await devices.start("qa")
    run_id = (await ann.conversation.send("is it late?")).run_id
    assert (await ann.ended(run_id)).text == "You asked: is it late?"
    assert "".join(ann.written(run_id)).strip() == "You asked: is it late?"


async def test_a_value_that_is_no_text_is_answered_as_json(devices):
    ann = await devices.start("qa")
    assert json.loads(await answer(ann, "data")) == {"rooms": ["blue"], "free": True}


async def test_a_turn_that_writes_no_answer_does_not_repeat_the_one_before(devices):
    ann = await devices.start("qa")
    assert await answer(ann, "first") == "You asked: first"
    entry = await ann.ended((await ann.conversation.send("silent")).run_id)
    assert (entry.type, entry.data["code"]) == ("failed", "no_answer")
    assert await answer(ann, "second") == "You asked: second"


@pytest.mark.parametrize(
    ("graph", "text", "said"), [("qa", "sure", "so it is 4"), ("notes", "ask", '["asked and told 4"]')]
)
async def test_a_graph_with_an_adapter_asks_and_answers_with_what_it_was_told(devices, graph, text, said):
    ann = await devices.start(graph)
    asked = await ann.ended((await ann.conversation.send(text)).run_id)
    assert asked.type == "interrupt", asked.data
    told = await ann.conversation.respond(asked.data["interrupts"][0]["interrupt_id"], 4)
    assert (await ann.ended(told["run_id"])).text == said


async def test_an_entrypoint_remembers_what_it_has_saved_also_after_a_regenerated_turn(devices):
    ann = await devices.start("notes")
    assert json.loads(await answer(ann, "one")) == ["one"]
    entry = await ann.ended((await ann.conversation.send("two")).run_id)
    assert json.loads(entry.text) == ["one", "two"]
    again = await ann.conversation.regenerate(entry.seq)
    assert json.loads((await ann.ended(again)).text) == ["one", "two"]
    assert json.loads(await answer(ann, "three")) == ["one", "two", "three"]
    assert any(
        "noted 3" in "".join(ann.written(run)) for run in {told["run_id"] for told in ann.named("run:written")}
    )


async def test_people_read_the_name_of_an_agent_as_it_was_written(devices):
    ann = await devices.start("Office-Helper")
    entry = await ann.ended((await ann.conversation.send("hello")).run_id)
    assert (entry.data["user_id"], entry.data["name"]) == ("agent:Office-Helper", "Office Helper")


@pytest.mark.faults
async def test_an_entrypoint_is_taken_over_from_a_killed_node_and_its_tasks_are_not_repeated(
    start_cluster, tmp_path: Path
):
    cluster = await start_cluster(2, LANGGRAPH_JSON=LANGGRAPH_JSON)
    file, gate = tmp_path / "file", tmp_path / "gate"
    async with devices_of(cluster) as devices:
        ann = await devices.start("notes", node=1)
        text = f"write {file} {gate}"
        run_id = (await ann.conversation.send(text)).run_id
        run = await ann.begun(run_id)

        redis = Redis.from_url(cluster.redis_url)

        async def is_kept() -> bool:
            """The file is written a moment before the task's result is in the store."""
            keys = [key async for key in redis.scan_iter("*:checkpoint-writes:*")]
            kept = [write for key in keys for write in await redis.zrange(key, 0, -1)]
            return any(b"__return__" in write for write in kept)

        await poll(is_kept, "the task's result")
        await redis.aclose()
        await cluster.signal_node(int(run["node"]), signal.SIGKILL)
        gate.touch()
        assert json.loads((await ann.ended(run_id)).text) == [text]
        assert file.read_text(encoding="utf-8") == text + "\n"
