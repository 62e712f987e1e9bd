"""The users and the TLS of docs/operations.md: nodes can do what they must, nobody else can publish or write."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import ssl
import subprocess
import sys
import time
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.exceptions import AuthenticationError, NoPermissionError, RedisError

from sio_clients import ChatClient, SessionEnded
from sio_server.cluster.status import read_status
from sio_server.local.cluster import LocalCluster
from sio_server.local.ports import REDIS_PORT_OFFSET
from sio_server.local.redis import REDIS_ENVIRONMENT, find_embedded_redis
from sio_server.store.connection import connect
from sio_server.store.keys import ConversationKeys, conversation_channel
from tests.conftest import NODE_SETTINGS, free_ports, redis_answers
from tests.integration.test_dialog import ask, next_of
from tests.integration.test_redis_connection import bare_redis, port_of
from tests.integration.test_revocation import revoke
from tests.integration.test_routed import form
from tests.integration.test_sign_out import token_of
from tests.waiting import poll

OPERATIONS = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()
ACL = re.search(r"```acl\n(.*?)```", OPERATIONS, re.DOTALL)[1]  # type: ignore[index]
FAILOVER = (Path(__file__).parents[2] / "docs" / "failover.md").read_text()
ON_CLUSTER = re.search(r"```acl\n(.*?)```", FAILOVER, re.DOTALL)[1]  # type: ignore[index]
USERS = {
    "node": "PASSWORD-OF-THE-NODES",
    "status": "PASSWORD-OF-THE-STATUS",
    "operator": "PASSWORD-OF-THE-OPERATOR",
}
# With limits, which have keys of their own, and a stage, whose trace goes over Redis.
SETTINGS = {**NODE_SETTINGS, "RATE_LIMIT_USER": "100/second", "STAGE_KEY": "the-key-of-a-stage"}


@contextlib.asynccontextmanager
async def redis_server(port: int, folder: Path, *arguments: str, ready: str) -> AsyncIterator[None]:
    """The bundled Redis with more arguments; `ready`: where an operator reaches it."""
    command = [*find_embedded_redis().command(port, folder), *arguments]
    environment = {**os.environ, **REDIS_ENVIRONMENT}
    server = await asyncio.create_subprocess_exec(*command, stdout=DEVNULL, stderr=DEVNULL, env=environment)
    try:
        await redis_answers(ready)
        yield
    finally:
        server.terminate()
        await server.wait()


def url_of(user: str, port: int) -> str:
    return f"redis://{user}:{USERS[user]}@127.0.0.1:{port}/0"


@pytest.fixture(scope="module")
async def acl_port(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[int]:
    """The port of a Redis with the documented users."""
    folder = tmp_path_factory.mktemp("acl")
    (folder / "users.acl").write_text(ACL)
    (folder / "redis").mkdir()
    port = free_ports(2) + REDIS_PORT_OFFSET
    arguments = ("--aclfile", str(folder / "users.acl"))
    async with redis_server(port, folder / "redis", *arguments, ready=url_of("operator", port)):
        yield port


async def whole_feature_set(cluster: LocalCluster, user: str) -> None:
    """A dialog with an approval over two nodes, marks, drafts, devices, and a sign-out."""
    async with (
        ChatClient(cluster.urls, token_of(user), device_id="laptop", report_delivery=True) as client,
        ChatClient(cluster.urls[::-1], token_of(user), device_id="phone") as phone,
        ChatClient(cluster.urls, token_of(f"{user}-bob")) as bob,
    ):
        conversation = await client.create(agent="always", invite=[f"{user}-bob"])
        await bob.join(conversation.id)
        await phone.join(conversation.id)
        await ask(conversation, "book a room for a workshop")
        await client.go_offline()
        await client.go_online(cluster.urls[1])
        assert (await ask(conversation, "tomorrow at 10, 6 people")).type == "interrupt"
        (interrupt_id,) = conversation.interrupts
        await conversation.respond(interrupt_id, "approve")
        assert "Booked" in (await next_of(conversation, "answer")).text
        in_it = {"conversation_id": conversation.id}
        requests: dict[str, dict[str, Any]] = {
            "draft:save": {"text": "hel"},
            "typing:set": {"typing": True},
            "members:list": {},
            "history:read": {"around": 2},
            "list:set": {"pinned": True},
            "message:search": {"query": "book"},
            "conversation:configure": {"invites": "owner"},
            "run:stop": {},
            "run:regenerate": {"seq": conversation.position.seq if conversation.position else 0},
        }
        for event, fields in requests.items():
            await client.request(event, {**in_it, **fields})
        await conversation.mark_read(3)
        await next_of(conversation, "interrupt")
        await client.rename_device("phone", "Pocket")
        assert await client.sign_out_device("phone") == 1

        async def is_ended() -> bool:  # its node hears of it over the bus, maybe after the next request
            try:
                await phone.devices()
            except SessionEnded:
                return True
            return False

        await poll(is_ended, "the end of the phone's session", 10)
        assert await client.conversations()
        await bob.request("conversation:leave", in_it)


@pytest.mark.faults
@pytest.mark.parametrize("saver", ["redis", "plain"])
async def test_nodes_do_all_they_must_with_the_documented_rights_and_no_more(acl_port, tmp_path, saver):
    operator = Redis.from_url(url_of("operator", acl_port), decode_responses=True)
    await operator.flushall()
    await operator.acl_log_reset()
    url = url_of("node", acl_port)
    settings = {**SETTINGS, "CHECKPOINTER": saver}
    cluster = LocalCluster(free_ports(2), 2, tmp_path / "cluster", redis_url=url, settings=settings)
    try:
        await cluster.start()
        await whole_feature_set(cluster, "ann")
        status, said = await revoke(url, "ann")
        assert status == 0, said
    finally:
        await cluster.stop()
    refused = [(entry["username"], entry["object"]) for entry in await operator.acl_log()]
    assert refused == [], "nothing was tried that is not allowed"
    stored: Any = await operator.keys("*")
    prefixes = {re.match(r"\{?(rg:|checkpoint|write_keys_zset)", key) for key in stored}
    assert None not in prefixes, "all keys are of the documented kinds"
    for log in (tmp_path / "cluster" / "logs").glob("node-*.log"):
        assert "NOPERM" not in log.read_text()
        assert "WARNING" not in log.read_text()
    await operator.aclose()


async def test_the_redis_user_for_the_status_reads_figures_and_can_neither_write_nor_publish(acl_port):
    operator = Redis.from_url(url_of("operator", acl_port), decode_responses=True)
    await operator.zadd("rg:nodes", {"n-1": 1})
    log_key, channel = ConversationKeys("plans").log, conversation_channel("plans")
    await operator.xadd(log_key, {"e": "{}"}, id="1-0")
    status = connect(url_of("status", acl_port))
    assert (await read_status(status))["nodes"] == []
    for attempt in (
        ("PUBLISH", channel, "X\n"),
        ("SPUBLISH", channel, "X\n"),
        ("SUBSCRIBE", channel),
        ("SSUBSCRIBE", channel),
        ("XADD", log_key, "2-0", "e", "{}"),
        ("XDEL", log_key, "1-0"),
        ("DEL", log_key),
        ("HSET", "rg:node:n-1", "name", "x"),
        ("EVAL", f"return redis.call('SPUBLISH', '{channel}', 'x')", "0"),
        ("GET", "rg:secret"),
        ("HGETALL", ConversationKeys("plans").members),
        ("KEYS", "*"),
        ("FLUSHALL",),
        ("CONFIG", "GET", "*"),
        ("ACL", "LIST"),
        ("MONITOR",),
        ("CLIENT", "KILL", "TYPE", "normal"),
    ):
        with pytest.raises(NoPermissionError):
            await status.execute_command(*attempt)
    await status.aclose()
    for outsider in (f"redis://127.0.0.1:{acl_port}/0", f"redis://node:guessed@127.0.0.1:{acl_port}/0"):
        client = Redis.from_url(outsider)
        with pytest.raises(AuthenticationError):
            await client.spublish(channel, "X\n")
        await client.aclose()
    node = Redis.from_url(url_of("node", acl_port))
    for beyond in (
        ("SET", "other", "1"),
        ("PUBLISH", "other", "x"),
        ("SPUBLISH", "other", "x"),
        ("FLUSHALL",),
        ("CONFIG", "SET", "save", ""),
    ):
        with pytest.raises(NoPermissionError):
            await node.execute_command(*beyond)
    await node.aclose()
    assert await operator.xlen(log_key) == 1
    await operator.aclose()


@contextlib.asynccontextmanager
async def cluster_with_users(folder: Path) -> AsyncIterator[tuple[list[Redis], Callable[[str], str]]]:
    """Three primaries with the users of the documents; gives the operator's clients, and the URL for each user."""
    users = [line.split()[1:] for line in ACL.splitlines() if re.match("user (node|status) ", line)]
    users += [line.split()[1:] for line in ON_CLUSTER.splitlines()]
    async with contextlib.AsyncExitStack() as stack:
        servers = []
        for number in range(3):
            (own := folder / str(number)).mkdir()
            servers.append(await stack.enter_async_context(bare_redis(own, "--cluster-enabled", "yes")))
        await (await form(servers)).client.aclose()
        for server in servers:
            for name, *rights in users:
                known = [one for one in rights if not one.startswith(("+json.", "+ft."))]  # it has no modules
                await server.execute_command("ACL", "SETUSER", name, *known)
        at = ",".join(f"127.0.0.1:{port_of(server)}" for server in servers)
        yield servers, lambda user: f"redis+cluster://{user}:{USERS[user]}@{at}"


