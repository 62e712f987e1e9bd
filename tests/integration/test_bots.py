"""Bots: their messages say so, and bots and agents that answer each other come to rest."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sio_clients import ChatClient, guest_token
from sio_clients.bots.echo import run_echo_bot
from sio_server.protocol.events import EntryType
from sio_server.tasks import end_tasks

TURNS = 6  # the setting's default


@asynccontextmanager
async def person(cluster, node: int = 0) -> AsyncIterator[ChatClient]:
    _, token = await guest_token(cluster.urls[node], "Ann")
    async with ChatClient(cluster.urls[node], token) as client:
        yield client


async def test_two_bots_in_one_conversation_answer_people_and_not_each_other(cluster, raw_client, new_id):
    watching = await raw_client(0)
    await watching.call("conversation:create", {"conversation_id": new_id, "access": "open", "agent": "off"})
    bots = [asyncio.create_task(run_echo_bot([cluster.urls[node]], new_id)) for node in (1, 2)]
    try:

        def entries(kind: str) -> list[dict]:
            told = [entry for entry in watching.named("entry:appended") if entry["conversation_id"] == new_id]
            return [entry["data"] for entry in told if entry["type"] == kind]

        await watching.until(lambda: len(entries(EntryType.MEMBER_JOINED)) == 2, 30)
        for number in (1, 2):
            await watching.call("message:send", {"conversation_id": new_id, "text": f"hello {number}"})
            await watching.until(lambda number=number: len(entries(EntryType.MESSAGE)) == 3 * number, 30)
        said = entries(EntryType.MESSAGE)
        by_bots = [data["text"] for data in said if data.get("bot")]
        # Each bot has seen the answer of the other before it answered the second message.
        assert sorted(by_bots) == ["echo: hello 1"] * 2 + ["echo: hello 2"] * 2
        assert [data["text"] for data in said if "bot" not in data] == ["hello 1", "hello 2"]
    finally:
        await end_tasks(bots)


async def test_an_agent_stops_answering_a_bot_that_answers_it_until_a_person_speaks(cluster, new_id):
    _, token = await guest_token(cluster.urls[1], "Chatty")
    async with person(cluster) as ann, ChatClient(cluster.urls[1], token, bot=True) as bot:
        await ann.create(conversation_id=new_id, access="open", graph="echo")
        conversation = await bot.join(new_id)
        acks = [await conversation.send(f"again {number}") for number in range(TURNS)]
        begun = [ack.run_id is not None for ack in acks]
        # A message and the answer to it count.
        assert begun == [True] * (TURNS // 2) + [False] * (TURNS // 2)
        own = await ann.join(new_id)
        assert (await own.send("and now?")).run_id is not None
        assert (await conversation.send("once more")).run_id is not None
