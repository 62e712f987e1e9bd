"""What Redis knows of the files of conversations: whose each is, which message has it, what is to be removed."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from redis.asyncio import Redis

from sio_server.protocol.errors import ErrorCode, Refused
from sio_server.store.connection import redis_errors
from sio_server.store.json_text import to_json
from sio_server.store.keys import FILES_FOLDER, UPLOAD_KEPT_MS, conversation_keys, files_due
from sio_server.store.partitions import PARTITIONS
from sio_server.store.scripts import Scripts

DUE_AT_ONCE = 20  # of each partition
ALL = "*"  # in place of a file's id: all of a conversation that is gone


class Due(NamedTuple):
    """A file that may have to be removed; `file_id` ALL: those of the conversation."""

    conversation_id: str
    file_id: str


async def is_shared_folder(redis: Redis, folder_id: str) -> bool:
    """Whether the other nodes use the same folder; the first one that asks says which."""
    await redis.set(FILES_FOLDER, folder_id, nx=True)
    return str(await redis.get(FILES_FOLDER)) == folder_id


class FileRecords:
    """Raises Refused for users who may not, and Unavailable."""

    def __init__(self, scripts: Scripts, kept_ms: int = UPLOAD_KEPT_MS) -> None:
        """`kept_ms`: for how long a file is kept that no message has."""
        self._scripts = scripts
        self._kept_ms = kept_ms

    async def reserve(self, conversation_id: str, user_id: str, file_id: str) -> None:
        """A member is about to upload a file: write down that it is to be removed, before a byte is stored."""
        await self._scripts.conversation(
            "reserve_file", conversation_id, user_id=user_id, file_id=file_id, kept_ms=self._kept_ms
        )

    async def keep(self, conversation_id: str, user_id: str, file_id: str, about: dict[str, Any]) -> None:
        """It was uploaded, and a message may take it. `about`: what messages say of it."""
        reply = await self._scripts.conversation(
            "keep_file", conversation_id, user_id=user_id, file_id=file_id, about=to_json(about)
        )
        if reply["kept"] != "1":
            raise Refused(ErrorCode.NOT_FOUND, "the upload took too long; try again")

    async def read(self, conversation_id: str, user_id: str, file_id: str) -> dict[str, Any]:
        """What messages say of a file, for members; of one that no message has, for its owner."""
        try:
            reply = await self._scripts.conversation(
                "read_file", conversation_id, user_id=user_id, file_id=file_id
            )
        except Refused as exc:
            if exc.code == ErrorCode.NOT_FOUND:
                raise Refused(ErrorCode.NOT_FOUND, "there is no such file here, or not any more") from None
            raise
        found: dict[str, Any] = json.loads(reply["about"])
        return found

    async def due(self) -> list[Due]:
        """Files that may have to be removed by now, some of them."""
        redis = self._scripts.redis
        with redis_errors():
            seconds, microseconds = await redis.time()
            now_ms = seconds * 1000 + microseconds // 1000
            pipe = redis.pipeline(transaction=False)
            for number in range(PARTITIONS):
                pipe.zrangebyscore(files_due(number), "-inf", now_ms, start=0, num=DUE_AT_ONCE)
            found = await pipe.execute(raise_on_error=redis.routed is None)  # a shard may be away
        items = [str(item) for some in found if not isinstance(some, Exception) for item in some]
        return [Due(*item.rsplit(" ", 1)) for item in items]

    async def drop(self, due: Due) -> bool:
        """Whether the bytes of a file are to be removed; from now on no message takes it."""
        reply = await self._scripts.conversation("drop_upload", due.conversation_id, file_id=due.file_id)
        return bool(reply["gone"] == "1")

    async def unknown(self, conversation_id: str, file_ids: list[str]) -> list[str]:
        """Those of these files that nothing names, neither a conversation of this id nor an upload."""
        if not file_ids:
            return []
        keys, redis = conversation_keys(conversation_id), self._scripts.redis
        with redis_errors():
            known = await redis.hmget(keys.files, file_ids)
            due = await redis.zmscore(keys.files_due, [f"{conversation_id} {file_id}" for file_id in file_ids])
        return [one for one, a, b in zip(file_ids, known, due, strict=True) if a is None and b is None]

    async def removed(self, due: Due) -> None:
        """Nothing is left to do."""
        with redis_errors():
            await self._scripts.redis.zrem(
                conversation_keys(due.conversation_id).files_due, f"{due.conversation_id} {due.file_id}"
            )
