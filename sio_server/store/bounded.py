"""A client of Redis whose commands, pipelines and scripts share one connection and have bounded waits."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from functools import lru_cache
from typing import Any

from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.client import Pipeline
from redis.client import EMPTY_RESPONSE, NEVER_DECODE
from redis.exceptions import ExecAbortError, NoScriptError, RedisError, ResponseError, WatchError
from redis.exceptions import TimeoutError as RedisTimeoutError

from sio_server.store.durable import DurableScripts, RoutedDurable, is_promise
from sio_server.store.failures import explain
from sio_server.store.pipelined import COMMAND_TIMEOUT_S, REPEATS, LoadedScript, Pipelined
from sio_server.store.redis_py import encode
from sio_server.store.routed import RoutedPipelined
from sio_server.store.wire import pack

# Commands of ours that a replica refuses.
_WRITES = frozenset({"SET", "HSET", "ZADD", "XADD", "HDEL", "ZREM", "DEL", "INCR", "PEXPIRE", "XACK", "XDEL"})

# Options of commands whose replies redis-py reads in another way: they get a connection of its pool.
_READ_BY_REDIS_PY = frozenset({NEVER_DECODE, EMPTY_RESPONSE})

ScriptCall = tuple[Sequence[str], Sequence[str | int]]  # keys and arguments
BytesCall = tuple[LoadedScript, Sequence[str], Sequence[str | bytes | int]]


class BoundedRedis(Redis):
    """A client none of whose commands takes longer than COMMAND_TIMEOUT_S, whatever it waits for.

    All commands, pipelines and scripts share one connection (`Pipelined`), in the order in which they were called;
    so no command may block. It belongs to the event loop that uses it first. Subscriptions, and transactions that
    watch keys, have connections of redis-py's pool.
    """

    answered_at = -float("inf")  # monotonic: when a command was answered last, by a server that may write
    demoted = False  # the server has said that it is a replica, and nothing was written since

    def __init__(
        self,
        url: str,
        pool: ConnectionPool,
        pipelined: Pipelined | RoutedPipelined | None = None,
        replicas: int = 0,
    ) -> None:
        """`replicas`: how many must have confirmed what a durable script has written before its reply counts."""
        super().__init__(connection_pool=pool)
        self.auto_close_connection_pool = True
        self.pipelined: Pipelined | RoutedPipelined = pipelined or Pipelined(url)
        self._durable: DurableScripts | RoutedDurable | None = None
        if replicas and isinstance(self.pipelined, RoutedPipelined):
            self._durable = RoutedDurable(self.pipelined, replicas)
        elif replicas:
            self._durable = DurableScripts(url, replicas)

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        name = args[0]
        with self.noting({name}):
            if options and not _READ_BY_REDIS_PY.isdisjoint(options):
                async with within_limit():
                    return await super().execute_command(*args, **options)  # type: ignore[no-untyped-call]
            reply = await self.pipelined.call(_pack(args), key=_key_of(args))
        return await _converted(reply, self.response_callbacks.get(name), options)

    @property
    def routed(self) -> RoutedPipelined | None:
        """The way to the primaries of a Redis Cluster; None: this is none."""
        return self.pipelined if isinstance(self.pipelined, RoutedPipelined) else None

    async def run_script(
        self,
        script: LoadedScript,
        keys: Sequence[str],
        args: Sequence[str | int],
        before: Sequence[Sequence[str]] = (),
        first_keys: tuple[str, ...] = (),
    ) -> Any:
        """Run a script, which is loaded when Redis does not know it. Returns its reply as Redis sends it.

        The commands `before` are sent before it in the same write; they may be carried out twice. `first_keys`
        come before `keys`; many calls have the same ones, which are packed once.
        """
        if before and isinstance(self.pipelined, RoutedPipelined):  # their keys are elsewhere
            for command in before:
                await self.execute_command(*command)
            before = ()
        call, key = _pack_call(script, keys, args, first_keys), (first_keys or keys)[0]
        try:
            if self._durable is not None and script.durable:
                packed = b"".join([*(pack(tuple(command)) for command in before), call])
                async with within_limit():
                    reply = await self._durable.run(packed, len(before) + 1, script, key)
            elif before:
                packed = b"".join([*(pack(tuple(command)) for command in before), call])
                replies = await self.pipelined.call(packed, len(before) + 1, script, key)
                for reply in replies:
                    if isinstance(reply, Exception):
                        raise reply
            else:
                reply = await self.pipelined.call(call, 1, script, key)
        except ResponseError as exc:
            self._note_error(exc)
            raise
        if not self.demoted:
            self.answered_at = time.monotonic()
        return reply

    async def info_of(self, key: str) -> dict[str, Any]:
        """INFO server of the primary that has a key."""
        reply = await self.pipelined.call(pack(("INFO", "server")), key=key)
        found: dict[str, Any] = await _converted(reply, self.response_callbacks.get("INFO"), {})
        return found

    async def run_scripts(self, script: LoadedScript, calls: Sequence[ScriptCall]) -> list[Any]:
        """Run one script with each of these keys and arguments, in one write. Raises the first error."""
        if len(calls) < 2:
            return [await self.run_script(script, *call) for call in calls]
        packed = [(_pack_call(script, keys, args), keys[0]) for keys, args in calls]
        with self.noting({"EVALSHA"}):
            replies = await self._call_all(packed, script)
            for reply in replies:
                if isinstance(reply, Exception):
                    raise reply
        return replies

    async def run_some(self, script: LoadedScript, calls: Sequence[ScriptCall]) -> list[Any]:
        """As `run_scripts`; on a Redis Cluster errors are values, unless all have failed: a shard may be away."""
        if self.routed is None or len(calls) < 2:
            return await self.run_scripts(script, calls)
        packed = [(_pack_call(script, keys, args), keys[0]) for keys, args in calls]
        replies = await self._call_all(packed, script)
        if all(isinstance(reply, Exception) for reply in replies):
            raise replies[0]
        return replies

    async def run_together(self, calls: Sequence[BytesCall]) -> list[Any]:
        """Run scripts in this order, in one write; errors are values. All are repeated if one was not known.

        When one is durable its reply is an error, too, if too few replicas have confirmed it.
        """
        packed, count, key = b"".join([_pack_call(*call) for call in calls]), len(calls), calls[0][1][0]
        for repeats in range(REPEATS + 1):
            script = calls[0][0] if count == 1 else None
            reply = self.pipelined.call(packed, count, script, key)
            replies: list[Any] = await (reply if count > 1 else _as_values(reply))
            if repeats == REPEATS or not any(isinstance(one, NoScriptError) for one in replies):
                break
            for load in {script.load for script, _, _ in calls}:
                await self.pipelined.call(load, key=key)
        if self._durable is not None:
            replies = await asyncio.gather(*map(self._confirmed, replies, calls))
        for one in replies:
            if isinstance(one, ResponseError):
                self._note_error(one)
        return replies

    async def _confirmed(self, reply: Any, call: BytesCall) -> Any:
        """The reply of `run_together` to one call, or an error when replicas do not confirm what it promises.

        It is run once more, on the connection that waits for replicas: on this one all others would wait.
        """
        script, keys, _ = call
        if self._durable is None or not script.durable or isinstance(reply, Exception) or not is_promise(reply):
            return reply
        try:
            async with within_limit():
                again = await self._durable.run(_pack_call(*call), 1, script, keys[0])
        except RedisError as exc:
            return exc
        return reply if is_promise(again) else again

    async def _call_all(
        self, packed: Sequence[tuple[bytes, str]], script: LoadedScript | None = None
    ) -> list[Any]:
        """The replies to packed commands, each on a key; errors are values. One write, but not to a cluster."""
        if isinstance(self.pipelined, RoutedPipelined):
            calls = [self.pipelined.call(command, 1, script, key) for command, key in packed]
            return await asyncio.gather(*calls, return_exceptions=True)
        reply = self.pipelined.call(b"".join([command for command, _ in packed]), len(packed), script)
        return await (reply if len(packed) > 1 else _as_values(reply))

    @contextmanager
    def noting(self, commands: set[str]) -> Iterator[list[ResponseError]]:
        """Note from the end of these commands whether the server can be written to.

        Gives a list for errors that are not raised.
        """
        errors: list[ResponseError] = []
        try:
            yield errors
        except ResponseError as exc:
            self._note_error(exc)
            raise
        if errors:
            for error in errors:
                self._note_error(error)
            return
        if self.demoted and commands & _WRITES:
            self.demoted = False
        if not self.demoted:
            self.answered_at = time.monotonic()

    def _note_error(self, error: ResponseError) -> None:
        self.demoted = self.demoted or explain(error).demoted

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> Pipeline:
        pipe = _BoundedPipeline(self.connection_pool, self.response_callbacks, transaction, shard_hint)
        pipe.bounded = self
        return pipe

    async def aclose(self, close_connection_pool: bool | None = None) -> None:
        """Close all connections; a command that waits gets a ConnectionError."""
        if self._durable is not None:
            await self._durable.aclose()
        await self.pipelined.aclose()
        await super().aclose(close_connection_pool)


class _BoundedPipeline(Pipeline):
    """A pipeline whose commands have the time of one, and are sent contiguously over the shared connection."""

    bounded: BoundedRedis

    async def execute(self, raise_on_error: bool = True) -> list[Any]:
        stack = self.command_stack
        with self.bounded.noting({str(args[0]) for args, _ in stack}) as errors:
            if self._needs_connection_of_its_own():
                async with within_limit():
                    replies = await super().execute(raise_on_error)
                errors += [reply for reply in replies if isinstance(reply, ResponseError)]
                return replies
            if not stack:
                return []
            try:
                if self.is_transaction:
                    replies = await self._transact()
                else:
                    replies = await self.bounded._call_all([(_pack(args), _key_of(args)) for args, _ in stack])
                if raise_on_error:
                    self.raise_first_error(stack, replies)
                errors += [reply for reply in replies if isinstance(reply, ResponseError)]
            finally:
                await self.reset()  # type: ignore[no-untyped-call]
        return [
            reply if isinstance(reply, Exception) else await _converted(reply, self._callback(args[0]), options)
            for reply, (args, options) in zip(replies, stack, strict=True)
        ]

    def _needs_connection_of_its_own(self) -> bool:
        # It watches keys, or runs Script objects of redis-py, which are loaded first.
        return bool(
            self.watching
            or self.explicit_transaction
            or self.connection is not None
            or self.scripts
            or any(options and not _READ_BY_REDIS_PY.isdisjoint(options) for _, options in self.command_stack)
        )

    async def _transact(self) -> list[Any]:
        """The commands between MULTI and EXEC; errors are values. Raises when nothing was carried out."""
        stack = self.command_stack
        packed = b"".join([_pack(args) for args in (("MULTI",), *(args for args, _ in stack), ("EXEC",))])
        began, *queued, done = await self.bounded.pipelined.call(packed, len(stack) + 2, key=_key_of(stack[0][0]))
        refused = [began] if isinstance(began, Exception) else []
        for number, (reply, (args, _)) in enumerate(zip(queued, stack, strict=True), start=1):
            if isinstance(reply, ResponseError):
                self.annotate_exception(reply, number, args)
                refused.append(reply)
        if isinstance(done, ExecAbortError) and refused:
            raise refused[0] from done
        if isinstance(done, Exception):
            raise done
        if done is None:
            raise WatchError("Watched variable changed.")
        return list(done)

    def _callback(self, name: Any) -> Any:
        return self.response_callbacks.get(name)


@asynccontextmanager
async def within_limit() -> AsyncIterator[None]:
    """Bound what runs on a connection of redis-py's pool as everything else is bounded."""
    try:
        async with asyncio.timeout(COMMAND_TIMEOUT_S):
            yield
    except TimeoutError:
        raise RedisTimeoutError(f"no answer within {COMMAND_TIMEOUT_S:g} s") from None


