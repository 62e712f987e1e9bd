"""Frames of clients are read strictly, and however their bytes are cut into pieces."""

from __future__ import annotations

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sio_server.gateway.transport import libraries
from sio_server.gateway.transport.direct.client_frames import ClientFrames, WrongFrame, check_close
from sio_server.gateway.transport.engine import HARD_FRAME_BYTES
from tests.faults.raw_websocket import BINARY, CLOSE, PING, PONG, TEXT, frame

# Whole messages in pieces of these sizes, and control frames.
MESSAGES = st.lists(
    st.one_of(
        st.lists(st.sampled_from((0, 1, 125, 126, 300, 65_535, 65_536)), min_size=1, max_size=4),
        st.sampled_from((PING, PONG, CLOSE)),
    ),
    max_size=6,
)


def masked(content: bytes, opcode: int, *, final: bool = True) -> bytes:
    """A frame with a mask that changes its content."""
    mask, plain = os.urandom(4), frame(content, opcode, final=final)
    head = plain[: len(plain) - len(content) - 4]
    return head + mask + xor(mask, content)


def xor(mask: bytes, content: bytes) -> bytes:
    key = (mask * (len(content) // 4 + 1))[: len(content)]
    return (int.from_bytes(content, "big") ^ int.from_bytes(key, "big")).to_bytes(len(content), "big")


def read(frames: ClientFrames) -> list[tuple[int, bytes]]:
    found = []
    while (one := frames.next()) is not None:
        if one[0] != 0:  # of a message, the last fragment brings it all
            found.append((one[0], bytes(one[1])))
    return found


@settings(deadline=None, max_examples=30)
@given(MESSAGES, st.lists(st.integers(1, 70_000), max_size=40))
def test_messages_are_read_however_they_are_cut(messages: list, cuts: list[int]) -> None:
    data, expected = b"", []
    for message in messages:
        if isinstance(message, int):
            data += masked(b"\x03\xe8", message)
            expected.append((message, b"\x03\xe8"))
            continue
        text = os.urandom(sum(message))
        at = 0
        for number, size in enumerate(message):
            last = number == len(message) - 1
            data += masked(text[at : at + size], 0 if number else TEXT, final=last)
            data += b"" if last else masked(b"between", PING)
            expected += [] if last else [(PING, b"between")]
            at += size
        expected.append((TEXT, text))
    frames, found = ClientFrames(), []
    for cut in cuts:
        frames.feed(data[:cut])
        found += read(frames)
        data = data[cut:]
    frames.feed(data)
    found += read(frames)
    assert found == expected
    assert frames.is_empty


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (frame(b"x", masked=False), 1002),
        (frame(b"x", reserved=4), 1002),
        (frame(b"x", 3), 1002),
        (frame(b"x", 11), 1002),
        (frame(b"x" * 126, PING), 1002),
        (frame(b"x", PING, final=False), 1002),
        (frame(b"x", 0), 1002),
        (frame(b"x", final=False) + frame(b"x"), 1002),
        (frame(b"x", BINARY), 1003),
        (frame(b"x" * (HARD_FRAME_BYTES + 1)), 1009),
        (frame(b"x" * (HARD_FRAME_BYTES + 1))[:10], 1009),
        (frame(b"x" * HARD_FRAME_BYTES, final=False) + frame(b"x", 0), 1009),
    ],
    ids=[
        *("no mask", "a reserved bit", "an opcode of data", "an opcode of control", "a long ping"),
        *("a ping in pieces", "a piece of nothing", "two messages at once", "binary"),
        *("too big", "too big by its head", "too big in pieces"),
    ],
)
def test_what_a_client_must_not_send_is_named_by_a_close_code(data: bytes, code: int) -> None:
    frames = ClientFrames()
    frames.feed(data)
    with pytest.raises(WrongFrame) as wrong:
        read(frames)
    assert wrong.value.fault.code == code


@pytest.mark.parametrize("content", [b"", b"\x03\xe8", b"\x03\xe8bye", b"\x0f\xa0", b"\x03\xf3"])
def test_a_close_frame_may_have_a_code_and_a_reason(content: bytes) -> None:
    check_close(content)


@pytest.mark.parametrize("content", [b"\x03", b"\x03\xe7", b"\x03\xed", b"\xff\xff", b"\x03\xe8\xff\xfe"])
def test_a_close_frame_with_another_code_is_refused(content: bytes) -> None:
    with pytest.raises(WrongFrame):
        check_close(content)


@pytest.mark.parametrize("size", [0, 1, 3, 4, 7, 8, 100, 1001])
def test_a_mask_is_applied_to_content_of_every_size(size: int) -> None:
    mask, content = b"\x01\x80\xff\x10", os.urandom(size)
    data = bytearray(content)
    libraries.apply_mask(mask, data)
    assert bytes(data) == xor(mask, content)
