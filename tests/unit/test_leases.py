"""Leases are renewed each by itself, whatever becomes of the others."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from typing import Any, cast

import pytest

from sio_server.conversation.runs import ClaimedRun, LeaseLost, Runs
from sio_server.dialog import leases as module
from sio_server.dialog.leases import LeaseKeeper
from sio_server.protocol.errors import Unavailable
from sio_server.tasks import end_tasks
from tests.unit.test_streaming import RUN
from tests.waiting import Changes

ERRORS: list[Any] = [
    ValueError("a bug"),
    SystemExit(3),
    asyncio.CancelledError(),
    Unavailable("away"),
    LeaseLost("x"),
]


class Renewals:
    """Renews what it is asked to, unless an error is to be raised for that run."""

    def __init__(self) -> None:
        self.errors: dict[str, BaseException] = {}
        self.renewed: Counter[str] = Counter()
        self._changes = Changes(lambda: self.renewed)

    async def renew_lease(self, run: ClaimedRun) -> None:
        self.renewed[run.run_id] += 1
        self._changes.changed()
        if run.run_id in self.errors:
            raise self.errors[run.run_id]

    async def until(self, run_id: str, count: int) -> None:
        await self._changes.until(lambda: self.renewed[run_id] >= count, f"{count} renewals of {run_id}", 5)


def keeper_of(store: Renewals, lease_s: float = 3.0) -> LeaseKeeper:
    return LeaseKeeper(cast(Runs, store), lease_s)


@pytest.mark.parametrize("error", ERRORS, ids=repr)
async def test_a_renewal_that_fails_stops_no_other_renewal(monkeypatch: pytest.MonkeyPatch, error: Any) -> None:
    monkeypatch.setattr(module, "RENEWALS", 3000)  # one each millisecond
    store = Renewals()
    keeper = keeper_of(store)
    for run_id in ("good", "bad", "fine"):
        keeper.hold_lease(replace(RUN, run_id=run_id, token=run_id), lambda: None, max_s=60)
    store.errors["bad"] = error
    renewing = asyncio.create_task(keeper.renew_leases())
    await store.until("good", 5)
    await store.until("fine", 5)
    assert not renewing.done()
    assert await end_tasks([renewing]) == set()


@pytest.mark.parametrize("error", ERRORS, ids=repr)
async def test_a_lease_that_cannot_be_renewed_is_given_up_when_it_has_expired(error: Any) -> None:
    store = Renewals()
    keeper = keeper_of(store, lease_s=0.02)
    lost = asyncio.Event()
    store.errors[RUN.run_id] = error
    keeper.hold_lease(RUN, lost.set, max_s=60)
    renewing = asyncio.create_task(keeper.renew_leases())
    await asyncio.wait_for(lost.wait(), 5)
    await end_tasks([renewing])


async def test_an_owner_that_cannot_be_told_of_its_lost_lease_stops_no_other_renewal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "RENEWALS", 3000)
    store = Renewals()
    keeper = keeper_of(store)

    def closed() -> None:
        raise RuntimeError("Event loop is closed")

    keeper.hold_lease(replace(RUN, run_id="gone", token="gone"), closed, max_s=0)
    keeper.hold_lease(RUN, lambda: None, max_s=60)
    renewing = asyncio.create_task(keeper.renew_leases())
    await store.until(RUN.run_id, 5)
    assert store.renewed["gone"] == 0
    await end_tasks([renewing])


async def test_a_renewal_that_hangs_delays_no_later_one(monkeypatch: pytest.MonkeyPatch) -> None:
    class Hangs(Renewals):
        async def renew_lease(self, run: ClaimedRun) -> None:
            await super().renew_lease(run)
            await asyncio.Event().wait()

    store = Hangs()
    keeper = keeper_of(store, lease_s=0.03)
    lost = asyncio.Event()
    keeper.hold_lease(RUN, lost.set, max_s=60)
    renewing = asyncio.create_task(keeper.renew_leases())
    await store.until(RUN.run_id, 2)
    await asyncio.wait_for(lost.wait(), 5)
    await end_tasks([renewing])
