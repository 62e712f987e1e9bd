"""What a search has found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, NamedTuple, Self


@dataclass(frozen=True)
class Hit:
    """A message, or what an agent has said; `text` is the part around the first match."""

    conversation_id: str
    title: str  # of the conversation
    seq: int
    type: str
    ts: str
    user_id: str
    name: str
    text: str

    @classmethod
    def from_wire(cls, item: Mapping[str, Any]) -> Self:
        return cls(**{one.name: item[one.name] for one in fields(cls)})  # a newer server may say more


class SearchPage(NamedTuple):
    """Hits, the newest first, and where the next page begins: None after the last one."""

    hits: list[Hit]
    next: str | None
