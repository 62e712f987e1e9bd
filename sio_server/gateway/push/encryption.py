"""Messages that only one browser can read (RFC 8291), and the signature of this server (RFC 8292).

The libraries come with the extra `push`.
"""

from __future__ import annotations

import base64
import binascii
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

TOKEN_S = 12 * 3600  # a signature may last a day at most
TOKEN_AGAIN_S = 6 * 3600
MAX_TOKENS = 100  # one for each push service


class NoPushLibraries(Exception):
    """The extra `push` is not installed."""


class WrongKey(ValueError):
    """This is no key of the curve P-256."""


def decode(text: str) -> bytes:
    """Base64url without padding, as browsers write keys. Raises WrongKey."""
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError) as exc:
        raise WrongKey(str(exc)) from None


def encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Sealer:
    """Encrypts for a browser, and signs for its push service."""

    def __init__(self, private_key: str, subject: str, now: Callable[[], float]) -> None:
        """`now`: Redis' time in seconds. Raises NoPushLibraries and WrongKey."""
        try:
            import http_ece
            from cryptography.hazmat.primitives.asymmetric import ec
            from py_vapid import Vapid02
        except ImportError:
            raise NoPushLibraries from None
        self._ece, self._ec = http_ece, ec
        raw = decode(private_key)
        try:
            key = ec.derive_private_key(int.from_bytes(raw, "big"), ec.SECP256R1())
        except ValueError as exc:
            raise WrongKey(str(exc)) from None
        self._vapid: Any = Vapid02(key)
        self._subject = subject
        self._now = now
        self._tokens: dict[str, tuple[float, str]] = {}  # by origin: when it was signed, and the header
        self.public_key = public_key(key)

    def check_keys(self, p256dh: str, auth: str) -> None:
        """Raise WrongKey for keys for which nothing can be encrypted."""
        if len(decode(auth)) != 16:
            raise WrongKey("auth: 16 bytes are wanted")
        try:
            self._ec.EllipticCurvePublicKey.from_encoded_point(self._ec.SECP256R1(), decode(p256dh))
        except ValueError:
            raise WrongKey("p256dh: it is no point of the curve P-256") from None

    def seal(self, payload: bytes, p256dh: str, auth: str) -> bytes:
        """The payload for the browser that has these keys."""
        own = self._ec.generate_private_key(self._ec.SECP256R1())
        sealed: bytes = self._ece.encrypt(
            payload, private_key=own, dh=decode(p256dh), auth_secret=decode(auth), version="aes128gcm"
        )
        return sealed

    def authorization(self, endpoint: str) -> str:
        """The header that says who sends."""
        url = urlsplit(endpoint)
        origin = f"{url.scheme}://{url.netloc}"
        signed_at, header = self._tokens.get(origin, (0.0, ""))
        if not header or time.monotonic() > signed_at + TOKEN_AGAIN_S:
            if len(self._tokens) >= MAX_TOKENS:
                self._tokens.clear()
            claims = {"aud": origin, "sub": self._subject, "exp": int(self._now()) + TOKEN_S}
            header = str(self._vapid.sign(claims)["Authorization"])
            self._tokens[origin] = time.monotonic(), header
        return header


def new_keys() -> tuple[str, str]:
    """A new private key and its public key, as settings and browsers write them. Raises NoPushLibraries."""
    try:
        from cryptography.hazmat.primitives.asymmetric import ec
    except ImportError:
        raise NoPushLibraries from None
    key = ec.generate_private_key(ec.SECP256R1())
    return encode(key.private_numbers().private_value.to_bytes(32, "big")), public_key(key)


def public_key(key: Any) -> str:
    """The public key of a private one, as `PushManager.subscribe` takes it."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return encode(key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint))
