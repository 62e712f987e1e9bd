"""Leases are renewed beside the graphs, in another thread's event loop: no graph can starve them.

What remains is code that holds Python's global lock for seconds.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from sio_server.conversation.runs import ClaimedRun, LeaseLost, Runs
from sio_server.protocol.errors import Unavailable
from sio_server.store.keys import LEASE_MS
from sio_server.tasks import is_being_cancelled

log = logging.getLogger(__name__)

RENEWALS = 3  # in the time that a lease lasts


@dataclass
class _Lease:
    run: ClaimedRun
    on_lost: Callable[[], None]
    renewed: float  # monotonic
    until: float  # monotonic: an owner that holds it longer hangs, and others are to try


class LeaseKeeper:
    """Renews the leases of this node's runs. `hold_lease` and `release_lease` may be called from any thread."""

    def __init__(
        self,
        runs: Runs,
        lease_s: float = LEASE_MS / 1000,
        on_held: Callable[[str], None] = lambda conversation_id: None,
        on_released: Callable[[str], None] = lambda conversation_id: None,
    ) -> None:
        """`on_held` and `on_released` are called once for each lease, in any thread, with its conversation."""
        self._runs = runs
        self._lease_s = lease_s
        self._every_s = lease_s / RENEWALS
        self._on_held = on_held
        self._on_released = on_released
        self._leases: dict[str, _Lease] = {}

    def hold_lease(self, run: ClaimedRun, on_lost: Callable[[], None], max_s: float) -> None:
        """Renew the run's lease for at most `max_s` seconds; `on_lost` is called when it may have expired."""
        now = time.monotonic()
        if run.token + run.conversation_id not in self._leases:
            self._on_held(run.conversation_id)
        self._leases[run.token + run.conversation_id] = _Lease(run, on_lost, now, now + max_s)

    def release_lease(self, run: ClaimedRun) -> None:
        """Renew it no more."""
        if self._leases.pop(run.token + run.conversation_id, None) is not None:
            self._on_released(run.conversation_id)

    def release_all(self) -> None:
        """Renew none of them any more: what executed the runs has ended."""
        for lease in list(self._leases.values()):
            self.release_lease(lease.run)

    async def renew_leases(self) -> None:
        """Renew all leases each third of the time that they last, until cancelled."""
        while True:
            began = time.monotonic()
            await asyncio.gather(*(self._renew_alone(lease) for lease in list(self._leases.values())))
            await asyncio.sleep(max(0.0, self._every_s - (time.monotonic() - began)))

    async def _renew_alone(self, lease: _Lease) -> None:
        """Renew one lease. Whatever goes wrong, the other leases are renewed all the same."""
        try:
            await self._renew(lease)
        except BaseException as exc:
            if isinstance(exc, asyncio.CancelledError) and is_being_cancelled():
                raise
            log.error("a lease could not be renewed: run_id=%s", lease.run.run_id, exc_info=exc)

    async def _renew(self, lease: _Lease) -> None:
        began = time.monotonic()
        lost = False
        try:
            if began > lease.until:
                raise LeaseLost(f"{lease.run.run_id} hangs")
            # One that takes longer than until the next one is given up: the next one may come through.
            async with asyncio.timeout(self._every_s):
                await self._runs.renew_lease(lease.run)
            lease.renewed = began
        except LeaseLost as exc:
            log.info("a lease is not kept any more: %s", exc)
            lost = True
        except (Unavailable, TimeoutError):
            pass
        finally:
            # Also after an error that nobody has foreseen.
            if lost or time.monotonic() - lease.renewed > self._lease_s:
                self.release_lease(lease.run)
                lease.on_lost()
