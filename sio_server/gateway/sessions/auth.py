"""Tokens: who a connection belongs to."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jwt

from sio_server.protocol.errors import ErrorCode, Refused
from sio_server.protocol.events import USER_ID_PATTERN
from sio_server.protocol.run import AGENT_PREFIX

ALGORITHM = "HS256"
CLOCKS_APART_S = 60  # who issues tokens may be so much ahead of Redis


@dataclass(frozen=True)
class Identity:
    """The user a token stands for; `expires_at` in seconds since 1970, `issued_ms` in milliseconds."""

    user_id: str
    name: str
    expires_at: int
    issued_ms: int | None = None


class Tokens:
    """Issues and checks HS256 tokens for one audience.

    `now` tells the time: a node gives Redis' clock, so that its own clock may be wrong.
    """

    def __init__(self, secret: str, audience: str, now: Callable[[], float] = time.time) -> None:
        self._secret = secret
        self._audience = audience
        self._now = now

    def issue(self, user_id: str, name: str, ttl_s: int) -> str:
        """A token for a user, valid for `ttl_s` seconds. Raises Refused for an id that cannot be one."""
        if not re.fullmatch(USER_ID_PATTERN, user_id) or user_id.startswith(AGENT_PREFIX):
            raise Refused(
                ErrorCode.INVALID_PAYLOAD,
                f"{user_id!r} cannot be a user id: use letters, digits and ._@+:|~- (at most 128), "
                f"beginning with a letter or digit, and not with {AGENT_PREFIX!r}",
            )
        now_ms = int(self._now() * 1000)
        now = now_ms // 1000
        claims = {"sub": user_id, "name": name, "aud": self._audience, "iat": now, "exp": now + ttl_s}
        # A sign-out and the next token may fall into one second.
        claims["iat_ms"] = now_ms
        return jwt.encode(claims, self._secret, algorithm=ALGORITHM)

    def check(self, token: str) -> Identity:
        """The user of a token; raises Refused with `token_missing`, `token_expired` or `token_invalid`."""
        if not token:
            raise Refused(ErrorCode.TOKEN_MISSING, "no token: put one into the handshake's auth as `token`")
        try:
            # The list of algorithms is fixed here: a token's own header must not choose ("none").
            claims = jwt.decode(
                token,
                self._secret,
                algorithms=[ALGORITHM],
                audience=self._audience,
                options={  # type: ignore[arg-type]
                    "require": ["sub", "aud", "exp"],
                    # The library knows this machine's clock only.
                    **dict.fromkeys(("verify_exp", "verify_iat", "verify_nbf"), False),
                },
            )
            self._check_times(claims)
        except jwt.ExpiredSignatureError:
            raise Refused(ErrorCode.TOKEN_EXPIRED, "the token has expired: get a new one") from None
        except jwt.InvalidAudienceError:
            raise Refused(ErrorCode.TOKEN_INVALID, "the token is for another audience") from None
        except jwt.InvalidAlgorithmError:
            raise Refused(ErrorCode.TOKEN_INVALID, "the token is not signed with HS256") from None
        except jwt.InvalidTokenError as exc:
            raise Refused(ErrorCode.TOKEN_INVALID, f"the token is not valid: {exc}") from None
        except ValueError:
            # Half a surrogate pair, which JSON can carry and the library cannot encode.
            raise Refused(ErrorCode.TOKEN_INVALID, "the token is not valid: not Unicode") from None
        user_id, name = claims["sub"], claims.get("name")
        if not isinstance(user_id, str) or not re.fullmatch(USER_ID_PATTERN, user_id):
            raise Refused(ErrorCode.TOKEN_INVALID, "the token's user id (sub) is not one")
        if user_id.startswith(AGENT_PREFIX):
            raise Refused(ErrorCode.TOKEN_INVALID, f"user ids beginning with {AGENT_PREFIX!r} belong to agents")
        return Identity(user_id, str(name)[:200] if name else user_id, int(claims["exp"]), _issued_ms(claims))

    def _check_times(self, claims: dict[str, Any]) -> None:
        """Raise the library's errors, as it would with this clock."""
        times: dict[str, int] = {}
        for name in ("exp", "iat", "nbf"):
            if name in claims:
                try:
                    times[name] = int(claims[name])
                except (TypeError, ValueError, OverflowError):
                    raise jwt.InvalidTokenError(f"{name} must be a number") from None
        now = self._now()
        if times["exp"] <= now:
            raise jwt.ExpiredSignatureError
        for name in ("iat", "nbf"):
            if times.get(name, now) > now + CLOCKS_APART_S:
                raise jwt.ImmatureSignatureError(f"it is not valid yet ({name})")


def _issued_ms(claims: dict[str, Any]) -> int | None:
    """When the token was issued; of a whole second its beginning, so that none passes for newer than it is."""
    fine = claims.get("iat_ms")
    if isinstance(fine, int) and not isinstance(fine, bool):
        return fine
    return int(float(claims["iat"]) * 1000) if "iat" in claims else None


def guest_user_id(name: str) -> str:
    """A new user id for a guest: readable, and nobody else's."""
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:24] or "guest"
    return f"{slug}-{secrets.token_hex(4)}"
