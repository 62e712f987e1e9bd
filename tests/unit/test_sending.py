"""Messages on their way to one conversation: none waits for the ack of another, and their order holds."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import pytest

from sio_clients.errors import Refused, Unavailable
from sio_clients.sending import PIPELINED, Pipeline


class Server:
    """A log that takes messages as the server does, and answers when it is told to."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.asked: list[tuple[str, str | None]] = []  # request_id and `after` of each try
        self.refuses: dict[str, Exception] = {}
        self.answers = asyncio.Event()

    async def request(self, event: str, payload: dict[str, Any]) -> dict[str, Any]:
        request_id, after = payload["request_id"], payload["after"]
        self.asked.append((request_id, after))
        outcome = self._carry_out(request_id, after)
        await self.answers.wait()
        if isinstance(outcome, Exception):
            raise outcome
        return {"seq": outcome}

    def _carry_out(self, request_id: str, after: str | None) -> int | Exception:
        if request_id in self.refuses:
            return self.refuses.pop(request_id)
        if after is not None and after not in self.log:
            return Refused("out_of_order", "")
        if request_id not in self.log:
            self.log.append(request_id)
        return self.log.index(request_id) + 1


async def sent_at_once(server: Server, count: int) -> list[Any]:
    """The results of so many sends, `m0` to `m<count - 1>`, that are answered when all have been sent."""
    pipeline = Pipeline(server.request)
    sends = [asyncio.create_task(pipeline.send("message:send", {}, f"m{number}")) for number in range(count)]
    for _ in range(3):
        await asyncio.sleep(0)
    server.answers.set()
    return await asyncio.gather(*sends, return_exceptions=True)


async def test_messages_are_sent_without_waiting_and_each_names_the_one_before_it() -> None:
    server = Server()
    results = await sent_at_once(server, 4)
    assert server.asked == [("m0", None), ("m1", "m0"), ("m2", "m1"), ("m3", "m2")]
    assert results == [{"seq": number} for number in range(1, 5)]


async def test_a_message_that_must_be_made_ready_keeps_its_place() -> None:
    server, ready = Server(), asyncio.Event()
    server.answers.set()
    pipeline = Pipeline(server.request)

    async def with_file(fails: bool = False) -> dict[str, Any]:
        await ready.wait()
        if fails:
            raise Unavailable("the upload")
        return {}

    payloads: list[Any] = [with_file, {}, partial(with_file, fails=True), {}]
    sends = [asyncio.create_task(pipeline.send("message:send", one, f"m{n}")) for n, one in enumerate(payloads)]
    for _ in range(5):
        await asyncio.sleep(0)
    assert server.log == []
    ready.set()
    async with asyncio.timeout(5):
        results = await asyncio.gather(*sends, return_exceptions=True)
    assert server.log == ["m0", "m1", "m3"]
    assert isinstance(results[2], Unavailable)


async def test_a_message_names_none_that_was_acked() -> None:
    server = Server()
    server.answers.set()
    pipeline = Pipeline(server.request)
    for number in range(3):
        await pipeline.send("message:send", {}, f"m{number}")
    assert [after for _, after in server.asked] == [None, None, None]


async def test_so_many_messages_are_on_their_way_at_a_time_and_no_more() -> None:
    server = Server()
    pipeline = Pipeline(server.request)
    sends = [asyncio.create_task(pipeline.send("message:send", {}, f"m{n}")) for n in range(2 * PIPELINED)]
    for _ in range(3):
        await asyncio.sleep(0)
    assert len(server.asked) == PIPELINED
    server.answers.set()
    await asyncio.gather(*sends)
    assert server.log == [f"m{number}" for number in range(2 * PIPELINED)]


@pytest.mark.parametrize("error", [Refused("quota_exceeded", ""), Unavailable("given up")])
@pytest.mark.parametrize("lost", [{0}, {2}, {1, 2}, {3}])
async def test_those_after_a_message_that_was_refused_or_given_up_follow_those_before_it(
    error: Exception, lost: set[int]
) -> None:
    server = Server()
    server.refuses = {f"m{number}": error for number in lost}
    results = await sent_at_once(server, 5)
    assert server.log == [f"m{number}" for number in range(5) if number not in lost]
    assert [number for number, result in enumerate(results) if result is error] == sorted(lost)


async def test_a_message_that_is_cancelled_holds_up_none_behind_it() -> None:
    server = Server()
    pipeline = Pipeline(server.request)
    server.refuses["m0"] = Unavailable("not carried out")
    first, second = (asyncio.create_task(pipeline.send("message:send", {}, f"m{n}")) for n in range(2))
    for _ in range(3):
        await asyncio.sleep(0)
    first.cancel()
    server.answers.set()
    async with asyncio.timeout(5):
        await second
    assert server.log == ["m1"]


async def test_a_refusal_that_names_no_message_before_is_raised() -> None:
    server = Server()
    server.answers.set()
    server.refuses["m0"] = Refused("out_of_order", "")
    with pytest.raises(Refused):
        await Pipeline(server.request).send("message:send", {}, "m0")
