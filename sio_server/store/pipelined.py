"""Commands of many callers on one connection: replies in order, one clock for all time limits, one retry."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import time
from collections import deque
from collections.abc import Iterable
from typing import Any

from redis.backoff import ExponentialWithJitterBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError, ReadOnlyError, RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from sio_server.store.redis_py import REPLY_TIMEOUT_S
from sio_server.store.wire import Wire, pack

# No handler waits two seconds for Redis: a command has COMMAND_TIMEOUT_S for everything, which is to connect, to
# be answered, and to be repeated once; and what fails ends its handler. A command may be repeated because each of
# ours has the same effect once or twice (docs/decisions/0012-lost-replies.md).
COMMAND_TIMEOUT_S = 1.4
RETRIES = 1
REPEATS = 2  # of a call whose script Redis does not know: it may be flushed once more
CLOSE_S = 0.5

_BACKOFF = ExponentialWithJitterBackoff(base=0.02, cap=0.1)
_SOON_S = 0.001  # what a clock with milliseconds can wait
_LATE_S = 0.05  # a timer that is so late says that this process stood still, not Redis

# What one more attempt may help against.
_PASSING = (RedisConnectionError, RedisTimeoutError, ReadOnlyError, OSError)


class TooMuchUnread(RedisConnectionError):
    """A command was not sent: too much waits for Redis to read it already."""


class LoadedScript:
    """A script that Redis has to know before it is called by its hash.

    `durable`: its reply is a promise, for which replicas are waited for when DURABLE_REPLICAS says so.
    """

    __slots__ = ("durable", "load", "sha", "source")

    def __init__(self, source: str, *, durable: bool = False) -> None:
        self.source = source
        self.durable = durable
        self.sha = hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()
        self.load = pack(("SCRIPT", "LOAD", source))


class _Call:
    """One command, or several that are sent together, and the future of the reply or of the list of replies."""

    # What most calls leave as it is.
    failures = 0
    repeats = 0  # because Redis did not know the script
    loads_before = 0  # so often had the script been loaded when the call was sent
    loading = False  # the first reply is that of SCRIPT LOAD
    load_error: Exception | None = None
    unknown = False  # Redis did not know the script
    replies: list[Any] | None = None  # of several commands

    def __init__(
        self, packed: bytes, count: int, script: LoadedScript | None, future: asyncio.Future[Any], deadline: float
    ) -> None:
        self.packed = packed
        self.count = count
        self.script = script
        self.future = future
        self.deadline = deadline
        self.sent_at = 0.0

    def begin_again(self, *, loading: bool) -> None:
        """None of the replies has come; the first is that of SCRIPT LOAD when `loading`."""
        self.loading, self.load_error, self.unknown, self.replies = loading, None, False, None


class Pipelined:
    """Runs commands over one connection, which is opened when one is needed.

    A command is refused at once with TooMuchUnread while too much waits for Redis to read it (`Wire.is_full`).
    A caller that is cancelled leaves its reply to be discarded. Commands that the connection took with it when it
    was lost are sent once more over the next, in the same order. A Redis that answers nothing for REPLY_TIMEOUT_S
    is left. A reply that does not come in COMMAND_TIMEOUT_S is a TimeoutError of redis-py.

    It belongs to the event loop in which it is used first. A command that blocks would hold up all others.
    """

    decode = True  # whether replies are str, or bytes
    errors = "strict"  # what becomes of a reply that is no UTF-8
    command_timeout_s = COMMAND_TIMEOUT_S
    reply_timeout_s = REPLY_TIMEOUT_S
    retries = RETRIES

    def __init__(self, url: str) -> None:
        self._url = url
        self._loop: asyncio.AbstractEventLoop | None = None
        self._forget()

    def _forget(self) -> None:
        self._wire: Wire | None = None
        self._sent: deque[_Call] = deque()  # over the wire, in the order of their replies
        self._waiting: deque[_Call] = deque()  # for a connection; empty while there is one
        self._due: deque[_Call] = deque()  # by their deadlines, without answered ones at its head
        self._replied_at = 0.0
        self._loads: dict[str, int] = {}  # how often each script was loaded here, by its hash
        self._failures = 0  # of connections, since the last reply that was no error
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._timer_was_late = False
        self._connecting: asyncio.Task[None] | None = None

    def call(
        self, packed: bytes, count: int = 1, script: LoadedScript | None = None, key: str = ""
    ) -> asyncio.Future[Any]:
        """Send what `pack` has made of `count` commands, contiguously.

        The future of one command has its reply or raises its error; that of several has the list of replies, with
        errors as values. With `script`, these are calls of it, and it is loaded when Redis does not know it.
        `key` is for `RoutedPipelined`: here there is one server.
        """
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._begin_in(loop)
        now = time.monotonic()
        call = _Call(packed, count, script, loop.create_future(), now + self.command_timeout_s)
        self._due.append(call)
        if self._timer is None:
            self._set_timer(now)
        if self._wire is None:
            self._waiting.append(call)
            self._connect_soon()
        else:
            self._send(call, self._wire, now)
        return call.future

    @property
    def server(self) -> tuple[str, int] | None:
        """Where the connection leads, if there is one."""
        return self._wire.server if self._wire is not None else None

    async def aclose(self) -> None:
        """Close the connection; callers that still wait get a ConnectionError."""
        wire, calls = self._wire, [*self._sent, *self._waiting]
        if self._timer is not None:
            self._timer.cancel()
        if self._connecting is not None:
            self._connecting.cancel()
        self._forget()
        for call in calls:
            _fail(call, RedisConnectionError("the connection was closed here"))
        if wire is not None:
            wire.close()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_S):
                    await wire.wait_closed()
            wire.abort()

    def _begin_in(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._loop is not None and not self._loop.is_closed():
            raise RuntimeError("this client of Redis belongs to another event loop")
        self._loop = loop
        self._forget()

    def _send(self, call: _Call, wire: Wire, now: float) -> None:
        if self._is_full(wire):
            _fail(call, TooMuchUnread("Redis does not read what it is sent"))
            return
        call.sent_at = now
        if call.script is not None:
            call.loads_before = self._loads.get(call.script.sha, 0)
        self._sent.append(call)
        wire.send_packed(call.packed)

    def _is_full(self, wire: Wire) -> bool:
        return wire.is_full

    # Replies

    def _on_reply(self, reply: Any) -> None:
        if not self._sent:
            self._leave(RedisConnectionError("a reply came that nothing had asked for"))
            return
        call = self._sent[0]
        self._replied_at = time.monotonic()
        if isinstance(reply, Exception):
            if isinstance(reply, ReadOnlyError) and call.failures < self.retries:
                self._leave(reply)
                return
            if call.loading:
                call.load_error = reply
            elif call.script is not None and isinstance(reply, NoScriptError):
                call.unknown = True
        else:
            self._failures = 0
        if call.loading:
            call.loading = False
            return
        if call.count > 1:
            if call.replies is None:
                call.replies = []
            call.replies.append(reply)
            if len(call.replies) < call.count:
                return
            reply = call.replies
        self._sent.popleft()
        if call.unknown and self._load_and_repeat(call):
            return
        _finish(call, reply)
        due = self._due
        while due and due[0].future.done():
            due.popleft()

    def _load_and_repeat(self, call: _Call) -> bool:
        """Whether the calls of a script that Redis did not know are sent again."""
        wire, script = self._wire, call.script
        if wire is None or script is None or call.repeats == REPEATS or call.load_error or call.future.done():
            return False
        # What another caller has loaded since this call was sent is there when it comes again.
        load = self._loads.get(script.sha, 0) == call.loads_before and not self._is_full(wire)
        call.repeats += 1
        call.begin_again(loading=load)
        if load:
            self._loads[script.sha] = call.loads_before + 1
            wire.send_packed(script.load)
        self._send(call, wire, time.monotonic())
        return True

    # Connections

    def _connect_soon(self) -> None:
        if self._connecting is None or self._connecting.done():
            self._connecting = asyncio.get_running_loop().create_task(self._connect())

    async def _connect(self) -> None:
        while self._waiting:
            if self._failures:
                await asyncio.sleep(_BACKOFF.compute(self._failures))
            try:
                wire = await Wire.open(
                    self._url, self._on_reply, self._on_lost, decode=self.decode, errors=self.errors
                )
            except Exception as exc:
                self._failures += 1
                self._waiting = self._to_be_repeated(self._waiting, exc)
                continue
            self._wire = wire
            calls, self._waiting = self._waiting, deque()
            now = time.monotonic()
            for call in calls:
                if not call.future.done():
                    self._send(call, wire, now)
            return

    def _on_lost(self, error: BaseException | None) -> None:
        if not isinstance(error, RedisError):
            error = RedisConnectionError(f"the connection was lost: {error or 'Redis has closed it'}")
        self._leave(error)

    def _leave(self, error: RedisError) -> None:
        """Leave the connection, with all replies that it owes, and take another."""
        wire, self._wire = self._wire, None
        if wire is not None:
            wire.abort()
        if self._sent:
            self._failures += 1
        self._waiting = self._to_be_repeated(self._sent, error)
        self._sent = deque()
        if self._waiting:
            self._connect_soon()

    def _to_be_repeated(self, calls: Iterable[_Call], error: Exception) -> deque[_Call]:
        """Those calls that may be sent (again); the others fail with this error."""
        repeated: deque[_Call] = deque()
        for call in calls:
            if call.future.done():
                continue
            call.failures += 1
            if call.failures > self.retries or not isinstance(error, _PASSING):
                _fail(call, error)
                continue
            call.begin_again(loading=False)
            repeated.append(call)
        return repeated

    # Time

    def _set_timer(self, now: float) -> None:
        # No limit that is set later ends before this: whatever is sent later has REPLY_TIMEOUT_S at least.
        end = now + self.reply_timeout_s
        if self._due:
            end = min(end, self._due[0].deadline)
        if self._sent:
            end = min(end, self._silent_since() + self.reply_timeout_s)
        self._call_at(now, end)

    def _call_at(self, now: float, at: float) -> None:
        self._timer_at = at
        self._timer = asyncio.get_running_loop().call_later(max(at - now, _SOON_S), self._on_timer)

    def _silent_since(self) -> float:
        return max(self._sent[0].sent_at, self._replied_at)

    def _on_timer(self) -> None:
        self._timer = None
        now, due = time.monotonic(), self._due
        # Replies that have come meanwhile are read first. Once: on a busy loop each timer is late.
        self._timer_was_late = not self._timer_was_late and now - self._timer_at > _LATE_S
        if self._timer_was_late:
            self._call_at(now, now + _SOON_S)
            return
        while due and (due[0].deadline <= now or due[0].future.done()):
            _fail(due.popleft(), RedisTimeoutError(f"no answer within {self.command_timeout_s:g} s"))
        if self._sent and self._silent_since() + self.reply_timeout_s <= now:
            self._leave(RedisTimeoutError(f"no reply within {self.reply_timeout_s:g} s"))
        if due or self._sent:
            self._set_timer(now)


class PipelinedBytes(Pipelined):
    """One whose replies are bytes, for values of any size: it waits longer, tries more often, and refuses nothing.

    As each caller waits for its replies, no more is unwritten than the callers have to write at one time.
    """

    decode = False
    command_timeout_s = 8.0
    reply_timeout_s = 2.0
    retries = 6

    def _is_full(self, wire: Wire) -> bool:
        return False


class PipelinedPatient(Pipelined):
    """One for what graphs do with a Redis Cluster: it waits longer, and tries more often."""

    command_timeout_s = 8.0
    reply_timeout_s = 2.0
    retries = 3


class PipelinedReader(Pipelined):
    """One whose commands block for up to `block_s` seconds, one after another. None of them is repeated."""

    errors = "replace"  # what anyone has written must not break the connection
    retries = 0

    def __init__(self, url: str, block_s: float) -> None:
        super().__init__(url)
        self.command_timeout_s = self.reply_timeout_s = block_s + 2.0


def _finish(call: _Call, reply: Any) -> None:
    if call.future.done():
        return
    if call.load_error is not None:
        reply = call.load_error
    if isinstance(reply, Exception):
        call.future.set_exception(reply)
    else:
        call.future.set_result(reply)


def _fail(call: _Call, error: Exception) -> None:
    if not call.future.done():
        call.future.set_exception(error)
