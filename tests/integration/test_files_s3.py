"""Files of messages in a storage that speaks S3, which is played by moto."""

from __future__ import annotations

import asyncio
import os
import sys
from asyncio.subprocess import PIPE, STDOUT
from collections.abc import AsyncIterator

import pytest

from sio_clients import ChatClient, Refused, guest_token
from sio_clients.files import FileTransfer
from sio_server.files.store import PART_BYTES, FileStore
from sio_server.local.cluster import LocalCluster
from sio_server.protocol.errors import Unavailable
from tests.conftest import NODE_SETTINGS, cluster_in, free_ports
from tests.s3 import S3, s3_server
from tests.waiting import poll, within

BUCKET = "chats"
URL = f"s3://{BUCKET}/files"
KEPT = "files/.roomgraph"  # what a node writes when it starts
LARGE = b"\x01" * (PART_BYTES + 1000)  # in two parts


@pytest.fixture(scope="module")
async def s3() -> AsyncIterator[S3]:
    async with s3_server() as running:
        await running.make_bucket(BUCKET)
        yield running


@pytest.fixture(scope="module")
async def nodes(s3: S3, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LocalCluster]:
    settings = {**NODE_SETTINGS, **s3.environment(), "FILES_URL": URL}
    async with cluster_in(tmp_path_factory.mktemp("s3"), settings, nodes=2) as running:
        yield running


async def test_files_are_stored_read_by_members_and_removed_with_what_had_them(s3, nodes):
    tokens = [(await guest_token(nodes.urls[0], name))[1] for name in ("Ann", "Bob", "Eve")]
    async with (
        ChatClient(nodes.urls[0], tokens[0]) as ann,
        ChatClient(nodes.urls[1], tokens[1]) as bob,
        ChatClient(nodes.urls[1], tokens[2]) as eve,
    ):
        conversation = await ann.create(agent="off", invite=[bob.user_id])
        theirs = await bob.join(conversation.id)
        sent = await conversation.send("", files=[("plan.txt", b"at ten"), ("large", LARGE)])
        other = await conversation.send("", files=[("other.txt", b"at eleven")])
        log = {entry.seq: entry for entry in await theirs.log()}
        small, large = (file["file_id"] for file in log[sent.seq].files)
        (third,) = (file["file_id"] for file in log[other.seq].files)
        assert await theirs.download(small) == b"at ten"
        assert await theirs.download(large) == LARGE

        async def stored() -> set[str]:
            there = await s3.names(BUCKET)
            return {name.rpartition("/")[2] for name in there if name.startswith(f"files/{conversation.id}/")}

        async def until_stored(wanted: set[str]) -> None:
            async def are_stored() -> bool:
                return await stored() == wanted

            await poll(are_stored, f"{wanted}, and nothing else", 30, every=0.2)

        assert await stored() == {small, large, third}

        async def hers() -> tuple[str, str]:
            return nodes.urls[1], tokens[2]

        own = await eve.create(agent="off")
        for room in (own.id, conversation.id):
            with pytest.raises(Refused):
                await FileTransfer(hers).download(room, small)

        await conversation.delete(sent.seq)
        with pytest.raises(Refused):
            await theirs.download(small)
        await until_stored({third})
        await conversation.delete_all()
        await until_stored(set())
        assert KEPT in await s3.names(BUCKET)


async def test_what_is_written_to_a_bucket_that_is_gone_is_refused_for_now_and_not_as_a_missing_file(
    s3, monkeypatch
):
    for name, value in s3.environment().items():
        monkeypatch.setenv(name, value)
    store = FileStore("s3://none/files")
    for data in (b"small", LARGE):

        async def chunks(data: bytes = data) -> AsyncIterator[bytes]:
            yield data

        with pytest.raises(Unavailable):
            await store.put("c/f.1", chunks())


async def started(url: str, redis_url: str, environment: dict[str, str]) -> tuple[int | None, str]:
    """Start a node with this storage: its exit status, None while it serves, and what it has said."""
    port = str(free_ports(1))
    settings = {**NODE_SETTINGS, **environment, "FILES_URL": url, "REDIS_URL": redis_url, "PORT": port}
    node = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "roomgraph", "node"), env={**os.environ, **settings}, stdout=PIPE, stderr=STDOUT
    )
    assert node.stdout is not None
    said = ""
    try:
        async with within(60, "the start or the end of the node", lambda: said):
            async for line in node.stdout:
                said += line.decode()
                if "ready" in said:
                    return None, said
            return await node.wait(), said
    finally:
        if node.returncode is None:
            node.kill()
            await node.wait()


async def test_a_node_ends_at_the_start_for_a_wrong_bucket_and_waits_for_a_storage_that_is_away(cluster, s3):
    status, said = await started("s3://none/files", cluster.redis_url, s3.environment())
    assert status
    assert "FILES_URL=s3://none/files: there is no such bucket" in said
    away = {**s3.environment(), "AWS_ENDPOINT_URL": f"http://127.0.0.1:{free_ports(1)}"}
    status, said = await started(URL, cluster.redis_url, away)
    assert status is None, said
    assert f"FILES_URL={URL} cannot be used now" in said


async def test_a_node_ends_at_the_start_for_credentials_that_are_refused(cluster):
    async with s3_server() as s3:
        await s3.make_bucket(BUCKET)
        key, secret = await s3.check_credentials()
        status, said = await started(URL, cluster.redis_url, s3.environment(key, "another"))
        assert status
        assert f"FILES_URL={URL}: the storage refuses these credentials" in said
        status, said = await started(URL, cluster.redis_url, s3.environment(key, secret))
        assert status is None, said
