"""What the concierge remembers between turns, in plain JSON types and within fixed bounds."""

from typing import Annotated, Any, Literal, TypedDict, cast

from langchain_core.messages import AnyMessage
from langgraph.graph.message import add_messages

MESSAGES_KEPT = 20
OPEN_BOOKINGS_KEPT = 50
CONFIRMED_KEPT = 20
MOST_PEOPLE = 500

Language = Literal["en", "zh"]
Slot = Literal["what", "when", "how_many"]
Asked = Literal["what", "when", "how_many", "confirm", "change"]
Intent = Literal["start", "yes", "no", "cancel", "summarise", "showcase", "offer", "story", "other"]
Decision = Literal["approve", "reject"]

SLOTS: tuple[Slot, ...] = ("what", "when", "how_many")


class Slots(TypedDict, total=False):
    """What a booking needs; a key that is absent is a slot still to be filled."""

    what: str
    when: str
    how_many: int


class Booking(Slots, total=False):
    """One user's open booking."""

    asked: Asked  # what the concierge asked last, hence what a bare answer is an answer to
    language: Language  # a bare "6" is answered in the language its user spoke, not the group's last
    touched: int  # the turn of the last change: the one left alone longest is the first to be dropped


class Confirmed(TypedDict):
    """One booking made."""

    number: str
    user: str
    what: str
    when: str
    how_many: int


class Turn(TypedDict):
    """What was found in this turn's message, or in the answer to its approval, for the nodes after."""

    user: str
    language: Language
    intent: Intent
    changed: bool  # the message filled, altered or reopened a slot
    out_of_range: bool  # it named a number of people no room takes


def keep_last(left: Any, right: Any) -> list[AnyMessage]:
    """Merge as `add_messages` does, then forget all but the last few, so a thread cannot grow for ever."""
    return cast(list[AnyMessage], add_messages(left, right))[-MESSAGES_KEPT:]


class ConciergeState(TypedDict, total=False):
    """The state of one thread, which a whole group may share."""

    messages: Annotated[list[AnyMessage], keep_last]
    bookings: dict[str, Booking]  # by user: one user's words never fill another's slots
    confirmed: list[Confirmed]
    confirmed_count: int  # of all ever made, also those no longer kept
    turns: int
    language: Language
    turn: Turn
    reply: str
    thought: str  # what is thought before the reply; '' for most


def first_missing(booking: Booking) -> Slot | None:
    """The slot to ask for next."""
    return next((slot for slot in SLOTS if slot not in booking), None)


def with_booking(bookings: dict[str, Booking], user: str, booking: Booking) -> dict[str, Booking]:
    """The open bookings with this user's put in, and those left alone longest dropped."""
    merged = {**bookings, user: booking}
    # By turn and not by place in the dict: a JSON store need not keep the order of keys.
    newest = sorted(merged, key=lambda name: merged[name].get("touched", 0))[-OPEN_BOOKINGS_KEPT:]
    return {name: merged[name] for name in newest}


def without_booking(bookings: dict[str, Booking], user: str) -> dict[str, Booking]:
    """The open bookings with this user's taken out."""
    return {name: booking for name, booking in bookings.items() if name != user}
