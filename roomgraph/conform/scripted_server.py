"""A Socket.IO server that does what a script says: it holds back answers, repeats events, leaves some out."""

from __future__ import annotations

import asyncio
import logging
import secrets
from dataclasses import dataclass, field
from typing import Any

import socketio
from aiohttp import web
from pydantic import ValidationError

from roomgraph.conform.report import Broken
from roomgraph.conform.scripted_room import ROOM, TS, Event, ScriptedRoom
from sio_server.protocol.events import REQUESTS, ClientEvent

FOLLOWING = (ClientEvent.CONVERSATION_JOIN, ClientEvent.SESSION_SYNC)
QUIET_S = 0.3  # a client that has a reason to ask does so within this time

_quiet = logging.getLogger(f"{__name__}.engine")
_quiet.setLevel(logging.CRITICAL)


@dataclass
class Asked:
    """A client asks to follow the conversation; its answer is up to the script."""

    request: str
    payload: dict[str, Any]
    acked: asyncio.Future[dict[str, Any]] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )

    @property
    def position(self) -> dict[str, Any] | None:
        if self.request == ClientEvent.CONVERSATION_JOIN:
            return self.payload.get("position")
        return (self.payload["positions"] or {}).get(ROOM)

    def answer(self, result: dict[str, Any]) -> None:
        if self.acked.done():
            return  # its connection is gone
        if self.request == ClientEvent.CONVERSATION_JOIN:
            self.acked.set_result({"ok": True, "joined": False, **result})
        else:
            self.acked.set_result({"ok": True, "conversations": {ROOM: result}, "next": None})


