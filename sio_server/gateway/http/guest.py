"""Tokens for guests: a name is enough, and the browser remembers whose it is."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

from aiohttp import hdrs, web
from pydantic import BaseModel, BeforeValidator, ConfigDict, StringConstraints, ValidationError

from sio_server.gateway.http.request_limits import RequestLimits
from sio_server.gateway.sessions.auth import Tokens, guest_user_id
from sio_server.gateway.sessions.claims import GUEST, Identity
from sio_server.gateway.sessions.limits import GUEST_HANDSHAKES
from sio_server.gateway.sessions.remembered_guests import RememberedGuests, devices_of
from sio_server.gateway.transport.origins import AllowedOrigins
from sio_server.protocol.errors import ErrorCode, Refused
from sio_server.protocol.events import Id
from sio_server.protocol.names import AgentNames, clean_name, hidden_character
from sio_server.protocol.validation import explain
from sio_server.users.sign_out import RefusedTokens

Body = TypeVar("Body", bound=BaseModel)


def _cleaned(name: Any) -> Any:
    if not isinstance(name, str):
        return name
    if hidden := hidden_character(name.strip()):
        raise ValueError(f"holds {hidden}, which shows nothing by itself: leave it out")
    return clean_name(name)


class GuestRequest(BaseModel):
    """The body of `POST /api/guest`. `device_id`: the device that asks, if a browser is to remember the guest."""

    model_config = ConfigDict(strict=True, extra="forbid")

    name: Annotated[str, BeforeValidator(_cleaned), StringConstraints(min_length=1, max_length=60)]
    device_id: Id | None = None


class RenewRequest(BaseModel):
    """The body of `POST /api/guest/renew`. Without a token of a guest it is the one whom the browser remembers."""

    model_config = ConfigDict(strict=True, extra="forbid")

    token: str = ""
    device_id: Id | None = None


class ForgetRequest(BaseModel):
    """The body of `POST /api/guest/forget`. `user_id`: only this guest; another tab may be another one."""

    model_config = ConfigDict(strict=True, extra="forbid")

    user_id: str = ""


class GuestTokens:
    """Issues tokens of guests, with what the browser is to keep of them."""

    def __init__(
        self, tokens: Tokens, remembered: RememberedGuests, *, allowed: bool, token_ttl_s: int, base_path: str = ""
    ) -> None:
        """`allowed`: whether this server takes guests."""
        self.tokens = tokens
        self.remembered = remembered
        self.allowed = allowed
        self._token_ttl_s = token_ttl_s
        # Without a BASE_PATH a proxy may have removed a prefix, which the browser's address has.
        self._cookie_path = f"{base_path}/api/guest" if base_path else "/"

    def require_guests(self) -> None:
        """Raise Refused if this server takes no guests."""
        if not self.allowed:
            raise Refused(ErrorCode.NOT_ALLOWED, "this server takes no guests: AUTH_MODE is not guest")

    def answer(
        self, request: web.Request, user_id: str, name: str, devices: list[str], **more: str
    ) -> web.Response:
        """`{user_id, name, token, expires_in}` with a new token of this guest; the browser keeps the guest.

        `devices`: which the browser was, with that which asks at the end.
        """
        token = self.tokens.issue(user_id, name, self._token_ttl_s, more={GUEST: devices[-1] if devices else ""})
        response = private(
            {"user_id": user_id, "name": name, "token": token, "expires_in": self._token_ttl_s, **more}
        )
        if self.remembered.kept_s:
            response.set_cookie(
                self.remembered.cookie,
                self.remembered.keep(user_id, name, devices),
                max_age=self.remembered.kept_s,
                path=self._cookie_path,
                httponly=True,
                samesite="Lax",
                # A browser tells the scheme as it sees it, also behind a proxy.
                secure=request.secure or request.headers.get(hdrs.ORIGIN, "").startswith("https:"),
            )
        return response

    async def kept(self, request: web.Request) -> Identity | None:
        """The guest whom the browser remembers. Raises Unavailable."""
        return await self.remembered.find(request.cookies.get(self.remembered.cookie, ""))

    def forget(self, response: web.Response) -> web.Response:
        """The same answer; the browser keeps no guest any more."""
        response.del_cookie(self.remembered.cookie, path=self._cookie_path, httponly=True, samesite="Lax")
        return response


class GuestRoutes:
    """`POST /api/guest`, and what a browser asks that remembers its guest."""

    def __init__(
        self,
        guests: GuestTokens,
        refused_tokens: RefusedTokens,
        request_limits: RequestLimits,
        origins: AllowedOrigins,
        agents: AgentNames,
    ) -> None:
        """A guest may not be called as one of `agents`."""
        self._guests = guests
        self._refused_tokens = refused_tokens
        self._request_limits = request_limits
        self._origins = origins
        self._agents = agents

    def routes(self) -> list[web.RouteDef]:
        """The routes."""
        return [
            web.post("/api/guest", self._issue),
            web.post("/api/guest/renew", self._renew),
            web.get("/api/guest/remembered", self._remembered),
            web.post("/api/guest/forget", self._forget),
        ]

    async def _issue(self, request: web.Request) -> web.Response:
        """Issue a token for a name: `{user_id, name, token, expires_in}`."""
        self._check(request, GUEST_HANDSHAKES)
        guest = await read_body(request, GuestRequest)
        if self._agents.include(guest.name):
            raise Refused(ErrorCode.INVALID_PAYLOAD, "name: the agent is called so; take another name")
        devices = [guest.device_id] if guest.device_id else []
        return self._guests.answer(request, guest_user_id(guest.name), guest.name, devices)

    async def _renew(self, request: web.Request) -> web.Response:
        """Issue another token of the same guest, whom a token names that has not expired, or the browser."""
        self._check(request)
        _require_json(request)
        asked = await read_body(request, RenewRequest)
        devices = [asked.device_id] if asked.device_id else []
        kept = await self._guests.kept(request)
        if asked.token:
            guest = self._guests.tokens.check(asked.token)
            if guest.guest_device is None:
                raise Refused(ErrorCode.NOT_ALLOWED, "this is no guest's token: its issuer gives you a new one")
        elif kept is not None:
            guest = kept
        else:
            raise Refused(ErrorCode.TOKEN_MISSING, "no guest is remembered here: send a token, or take a name")
        # Also for the device that got the token: it must not come back under another id.
        devices = [*filter(None, [guest.guest_device]), *devices]
        await self._refused_tokens.check(guest.user_id, guest.issued_ms, devices)
        if kept is not None and kept.user_id == guest.user_id:
            devices = [*devices_of(kept), *devices]
        return self._guests.answer(request, guest.user_id, guest.name, [*dict.fromkeys(devices[::-1])][::-1])

    async def _remembered(self, request: web.Request) -> web.Response:
        """Tell which guest the browser remembers, `{user_id, name}` or nulls, and whether guests are taken here.

        Every sign-in page asks. So nobody here is no error: browsers report each of those to developers.
        """
        self._origins.check(request)
        self._request_limits.count(request)
        guests = self._guests
        guest = await guests.kept(request) if guests.allowed else None
        known = {"user_id": guest.user_id, "name": guest.name} if guest else {"user_id": None, "name": None}
        return private({**known, "guests_allowed": guests.allowed, "kept_s": guests.remembered.kept_s})

    async def _forget(self, request: web.Request) -> web.Response:
        """Have the browser forget its guest."""
        self._check(request)
        _require_json(request)
        asked = await read_body(request, ForgetRequest)
        answer = private({"ok": True})
        kept = await self._guests.kept(request) if asked.user_id else None
        return answer if kept and kept.user_id != asked.user_id else self._guests.forget(answer)

    def _check(self, request: web.Request, cost: int = 1) -> None:
        self._guests.require_guests()
        # A browser sends cookies whatever page asks, and keeps those that it gets.
        self._origins.check(request)
        self._request_limits.count(request, cost)


def private(answer: dict[str, Any]) -> web.Response:
    """An answer that nothing on the way may keep."""
    return web.json_response(answer, headers={hdrs.CACHE_CONTROL: "no-store"})


async def read_body(request: web.Request, model: type[Body]) -> Body:
    """The body of a request. Raises Refused."""
    try:
        return model.model_validate_json(await request.text())
    except ValidationError as exc:
        raise explain(exc) from None
    except (ValueError, LookupError):  # not UTF-8, or a charset that does not exist
        raise Refused(ErrorCode.INVALID_PAYLOAD, "the body is not text in UTF-8") from None


def _require_json(request: web.Request) -> None:
    """A form of another site cannot send JSON, and a script that tries is asked for its origin first."""
    if request.content_type != "application/json":
        raise Refused(ErrorCode.INVALID_PAYLOAD, "send JSON, with Content-Type: application/json")
