"""Ports of loopback: which are free, and claims on them, so that two starts at once do not share one."""

from __future__ import annotations

import fcntl
import os
import random
import socket
import tempfile
from collections.abc import Iterable
from pathlib import Path

from sio_server.local.errors import ClusterError

REDIS_PORT_OFFSET = 379  # nodes from 9000 on have their Redis on 9379


def is_free(port: int) -> bool:
    """Whether nothing listens on a port of loopback."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def find_ports(nodes: int, redis_ports: int = 1) -> int:
    """The first of `nodes` consecutive free ports whose Redis port, or ports, are free as well."""
    for _ in range(100):
        port = random.randrange(10_000, 30_000)
        of_redis = range(port + REDIS_PORT_OFFSET, port + REDIS_PORT_OFFSET + redis_ports)
        if all(is_free(number) for number in (*range(port, port + nodes), *of_redis)):
            return port
    raise ClusterError("no_ports", count=nodes)


class Claims:
    """Locks that one process at a time can hold; the system releases them when the process ends, however it ends.

    A port is free until something listens on it, which takes a cluster seconds: a lock is there at once.
    """

    def __init__(self) -> None:
        self._held: list[int] = []

    def claim_ports(self, ports: Iterable[int]) -> list[int]:
        """Claim ports of this machine for this user; returns those that another process has claimed."""
        folder = Path(tempfile.gettempdir())
        return [port for port in ports if not self._claim(folder / f"roomgraph-{os.getuid()}-{port}.lock")]

    def claim_folder(self, folder: Path) -> bool:
        """Claim a folder; False when another process has."""
        return self._claim(folder / ".lock")

    def release(self) -> None:
        """Give everything back. The files stay: one that is removed could be locked a second time."""
        while self._held:
            os.close(self._held.pop())

    def _claim(self, path: Path) -> bool:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        except OSError:
            return True  # without a file there is no claim, and the ports themselves still decide
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            return False
        self._held.append(descriptor)
        return True
