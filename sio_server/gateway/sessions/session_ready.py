"""The first event of a session: `session:opened`, which tells it its user, its device and the nodes."""

from __future__ import annotations

import logging
import random
from collections.abc import Sequence
from typing import Any

from sio_server.gateway.fanout.bus import Bus
from sio_server.gateway.sessions.description import Description
from sio_server.gateway.sessions.disconnects import DisconnectReasons
from sio_server.gateway.sessions.registry import Sessions
from sio_server.gateway.sessions.session import Session
from sio_server.protocol.errors import Unavailable
from sio_server.protocol.events import PROTOCOL_VERSION, ServerEvent
from sio_server.store.keys import user_room
from sio_server.tasks import is_being_cancelled
from sio_server.users.devices import Devices

log = logging.getLogger(__name__)


class SessionReady:
    """Lets new sessions into their users' rooms and sends them `session:opened`."""

    def __init__(
        self,
        bus: Bus,
        sessions: Sessions,
        devices: Devices,
        reasons: DisconnectReasons,
        *,
        node_name: str,
        node_urls: Sequence[str],
        graphs: Sequence[str],
        about: Description,
    ) -> None:
        """`graphs`: their names, the default's first."""
        self._bus = bus
        self._sessions = sessions
        self._devices = devices
        self._reasons = reasons
        self._node_name = node_name
        self._node_urls = node_urls
        self._graphs = graphs
        self._about = about.to_wire()

    async def send(self, sid: str) -> None:
        """The client knows that it is connected. What Redis cannot say at this moment is left out."""
        session = self._sessions.get(sid)
        if session is None:
            return
        self._bus.enter(sid, user_room(session.user_id))
        known: dict[str, Any] = {"devices": [], "last_end": None}
        try:
            await self._look_up(session, known)
        except Unavailable as exc:
            log.info("a session is ready, but what Redis knows of it is not there: %s", exc)
        except BaseException as exc:
            if is_being_cancelled():
                raise
            log.error("a session is ready, but what Redis knows of it could not be read", exc_info=exc)
        if self._sessions.get(sid) is None:
            return  # it was signed out meanwhile, and told so
        ready = {
            "v": PROTOCOL_VERSION,
            "session_id": sid,
            "user_id": session.user_id,
            "name": session.name,
            "device_id": session.device_id,
            "node": self._node_name,
            # In another order for each: clients that lose this node do not all go to the same one.
            "nodes": random.sample(self._node_urls, len(self._node_urls)),
            "graphs": list(self._graphs),
            **self._about,
            **known,
        }
        self._bus.deliver(sid, ServerEvent.SESSION_OPENED, ready)

    async def _look_up(self, session: Session, known: dict[str, Any]) -> None:
        known["devices"] = await self._devices.listed(session.user_id)
        known["last_end"] = await self._reasons.pop_last_end(session.user_id, session.device_id)
