"""Messages that are appended at a time, or again and again: each time once, by any node."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sio_server.conversation.author import Author
from sio_server.conversation.log import ConversationLog
from sio_server.protocol.errors import Refused
from sio_server.store.json_text import to_json
from sio_server.store.keys import due
from sio_server.store.partitions import PARTITIONS, partition
from sio_server.store.scripts import Argument, Request, Scripts

MAX_SCHEDULES = 100  # of a conversation
HOLD_MS = 30_000  # a node that has claimed what is due, and has not done it by then, may be dead
AT_ONCE = 20  # of a partition
LOOK_AGAIN_S = 5.0  # at a partition in which nothing is due: another node may have put something there

# When it is due again after a time (both in ms), or None.
Next = Callable[[int], int | None]


@dataclass(frozen=True)
class Scheduled:
    """A message that is due at `due_ms`; None: it was refused, and is not tried again."""

    schedule_id: str
    due_ms: int | None
    record: dict[
        str, Any
    ]  # user_id, name, device_name, text, run, at, cron, timezone; problem: why it was refused


@dataclass(frozen=True)
class Due:
    """A message that this node is to append now."""

    conversation_id: str
    schedule_id: str
    due_ms: int
    record: dict[str, Any]


class Schedules:
    """What is scheduled in all conversations.

    What is due is appended with a `request_id` made from its id and its time, so that it is appended once, however
    many nodes try. Raises Refused and Unavailable.
    """

    def __init__(self, scripts: Scripts, log: ConversationLog) -> None:
        self._scripts = scripts
        self._log = log
        self._look_at = [0.0] * PARTITIONS  # when the node looks at each partition again, by its monotonic clock

    async def put(
        self, conversation_id: str, author: Author, due_ms: int, record: dict[str, Any], request: Request
    ) -> str:
        """Schedule a message, given what is to be done; return its id. Refused with `quota_exceeded`."""
        reply = await self._scripts.conversation(
            "put_schedule",
            conversation_id,
            request,
            user_id=author.user_id,
            schedule_id=f"s-{secrets.token_hex(8)}",
            due_ms=due_ms,
            record=to_json(
                {"user_id": author.user_id, "name": author.name, "device_name": author.device_name} | record
            ),
            most=MAX_SCHEDULES,
        )
        self._look_at[partition(conversation_id)] = 0.0
        return str(reply["schedule_id"])

    async def read(self, conversation_id: str, user_id: str) -> list[Scheduled]:
        """What is scheduled in a conversation, or was refused; in the order of the times."""
        reply = await self._scripts.conversation("read_schedules", conversation_id, user_id=user_id)
        flat = [str(value) for value in reply["schedules"]]
        found = []
        for schedule_id, kept in zip(flat[::2], flat[1::2], strict=True):
            due_ms, _, record = kept.partition(" ")
            found.append(Scheduled(schedule_id, int(due_ms) or None, json.loads(record)))
        return sorted(found, key=lambda one: (one.due_ms or 0, one.schedule_id))

    async def drop(self, conversation_id: str, user_id: str, schedule_id: str, request: Request) -> bool:
        """Do not append it any more; return whether there was such a one."""
        reply = await self._scripts.conversation(
            "drop_schedule", conversation_id, request, user_id=user_id, schedule_id=schedule_id
        )
        return bool(int(reply["dropped"]))

    async def claim(self) -> list[Due]:
        """What is due and no other node is at. Redis is asked about partitions only that may have something."""
        now = time.monotonic()
        numbers = [number for number, at in enumerate(self._look_at) if at <= now]
        if not numbers:
            return []
        about: dict[str, Argument] = {"count": AT_ONCE}
        replies = await self._scripts.some("list_due", [([due(number)], about) for number in numbers])
        for number, reply in zip(numbers, replies, strict=True):
            if reply is None:  # its shard is away
                continue
            in_s = int(reply["in_ms"]) / 1000 if reply["in_ms"] else LOOK_AGAIN_S
            # What is due now may be due again, or may be held by a node that dies.
            self._look_at[number] = now if reply["due"] else now + min(in_s, LOOK_AGAIN_S)
        found = []
        for member in (str(member) for reply in replies if reply is not None for member in reply["due"]):
            conversation_id, _, schedule_id = member.partition(" ")
            claimed = await self._scripts.conversation(
                "claim_schedule", conversation_id, schedule_id=schedule_id, hold_ms=HOLD_MS
            )
            if claimed.status == "ok":
                record = json.loads(claimed["record"])
                found.append(Due(conversation_id, schedule_id, int(claimed["due_ms"]), record))
        return found

    async def carry_out(self, one: Due, run_id: str, after: Next) -> bool:
        """Append a message that is due, and find out when it is due again. What is refused is noted with it.

        Returns whether it was appended.
        """
        record = {name: value for name, value in one.record.items() if name != "problem"}
        author = Author(record["user_id"], record["name"], "api", record["device_name"])
        try:
            await self._log.append_message(
                one.conversation_id,
                author,
                f"{one.schedule_id}.{one.due_ms}",
                record["text"],
                run_id=run_id,
                answer=record["run"],
            )
        except Refused as exc:
            record["problem"] = exc.to_wire()
        next_ms = after(one.due_ms)
        await self._scripts.conversation(
            "advance_schedule",
            one.conversation_id,
            schedule_id=one.schedule_id,
            due_ms=one.due_ms,
            next_ms=next_ms,
            record=to_json(record) if next_ms is not None or "problem" in record else None,
        )
        return "problem" not in record
