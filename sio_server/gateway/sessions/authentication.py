"""Authentication: which user a token stands for, by the application, an issuer's keys, or the secrets."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from typing import Any

import jwt

from sio_server.gateway.sessions.auth import UNREADABLE, ForeignToken, Tokens
from sio_server.gateway.sessions.authenticate_hook import AuthenticateHook
from sio_server.gateway.sessions.claims import Identity
from sio_server.gateway.sessions.issuer_keys import IssuerKeys


class Authentication:
    """The one way from a token to a user, for handshakes and over HTTP."""

    def __init__(
        self,
        tokens: Tokens,
        *,
        keys: IssuerKeys | None = None,
        hook: AuthenticateHook | None = None,
        now: Callable[[], float],
    ) -> None:
        """`now` returns the time in seconds since 1970."""
        self._tokens = tokens
        self._keys = keys
        self._hook = hook
        self._now = now

    @property
    def needs_token(self) -> bool:
        """Whether a connection without a token is refused; an application may know its user by the headers."""
        return self._hook is None

    async def identify(self, token: str, headers: Mapping[str, str]) -> Identity:
        """The user of a token. Raises Refused with a code of tokens, or Unavailable, and nothing else."""
        if self._hook is not None:
            claims = await self._hook.claims(token, headers, self._now())
            if claims is not None:
                return self._tokens.identity(claims)
        if self._keys is None or not token:
            return self._tokens.check(token)
        return await self._by_keys(self._keys, token)

    async def _by_keys(self, keys: IssuerKeys, token: str) -> Identity:
        """A token names a key and nothing else about how it is checked: each key has its own algorithm."""
        key_id = _key_id(token)
        if key_id is not None and (key := keys.known(key_id)) is not None:
            return self._tokens.check_with([key], token)
        # It may be signed with a secret, which may have an id as well: the issuer is asked for keys only if not.
        if self._tokens.has_secret:
            with contextlib.suppress(ForeignToken):
                return self._tokens.check(token)
        return self._tokens.check_with([await keys.find(key_id)], token)


def _key_id(token: str) -> str | None:
    try:
        header: dict[str, Any] = jwt.get_unverified_header(token)
    except (jwt.InvalidTokenError, *UNREADABLE):
        return None
    key_id = header.get("kid")
    return key_id if isinstance(key_id, str) else None
