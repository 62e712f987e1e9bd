"""What the assistant remembers between turns, within fixed bounds."""

from typing import Annotated, Any, TypedDict, cast

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage
from langchain_core.messages.tool import ToolCall
from langgraph.graph.message import add_messages

MESSAGES_KEPT = 40
BOOKINGS_KEPT = 50
# With these two a single turn is bounded as well, whatever the model does.
MOST_CALLS = 8  # of tools, in one message of the model
MOST_STEPS = 6  # of the model, in one turn


class Booking(TypedDict):
    """One booking made."""

    key: str  # names the tool call it came from: the same call books once, however often it is carried out
    number: str
    user: str
    what: str
    when: str
    how_many: int


class Task(TypedDict):
    """One tool call, with what its node needs to know of the turn."""

    call: ToolCall
    key: str
    user: str
    language: str


def keep_recent(left: Any, right: Any) -> list[AnyMessage]:
    """Merge as `add_messages` does, then forget the oldest turns.

    It is cut before a person's message only, so a tool call is never parted from its result; and the turn
    that is on is kept whole, even where it alone is longer than MESSAGES_KEPT.
    """
    messages = cast(list[AnyMessage], add_messages(left, right))
    too_many = len(messages) - MESSAGES_KEPT
    if too_many <= 0:
        return messages
    turns = [place for place, message in enumerate(messages) if isinstance(message, HumanMessage)]
    start = next((place for place in turns if place >= too_many), turns[-1] if turns else too_many)
    return messages[start:]


def merge_bookings(left: list[Booking], right: list[Booking]) -> list[Booking]:
    """The bookings of both, each key once, the newest BOOKINGS_KEPT."""
    known = {booking["key"] for booking in left}
    return [*left, *(booking for booking in right if booking["key"] not in known)][-BOOKINGS_KEPT:]


class AssistantState(TypedDict, total=False):
    """The state of one thread, which a whole group may share."""

    messages: Annotated[list[AnyMessage], keep_recent]
    bookings: Annotated[list[Booking], merge_bookings]


def steps_of_turn(messages: list[AnyMessage]) -> int:
    """How often the model has spoken since a person did."""
    steps = 0
    for message in reversed(messages):
        if isinstance(message, HumanMessage):
            break
        steps += isinstance(message, AIMessage)
    return steps
