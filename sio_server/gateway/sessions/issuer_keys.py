"""The keys of an issuer, fetched over HTTP and kept: the event loop never waits, and an outage changes nothing."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from math import inf

import aiohttp
import jwt

from sio_server.gateway.sessions.key_set import KeySet, NoKeys, parse_key_set
from sio_server.protocol.errors import ErrorCode, Refused, Unavailable

log = logging.getLogger(__name__)

FETCH_S = 5.0  # for one fetch
MAX_BYTES = 1_000_000  # of a JWKS
REFRESH_S = 600.0  # a key that the issuer has withdrawn counts no longer than this
AGAIN_S = 10.0  # between two fetches for keys that are not known, or after a failure


class NoCryptography(Exception):
    """Keys cannot be used without an optional package; the message is for people."""


class IssuerKeys:
    """The keys at `url`. They are fetched regularly (`run`), and when a token names one that is not known.

    Keys that were fetched once count until a later fetch succeeds. However many tokens name keys that do not
    exist, the issuer is asked once in AGAIN_S.
    """

    def __init__(
        self,
        url: str,
        *,
        fetch: Callable[[str], Awaitable[bytes]] | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """`fetch` returns what is at the URL, or raises OSError, ValueError or NoKeys. Raises NoCryptography."""
        if not jwt.algorithms.has_crypto:
            raise NoCryptography("the package cryptography is missing. Install roomgraph[jwks]")
        self._url = url
        self._fetch = fetch or fetch_keys
        self._now = now
        self._keys: KeySet | None = None
        self._asked_at = -inf
        self._failed = False  # the last fetch
        self._fetching: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Fetch the keys now and regularly, until cancelled."""
        while True:
            await self._refresh()
            await asyncio.sleep(AGAIN_S if self._failed else REFRESH_S)

    def known(self, key_id: str | None) -> jwt.PyJWK | None:
        """The key with this id, as far as known."""
        return self._keys.find(key_id) if self._keys is not None else None

    async def find(self, key_id: str | None) -> jwt.PyJWK:
        """The key with this id; fetches the keys if it is not known and they were not fetched just now.

        Raises Refused if the issuer has no such key, Unavailable if that cannot be told at present.
        """
        if (key := self.known(key_id)) is not None:
            return key
        may_be_new = key_id is not None or self._keys is None
        # One that comes while keys are being fetched waits for them.
        if may_be_new and (self._fetching is not None or self._now() - self._asked_at >= AGAIN_S):
            await self._refresh()
            if (key := self.known(key_id)) is not None:
                return key
        if self._keys is not None and key_id is None:
            raise Refused(ErrorCode.TOKEN_INVALID, "the token does not name the key that it is signed with (kid)")
        if self._failed or self._keys is None:
            raise Unavailable("the keys of the tokens' issuer cannot be read at this moment; try again")
        raise Refused(ErrorCode.TOKEN_INVALID, "the token is signed with a key that its issuer does not have")

    async def _refresh(self) -> None:
        """One fetch for all that wait for it, which none of them ends by leaving."""
        if self._fetching is None:
            self._asked_at = self._now()
            self._fetching = asyncio.create_task(self._read())
            self._fetching.add_done_callback(self._fetched)
        await asyncio.shield(self._fetching)

    def _fetched(self, task: asyncio.Task[None]) -> None:
        self._fetching = None

    async def _read(self) -> None:
        try:
            async with asyncio.timeout(FETCH_S):
                self._keys = parse_key_set(await self._fetch(self._url))
            self._failed = False
        except (NoKeys, OSError, ValueError, aiohttp.ClientError) as exc:
            self._failed = True
            kept = f"the {len(self._keys)} known ones are used further" if self._keys else "there are none yet"
            log.warning(
                "the keys of the tokens' issuer cannot be read: url=%s error=%r; %s. AUTH_JWKS_URL: write where "
                "the issuer publishes its keys (jwks_uri in its /.well-known/openid-configuration)",
                self._url,
                exc,
                kept,
            )


async def fetch_keys(url: str) -> bytes:
    """What is published at a URL. Raises NoKeys, OSError, ValueError or aiohttp.ClientError."""
    timeout = aiohttp.ClientTimeout(total=FETCH_S)
    async with aiohttp.ClientSession(timeout=timeout, trust_env=True) as http:
        # The address was written by the operator: another one must be as well.
        async with http.get(url, headers={"Accept": "application/json"}, allow_redirects=False) as response:
            if response.status != 200:
                raise NoKeys(f"the answer is {response.status} {response.reason}")
            text = await response.content.read(MAX_BYTES + 1)
            while len(text) <= MAX_BYTES and (more := await response.content.read(MAX_BYTES)):
                text += more
            if len(text) > MAX_BYTES:
                raise NoKeys(f"the answer is longer than {MAX_BYTES} bytes")
            return text
