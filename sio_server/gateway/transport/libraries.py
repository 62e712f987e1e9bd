"""Everything private that we touch of the libraries below us: `missing` names what another version has moved."""

from __future__ import annotations

from typing import Any

import engineio
import socketio
from aiohttp import web

try:
    from aiohttp._websocket.helpers import websocket_mask as _apply_mask

    _MASK_MOVED = False
except ImportError:  # moved by another version
    _MASK_MOVED = True

    def _apply_mask(mask: bytes, data: bytearray) -> None:
        """Apply the mask of a frame to its content, in place."""
        size = len(data)
        key = int.from_bytes((mask * (size // 4 + 1))[:size], "big")
        data[:] = (int.from_bytes(data, "big") ^ key).to_bytes(size, "big")


apply_mask = _apply_mask

# Attributes and methods by the class that we subclass or call.
TOUCHED: dict[type, tuple[str, ...]] = {
    web.RequestHandler: (
        *("_manager", "_messages", "_request_in_progress", "_task_handler", "_loop", "set_parser", "force_close"),
        *(
            "transport",
            "peername",
            "connection_made",
            "connection_lost",
            "data_received",
            "handle_error",
        ),
    ),
    web.AppRunner: ("_make_server", "_kwargs"),
    web.Request: ("_prepare_hook",),
    web.TCPSite: ("_server",),
    socketio.AsyncServer: (
        *("_engineio_server_class", "_handle_eio_connect", "_handle_eio_disconnect", "_handle_eio_message"),
        *("_handle_connect", "_handle_disconnect", "_handle_event", "_send_packet"),
    ),
    socketio.AsyncManager: (
        *("pre_connect", "connect", "is_connected", "is_pre_connected", "pre_disconnect", "basic_disconnect"),
        *("sid_from_eio_sid", "eio_sid_from_sid", "get_participants", "get_namespaces", "get_rooms"),
        *("basic_enter_room", "basic_leave_room"),
    ),
    engineio.AsyncServer: ("generate_id", "handle_request", "_get_socket", "create_queue"),
}


def missing(touched: dict[type, tuple[str, ...]] = TOUCHED) -> list[str]:
    """What is touched and is not there."""
    moved = ["aiohttp._websocket.helpers.websocket_mask"] if _MASK_MOVED else []
    return moved + [
        f"{owner.__module__}.{owner.__qualname__}.{name}"
        for owner, names in touched.items()
        for name in names
        if not hasattr(owner, name)
    ]


def listening_sockets(runner: web.AppRunner) -> list[Any]:
    """The sockets on which a runner accepts connections."""
    servers: list[Any] = [getattr(site, "_server", None) for site in runner.sites]
    return [one for server in servers if server is not None for one in server.sockets]


def detach(connection: web.RequestHandler) -> None:
    """End an aiohttp connection that serves no request, and leave its transport open for another protocol."""
    connection.transport = None  # else its end would close it
    connection.connection_lost(None)
