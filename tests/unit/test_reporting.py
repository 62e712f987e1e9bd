"""A device reports at once, then at most once in a pause, always its latest position, and none twice."""

from __future__ import annotations

import asyncio

import pytest

from sio_clients import reporting
from sio_clients.errors import Refused, Unavailable
from sio_clients.reporting import DeliveryReports
from sio_clients.transport import ConnectionLost
from sio_server.protocol.events import MAX_MARKED
from sio_server.protocol.position import Position
from tests.waiting import Inbox


class Server:
    """Receives reports one after another, each when the test allows it."""

    def __init__(self) -> None:
        self._got: Inbox[tuple[str, int]] = Inbox()
        self.got = self._got.items
        self.requests: list[int] = []  # how many conversations each request named
        self.failure: Exception | None = None
        self.answers = asyncio.Semaphore(0)

    async def report(self, seqs: dict[str, int]) -> None:
        self.requests.append(len(seqs))
        for conversation_id, seq in seqs.items():
            self._got((conversation_id, seq))
        await self.answers.acquire()
        if self.failure is not None:
            failure, self.failure = self.failure, None
            raise failure

    async def until(self, count: int) -> None:
        await self._got.until(lambda got: len(got) >= count, f"{count} reports", 5)


def at(seq: int, epoch: str = "e1") -> Position:
    return Position(epoch, seq)


async def settled(reports: DeliveryReports) -> None:
    """Wait until there is nothing more to report."""
    if reports._reporting is not None:
        await reports._reporting


async def test_positions_reached_during_a_report_are_reported_together() -> None:
    server = Server()
    reports = DeliveryReports(server.report, pause_s=0)
    reports.reached("a", at(1))
    await server.until(1)
    for seq in (2, 3, 4):
        reports.reached("a", at(seq))
    reports.reached("b", at(9))
    server.answers.release()
    await server.until(3)
    assert server.got[0] == ("a", 1)
    assert sorted(server.got[1:]) == [("a", 4), ("b", 9)]
    assert server.requests == [1, 2], "all conversations in one request"
    await reports.close()


async def test_between_two_reports_there_is_a_pause() -> None:
    server = Server()
    server.answers = asyncio.Semaphore(99)
    reports = DeliveryReports(server.report, pause_s=1.0)
    loop = asyncio.get_running_loop()
    began = loop.time()
    reports.reached("a", at(1))
    await server.until(1)
    assert loop.time() - began < 0.9
    reports.reached("a", at(2))
    await server.until(2)
    assert loop.time() - began >= 0.99
    await reports.close()


async def test_nothing_is_reported_twice_and_an_unchanged_position_costs_no_request() -> None:
    server = Server()
    server.answers = asyncio.Semaphore(99)
    reports = DeliveryReports(server.report, pause_s=0)
    for seq in (1, 1, 2, 2, 2):
        reports.reached("a", at(seq))
        await server.until(seq)
        await settled(reports)
    assert server.got == [("a", 1), ("a", 2)]


async def test_a_report_that_the_server_refused_for_now_is_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reporting, "AGAIN_S", 0.01)
    server = Server()
    server.answers = asyncio.Semaphore(99)
    server.failure = Unavailable("later")
    reports = DeliveryReports(server.report, pause_s=0)
    reports.reached("a", at(5))
    await server.until(2)
    assert server.got == [("a", 5), ("a", 5)]
    await reports.close()


@pytest.mark.parametrize("failure", [ConnectionLost(), Refused("not_a_member", "no")])
async def test_a_report_that_was_lost_or_refused_is_repeated_only_with_a_newer_position(
    failure: Exception,
) -> None:
    server = Server()
    server.answers = asyncio.Semaphore(99)
    server.failure = failure
    reports = DeliveryReports(server.report, pause_s=0)
    reports.reached("a", at(5))
    await server.until(1)
    await settled(reports)
    assert server.got == [("a", 5)]
    reports.reached("a", at(5))  # as after a reconnect
    await server.until(2)
    await reports.close()


async def test_a_forgotten_conversation_is_not_reported_and_one_with_a_new_epoch_is() -> None:
    server = Server()
    reports = DeliveryReports(server.report, pause_s=0)
    reports.reached("a", at(5))
    await server.until(1)
    reports.reached("a", at(6))
    reports.forget("a")
    server.answers.release()
    await settled(reports)
    assert server.got == [("a", 5)]
    reports.reached("a", at(5, "e2"))
    await server.until(2)
    await reports.close()


async def test_a_thousand_conversations_are_reported_with_ten_requests() -> None:
    server = Server()
    server.answers = asyncio.Semaphore(99)
    reports = DeliveryReports(server.report, pause_s=0)
    for number in range(1000):
        reports.reached(f"c{number}", at(number + 1))
    await settled(reports)
    assert sorted(server.got) == sorted((f"c{number}", number + 1) for number in range(1000))
    assert server.requests == [MAX_MARKED] * 10
