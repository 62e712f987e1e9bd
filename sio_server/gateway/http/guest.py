"""Tokens for guests: a name is enough."""

from __future__ import annotations

from typing import Annotated, Any

from aiohttp import web
from pydantic import BaseModel, BeforeValidator, ConfigDict, StringConstraints, ValidationError

from sio_server.gateway.http.request_limits import RequestLimits
from sio_server.gateway.sessions.auth import Tokens, guest_user_id
from sio_server.gateway.sessions.limits import GUEST_HANDSHAKES
from sio_server.protocol.errors import ErrorCode, Refused
from sio_server.protocol.names import AgentNames, clean_name, hidden_character
from sio_server.protocol.validation import explain


def _cleaned(name: Any) -> Any:
    if not isinstance(name, str):
        return name
    if hidden := hidden_character(name.strip()):
        raise ValueError(f"holds {hidden}, which shows nothing by itself: leave it out")
    return clean_name(name)


class GuestRequest(BaseModel):
    """The body of `POST /api/guest`."""

    model_config = ConfigDict(strict=True, extra="forbid")

    name: Annotated[str, BeforeValidator(_cleaned), StringConstraints(min_length=1, max_length=60)]


class GuestRoutes:
    """`POST /api/guest`, which refuses unless `allowed`."""

    def __init__(
        self,
        tokens: Tokens,
        request_limits: RequestLimits,
        agents: AgentNames,
        *,
        allowed: bool,
        token_ttl_s: int,
    ) -> None:
        """A guest may not be called as one of `agents`."""
        self._tokens = tokens
        self._request_limits = request_limits
        self._agents = agents
        self._allowed = allowed
        self._token_ttl_s = token_ttl_s

    def routes(self) -> list[web.RouteDef]:
        """The route."""
        return [web.post("/api/guest", self._issue)]

    async def _issue(self, request: web.Request) -> web.Response:
        """Issue a token for a name: `{user_id, name, token, expires_in}`."""
        if not self._allowed:
            raise Refused(ErrorCode.NOT_ALLOWED, "this server takes no guests: AUTH_MODE is not guest")
        self._request_limits.count(request, GUEST_HANDSHAKES)
        try:
            guest = GuestRequest.model_validate_json(await request.text())
        except ValidationError as exc:
            raise explain(exc) from None
        except (ValueError, LookupError):  # not UTF-8, or a charset that does not exist
            raise Refused(ErrorCode.INVALID_PAYLOAD, "the body is not text in UTF-8") from None
        if self._agents.include(guest.name):
            raise Refused(ErrorCode.INVALID_PAYLOAD, "name: the agent is called so; take another name")
        user_id = guest_user_id(guest.name)
        token = self._tokens.issue(user_id, guest.name, self._token_ttl_s)
        answer = {"user_id": user_id, "name": guest.name, "token": token, "expires_in": self._token_ttl_s}
        return web.json_response(answer)
