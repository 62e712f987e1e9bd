"""Run one node without one of its guarantees: `python -m tests.broken.nodes dedupe`.

Each break changes as little as would be wrong in a product that forgot about it. What is to be changed must be
there: a break that breaks nothing any more ends the node.
"""

from __future__ import annotations

import asyncio
import random
import re
import sys
from collections.abc import Callable
from typing import Any

from roomgraph.__main__ import main
from sio_server.conversation.log import ConversationLog, Handed
from sio_server.conversation.runs import Carrier, ClaimedRun, NodesLost, Runs, Unwritten
from sio_server.dialog.savers import plain as plain_saver
from sio_server.gateway.fanout.fanout import Fanout
from sio_server.gateway.fanout.followed import Followed
from sio_server.gateway.requests.namespace import Gateway
from sio_server.gateway.transport.direct.connection import Connection
from sio_server.gateway.transport.socket_server import SocketServer
from sio_server.protocol.errors import Unavailable
from sio_server.store import script_files

FENCE = r"if (redis\.call\('HGET', lease, 'token'\)|held\[1\]) ~= token then return \{'stale'\} end"
FENCED = ("renew_lease.lua", "add_written.lua", "adopt.lua", "hand_over.lua", "finish_run.lua")


def edit(module: Any, edits: dict[str, tuple[str, str]]) -> None:
    """Change scripts before Redis gets them: by file, a pattern that is there once, and what replaces it."""
    original = module._source

    def source(name: str) -> str:
        text: str = original(name)
        if name not in edits:
            return text
        changed, count = re.subn(*edits[name], text)
        if count != 1:
            raise RuntimeError(f"{name} has changed: there is nothing to break")
        return changed

    for name in edits:
        source(name)
    module._source = source


def dedupe() -> None:
    """A send that was logged before is logged again."""
    edit(script_files, {"append.lua": (r"\nif repeated then return", "\nif false then return")})


def fence() -> None:
    """Whoever lost the lease of a run may go on with it, and end it."""
    edit(script_files, dict.fromkeys(FENCED, (FENCE, "")))
    edit(plain_saver, {"_thread": (r"return token ~= ''.*\n", "return false\n")})


def gap_fill() -> None:
    """What was missed on the bus is not read, and nobody is told."""

    async def read(self: Fanout, conversation_id: str, followed: Followed, handed: Handed) -> None:
        await asyncio.sleep(0)

    assert asyncio.iscoroutinefunction(Fanout._read)
    Fanout._read = read  # type: ignore[method-assign]


def ack_after_append() -> None:
    """A send is acked though it could not be logged."""
    append, heads = ConversationLog.append_message, dict[str, dict[str, Any]]()

    async def append_message(
        self: ConversationLog, conversation_id: str, *args: Any, **options: Any
    ) -> tuple[dict[str, Any], bool]:
        try:
            ack, new = await append(self, conversation_id, *args, **options)
        except Unavailable:
            head = heads[conversation_id]
            ack, new = {**head, "seq": head["seq"] + 1}, True
        heads[conversation_id] = ack
        return ack, new

    ConversationLog.append_message = append_message  # type: ignore[method-assign]


def one_at_a_time() -> None:
    """The events of one client are handled at the same time, on either transport.

    The node's one connection to Redis keeps the order in which handlers come to it, so they come at different
    times here, as they would after a step that takes longer for one of them.
    """
    begin, handle, handling = SocketServer.__init__, Connection._handle, set[asyncio.Task[None]]()
    trigger = Gateway.trigger_event

    async def trigger_event(self: Gateway, event: str, *args: Any) -> Any:
        await asyncio.sleep(random.uniform(0.0, 0.02))
        return await trigger(self, event, *args)

    def init(self: SocketServer, *args: Any, **options: Any) -> None:
        begin(self, *args, **options)
        assert self.async_handlers is False
        self.async_handlers = True

    async def handle_soon(self: Connection, content: bytearray) -> None:
        if not content.startswith(b"42"):
            await handle(self, content)
            return
        task = asyncio.create_task(handle(self, content))
        handling.add(task)
        task.add_done_callback(handling.discard)

    SocketServer.__init__ = init  # type: ignore[method-assign]
    Connection._handle = handle_soon  # type: ignore[method-assign]
    Gateway.trigger_event = trigger_event  # type: ignore[method-assign]


def checkpoints() -> None:
    """Nothing records how far an attempt came: the next one starts over."""

    async def adopt_thread(
        self: Runs, run: ClaimedRun, checkpoint: str = "", *, shared: bool = False, carrier: Carrier | None = None
    ) -> NodesLost:
        if carrier is not None:
            raise Unwritten  # the checkpoint is then written alone
        return NodesLost(0, shared=False)

    assert asyncio.iscoroutinefunction(Runs.adopt_thread)
    Runs.adopt_thread = adopt_thread  # type: ignore[method-assign]


BREAKS: dict[str, Callable[[], None]] = {
    one.__name__: one for one in (dedupe, fence, gap_fill, ack_after_append, one_at_a_time, checkpoints)
}

if __name__ == "__main__":
    BREAKS[sys.argv[1]]()
    sys.argv = ["roomgraph", "node"]
    main()
