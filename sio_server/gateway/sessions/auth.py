"""Tokens: which user a connection belongs to."""

from __future__ import annotations

import json
import re
import secrets
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import jwt

from sio_server.protocol.errors import ErrorCode, Refused
from sio_server.protocol.events import USER_ID_PATTERN
from sio_server.protocol.names import clean_name
from sio_server.protocol.run import RESERVED_PREFIXES

ALGORITHM = "HS256"
CLOCK_SKEW_S = 60  # how far ahead of Redis' clock the issuer of a token may be
MAX_TIME = 2**53 - 1  # of a claim, in seconds or milliseconds: what every JSON number holds exactly
MAX_CLAIMS_BYTES = 4096  # of JSON: the claims that graphs are told
MAX_NAME = 200  # characters of a name that are kept

_USER_ID = re.compile(USER_ID_PATTERN)

# What the library raises for what it does not expect: nested too deep, a number out of range, not Unicode.
_UNREADABLE = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError)


@dataclass(frozen=True)
class Identity:
    """The user a token stands for; `expires_at` in seconds since 1970, `issued_ms` in milliseconds."""

    user_id: str
    name: str
    expires_at: int
    issued_ms: int | None = None
    claims: Mapping[str, Any] = field(default_factory=dict)  # those that graphs are told


class Tokens:
    """Issues and checks HS256 tokens for one audience.

    `now` returns the time in seconds since 1970: a node passes Redis' clock, so that its own may be wrong.
    """

    def __init__(
        self, secret: str, audience: str, now: Callable[[], float] = time.time, claims: Sequence[str] = ()
    ) -> None:
        """`claims`: the names of those that graphs are told."""
        self._secret = secret
        # As the library takes it: it would look at the form of a string again for each token.
        key = {"kty": "oct", "alg": ALGORITHM, "k": urlsafe_b64encode(secret.encode()).decode().rstrip("=")}
        self._key = jwt.PyJWK.from_dict(key)
        self._audience = audience
        self._now = now
        self._told_claims = claims

    def issue(self, user_id: str, name: str, ttl_s: int) -> str:
        """A token for a user, valid for `ttl_s` seconds. Raises Refused for an id that cannot be one."""
        if not re.fullmatch(USER_ID_PATTERN, user_id) or user_id.startswith(RESERVED_PREFIXES):
            raise Refused(
                ErrorCode.INVALID_PAYLOAD,
                f"{user_id!r} cannot be a user id: use 1 to 128 letters, digits or ._@+:|~-, "
                f"beginning with a letter or digit, and not with {' or '.join(map(repr, RESERVED_PREFIXES))}",
            )
        now_ms = int(self._now() * 1000)
        now = now_ms // 1000
        claims = {"sub": user_id, "name": name, "aud": self._audience, "iat": now, "exp": now + ttl_s}
        # A sign-out and the next token may fall into one second.
        claims["iat_ms"] = now_ms
        return jwt.encode(claims, self._secret, algorithm=ALGORITHM)

    def check(self, token: str) -> Identity:
        """The user of a token.

        Raises Refused with `token_missing`, `token_expired` or `token_invalid`, and nothing else, whatever the
        token holds.
        """
        if not token:
            raise Refused(ErrorCode.TOKEN_MISSING, "no token: put one into the handshake's auth as `token`")
        try:
            return self._identity(self._claims(token))
        except jwt.ExpiredSignatureError:
            raise Refused(ErrorCode.TOKEN_EXPIRED, "the token has expired: get a new one") from None
        except jwt.InvalidAudienceError:
            raise Refused(ErrorCode.TOKEN_INVALID, "the token is for another audience") from None
        except jwt.InvalidAlgorithmError:
            raise Refused(ErrorCode.TOKEN_INVALID, "the token is not signed with HS256") from None
        except jwt.InvalidTokenError as exc:
            raise Refused(ErrorCode.TOKEN_INVALID, f"the token is not valid: {exc}") from None
        except _UNREADABLE:
            raise Refused(ErrorCode.TOKEN_INVALID, "the token is not valid: it cannot be read") from None

    def _claims(self, token: str) -> dict[str, Any]:
        # The list of algorithms is fixed here: a token's own header must not choose ("none").
        claims: dict[str, Any] = jwt.decode(
            token,
            self._key,
            algorithms=[ALGORITHM],
            audience=self._audience,
            options={  # type: ignore[arg-type]
                "require": ["sub", "aud", "exp"],
                # The library knows this machine's clock only.
                **dict.fromkeys(("verify_exp", "verify_iat", "verify_nbf"), False),
            },
        )
        return claims

    def _identity(self, claims: dict[str, Any]) -> Identity:
        now = self._now()
        expires_at = _time(claims, "exp")
        not_before: dict[str, float] = {}
        for name in ("iat", "nbf"):
            if name in claims:
                not_before[name] = _time(claims, name)
        if expires_at <= now:
            raise jwt.ExpiredSignatureError
        issued_ms = _issued_ms(claims)
        if issued_ms is not None:
            not_before["iat_ms"] = issued_ms / 1000
        for claim, at in not_before.items():
            if at > now + CLOCK_SKEW_S:
                raise jwt.ImmatureSignatureError(f"it is not valid yet ({claim})")
        user_id = claims["sub"]
        if not isinstance(user_id, str) or not _USER_ID.fullmatch(user_id):
            raise jwt.InvalidTokenError("sub is not a user id")
        if user_id.startswith(RESERVED_PREFIXES):
            prefix = user_id.partition(":")[0]
            raise jwt.InvalidTokenError(f"user ids that begin with '{prefix}:' belong to {prefix}s")
        # Half of a surrogate pair, which a `slice` in JavaScript leaves, could not be stored or sent on.
        name = clean_name(str(claims.get("name") or "")[:MAX_NAME])
        return Identity(user_id, name or user_id, int(expires_at), issued_ms, self._told(claims))

    def _told(self, claims: dict[str, Any]) -> dict[str, Any]:
        """The claims that graphs are told: plain JSON of a bounded size."""
        if not self._told_claims:
            return {}
        told = {name: claims[name] for name in self._told_claims if name in claims}
        if len(json.dumps(told, ensure_ascii=False, allow_nan=False).encode()) > MAX_CLAIMS_BYTES:
            raise jwt.InvalidTokenError(
                f"{', '.join(told)}: these claims are longer than {MAX_CLAIMS_BYTES} bytes of JSON"
            )
        return told


def _time(claims: dict[str, Any], name: str) -> float:
    """A claim that is a time: a finite JSON number of seconds since 1970 (RFC 7519, NumericDate)."""
    value = claims[name]
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= MAX_TIME:
        raise jwt.InvalidTokenError(f"{name} must be a number of seconds since 1970")
    return value


def _issued_ms(claims: dict[str, Any]) -> int | None:
    """When the token was issued, in milliseconds; None when it does not say.

    Of a time in whole seconds it is the beginning of the second, so that no token passes for newer than it is.
    """
    fine = claims.get("iat_ms")
    if isinstance(fine, int) and not isinstance(fine, bool):
        if not 0 <= fine <= MAX_TIME:
            raise jwt.InvalidTokenError("iat_ms must be a number of milliseconds since 1970")
        return fine
    return int(_time(claims, "iat") * 1000) if "iat" in claims else None


def guest_user_id(name: str) -> str:
    """A new user id for a guest: readable, and not in use."""
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:24] or "guest"
    return f"{slug}-{secrets.token_hex(4)}"
