"""Delivers webhooks: each entry at least once to each endpoint, in order in each conversation, by any node."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import re
import time
from collections.abc import Callable, Sequence
from functools import partial

import aiohttp

from sio_server.gateway.api.hook_lanes import LEASE_MS, HookLanes, Lane, Taken, Waiting
from sio_server.gateway.api.webhook_messages import GONE, Endpoint, delay_s, message_of, type_of
from sio_server.protocol.errors import Unavailable
from sio_server.tasks import end_tasks

log = logging.getLogger(__name__)

LOOK_S = 0.25  # so often the node looks at the lanes that it has,
IDLE_LOOK_S = 1.0  # and at those in which it has found nothing, after a while
BOUND_S = 10.0  # so often it drops what is not needed, or too much
TAKE_OVER_S = 2.0  # and at those of other nodes, which may have died
REQUEST_S = 10.0  # for an endpoint to answer; a lease lasts longer
PATIENCE_MS = 3 * 24 * 3600 * 1000  # an endpoint that has failed for so long is told nothing more
PROBLEM_SHOWN = 200  # characters

# Nothing before these members of an envelope is text of a user.
_ABOUT = re.compile(r'"epoch":"([^"]*)","seq":(\d+),"type":"[^"]*","ts":"([^"]*)"')

Count = Callable[[str, str], None]


class Webhooks:
    """The endpoints of the settings.

    A lane that fails stands still until its first entry is delivered, since the order must be kept. Lanes do not
    wait for each other, whether they are of one endpoint or of several. A node whose lease has expired sends
    nothing more; what it had sent without telling Redis is sent again, with the same id.
    """

    def __init__(
        self, endpoints: Sequence[Endpoint], lanes: HookLanes, now: Callable[[], float], count: Count
    ) -> None:
        """`now`: Redis' time in seconds.

        `count` is called with an endpoint and `delivered`, `failed`, or `dropped`: something that it was to be
        told was dropped before.
        """
        self.endpoints = {endpoint.name: endpoint for endpoint in endpoints}
        self.lanes = lanes
        self._now = now
        self._count = count
        self._busy: dict[Lane, asyncio.Task[None]] = {}
        self._held: set[Lane] = set()  # by other nodes
        self._disabled: set[str] = set()
        self.waiting = 0  # entries of the whole cluster that some endpoint is to be told, as of the last look
        self._idle: dict[Lane, tuple[float, float]] = {}  # when to look again, and the pause before

    @property
    def disabled(self) -> set[str]:
        """The endpoints that are told nothing, as of the last look."""
        return self._disabled

    async def run(self) -> None:
        """Deliver, until cancelled."""
        timeout = aiohttp.ClientTimeout(total=REQUEST_S)
        # Nothing but what the operator wrote is asked: no redirect is followed, no cookie kept, no proxy used.
        # Each lane makes one request at a time. A smaller pool would be used up by an endpoint that is slow, and
        # the requests to others would time out before they are made.
        connector = aiohttp.TCPConnector(limit=0)
        jar = aiohttp.DummyCookieJar()
        async with aiohttp.ClientSession(timeout=timeout, cookie_jar=jar, connector=connector) as http:
            opened, look_again_at, bound_at = False, 0.0, 0.0
            try:
                while True:
                    try:
                        if not opened:
                            await self.lanes.open()
                            opened = True
                        if everything := time.monotonic() >= look_again_at:
                            look_again_at = time.monotonic() + TAKE_OVER_S
                            # Its shard may be away: then it is as it was known last.
                            with contextlib.suppress(Unavailable):
                                self._disabled = set(await self.lanes.disabled())
                        if time.monotonic() >= bound_at:
                            bound_at = time.monotonic() + BOUND_S
                            self.waiting = await self.lanes.bound(self._disabled)
                        await self._look(http, everything)
                    except Unavailable as exc:
                        log.info("webhooks wait for Redis: error=%s", exc)
                    await asyncio.sleep(LOOK_S * random.uniform(0.8, 1.0))
            finally:
                await end_tasks(list(self._busy.values()))
                with contextlib.suppress(Unavailable):
                    await self.lanes.release([lane for lane in self.lanes.all if lane not in self._held])

    async def _look(self, http: aiohttp.ClientSession, everything: bool) -> None:
        lanes = [
            lane
            for lane in self.lanes.all
            if lane not in self._busy
            and lane.name not in self._disabled
            and (everything or (lane not in self._held and self._is_due(lane)))
        ]
        if not lanes:
            return
        asked_at = time.monotonic()
        taken, held = await self.lanes.take(lanes)
        self._held = (self._held - set(lanes)) | held
        for lane in lanes:
            found = taken.get(lane)
            if found is not None and found.lost is not None:
                self._count(lane.name, "dropped")
                log.error(
                    "webhooks were dropped, since too much waited: endpoint=%s partition=%d from=%s to=%s",
                    *(lane.name, lane.partition, *found.lost),
                )
            if found is None or not found.entries:
                pause = min(IDLE_LOOK_S, 2 * self._idle.get(lane, (0.0, LOOK_S / 2))[1])
                self._idle[lane] = asked_at + pause, pause
            else:
                task = asyncio.create_task(self._deliver(http, lane, found, asked_at), name="webhook")
                self._busy[lane] = task
                task.add_done_callback(partial(self._on_done, lane))

    def _is_due(self, lane: Lane) -> bool:
        return lane not in self._idle or self._idle[lane][0] <= time.monotonic()

    def _on_done(self, lane: Lane, task: asyncio.Task[None]) -> None:
        self._busy.pop(lane, None)
        self._idle.pop(lane, None)

    async def _deliver(self, http: aiohttp.ClientSession, lane: Lane, taken: Taken, asked_at: float) -> None:
        """Deliver what was read of a lane, one after another, as long as it is this node's."""
        endpoint, failures = self.endpoints[lane.name], taken.failures
        try:
            for entry in taken.entries:
                if time.monotonic() > asked_at + LEASE_MS / 1000 - REQUEST_S:
                    return  # the node was paused: another one may have the lane
                status, problem = await self._send(http, endpoint, entry)
                asked_at = time.monotonic()
                if not problem:
                    failures = 0
                    if await self.lanes.settle(lane, position=entry.id, disabled=self._disabled) is None:
                        return
                    continue
                failures += 1
                self._count(lane.name, "failed")
                delay_ms = round(delay_s(failures) * random.uniform(0.8, 1.0) * 1000)
                log.warning("a webhook failed: endpoint=%s failures=%d problem=%s", lane.name, failures, problem)
                settled = await self.lanes.settle(lane, failures=failures, delay_ms=delay_ms, problem=problem)
                if settled is not None and (status == GONE or settled.failing_ms > PATIENCE_MS):
                    await self._disable(lane.name, problem)
                return
        except Unavailable as exc:
            log.info("a webhook is delivered again: endpoint=%s error=%s", lane.name, exc)
        except Exception:
            log.exception("a webhook could not be delivered: endpoint=%s", lane.name)
            await asyncio.sleep(REQUEST_S)  # it may fail each time

    async def _send(self, http: aiohttp.ClientSession, endpoint: Endpoint, entry: Waiting) -> tuple[int, str]:
        """Send one entry, if the endpoint wants it; return the status, and what went wrong."""
        if type_of(entry.type) not in endpoint.types:
            return 0, ""
        about = _ABOUT.search(entry.envelope)
        if about is None:
            log.error("what was kept for a webhook is no entry: id=%s", entry.id)
            return 0, ""
        epoch, seq, ts = about.groups()
        message = message_of(entry.conversation_id, entry.type, epoch, int(seq), ts, entry.envelope)
        headers = message.headers(endpoint.secrets, int(self._now()))
        try:
            async with http.post(
                endpoint.url, data=message.body, headers=headers, allow_redirects=False
            ) as response:
                if 200 <= response.status < 300:
                    self._count(endpoint.name, "delivered")
                    return response.status, ""
                return response.status, f"HTTP {response.status}"
        except (aiohttp.ClientError, OSError, TimeoutError) as exc:
            return 0, (str(exc) or type(exc).__name__)[:PROBLEM_SHOWN]

    async def _disable(self, name: str, problem: str) -> None:
        log.error("an endpoint of webhooks is told nothing more: endpoint=%s problem=%s", name, problem)
        self._disabled.add(name)
        since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self._now()))
        await self.lanes.disable(name, {"since": since, "reason": problem})
