"""The layout of keys is written down in Redis by the first node, and a node with another one does not start."""

from __future__ import annotations

import pytest

from sio_server.node import Node
from sio_server.settings import SettingsError, load_settings
from sio_server.store import format as format_
from sio_server.store.connection import connect
from sio_server.store.format import WrongFormat, check_format
from sio_server.store.keys import FORMAT
from tests.integration.test_redis_connection import bare_redis, port_of


async def test_a_node_with_another_layout_of_keys_refuses_to_start(tmp_path, monkeypatch):
    async with bare_redis(tmp_path) as redis:
        url = f"redis://127.0.0.1:{port_of(redis)}/0"
        client = connect(url)
        await check_format(client)
        await check_format(client)
        assert await redis.get(FORMAT) == '{"partitions":96,"table":1}'
        monkeypatch.setattr(format_, "TABLE", 2)
        with pytest.raises(WrongFormat, match=r"rg:format is .*table.:1"):
            await check_format(client)
        node = Node(load_settings(redis_url=url, auth_mode="guest", port=1))
        with pytest.raises(SettingsError, match="another layout of keys"):
            await node.start()
        await redis.set(FORMAT, "what?")
        with pytest.raises(WrongFormat, match=r"what\?"):
            await check_format(client)
        await client.aclose()
