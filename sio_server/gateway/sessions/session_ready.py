"""The first event of a session: `session:opened`, which tells it its user, its device and the nodes."""

from __future__ import annotations

import logging
import random
from collections.abc import Sequence
from typing import Protocol

import orjson

from sio_server.gateway.sessions.description import Description
from sio_server.gateway.sessions.registry import Sessions
from sio_server.gateway.sessions.session import Session
from sio_server.protocol.errors import Unavailable
from sio_server.protocol.events import PROTOCOL_VERSION, ServerEvent
from sio_server.store.keys import user_room
from sio_server.tasks import is_being_cancelled
from sio_server.users.devices import Devices

log = logging.getLogger(__name__)


class Rooms(Protocol):
    """The rooms of this node, as far as a new session needs them."""

    def enter(self, sid: str, room: str) -> None: ...

    def deliver_frame(self, room: str, frame: bytes) -> int: ...


class SessionReady:
    """Lets new sessions into their users' rooms and sends them `session:opened`."""

    def __init__(
        self,
        rooms: Rooms,
        sessions: Sessions,
        devices: Devices,
        *,
        node_name: str,
        node_urls: Sequence[str],
        graphs: Sequence[str],
        about: Description,
    ) -> None:
        """`graphs`: their names, the default's first; they may change."""
        self._rooms = rooms
        self._sessions = sessions
        self._devices = devices
        self._node = orjson.dumps(node_name).decode()
        self._node_urls = [orjson.dumps(url).decode() for url in node_urls]
        self._graphs = graphs
        self._about = orjson.dumps(about.to_wire())[1:-1].decode()  # its fields
        self._same: tuple[tuple[str, ...], str] = ((), "")  # for these graphs: what all sessions are told

    async def send(self, sid: str) -> None:
        """The client knows that it is connected. What Redis cannot say at this moment is left out."""
        session = self._sessions.get(sid)
        if session is None:
            return
        self._rooms.enter(sid, user_room(session.user_id))
        devices = session.devices
        if devices is None:
            devices = await self._read_devices(session)
            if self._sessions.get(sid) is None:
                return  # it was signed out meanwhile, and told so
        self._rooms.deliver_frame(sid, self._frame(session, devices))
        session.opened, session.devices, session.last_end = True, None, ""

    async def _read_devices(self, session: Session) -> str:
        """The devices after the session has entered the user's room: changes from then on are delivered."""
        session.opened = True
        try:
            return await self._devices.listed_json(session.user_id)
        except Unavailable as exc:
            log.info("a session is ready, but its user's devices are not known: %s", exc)
        except BaseException as exc:
            if is_being_cancelled():
                raise
            log.error("a session is ready, but its user's devices could not be read", exc_info=exc)
        return "[]"

    def _frame(self, session: Session, devices: str) -> bytes:
        own = orjson.dumps(
            {
                "v": PROTOCOL_VERSION,
                "session_id": session.sid,
                "user_id": session.user_id,
                "name": session.name,
                "device_id": session.device_id,
            }
        )[:-1].decode()
        # In another order for each: clients that lose this node do not all go to the same one.
        nodes = ",".join(random.sample(self._node_urls, len(self._node_urls)))
        return (
            f'42["{ServerEvent.SESSION_OPENED}",{own},"nodes":[{nodes}],{self._same_for_all()},'
            f'"devices":{devices},"last_end":{session.last_end or "null"}}}]'
        ).encode()

    def _same_for_all(self) -> str:
        graphs = tuple(self._graphs)
        if self._same[0] != graphs or not self._same[1]:
            names = orjson.dumps(graphs).decode()
            self._same = graphs, f'"node":{self._node},"graphs":{names},{self._about}'
        return self._same[1]
