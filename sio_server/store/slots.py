"""Which server of a Redis Cluster has which slot, and what an error of one says about that. No I/O, no clock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, NamedTuple

from redis.crc import key_slot
from redis.exceptions import AskError, ClusterDownError, MovedError, ReadOnlyError, TryAgainError

SLOTS = 16_384


class Server(NamedTuple):
    """The address of a server of the cluster."""

    host: str
    port: int


class Again(Enum):
    """Why a command is sent again."""

    MOVED = "moved"  # to another server, for ever: the map is wrong
    ASK = "ask"  # to another server, once: the slot is on its way there
    LATER = "later"  # to the same server, soon: some keys are on their way, or a shard has no primary yet


@dataclass(frozen=True)
class Redirect:
    """What has to be done with a command that was not carried out."""

    why: Again
    slot: int = -1
    server: Server | None = None


def redirect_in(reply: Any) -> Redirect | None:
    """What a reply, or a list of replies, says of where the command belongs; None: nothing."""
    if isinstance(reply, list):
        return next((found for one in reply if isinstance(one, Exception) and (found := redirect_in(one))), None)
    if isinstance(reply, AskError):  # MovedError is a kind of it
        why = Again.MOVED if isinstance(reply, MovedError) else Again.ASK
        return Redirect(why, int(reply.slot_id), Server(reply.host, reply.port))
    if isinstance(reply, TryAgainError | ClusterDownError | ReadOnlyError):
        return Redirect(Again.LATER)
    return None


def slot_of(key: str) -> int:
    """The slot of a key: that of its hash tag, if it has one."""
    return int(key_slot(key.encode()))


class SlotMap:
    """The primary of each slot."""

    def __init__(self) -> None:
        self._primaries: list[Server | None] = [None] * SLOTS

    @classmethod
    def from_reply(cls, reply: Sequence[Any], asked: Server) -> SlotMap:
        """Read the reply to CLUSTER SLOTS. An empty host is that of the server that was asked."""
        made = cls()
        for first, last, primary, *_ in reply:
            host = primary[0].decode() if isinstance(primary[0], bytes) else primary[0]
            server = Server(host or asked.host, int(primary[1]))
            made._primaries[first : last + 1] = [server] * (last + 1 - first)
        return made

    @property
    def servers(self) -> list[Server]:
        """All primaries, in the order of their first slots."""
        return list(dict.fromkeys(server for server in self._primaries if server is not None))

    @property
    def is_whole(self) -> bool:
        """Whether each slot has a primary."""
        return None not in self._primaries

    def primary(self, slot: int) -> Server | None:
        """The primary of a slot; None: none is known."""
        return self._primaries[slot]

    def move(self, slot: int, server: Server) -> None:
        """A server has said that a slot has moved."""
        self._primaries[slot] = server
