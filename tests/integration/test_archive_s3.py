"""The archive on a server that speaks S3, which is played by moto."""

from __future__ import annotations

import asyncio
import sys

import aiohttp
import pytest

from sio_server.data.archive_store import ArchiveStore, Line
from sio_server.protocol.errors import Unavailable
from tests.conftest import free_ports
from tests.waiting import within


async def test_objects_are_written_read_listed_and_deleted_over_s3(monkeypatch) -> None:
    port = free_ports(1)
    server = await asyncio.create_subprocess_exec(sys.executable, "-m", "moto.server", "-p", str(port))
    for name, value in {
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "b",
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
    }.items():
        monkeypatch.setenv(name, value)
    try:
        async with within(60.0, "the server"), aiohttp.ClientSession() as http:
            while True:
                try:
                    async with http.put(f"http://127.0.0.1:{port}/chats") as made:
                        assert made.status == 200
                        break
                except aiohttp.ClientError:
                    await asyncio.sleep(0.1)
        store = ArchiveStore("s3://chats/production")
        lines = [Line(1, '{"seq":1,"text":"你好"}', []), Line(2, '{"seq":2}', ["a page"])]
        await store.put("c/1-2.gz", lines)
        other = ArchiveStore("s3://chats/production")
        assert await other.get("c/1-2.gz") == lines
        assert await other.list("c/") == ["c/1-2.gz"]
        await store.delete(["c/1-2.gz", "c/none"])
        assert await other.list("c/") == []
        assert await ArchiveStore("s3://chats/production").get("c/1-2.gz") is None
        with pytest.raises(Unavailable):
            await ArchiveStore("s3://no-such-bucket/x").put("c/1", lines)
    finally:
        server.kill()
        await server.wait()
