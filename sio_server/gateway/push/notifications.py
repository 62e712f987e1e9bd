"""Which notification an entry makes, and for whom. No I/O."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sio_server.conversation.audience import Audience
from sio_server.protocol.events import EntryType
from sio_server.protocol.mention import may_mention, mention_marks, mentioned_people
from sio_server.users.push import Reachable, Subscription

Kind = Literal["mention", "question"]

MAX_TEXT = 200  # characters of what was said that are shown
MAX_TITLE = 100


@dataclass(frozen=True)
class News:
    """An entry that may notify people: what was said, by `author`, and of a message whom it names."""

    kind: Kind
    conversation_id: str
    author: str
    name: str
    text: str
    people: str = ""
    reply_to: int | None = None


def news_of(conversation_id: str, entry_type: str, envelope: str) -> News | None:
    """What may be notified of an entry; None for most."""
    if entry_type not in (EntryType.MESSAGE, EntryType.INTERRUPT):
        return None
    if entry_type == EntryType.MESSAGE and not may_mention(envelope) and '"reply_to":' not in envelope:
        return None
    data: dict[str, Any] = json.loads(envelope)["data"]
    text = str(data.get("text", ""))
    kind: Kind = "question" if entry_type == EntryType.INTERRUPT else "mention"
    people = mentioned_people(text) if kind == "mention" else ""
    reply_to = data.get("reply_to") if kind == "mention" else None
    if kind == "mention" and not people and reply_to is None:
        return None
    return News(
        kind, conversation_id, str(data.get("user_id", "")), str(data.get("name", "")), text, people, reply_to
    )


def candidates(news: News, audience: Audience) -> list[str]:
    """The users who may be notified, if they have subscriptions."""
    users = audience.answering() if news.kind == "question" else list(audience.members)
    return [user_id for user_id in users if user_id != news.author]


def chosen(news: News, audience: Audience, reachable: Mapping[str, Reachable]) -> list[Subscription]:
    """The devices that are notified: of a question always, of a mention while the user is on no device."""
    found: list[Subscription] = []
    for user_id, one in reachable.items():
        if news.kind == "question":
            found += one.subscriptions
        elif not one.online:
            found += [
                subscription
                for subscription in one.subscriptions
                if user_id == audience.replied_to or _names(news.people, user_id, subscription.name)
            ]
    return found


def payload_of(news: News, audience: Audience, base_path: str) -> bytes:
    """What a device is told (JSON)."""
    text = " ".join(news.text.split())
    told = {
        "kind": news.kind,
        "conversation_id": news.conversation_id,
        "title": audience.title[:MAX_TITLE],
        "name": news.name[:MAX_TITLE],
        "text": text if len(text) <= MAX_TEXT else f"{text[: MAX_TEXT - 1]}…",
        "url": f"{base_path}/#c={news.conversation_id}",
    }
    return json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode()


def _names(people: str, user_id: str, name: str) -> bool:
    marks: Sequence[str] = mention_marks(user_id, name)
    return any(mark in people for mark in marks)
