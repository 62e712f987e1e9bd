"""Threads of one conversation, each begun as a copy of one before, as attempts at runs are."""

from __future__ import annotations

from typing import Any

from redis.asyncio import Redis

from sio_server.conversation.runs import ClaimedRun
from sio_server.dialog.threads import copy_tip
from sio_server.store.keys import ConversationKeys

TOKEN = "7"


async def hold_lease(redis: Redis, conversation_id: str) -> None:
    """Let what is written with the token be taken."""
    await redis.hset(ConversationKeys(conversation_id).lease, "token", TOKEN)


class Copies:
    """The threads of a conversation, which are numbered; the last one is written to."""

    def __init__(self, saver: Any, conversation_id: str, *, subgraphs: bool = False) -> None:
        self.saver = saver
        self.conversation_id = conversation_id
        self.subgraphs = subgraphs
        self.number = 1

    def thread_id(self, number: int) -> str:
        return f"{self.conversation_id}@{number}#{TOKEN}"

    @property
    def config(self) -> Any:
        """How to call a graph with the last thread."""
        return {"configurable": {"thread_id": self.thread_id(self.number), "fencing_token": TOKEN}}

    async def begin(self, source: int = 0, *, whole: bool = False) -> None:
        """Begin a thread as a copy of the last one, or of another."""
        origin = self.thread_id(source or self.number)
        self.number += 1
        run = ClaimedRun(
            conversation_id=self.conversation_id,
            epoch=str(self.number),
            run_id="r",
            kind="message",
            attempt=1,
            failures=0,
            token=TOKEN,
            input_seq=1,
            input=None,
            source=origin,
            began_from="",
            answers={},
            replaces=None,
            graph="g",
            agent_name="g",
        )
        await copy_tip(self.saver, run, whole=whole, subgraphs=self.subgraphs)

    async def take_over(self) -> None:
        """Continue in a copy, in the middle of a step as well; the thread before is deleted."""
        await self.begin(whole=True)
        await self.saver.adelete_thread(self.thread_id(self.number - 1))
