"""Real parts for the tests: a cluster of Redis and three nodes, clients, and raw Socket.IO connections."""

from __future__ import annotations

import os
import random
import sys
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import socketio
from redis.asyncio import Redis
from redis.exceptions import RedisError

from sio_clients import ChatClient, guest_token
from sio_server.conversation.log import ConversationLog
from sio_server.conversation.members import Members
from sio_server.conversation.turns import Turns
from sio_server.local.cluster import LocalCluster
from sio_server.local.ports import REDIS_PORT_OFFSET, is_free
from sio_server.protocol.events import CHANGES
from sio_server.store.connection import connect
from sio_server.store.scripts import Scripts
from tests.garbage import complaints
from tests.waiting import Changes, poll

# How long an example takes says how busy the machine is.
hypothesis.settings.register_profile("without-deadline", deadline=None)
hypothesis.settings.load_profile("without-deadline")

SECRET = "a-secret-that-only-these-tests-use-0123456789"
NODE_SETTINGS = {
    **{"AUTH_MODE": "guest", "AUTH_SECRET": SECRET, "WORD_DELAY": "0.005", "PRESENCE_GRACE": "1"},
    "AGENT_TITLES": "off",  # so that logs have the entries that a test makes
}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None]:
    """A test of faults fails when it has left something open. For all tests, collecting would take too long."""
    try:
        yield
    finally:
        if item.get_closest_marker("faults"):
            # The frames of a failure would be kept until the next test begins.
            sys.last_value = sys.last_traceback = None
            if left := complaints():
                pytest.fail("left open:\n" + "\n".join(left), pytrace=False)


def free_ports(nodes: int) -> int:
    """The first of `nodes` free ports in a row whose Redis port is free as well."""
    # Each worker of pytest-xdist has ports of its own, so that no two find the same ones free.
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    lowest = 20_000 + worker % 4 * 3_000
    for _ in range(100):
        port = random.randrange(lowest, lowest + 2_500)
        if all(is_free(number) for number in (*range(port, port + nodes), port + REDIS_PORT_OFFSET)):
            return port
    raise RuntimeError("no free ports on this machine")


@asynccontextmanager
async def cluster_in(folder: Path, settings: Mapping[str, str], nodes: int = 3) -> AsyncIterator[LocalCluster]:
    """Redis and nodes, which are stopped afterwards."""
    running = LocalCluster(free_ports(nodes), nodes, folder, settings=settings)
    try:
        await running.start()
        yield running
    finally:
        await running.stop()


async def redis_answers(url: str, timeout: float = 20.0) -> None:
    """Wait until a Redis that has been started serves."""

    async def is_serving() -> bool:
        try:
            return bool(await client.ping())
        except (RedisError, OSError):
            return False

    async with Redis.from_url(url) as client:
        await poll(is_serving, f"Redis at {url}", timeout)


ClusterFactory = Callable[..., Awaitable[LocalCluster]]


@pytest.fixture
async def start_cluster(tmp_path: Path) -> AsyncIterator[ClusterFactory]:
    """Start clusters of one's own, for tests that break them."""
    started: list[LocalCluster] = []

    async def start(nodes: int = 3, *, proxied: bool = False, **settings: str) -> LocalCluster:
        folder = tmp_path / f"cluster-{len(started)}"
        chosen = {**NODE_SETTINGS, **settings}
        cluster = LocalCluster(free_ports(nodes), nodes, folder, settings=chosen, proxied=proxied)
        started.append(cluster)
        await cluster.start()
        return cluster

    yield start
    for cluster in started:
        await cluster.stop()


@pytest.fixture(scope="session")
async def cluster(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LocalCluster]:
    """A cluster for the tests that leave it as it is."""
    async with cluster_in(tmp_path_factory.mktemp("cluster"), NODE_SETTINGS) as running:
        yield running


@pytest.fixture
async def redis(cluster: LocalCluster) -> AsyncIterator[Redis]:
    """A client of the cluster's Redis."""
    client = connect(cluster.redis_url)
    yield client
    await client.aclose()


@pytest.fixture
def log(redis: Redis) -> ConversationLog:
    """The logs, without any node between."""
    return ConversationLog(Scripts(redis))


@pytest.fixture
def members(redis: Redis, log: ConversationLog) -> Members:
    """The memberships, without any node between; with a retention of 100 entries."""
    return Members(redis, Scripts(redis), log, retention=100)


@pytest.fixture
def turns(redis: Redis) -> Turns:
    """What members do to runs, without any node between."""
    return Turns(Scripts(redis))


@pytest.fixture
def new_id() -> str:
    """An id that no other test uses."""
    return f"t-{uuid.uuid4().hex[:12]}"


ClientFactory = Callable[..., Awaitable[ChatClient]]


