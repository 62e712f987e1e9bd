"""Where a message of the bus goes: to the parts of this node that act on it, and to the rooms."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

from sio_server.gateway.fanout.bus_messages import DevicesChanged, NewEpoch, RoomEvent, parse_bus_message
from sio_server.gateway.fanout.fanout import Fanout
from sio_server.gateway.fanout.numbered import EntryHead, StreamEvent
from sio_server.gateway.fanout.rooms import LocalRooms
from sio_server.store.keys import CONVERSATION_ROOM

log = logging.getLogger(__name__)


class Dispatch:
    """Routes each message of the bus, in the order of its channel.

    `on_entry` is called for each entry before its room is served, also when no session of this node follows the
    conversation; `on_devices(room, devices)` before the user is told of devices; `on_sessions_ended(payload, ids)`
    in place of a delivery.
    """

    def __init__(
        self,
        rooms: LocalRooms,
        fanout: Fanout,
        *,
        on_entry: Callable[[EntryHead], None],
        on_devices: Callable[[str, list[dict[str, Any]]], None],
        on_sessions_ended: Callable[[dict[str, Any], Sequence[str]], None],
    ) -> None:
        self._rooms = rooms
        self._fanout = fanout
        self._on_entry = on_entry
        self._on_devices = on_devices
        self._on_sessions_ended = on_sessions_ended
        self._rejected = 0  # messages that were none of ours

    def on_bus_message(self, room: str, data: bytes) -> None:
        """Route one message on the channel of a room."""
        event = parse_bus_message(room, data)
        if isinstance(event, StreamEvent):
            if event.entry is not None:
                self._on_entry(event.entry)
            self._fanout.on_stream_event(room.removeprefix(CONVERSATION_ROOM), event)
        elif isinstance(event, RoomEvent):
            self._rooms.deliver_frame(room, event.frame)
        elif isinstance(event, DevicesChanged):
            self._on_devices(room, event.devices)
            self._rooms.deliver_frame(room, event.frame)
        elif isinstance(event, NewEpoch):
            self._fanout.on_new_epoch(room.removeprefix(CONVERSATION_ROOM), event.epoch)
        elif event is not None:
            self._on_sessions_ended(event.payload, event.session_ids)
        else:
            self._rejected += 1
            if self._rejected & (self._rejected - 1) == 0:  # 1, 2, 4, 8, ...: there may be many
                log.warning("a message on the bus is none of ours: ignored, count=%d", self._rejected)
