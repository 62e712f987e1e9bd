"""Tokens: issued and checked with secrets, or checked with the keys of another issuer."""

from __future__ import annotations

import re
import secrets
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jwt

from sio_server.gateway.sessions.claims import OPERATOR, ClaimRules, Identity
from sio_server.protocol.errors import ErrorCode, Refused
from sio_server.protocol.events import USER_ID_PATTERN
from sio_server.protocol.run import RESERVED_PREFIXES

ALGORITHM = "HS256"

# What the library raises for what it does not expect: nested too deep, a number out of range, not Unicode.
UNREADABLE = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError)


_OPTIONS: Any = {
    "require": ["sub", "aud", "exp"],
    # The library knows this machine's clock only.
    **dict.fromkeys(("verify_exp", "verify_iat", "verify_nbf"), False),
}


class ForeignToken(Refused):
    """A token that is signed with none of the keys with which it was checked."""

    def __init__(self, message: str) -> None:
        super().__init__(ErrorCode.TOKEN_INVALID, message)


class Tokens:
    """Issues HS256 tokens for one audience; checks those, and such as are signed with a key that it is given.

    `now` returns the time in seconds since 1970: a node passes Redis' clock, so that its own may be wrong.
    """

    def __init__(
        self,
        secret: str,
        audience: str,
        now: Callable[[], float] = time.time,
        claims: Sequence[str] = (),
        *,
        older: Sequence[str] = (),
        issuer: str = "",
        operator: tuple[str, str] = OPERATOR,
    ) -> None:
        """`secret` signs the tokens that are issued; those that are signed with one of `older` are accepted, too.

        Without a secret no token is signed with one. `claims`: the names of those that graphs are told.
        `issuer`: if given, all tokens must name it (`iss`). `operator`: see ClaimRules.
        """
        self._secret = secret
        self._keys = [_secret_key(one) for one in (secret, *older) if one]
        self._audience = audience
        self._issuer = issuer or None
        self._operator = operator
        self._rules = ClaimRules(now, claims, operator)
        self._now = now

    @property
    def has_secret(self) -> bool:
        """Whether tokens that are signed with a secret are accepted."""
        return bool(self._keys)

    def issue(
        self,
        user_id: str,
        name: str,
        ttl_s: int,
        *,
        operator: bool = False,
        more: Mapping[str, Any] | None = None,
    ) -> str:
        """A token for a user, valid for `ttl_s` seconds. Raises Refused for an id that cannot be one.

        `more`: claims that it has besides; none of the others is replaced.
        """
        if not self._secret:
            raise Refused(ErrorCode.NOT_ALLOWED, "this server issues no tokens: AUTH_SECRET is not set")
        if not re.fullmatch(USER_ID_PATTERN, user_id) or user_id.startswith(RESERVED_PREFIXES):
            raise Refused(
                ErrorCode.INVALID_PAYLOAD,
                f"{user_id!r} cannot be a user id: use 1 to 128 letters, digits or ._@+:|~-, "
                f"beginning with a letter or digit, and not with {' or '.join(map(repr, RESERVED_PREFIXES))}",
            )
        now_ms = int(self._now() * 1000)
        now = now_ms // 1000
        claims = {**(more or {}), "sub": user_id, "name": name, "aud": self._audience, "iat": now}
        claims["exp"] = now + ttl_s
        # A sign-out and the next token may fall into one second.
        claims["iat_ms"] = now_ms
        if self._issuer is not None:
            claims["iss"] = self._issuer
        if operator:
            claim, value = self._operator
            claims[claim] = value
        return jwt.encode(claims, self._secret, algorithm=ALGORITHM)

    def check(self, token: str) -> Identity:
        """The user of a token that is signed with one of the secrets.

        Raises Refused with `token_missing`, `token_expired` or `token_invalid`, and nothing else, whatever the
        token holds.
        """
        if not token:
            raise Refused(ErrorCode.TOKEN_MISSING, "no token: put one into the handshake's auth as `token`")
        return self.check_with(self._keys, token)

    def check_with(self, keys: Sequence[jwt.PyJWK], token: str) -> Identity:
        """The user of a token that is signed with one of these keys. Raises as `check` does."""
        return self._identity(lambda: self._claims(keys, token), keys)

    def identity(self, claims: Mapping[str, Any]) -> Identity:
        """The user that claims stand for which need no signature. Raises as `check` does."""
        return self._identity(lambda: claims)

    def _identity(self, read: Callable[[], Mapping[str, Any]], keys: Sequence[jwt.PyJWK] = ()) -> Identity:
        try:
            return self._rules.identity(read())
        except jwt.ExpiredSignatureError:
            raise Refused(ErrorCode.TOKEN_EXPIRED, "the token has expired: get a new one") from None
        except jwt.InvalidAudienceError:
            raise Refused(ErrorCode.TOKEN_INVALID, "the token is for another audience") from None
        except jwt.InvalidIssuerError:
            raise Refused(ErrorCode.TOKEN_INVALID, "the token is from another issuer") from None
        except jwt.InvalidAlgorithmError:
            algorithms = " or ".join(dict.fromkeys(str(key.algorithm_name) for key in keys))
            raise ForeignToken(f"the token is not signed with {algorithms}") from None
        except jwt.InvalidSignatureError as exc:
            raise ForeignToken(f"the token is not valid: {exc}") from None
        except jwt.InvalidTokenError as exc:
            raise Refused(ErrorCode.TOKEN_INVALID, f"the token is not valid: {exc}") from None
        except UNREADABLE:
            raise Refused(ErrorCode.TOKEN_INVALID, "the token is not valid: it cannot be read") from None

    def _claims(self, keys: Sequence[jwt.PyJWK], token: str) -> dict[str, Any]:
        if not keys:
            raise jwt.InvalidTokenError("this server accepts no tokens that are signed with a secret")
        for key in keys[:-1]:
            try:
                return self._claims_by(key, token)
            except (jwt.InvalidSignatureError, jwt.InvalidAlgorithmError):
                continue
        return self._claims_by(keys[-1], token)

    def _claims_by(self, key: jwt.PyJWK, token: str) -> dict[str, Any]:
        claims: dict[str, Any] = jwt.decode(
            token,
            key,
            # That of the key: a token's own header must not choose ("none").
            algorithms=(key.algorithm_name,),
            audience=self._audience,
            issuer=self._issuer,
            options=_OPTIONS,
        )
        return claims


def _secret_key(secret: str) -> jwt.PyJWK:
    # As the library takes it: it would look at the form of a string again for each token.
    return jwt.PyJWK.from_dict(
        {"kty": "oct", "alg": ALGORITHM, "k": urlsafe_b64encode(secret.encode()).decode().rstrip("=")}
    )


def guest_user_id(name: str) -> str:
    """A new user id for a guest: readable, and not in use."""
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:24] or "guest"
    return f"{slug}-{secrets.token_hex(4)}"
