"""A conversation's stream: one order of entries and runs, numbered without a gap, and what is current in it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from sio_clients import guest_token
from sio_server.conversation.author import Author
from sio_server.conversation.log import ConversationLog
from sio_server.conversation.members import Members
from sio_server.local.cluster import LocalCluster
from sio_server.protocol.events import MAX_PAGE_ENTRIES, STREAM_EVENTS
from sio_server.store.connection import connect
from sio_server.store.keys import ConversationKeys
from sio_server.store.scripts import Scripts
from tests.bus import bus_lost
from tests.conftest import RawClient
from tests.waiting import WAIT_S

pytest_plugins = ["tests.served.fixtures", "tests.served.dialog_fixtures"]

FINAL = ("answer", "interrupt", "stopped", "failed")


class Follower:
    """A raw client in one conversation, and the stream that it gets."""

    def __init__(self, client: RawClient, conversation_id: str) -> None:
        self.client = client
        self.conversation_id = conversation_id
        self._requests = 0

    @property
    def stream(self) -> list[tuple[str, dict[str, Any]]]:
        """The events of the conversation's stream, as they came."""
        return [
            (name, payload)
            for name, payload in self.client.events
            if name in STREAM_EVENTS and payload["conversation_id"] == self.conversation_id
        ]

    @property
    def entries(self) -> list[dict[str, Any]]:
        return [payload for name, payload in self.stream if name == "entry:appended"]

    async def call(self, event: str, **fields: Any) -> dict[str, Any]:
        ack = await self.client.call(event, {"conversation_id": self.conversation_id, **fields})
        assert ack["ok"], ack
        return dict(ack)

    async def send(self, text: str, event: str = "message:send", **fields: Any) -> dict[str, Any]:
        self._requests += 1
        return await self.call(event, request_id=f"m-{self._requests}", text=text, **fields)

    async def ended(self, run_id: str) -> dict[str, Any]:
        """The final entry of a run."""
        return await self.entry(lambda entry: entry["type"] in FINAL and entry["data"]["run_id"] == run_id)

    async def asked(self, text: str) -> dict[str, Any]:
        """Send what makes the agent ask; its `interrupt` entry."""
        return await self.ended((await self.send(text))["run_id"])

    async def answer(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Answer the one question of an `interrupt` entry; the final entry of the run that continues."""
        interrupt_id = asked["data"]["interrupts"][0]["interrupt_id"]
        ack = await self.call("interrupt:respond", interrupt_id=interrupt_id, value="yes")
        return await self.ended(ack["run_id"])

    async def again(self, final: dict[str, Any]) -> dict[str, Any]:
        """Regenerate the turn that ended with this entry; the final entry of the run that does so."""
        return await self.ended((await self.call("run:regenerate", seq=final["seq"]))["run_id"])

    async def until_run(self, run_id: str, holds: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
        """The first `run:changed` of the run for which this holds."""

        def found() -> list[dict[str, Any]]:
            runs = [payload["run"] for name, payload in self.stream if name == "run:changed"]
            return [run for run in runs if run["run_id"] == run_id and holds(run)]

        await self.client.until(found, WAIT_S)
        return found()[0]

    def written(self, run_id: str) -> str:
        """What a run has been told to have written."""
        return "".join(part["text"] for told in self.told(run_id) for part in told["parts"])

    def told(self, run_id: str) -> list[dict[str, Any]]:
        return [p for name, p in self.stream if name == "run:written" and p["run_id"] == run_id]

    async def says(self, run_id: str, text: str) -> None:
        await self.client.until(lambda: text in self.written(run_id), WAIT_S)

    async def entry(self, wanted: Any) -> dict[str, Any]:
        await self.client.until(lambda: any(wanted(entry) for entry in self.entries), WAIT_S)
        return next(entry for entry in self.entries if wanted(entry))

    async def page(self) -> list[dict[str, Any]]:
        return list((await self.call("history:read", after=0, limit=200))["entries"])

    async def snapshot(self) -> dict[str, Any]:
        answer = await self.client.call("session:sync", {"positions": {self.conversation_id: None}})
        return dict(answer["conversations"][self.conversation_id])

    async def check(self) -> dict[int, int]:
        """What is hidden, and by what: the same live, in history and in a snapshot. The stream is dense."""
        # The page is read after what has come; so whatever it names must come, too.
        page = await self.page()
        await self.client.until(lambda: len(self.entries) == len(page), WAIT_S)
        numbers = [payload["n"] for _, payload in self.stream]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
        hidden: dict[int, int] = {}
        for entry in self.entries:
            for seq in entry.get("hides", []):
                assert seq not in hidden, "an entry is hidden once"
                hidden[seq] = entry["seq"]
        snapshot = await self.snapshot()
        assert snapshot["n"] >= numbers[-1]
        for entries in (page, snapshot["entries"]):
            assert {entry["seq"]: entry["hidden_by"] for entry in entries if "hidden_by" in entry} == hidden
        live = [{k: v for k, v in entry.items() if k not in ("n", "session_id")} for entry in self.entries]
        assert live == [{k: v for k, v in entry.items() if k != "hidden_by"} for entry in page]
        return hidden


Start = Callable[..., Awaitable[Follower]]


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    """What a graph waits for, until the test touches it."""
    return tmp_path / "gate"


@pytest.fixture
async def connect_to(served: LocalCluster, new_id: str) -> AsyncIterator[Start]:
    """`await connect_to(node, name)`: a client that is yet to follow a conversation."""
    clients: list[RawClient] = []

    async def make(node: int, name: str) -> Follower:
        client = RawClient()
        clients.append(client)
        client.user_id, client.token = await guest_token(served.urls[node], name)
        await client.connect(served.urls[node], {"token": client.token})
        return Follower(client, new_id)

    yield make
    for client in clients:
        await client.sio.disconnect()


@pytest.fixture
async def start(connect_to: Start) -> Start:
    """`await start(graph)`: a client of node 0 with a new conversation."""

    async def make(graph: str, **settings: Any) -> Follower:
        follower = await connect_to(0, "Ann")
        # The first entry comes before the session is in the room: the next ones come live.
        await follower.call("conversation:create", graph=graph, access="open", **settings)
        follower.client.events.append(("entry:appended", (await follower.page())[0] | {"n": 1}))
        return follower

    return make


@pytest.fixture
async def redis(served: LocalCluster) -> AsyncIterator[Redis]:
    """The Redis of the nodes."""
    client = connect(served.redis_url)
    yield client
    await client.aclose()


@pytest.fixture
def log(redis: Redis) -> ConversationLog:
    """The log, written by nobody's node."""
    return ConversationLog(Scripts(redis))


# What is current


async def test_an_edited_message_and_all_that_came_of_it_are_current_no_longer(start):
    ann = await start("teller")
    first = await ann.send("one")
    answer = await ann.ended(first["run_id"])
    assert (answer["turn_id"], first["seq"]) == (2, 2)
    edited = await ann.send("two", "message:edit", seq=first["seq"])
    await ann.ended(edited["run_id"])
    assert await ann.check() == {2: 4, 3: 4}
    await ann.ended((await ann.send("three", "message:edit", seq=edited["seq"]))["run_id"])
    assert await ann.check() == {2: 4, 3: 4, 4: 6, 5: 6}


async def test_an_edit_of_a_message_whose_question_is_open_hides_the_question_and_that_it_is_void(start):
    ann = await start("asker")
    asked = await ann.asked("ask 1")
    edited = await ann.send("ask 0", "message:edit", seq=asked["turn_id"])
    await ann.ended(edited["run_id"])
    assert [entry["type"] for entry in ann.entries[1:]] == [
        *("message", "interrupt", "interrupt_resolved", "message", "answer")
    ]
    assert await ann.check() == {2: 5, 3: 5, 4: 5}


async def test_a_turn_that_had_asked_can_be_regenerated_twice_and_shows_one_question_and_answer(start):
    ann = await start("asker")
    first = await ann.answer(await ann.asked("ask 1"))
    assert [entry["type"] for entry in ann.entries[2:]] == ["interrupt", "interrupt_resolved", "answer"]
    second = await ann.answer(await ann.again(first))
    assert await ann.check() == {3: 6, 4: 6, 5: 6}
    third = await ann.again(second)
    assert (third["type"], third["hides"]) == ("interrupt", [6, 7, 8])
    assert await ann.check() == {3: 6, 4: 6, 5: 6, 6: 9, 7: 9, 8: 9}
    assert {entry["turn_id"] for entry in ann.entries[1:]} == {2}


async def test_a_run_that_is_rolled_back_hides_its_own_end_and_nothing_else(start, gate):
    ann = await start("teller", multitask_strategy="rollback")
    await ann.ended((await ann.send("before"))["run_id"])
    ack = await ann.send(f"one gate:{gate}")
    await ann.says(ack["run_id"], "one")
    await ann.ended((await ann.send("two"))["run_id"])
    stopped = await ann.ended(ack["run_id"])
    assert (stopped["type"], stopped["turn_id"]) == ("stopped", ack["seq"])
    assert await ann.check() == {stopped["seq"]: stopped["seq"]}


async def test_a_regenerating_run_that_is_rolled_back_leaves_the_answer_current(start, gate):
    ann = await start("teller", multitask_strategy="rollback")
    gate.touch()
    answer = await ann.ended((await ann.send(f"one gate:{gate}"))["run_id"])
    gate.unlink()
    run_id = (await ann.call("run:regenerate", seq=answer["seq"]))["run_id"]
    await ann.says(run_id, "one")
    await ann.ended((await ann.send("two"))["run_id"])
    stopped = await ann.ended(run_id)
    assert await ann.check() == {stopped["seq"]: stopped["seq"]}


async def test_what_is_hidden_is_forgotten_with_the_entries_that_the_log_drops(dialogs):
    conversation = await dialogs.conversation(agent="off")
    await dialogs.redis.hset(ConversationKeys(conversation).meta, "retention", 3)
    seq = 2
    await dialogs.send(conversation, "text 0")
    for number in range(1, 9):
        await dialogs.send(conversation, f"text {number}", edits=seq)
        seq += 1
    page = await dialogs.log.page(conversation, "ann", after=0, limit=100)
    assert [json.loads(entry).get("hidden_by") for _, entry in page.entries] == [9, 10, None]
    keys = ConversationKeys(conversation)
    assert await dialogs.redis.hkeys(keys.hidden) == ["8", "9"]
    assert await dialogs.redis.zrange(keys.turns, 0, -1) == ["10"]


# Runs


async def test_every_run_of_a_conversation_is_told_in_one_dense_stream_from_queued_to_its_end(start, gate):
    ann = await start("teller")
    first = await ann.send(f"one gate:{gate} two")
    await ann.says(first["run_id"], "one")
    second = await ann.send("three")
    queued = await ann.until_run(second["run_id"], lambda run: True)
    assert queued == {
        **{"run_id": second["run_id"], "turn_id": second["seq"], "status": "queued", "attempt": 0, "version": 0},
        **{"node": "", "replaces": None, "parts": [], "reports": []},
    }
    running = await ann.until_run(first["run_id"], lambda run: run["status"] == "running")
    assert (running["attempt"], running["version"], running["turn_id"]) == (1, 1, first["seq"])
    gate.touch()
    for ack in (first, second):
        await ann.ended(ack["run_id"])
    await ann.check()
    messages = [entry for entry in ann.entries if entry["type"] == "message"]
    assert [entry["data"]["run_id"] for entry in messages] == [first["run_id"], second["run_id"]]
    session_id = ann.client.named("session:opened")[0]["session_id"]
    assert [entry.get("session_id") for entry in ann.entries[1:]] == [session_id, session_id, None, None]
    for ack in (first, second):
        told = [
            (name, payload.get("run", {}).get("status"))
            for name, payload in ann.stream
            if ack["run_id"] in (payload.get("run_id"), payload.get("run", {}).get("run_id"))
        ]
        written = [item for item in told if item[0] == "run:written"]
        assert told[:2] == [("run:changed", "queued"), ("run:changed", "running")]
        assert told[2:] == written
        assert {payload["version"] for payload in ann.told(ack["run_id"])} == {1}
        parts = [part for payload in ann.told(ack["run_id"]) for part in payload["parts"]]
        assert {part["part"] for part in parts} == {0}
        assert [part.get("speaker") for part in parts] == ["Teller", *[None] * (len(parts) - 1)]
        assert ann.written(ack["run_id"]).strip() == (await ann.ended(ack["run_id"]))["data"]["text"].strip()


async def test_a_sync_shows_every_unfinished_run_and_each_can_be_stopped(start, gate):
    ann = await start("teller")
    acks = [await ann.send(f"one gate:{gate}"), await ann.send("two"), await ann.send("three")]
    ids = [ack["run_id"] for ack in acks]
    await ann.says(ids[0], "one")
    snapshot = await ann.snapshot()
    assert [(run["run_id"], run["status"], run["attempt"]) for run in snapshot["runs"]] == [
        *((ids[0], "running", 1), (ids[1], "queued", 0), (ids[2], "queued", 0))
    ]
    part = {"part": 0, "kind": "text", "speaker": "Teller", "text": "one "}
    assert [run["parts"] for run in snapshot["runs"]] == [[part], [], []]
    assert "unfinished_run" not in snapshot["card"]
    assert await ann.call("run:stop", run_id=ids[1]) == {
        **{"ok": True, "conversation_id": ann.conversation_id, "stopped": [ids[1]]}
    }
    stopped = await ann.ended(ids[1])
    assert (stopped["type"], stopped["data"]["text"], stopped["data"]["attempt"]) == ("stopped", "", 0)
    session_id = ann.client.named("session:opened")[0]["session_id"]
    assert stopped["session_id"] == stopped["data"]["by"]["session_id"] == session_id
    assert [run["run_id"] for run in (await ann.snapshot())["runs"]] == [ids[0], ids[2]]
    await ann.call("run:stop", run_id=ids[0])
    assert (await ann.ended(ids[2]))["type"] == "answer"
    await ann.check()


async def test_reports_are_numbered_and_shown_to_devices_that_join_later(start, gate):
    ann = await start("reporter")
    ack = await ann.send(f"gate:{gate}")
    await ann.says(ack["run_id"], "Then that.")
    (run,) = (await ann.snapshot())["runs"]
    reported = [report for told in ann.told(ack["run_id"]) for report in told["reports"]]
    assert reported == run["reports"]
    assert [report["number"] for report in run["reports"]] == list(range(1, len(reported) + 1))
    gate.touch()
    await ann.ended(ack["run_id"])


# What a node makes good


def synced(follower: Follower) -> list[dict[str, Any]]:
    return [told for told in follower.client.named("conversation:synced") if told["entries"]]


async def test_an_event_that_is_missing_on_the_bus_makes_the_node_tell_the_room_how_it_is(start, redis, gate):
    ann = await start("teller")
    ack = await ann.send(f"one gate:{gate} two")
    await ann.says(ack["run_id"], "one")
    before = ann.stream[-1][1]["n"]
    # An event that nobody got.
    await redis.hincrby(ConversationKeys(ann.conversation_id).meta, "n", 1)
    seq = (await ann.send("three"))["seq"]
    told = await ann.client.event("conversation:synced")
    snapshot = await ann.snapshot()
    own = {"verdict", "reason", "after", "entries", "role", "draft", "card"}
    assert {k: v for k, v in told.items() if k not in own | {"n", "runs"}} == {
        k: v for k, v in snapshot.items() if k not in own | {"n", "runs"}
    }
    assert (told["verdict"], told["after"], told["more"]) == ("resumed", ack["seq"], False)
    assert [entry["seq"] for entry in told["entries"]] == [seq]
    assert told["n"] >= before + 2
    assert [part["text"] for run in told["runs"] for part in run["parts"]] == ["one "]
    assert not {"role", "draft"} & told.keys()
    assert "user_id" not in told["card"]
    gate.touch()
    await ann.ended(ack["run_id"])
    later = [payload["n"] for _, payload in ann.stream if payload["n"] > before]
    assert later == list(range(told["n"] + 1, told["n"] + 1 + len(later)))


async def test_what_a_node_missed_while_it_had_no_bus_comes_in_pages_with_the_same_number(start, redis, log):
    ann = await start("teller", agent="off")
    author, count = Author(ann.client.user_id, "Ann", "elsewhere"), MAX_PAGE_ENTRIES + 5
    await log.append_message(ann.conversation_id, author, "first", "x", run_id="r")
    async with bus_lost(redis):
        for number in range(count):  # the last of them is followed by no other event
            await log.append_message(ann.conversation_id, author, f"c{number}", "x", run_id="r")
    last = count + 2

    def seqs() -> list[int]:
        found: list[int] = []
        for name, told in ann.client.events:
            if name == "entry:appended" and told["conversation_id"] == ann.conversation_id:
                found.append(told["seq"])
            elif name == "conversation:synced":
                found += [entry["seq"] for entry in told["entries"]]
        return found

    await ann.client.until(lambda: seqs()[-1] == last, WAIT_S)
    assert seqs() == list(range(1, last + 1))
    pages = synced(ann)
    assert [page["more"] for page in pages] == [*[True] * (len(pages) - 1), False]
    assert len({page["n"] for page in pages}) == 1
    assert [page["after"] for page in pages[1:]] == [page["position"]["seq"] for page in pages[:-1]]


async def test_a_user_who_left_while_the_node_had_no_bus_is_told_nothing_of_what_came_later(
    start, connect_to, redis, log
):
    ann = await start("teller", agent="off")
    bob = await connect_to(0, "Bob")
    await bob.call("conversation:join")
    members = Members(redis, Scripts(redis), log, retention=0)
    author = Author(ann.client.user_id, "Ann", "elsewhere")
    await log.append_message(ann.conversation_id, author, "first", "x", run_id="r")
    async with bus_lost(redis):
        await members.leave(Author(bob.client.user_id, "Bob", "elsewhere"), bob.conversation_id)
        await log.append_message(ann.conversation_id, author, "c", "secret", run_id="r")
    await bob.client.event("conversation:reset", WAIT_S)
    answer = await bob.client.call("session:sync", {"positions": {bob.conversation_id: None}})
    assert answer["conversations"][bob.conversation_id]["error"]["code"] == "not_a_member"
    await ann.client.until(lambda: synced(ann), WAIT_S)
    assert synced(ann)[-1]["entries"][-1]["data"]["text"] == "secret"
    await bob.client.settled()
    assert not [told for told in bob.client.events if "secret" in str(told)]
