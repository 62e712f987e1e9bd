"""What is scheduled is appended once, by whichever node, also when nodes die in between."""

from __future__ import annotations

import asyncio
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest
from redis.asyncio import Redis

from sio_server.conversation.author import Author
from sio_server.conversation.log import ConversationLog
from sio_server.conversation.members import Members
from sio_server.conversation.schedules import Schedules
from sio_server.protocol.events import ConversationCreate
from sio_server.store.keys import due
from sio_server.store.partitions import partition
from sio_server.store.scripts import Request, Scripts
from tests.waiting import poll

KEY = "a-service-key-that-only-these-tests-use"
HEADERS = {"Authorization": f"Bearer {KEY}"}
SHOP = Author("service:shop", "shop", "api", "shop")
NEXT_MS = 2**44
RECORD = {"text": "good morning", "run": None, "at": None, "cron": "0 9 * * *", "timezone": "UTC"}


def asked() -> Request:
    return Request(SHOP.user_id, uuid.uuid4().hex, "0" * 40)


@pytest.fixture
def schedules(redis: Redis, log: ConversationLog) -> Schedules:
    return Schedules(Scripts(redis), log)


@pytest.fixture
async def room(members: Members, new_id: str) -> str:
    """An open conversation without an agent."""
    request = ConversationCreate(request_id=new_id, conversation_id=new_id, access="open", agent="off")
    conversation_id, _ = await members.create(Author("ann", "Ann", "laptop"), request)
    return conversation_id


async def texts(log: ConversationLog, room: str) -> list[str]:
    page = await log.page(room, "", limit=100)
    return [text for _, text in page.entries if '"type":"message"' in text]


async def test_what_two_nodes_do_is_done_once_and_is_due_again(
    schedules: Schedules, log: ConversationLog, redis: Redis, room: str
) -> None:
    schedule_id = await schedules.put(room, SHOP, 1, RECORD, asked())
    (first,) = [one for one in await schedules.claim() if one.conversation_id == room]
    assert [one for one in await schedules.claim() if one.conversation_id == room] == []
    # The node that has claimed it is silent for too long: another one claims it, and both do it.
    await redis.zadd(due(partition(room)), {f"{room} {schedule_id}": 1})
    other = Schedules(Scripts(redis), log)
    (again,) = [one for one in await other.claim() if one.conversation_id == room]
    assert again == first
    await asyncio.gather(*(schedules.carry_out(one, "r-1", lambda at: NEXT_MS) for one in (first, again)))
    (told,) = await texts(log, room)
    assert f'"request_id":"{schedule_id}.1"' in told
    (kept,) = await schedules.read(room, SHOP.user_id)
    assert kept.due_ms == NEXT_MS
    assert await redis.zscore(due(partition(room)), f"{room} {schedule_id}") == NEXT_MS


async def test_what_is_refused_is_told_and_not_tried_again(schedules: Schedules, room: str) -> None:
    await schedules.put(room, SHOP, 1, {**RECORD, "user_id": "bob", "cron": None}, asked())
    (one,) = [one for one in await schedules.claim() if one.conversation_id == room]
    await schedules.carry_out(one, "r-1", lambda at: None)
    (kept,) = await schedules.read(room, SHOP.user_id)
    assert (kept.due_ms, kept.record["problem"]["code"]) == (None, "not_a_member")


async def test_of_a_deleted_conversation_nothing_is_due(
    schedules: Schedules, members: Members, redis: Redis, room: str
) -> None:
    schedule_id = await schedules.put(room, SHOP, NEXT_MS, RECORD, asked())
    await members.delete(SHOP, room, asked())
    assert await redis.zscore(due(partition(room)), f"{room} {schedule_id}") is None


async def test_a_service_schedules_a_run_that_nodes_begin_once(start_cluster: Any) -> None:
    cluster = await start_cluster(2, SERVICE_KEYS=f"shop:{KEY}", GRAPH="echo", WORD_DELAY="0")
    async with aiohttp.ClientSession(headers=HEADERS) as http:

        async def ask(method: str, path: str, body: Any = None) -> Any:
            url = f"{cluster.urls[0]}/api/v1/conversations{path}"
            async with http.request(method, url, json=body) as response:
                return await response.json()

        where = (await ask("POST", "", {"user": {"user_id": "ann"}, "agent": "off"}))["conversation_id"]
        later = await ask("POST", f"/{where}/schedules", {"text": "later", "cron": "0 9 * * *"})
        far = await ask("POST", f"/{where}/schedules", {"text": "far", "at": "2999-01-01T00:00:00+01:00"})
        listed = (await ask("GET", f"/{where}/schedules"))["schedules"]
        assert [one["schedule_id"] for one in listed] == [later["schedule_id"], far["schedule_id"]]
        soon = (datetime.now(UTC) + timedelta(seconds=0.5)).isoformat()
        await ask("POST", f"/{where}/schedules", {"text": "hello", "run": True, "at": soon})

        async def answered() -> bool:
            entries = (await ask("GET", f"/{where}/entries"))["entries"]
            return [entry["type"] for entry in entries] == ["conversation_created", "message", "answer"]

        await poll(answered, "the answer")
        assert [one["text"] for one in (await ask("GET", f"/{where}/schedules"))["schedules"]] == ["later", "far"]
        assert (await ask("DELETE", f"/{where}/schedules/{later['schedule_id']}"))["dropped"] is True
        both = await ask("POST", f"/{where}/schedules", {"text": "x", "at": soon, "cron": "* * * * *"})
        assert both["error"]["code"] == "invalid_payload"
