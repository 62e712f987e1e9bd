"""What a run says and reports on its way to devices: collected for some milliseconds, then shown in one batch."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sio_server.conversation.runs import Batch, ClaimedRun, Runs
from sio_server.protocol.errors import Unavailable
from sio_server.protocol.events import MAX_REPORTS, PREVIEW_BYTES
from sio_server.store.json_text import to_json
from sio_server.store.keys import LEASE_MS

FIRST_S = 0.002  # before the first text after a takeover: people have been waiting
COALESCE_S = 0.045  # people see no difference from word by word; the bus carries at most 22 batches a second
KEPT_S = LEASE_MS / 1000 + 1  # what was shown: a failover that loses more of it loses the lease, too
BETWEEN_PARTS = "\n\n"

# An event stays below 64 kB: what is said and what is reported, in bytes of JSON. Only a part with data, which is
# not divided, may be larger.
_TEXT_BYTES = 32 * 1024
_REPORT_BYTES = 24 * 1024
_PART_BYTES = 100  # of JSON that a part costs beside its text


@dataclass
class Part:
    """What one speaker says in one message. `data` is that of an image, file, citation or structured output."""

    kind: str
    speaker: str
    text: str = ""
    data: dict[str, Any] | None = None


class _Growing:
    """A part as it grows: what has been said, and what of it waits to be streamed."""

    def __init__(self, kind: str, speaker: str, data: dict[str, Any] | None) -> None:
        self.kind = kind
        self.speaker = speaker
        self.data = data
        self.waiting: list[str] = []
        self.number: int | None = None  # in the stream, where a part begins with its first text
        self.cut = False  # no more of it is streamed
        self._said: list[str] = []

    def add_text(self, text: str) -> None:
        self._said.append(text)
        if not self.cut:
            self.waiting.append(text)

    def cut_off(self) -> None:
        self.cut = True
        self.waiting.clear()

    def whole(self) -> Part:
        self._said = ["".join(self._said)]
        return Part(self.kind, self.speaker, self._said[0], self.data)


class RunStream:
    """Streams one attempt: parts, numbered in the order in which they begin to say something, and reports.

    Texts of a part stay in order, and so do reports. The cost is linear in what is said. PREVIEW_BYTES of it are
    streamed, and of what is reported between two batches the newest MAX_REPORTS.
    """

    def __init__(
        self,
        runs: Runs,
        run: ClaimedRun,
        on_first_text: Callable[[], None] = lambda: None,
        *,
        kept_s: float = KEPT_S,
    ) -> None:
        """`on_first_text` is called when devices can see the first of it. `kept_s`: how long batches are kept."""
        self._runs = runs
        self._run = run
        self._parts: list[_Growing] = []
        self._grown: dict[int, _Growing] = {}  # have something to show, in the order in which that began to wait
        self._left = PREVIEW_BYTES
        self._shown: list[_Growing] = []  # parts that devices know, by number
        self._reports: deque[tuple[int, dict[str, Any]]] = deque(maxlen=MAX_REPORTS)
        self._reported = 0
        self._batches = 0
        self._unsent: Batch | None = None  # on its way
        self._kept_s = kept_s
        self._sent: deque[tuple[float, Batch]] = deque()  # and when
        self._again: deque[Batch] = deque()  # a failover has lost them
        self._changed = asyncio.Event()
        self._ended = asyncio.Event()
        self._on_first_text: Callable[[], None] | None = on_first_text

    @property
    def parts(self) -> list[Part]:
        """All that was said in this attempt, whole. Texts are joined here: not to be read for each word."""
        return [part.whole() for part in self._parts]

    @property
    def said(self) -> str:
        """The text parts of this attempt, with a blank line between two."""
        return BETWEEN_PARTS.join(part.text for part in self.parts if part.kind == "text" and part.text)

    def begin_part(self, kind: str, speaker: str, data: dict[str, Any] | None = None) -> int:
        """Begin a part; return its index in `parts`. One without `data` is shown with its first text."""
        index = len(self._parts)
        self._parts.append(_Growing(kind, speaker, data))
        if data is not None:
            self._grow(index)
        return index

    def add_text(self, part: int, text: str) -> None:
        """Add text to the part with this index."""
        if text:
            self._parts[part].add_text(text)
            self._grow(part)

    def add_report(self, report: dict[str, Any]) -> None:
        """Add a report: `{kind, ...}`."""
        self._reported += 1
        self._reports.append((self._reported, report))
        self._changed.set()

    async def pump(self) -> None:
        """Show what is added, until `close`, which does not wait for what is being collected. Raises LeaseLost."""
        while not self._ended.is_set():
            await self._changed.wait()
            is_awaited = self._run.attempt > 1 and not self._shown
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(FIRST_S if is_awaited else COALESCE_S):
                    await self._ended.wait()
            if not self._ended.is_set():
                await self.flush()

    def close(self) -> None:
        """Say that nothing more will be added. A flag, since the Redis client may swallow a cancellation."""
        self._ended.set()
        self._changed.set()

    async def flush(self) -> None:
        """Show what has not been shown yet. While Redis cannot be reached nothing is lost: it is shown later.

        What is added meanwhile waits for the next flush: a graph that never pauses does not make it endless.
        """
        self._changed.clear()
        more = True
        while more:
            # What is left over does not fit in one event, or came after a batch whose reply was lost.
            more = self._unsent is not None
            if self._unsent is None and self._again:
                self._unsent, more = self._again.popleft(), True
            elif self._unsent is None:
                self._unsent = self._next_batch()
                more = bool(self._grown)
            if self._unsent is None or not await self._send():
                return
            more = more or bool(self._again)

    def take_rest(self) -> list[Batch]:
        """What has not been shown yet, for the end of the run to show; after `close`.

        The first may be on its way, and may arrive or not: a batch counts once.
        """
        rest = [self._unsent] if self._unsent is not None else []
        rest += self._again
        self._again.clear()
        while self._grown or self._reports:
            batch = self._next_batch()
            if batch is not None:
                rest.append(batch)
        return rest

    async def _send(self) -> bool:
        """Send the batch that is on its way; False when Redis does not say that it has it."""
        assert self._unsent is not None
        try:
            there = await self._runs.add_written(self._run, self._unsent)
        except Unavailable:
            # It may have arrived all the same: the very same batch must be sent again, and not a longer one.
            self._changed.set()
            return False
        self._note_sent(self._unsent, there)
        self._unsent = None
        self.tell_shown()
        return True

    def _note_sent(self, batch: Batch, there: int) -> None:
        """A batch was sent, and the last one that is there has this number: those behind it are sent again."""
        now = time.monotonic()
        self._sent.append((now, batch))
        while self._sent and self._sent[0][0] < now - self._kept_s:
            self._sent.popleft()
        lost = [one for _, one in self._sent if one.number > there]
        if lost and lost[0].number == there + 1:  # otherwise they could not follow: the final entry says it all
            self._sent = deque(item for item in self._sent if item[1].number <= there)
            self._again.extendleft(reversed(lost))

    def tell_shown(self) -> None:
        """What was taken to be shown is shown."""
        if self._on_first_text is not None and self._shown:
            tell, self._on_first_text = self._on_first_text, None
            tell()

    def _grow(self, index: int) -> None:
        part = self._parts[index]
        # A part that devices know is told to be cut, once.
        if not part.cut:
            self._grown[index] = part
            self._changed.set()

    def _next_batch(self) -> Batch | None:
        """The next texts, as many as an event may hold, and the newest reports; None when nothing waits."""
        parts, reports = self._next_parts(), self._next_reports()
        if not parts and not reports:
            return None
        self._batches += 1
        return Batch(self._batches, parts, reports)

    def _next_parts(self) -> list[dict[str, Any]]:
        parts: list[dict[str, Any]] = []
        room = _TEXT_BYTES
        while self._grown and room >= _PART_BYTES:
            index, part = next(iter(self._grown.items()))
            written = self._next_of(part, room)
            if not part.waiting:
                del self._grown[index]
            if written is not None:
                parts.append(written)
                room -= _json_bytes(written)
        return parts

    def _next_of(self, part: _Growing, room: int) -> dict[str, Any] | None:
        """What is shown of a part next, in about `room` bytes; None when nothing is."""
        if part.number is None:
            written = self._begin(part)
            if written is None or part.data is not None:
                return written
        elif part.cut:
            return None
        else:
            written = {"part": part.number, "text": ""}
        waiting = "".join(part.waiting)
        text = _beginning(waiting, min(room, self._left))
        written["text"] = text
        part.waiting = [waiting[len(text) :]] if len(text) < len(waiting) else []
        if part.waiting and self._left <= room:
            part.cut_off()
            written["cut"] = True
        self._left -= _json_bytes(text)
        return written

    def _begin(self, part: _Growing) -> dict[str, Any] | None:
        """What begins a part in the stream. Without room for it, the part before it is told to be cut."""
        begun: dict[str, Any] = {"part": len(self._shown), "kind": part.kind, "speaker": part.speaker, "text": ""}
        cost = _PART_BYTES + _json_bytes(part.speaker)
        if part.data is not None:
            size = _json_bytes(part.data)
            if cost + size <= self._left:
                begun["data"] = part.data
                cost += size
            else:
                begun["cut"] = True
        if cost > self._left:
            part.cut_off()
            before = self._shown[-1] if self._shown else None
            if before is None or before.cut:
                return None
            before.cut_off()
            return {"part": before.number, "text": "", "cut": True}
        self._left -= cost
        part.number = len(self._shown)
        self._shown.append(part)
        return begun

    def _next_reports(self) -> list[dict[str, Any]]:
        """The newest that fit; what is older is dropped, and so its number is never seen."""
        newest: list[dict[str, Any]] = []
        room = _REPORT_BYTES
        for number, report in reversed(self._reports):
            numbered = {"number": number, **report}
            room -= _json_bytes(numbered)
            if room < 0 and newest:
                break
            newest.append(numbered)
        self._reports.clear()
        return newest[::-1]


def _json_bytes(value: Any) -> int:
    return len(to_json(value).encode())


def _beginning(text: str, limit: int) -> str:
    """The beginning of a text that takes at most `limit` bytes as JSON."""
    limit = max(0, limit)
    piece = text[:limit]
    while (size := _json_bytes(piece) - 2) > limit:
        piece = piece[: len(piece) * limit // size]
    return piece
