"""What a client may ask: one method for each event, each with exactly one ack."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import socketio
from pydantic import ValidationError

from sio_server.conversation.log import ConversationLog
from sio_server.conversation.members import Members
from sio_server.conversation.turns import Turns
from sio_server.gateway.fanout.bus import Bus
from sio_server.gateway.fanout.catch_up import CatchUp
from sio_server.gateway.fanout.fanout import Fanout
from sio_server.gateway.metrics import Metrics
from sio_server.gateway.requests.devices import DeviceRequests
from sio_server.gateway.requests.runs import RunRequests, new_run_id
from sio_server.gateway.requests.validation import explain
from sio_server.gateway.sessions.disconnects import Drops
from sio_server.gateway.sessions.handshake import Handshakes
from sio_server.gateway.sessions.limits import Limits
from sio_server.gateway.sessions.registry import Session, Sessions
from sio_server.gateway.sessions.sign_out import Endings
from sio_server.protocol import events
from sio_server.protocol.errors import ErrorCode, Refused, RoomgraphError, Unavailable
from sio_server.protocol.events import MAX_PAGE_BYTES, ClientEvent, ServerEvent
from sio_server.store.keys import conversation_room, user_room
from sio_server.users.devices import Devices

log = logging.getLogger(__name__)

_MIN_SYNC_BYTES = 4096  # of entries for each conversation of a sync whose budget is used up

Handler = Callable[[Session, Any], Awaitable[dict[str, Any]]]


class Gateway(socketio.AsyncNamespace):  # type: ignore[misc]
    """The namespace `/`: handshake and events."""

    def __init__(
        self,
        *,
        handshakes: Handshakes,
        limits: Limits,
        sessions: Sessions,
        members: Members,
        conversations: ConversationLog,
        fanout: Fanout,
        bus: Bus,
        metrics: Metrics,
        node_name: str,
        turns: Turns,
        graphs: Sequence[str],
        devices: Devices,
        endings: Endings,
        drops: Drops,
        node_urls: Sequence[str],
        admit: Callable[[], None],
        conversations_per_session: int = 0,
    ) -> None:
        super().__init__("/")
        self._handshakes = handshakes
        self._limits = limits
        self._sessions = sessions
        self._members = members
        self._log = conversations
        self._fanout = fanout
        self._bus = bus
        self._metrics = metrics
        self._node_name = node_name
        self._graphs = graphs  # names; the first is the default
        self._devices = devices
        self._drops = drops
        self._node_urls = node_urls
        self._admit = admit
        runs = RunRequests(conversations, turns, bus, fanout)
        self._catch_up = CatchUp(conversations, fanout, sessions, conversations_per_session)
        of_devices = DeviceRequests(devices, conversations, fanout, endings)
        self._handlers: dict[str, Handler] = {
            ClientEvent.CONVERSATION_CREATE: self._create,
            ClientEvent.CONVERSATION_JOIN: self._join,
            ClientEvent.CONVERSATION_LEAVE: self._leave,
            ClientEvent.CONVERSATION_LIST: self._list,
            ClientEvent.CONVERSATION_HISTORY: self._history,
            ClientEvent.CONVERSATION_INVITE: self._invite,
            ClientEvent.CONVERSATION_MEMBERS: self._list_members,
            ClientEvent.MESSAGE_SEND: self._send,
            ClientEvent.MESSAGE_EDIT: runs.edit,
            ClientEvent.RUN_STOP: runs.stop,
            ClientEvent.RUN_REGENERATE: runs.regenerate,
            ClientEvent.INTERRUPT_RESPOND: runs.respond,
            ClientEvent.READ_UPDATE: self._read,
            ClientEvent.DRAFT_UPDATE: self._draft,
            ClientEvent.TYPING_UPDATE: self._typing,
            ClientEvent.SESSION_SYNC: self._sync,
            ClientEvent.DEVICE_LIST: of_devices.list,
            ClientEvent.DEVICE_RENAME: of_devices.rename,
            ClientEvent.DEVICE_SIGN_OUT: of_devices.sign_out,
            ClientEvent.DELIVERY_UPDATE: of_devices.delivered,
        }
        fanout.on_evicted = self._stopped_following

    # The connection

    async def on_connect(self, sid: str, environ: dict[str, Any], auth: Any = None) -> None:
        """Check the token and begin the session; a refusal carries a code."""
        try:
            self._admit()
            await self._handshakes.open(sid, environ, auth)
        except RoomgraphError as exc:
            log.info("a handshake was refused: code=%s", exc.code)
            raise socketio.exceptions.ConnectionRefusedError(exc.message, exc.to_wire()) from None
        except Exception:
            log.exception("a handshake could not be handled")
            error = Unavailable("the server made a mistake; try again", ErrorCode.INTERNAL)
            raise socketio.exceptions.ConnectionRefusedError(error.message, error.to_wire()) from None

    async def after_connect(self, sid: str) -> None:
        """The client knows that it is connected: let it into its user's room and tell it who it is."""
        session = self._sessions.get(sid)
        if session is None:
            return
        self._bus.basic_enter_room(sid, "/", user_room(session.user_id))
        try:
            devices = await self._devices.listed(session.user_id)
        except Unavailable:
            devices = []
        if self._sessions.get(sid) is None:
            return  # it was signed out meanwhile, and told so
        ready = {
            "v": events.PROTOCOL_VERSION,
            "session_id": sid,
            "user_id": session.user_id,
            "name": session.name,
            "device_id": session.device_id,
            "node": self._node_name,
            # In another order for each: who loses this node goes on to the next, and not all to the same one.
            "nodes": random.sample(self._node_urls, len(self._node_urls)),
            "graphs": list(self._graphs),
            "devices": devices,
            "last_end": self._drops.last_end(session.user_id, session.device_id),
        }
        self._bus.deliver(sid, ServerEvent.SESSION_READY, ready)

    async def on_disconnect(self, sid: str, reason: str) -> None:
        """End the session; its user's other sessions are told."""
        session = self._sessions.get(sid)
        if session is None:
            return
        for conversation_id in list(session.following):
            self._fanout.leave(sid, conversation_id)
        self._sessions.close(sid)

    async def trigger_event(self, event: str, *args: Any) -> Any:
        """Every event but connect and disconnect, known or not; always answers with an ack."""
        if event in ("connect", "disconnect"):
            return await super().trigger_event(event, *args)
        sid, payload = args[0], args[1:]
        try:
            return {"ok": True, **await self._handle(sid, event, payload)}
        except RoomgraphError as exc:
            return {"ok": False, "error": exc.to_wire()}
        except Exception:
            log.exception("an event could not be handled: event=%s", event)
            error = Unavailable("the server made a mistake; try again", ErrorCode.INTERNAL)
            return {"ok": False, "error": error.to_wire()}

    async def _handle(self, sid: str, event: str, payload: tuple[Any, ...]) -> dict[str, Any]:
        handler = self._handlers.get(event)
        if handler is None:
            raise Refused(ErrorCode.UNKNOWN_EVENT, "there is no such event")
        session = self._sessions.get(sid)
        if session is None:
            raise Unavailable("the session has ended; connect again")
        self._limits.event(ClientEvent(event), session.user_id)
        if len(payload) != 1:
            raise Refused(ErrorCode.INVALID_PAYLOAD, "the payload: should be one object")
        try:
            request = events.REQUESTS[ClientEvent(event)].model_validate(payload[0])
        except ValidationError as exc:
            raise explain(exc) from None
        return await handler(session, request)

    # Conversations

    async def _create(self, session: Session, request: events.ConversationCreate) -> dict[str, Any]:
        graph = request.graph or self._graphs[0]
        if graph not in self._graphs:
            known = ", ".join(self._graphs)
            raise Refused(ErrorCode.UNKNOWN_GRAPH, f"this server has no such graph; it has: {known}")
        self._catch_up.admit(session, request.conversation_id)
        named = request.model_copy(update={"graph": graph})
        conversation_id, created = await self._members.create(session.author, named)
        result = await self._catch_up.follow(session, conversation_id, None, MAX_PAGE_BYTES)
        if created:
            await self._tell_user(session.user_id, conversation_id, "joined", request.title, session)
            await self._tell_invited(conversation_id, request.invite, request.title, session)
        return {"created": created, **result}

    async def _join(self, session: Session, request: events.ConversationJoin) -> dict[str, Any]:
        self._catch_up.admit(session, request.conversation_id)
        joined = await self._members.join(session.author, request.conversation_id)
        position = request.position.to_position() if request.position else None
        result = await self._catch_up.follow(session, request.conversation_id, position, MAX_PAGE_BYTES)
        if joined:
            await self._tell_user(session.user_id, request.conversation_id, "joined", result["title"], session)
        return {"joined": joined, **result}

    async def _leave(self, session: Session, request: events.ConversationLeave) -> dict[str, Any]:
        left = await self._members.leave(session.author, request.conversation_id)
        if left:
            await self._tell_user(session.user_id, request.conversation_id, "left", "", session)
        return {"conversation_id": request.conversation_id, "left": left}

    async def _list(self, session: Session, request: events.ConversationList) -> dict[str, Any]:
        items, cursor = await self._members.conversations(session.user_id, request.after, request.limit)
        return {"conversations": items, "next": cursor}

    async def _history(self, session: Session, request: events.ConversationHistory) -> dict[str, Any]:
        if request.after is not None and request.before is not None:
            raise Refused(ErrorCode.INVALID_PAYLOAD, "after, before: give one of them, not both")
        page = await self._log.page(
            request.conversation_id,
            session.user_id,
            limit=request.limit,
            after=request.after,
            before=request.before,
        )
        return {
            "conversation_id": request.conversation_id,
            "epoch": page.bounds.epoch,
            "first": page.bounds.first,
            "head": page.bounds.head,
            "entries": [envelope for _, envelope in page.entries],
        }

    async def _invite(self, session: Session, request: events.ConversationInvite) -> dict[str, Any]:
        invited = await self._members.invite(session.author, request.conversation_id, request.user_ids)
        view = await self._log.look(request.conversation_id, session.user_id)
        await self._tell_invited(request.conversation_id, invited, view.title, session)
        return {"conversation_id": request.conversation_id, "invited": invited}

    async def _list_members(self, session: Session, request: events.ConversationMembers) -> dict[str, Any]:
        members = await self._members.members(request.conversation_id, session.user_id)
        return {"conversation_id": request.conversation_id, "members": members}

    # Messages and marks

    async def _send(self, session: Session, request: events.MessageSend) -> dict[str, Any]:
        began = time.monotonic()
        try:
            ack, new = await self._log.append_message(
                request.conversation_id,
                session.author,
                request.client_id,
                request.text,
                run_id=new_run_id(),
                handed=self._fanout.handed(request.conversation_id),
            )
        except RoomgraphError as exc:
            self._metrics.sends.labels(exc.code).inc()
            raise
        self._metrics.append_latency.observe(time.monotonic() - began)
        self._metrics.sends.labels("new" if new else "repeated").inc()
        if new and self._fanout.follows(session.sid, request.conversation_id):
            # The entry may have come over the bus before the ack.
            if self._fanout.has_reached(request.conversation_id, ack["seq"]):
                self._metrics.fanout_latency.observe(time.monotonic() - began)
            else:
                self._metrics.append_pending(request.conversation_id, ack["seq"], began)
        return ack

    async def _read(self, session: Session, request: events.ReadUpdate) -> dict[str, Any]:
        seq = await self._log.mark_read(request.conversation_id, session.user_id, session.device_id, request.seq)
        return {"conversation_id": request.conversation_id, "seq": seq}

    async def _draft(self, session: Session, request: events.DraftUpdate) -> dict[str, Any]:
        rev = await self._log.save_draft(request.conversation_id, session.user_id, session.device_id, request.text)
        return {"conversation_id": request.conversation_id, "rev": rev}

    async def _typing(self, session: Session, request: events.TypingUpdate) -> dict[str, Any]:
        if not self._fanout.follows(session.sid, request.conversation_id):
            raise Refused(ErrorCode.NOT_A_MEMBER, "this session does not follow the conversation; join it first")
        typing = {
            "conversation_id": request.conversation_id,
            "user_id": session.user_id,
            "device_id": session.device_id,
            "typing": request.typing,
        }
        await self._bus.emit(ServerEvent.TYPING_UPDATED, typing, room=conversation_room(request.conversation_id))
        return {}

    async def _sync(self, session: Session, request: events.SessionSync) -> dict[str, Any]:
        budget = MAX_PAGE_BYTES
        results: dict[str, Any] = {}
        for conversation_id, position in request.positions.items():
            try:
                result = await self._catch_up.follow(
                    session,
                    conversation_id,
                    position.to_position() if position else None,
                    max(budget, _MIN_SYNC_BYTES),
                )
            except Refused as exc:
                results[conversation_id] = {"error": exc.to_wire()}
                continue
            budget -= sum(len(str(envelope)) for envelope in result["entries"])
            results[conversation_id] = result
        return {"conversations": results}

    # Telling

    async def _tell_user(self, user_id: str, conversation_id: str, change: str, title: str, by: Session) -> None:
        news = {
            "conversation_id": conversation_id,
            "change": change,
            "title": title,
            "by": by.user_id,
            "device_id": by.device_id,
        }
        await self._bus.emit(ServerEvent.CONVERSATION_UPDATED, news, room=user_room(user_id))

    async def _tell_invited(self, conversation_id: str, user_ids: list[str], title: str, by: Session) -> None:
        for user_id in user_ids:
            await self._tell_user(user_id, conversation_id, "invited", title, by)

    def _stopped_following(self, sid: str, conversation_id: str) -> None:
        session = self._sessions.get(sid)
        if session is not None:
            session.following.discard(conversation_id)