async def _as_values(reply: asyncio.Future[Any]) -> list[Any]:
    try:
        return [await reply]
    except ResponseError as exc:
        return [exc]


async def _converted(reply: Any, callback: Any, options: Mapping[str, Any]) -> Any:
    """A reply as redis-py gives it to its callers."""
    if callback is None:
        return reply
    if "keys" in options:  # for redis-py's cache
        options = {name: value for name, value in options.items() if name != "keys"}
    value = callback(reply, **options)
    return await value if inspect.isawaitable(value) else value


def _key_of(args: tuple[Any, ...]) -> str:
    """The first key of a command of ours, or some text for one that has none: any server may answer it."""
    if args[0] == "XREADGROUP":
        at = args.index(b"STREAMS") + 1
    elif args[0] in ("EVALSHA", "EVAL"):
        at = 3
    else:
        at = 1
    key = args[at] if at < len(args) else ""
    return key.decode() if isinstance(key, bytes) else str(key)


def _pack(args: tuple[Any, ...]) -> bytes:
    name = args[0]
    if " " in name:
        args = (*name.split(), *args[1:])
    try:
        return pack(args)
    except TypeError:
        return pack(tuple(map(encode, args)))  # DataError says what cannot be sent


def _pack_call(
    script: LoadedScript, keys: Sequence[str], args: Sequence[str | bytes | int], first_keys: tuple[str, ...] = ()
) -> bytes:
    if not first_keys:
        return pack(("EVALSHA", script.sha, len(keys), *keys, *args))
    begin = _begin(script.sha, len(first_keys) + len(keys), first_keys)
    count = 3 + len(first_keys) + len(keys) + len(args)
    return b"*%d\r\n%b%b" % (count, begin, _parts(pack((*keys, *args))))


@lru_cache(maxsize=2000)
def _begin(sha: str, key_count: int, first_keys: tuple[str, ...]) -> bytes:
    return _parts(pack(("EVALSHA", sha, key_count, *first_keys)))


def _parts(packed: bytes) -> bytes:
    """A packed command without the count of its parts."""
    return packed[packed.index(b"\n") + 1 :]