class ScriptedServer:
    """One conversation, told to every client that connects. Any token is accepted."""

    def __init__(self, patience_s: float = 15.0) -> None:
        """`patience_s`: within this time a client connects again, and asks for what it must ask for."""
        self.patience_s = patience_s
        self.room = ScriptedRoom()
        self.asked: asyncio.Queue[Asked] = asyncio.Queue()
        self.sent: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.connected: asyncio.Queue[str] = asyncio.Queue()
        self.faults: list[str] = []
        self.cut_next_send = False
        self._sids: set[str] = set()
        self._acks: dict[str, dict[str, Any]] = {}  # of messages, by request_id
        self._sio = socketio.AsyncServer(
            async_mode="aiohttp",
            cors_allowed_origins="*",
            always_connect=True,
            ping_interval=4,
            ping_timeout=4,
            engineio_logger=_quiet,
        )
        self._sio.on("connect", self._on_connect)
        self._sio.on("disconnect", self._on_disconnect)
        self._sio.on("*", self._on_request)
        self._runner: web.AppRunner | None = None

    async def start(self, port: int = 0) -> str:
        """Listen on this machine; return the address."""
        app = web.Application()
        app.router.add_post("/api/guest", self._guest)
        self._sio.attach(app)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", port)
        await site.start()
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        """Close all connections."""
        await self.cut()
        await self._sio.shutdown()
        if self._runner is not None:
            await self._runner.cleanup()

    async def emit(self, *events: Event) -> None:
        """Send events to all clients, in this order."""
        for name, payload in events:
            for sid in list(self._sids):
                await self._sio.emit(name, payload, to=sid)

    async def cut(self) -> None:
        """End all connections without notice."""
        for sid in list(self._sids):
            eio_sid = self._sio.manager.eio_sid_from_sid(sid, "/")
            self._sids.discard(sid)
            if eio_sid in self._sio.eio.sockets:
                await self._sio.eio.disconnect(eio_sid)

    async def next_ask(self, what: str) -> Asked:
        """The next request to follow the conversation."""
        try:
            return await asyncio.wait_for(self.asked.get(), self.patience_s)
        except TimeoutError:
            raise Broken(f"no sync within {self.patience_s:g} s: {what}") from None

    async def quiet(self, what: str) -> None:
        """Nothing is asked for now."""
        await asyncio.sleep(QUIET_S)
        if not self.asked.empty():
            raise Broken(f"it asked for a sync from {self.asked.get_nowait().position}: {what}")

    async def answer_all(self) -> None:
        """Answer what is asked for now, if anything is."""
        await asyncio.sleep(QUIET_S)
        self._answer_asked()

    async def level(self) -> None:
        """Bring a client into step, on a new connection."""
        await self.cut()
        for queue in (self.asked, self.sent):
            while not queue.empty():
                queue.get_nowait()
        self.answer(await self.next_ask("after each connect"))
        self._answer_asked()

    def _answer_asked(self) -> None:
        while not self.asked.empty():
            self.answer(self.asked.get_nowait())

    def answer(self, asked: Asked) -> None:
        """Answer with the conversation as it is now."""
        asked.answer(self.room.result(asked.position))

    async def _guest(self, request: web.Request) -> web.Response:
        token = {"user_id": "me", "name": "Me", "token": secrets.token_hex(8), "expires_in": 3600}
        return web.json_response(token)

    async def _on_connect(self, sid: str, environ: Any, auth: Any = None) -> None:
        self._sids.add(sid)
        device = {"device_id": (auth or {}).get("device_id") or "device"}
        opened = {
            **{"v": 2, "session_id": sid, "user_id": "me", "name": "Me", **device, "node": "script", "nodes": []},
            **{"graphs": ["script"], "devices": [], "last_end": None, "features": ["guests"]},
            "server": {"name": "script", "version": "0"},
            "limits": {},
            "from_a_later_version": True,
        }
        await self._sio.emit("session:opened", opened, to=sid)
        self.connected.put_nowait(sid)

    async def _on_disconnect(self, sid: str, reason: Any = None) -> None:
        self._sids.discard(sid)

    async def _on_request(self, request: str, sid: str, payload: Any = None) -> Any:
        try:
            REQUESTS[ClientEvent(request)].model_validate(payload)
        except (ValidationError, ValueError) as exc:
            self.faults.append(f"{request}: {exc}"[:300])
            return _refusal("invalid_payload")
        if request in FOLLOWING:
            asked = Asked(request, payload)
            self.asked.put_nowait(asked)
            return await asked.acked
        if request == ClientEvent.MESSAGE_SEND:
            return await self._on_message(payload)
        if request == ClientEvent.CONVERSATION_CREATE:
            return _refusal("conversation_exists")
        if request == ClientEvent.HISTORY_READ:
            page = self.room.entries[payload.get("after") or 0 :]
            bounds = {"epoch": self.room.epoch, "first": 1, "head": len(self.room.entries)}
            return {"ok": True, "conversation_id": ROOM, **bounds, "entries": page}
        empty = {"conversation_id": ROOM, "members": [], "marks": {}, "devices": [], "rev": 1}
        lists: dict[str, Any] = {"conversations": [], "next": None, "complete": True, "left": [], "cursor": None}
        return {"ok": True, **empty, **lists}

    async def _on_message(self, payload: dict[str, Any]) -> Any:
        request_id = payload["request_id"]
        if request_id not in self._acks:
            self.sent.put_nowait(payload)
            if self.cut_next_send:
                self.cut_next_send = False
                await self.cut()
                return None
            seq = len(self.room.entries) + 1
            data = {"role": "user", "user_id": "me", "name": "Me", "device_id": "device"}
            event = self.room.entry(
                "message", {**data, "request_id": request_id, "text": payload["text"]}, turn_id=seq
            )
            placed = {"conversation_id": ROOM, "epoch": self.room.epoch, "seq": seq, "ts": TS, "run_id": None}
            self._acks[request_id] = {"ok": True, **placed}
            await self.emit(event)
        return self._acks[request_id]


def _refusal(code: str) -> dict[str, Any]:
    return {"ok": False, "error": {"code": code, "message": code, "retryable": False}}
