"""What a run says in the store: parts for devices that join and for the entry of a stop, and nothing after it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import TypeAdapter

from sio_server.conversation.runs import AnswerTooLarge, Batch, ClaimedRun, Runs
from sio_server.dialog.streaming import RunStream
from sio_server.protocol.entries import PageEntry
from sio_server.protocol.events import ENTRY_BYTES_SHOWN
from sio_server.protocol.run import RunStatus
from sio_server.store.keys import ConversationKeys, conversation_channel
from sio_server.store.scripts import Request
from tests.bus import hearing
from tests.served.dialogs import ANN, Dialogs

pytest_plugins = ["tests.served.dialog_fixtures"]
PICTURE = {"mime_type": "image/png", "url": "https://example.org/a.png"}
FINAL: dict[str, Any] = {"role": "assistant", "user_id": "agent:work", "name": "Work", "tools": []}


async def claimed(dialogs: Dialogs, conversation: str) -> ClaimedRun:
    run = await dialogs.runs().claim_run(conversation)
    assert isinstance(run, ClaimedRun)
    return run


def begins(part: int, text: str = "", kind: str = "text", speaker: str = "Helper", **more: Any) -> dict[str, Any]:
    return {"part": part, "kind": kind, "speaker": speaker, "text": text, **more}


async def stop(dialogs: Dialogs, conversation: str, run_id: str) -> dict[str, Any]:
    await dialogs.turns.stop(conversation, ANN, None, request=Request.unrepeated("ann"))
    entry = await dialogs.ended_with(conversation, run_id)
    page = await dialogs.log.page(conversation, "ann", limit=1)
    TypeAdapter(PageEntry).validate_json(page.entries[0][1])
    assert [k async for k in dialogs.redis.scan_iter(f"*{run_id}:*")] == [], "nothing is left of what it said"
    return {**entry.data, "pages": entry.pages, "seq": entry.seq}


async def test_parts_are_shown_to_devices_that_join_and_kept_by_a_stop(dialogs):
    conversation = await dialogs.conversation()
    run_id = await dialogs.send(conversation)
    run, runs = await claimed(dialogs, conversation), dialogs.runs()
    first = [
        begins(0, "al"),
        begins(1, "hm", "reasoning"),
        begins(2, kind="image", data=PICTURE),
        begins(3, "be/"),
    ]
    await runs.add_written(run, Batch(1, first, [{"number": 1, "kind": "custom", "data": []}]))
    second = Batch(
        2, [{"part": 0, "text": "pha"}, {"part": 3, "text": "ta", "cut": True}], [{"number": 7, "kind": "custom"}]
    )
    for _ in range(2):  # the same batch again changes nothing
        await runs.add_written(run, second)
    (now,) = json.loads((await dialogs.log.get_view(conversation, "ann")).runs)
    said = [
        begins(0, "alpha"),
        begins(1, "hm", "reasoning"),
        begins(2, kind="image", data=PICTURE),
        begins(3, "be/ta"),
    ]
    assert now["parts"] == [*said[:3], {**said[3], "cut": True}]
    assert now["reports"] == [{"number": 1, "kind": "custom", "data": []}, {"number": 7, "kind": "custom"}]
    stopped = await stop(dialogs, conversation, run_id)
    assert stopped["text"] == "alpha\n\nbe/ta"
    assert stopped["parts"] == [{k: v for k, v in part.items() if k != "part"} for part in said]


async def test_a_stop_names_no_parts_when_the_agent_itself_has_said_one_text(dialogs):
    conversation = await dialogs.conversation()
    run_id = await dialogs.send(conversation)
    run = await claimed(dialogs, conversation)
    await dialogs.runs().add_written(run, Batch(1, [begins(0, "so far", speaker=run.agent_name)], []))
    stopped = await stop(dialogs, conversation, run_id)
    assert stopped["text"] == "so far"
    assert "parts" not in stopped


async def test_a_stop_keeps_all_of_a_long_text_in_pages(dialogs):
    conversation = await dialogs.conversation()
    run_id = await dialogs.send(conversation)
    run = await claimed(dialogs, conversation)
    text = "长x\x01" * 30_000
    await dialogs.runs().add_written(run, Batch(1, [begins(0, text)], []))
    stopped = await stop(dialogs, conversation, run_id)
    assert text.startswith(stopped["text"])
    pages = [
        (await dialogs.log.read_long(conversation, "ann", stopped["seq"], page))["text"]
        for page in range(stopped["pages"])
    ]
    assert all(len(page.encode()) <= ENTRY_BYTES_SHOWN for page in pages)
    assert json.loads("".join(pages))["text"] == text


async def test_a_long_entry_that_retention_drops_leaves_no_pages(dialogs):
    conversation = await dialogs.conversation()
    keys = ConversationKeys(conversation)
    await dialogs.redis.hset(keys.meta, "retention", 3)
    await dialogs.send(conversation)
    run = await claimed(dialogs, conversation)
    data = {**FINAL, "text": "é" * ENTRY_BYTES_SHOWN}
    await dialogs.runs().finish_run(run, RunStatus.ANSWERED, data, threads_kept=2)
    assert await dialogs.redis.hlen(keys.long) == 4
    await dialogs.send(conversation)
    assert await dialogs.redis.hlen(keys.long) == 4
    for _ in range(3):
        await dialogs.send(conversation)
    assert await dialogs.redis.exists(keys.long) == 0


async def test_an_answer_above_the_limit_is_refused_and_changes_nothing(dialogs):
    conversation = await dialogs.conversation()
    await dialogs.send(conversation)
    run = await claimed(dialogs, conversation)
    runs = Runs(dialogs.scripts, "n1", "n1", 100_000)
    with pytest.raises(AnswerTooLarge):
        await runs.finish_run(run, RunStatus.ANSWERED, {**FINAL, "text": "x" * 100_000}, threads_kept=2)
    await runs.finish_run(run, RunStatus.ANSWERED, {**FINAL, "text": "x" * 90_000}, threads_kept=2)


async def test_a_run_whose_adoption_a_failover_has_lost_leaves_the_dialog_where_its_attempt_has_ended(dialogs):
    conversation = await dialogs.conversation()
    run_id = await dialogs.send(conversation)
    run, runs, keys = await claimed(dialogs, conversation), dialogs.runs(), ConversationKeys(conversation)
    await runs.adopt_thread(run)
    assert await dialogs.redis.hdel(f"{keys.run_prefix}{run_id}", "thread") == 1
    finished = await runs.finish_run(
        run, RunStatus.ANSWERED, {**FINAL, "text": "so"}, threads_kept=2, adopted=True
    )
    assert await dialogs.redis.hget(keys.meta, "thread") == run.thread_id
    assert await dialogs.redis.lrange(keys.threads, 0, -1) == [run.thread_id]
    assert finished.retired == []


async def test_text_that_a_failover_has_lost_is_shown_again_with_the_next(dialogs):
    conversation = await dialogs.conversation()
    run_id = await dialogs.send(conversation)
    run, keys = await claimed(dialogs, conversation), ConversationKeys(conversation)
    record, stream = f"{keys.run_prefix}{run_id}", RunStream(dialogs.runs(), run)
    part = stream.begin_part("text", "Helper")
    async with hearing(dialogs.redis, conversation_channel(conversation)) as ear:
        for word in ("one ", "two ", "three "):
            stream.add_text(part, word)
            await stream.flush()
            await ear.text()
        # As a new primary has it that did not get the last two.
        await dialogs.redis.hset(record, "batch", 1)
        await dialogs.redis.set(f"{record}:text:0", "one ")
        stream.add_text(part, "four")
        await stream.flush()
        heard = [json.loads((await ear.text()).split("\n", 1)[1][2:])[1]["parts"][0]["text"] for _ in range(3)]
    assert heard == ["two ", "three ", "four"]
    (now,) = json.loads((await dialogs.log.get_view(conversation, "ann")).runs)
    assert [part["text"] for part in now["parts"]] == ["one two three four"]
