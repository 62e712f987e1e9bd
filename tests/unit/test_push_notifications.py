"""Which entries notify whom."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sio_server.conversation.audience import Audience
from sio_server.gateway.push.notifications import MAX_TEXT, News, candidates, chosen, news_of, payload_of
from sio_server.gateway.push.sending import topic_of
from sio_server.users.push import Reachable, Subscription


def envelope(kind: str = "message", **data: Any) -> str:
    return json.dumps({"type": kind, "data": {"user_id": "ann", "name": "Ann", **data}}, ensure_ascii=False)


def news(kind: str = "message", **data: Any) -> News:
    found = news_of("plans", kind, envelope(kind, **data))
    assert found is not None
    return found


def away(user_id: str, name: str, *, online: bool = False) -> dict[str, Reachable]:
    return {user_id: Reachable(online, [Subscription(user_id, "phone", "https://push.example/1", "p", "a", name)])}


MEMBERS = {"ann": "owner", "bob": "member", "carol": "member"}
AUDIENCE = Audience("Plans", "members", MEMBERS, "ann", "")
REACHABLE = away("bob", "Bob") | away("carol", "王小明")


def told(of: News, audience: Audience = AUDIENCE) -> list[str]:
    reachable = {user_id: REACHABLE[user_id] for user_id in candidates(of, audience) if user_id in REACHABLE}
    return [one.user_id for one in chosen(of, audience, reachable)]


@pytest.mark.parametrize(
    ("kind", "data"), [("message", {"text": "hello"}), ("answer", {"text": "@bob"}), ("member_joined", {})]
)
def test_other_entries_notify_nobody(kind: str, data: dict[str, Any]) -> None:
    assert news_of("plans", kind, envelope(kind, **data)) is None


@pytest.mark.parametrize(
    ("text", "whom"),
    [("@bob hi", ["bob"]), ("＠Bob", ["bob"]), ("@王小明你好", ["carol"]), ("@bobby", []), ("@ann", [])],
)
def test_a_message_notifies_those_whom_it_names(text: str, whom: list[str]) -> None:
    assert told(news(text=text)) == whom


def test_a_reply_notifies_the_author_of_what_it_replies_to() -> None:
    answered = news(text="yes", reply_to=3)
    assert answered.reply_to == 3
    assert told(answered, Audience("Plans", "members", MEMBERS, "ann", "bob")) == ["bob"]
    assert told(answered, Audience("Plans", "members", MEMBERS, "ann", "ann")) == [], "one's own"


def test_a_question_notifies_those_who_may_answer_also_online() -> None:
    asked = news("interrupt", user_id="agent:concierge", text="Shall I?")
    assert told(asked) == ["bob", "carol"]
    assert candidates(asked, Audience("Plans", "owner", MEMBERS, "ann", "")) == ["ann"]
    assert candidates(asked, Audience("Plans", "owner", {"bob": "member"}, "ann", "")) == [], "the owner has left"
    assert chosen(asked, AUDIENCE, away("bob", "Bob", online=True))
    assert not chosen(news(text="@bob"), AUDIENCE, away("bob", "Bob", online=True))


def test_a_payload_fits_into_a_push_message_however_much_was_said() -> None:
    long = news(text="@bob " + "好 " * 5000, name="安" * 200)
    payload = payload_of(long, Audience("题" * 200, "members", MEMBERS, "ann", ""), "/chat")
    assert len(payload) < 3000  # of 3993 that services take
    shown = json.loads(payload)
    assert len(shown["text"]) == MAX_TEXT
    assert shown["url"] == "/chat/#c=plans"


def test_a_topic_is_what_push_services_take() -> None:
    assert len(topic_of("mention", "plans")) == 32
    assert topic_of("mention", "plans") != topic_of("question", "plans")
