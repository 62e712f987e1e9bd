"""The conversations that a device follows: what becomes of one that is not served at this moment."""

from __future__ import annotations

from typing import Any

import pytest

from sio_clients import followed
from sio_clients.conversation import Conversation
from sio_clients.followed import FollowedConversations
from sio_server.protocol.errors import ErrorCode, Refused, Unavailable
from sio_server.protocol.position import Position
from tests.waiting import poll

IN_STEP: dict[str, Any] = {
    **{"verdict": "resumed", "reason": "ok", "n": 3, "position": {"epoch": "e", "seq": 3}, "after": 3, "head": 3},
    **{"more": False, "entries": [], "runs": [], "interrupts": [], "title": "Plans", "draft": None},
    "card": {
        **{"user_id": "ann", "verdict": "resumed", "reason": "ok"},
        "replayed": 0,
        "history": 3,
        "last_activity": "",
    },
}


class _Server:
    """Answers each request with the next of these answers."""

    def __init__(self, *answers: dict[str, Any]) -> None:
        self.answers = list(answers)
        self.asked: list[list[str]] = []

    async def request(self, event: str, payload: dict[str, Any], timeout_s: float) -> dict[str, Any]:
        if event == "marks:set":
            return self.answers.pop(0)
        self.asked.append(list(payload["positions"]))
        return {"conversations": self.answers.pop(0)}


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(followed, "SYNC_AGAIN_S", 0.01)


def following(*ids: str) -> tuple[FollowedConversations, list[Conversation]]:
    made = FollowedConversations(report_delivery=False)
    conversations = [Conversation(_Requester(), one, Position("e", 3)) for one in ids]
    for conversation in conversations:
        made.add(conversation)
    return made, conversations


class _Requester:
    async def request(self, event: str, payload: dict[str, Any]) -> dict[str, Any]:
        raise AssertionError("nothing is asked for")

    def forget(self, conversation: Conversation, error: Exception | None = None) -> None: ...


async def test_a_conversation_that_is_not_served_at_this_moment_is_kept_and_asked_for_again() -> None:
    away = {"error": Unavailable("its shard is away").to_wire()}
    server: Any = _Server({"a": away, "b": IN_STEP}, {"a": away}, {"a": IN_STEP})
    made, (a, b) = following("a", "b")
    await made.catch_up(server, "ann")
    assert made.get("a") is a
    assert b.stream.in_step
    await poll(lambda: a.stream.in_step)
    assert server.asked == [["a", "b"], ["a"], ["a"]]
    await made.close()


async def test_a_conversation_that_the_user_has_left_is_forgotten() -> None:
    gone = {"error": Refused(ErrorCode.NOT_A_MEMBER, "join it first").to_wire()}
    server: Any = _Server({"a": gone})
    made, _ = following("a")
    await made.catch_up(server, "ann")
    assert made.get("a") is None
    await made.close()


async def test_a_delivery_mark_that_is_not_taken_at_this_moment_is_reported_again() -> None:
    away = {"error": Unavailable("its shard is away").to_wire()}
    server: Any = _Server({"marks": {"a": away, "b": {"delivered": 3}}})
    made, _ = following()
    await made.catch_up(server, "ann")
    with pytest.raises(Unavailable):
        await made._report_delivery({"a": 3, "b": 3})
    await made.close()
