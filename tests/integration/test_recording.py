"""What a recorded device writes down of a real cluster: runs, long logs, and a log that started over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

from roomgraph.check import AnomalyKind, Recorder, check
from roomgraph.check.file import read_history, write_history
from roomgraph.check.recording import RecordedDevice
from sio_clients.errors import ConversationReset
from sio_server.store.keys import ConversationKeys


async def level(devices: list[RecordedDevice], conversation_id: str) -> None:
    """Wait until all have everything, and record the end."""
    head = (await devices[0].conversation(conversation_id).log())[-1].seq
    for device in devices:
        assert await device.reaches(conversation_id, head, 10)
        device.settle(conversation_id)
    await devices[0].record_log(conversation_id)


async def test_runs_and_what_is_shown_of_them_are_recorded(new_client, tmp_path):
    recorder = Recorder()
    ann = RecordedDevice("ann", await new_client("Ann", node=0), recorder)
    bob = RecordedDevice("bob", await new_client("Bob", node=1), recorder)
    conversation_id = (await ann.create("runs", agent="always")).id
    await bob.join(conversation_id)
    first = await ann.send(conversation_id, "hello there")
    await bob.client.go_offline()  # it gets another view when it comes back
    second = await ann.send(conversation_id, "what can you do?")
    await bob.client.go_online()
    assert first.run_id is not None
    assert second.run_id is not None
    for device in (ann, bob):
        for ack in (first, second):
            assert await device.ended(conversation_id, str(ack.run_id), 20)
    final = next(e for e in reversed(ann.entries[conversation_id]) if e.data.get("run_id") == second.run_id)
    again = await ann.regenerate(conversation_id, final.seq)
    assert await ann.ended(conversation_id, again, 20)
    await level([ann, bob], conversation_id)

    history = recorder.history()
    report = check(history)
    assert report.anomalies == ()
    assert (report.runs, report.acked, report.resets) == (3, 2, 0)
    assert {run.run_id for run in history.runs} == {again}
    states = {(view.device, view.run_id): view.states for view in history.run_views}
    of_first = states["ann", first.run_id]
    assert of_first[0].event == "run:changed"
    assert max(state.chars for state in of_first) > 10
    assert of_first[-1].version is None
    write_history(tmp_path / "h.jsonl", history)
    assert read_history(tmp_path / "h.jsonl") == history

    unended = Recorder()
    unended.accept_run(conversation_id, "r-never")
    unended.log(conversation_id, *history.logs[conversation_id])
    assert AnomalyKind.RUN_NOT_ENDED in {anomaly.kind for anomaly in check(unended.history()).anomalies}


async def test_a_user_who_joins_a_long_conversation_begins_with_its_snapshot(new_client):
    recorder = Recorder()
    ann = RecordedDevice("ann", await new_client("Ann"), recorder)
    conversation_id = (await ann.create("long", agent="off")).id
    for number in range(60):
        await ann.send(conversation_id, f"number {number}")
    bob = RecordedDevice("bob", await new_client("Bob", node=1), recorder)
    await bob.join(conversation_id)
    await level([ann, bob], conversation_id)
    history = recorder.history()
    assert check(history).anomalies == ()
    assert {view.device: view.whole for view in history.views} == {"ann": True, "bob": False}
    assert {view.device: len(view.entries) for view in history.views} == {"ann": 62, "bob": 50}


async def test_a_log_that_lost_its_end_and_started_over_is_recorded_and_judged(new_client, redis):
    recorder = Recorder()
    ann = RecordedDevice("ann", await new_client("Ann", node=0), recorder)
    bob = RecordedDevice("bob", await new_client("Bob", node=1), recorder)
    conversation_id = (await ann.create("torn", agent="off")).id
    await bob.join(conversation_id)
    for text in ("one", "two", "three"):
        last = await ann.send(conversation_id, text)
    for device in (ann, bob):
        assert await device.reaches(conversation_id, last.seq, 10)
    await asyncio.gather(ann.client.go_offline(), bob.client.go_offline())
    keys = ConversationKeys(conversation_id)
    kept = (await redis.xrange(keys.log))[:-1]
    await redis.delete(keys.log)
    for entry_id, fields in kept:
        await redis.xadd(keys.log, fields, entry_id)
    await redis.hset(keys.meta, "seq", last.seq - 1)
    await asyncio.gather(ann.client.go_online(), bob.client.go_online())
    assert (await bob.send(conversation_id, "four")).seq == last.seq
    await level([ann, bob], conversation_id)

    assert len(ann.resets) == len(bob.resets) == 1
    report = check(recorder.history())
    assert [(a.kind, a.device, a.seq) for a in report.anomalies] == [(AnomalyKind.LOST_ACKED, "ann", last.seq)]
    assert (report.lost, report.resets) == (1, 2)
    recorder.damage(conversation_id, last.epoch, after=last.seq - 1)
    report = check(recorder.history())
    assert (report.anomalies, report.lost, report.forgiven) == ((), 0, 1)


async def test_a_device_that_starts_over_records_that_it_shows_nothing_of_runs_that_are_gone():
    class StartsOver:
        id = "room"
        card = position = None
        runs: dict[str, Any] = {}
        started_over = False

        async def entries(self) -> AsyncIterator[Any]:
            if not self.started_over:
                self.started_over = True
                raise ConversationReset("new_epoch")
            for entry in list[Any]():
                yield entry

    recorder, conversation = Recorder(), StartsOver()
    client: Any = SimpleNamespace(on=lambda event, handler: None)
    device = RecordedDevice("ann", client, recorder)
    run = SimpleNamespace(version=1, text="so far")
    conversation.runs = {"r1": run}
    device._follow(conversation)  # type: ignore[arg-type]
    conversation.runs = {}
    await asyncio.gather(*device._readers)
    assert device.resets == ["new_epoch"]
    (view,) = recorder.history().run_views
    assert [state.version for state in view.states] == [1, None]
