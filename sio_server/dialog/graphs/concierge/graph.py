"""The concierge's dialog as a graph: understand the message, decide what to do, speak."""

import re
from typing import Literal, cast
from zlib import crc32

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage
from langchain_core.runnables import RunnableLambda
from langgraph.graph import END, START, StateGraph

from sio_server.dialog.graphs.concierge import replies
from sio_server.dialog.graphs.concierge.model import SpokenReply, text_of
from sio_server.dialog.graphs.concierge.state import (
    CONFIRMED_KEPT,
    SLOTS,
    Booking,
    ConciergeState,
    Confirmed,
    Slots,
    Turn,
    first_missing,
    with_booking,
    without_booking,
)
from sio_server.dialog.graphs.concierge.understanding import language_of, read

Answer = Literal["ask", "confirm", "change", "book", "summarise", "cancel", "chat"]


def builder(word_delay: float = 0.02) -> StateGraph[ConciergeState]:
    """The graph, for the server to compile with its checkpointer."""
    graph = StateGraph(ConciergeState)
    graph.add_node("understand", understand)
    graph.add_node("ask", ask)
    graph.add_node("confirm", confirm)
    graph.add_node("change", change)
    graph.add_node("book", book)
    graph.add_node("summarise", summarise)
    graph.add_node("cancel", cancel)
    graph.add_node("chat", chat)
    speak = RunnableLambda(to_say) | SpokenReply(word_delay=word_delay) | RunnableLambda(said)
    graph.add_node("speak", speak)

    graph.add_edge(START, "understand")
    graph.add_conditional_edges("understand", decide)
    for answer in ("ask", "confirm", "change", "book", "summarise", "cancel", "chat"):
        graph.add_edge(answer, "speak")
    graph.add_edge("speak", END)
    return graph


def understand(state: ConciergeState) -> ConciergeState:
    """Read the last message and put what it says into its user's open booking, and no one else's."""
    user, text = last_words(state.get("messages", []))
    bookings = state.get("bookings", {})
    booking = bookings.get(user)
    turns = state.get("turns", 0) + 1
    heard = read(text, booking)
    language = language_of(text, (booking or {}).get("language") or state.get("language", "en"))
    turn = Turn(
        user=user,
        language=language,
        intent=heard.intent,
        changed=False,
        out_of_range=heard.out_of_range,
    )
    update = ConciergeState(turns=turns, language=language, turn=turn)
    if booking is None and heard.intent != "start":
        return update

    before = booking or Booking()
    slots = Slots() if heard.intent == "summarise" else heard.slots
    filled = cast(Booking, {**before, **slots, "language": language, "touched": turns})
    if heard.about:
        filled.pop(heard.about, None)
    turn["changed"] = any(filled.get(slot) != before.get(slot) for slot in SLOTS)
    return {**update, "bookings": with_booking(bookings, user, filled)}


def decide(state: ConciergeState) -> Answer:
    """Choose the answer to this turn."""
    turn, booking = state["turn"], own_booking(state)
    intent, changed = turn["intent"], turn["changed"]
    if intent == "cancel" or intent == "summarise":
        return intent
    if booking is None:
        return "chat"
    if first_missing(booking):
        return "ask"
    if changed or turn["out_of_range"]:
        return "confirm"
    match booking.get("asked"), intent:
        case "confirm", "yes":
            return "book"
        case "confirm", "no":
            return "change"
        case "change", intent if intent != "no":
            return "change"
    return "confirm"


def ask(state: ConciergeState) -> ConciergeState:
    """Ask for the next slot."""
    turn, booking = state["turn"], own_booking(state) or Booking()
    slot = first_missing(booking) or "what"
    again = booking.get("asked") == slot and not turn["changed"]
    reply = replies.ask_for(turn["language"], slot, again, turn["out_of_range"])
    return {**asking(state, {**booking, "asked": slot}), "reply": reply}


