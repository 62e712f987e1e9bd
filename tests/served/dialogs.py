"""Dialogs in this process, on a Redis that no node uses: tests put in graphs and parts of their own."""

from __future__ import annotations

import asyncio
import itertools
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from langchain_core.messages import AIMessage
from langgraph.graph import START, MessagesState, StateGraph
from redis.asyncio import Redis

from sio_server.conversation.author import Author
from sio_server.conversation.log import ConversationLog
from sio_server.conversation.members import Members
from sio_server.conversation.runs import Runs
from sio_server.conversation.turns import Turns
from sio_server.dialog.attempts import Attempts, RunLimits
from sio_server.dialog.content import ReadFile
from sio_server.dialog.graphs.served import Served
from sio_server.dialog.host import DialogHost
from sio_server.dialog.leases import LeaseKeeper
from sio_server.dialog.run_queue import RunQueue
from sio_server.dialog.savers.store import CheckpointStore
from sio_server.dialog.worker import DialogWorker
from sio_server.protocol.events import ConversationCreate, Entry
from sio_server.store.connection import connect, connect_blocking
from sio_server.store.keys import LEASE_MS, ConversationKeys
from sio_server.store.scripts import Scripts
from sio_server.tasks import Supervisor
from tests.waiting import within

ANN = Author("ann", "Ann", "laptop", "Laptop")
FINAL = ("answer", "interrupt", "stopped", "failed")
WAIT_S = 20.0

NodeFunction = Any  # a function of the state; LangGraph's own type of it is a union of twelve


def graph_of(function: NodeFunction) -> StateGraph[Any]:
    """A graph of one node, `work`."""
    builder = StateGraph(MessagesState)
    builder.add_node("work", function)
    builder.add_edge(START, "work")
    return builder


def said(text: str) -> dict[str, Any]:
    """What a node of a graph returns to say this."""
    return {"messages": [AIMessage(text)]}


class Dialogs:
    """Conversations of one Redis, and the dialog sides of nodes that serve them."""

    def __init__(self, redis_url: str) -> None:
        self.redis_url = redis_url
        # As patient as the tests: these are not the clients of a node.
        self.redis = Redis.from_url(redis_url, decode_responses=True, socket_timeout=WAIT_S)
        self.blocking = connect_blocking(redis_url, WAIT_S)
        self._for_scripts = connect(redis_url)
        self.scripts = Scripts(self._for_scripts)
        self.log = ConversationLog(self.scripts)
        self.members = Members(self.redis, self.scripts, self.log, retention=0)
        self.turns = Turns(self.scripts)
        self.leases = LeaseKeeper(self.runs("n1"))
        self.ended: list[str] = []  # the status of each run that has ended on a node of these
        self.failures: asyncio.Queue[str] = asyncio.Queue()  # names of background tasks that have failed
        self.read_file: ReadFile | None = None  # how graphs get files of messages
        self._supervisor = Supervisor()
        self._supervisor.start("leases", self.leases.renew_leases)
        self._closing: list[Callable[[], Awaitable[None]]] = []
        self._numbers = itertools.count(1)

    # People

    async def conversation(self, **settings: Any) -> str:
        """A new conversation with the agent `work`."""
        request = ConversationCreate(request_id=uuid.uuid4().hex, graph="work", **settings)
        return (await self.members.create(ANN, request))[0]

    async def send(self, conversation_id: str, text: str = "go", **more: Any) -> str:
        """Send a message; return the run that answers it."""
        run_id = f"r-{uuid.uuid4().hex[:10]}"
        request_id = f"m-{next(self._numbers)}"
        await self.log.append_message(conversation_id, ANN, request_id, text, run_id=run_id, **more)
        return run_id

    async def ended_with(self, conversation_id: str, run_id: str, timeout: float = WAIT_S) -> Entry:
        """The final entry of a run, come already or to come."""
        key, last = ConversationKeys(conversation_id).log, "0"
        async with within(timeout, "the final entry"):
            while True:
                found: Any = await self.blocking.xread({key: last}, block=int(WAIT_S * 1000))
                for seq, fields in found[0][1] if found else []:
                    last = seq
                    entry = Entry.model_validate_json(fields["e"])
                    if entry.type in FINAL and entry.data["run_id"] == run_id:
                        return entry

    # Nodes

    def runs(self, node: str = "n1", lease_s: float = LEASE_MS / 1000) -> Runs:
        """Run records as a node uses them, in this event loop."""
        return Runs(self.scripts, node, node, lease_s=lease_s)

    async def store(self, redis_url: str = "") -> CheckpointStore:
        """A store of checkpoints by the plain saver."""
        checkpoints = CheckpointStore(redis_url or self.redis_url, "plain")
        await checkpoints.set_up()
        self._closing.append(checkpoints.close)
        return checkpoints

    def attempts(
        self,
        graph: StateGraph[Any],
        checkpoints: CheckpointStore,
        runs: Runs,
        served: Mapping[str, Served] | None = None,
        **limits: Any,
    ) -> Attempts:
        """What executes runs, with few seconds for each."""
        chosen = {"timeout_s": 10.0, "attempts": 3, "steps": 25, "threads_kept": 2, **limits}
        graphs = {"work": graph.compile(checkpointer=checkpoints.saver)}
        return Attempts(
            run_records=runs,
            leases=self.leases,
            graphs=graphs,
            served=served,
            checkpoints=checkpoints,
            limits=RunLimits(**chosen),
            read_file=self.read_file,
            on_ended=lambda status: self.ended.append(str(status)),
        )

    async def serve(
        self,
        graph: StateGraph[Any],
        *,
        node: str = "n1",
        redis_url: str = "",
        make_runs: Callable[[Scripts, str, str], Runs] = Runs,
        lease_s: float = LEASE_MS / 1000,
        **limits: Any,
    ) -> DialogHost:
        """Start the dialog side of a node, in a thread of its own."""
        url = redis_url or self.redis_url
        here = asyncio.get_running_loop()
        built = itertools.count(1)

        async def build() -> tuple[DialogWorker, Callable[[], Awaitable[None]]]:
            self.leases.release_all()
            redis = connect(url)
            checkpoints = CheckpointStore(url, "plain")

            async def close() -> None:
                await checkpoints.close()
                await redis.aclose()

            await checkpoints.set_up()
            runs = make_runs(Scripts(redis), f"{node}.{next(built)}", node)
            attempts = self.attempts(graph, checkpoints, runs, **limits)
            queue = RunQueue(redis, url, node, lease_s)
            return DialogWorker(run_records=runs, queue=queue, attempts=attempts, concurrency=4), close

        def on_failure(name: str) -> None:
            here.call_soon_threadsafe(self.failures.put_nowait, name)

        host = DialogHost(build, on_failure)
        await host.start()
        self._closing.append(lambda: host.stop(0.0))
        return host

    # What Redis holds

    async def record(self, conversation_id: str, run_id: str) -> Mapping[str, str]:
        """The record of a run."""
        key = ConversationKeys(conversation_id).run_prefix + run_id
        found: Any = await self.redis.hgetall(key)
        return dict(found)

    async def close(self) -> None:
        for close in reversed(self._closing):
            await close()
        await self._supervisor.stop()
        await self.blocking.aclose()
        await self._for_scripts.aclose()
        await self.redis.aclose()


@asynccontextmanager
async def dialogs_on(redis_url: str) -> AsyncIterator[Dialogs]:
    """Dialogs on this Redis, which is emptied first."""
    made = Dialogs(redis_url)
    try:
        await made.redis.flushall()
        yield made
    finally:
        await made.close()
