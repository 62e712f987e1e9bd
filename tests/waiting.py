"""Wait for what a test expects. A failure says what was waited for and what came instead.

Events first: an `Inbox` keeps what was handed to it, `Changes` checks a condition at each change, and `first_of`
reads a stream up to what matches. `poll` is for foreign processes and files, which tell nobody.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Generic, TypeVar

T = TypeVar("T")

WAIT_S = 20.0  # for a busy machine; what holds is seen at once
POLL_S = 0.02
TOLD = 12  # so many of the last things that came are shown


class NeverCame(AssertionError):
    """What a test waited for did not come in time."""


@asynccontextmanager
async def within(seconds: float, what: str, came: Callable[[], object] | None = None) -> AsyncIterator[None]:
    """Bound a block of awaits: it fails as `what`, with what `came()` instead."""
    try:
        async with asyncio.timeout(seconds) as limit:
            yield
    except TimeoutError as exc:
        if not limit.expired():
            raise
        raise NeverCame(_failure(what, seconds, came)) from exc


class Changes:
    """A condition is looked at again at each `changed()`. `came` describes the state when it never held."""

    def __init__(self, came: Callable[[], object] | None = None) -> None:
        self._came = came
        self._changed = asyncio.Event()

    def changed(self) -> None:
        self._changed.set()

    async def until(self, holds: Callable[[], T | None], what: str = "", timeout: float = WAIT_S) -> T:
        """Wait until `holds()` is true; returns its value."""
        async with within(timeout, what or _source(holds), self._came):
            while not (value := holds()):
                self._changed.clear()
                await self._changed.wait()
        return value


class Inbox(Generic[T]):
    """What has come, in order. Call it with each item, as a handler of events is called."""

    def __init__(self) -> None:
        self.items: list[T] = []
        self._changes = Changes(lambda: self.items[-TOLD:])

    def __call__(self, item: T) -> None:
        self.items.append(item)
        self._changes.changed()

    async def until(self, holds: Callable[[list[T]], Any], what: str = "", timeout: float = WAIT_S) -> None:
        """Wait until this holds of all that has come."""
        await self._changes.until(lambda: holds(self.items), what or _source(holds), timeout)

    async def first(
        self, match: Callable[[T], Any] = lambda item: True, what: str = "", timeout: float = WAIT_S
    ) -> T:
        """The first item that matches, come already or to come."""
        found = await self._changes.until(
            lambda: [item for item in self.items if match(item)], what or _source(match), timeout
        )
        return found[0]


async def first_of(
    stream: AsyncIterable[T], match: Callable[[T], Any], what: str = "", timeout: float = WAIT_S
) -> T:
    """Read a stream (entries, lines of a process, messages of the bus) up to the first item that matches."""
    what = what or _source(match)
    came: list[T] = []
    async with within(timeout, what, lambda: came[-TOLD:]):
        async for item in stream:
            came.append(item)
            if match(item):
                return item
    raise NeverCame(f"the stream ended without: {what}; the last that came: {came[-TOLD:]}")


async def poll(
    holds: Callable[[], object | Awaitable[object]],
    what: str = "",
    timeout: float = WAIT_S,
    came: Callable[[], object] | None = None,
    *,
    every: float = POLL_S,
) -> Any:
    """Ask a foreign process, which sends no events, until the answer is true; returns the answer."""
    answer: Any = None
    async with within(timeout, what or _source(holds), came or (lambda: answer)):
        while True:
            answer = holds()
            if inspect.isawaitable(answer):
                answer = await answer
            if answer:
                return answer
            await asyncio.sleep(every)


def _failure(what: str, seconds: float, came: Callable[[], object] | None) -> str:
    return f"did not come within {seconds:g} s: {what}" + (f"; what came: {came()!r}" if came else "")


def _source(holds: Callable[..., object]) -> str:
    """The line that a condition was written on, for a wait that has not been named."""
    try:
        return " ".join(inspect.getsource(holds).split())
    except (OSError, TypeError):
        return repr(holds)
