"""Claims: which user a token, or what an application says in its place, stands for."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import jwt

from sio_server.protocol.events import USER_ID_PATTERN
from sio_server.protocol.names import clean_name
from sio_server.protocol.run import RESERVED_PREFIXES

CLOCK_SKEW_S = 60  # how far ahead of Redis' clock the issuer of a token may be
MAX_TIME = 2**53 - 1  # of a claim, in seconds or milliseconds: what every JSON number holds exactly
MAX_CLAIMS_BYTES = 4096  # of JSON: the claims that graphs are told
MAX_NAME = 200  # characters of a name that are kept
GUEST = "roomgraph_guest"  # the claim of a guest's token: the device that got it, or ""; only these are renewed
OPERATOR = ("roomgraph_role", "operator")  # the claim that makes a user an operator, and its value

_USER_ID = re.compile(USER_ID_PATTERN)


@dataclass(frozen=True)
class Identity:
    """The user a token stands for; `expires_at` in seconds since 1970, `issued_ms` in milliseconds."""

    user_id: str
    name: str
    expires_at: int
    issued_ms: int | None = None
    claims: Mapping[str, Any] = field(default_factory=dict)  # those that graphs are told
    is_operator: bool = False
    guest_device: str | None = None  # the device that got a guest's token, "" for none; None: no guest's


class ClaimRules:
    """What the claims of a user must be like, and which of them are kept.

    `now` returns the time in seconds since 1970. `told`: the names of the claims that graphs are told.
    `operator`: the name and the value of the claim that makes a user an operator; the claim may also be a list
    with the value in it.
    """

    def __init__(
        self, now: Callable[[], float], told: Sequence[str] = (), operator: tuple[str, str] = OPERATOR
    ) -> None:
        self.now = now
        self._told_claims = told
        self._operator_claim, self._operator_value = operator

    def identity(self, claims: Mapping[str, Any]) -> Identity:
        """The user that claims stand for. Raises jwt.InvalidTokenError, or an error of Python's for odd JSON."""
        now = self.now()
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
        return Identity(
            user_id,
            name or user_id,
            int(expires_at),
            issued_ms,
            self._told(claims),
            is_operator=self._is_operator(claims),
            guest_device=device if isinstance(device := claims.get(GUEST), str) else None,
        )

    def _told(self, claims: Mapping[str, Any]) -> dict[str, Any]:
        """The claims that graphs are told: plain JSON of a bounded size."""
        if not self._told_claims:
            return {}
        told = {name: claims[name] for name in self._told_claims if name in claims}
        if len(json.dumps(told, ensure_ascii=False, allow_nan=False).encode()) > MAX_CLAIMS_BYTES:
            raise jwt.InvalidTokenError(
                f"{', '.join(told)}: these claims are longer than {MAX_CLAIMS_BYTES} bytes of JSON"
            )
        return told

    def _is_operator(self, claims: Mapping[str, Any]) -> bool:
        claimed = claims.get(self._operator_claim)
        return claimed == self._operator_value or (isinstance(claimed, list) and self._operator_value in claimed)


def _time(claims: Mapping[str, Any], name: str) -> float:
    """A claim that is a time: a finite JSON number of seconds since 1970 (RFC 7519, NumericDate)."""
    value = claims[name]
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= MAX_TIME:
        raise jwt.InvalidTokenError(f"{name} must be a number of seconds since 1970")
    return value


def _issued_ms(claims: Mapping[str, Any]) -> int | None:
    """When the token was issued, in milliseconds; None when it does not say.

    Of a time in whole seconds it is the beginning of the second, so that no token passes for newer than it is.
    """
    fine = claims.get("iat_ms")
    if isinstance(fine, int) and not isinstance(fine, bool):
        if not 0 <= fine <= MAX_TIME:
            raise jwt.InvalidTokenError("iat_ms must be a number of milliseconds since 1970")
        return fine
    return int(_time(claims, "iat") * 1000) if "iat" in claims else None