@pytest.fixture
async def new_client(cluster: LocalCluster) -> AsyncIterator[ClientFactory]:
    """Connect SDK clients: `await new_client("Ann", node=0)`, or `token=` for another device of a user."""
    clients: list[ChatClient] = []

    async def make(
        name: str = "Ann", *, node: int = 0, token: str = "", urls: list[str] | None = None, **options: Any
    ) -> ChatClient:
        addresses = urls or cluster.urls
        if not token:
            _, token = await guest_token(addresses[node], name)
        client = ChatClient(addresses[node:] + addresses[:node], token, **options)
        clients.append(client)
        await client.connect()
        client.token = token  # type: ignore[attr-defined]
        return client

    yield make
    for client in clients:
        await client.close()


class PlainSio(socketio.AsyncClient):  # type: ignore[misc]
    """python-socketio's client, which ends at once when its connection is refused.

    Its writer may miss the end of a connection that both sides close, and then waits for nine seconds.
    """

    def __init__(self) -> None:
        super().__init__(reconnection=False, handle_sigint=False)

    async def connect(self, *args: Any, **options: Any) -> None:
        try:
            await super().connect(*args, **options)
        except BaseException:
            await self.eio.disconnect()  # otherwise the HTTP session of a handshake that failed stays open
            raise

    async def _handle_error(self, namespace: str, data: Any) -> None:
        await super()._handle_error(namespace, data)
        self.eio.queue.put_nowait(None)


class RawClient:
    """A plain python-socketio client that keeps every event it gets."""

    user_id: str
    token: str

    def __init__(self) -> None:
        self.sio = PlainSio()
        self.events: list[tuple[str, Any]] = []
        self.refusals: list[Any] = []
        self._changes = Changes(lambda: self.events[-12:])
        self._closed = False
        self.sio.on("*", self._receive)
        self.sio.on("connect_error", self.refusals.append)
        self.sio.on("disconnect", self._end)

    async def connect(self, url: str, auth: Any) -> None:
        try:
            await self.sio.connect(url, auth=auth, transports=["websocket"], wait_timeout=5)
        except socketio.exceptions.ConnectionError as exc:
            exc.add_note(f"refused with {self.refusals}")
            raise

    async def call(self, event: str, *args: Any) -> Any:
        """Emit with the arguments as they are and return the ack.

        A request that changes something gets a `request_id` of its own, unless it has one.
        """
        if event in CHANGES and len(args) == 1 and isinstance(args[0], dict):
            args = ({"request_id": uuid.uuid4().hex, **args[0]},)
        return await self.sio.call(event, args if len(args) != 1 else args[0], timeout=5)

    async def mark(self, conversation_id: str, **marks: Any) -> dict[str, Any]:
        """Move marks of one conversation: where they are now, or the refusal as an ack carries it."""
        ack = await self.call("marks:set", {"marks": {conversation_id: marks}})
        return dict(ack["marks"][conversation_id] if ack["ok"] else ack)

    def _receive(self, event: str, *args: Any) -> None:
        self.events.append((event, args[0] if args else None))
        self._changes.changed()

    def _end(self, reason: Any = None) -> None:
        self._closed = True
        self._changes.changed()

    async def until(self, holds: Callable[[], Any], timeout: float = 5.0) -> None:
        """Wait until `holds()` is true, looking again at each event that comes."""
        await self._changes.until(holds, timeout=timeout)

    async def event(self, name: str, timeout: float = 5.0, **fields: Any) -> dict[str, Any]:
        """The first such event with these fields, come already or to come."""
        found = await self._changes.until(
            lambda: [payload for payload in self.named(name) if payload.items() >= fields.items()],
            f"{name} {fields}",
            timeout,
        )
        return dict(found[0])

    async def closed(self, timeout: float = 5.0) -> None:
        """Wait until the connection has ended."""
        await self._changes.until(lambda: self._closed, "the end of the connection", timeout)

    async def settled(self) -> None:
        """Wait until all that was published before has come: a message of its own, sent now, came over the bus.

        What has not come by then does not come: so absence is proved without a pause.
        """
        marker = f"marker-{uuid.uuid4().hex}"
        await self.call("conversation:create", {"conversation_id": marker, "access": "open", "agent": "off"})
        ack = await self.call(
            "message:send", {"conversation_id": marker, "request_id": "marker", "text": "marker"}
        )
        own = marker, ack["seq"]
        await self.until(lambda: own in {(e["conversation_id"], e["seq"]) for e in self.named("entry:appended")})

    def named(self, event: str) -> list[Any]:
        return [payload for name, payload in self.events if name == event]


@pytest.fixture
async def raw_client(cluster: LocalCluster) -> AsyncIterator[Callable[..., Awaitable[RawClient]]]:
    """Connect plain clients: `await raw_client(node=0)`; the user id is in `client.user_id`.

    `token=` makes another device of a user; what else is given goes into the handshake.
    """
    clients: list[RawClient] = []

    async def make(node: int = 0, *, name: str = "Raw", token: str = "", **auth: str) -> RawClient:
        client = RawClient()
        if not token:
            client.user_id, token = await guest_token(cluster.urls[node], name)
        client.token = token
        clients.append(client)
        await client.connect(cluster.urls[node], {"token": token, **auth})
        await client.event("session:opened")
        return client

    yield make
    for client in clients:
        await client.sio.disconnect()
