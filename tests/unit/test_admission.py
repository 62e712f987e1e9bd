"""Handshakes take turns, those who have gone are not served, and who never shakes hands holds up nobody."""

from __future__ import annotations

import asyncio

from sio_server.gateway.transport.admission import Turnstile


async def test_some_are_served_at_a_time_and_in_their_order() -> None:
    turnstile = Turnstile(at_once=2)
    now, most, order = 0, 0, []

    async def shake(number: int) -> None:
        nonlocal now, most
        async with turnstile.turn(lambda: False) as served:
            assert served
            now += 1
            most = max(most, now)
            order.append(number)
            await asyncio.sleep(0.001)
            now -= 1

    await asyncio.gather(*(shake(number) for number in range(20)))
    assert most == 2
    assert order == sorted(order)


async def test_who_has_gone_while_waiting_is_not_served() -> None:
    turnstile = Turnstile(at_once=1)
    gone = False
    first_may_end = asyncio.Event()

    async def first() -> None:
        async with turnstile.turn(lambda: False):
            await first_may_end.wait()

    async def second() -> bool:
        async with turnstile.turn(lambda: gone) as served:
            return served

    tasks = asyncio.create_task(first()), asyncio.create_task(second())
    await asyncio.sleep(0)
    gone = True
    first_may_end.set()
    await tasks[0]
    assert await tasks[1] is False


async def test_new_connections_wait_outside_while_many_handshakes_are_to_be_done() -> None:
    turnstile = Turnstile(at_once=1, inside=2)
    may_end = asyncio.Event()

    async def shake() -> None:
        async with turnstile.turn(lambda: False):
            await may_end.wait()

    inside = [asyncio.create_task(shake()) for _ in range(2)]
    await asyncio.sleep(0)
    outside = asyncio.create_task(turnstile.enter())
    await asyncio.sleep(0.01)
    assert not outside.done()
    assert turnstile.waiting == 1
    may_end.set()
    await asyncio.gather(outside, *inside)
    await turnstile.close()


async def test_connections_that_never_shake_hands_hold_up_nobody() -> None:
    turnstile = Turnstile(inside=2)
    async with asyncio.timeout(5):
        for _ in range(50):
            await turnstile.enter()
    await turnstile.close()


async def test_who_gives_up_waiting_leaves_the_line_to_the_others() -> None:
    turnstile = Turnstile(inside=1)
    may_end = asyncio.Event()

    async def shake() -> None:
        async with turnstile.turn(lambda: False):
            await may_end.wait()

    inside = asyncio.create_task(shake())
    await asyncio.sleep(0)
    impatient = asyncio.create_task(turnstile.enter())
    patient = asyncio.create_task(turnstile.enter())
    await asyncio.sleep(0.01)
    impatient.cancel()
    may_end.set()
    async with asyncio.timeout(5):
        await patient
    await inside
    await turnstile.close()
