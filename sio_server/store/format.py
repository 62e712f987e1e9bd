"""How keys are laid out, written down in Redis by the first node: one that disagrees must not start."""

from __future__ import annotations

import json

from redis.asyncio import Redis

from sio_server.store.json_text import to_json
from sio_server.store.keys import FORMAT
from sio_server.store.partitions import PARTITIONS, TABLE


class WrongFormat(Exception):
    """The data in this Redis was written with another layout of keys; the message is for people."""


async def check_format(redis: Redis) -> None:
    """Write the layout of this version where there is none. Raises WrongFormat when there is another."""
    ours = {"partitions": PARTITIONS, "table": TABLE}
    await redis.set(FORMAT, to_json(ours), nx=True)
    text = str(await redis.get(FORMAT))
    try:
        there = json.loads(text)
    except ValueError:
        there = text
    if there != ours:
        raise WrongFormat(
            f"the data in this Redis has another layout of keys ({FORMAT} is {text[:200]}, and this version has "
            f"{to_json(ours)}): use the version of Roomgraph that has written it, or an empty database"
        )
