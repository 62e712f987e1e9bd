"""The waiting of tests itself: it sees what holds at once, and a failure tells what came instead."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.waiting import Changes, Inbox, NeverCame, first_of, poll, within

SHORT_S = 0.01


async def numbers(*given: int, then_hang: bool = False) -> AsyncIterator[int]:
    for number in given:
        yield number
    if then_hang:
        await asyncio.Event().wait()


async def test_an_item_is_found_whether_it_came_before_or_comes_after_the_waiting_began() -> None:
    inbox: Inbox[int] = Inbox()
    inbox(1)
    assert await inbox.first(lambda item: item == 1) == 1
    waiting = asyncio.create_task(inbox.first(lambda item: item > 1))
    asyncio.get_running_loop().call_soon(inbox, 2)
    assert await waiting == 2


async def test_several_waiters_for_one_change_are_all_served() -> None:
    changes = Changes()
    state: list[str] = []
    waiting = [asyncio.create_task(changes.until(lambda: list(state))) for _ in range(3)]

    def change() -> None:
        state.append("it")
        changes.changed()

    asyncio.get_running_loop().call_soon(change)
    assert await asyncio.gather(*waiting) == [["it"]] * 3


async def test_a_failure_names_what_was_waited_for_and_what_came() -> None:
    inbox: Inbox[str] = Inbox()
    inbox("run:changed")
    with pytest.raises(NeverCame, match=r"a final entry; what came: \['run:changed'\]"):
        await inbox.first(lambda item: item == "answer", "a final entry", SHORT_S)
    with pytest.raises(NeverCame, match=r"item == .answer."):
        await inbox.first(lambda item: item == "answer", timeout=SHORT_S)
    with pytest.raises(NeverCame, match=r"a three; what came: \[1, 2\]"):
        await first_of(numbers(1, 2, then_hang=True), lambda number: number == 3, "a three", SHORT_S)
    with pytest.raises(NeverCame, match=r"ended without: a three; the last that came: \[1, 2\]"):
        await first_of(numbers(1, 2), lambda number: number == 3, "a three")
    with pytest.raises(NeverCame, match="readiness; what came: 0"):
        await poll(lambda: 0, "readiness", SHORT_S)


async def test_a_stream_can_be_read_on_after_what_was_waited_for() -> None:
    stream = numbers(1, 2, 3)
    assert await first_of(stream, lambda number: number == 2) == 2
    assert await first_of(stream, lambda number: True) == 3


async def test_a_poll_asks_again_until_the_answer_is_true_and_returns_it() -> None:
    answers = iter([0, 0, 7])

    async def ask() -> int:
        return next(answers)

    assert await poll(ask) == 7


async def test_a_timeout_of_the_waited_for_itself_is_not_taken_for_the_limit_of_the_wait() -> None:
    with pytest.raises(TimeoutError, match="its own"):
        async with within(10, "anything"):
            raise TimeoutError("its own")
