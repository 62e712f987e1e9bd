"""What a client may send: masked frames, so many and so many bytes, counted however the bytes are cut."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sio_server.gateway.transport.inbound import (
    BYTES,
    BYTES_WITHOUT_SESSION,
    CONTROL,
    LEAST_EVENTS,
    MESSAGES_WITHOUT_SESSION,
    SMALL_FRAGMENT,
    Fault,
    Inbound,
    InboundLimits,
)
from sio_server.gateway.transport.stock.frame_heads import FrameHead, FrameHeads
from sio_server.protocol.events import MAX_FRAME_BYTES
from tests.faults.raw_websocket import CLOSE, PING, PONG, TEXT, frame

FRAMES = st.tuples(
    st.sampled_from((0, 1, 2, 8, 9, 10)),
    st.booleans(),
    st.booleans(),
    st.one_of(st.integers(0, 300), st.sampled_from((125, 126, 65_535, 65_536, 70_000))),
)
PINGS = frame(b"", PING)


class Client:
    """What one client sends is judged as the stock transport does: by its heads, and by its messages."""

    def __init__(self, limits: InboundLimits) -> None:
        self._inbound = Inbound(limits)
        self._heads = FrameHeads()

    def received(self, data: bytes, now: float) -> Fault | None:
        return self._inbound.heads(self._heads.feed(data), now)

    def message(self, text: str, *, session: bool, now: float) -> Fault | None:
        return self._inbound.message(len(text.encode()), event=text.startswith("42"), session=session, now=now)


def inbound(limits: InboundLimits | None = None) -> Client:
    return Client(limits or InboundLimits())


@given(st.lists(FRAMES, max_size=8), st.lists(st.integers(1, 400), max_size=400))
def test_every_head_is_found_however_the_bytes_are_cut(frames: list[tuple], cuts: list[int]) -> None:
    data = b"".join(
        frame(b"\x89" * size, opcode, final=final, masked=masked) for opcode, final, masked, size in frames
    )
    heads = FrameHeads()
    found: list[FrameHead] = []
    for cut in cuts:
        found += heads.feed(data[:cut])
        data = data[cut:]
    found += heads.feed(data)
    assert found == [FrameHead(*one) for one in frames]


def test_control_frames_are_limited_and_earned_again() -> None:
    client, burst = inbound(), int(CONTROL.burst)
    assert client.received(PINGS * burst, 0.0) is None
    assert client.received(frame(b"", PONG) * int(CONTROL.per_s), 1.0) is None
    assert client.received(PINGS, 1.0) == Fault(1008, "too many websocket pings, pongs or fragments")


def test_a_pause_earns_no_more_than_the_burst() -> None:
    client, burst = inbound(), int(CONTROL.burst)
    assert client.received(PINGS * burst, 1e6) is None
    assert client.received(PINGS, 1e6) is not None


def test_a_large_message_in_pieces_is_no_flood_and_one_in_small_pieces_is() -> None:
    client = inbound()
    piece = b"x" * SMALL_FRAGMENT
    for _ in range(1000):
        pieces = [frame(piece, TEXT, final=False), *[frame(piece, 0, final=False)] * 3, frame(piece, 0)]
        assert client.received(b"".join(pieces), 0.0) is None
    assert client.received(frame(piece[:-1], 0, final=False) * (int(CONTROL.burst) + 1), 0.0) is not None


def test_a_frame_without_a_mask_is_a_protocol_error() -> None:
    for opcode in (TEXT, PING, CLOSE):
        fault = inbound().received(frame(b"x", opcode, masked=False), 0.0)
        assert fault is not None
        assert fault.code == 1002


def test_a_client_without_a_session_may_send_its_token_and_little_more() -> None:
    client = inbound()
    assert client.message("40" + "x" * (MAX_FRAME_BYTES - 2), session=False, now=0.0) is None
    for _ in range(int(MESSAGES_WITHOUT_SESSION.burst) - 1):
        assert client.message("3", session=False, now=0.0) is None
    assert client.message("3", session=False, now=0.0) == Fault(1008, "too many messages")
    chinese = "你" * (int(BYTES_WITHOUT_SESSION.burst) // 3 + 1)
    assert inbound().message(chinese, session=False, now=0.0) == Fault(1008, "too many bytes")


def test_with_a_session_events_and_bytes_have_limits_of_their_own() -> None:
    client = inbound()
    for _ in range(int(LEAST_EVENTS.burst)):
        assert client.message("421[]", session=True, now=0.0) is None
    assert client.message("421[]", session=True, now=0.0) == Fault(1008, "too many messages")
    assert client.message("421[]", session=True, now=1.0) is None
    assert inbound().message("4" * (int(BYTES.burst) + 1), session=True, now=0.0) == Fault(1008, "too many bytes")


def test_messages_that_are_no_events_count_as_control_frames() -> None:
    client = inbound()
    for _ in range(int(CONTROL.burst)):
        assert client.message("3", session=True, now=0.0) is None
    assert client.message("430[]", session=True, now=0.0) is not None


def test_events_are_cut_off_far_above_what_a_user_may_ask_for() -> None:
    limits = InboundLimits.above_events([(2000, 1), (60_000, 60)])
    assert limits.events == (20_000, 10_000)
    assert InboundLimits.above_events([(5, 1)]).events == LEAST_EVENTS


def test_where_users_are_not_limited_events_are_not_either() -> None:
    client = inbound(InboundLimits.above_events([]))
    for _ in range(3 * int(LEAST_EVENTS.burst)):
        assert client.message("421[]" + "x" * 10_000, session=True, now=0.0) is None
