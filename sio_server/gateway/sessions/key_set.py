"""The public keys of an issuer of tokens (JWKS): those with which a token may be signed here, by their ids."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any

import jwt

log = logging.getLogger(__name__)

# Which algorithm a key is for is said here and by the key, never by a token. A symmetric key that can be fetched
# is no secret, and shorter RSA keys can be broken.
ALGORITHMS = {"RSA": "RS256", "EC": "ES256"}
CURVE = "P-256"
MIN_RSA_BITS = 2048
MAX_KEYS = 100


class NoKeys(Exception):
    """What was fetched holds no key with which tokens can be checked; the message is for operators."""


class KeySet:
    """The keys of one moment."""

    def __init__(self, keys: Mapping[str, jwt.PyJWK]) -> None:
        self._keys = dict(keys)

    def __len__(self) -> int:
        return len(self._keys)

    def find(self, key_id: str | None) -> jwt.PyJWK | None:
        """The key with this id; of a token that names none, the only key that there is."""
        if key_id is not None:
            return self._keys.get(key_id)
        return next(iter(self._keys.values())) if len(self._keys) == 1 else None


def parse_key_set(text: bytes) -> KeySet:
    """The keys of a JWKS that sign tokens with RS256 or ES256. Raises NoKeys."""
    try:
        listed = json.loads(text)["keys"]
    except (ValueError, LookupError, TypeError, RecursionError):
        raise NoKeys("it is not a JSON Web Key Set") from None
    if not isinstance(listed, list):
        raise NoKeys("it is not a JSON Web Key Set")
    keys: dict[str, jwt.PyJWK] = {}
    reasons: list[str] = []
    for number, listed_key in enumerate(listed[:MAX_KEYS]):
        try:
            key = _public_key(listed_key)
            key_id = listed_key.get("kid")
            keys[key_id if isinstance(key_id, str) else f"(without id) {number}"] = key
        except NoKeys as exc:
            reasons.append(f"key {number}: {exc}")
    if reasons:
        log.debug("keys of the issuer that are not used: %s", "; ".join(reasons))
    if not keys:
        raise NoKeys("; ".join(reasons) or "it has no keys")
    return KeySet(keys)


def _public_key(listed: Any) -> jwt.PyJWK:
    if not isinstance(listed, dict):
        raise NoKeys("no object")
    algorithm = ALGORITHMS.get(str(listed.get("kty")))
    if algorithm is None or listed.get("alg", algorithm) != algorithm:
        raise NoKeys(f"for {listed.get('alg') or listed.get('kty')}, not RS256 or ES256")
    if algorithm == "ES256" and listed.get("crv") != CURVE:
        raise NoKeys(f"on the curve {listed.get('crv')}, not {CURVE}")
    operations = listed.get("key_ops")
    if listed.get("use", "sig") != "sig" or (isinstance(operations, list) and "verify" not in operations):
        raise NoKeys("not for signatures")
    # Its public part: a private key that was published by mistake is not kept here.
    public = {name: listed[name] for name in ("kty", "kid", "n", "e", "crv", "x", "y") if name in listed}
    try:
        key = jwt.PyJWK.from_dict(public, algorithm)
        bits = key.key.key_size
    except (jwt.PyJWTError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError) as exc:
        raise NoKeys(f"not a key ({type(exc).__name__})") from None
    if algorithm == "RS256" and bits < MIN_RSA_BITS:
        raise NoKeys(f"an RSA key of {bits} bits, fewer than {MIN_RSA_BITS}")
    return key
