"""A Redis without JSON and Search serves as well, and nothing is to be set for it."""

from __future__ import annotations

import asyncio
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sio_clients import ChatClient, guest_token
from sio_server.local.cluster import LocalCluster
from sio_server.local.ports import REDIS_PORT_OFFSET
from sio_server.local.redis import REDIS_ENVIRONMENT, find_embedded_redis
from tests.conftest import NODE_SETTINGS, free_ports, redis_answers
from tests.integration.test_dialog import ask, next_of
from tests.waiting import within


@pytest.fixture
async def plain_cluster(tmp_path: Path) -> AsyncIterator[LocalCluster]:
    """Two nodes on a Redis that has no modules."""
    port = free_ports(2)
    command = find_embedded_redis().command(port + REDIS_PORT_OFFSET, tmp_path)
    command = command[: command.index("--loadmodule")]
    server = await asyncio.create_subprocess_exec(
        *command, stdout=DEVNULL, stderr=DEVNULL, env={**os.environ, **REDIS_ENVIRONMENT}
    )
    url = f"redis://127.0.0.1:{port + REDIS_PORT_OFFSET}/0"
    await redis_answers(url)
    cluster = LocalCluster(port, 2, tmp_path / "cluster", redis_url=url, settings=NODE_SETTINGS)
    try:
        await cluster.start()
        yield cluster
    finally:
        await cluster.stop()
        server.terminate()
        await server.wait()


async def test_a_dialog_with_its_approval_continues_over_nodes(plain_cluster):
    _, token = await guest_token(plain_cluster.urls[0], "Ann")
    async with ChatClient(plain_cluster.urls, token) as client:
        conversation = await client.create(agent="always")
        await ask(conversation, "book a room for a workshop")
        await client.go_offline()
        await client.go_online(plain_cluster.urls[1])
        asked = await ask(conversation, "tomorrow at 10, 6 people")
        assert asked.type == "interrupt"
        (interrupt_id,) = conversation.interrupts
        await conversation.respond(interrupt_id, "approve")
        assert "Booked" in (await next_of(conversation, "answer")).text
    logs = list((plain_cluster.data_dir / "logs").glob("node-*.log"))
    assert len(logs) == 2
    assert not any("WARNING" in log.read_text() for log in logs)


async def test_a_saver_that_this_redis_cannot_serve_is_named_at_start(plain_cluster):
    environment = {
        **os.environ,
        **NODE_SETTINGS,
        "REDIS_URL": plain_cluster.redis_url,
        "CHECKPOINTER": "redis",
        "PORT": str(free_ports(1)),
    }
    node = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "roomgraph", "node", env=environment, stdout=PIPE, stderr=PIPE
    )
    async with within(60, "the end of the node"):
        _, errors = await node.communicate()
    assert node.returncode == 2
    assert "CHECKPOINTER=redis: this Redis has no JSON and Search" in errors.decode()
    assert "Write CHECKPOINTER=plain" in errors.decode()
    assert "Traceback" not in errors.decode()
