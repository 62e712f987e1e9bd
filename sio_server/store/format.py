"""How data is laid out, written down in Redis: migrated in small steps by the first node of a newer version.

`rg:format` is `{"partitions": ..., "table": ..., "version": ...}`. The first two never change while there is data.
The version counts up: the first node that knows a higher one brings the data there, while the others wait, and a
node that knows a lower one does not start. So a migration may only add, or change what the version before does not
read: during a rolling upgrade nodes of both serve.
"""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from redis.asyncio import Redis

from sio_server.store.json_text import to_json
from sio_server.store.keys import FORMAT, MIGRATION
from sio_server.store.partitions import PARTITIONS, TABLE
from sio_server.tasks import end_tasks

log = logging.getLogger(__name__)

VERSION = 1
LOCK_MS = 30_000  # renewed while a step works; after that another node continues
RENEW_S = 5.0
LOOK_S = 0.2

# By the version that it makes of the one before. A step may be repeated, also when it was half done.
Migration = Callable[[Redis], Coroutine[Any, Any, None]]
MIGRATIONS: Mapping[int, Migration] = {}

# Only the owner of the lock may write: it may have been paused, and another node has continued since.
_WRITE = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[2], ARGV[2])
return 1
"""
_RENEW = "return redis.call('GET', KEYS[1]) == ARGV[1] and redis.call('PEXPIRE', KEYS[1], ARGV[2]) or 0"
_RELEASE = "return redis.call('GET', KEYS[1]) == ARGV[1] and redis.call('DEL', KEYS[1]) or 0"


class WrongFormat(Exception):
    """The data in this Redis was written with another layout; the message is for people."""


async def check_format(
    redis: Redis, version: int = VERSION, migrations: Mapping[int, Migration] = MIGRATIONS
) -> None:
    """Write the layout of this version where there is none; bring data of an older version to it, or wait while
    another node does. Raises WrongFormat when it cannot be used.
    """
    owner = secrets.token_hex(8)
    await redis.set(FORMAT, to_json(_layout(version)), nx=True)
    while _version_of(str(await redis.get(FORMAT)), version) < version:
        if not await redis.set(MIGRATION, owner, nx=True, px=LOCK_MS):
            await asyncio.sleep(LOOK_S)  # another node migrates
            continue
        try:
            # What the node before has done may have been written since.
            for step in range(_version_of(str(await redis.get(FORMAT)), version) + 1, version + 1):
                if step not in migrations:
                    raise WrongFormat(
                        f"the data in this Redis has format {step - 1}, and this version of Roomgraph cannot "
                        f"bring it to {step}: start a version between them first"
                    )
                log.warning("data is migrated to format %d", step)
                if not await _while_held(redis, owner, migrations[step](redis)):
                    log.warning("the migration to format %d was given up: another node may do it", step)
                    break
                if not await redis.eval(_WRITE, 2, MIGRATION, FORMAT, owner, to_json(_layout(step))):
                    break
        finally:
            await redis.eval(_RELEASE, 1, MIGRATION, owner)


def _layout(version: int) -> dict[str, int]:
    return {"partitions": PARTITIONS, "table": TABLE, "version": version}


def _version_of(text: str, ours: int) -> int:
    """The version that is there. Raises WrongFormat."""
    there: Any
    try:
        there = json.loads(text)
    except ValueError:
        there = None
    known = isinstance(there, dict) and isinstance(there.get("version"), int)
    if known and there["version"] > ours:
        raise WrongFormat(
            f"the data in this Redis has format {there['version']}, and this version of Roomgraph knows none "
            f"above {ours}: use the version that has written it, or a later one"
        )
    if not known or there != _layout(there["version"]):
        raise WrongFormat(
            f"the data in this Redis has another layout of keys ({FORMAT} is {text[:200]}, and this version has "
            f"{to_json(_layout(ours))}): use the version of Roomgraph that has written it, or an empty database"
        )
    return int(there["version"])


async def _while_held(redis: Redis, owner: str, step: Coroutine[Any, Any, None]) -> bool:
    """Carry out a step; False if it was ended because this process does not have the lock any more."""
    working, renewing = asyncio.create_task(step), asyncio.create_task(_renew(redis, owner))
    try:
        await asyncio.wait({working, renewing}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            await working
            return True
        if error := renewing.exception():
            log.warning("the lock of a migration could not be renewed: error=%s", error)
        return False
    finally:
        await end_tasks([working, renewing])


async def _renew(redis: Redis, owner: str) -> None:
    """Keep the lock; ends when another process has it."""
    while True:
        if not await redis.eval(_RENEW, 1, MIGRATION, owner, LOCK_MS):
            return
        await asyncio.sleep(RENEW_S)
