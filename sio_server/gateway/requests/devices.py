"""Requests about the user's own devices: list, rename, link another one, sign out."""

from __future__ import annotations

import asyncio
from typing import Any

from sio_server.gateway.requests.identity import identify
from sio_server.gateway.sessions.session import Session
from sio_server.gateway.sessions.sign_out import SignOuts, signed_out
from sio_server.protocol import events
from sio_server.protocol.errors import ErrorCode, Refused
from sio_server.users.device_links import LINK_S, DeviceLink, DeviceLinks
from sio_server.users.devices import Devices
from sio_server.users.sign_out import RefusedTokens


class DeviceRequests:
    """The handlers of these events; each returns its ack."""

    def __init__(
        self, devices: Devices, links: DeviceLinks | None, refused_tokens: RefusedTokens, sign_outs: SignOuts
    ) -> None:
        """`links`: None where this server issues no tokens."""
        self._devices = devices
        self._links = links
        self._refused_tokens = refused_tokens
        self._sign_outs = sign_outs

    async def list(self, session: Session, request: events.DeviceList) -> dict[str, Any]:
        return {"devices": await self._devices.listed(session.user_id)}

    async def rename(self, session: Session, request: events.DeviceRename) -> dict[str, Any]:
        identity = identify(session, request)
        await self._devices.rename(session.sid, session.user_id, request.device_id, request.device_name, identity)
        return {"device_id": request.device_id, "device_name": request.device_name}

    async def link(self, session: Session, request: events.DeviceLink) -> dict[str, Any]:
        link = DeviceLink(session.name, session.expires_at, session.is_guest, session.claims)
        code = await self._known_links().make(session.sid, session.author, link, identify(session, request))
        return {"code": code, "expires_in": LINK_S}

    async def unlink(self, session: Session, request: events.DeviceUnlink) -> dict[str, Any]:
        links, identity = self._known_links(), identify(session, request)
        return {"withdrawn": await links.withdraw(session.sid, session.user_id, request.code, identity)}

    def _known_links(self) -> DeviceLinks:
        if self._links is None:
            raise Refused(ErrorCode.NOT_ALLOWED, "this server issues no tokens: AUTH_SECRET is not set")
        return self._links

    async def sign_out(self, session: Session, request: events.DeviceSignOut) -> dict[str, Any]:
        loop = asyncio.get_running_loop()
        itself = request.device_id == session.device_id
        if itself:
            session.acked = loop.create_future()
        try:
            count = await self._refused_tokens.sign_out(
                session.sid, session.author, request.device_id, identify(session, request)
            )
            if itself:  # at once: its next request may be here before the bus brings the news
                by = {"device_id": session.device_id, "device_name": session.device_name}
                self._sign_outs.end(session.sid, signed_out(by))
        finally:
            if session.acked is not None:
                # The ack is queued in this step of the loop, as the library does not pause in between: what
                # waits for it comes after.
                loop.call_soon(session.acked.cancel)
        return {"device_id": request.device_id, "sessions": count}
