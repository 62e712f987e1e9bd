"""The connection that the commands of a client share, where there is one server."""

from __future__ import annotations

from sio_server.store.bounded import BoundedRedis
from sio_server.store.pipelined import Pipelined


def one_server(client: BoundedRedis) -> Pipelined:
    """The shared connection of a client that is not one of a cluster."""
    assert isinstance(client.pipelined, Pipelined)
    return client.pipelined