@pytest.mark.faults
async def test_on_a_redis_cluster_the_users_have_the_rights_that_they_need_and_no_more(tmp_path):
    async with cluster_with_users(tmp_path) as (servers, url):
        cluster = LocalCluster(
            free_ports(2), 2, tmp_path / "nodes", redis_url=url("node"), settings={**SETTINGS, "STAGE_KEY": ""}
        )
        try:
            await asyncio.gather(*(cluster.start_node(port) for port in cluster.ports))
            await whole_feature_set(cluster, "ann")
            returncode, said = await revoke(url("node"), "ann")
            assert returncode == 0, said
            status = connect(url("status"))
            found = await read_status(status)
            assert (found["problems"], len(found["nodes"])) == ([], 2)
            assert [(one["partitions"], one["answers"]) for one in found["shards"]] == [(32, True)] * 3
            for attempt in (("SPUBLISH", conversation_channel("plans"), "x"), ("DEL", "rg:nodes"), ("FLUSHALL",)):
                with pytest.raises(NoPermissionError):
                    await status.execute_command(*attempt)
            await status.aclose()
            environment = {**os.environ, "REDIS_URL": url("status")}
            command = (sys.executable, "-m", "roomgraph", "status")
            shown = await asyncio.create_subprocess_exec(*command, env=environment, stdout=PIPE)
            text, _ = await shown.communicate()
            assert (shown.returncode, text.decode().count(" ok")) == (0, 3), text.decode()
        finally:
            await cluster.stop()
        refused = [(entry["username"], entry["object"]) for server in servers for entry in await server.acl_log()]
        assert set(refused) <= {("status", name) for name in ("info", "spublish", "del", "flushall")}


