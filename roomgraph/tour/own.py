"""What scenes may do to a cluster that was started for them."""

from __future__ import annotations

import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from sio_server.local.processes import UnexpectedEnd
from sio_server.local.redis_cluster import RedisCluster
from sio_server.local.replicated import ReplicatedRedis


class OwnDirection(Protocol):
    """One direction of a network."""

    delay_s: float
    jitter_s: float
    rate: float | None
    blackhole: bool

    def cut(self, after: int | None) -> None: ...


class OwnNetwork(Protocol):
    """A network that can be made bad: `up` are the bytes to the server, `down` those that come back."""

    @property
    def up(self) -> OwnDirection: ...

    @property
    def down(self) -> OwnDirection: ...

    def reset(self) -> int: ...


class OwnCluster(Protocol):
    """Nodes and a Redis that may be killed and started again; their networks where there are such."""

    ports: list[int]
    data_dir: Path
    settings: dict[str, str]
    node_settings: dict[int, dict[str, str]]
    node_command: list[str]

    replicated: ReplicatedRedis | None  # behind sentinels; None: no such Redis
    redis_cluster: RedisCluster | None

    @property
    def unexpected_ends(self) -> Sequence[UnexpectedEnd]: ...

    @property
    def urls(self) -> list[str]: ...

    @property
    def node_proxies(self) -> Mapping[int, OwnNetwork]: ...

    @property
    def redis_proxies(self) -> Mapping[int, OwnNetwork]: ...

    async def signal_node(self, port: int, number: signal.Signals) -> None: ...

    def is_running(self, port: int) -> bool: ...

    async def start_node(self, port: int) -> None: ...

    async def signal_redis(self, number: signal.Signals) -> None: ...

    async def start_redis(self) -> None: ...

    async def cut_bus(self) -> None: ...