def confirm(state: ConciergeState) -> ConciergeState:
    """Read the booking back and ask whether to book it."""
    turn, booking = state["turn"], own_booking(state) or Booking()
    again = booking.get("asked") == "confirm" and not turn["changed"] and not turn["out_of_range"]
    reply = replies.say(turn["language"], "confirm_again" if again else "confirm", booking)
    if turn["out_of_range"]:
        reply = replies.say(turn["language"], "out_of_range") + reply
    return {**asking(state, {**booking, "asked": "confirm"}), "reply": reply}


def change(state: ConciergeState) -> ConciergeState:
    """Ask what to change."""
    booking: Booking = {**(own_booking(state) or Booking()), "asked": "change"}
    return {**asking(state, booking), "reply": replies.say(state["turn"]["language"], "change")}


def book(state: ConciergeState) -> ConciergeState:
    """Turn the open booking into a confirmed one."""
    turn, booking = state["turn"], own_booking(state) or Booking()
    count = state.get("confirmed_count", 0) + 1
    made = Confirmed(
        number=booking_number(turn["user"], count),
        user=turn["user"],
        what=booking["what"],
        when=booking["when"],
        how_many=booking["how_many"],
    )
    return {
        "bookings": without_booking(state["bookings"], turn["user"]),
        "confirmed": [*state.get("confirmed", []), made][-CONFIRMED_KEPT:],
        "confirmed_count": count,
        "reply": replies.say(turn["language"], "booked", made, made["number"]),
    }


def summarise(state: ConciergeState) -> ConciergeState:
    """Tell where the dialog stands; the question that was open stays open."""
    reply = replies.summary(
        state["turn"]["language"],
        state["turn"]["user"],
        own_booking(state),
        state.get("confirmed", []),
        state.get("confirmed_count", 0),
        state["turns"],
    )
    return {"reply": reply}


def cancel(state: ConciergeState) -> ConciergeState:
    """Drop the user's open booking."""
    turn = state["turn"]
    if own_booking(state) is None:
        return {"reply": replies.say(turn["language"], "nothing_to_cancel")}
    return {
        "bookings": without_booking(state["bookings"], turn["user"]),
        "reply": replies.say(turn["language"], "cancelled"),
    }


def chat(state: ConciergeState) -> ConciergeState:
    """Say what the concierge is for."""
    return {"reply": replies.say(state["turn"]["language"], "help")}


def to_say(state: ConciergeState) -> list[AnyMessage]:
    """What the model is given: the reply and nothing else."""
    return [AIMessage(content=state["reply"])]


def said(message: AIMessage) -> ConciergeState:
    """What the model has said becomes the answer of the run."""
    return {"messages": [message]}


def asking(state: ConciergeState, booking: Booking) -> ConciergeState:
    """The update that keeps a user's booking, with the question it now waits on."""
    return {"bookings": with_booking(state["bookings"], state["turn"]["user"], booking)}


def own_booking(state: ConciergeState) -> Booking | None:
    """The open booking of the user who spoke."""
    return state.get("bookings", {}).get(state["turn"]["user"])


def booking_number(user: str, ordinal: int) -> str:
    """Short, the same on a retry, and telling two users' bookings apart without naming them."""
    letters = "ABCDEFGHJKLMNPQRSTUVWXYZ"
    return f"R-{ordinal}{letters[crc32(user.encode('utf-8', 'surrogatepass')) % len(letters)]}"


def last_words(messages: list[AnyMessage]) -> tuple[str, str]:
    """Who spoke last, and what they said to the concierge."""
    for message in reversed(messages):
        if isinstance(message, HumanMessage):
            return message.name or "", without_mention(text_of(message))
    return "", ""


def without_mention(text: str) -> str:
    """The message without the "@concierge" it was addressed with."""
    return re.sub(r"^\s*@(?:[\w.-]+|\S+)[\s,:，：]*", "", text, flags=re.ASCII)
