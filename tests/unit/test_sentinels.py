"""Of the answers of sentinels the newest is believed, and none that is older than what is known."""

from __future__ import annotations

import asyncio

import pytest
from redis.asyncio.connection import Connection
from redis.exceptions import ConnectionError as RedisConnectionError

from sio_server.store.partitions import PARTITIONS
from sio_server.store.sentinel import Sentinels
from sio_server.store.undisputed import Answer, Named

OLD, NEW = Named(1, "10.0.0.1", 6379), Named(2, "10.0.0.2", 6379)


class Scripted(Sentinels):
    """Three sentinels that answer as they are told, in this order; None: not at all."""

    def __init__(self) -> None:
        super().__init__("main", [(Connection, {"number": number}) for number in range(3)])
        self.answers: list[Named | None] = []
        self.late: set[int] = set()  # those that answer after the others
        self.hung: set[int] = set()

    async def _ask(self, kind, given):
        for _ in range(10 if given["number"] in self.late else 0):
            await asyncio.sleep(0)
        if given["number"] in self.hung:
            await asyncio.Event().wait()
        named = self.answers[given["number"]]
        return Answer(named) if named else None


async def test_at_first_a_majority_is_waited_for_and_its_newest_answer_is_believed() -> None:
    sentinels = Scripted()
    sentinels.answers = [OLD, NEW, NEW]
    assert await sentinels.primary() == NEW
    alone = Scripted()
    alone.answers = [None, OLD, None]
    assert await alone.primary() == OLD, "when no other answers"


async def test_a_sentinel_that_was_cut_off_is_not_believed_when_it_names_the_old_primary() -> None:
    sentinels = Scripted()
    sentinels.answers = [NEW, NEW, NEW]
    await sentinels.primary()
    sentinels.answers = [OLD, None, None]
    with pytest.raises(RedisConnectionError, match="an older one than is known"):
        await sentinels.primary()
    sentinels.answers = [OLD, None, NEW]
    assert await sentinels.primary() == NEW


async def test_sentinels_that_were_set_up_again_are_believed_by_majority() -> None:
    sentinels = Scripted()
    sentinels.answers = [NEW, NEW, NEW]
    await sentinels.primary()
    sentinels.answers = [OLD, OLD, None]
    assert await sentinels.primary() == OLD


async def test_without_any_answer_the_connection_fails() -> None:
    sentinels = Scripted()
    sentinels.answers = [None, None, None]
    with pytest.raises(RedisConnectionError, match="0 of 3 sentinels name a primary of main"):
        await sentinels.primary()


async def test_a_server_that_was_named_before_a_failover_is_not_confirmed_after_it() -> None:
    sentinels = Scripted()
    sentinels.answers = [OLD, OLD, OLD]
    old = await sentinels.primary()
    assert sentinels.confirm(old) is None
    sentinels.answers = [NEW, NEW, NEW]
    new = await sentinels.primary()
    with pytest.raises(RedisConnectionError, match="the primary of main no more"):
        sentinels.confirm(old)
    assert sentinels.confirm(new) == ("10.0.0.1", 6379), "its connections are left"
    assert sentinels.confirm(new) is None


async def test_when_all_are_asked_the_newest_answer_counts_and_the_primary_before_is_left(monkeypatch) -> None:
    left: list[tuple[str, int]] = []
    monkeypatch.setattr("sio_server.store.sentinel.leave_server", lambda *server: left.append(server))
    sentinels = Scripted()
    sentinels.answers = [OLD, OLD, OLD]
    sentinels.confirm(await sentinels.primary())
    await sentinels.check_primary()
    assert left == []
    sentinels.answers, sentinels.late = [OLD, OLD, NEW], {2}
    assert await sentinels.primary() == OLD, "the first answer is as new as what is known"
    await sentinels.check_primary()
    await sentinels.check_primary()
    assert left == [("10.0.0.1", 6379)], "once"
    with pytest.raises(RedisConnectionError, match="the primary of main no more"):
        sentinels.confirm(OLD)


async def test_each_failover_is_noted_in_every_partition_once_before_anything_else_is_written() -> None:
    sentinels = Scripted()
    commands = sentinels.to_note(OLD)
    assert [command[2:] for command in commands] == [("primary0", "1"), ("primary", "1")] * PARTITIONS
    assert len({command[1] for command in commands}) == PARTITIONS
    assert sentinels.to_note(OLD) == commands, "until it is done"
    sentinels.noted(OLD)
    assert sentinels.to_note(OLD) == []
    assert sentinels.to_note(NEW)


async def test_when_all_are_asked_one_that_hangs_does_not_hold_up_what_a_majority_says() -> None:
    sentinels = Scripted()
    sentinels.answers, sentinels.hung = [NEW, OLD, NEW], {2}
    assert await asyncio.wait_for(sentinels.primary(wait_for_all=True), 10) == NEW
