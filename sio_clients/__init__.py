"""The Roomgraph SDK for Python: a chat client, and bots built on it."""

from sio_clients import decisions
from sio_clients.client import ChatClient
from sio_clients.conversation import Ack, Conversation, Question, SessionCard
from sio_clients.devices import Device, DeviceSession
from sio_clients.errors import (
    ConversationReset,
    NotConnected,
    RateLimited,
    Refused,
    RoomgraphError,
    SessionEnded,
    Unavailable,
)
from sio_clients.guests import connect_guest, guest_token
from sio_clients.searching import Hit, SearchPage
from sio_server.protocol.events import Entry
from sio_server.protocol.position import Position
from sio_server.protocol.stream import Part, Run

__all__ = [
    "Ack",
    "ChatClient",
    "Conversation",
    "ConversationReset",
    "Device",
    "DeviceSession",
    "Entry",
    "Hit",
    "NotConnected",
    "Part",
    "Position",
    "Question",
    "RateLimited",
    "Refused",
    "RoomgraphError",
    "Run",
    "SearchPage",
    "SessionCard",
    "SessionEnded",
    "Unavailable",
    "connect_guest",
    "decisions",
    "guest_token",
]
