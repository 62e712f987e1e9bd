"""Which server of a Redis Cluster has which slot, and what an error of one says about that. No I/O, no clock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, NamedTuple

from redis.crc import key_slot
from redis.exceptions import (
    AskError,
    ClusterDownError,
    MasterDownError,
    MovedError,
    ReadOnlyError,
    ResponseError,
    TryAgainError,
)

SLOTS = 16_384


class Server(NamedTuple):
    """The address of a server of the cluster."""

    host: str
    port: int


def name_of(server: Server | None) -> str:
    """A server as logs and reports name it."""
    if server is None:
        return "(none)"
    return f"[{server.host}]:{server.port}" if ":" in server.host else f"{server.host}:{server.port}"


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
    if isinstance(reply, TryAgainError | ClusterDownError | ReadOnlyError | MasterDownError):
        return Redirect(Again.LATER)
    return None


def slot_of(key: str) -> int:
    """The slot of a key: that of its hash tag, if it has one."""
    return int(key_slot(key.encode()))


class SlotRange(NamedTuple):
    """Slots that follow each other, and their primary."""

    first: int
    last: int
    server: Server
    server_id: str  # by which the servers of the cluster know it


class SlotMap:
    """The primary of each slot."""

    def __init__(self) -> None:
        self._primaries: list[Server | None] = [None] * SLOTS
        self._servers: list[Server] | None = None  # made when it is asked for

    @classmethod
    def from_ranges(cls, ranges: Sequence[SlotRange]) -> SlotMap:
        """The map in which each range has its server; the last that names a slot counts."""
        made = cls()
        for one in ranges:
            made._primaries[one.first : one.last + 1] = [one.server] * (one.last + 1 - one.first)
        return made

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SlotMap) and self._primaries == other._primaries

    __hash__ = None  # type: ignore[assignment]

    @property
    def servers(self) -> list[Server]:
        """All primaries, in the order of their first slots."""
        if self._servers is None:
            self._servers = [server for server in dict.fromkeys(self._primaries) if server is not None]
        return list(self._servers)

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
        self._servers = None


@dataclass(frozen=True)
class View:
    """How one server sees the cluster."""

    server_id: str  # its own
    is_ok: bool  # it is not cut off from most of the others
    epoch: int  # of the whole cluster, as far as it has heard
    own_epoch: int  # its own configuration epoch: of two that claim a slot the greater one has it
    ranges: tuple[SlotRange, ...]
    replid: str = ""  # of its replication: a promoted server has another one; empty: it is not told to everyone


def read_view(asked: Server, replies: Sequence[Any]) -> View:
    """Read the replies to CLUSTER SLOTS, INFO and MYID, and to INFO replication, which may be refused.

    Raises ResponseError for what is no cluster, or refused.
    An empty host is that of the server that was asked.
    """
    *replies, replication = replies
    for reply in replies:
        if isinstance(reply, Exception):
            raise reply
    slots, info, own_id = replies
    known = dict(line.partition(":")[::2] for line in _text(info).split("\r\n"))
    try:
        ranges = tuple(
            SlotRange(int(first), int(last), Server(_text(at[0]) or asked.host, int(at[1])), _text(at[2]))
            for first, last, at, *_ in slots
        )
        return View(
            _text(own_id),
            known["cluster_state"] == "ok",
            int(known["cluster_current_epoch"]),
            int(known["cluster_my_epoch"]),
            ranges,
            _field_of(replication, "master_replid"),
        )
    except (KeyError, ValueError, IndexError, TypeError):
        raise ResponseError("ERR a server of the cluster does not say which slots it has") from None


def newest_map(views: Sequence[View]) -> SlotMap:
    """What several servers say together. Raises ValueError when there is none.

    The one that knows the latest epoch counts; then, each of them knows best which slots it has itself, unless it
    was cut off. Where two claim a slot, the greater configuration epoch has it, as among the servers themselves.
    """
    base = max(views, key=lambda view: (view.is_ok, view.epoch, view.own_epoch))
    ranges = list(base.ranges)
    for view in sorted(views, key=lambda view: view.own_epoch):
        if view.is_ok == base.is_ok:
            ranges += [one for one in view.ranges if one.server_id == view.server_id]
    return SlotMap.from_ranges(ranges)


def _field_of(info: Any, name: str) -> str:
    """A field of a reply to INFO; empty when it was refused."""
    lines = [] if isinstance(info, Exception) else _text(info).split("\r\n")
    return next((value for field, _, value in (line.partition(":") for line in lines) if field == name), "")


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value or "")
