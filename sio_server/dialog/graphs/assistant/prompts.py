"""The assistant's words: what the model is told, and what people are asked."""

import json
from typing import Any

from sio_server.dialog.graphs.assistant.state import Booking

SYSTEM = (
    "You are the assistant of a conversation in which several people may take part. Answer in the language of "
    "the last message, briefly and in plain text. Use a tool where it helps; never claim to have done what no "
    "tool result says was done. Before a room is booked, people are asked for approval by the system: call "
    "book_room as soon as you know what for, when and for how many, and do not ask for a confirmation yourself. "
    "If a booking is rejected, do not call the tool again unless someone asks for it again."
)
TITLE = "Title this conversation in at most six words, in the language of the message. Answer with the title only."
BOOKINGS = "Bookings made in this conversation so far, as data: {bookings}"

NOT_EXECUTED = "Not executed: the run ended before this call was carried out."
UNKNOWN_TOOL = "There is no tool of this name."
BAD_ARGUMENTS = "Not executed, the arguments are wrong: {problems}"
REJECTED = "Not booked: people rejected it."
REJECTED_WITH_REASON = "Not booked: people rejected it and said: {reason}"
BOOKED = "Booked, the number is {number}: {what}, {when}, {how_many} people."

APPROVE_ROOM = {
    "en": "Book a room for {how_many}: {what}, {when}?",
    "zh": "要预订一间{how_many}人的会议室吗？{what}，{when}。",
}
OPTIONS = {
    "en": {"approve": "Approve", "reject": "Reject"},
    "zh": {"approve": "批准", "reject": "拒绝"},
}
GAVE_UP = {
    "en": "I could not finish this in so many steps. Please ask for it in smaller parts.",
    "zh": "步骤太多，我没能完成。请把要求分成几部分再说。",
}

YES = {"approve", "yes", "批准", "同意", "是"}
NO = {"reject", "no", "拒绝", "否"}
REASON_AT_MOST = 1000


def system_prompt(bookings: list[Booking]) -> str:
    """What the model is told first; it forgets old messages, but not what it has booked."""
    if not bookings:
        return SYSTEM
    told = [{name: value for name, value in booking.items() if name != "key"} for booking in bookings]
    return f"{SYSTEM}\n\n{BOOKINGS.format(bookings=json.dumps(told, ensure_ascii=False))}"


def approval(language: str, name: str, args: dict[str, Any]) -> dict[str, Any]:
    """The question to people before a tool acts, as the value of LangGraph's interrupt."""
    return {
        "kind": "approval",
        "text": APPROVE_ROOM[language].format(**args),
        "action": {"name": name, "args": args},
        "options": [{"value": value, "label": label} for value, label in OPTIONS[language].items()],
        "free": True,
    }


def rejection(answer: Any) -> str | None:
    """None for a yes; otherwise what the model is told. Whatever is no clear yes is a no."""
    said = str(answer).strip()
    if said.casefold() in YES:
        return None
    if not said or said.casefold() in NO:
        return REJECTED
    return REJECTED_WITH_REASON.format(reason=said[:REASON_AT_MOST])
