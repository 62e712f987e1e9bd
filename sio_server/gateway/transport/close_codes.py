"""The websocket close codes with which a node ends a connection; a connection that is reset has none (1006)."""

from __future__ import annotations

from enum import IntEnum


class CloseCode(IntEnum):
    """Each is sent with a reason in words, but for 1007 and 1009 on the stock transport, where aiohttp sends them.

    Browsers show the reason as `CloseEvent.reason`; socket.io-client passes it on in `details` of `disconnect`.
    """

    DONE = 1000  # after `connect_error`, `session:ended` with `reconnect` false, or a ping without an answer
    GOING_AWAY = 1001  # after `session:ended` with `reconnect` true: the node stops, or is cut off
    PROTOCOL_ERROR = 1002  # no websocket, Engine.IO or Socket.IO packet: a mistake in the client
    UNSUPPORTED_DATA = 1003  # a binary frame
    INVALID_TEXT = 1007  # a text frame that is not UTF-8
    POLICY_VIOLATION = 1008  # no session in time, or too much was sent
    MESSAGE_TOO_BIG = 1009  # a frame above the hard limit
