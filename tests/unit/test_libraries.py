"""What is private and touched of the libraries is there; another version that has moved it is told by name."""

from __future__ import annotations

import inspect
import runpy
import sys

import pytest
import socketio

from sio_server.gateway.transport import libraries
from sio_server.gateway.transport.socket_server import SocketServer


def test_nothing_that_is_touched_has_been_moved() -> None:
    assert libraries.missing() == []


def test_what_has_been_moved_is_named() -> None:
    touched: dict[type, tuple[str, ...]] = {socketio.AsyncServer: ("emit", "_no_longer_there")}
    (name,) = libraries.missing(touched)
    assert name == "socketio.async_server.AsyncServer._no_longer_there"


def test_a_mask_function_that_has_been_moved_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "aiohttp._websocket.helpers", None)
    again = runpy.run_path(libraries.__file__)
    assert again["missing"]() == ["aiohttp._websocket.helpers.websocket_mask"]
    data = bytearray(b"hello")
    again["apply_mask"](b"\x01\x02\x03\x04", data)
    assert data == b"igohn"


def test_the_mask_of_a_frame_is_applied_by_aiohttps_extension() -> None:
    assert libraries.apply_mask.__module__.startswith("aiohttp"), "the slow way is taken"


def test_the_servers_private_methods_are_called_as_they_were_written() -> None:
    for name in ("_handle_connect", "_handle_disconnect", "_handle_event", "_handle_eio_message"):
        ours, theirs = (inspect.signature(getattr(owner, name)) for owner in (SocketServer, socketio.AsyncServer))
        assert list(ours.parameters) == list(theirs.parameters), name
