"""The rooms of a node's sessions, and the delivery of an event to those in one of them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import socketio

from sio_server.gateway.transport.packets import write_json

log = logging.getLogger(__name__)

MAX_JOINED_BYTES = 64 * 1024  # of frames that wait for the next ones to their room


class Recipient(Protocol):
    """The connection of a session, as its transport has it."""

    eio_sid: str

    def put_event(self, frame: Any) -> object:
        """Send a frame, or let it wait for the client."""
        ...


# What is in rooms without a connection: it is called with each text packet, and must not wait.
Listener = Callable[[bytes], object]


class LocalRooms(socketio.AsyncManager):  # type: ignore[misc]
    """The part of the client manager that knows which sessions are in which rooms of this node.

    It has the connection of each session, so that a delivery is one call for each, and the rooms of a session, so
    that the end of one costs the same however many rooms there are.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._recipients: dict[str, Recipient] = {}  # by session id; from the beginning of the handshake on
        self._sids: dict[str, str] = {}  # engine's id -> session id
        self._unready: set[str] = set()  # sessions that are being connected or disconnected
        self._members: dict[str, dict[str, Recipient]] = {}  # room -> session id -> connection
        self._listeners: dict[str, Listener] = {}  # by an id like that of a session
        self._listening: dict[str, dict[str, Listener]] = {}  # room -> id -> listener
        self._rooms_of: dict[str, set[str]] = {}  # session id -> the rooms it is in
        self.join_writes_s = 0.0  # how long a frame may wait for the next ones to its room
        # room -> frames since the last write, of rooms that have had one
        self._joining: dict[str, list[bytes]] = {}
        self._timer: asyncio.TimerHandle | None = None

    # Rooms

    def enter(self, sid: str, room: str) -> None:
        """Let a session, or a listener, into a room. Raises KeyError when there is no such one."""
        if self._joining:
            self.flush()
        if (listener := self._listeners.get(sid)) is not None:
            self._listening.setdefault(room, {})[sid] = listener
            self._rooms_of.setdefault(sid, set()).add(room)
            return
        self._members.setdefault(room, {})[sid] = self._recipients[sid]
        self._rooms_of.setdefault(sid, set()).add(room)

    def leave(self, sid: str, room: str) -> None:
        """Let a session out of a room: it gets nothing later of it."""
        if self._joining:
            self.flush()
        rooms = self._rooms_of.get(sid)
        if rooms is not None and room in rooms:
            rooms.discard(room)
            if not rooms:
                del self._rooms_of[sid]
            self._remove(sid, room)

    def add_listener(self, sid: str, listener: Listener) -> None:
        """Let `enter` and `leave` know this id, which is no session's."""
        self._listeners[sid] = listener

    def remove_listener(self, sid: str) -> None:
        """Let a listener out of all rooms, and forget it."""
        for room in self._rooms_of.pop(sid, ()):
            self._remove(sid, room)
        self._listeners.pop(sid, None)

    def _remove(self, sid: str, room: str) -> None:
        rooms: dict[str, Any] = self._listening if sid in self._listeners else self._members
        members = rooms[room]
        del members[sid]
        if not members:
            del rooms[room]

    # Delivery

    def deliver(self, room: Any, event: str, payload: Any) -> int:
        """Send an event to this node's sessions in a room, or to one session by its id; return to how many.

        Synchronous, so that nothing can come between two entries; encoded once for all sessions.
        """
        if self._joining:
            self.flush()
        recipients = self._in(room)
        listeners = self._listeners_in(room) if self._listeners else []
        if recipients or listeners:
            packet = b"42" + write_json([event, payload])
            if recipients:
                self._send(recipients, self.server.event_frame(packet))
            _tell(listeners, packet)
        return len(recipients) + len(listeners)

    def deliver_frame(self, room: str, frame: bytes) -> int:
        """The same for a ready text packet, such as `42["entry:appended",{...}]`.

        With `join_writes_s` it may wait so long for the next ones, and be written with them.
        """
        recipients = self._in(room)
        told = 0
        if self._listening and (listeners := self._listeners_in(room)):
            _tell(listeners, frame)
            told = len(listeners)
        if not recipients:
            return told
        ready = self.server.event_frame(frame)
        if not self.join_writes_s:
            self._send(recipients, ready)
            return len(recipients) + told
        waiting = self._joining.get(room)
        if waiting is None:
            self._joining[room] = []
            self._send(recipients, ready)
            if self._timer is None:
                self._timer = asyncio.get_running_loop().call_later(self.join_writes_s, self._on_timer)
        else:
            waiting.append(ready)
            if sum(map(len, waiting)) > MAX_JOINED_BYTES:
                self._write_joined(room, waiting)
        return len(recipients) + told

    def flush(self) -> None:
        """Write what waits for the next frames to its room."""
        for room, waiting in self._joining.items():
            if waiting:
                self._write_joined(room, waiting)

    def _on_timer(self) -> None:
        self._timer = None
        for room, waiting in list(self._joining.items()):
            if waiting:
                self._write_joined(room, waiting)
            else:
                del self._joining[room]  # it has been quiet
        if self._joining:
            self._timer = asyncio.get_running_loop().call_later(self.join_writes_s, self._on_timer)

    def _write_joined(self, room: str, waiting: list[bytes]) -> None:
        frame = b"".join(waiting)
        waiting.clear()
        self._send(self._in(room), frame)

    def _in(self, room: Any) -> list[Recipient]:
        if isinstance(room, list):  # of several, each session once
            return list({sid: one for name in room for sid, one in self._members.get(name, {}).items()}.values())
        members = self._members.get(room)
        if members is not None:
            return list(members.values())
        recipient = self._recipients.get(room)
        return [recipient] if recipient is not None else []

    def _listeners_in(self, room: Any) -> list[Listener]:
        if isinstance(room, list):
            return list({sid: one for name in room for sid, one in self._listening.get(name, {}).items()}.values())
        if (listening := self._listening.get(room)) is not None:
            return list(listening.values())
        listener = self._listeners.get(room)
        return [listener] if listener is not None else []

    def _send(self, recipients: list[Recipient], frame: Any) -> None:
        for recipient in recipients:
            try:
                recipient.put_event(frame)  # a connection for which too much waits is ended here
            except Exception:
                log.exception("an event could not be sent to a connection")

    # What python-socketio asks of its manager: one namespace, and sessions that are in no rooms but these

    def get_namespaces(self) -> tuple[str, ...]:
        return ("/",)

    async def pre_connect(self, eio_sid: str, namespace: str) -> str | None:
        if eio_sid in self._sids:
            return None  # it is connected
        sid: str = self.server.eio.generate_id()
        self._recipients[sid] = self.server.recipient(eio_sid)
        self._sids[eio_sid] = sid
        self._unready.add(sid)
        return sid

    async def connect(self, sid: str, namespace: str) -> str:
        self._unready.discard(sid)
        return sid

    def is_pre_connected(self, sid: str, namespace: str) -> bool:
        return sid in self._unready

    def is_connected(self, sid: str, namespace: str) -> bool:
        return sid in self._recipients and sid not in self._unready

    def sid_from_eio_sid(self, eio_sid: str, namespace: str) -> str | None:
        return self._sids.get(eio_sid) if namespace == "/" else None

    def eio_sid_from_sid(self, sid: str, namespace: str) -> str | None:
        recipient = self._recipients.get(sid)
        return recipient.eio_sid if recipient is not None else None

    def pre_disconnect(self, sid: str, namespace: str) -> str | None:
        self._unready.add(sid)
        return self.eio_sid_from_sid(sid, namespace)

    def basic_disconnect(self, sid: str, namespace: str, **kwargs: Any) -> None:
        if self._joining:
            self.flush()
        recipient = self._recipients.pop(sid, None)
        if recipient is not None:
            self._sids.pop(recipient.eio_sid, None)
        self._unready.discard(sid)
        for room in self._rooms_of.pop(sid, ()):
            self._remove(sid, room)

    def get_participants(self, namespace: str, room: str) -> Iterator[tuple[str, str]]:
        members = self._members.get(room) or {}
        yield from [(sid, recipient.eio_sid) for sid, recipient in members.items()]

    def get_rooms(self, sid: str, namespace: str) -> list[str]:
        return list(self._rooms_of.get(sid, ()))

    # What python-socketio calls to let a session into a room and out of it

    def basic_enter_room(self, sid: str, namespace: str, room: str, eio_sid: str | None = None) -> None:
        self.enter(sid, room)

    def basic_leave_room(self, sid: str, namespace: str, room: str) -> None:
        self.leave(sid, room)


def _tell(listeners: list[Listener], packet: bytes) -> None:
    for listener in listeners:
        try:
            listener(packet)
        except Exception:
            log.exception("a listener failed")
