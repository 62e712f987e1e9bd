"""The atomic steps: one Lua file each, loaded here and run by name."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from functools import cache
from importlib import resources
from typing import Any

from redis.asyncio import Redis
from redis.commands.core import AsyncScript
from redis.exceptions import ResponseError

from sio_server.protocol.errors import Refused
from sio_server.protocol.events import MAX_DEVICE_SESSIONS, MAX_DEVICES
from sio_server.store.connection import redis_errors
from sio_server.store.keys import (
    BUS,
    DEVICES_KEPT_MS,
    ConversationKeys,
    user_call,
    user_devices,
    user_room,
    user_sessions,
    user_signed_out,
)

# Scripts that begin or end runs are given `_run.lua` as well.
_OF_RUNS = {"append", "take_run", "finish_run", "stop", "respond", "regenerate"}

# Steps that a repetition would do otherwise, or answer otherwise; see `_once.lua`.
_ONCE = {"create", "join", "leave", "invite", "draft", "stop", "take_run", "hand_over"}
_ONCE |= {"rename_device", "sign_out", "revoke"}

_REFUSALS = {
    "unknown_conversation": "there is no such conversation, or you are not invited to it",
    "not_a_member": "you are not a member of this conversation; join it first",
    "conversation_exists": "this id is taken: join the conversation, or take another id",
    "client_id_reused": "this client_id was used for another message",
    "not_allowed": "this is for somebody else to do",
    "not_latest": "something newer has been said since",
    "run_in_progress": "the agent is still at work on something; try again when it has finished, or stop it",
    "too_many_connections": "this user has as many connections as one may have; close one, or try again later",
    "unknown_device": "you have no such device",
    "unknown_interrupt": "there is no such open question; the dialog may have gone on without it",
}


# Each script lies in the folder of the package that calls it; `store/lua` holds what all include.
_FOLDERS = ("store/lua", "conversation/lua", "users/lua", "cluster/lua", "gateway/sessions/lua")


@cache
def _source(name: str) -> str:
    server = resources.files("sio_server")
    for folder in _FOLDERS:
        script = server.joinpath(folder, name)
        if script.is_file():
            return script.read_text(encoding="utf-8")
    raise LookupError(f"there is no script {name}")


def _sources(*names: str) -> str:
    return "".join(_source(name) for name in names)


class Scripts:
    """Runs the scripts of this folder on one Redis; refusals become `Refused`, lost replies `Unavailable`."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._loaded: dict[str, AsyncScript] = {}

    async def conversation(self, name: str, conversation_id: str, *args: str | int) -> list[Any]:
        """Run a script on one conversation and return what follows `ok`, or the whole reply of a run script."""
        k = ConversationKeys(conversation_id)
        keys = [k.meta, k.members, k.invited, k.log, k.sent, k.reads, k.drafts, k.lease, k.unfinished, k.runs]
        keys += [k.stats, k.interrupts, k.answers, k.resolved, k.threads, k.retired, k.delivered]
        prelude = ["_time.lua", "_bus.lua", "_entry.lua", *(["_run.lua"] if name in _OF_RUNS else [])]
        script = self._step(name, prelude, keys, k.call)
        return await self._run(script, keys, [conversation_id, BUS, k.run_prefix, *args])

    async def devices(self, name: str, user_id: str, *args: str | int) -> list[Any]:
        """Run a script on the devices of one user."""
        keys = [user_sessions(user_id), user_devices(user_id), user_signed_out(user_id)]
        prelude = ["_time.lua", "_bus.lua", "_devices.lua"]
        script = self._step(name, prelude, keys, lambda call_id: user_call(user_id, call_id))
        limits = [MAX_DEVICES, MAX_DEVICE_SESSIONS, DEVICES_KEPT_MS]
        return await self._run(script, keys, [user_id, BUS, user_room(user_id), *limits, *args])

    async def plain(self, name: str, keys: list[str], *args: str | int) -> list[Any]:
        """Run a script that needs nothing but its keys."""
        return await self._run(self._script(name, _source(f"{name}.lua")), keys, list(args))

    async def server_id(self) -> str:
        """Which start of Redis this is; empty when it does not say so."""
        with redis_errors():
            try:
                return str((await self._redis.info("server")).get("run_id", ""))
            except ResponseError:  # not everyone may ask
                return ""

    def _step(
        self, name: str, prelude: Sequence[str], keys: list[str], call_key: Callable[[str], str]
    ) -> AsyncScript:
        """The script; of one whose repetition must give the first reply, with the key of this call at the end."""
        if name not in _ONCE:
            return self._script(name, _sources(*prelude, f"{name}.lua"))
        keys.append(call_key(secrets.token_hex(6)))
        return self._script(name, _sources(*prelude, "_once.lua", f"{name}.lua", "_once_end.lua"))

    async def many(self, name: str, calls: Sequence[tuple[list[str], list[int]]]) -> list[Any]:
        """Run a plain script many times in one round trip, each time on keys (and with arguments) of its own.

        Raises Unavailable when one of them failed: the others may have been carried out.
        """
        script = self._script(name, _source(f"{name}.lua"))
        with redis_errors():
            pipe = self._redis.pipeline(transaction=False)
            for keys, args in calls:
                await script(keys=keys, args=args, client=pipe)
            return list(await pipe.execute())

    def _script(self, name: str, source: str) -> AsyncScript:
        if name not in self._loaded:
            self._loaded[name] = self._redis.register_script(source)
        return self._loaded[name]

    async def _run(self, script: AsyncScript, keys: list[str], args: list[str | int]) -> list[Any]:
        with redis_errors():
            reply: list[Any] = await script(keys=keys, args=args)
        if reply[0] in _REFUSALS:
            raise Refused(reply[0], _REFUSALS[reply[0]])
        return reply
