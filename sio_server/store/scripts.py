"""The atomic steps: each is one Lua file, called by its name and the names of its arguments."""

from __future__ import annotations

import json
import random
import secrets
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from sio_server.protocol.errors import Refused, Unavailable
from sio_server.store.bounded import BoundedRedis
from sio_server.store.connection import REDIS_ERRORS, redis_errors, to_unavailable
from sio_server.store.json_text import to_json
from sio_server.store.keys import conversation_keys, user_call, user_keys, user_request
from sio_server.store.partitions import partition
from sio_server.store.pipelined import LoadedScript
from sio_server.store.script_files import ScriptFile, load_script

_REFUSALS = {
    "unknown_conversation": "there is no such conversation, or you are not invited to it",
    "not_a_member": "you are not a member of this conversation; join it first",
    "conversation_exists": "this id is taken: join the conversation, or take another id",
    "request_id_reused": "this request_id was used for another request",
    "out_of_order": "the message named in `after` is not in the log: send it first; omit `after` if it was acked",
    "not_allowed": "another user has to do this",
    "not_latest": "something newer has been said since",
    "run_in_progress": "the agent is still at work on something; try again when it has finished, or stop it",
    "too_many_connections": "this user has as many connections as one may have; close one, or try again later",
    "quota_exceeded": "this user has as much stored here as one may have; leave or delete something first",
    "not_found": "there is no such entry, page or run, or not any more",
    "unknown_device": "you have no such device",
    "unknown_interrupt": "there is no such open question; the dialog may have continued without it",
}

Command = tuple[str, ...]  # one that is plain Redis, such as ("HSET", key, field, value)
Argument = str | int | bool | list[Any] | dict[str, Any] | None


class Request(NamedTuple):
    """A request of a client that changes something: the same one again has the same result.

    `digest`: of the body, 40 hexadecimal digits. Scripts that include `request` take it.
    """

    user_id: str
    request_id: str
    digest: str

    @classmethod
    def unrepeated(cls, user_id: str) -> Request:
        """A request that nobody will repeat."""
        return cls(user_id, secrets.token_hex(16), "0" * 40)


class Reply(dict[str, Any]):
    """What a script returned: its `status`, and the values that the head of its file names.

    `repeated`: a request of a client was carried out before, and this is the first reply.
    """

    __slots__ = ("repeated", "status")

    def __init__(self, flat: Sequence[Any]) -> None:
        parts = iter(flat)
        self.status = str(next(parts))
        super().__init__(zip(parts, parts, strict=True))
        self.repeated = self.pop("repeated", None) is not None


@dataclass(frozen=True)
class ScriptCall:
    """A script that someone else runs, in a pipeline with commands of its own."""

    script: LoadedScript
    keys: Sequence[str]
    args: Sequence[str | int]


