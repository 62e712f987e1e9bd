"""Real servers that speak TLS only, with certificates that are checked: one, one behind a sentinel, a cluster.

The replication, the sentinel and the bus of the cluster use it as well, and the sentinel has a password of its
own. The bundled Redis is built without TLS: this needs Debian's redis-server.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError

from roomgraph.check import check
from sio_server.local.cluster import LocalCluster
from sio_server.local.errors import ClusterError
from sio_server.local.redis import REDIS_ENVIRONMENT
from sio_server.local.redis_cluster import SLOTS
from tests.conftest import NODE_SETTINGS, free_ports
from tests.engines import engine
from tests.faults.load import loaded
from tests.integration.test_acl import certificates
from tests.waiting import poll

pytestmark = [
    pytest.mark.faults,
    pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificates"),
]

DATA, SENTINELS = "data-password", "sentinel-password"


def tls(folder: Path, port: int) -> dict[str, str]:
    """Settings of a server or sentinel that speaks TLS only."""
    return {
        "port": "0",
        "bind": "127.0.0.1",
        "tls-port": str(port),
        "tls-cert-file": f"{folder}/node.crt",
        "tls-key-file": f"{folder}/node.key",
        "tls-ca-cert-file": f"{folder}/ca.crt",
        "tls-auth-clients": "no",
        "tls-replication": "yes",
        "dir": str(folder),
    }


@asynccontextmanager
async def running(folder: Path, name: str, settings: dict[str, str], *arguments: str) -> AsyncIterator[Process]:
    """A process of Debian's Redis with a file of settings."""
    config = folder / f"{name}.conf"
    config.write_text("".join(f"{key} {value}\n" for key, value in settings.items()), encoding="utf-8")
    command = (engine("debian"), str(config), *arguments)
    process = await asyncio.create_subprocess_exec(
        *command, env={**os.environ, **REDIS_ENVIRONMENT}, stdout=DEVNULL
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@asynccontextmanager
async def server(folder: Path, port: int, **more: str) -> AsyncIterator[tuple[Process, Redis]]:
    """A durable server with a password, and a client of it that has been answered."""
    settings = tls(folder, port) | {
        "requirepass": DATA,
        "masterauth": DATA,
        "appendonly": "yes",
        "appendfsync": "always",
        "appenddirname": f"aof-{port}",
        "repl-diskless-sync-delay": "0",
        **{name.replace("_", "-"): value for name, value in more.items()},
    }
    async with running(folder, f"redis-{port}", settings) as process:
        url = f"rediss://:{DATA}@127.0.0.1:{port}/0?ssl_ca_certs={folder}/ca.crt"
        async with Redis.from_url(url, decode_responses=True) as client:
            await poll(lambda: answers(client))
            yield process, client


async def answers(client: Redis) -> bool:
    try:
        return bool(await client.ping())
    except (RedisError, OSError):
        return False


async def is_primary(client: Redis) -> bool:
    try:
        return (await client.info("replication")).get("role") == "master"
    except (RedisError, OSError):  # Sentinel closes the connections of a replica that it promotes
        return False


async def replicates(client: Redis) -> bool:
    return (await client.info("replication")).get("master_link_status") == "up"


async def test_a_cluster_on_a_redis_that_speaks_tls_only_loses_nothing_and_checks_its_certificate(tmp_path):
    certificates(tmp_path)
    first = free_ports(3)
    async with server(tmp_path, first + 2):
        url = f"rediss://:{DATA}@127.0.0.1:{first + 2}/0"
        trusted = f"{url}?ssl_ca_certs={tmp_path}/ca.crt"
        cluster = LocalCluster(first, 2, tmp_path / "nodes", redis_url=trusted, settings=NODE_SETTINGS)
        try:
            await cluster.start()
            async with loaded(cluster, 3) as load:
                load.start()
                await load.until_acked(60)
                await load.stop()
                await load.judge()
        finally:
            await cluster.stop()
        untrusting = LocalCluster(first, 1, tmp_path / "other", redis_url=url, settings=NODE_SETTINGS)
        try:
            with pytest.raises(ClusterError):
                await asyncio.wait_for(untrusting.start_node(first), 60)
        finally:
            await untrusting.stop()


async def test_a_redis_cluster_that_speaks_tls_only_is_found_by_one_of_its_servers_and_loses_nothing(tmp_path):
    certificates(tmp_path)
    first = free_ports(8)
    ports = range(first + 2, first + 5)
    async with AsyncExitStack() as stack:
        servers: list[Redis] = []
        for port in ports:
            about = {"cluster_enabled": "yes", "tls_cluster": "yes", "cluster_port": str(port + 3)}
            about["cluster_config_file"] = f"nodes-{port}.conf"
            servers.append((await stack.enter_async_context(server(tmp_path, port, **about)))[1])
        for number, one in enumerate(servers):
            begin, end = round(number * SLOTS / 3), round((number + 1) * SLOTS / 3) - 1
            await one.execute_command("CLUSTER", "ADDSLOTSRANGE", begin, end)
            await one.execute_command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            await one.execute_command("CLUSTER", "MEET", "127.0.0.1", ports[0], ports[0] + 3)

        async def is_whole() -> bool:
            infos = [await one.execute_command("CLUSTER", "INFO") for one in servers]
            known = [str(info).replace("'", "").replace(" ", "") for info in infos]
            return all("cluster_state:ok" in info and "cluster_known_nodes:3" in info for info in known)

        await poll(is_whole, "the Redis Cluster")
        url = f"rediss+cluster://:{DATA}@127.0.0.1:{ports[1]}"
        trusted = f"{url}?ssl_ca_certs={tmp_path}/ca.crt"
        cluster = LocalCluster(first, 2, tmp_path / "nodes", redis_url=trusted, settings=NODE_SETTINGS)
        stack.push_async_callback(cluster.stop)
        await asyncio.gather(*(cluster.start_node(port) for port in cluster.ports))
        async with loaded(cluster, 3) as load:
            load.start()
            await load.until_acked(60)
            await load.stop()
            await load.judge()
        assert all([await one.dbsize() > 0 for one in servers]), "all of them are used"
        await cluster.stop()
        untrusting = LocalCluster(free_ports(1), 1, tmp_path / "other", redis_url=url, settings=NODE_SETTINGS)
        stack.push_async_callback(untrusting.stop)
        with pytest.raises(ClusterError):
            await asyncio.wait_for(untrusting.start_node(untrusting.ports[0]), 60)


async def test_a_failover_of_servers_and_a_sentinel_that_speak_tls_only_loses_nothing(tmp_path):
    certificates(tmp_path)
    first = free_ports(5)
    primary_port, replica_port, sentinel_port = range(first + 2, first + 5)
    sentinel = tls(tmp_path, sentinel_port) | {
        "requirepass": SENTINELS,
        "sentinel monitor main 127.0.0.1": f"{primary_port} 1",
        "sentinel auth-pass main": DATA,
        "sentinel down-after-milliseconds main": "1000",
        "sentinel failover-timeout main": "5000",
    }
    async with AsyncExitStack() as stack:
        primary, _ = await stack.enter_async_context(server(tmp_path, primary_port))
        replica_of = {"replicaof": f"127.0.0.1 {primary_port}"}
        _, replica = await stack.enter_async_context(server(tmp_path, replica_port, **replica_of))
        await poll(lambda: replicates(replica))
        await stack.enter_async_context(running(tmp_path, "sentinel", sentinel, "--sentinel"))
        url = (
            f"rediss+sentinel://:{DATA}@127.0.0.1:{sentinel_port}/main/0"
            f"?sentinel_password={SENTINELS}&ssl_ca_certs={tmp_path}/ca.crt"
        )
        asked = f"rediss://:{SENTINELS}@127.0.0.1:{sentinel_port}?ssl_ca_certs={tmp_path}/ca.crt"
        async with Redis.from_url(asked, decode_responses=True) as at_sentinel:

            async def knows_the_replica() -> bool:
                try:
                    found = await at_sentinel.execute_command("SENTINEL", "REPLICAS", "main")
                except (RedisError, OSError):
                    return False
                return str(replica_port) in str(found)

            await poll(knows_the_replica)
        cluster = LocalCluster(first, 2, tmp_path / "nodes", redis_url=url, settings=NODE_SETTINGS)
        stack.push_async_callback(cluster.stop)
        await cluster.start()
        async with loaded(cluster, 3) as load:
            load.start()
            await load.until_acked(60)
            primary.kill()
            await primary.wait()
            await load.until_acked(60, 40)
            await load.stop()
            await load.judge(20)
            assert check(load.recorder.history()).acked >= 120
        await poll(lambda: is_primary(replica))
