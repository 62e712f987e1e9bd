"""Routing: each event of a client goes to its handler, and gets exactly one ack."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any

import socketio
from pydantic import ValidationError

from sio_server.gateway.fanout.fanout import Fanout
from sio_server.gateway.requests.conversations import ConversationRequests
from sio_server.gateway.requests.devices import DeviceRequests
from sio_server.gateway.requests.lists import ListRequests
from sio_server.gateway.requests.messages import MessageRequests
from sio_server.gateway.requests.runs import RunRequests
from sio_server.gateway.sessions.handshake import Handshakes
from sio_server.gateway.sessions.limits import Limits, items_in
from sio_server.gateway.sessions.registry import Sessions
from sio_server.gateway.sessions.session import Session
from sio_server.gateway.sessions.session_ready import SessionReady
from sio_server.protocol.errors import ErrorCode, Refused, RoomgraphError, Unavailable
from sio_server.protocol.events import REQUESTS, ClientEvent
from sio_server.protocol.validation import explain
from sio_server.tasks import is_being_cancelled

log = logging.getLogger(__name__)

Handler = Callable[[Session, Any], Awaitable[dict[str, Any]]]


def handlers_of(
    conversations: ConversationRequests,
    lists: ListRequests,
    messages: MessageRequests,
    runs: RunRequests,
    devices: DeviceRequests,
) -> dict[ClientEvent, Handler]:
    """The table of events: which method handles which."""
    return {
        ClientEvent.CONVERSATION_CREATE: conversations.create,
        ClientEvent.CONVERSATION_JOIN: conversations.join,
        ClientEvent.CONVERSATION_LEAVE: conversations.leave,
        ClientEvent.CONVERSATION_LIST: conversations.list,
        ClientEvent.LIST_SET: lists.set,
        ClientEvent.HISTORY_READ: conversations.history,
        ClientEvent.ENTRY_READ: conversations.read_entry,
        ClientEvent.CONVERSATION_INVITE: conversations.invite,
        ClientEvent.CONVERSATION_RENAME: conversations.rename,
        ClientEvent.CONVERSATION_CONFIGURE: conversations.configure,
        ClientEvent.CONVERSATION_DELETE: conversations.delete,
        ClientEvent.MEMBERS_REMOVE: conversations.remove_member,
        ClientEvent.MEMBERS_LIST: conversations.members,
        ClientEvent.SESSION_SYNC: conversations.sync,
        ClientEvent.MESSAGE_SEND: messages.send,
        ClientEvent.MESSAGE_EDIT: messages.edit,
        ClientEvent.MESSAGE_DELETE: messages.delete,
        ClientEvent.MESSAGE_SEARCH: lists.search,
        ClientEvent.MARKS_SET: messages.set_marks,
        ClientEvent.DRAFT_SAVE: messages.save_draft,
        ClientEvent.TYPING_SET: messages.show_typing,
        ClientEvent.RUN_STOP: runs.stop,
        ClientEvent.RUN_REGENERATE: runs.regenerate,
        ClientEvent.INTERRUPT_RESPOND: runs.respond,
        ClientEvent.DEVICE_LIST: devices.list,
        ClientEvent.DEVICE_RENAME: devices.rename,
        ClientEvent.DEVICE_LINK: devices.link,
        ClientEvent.DEVICE_UNLINK: devices.unlink,
        ClientEvent.DEVICE_SIGN_OUT: devices.sign_out,
    }


class Gateway(socketio.AsyncNamespace):  # type: ignore[misc]
    """The namespace `/`: connect, disconnect, and the events of clients.

    Whatever a handler raises is answered, and ends neither the connection nor the event loop.
    """

    def __init__(
        self,
        handshakes: Handshakes,
        session_ready: SessionReady,
        sessions: Sessions,
        limits: Limits,
        fanout: Fanout,
        handlers: dict[ClientEvent, Handler],
        on_refused: Callable[[str, str], None] = lambda event, code: None,
    ) -> None:
        """`on_refused` is called with the event and the code of each request that is refused."""
        super().__init__("/")
        self._on_refused = on_refused
        self._handshakes = handshakes
        self._session_ready = session_ready
        self._sessions = sessions
        self._limits = limits
        self._fanout = fanout
        # What each event takes: its name, the check of its payload, and its handler.
        self._routes = {
            str(event): (event, REQUESTS[event].__pydantic_validator__.validate_python, handler)
            for event, handler in handlers.items()
        }

    async def on_connect(self, sid: str, environ: dict[str, Any], auth: Any = None) -> None:
        """Begin the session; a refusal carries an error object."""
        try:
            await self._handshakes.open(sid, environ, auth)
        except RoomgraphError as exc:
            raise socketio.exceptions.ConnectionRefusedError(exc.message, exc.to_wire()) from None

    async def after_connect(self, sid: str) -> None:
        """The client knows that it is connected: send it its first event."""
        await self._session_ready.send(sid)

    async def on_disconnect(self, sid: str, reason: str) -> None:
        """End the session; its user's other sessions are told."""
        session = self._sessions.get(sid)
        if session is None:
            return
        try:
            self._fanout.leave_all(sid)
        finally:
            self._sessions.close(sid)

    async def trigger_event(self, event: str, *args: Any) -> Any:
        """Handle any event; the ack of one that is not known says so."""
        if event in ("connect", "disconnect"):
            return await super().trigger_event(event, *args)
        sid, payload = args[0], args[1:]
        try:
            if (route := self._routes.get(event)) is None:
                raise Refused(ErrorCode.UNKNOWN_EVENT, "there is no such event")
            known, validate, handler = route
            session = self._sessions.get(sid)
            if session is None:
                raise Unavailable("the session has ended; connect again")
            self._limits.spend_event(known, session.user_id, items_in(known, payload[0] if payload else None))
            if len(payload) != 1:
                raise Refused(ErrorCode.INVALID_PAYLOAD, "the payload: should be one object")
            try:
                request = validate(payload[0])
            except ValidationError as exc:
                raise explain(exc) from None
            return {"ok": True, **await handler(session, request)}
        except RoomgraphError as exc:
            self._on_refused(event if event in self._routes else "unknown", exc.code)
            return {"ok": False, "error": exc.to_wire()}
        except BaseException as exc:
            # A cancellation that nobody has asked for is a failure like any other.
            if is_being_cancelled():
                raise
            log.error("an event could not be handled: event=%s session_id=%s", event, sid, exc_info=exc)
            error = Unavailable("the server made a mistake; try again", ErrorCode.INTERNAL)
            self._on_refused(event, error.code)
            return {"ok": False, "error": error.to_wire()}
