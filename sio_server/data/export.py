"""Exports a conversation or a user as JSON Lines: one object a line, read page by page, never held as a whole."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from typing import Any

from sio_server.conversation.log import ConversationLog
from sio_server.conversation.members import Members
from sio_server.data.user_deletion import conversations_of
from sio_server.files.files import Files
from sio_server.protocol.errors import ErrorCode, Refused
from sio_server.protocol.run import SERVICE_PREFIX
from sio_server.store.bounded import BoundedRedis
from sio_server.store.connection import redis_errors
from sio_server.store.json_text import to_json
from sio_server.store.keys import conversation_keys, user_devices, user_unlisted

PAGE = 200  # entries read at once
EXPORTER = f"{SERVICE_PREFIX}export"


class Exports:
    """Each line is `{"kind": ..., ...}`; docs/data.md lists them. Raises Refused and Unavailable."""

    def __init__(
        self, redis: BoundedRedis, conversations: ConversationLog, members: Members, files: Files | None = None
    ) -> None:
        self._files = files
        self._redis = redis
        self._log = conversations
        self._members = members

    async def conversation(self, conversation_id: str) -> AsyncIterator[str]:
        """A conversation with its members, marks and entries. An entry that comes meanwhile is in it or is not."""
        view = await self._log.get_view(conversation_id, EXPORTER)
        settings = ("title", "access", "agent", "graph", "multitask_strategy", "approvals", "invites", "owner")
        about = {name: getattr(view, name) for name in settings}
        yield _line(
            "conversation",
            conversation_id=conversation_id,
            **about,
            epoch=view.bounds.epoch,
            first=view.bounds.first,
            head=view.bounds.head,
        )
        reads = json.loads(view.reads or "{}")
        for member in await self._members.members(conversation_id, EXPORTER):
            user_id = member["user_id"]
            yield _line("member", user_id=user_id, role=member["role"], read=reads.get(user_id, 0))
        async for seq, text in self._entries(conversation_id, view.bounds.head):
            if text is None:
                yield _line("missing", conversation_id=conversation_id, after=seq)
            else:
                yield f'{{"kind":"entry","entry":{text}}}\n'
                async for line in self._files_of(conversation_id, text):
                    yield line
        yield _line("end", conversation_id=conversation_id)

    async def user(self, user_id: str) -> AsyncIterator[str]:
        """A user: devices, conversations with role, mark and draft, and all messages by the user.

        What others have said is not in it: export the conversations.
        """
        yield _line("user", user_id=user_id)
        with redis_errors():
            devices: dict[Any, Any] = await self._redis.hgetall(user_devices(user_id))
            left: list[Any] = await self._redis.zrange(user_unlisted(user_id), 0, -1)
        for device_id, known in sorted(devices.items()):
            last_seen, _, name = str(known).split(" ", 2)
            yield _line("device", device_id=str(device_id), device_name=name, last_seen_ms=int(last_seen or 0))
        for conversation_id in left:
            yield _line("left", conversation_id=str(conversation_id))
        async for conversation_id in conversations_of(self._redis, user_id):
            try:
                view = await self._log.get_view(conversation_id, EXPORTER)
            except Refused as exc:
                if exc.code == ErrorCode.UNKNOWN_CONVERSATION:  # it was deleted meanwhile
                    continue
                raise
            keys = conversation_keys(conversation_id)
            with redis_errors():
                role = await self._redis.hget(keys.members, user_id)
                draft = await self._redis.hget(keys.drafts, user_id)
                read = await self._redis.hget(keys.reads, user_id)
            yield _line(
                "membership",
                conversation_id=conversation_id,
                title=view.title,
                role=None if role is None else str(role),
                read=int(read or 0),
                draft=None if draft is None else json.loads(str(draft)),
            )
            async for seq, text in self._entries(conversation_id, view.bounds.head):
                if text is None:
                    yield _line("missing", conversation_id=conversation_id, after=seq)
                elif json.loads(text)["data"].get("user_id") == user_id:
                    yield f'{{"kind":"entry","entry":{text}}}\n'
                    async for line in self._files_of(conversation_id, text):
                        yield line
        yield _line("end", user_id=user_id)

    async def _files_of(self, conversation_id: str, text: str) -> AsyncIterator[str]:
        """The files of an entry, each in lines of a part of it."""
        if self._files is None or '"files":[' not in text:
            return
        for file in json.loads(text)["data"].get("files", ()):
            about = {"conversation_id": conversation_id, "file_id": file["file_id"]}
            at = 0
            try:
                async for chunk in self._files.stream(conversation_id, file["file_id"]):
                    yield _line("file", **about, offset=at, data=base64.b64encode(chunk).decode())
                    at += len(chunk)
            except FileNotFoundError:
                yield _line("missing_file", **about)

    async def _entries(self, conversation_id: str, head: int) -> AsyncIterator[tuple[int, str | None]]:
        """The entries up to `head` as (seq, JSON), long ones whole; (seq, None) where some above seq are lost."""
        after: int | None = None
        while after is None or after < head:
            page = await self._log.page(conversation_id, EXPORTER, after=after or 0, up_to=head, limit=PAGE)
            if after is None:  # what the log does not keep is not missing
                after = page.bounds.first - 1
            for seq, text in page.entries:
                if seq > after + 1:
                    yield after, None
                yield seq, await self._whole(conversation_id, text)
                after = seq
            if not page.entries:
                if after < head:
                    yield after, None
                return

    async def _whole(self, conversation_id: str, text: str) -> str:
        if '"pages":' not in text:
            return text
        entry = json.loads(text)
        if (count := entry.pop("pages", None)) is None:
            return text
        try:
            pages = [await self._log.read_long(conversation_id, EXPORTER, entry["seq"], at) for at in range(count)]
        except Refused:  # it was deleted meanwhile
            return text
        entry["data"] = json.loads("".join(page["text"] for page in pages))
        return to_json(entry)


def _line(kind: str, **fields: Any) -> str:
    return to_json({"kind": kind, **fields}) + "\n"