# TLS


def certificates(folder: Path) -> None:
    """An authority, and certificates of it for the server and for a node."""

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2")
    for name in ("ca", "other"):
        openssl("req", "-x509", *key, "-keyout", f"{name}.key", "-out", f"{name}.crt", "-subj", f"/CN={name}")
    for name in ("redis", "node"):
        extension = ("-addext", "subjectAltName=IP:127.0.0.1")
        ca = ("-CA", "ca.crt", "-CAkey", "ca.key")
        openssl(
            "req",
            "-x509",
            *key,
            *ca,
            *extension,
            "-keyout",
            f"{name}.key",
            "-out",
            f"{name}.crt",
            "-subj",
            f"/CN={name}",
        )


@contextlib.asynccontextmanager
async def tls_in_front_of(port: int, folder: Path) -> AsyncIterator[int]:
    """What `tls-port` with `tls-auth-clients yes` does, for a Redis without TLS; gives its port."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(folder / "ca.crt"))
    context.load_cert_chain(folder / "redis.crt", folder / "redis.key")
    context.verify_mode = ssl.CERT_REQUIRED
    tasks: set[asyncio.Task[None]] = set()

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", port)
        for work in (pass_on(reader, inner_writer), pass_on(inner_reader, writer)):
            task = asyncio.create_task(work)
            tasks.add(task)
            task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.faults
@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificates")
async def test_nodes_speak_tls_with_certificates_of_ones_own_and_to_nobody_else(acl_port, tmp_path):
    certificates(tmp_path)
    operator = Redis.from_url(url_of("operator", acl_port))
    await operator.flushall()
    async with tls_in_front_of(acl_port, tmp_path) as port:

        def url(ca: str, own: str) -> str:
            mine = f"&ssl_certfile={tmp_path}/{own}.crt&ssl_keyfile={tmp_path}/{own}.key"
            where = f"127.0.0.1:{port}/0?ssl_ca_certs={tmp_path}/{ca}.crt"
            return f"rediss://node:{USERS['node']}@{where}{mine}"

        settings = {**SETTINGS, "CHECKPOINTER": "redis"}
        cluster = LocalCluster(
            free_ports(2), 2, tmp_path / "cluster", redis_url=url("ca", "node"), settings=settings
        )
        try:
            await cluster.start()
            await whole_feature_set(cluster, "ann")
        finally:
            await cluster.stop()
        # A server whose certificate is of another authority is not told the password, and the node says so.
        began = time.monotonic()
        environment = {**os.environ, **SETTINGS, "REDIS_URL": url("other", "node"), "PORT": str(free_ports(1))}
        node = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "roomgraph", "node", env=environment, stdout=PIPE, stderr=PIPE
        )
        _, errors = await asyncio.wait_for(node.communicate(), 30)
        assert (node.returncode, time.monotonic() - began < 30) == (2, True)
        assert "ssl_ca_certs" in errors.decode()
        assert USERS["node"] not in errors.decode()
        # Who has no certificate of the authority's does not get in.
        unknown_client = Redis.from_url(url("ca", "other"))
        with pytest.raises((RedisError, OSError)):
            await unknown_client.ping()
        await unknown_client.aclose()
    await operator.aclose()