class Scripts:
    """Runs scripts on one Redis.

    Arguments are passed by the names that the script gives them: None as an empty string, a boolean as 1 or 0, a
    list or dict as JSON. A refusal is raised as Refused, with the reply's `details`, a lost reply as Unavailable.
    """

    def __init__(self, redis: Redis) -> None:
        if not isinstance(redis, BoundedRedis):
            raise TypeError("scripts run on a client of `connect`")
        self.redis = redis
        self._loaded: dict[str, tuple[ScriptFile, LoadedScript]] = {}

    def conversation(
        self, name: str, conversation_id: str, request: Request | None = None, /, **arguments: Argument
    ) -> Coroutine[Any, Any, Reply]:
        """Run a script on one conversation."""
        return self.run(name, conversation_id, request, arguments)

    def run(
        self, name: str, conversation_id: str, request: Request | None, arguments: Mapping[str, Argument]
    ) -> Coroutine[Any, Any, Reply]:
        """The same with the arguments in a mapping."""
        keys = conversation_keys(conversation_id)
        kept_at = keys.request(request.user_id, request.request_id) if request else ""
        return self._run(name, keys.all(), [], keys.call, arguments, request, kept_at)

    def call_later(self, name: str, conversation_id: str, **arguments: Argument) -> ScriptCall:
        """A call of a script on one conversation; not of one that runs once, or carries out a request."""
        file, script = self._script(name)
        if file.once or file.request:
            raise TypeError(f"{file.name}.lua needs a key for each call")
        return ScriptCall(script, conversation_keys(conversation_id).all(), _in_order(file, arguments))

    async def conversations(
        self, name: str, calls: Sequence[tuple[str, Mapping[str, Argument]]]
    ) -> list[Reply | Refused | Unavailable]:
        """Run a script on many conversations in one round trip; the refusal of one does not concern the others.

        It must not be one that runs once (`_once.lua`). When one of them failed, on a Redis Cluster Unavailable is
        its value, since only its shard may be away, and otherwise it is raised.
        """
        with_keys = [(conversation_keys(conversation_id).all(), arguments) for conversation_id, arguments in calls]
        if self.redis.routed is not None:
            return [_as_value(reply) for reply in await self._each(name, with_keys)]
        return [_as_value(reply) for reply in (await self.many(name, with_keys) if calls else [])]

    async def together(
        self, name: str, conversation_ids: Sequence[str], arguments: Mapping[str, Argument]
    ) -> dict[str, dict[str, Any] | Unavailable]:
        """Run a script that reads many conversations (`keys: conversations`) once for all, or on a Redis Cluster
        once for each slot; return the item of each.

        A script that ends early is run again for the rest. Unavailable is the item of each whose shard of a Redis
        Cluster is away.
        """
        items: dict[str, dict[str, Any] | Unavailable] = {}
        groups: list[Sequence[str]] = [conversation_ids] if conversation_ids else []
        if self.redis.routed is not None:
            by_partition: dict[int, list[str]] = {}
            for one in conversation_ids:
                by_partition.setdefault(partition(one), []).append(one)
            groups = list(by_partition.values())
        while groups:
            calls = [([key for one in ids for key in conversation_keys(one).all()], arguments) for ids in groups]
            run = self.many if self.redis.routed is None else self._each
            rest = []
            for ids, reply in zip(groups, await run(name, calls), strict=True):
                if isinstance(reply, Unavailable):
                    items |= dict.fromkeys(ids, reply)
                    continue
                for one, flat in zip(ids, reply["items"], strict=False):
                    items[one] = dict(zip(flat[::2], flat[1::2], strict=True))
                if len(reply["items"]) < len(ids):
                    rest.append(ids[len(reply["items"]) :])
            groups = rest
        return items

    async def user(
        self,
        name: str,
        user_id: str,
        request: Request | None = None,
        before: Sequence[Command] = (),
        /,
        **arguments: Argument,
    ) -> Reply:
        """Run a script on what is kept of one user: sessions, devices, lists, quotas.

        The commands `before` are sent before it in the same round trip.
        """
        kept_at = user_request(user_id, request.request_id) if request else ""
        keys = user_keys(user_id)
        return await self._run(
            name, (), keys, lambda call_id: user_call(user_id, call_id), arguments, request, kept_at, before
        )

    async def plain(self, name: str, keys: Sequence[str], **arguments: Argument) -> Reply:
        """Run a script on these keys."""
        file, script = self._script(name)
        with redis_errors():
            return Reply(await self.redis.run_script(script, keys, _in_order(file, arguments)))

    async def many(self, name: str, calls: Sequence[tuple[Sequence[str], Mapping[str, Argument]]]) -> list[Reply]:
        """Run a script many times in one round trip, each time on keys (and with arguments) of its own.

        Raises Unavailable when one of them failed: the others may have been carried out.
        """
        with redis_errors():
            return [Reply(flat) for flat in await self.redis.run_scripts(*self._together(name, calls))]

    async def some(
        self, name: str, calls: Sequence[tuple[Sequence[str], Mapping[str, Argument]]]
    ) -> list[Reply | None]:
        """As `many`; on a Redis Cluster None stands for each that failed, unless all have: a shard may be away."""
        with redis_errors():
            replies = await self.redis.run_some(*self._together(name, calls))
        return [None if isinstance(flat, Exception) else Reply(flat) for flat in replies]

    async def _each(
        self, name: str, calls: Sequence[tuple[Sequence[str], Mapping[str, Argument]]]
    ) -> list[Reply | Unavailable]:
        try:
            replies = await self.redis.run_some(*self._together(name, calls))
        except REDIS_ERRORS as exc:  # all have failed
            return [to_unavailable(exc) for _ in calls]
        return [to_unavailable(flat) if isinstance(flat, Exception) else Reply(flat) for flat in replies]

    def _together(
        self, name: str, calls: Sequence[tuple[Sequence[str], Mapping[str, Argument]]]
    ) -> tuple[LoadedScript, list[tuple[Sequence[str], list[str | int]]]]:
        """A script, and calls of it, each with its keys and arguments."""
        file, script = self._script(name)
        if file.durable:
            raise TypeError(f"{file.name}.lua runs alone: replicas are waited for")
        return script, [(keys, _in_order(file, arguments)) for keys, arguments in calls]

    async def server_id(self, conversation_id: str) -> str:
        """Which start of the Redis that has the conversation this is; empty when it does not say so."""
        with redis_errors():
            try:
                return str((await self.redis.info_of(conversation_keys(conversation_id).meta)).get("run_id", ""))
            except ResponseError:  # not everyone may ask
                return ""

    async def _run(
        self,
        name: str,
        first_keys: tuple[str, ...],
        keys: list[str],
        call_key: Callable[[str], str],
        arguments: Mapping[str, Argument],
        request: Request | None,
        kept_at: str,
        before: Sequence[Command] = (),
    ) -> Reply:
        file, script = self._loaded.get(name) or self._script(name)
        # The id of a call is unique and no secret.
        args, call_id = _in_order(file, arguments), f"{random.getrandbits(48):012x}"
        if file.once:
            keys.append(call_key(call_id))
        if file.request != (request is not None):
            raise TypeError(f"{file.name}.lua carries out {'a' if file.request else 'no'} request of a client")
        if request is not None:
            keys.append(kept_at)
            args += [f"{request.user_id} {request.request_id}", request.digest, call_id]
        try:
            reply = Reply(await self.redis.run_script(script, keys, args, before, first_keys))
        except REDIS_ERRORS as exc:
            raise to_unavailable(exc) from exc
        if reply.status in _REFUSALS:
            # A script that refuses may name `details`: one JSON object.
            details = json.loads(reply["details"]) if reply.get("details") else None
            raise Refused(reply.status, _REFUSALS[reply.status], details)
        return reply

    def _script(self, name: str) -> tuple[ScriptFile, LoadedScript]:
        found = self._loaded.get(name)
        if found is None:
            file = load_script(name, on_cluster=self.redis.routed is not None)
            found = self._loaded[name] = (file, LoadedScript(file.source, durable=file.durable))
        return found


def _as_value(reply: Reply | Unavailable) -> Reply | Refused | Unavailable:
    """A reply that refuses, as the refusal."""
    if isinstance(reply, Unavailable) or reply.status not in _REFUSALS:
        return reply
    return Refused(reply.status, _REFUSALS[reply.status])


def _in_order(file: ScriptFile, arguments: Mapping[str, Argument]) -> list[str | int]:
    if len(arguments) != len(file.arguments):
        raise TypeError(f"{file.name}.lua takes {file.arguments}, not {tuple(arguments)}")
    return [
        value if type(value := arguments[name]) is str else _to_redis(value)  # most are texts
        for name in file.arguments
    ]


def _to_redis(value: Argument) -> str | int:
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    return int(value) if isinstance(value, int) else to_json(value)
