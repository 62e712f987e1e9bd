"""Sends notifications to push services: beside everything else, some times at most, and never to this network."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import logging
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import aiohttp

from sio_server.gateway.push.addresses import PublicResolver, refusal
from sio_server.gateway.push.encryption import Sealer, WrongKey
from sio_server.protocol.errors import Unavailable
from sio_server.tasks import end_tasks
from sio_server.users.push import Subscription

log = logging.getLogger(__name__)

REQUEST_S = 10.0
AT_ONCE = 8
MAX_WAITING = 1000  # notifications of this node; what comes then is dropped
ATTEMPTS = 3
FIRST_PAUSE_S = 1.0
MAX_PAUSE_S = 30.0  # a service may ask for a longer one, and gets nothing
KEPT_S = 24 * 3600  # by the push service, for a device that is off
GONE = frozenset({404, 410})


@dataclass(frozen=True)
class Notification:
    """What one device is told. A newer one with the same topic takes the place of one that was not shown yet."""

    subscription: Subscription
    payload: bytes
    topic: str
    urgent: bool


class Sender:
    """Sends what is put into it. `count` is called with delivered, failed, gone or dropped."""

    def __init__(
        self,
        sealer: Sealer,
        forget: Callable[[Subscription], Awaitable[None]],
        count: Callable[[str], None],
        *,
        private: bool,
    ) -> None:
        """`private`: addresses of this network are allowed."""
        self._sealer = sealer
        self._forget = forget
        self._count = count
        self._private = private
        self._waiting: asyncio.Queue[Notification] = asyncio.Queue(MAX_WAITING)

    def put(self, notification: Notification) -> None:
        """Send it as soon as possible; it is dropped when too many wait."""
        try:
            self._waiting.put_nowait(notification)
        except asyncio.QueueFull:
            self._count("dropped")

    async def run(self) -> None:
        """Send, until cancelled."""
        resolver = None if self._private else PublicResolver()
        connector = aiohttp.TCPConnector(limit=AT_ONCE, resolver=resolver)
        timeout = aiohttp.ClientTimeout(total=REQUEST_S)
        jar = aiohttp.DummyCookieJar()
        async with aiohttp.ClientSession(timeout=timeout, cookie_jar=jar, connector=connector) as http:
            workers = [asyncio.create_task(self._work(http), name="push") for _ in range(AT_ONCE)]
            try:
                await asyncio.gather(*workers)
            finally:
                await end_tasks(workers)

    async def _work(self, http: aiohttp.ClientSession) -> None:
        while True:
            notification = await self._waiting.get()
            try:
                self._count(await self._send(http, notification))
            except Exception:
                log.exception("a notification could not be sent")
                self._count("failed")

    async def _send(self, http: aiohttp.ClientSession, notification: Notification) -> str:
        """Try it some times; return how it ended."""
        to = notification.subscription
        if problem := refusal(to.endpoint, private=self._private):
            log.warning("a notification is not sent: its endpoint %s", problem)
            return "failed"
        try:
            body = self._sealer.seal(notification.payload, to.p256dh, to.auth)
        except WrongKey:
            return "failed"
        headers = {
            "Authorization": self._sealer.authorization(to.endpoint),
            "Content-Encoding": "aes128gcm",
            "Content-Type": "application/octet-stream",
            "TTL": str(KEPT_S),
            "Topic": notification.topic,
            "Urgency": "high" if notification.urgent else "normal",
        }
        for attempt in range(1, ATTEMPTS + 1):
            status, pause_s = await self._post(http, to.endpoint, body, headers)
            if 200 <= status < 300:
                return "delivered"
            if status in GONE:
                await self._drop(to)
                return "gone"
            # What the service refuses otherwise it refuses again.
            if (status and status != 429 and status < 500) or pause_s > MAX_PAUSE_S:
                break
            if attempt < ATTEMPTS:
                pause_s = max(pause_s, FIRST_PAUSE_S * 4 ** (attempt - 1))
                await asyncio.sleep(pause_s * random.uniform(1.0, 1.2))  # never earlier than the service asks for
        log.warning("a notification failed: status=%d attempts=%d", status, attempt)
        return "failed"

    async def _post(
        self, http: aiohttp.ClientSession, url: str, body: bytes, headers: dict[str, str]
    ) -> tuple[int, float]:
        """The status (0: there was none), and how long the service wants to be left alone, in seconds."""
        try:
            async with http.post(url, data=body, headers=headers, allow_redirects=False) as response:
                after = response.headers.get("Retry-After", "")
                return response.status, float(after) if after.isascii() and after.isdigit() else 0.0
        except (aiohttp.ClientError, OSError, TimeoutError) as exc:
            log.info("a push service cannot be reached: %s", type(exc).__name__)
            return 0, 0.0

    async def _drop(self, subscription: Subscription) -> None:
        try:
            await self._forget(subscription)
        except Unavailable as exc:  # the next notification finds it gone again
            log.info("a subscription that is gone could not be forgotten: error=%s", exc)


def topic_of(kind: str, conversation_id: str) -> str:
    """One topic for the notifications of a kind in a conversation, as push services take it (RFC 8030)."""
    digest = hashlib.sha256(f"{kind} {conversation_id}".encode()).digest()
    return base64.urlsafe_b64encode(digest).decode()[:32]
