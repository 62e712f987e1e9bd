"""The rooms of a node's sessions, and the delivery of an event to those in one of them."""

from __future__ import annotations

from typing import Any

import socketio
from engineio.packet import MESSAGE
from engineio.packet import Packet as EnginePacket
from socketio.packet import EVENT

from sio_server.gateway.transport.outbound import event_frame


class LocalRooms(socketio.AsyncManager):  # type: ignore[misc]
    """The part of the client manager that knows which sessions are in which rooms of this node.

    It also knows the rooms of a session, so that the end of one costs the same however many rooms there are.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._rooms_of: dict[str, set[Any]] = {}  # session id -> the rooms it is in

    def basic_enter_room(self, sid: str, namespace: str, room: Any, eio_sid: str | None = None) -> None:
        super().basic_enter_room(sid, namespace, room, eio_sid)
        self._rooms_of.setdefault(sid, set()).add(room)

    def basic_leave_room(self, sid: str, namespace: str, room: Any) -> None:
        super().basic_leave_room(sid, namespace, room)
        self._rooms_of.get(sid, set()).discard(room)

    def basic_disconnect(self, sid: str, namespace: str, **kwargs: Any) -> None:
        """As the stock manager does, which looks through all rooms of the node for the session."""
        for room in self._rooms_of.pop(sid, set()):
            super().basic_leave_room(sid, namespace, room)
        for pending in (self.pending_connect, self.pending_disconnect):
            waiting = pending.get(namespace, [])
            if sid in waiting:
                waiting.remove(sid)
                if not waiting:
                    del pending[namespace]

    def deliver(self, room: Any, event: str, payload: Any) -> int:
        """Put an event into the outbound queues of this node's sessions in a room; return how many.

        Synchronous, so that nothing can come between two entries; encoded once for all sessions.
        """
        if not self.rooms.get("/", {}).get(room):
            return 0
        packet = self.server.packet_class(EVENT, namespace="/", data=[event, payload])
        return self._put(room, event_frame(packet.encode()))

    def deliver_frame(self, room: Any, frame: bytes) -> int:
        """The same for a finished packet, `42["<event>",{...}]`."""
        packet = EnginePacket(MESSAGE, "")
        packet.encode_cache = frame
        return self._put(room, packet)

    def _put(self, room: Any, frame: EnginePacket) -> int:
        count = 0
        for _sid, eio_sid in self.get_participants("/", room):
            socket = self.server.eio.sockets.get(eio_sid)
            if socket is not None and not socket.closed:
                # A session whose queue is full is ended here.
                count += socket.queue.put_event(frame)
        return count
