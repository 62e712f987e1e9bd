"""A conversation that sessions of a node follow: who they are, and what they have been told."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import NamedTuple

from sio_server.conversation.log import Handed
from sio_server.gateway.fanout.numbered import NumberedStream


class Follower(NamedTuple):
    """A session that follows a conversation."""

    user_id: str
    device_id: str
    checked: int  # the seq at which its membership was checked


@dataclass
class Followed:
    """A conversation that sessions of this node follow, with the event up to which they have been served."""

    stream: NumberedStream
    handed_ts: str  # of the entry at the stream's position
    since: int  # the seq at which this node began to follow: it has not met the leaves before that
    followers: dict[str, Follower] = field(default_factory=dict)  # by session id
    left_at: dict[str, int] = field(default_factory=dict)  # user id -> seq of the latest `member_left` met here
    reading: asyncio.Task[None] | None = None

    @property
    def handed(self) -> Handed:
        """The last entry that was delivered to its sessions."""
        return Handed(*self.stream.position, self.handed_ts)

    @property
    def user_ids(self) -> set[str]:
        """The users whose sessions follow it."""
        return {follower.user_id for follower in self.followers.values()}
