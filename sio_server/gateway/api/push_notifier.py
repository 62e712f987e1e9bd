"""Finds entries that notify people, on one node of the cluster each, and has their devices told.

It reads what is kept for webhooks, as an endpoint of its own: each partition's entries by one node at a time,
whose lease others take when it dies. The position moves before anything is sent, so nothing is sent twice; what a
node had not sent when it died is not sent. A notification is a hint: what it tells stands in the log.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Callable

from sio_server.conversation.audience import read_audience
from sio_server.gateway.api.hook_lanes import HookLanes, Lane, Taken
from sio_server.gateway.push.notifications import News, candidates, chosen, news_of, payload_of
from sio_server.gateway.push.sending import Notification, Sender, topic_of
from sio_server.protocol.errors import Refused, Unavailable
from sio_server.store.scripts import Scripts
from sio_server.users.push import PushSubscriptions

log = logging.getLogger(__name__)

ENDPOINT = "~push"  # which no endpoint of WEBHOOKS can be called
LOOK_S = 1.0
BOUND_S = 10.0


class Notifier:
    """Notifies devices of questions and mentions. Nothing waits for it."""

    def __init__(
        self,
        scripts: Scripts,
        node_id: str,
        subscriptions: PushSubscriptions,
        sender: Sender,
        base_path: str,
        disabled: Callable[[], set[str]],
    ) -> None:
        """`disabled`: the endpoints of webhooks for which nothing is kept."""
        self._scripts = scripts
        self._lanes = HookLanes(scripts, node_id, [ENDPOINT])
        self._subscriptions = subscriptions
        self._sender = sender
        self._base_path = base_path
        self._disabled = disabled

    async def run(self) -> None:
        """Notify, until cancelled."""
        opened, bound_at = False, 0.0
        try:
            while True:
                try:
                    if not opened:
                        await self._lanes.open()
                        opened = True
                    if time.monotonic() >= bound_at:
                        bound_at = time.monotonic() + BOUND_S
                        await self._lanes.bound(self._disabled())
                    await self._look()
                except Unavailable as exc:
                    log.info("notifications wait for Redis: error=%s", exc)
                await asyncio.sleep(LOOK_S * random.uniform(0.8, 1.0))
        finally:
            with contextlib.suppress(Unavailable):
                await self._lanes.release(self._lanes.all)

    async def _look(self) -> None:
        taken, _ = await self._lanes.take(self._lanes.all)
        for lane, found in taken.items():
            if found.entries:
                await self._read(lane, found)

    async def _read(self, lane: Lane, found: Taken) -> None:
        last = found.entries[-1].id
        if await self._lanes.settle(lane, position=last, disabled=self._disabled()) is None:
            return  # the node was paused: another one has the lane
        for entry in found.entries:
            news = news_of(entry.conversation_id, entry.type, entry.envelope)
            if news is not None:
                try:
                    await self._notify(news)
                except (Unavailable, Refused) as exc:
                    log.warning("a notification is lost: error=%s", exc)

    async def _notify(self, news: News) -> None:
        audience = await read_audience(self._scripts, news.conversation_id, news.reply_to)
        reachable = await self._subscriptions.read(candidates(news, audience))
        payload = payload_of(news, audience, self._base_path)
        topic = topic_of(news.kind, news.conversation_id)
        for subscription in chosen(news, audience, reachable):
            self._sender.put(Notification(subscription, payload, topic, urgent=news.kind == "question"))
