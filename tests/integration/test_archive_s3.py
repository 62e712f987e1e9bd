"""The archive on a server that speaks S3, which is played by moto."""

from __future__ import annotations

import pytest

from sio_server.data.archive_store import ArchiveStore, Line
from sio_server.protocol.errors import Unavailable
from tests.s3 import s3_server


async def test_objects_are_written_read_listed_and_deleted_over_s3(monkeypatch) -> None:
    async with s3_server() as s3:
        await s3.make_bucket("chats")
        for name, value in s3.environment().items():
            monkeypatch.setenv(name, value)
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
