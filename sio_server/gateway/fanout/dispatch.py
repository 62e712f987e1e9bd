"""Where an event of the bus goes: to the parts of this node that act on it, and to the rooms."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sio_server.gateway.fanout.bus_messages import BusEvent
from sio_server.gateway.fanout.fanout import Fanout
from sio_server.gateway.fanout.rooms import LocalRooms
from sio_server.protocol.events import STREAM_EVENTS, ServerEvent

# Called with the payload and the room, or rooms, to which the event was published.
Handler = Callable[[dict[str, Any], Any], None]


class Dispatch:
    """Routes each event of the bus, in the order of the bus.

    `internal` events are for nodes only and are not delivered; `observers` are called before the rooms are served,
    also when no session of this node follows the conversation.
    """

    def __init__(
        self, rooms: LocalRooms, fanout: Fanout, internal: Mapping[str, Handler], observers: Mapping[str, Handler]
    ) -> None:
        self._rooms = rooms
        self._fanout = fanout
        self._internal = internal
        self._observers = observers

    def on_bus_event(self, event: BusEvent) -> None:
        """Route one event."""
        name, payload, room = event
        if name in self._observers:
            self._observers[name](payload, room)
        if name in STREAM_EVENTS:
            self._fanout.on_stream_event(name, payload)
        elif name == ServerEvent.CONVERSATION_RESET:
            self._fanout.on_reset(payload["conversation_id"], payload["epoch"])
        elif name in self._internal:
            self._internal[name](payload, room)
        else:
            self._rooms.deliver(room, name, payload)
