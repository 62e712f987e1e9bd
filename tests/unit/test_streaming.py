"""Streamed text: every delta once and in order, also when a reply of the store is lost."""

from __future__ import annotations

from typing import Any, cast

from sio_server.dialog.runs import Runs, TakenRun
from sio_server.dialog.streaming import TextStream
from sio_server.protocol.errors import Unavailable

RUN = TakenRun("c", "e", "r-1", 1, "1", 2, None)


class Store:
    """What the delta script does: a delta whose offset is not the length of the text changes nothing."""

    def __init__(self) -> None:
        self.text = ""
        self.lose_replies = 0
        self.away = False

    async def add_text(self, run: TakenRun, offset: int, text: str) -> None:
        if self.away:
            raise Unavailable("away")
        if offset == len(self.text):
            self.text += text
        if self.lose_replies:
            self.lose_replies -= 1
            raise Unavailable("the reply was lost")


def stream(store: Any) -> TextStream:
    return TextStream(cast(Runs, store), RUN)


async def test_text_added_after_a_lost_reply_follows_what_was_shown() -> None:
    store = Store()
    streamed = stream(store)
    streamed.add("How many ")
    store.lose_replies = 1
    await streamed.flush()
    streamed.add("people?")
    await streamed.flush()
    assert store.text == "How many people?"


async def test_text_added_while_the_store_is_away_is_shown_when_it_is_back() -> None:
    store = Store()
    streamed = stream(store)
    store.away = True
    for word in ("one ", "two ", "three"):
        streamed.add(word)
        await streamed.flush()
    store.away = False
    await streamed.flush()
    assert store.text == "one two three"
