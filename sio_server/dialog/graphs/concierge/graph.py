"""The concierge's dialog as a graph: understand the message, decide what to do, get an approval or speak."""

import re
from base64 import b32encode
from hashlib import sha256
from typing import Any, Literal, cast

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage
from langchain_core.runnables import RunnableLambda
from langgraph.graph import END, START, StateGraph
from langgraph.types import interrupt

from sio_server.dialog.content import without_quotation
from sio_server.dialog.graphs.concierge import replies
from sio_server.dialog.graphs.concierge.model import SpokenReply, text_of
from sio_server.dialog.graphs.concierge.state import (
    CONFIRMED_KEPT,
    SLOTS,
    Booking,
    ConciergeState,
    Confirmed,
    Language,
    Slots,
    Turn,
    first_missing,
    with_booking,
    without_booking,
)
from sio_server.dialog.graphs.concierge.understanding import Heard, language_of, read

Answer = Literal["ask", "confirm", "change", "book", "summarise", "cancel", "chat"]

# What the buttons of an approval give back; these are no words, and leave the language as it is.
PRESSED = {"approve": Heard("yes", Slots()), "reject": Heard("no", Slots())}
NUMBER_LENGTH = 6  # of 32 letters each: a thousand bookings are all different but once in two thousand times


def builder(word_delay: float = 0.02) -> StateGraph[ConciergeState]:
    """The graph, for the server to compile with its checkpointer."""
    graph = StateGraph(ConciergeState)
    graph.add_node("understand", understand)
    graph.add_node("ask", ask)
    graph.add_node("confirm", confirm)
    graph.add_node("approve", approve)
    graph.add_node("change", change)
    graph.add_node("book", book)
    graph.add_node("summarise", summarise)
    graph.add_node("cancel", cancel)
    graph.add_node("chat", chat)
    speak = RunnableLambda(to_say) | SpokenReply(word_delay=word_delay) | RunnableLambda(said)
    graph.add_node("speak", speak)

    graph.add_edge(START, "understand")
    graph.add_conditional_edges("understand", decide)
    # The question is committed before it is put: a message that comes instead of an answer finds it in the state.
    graph.add_edge("confirm", "approve")
    graph.add_conditional_edges("approve", decide)
    for answer in ("ask", "change", "book", "summarise", "cancel", "chat"):
        graph.add_edge(answer, "speak")
    graph.add_edge("speak", END)
    return graph


def understand(state: ConciergeState) -> ConciergeState:
    """Read the last message and put what it says into its user's open booking, and no one else's."""
    message = last_message(state.get("messages", []))
    user, text = message.name or "", without_mention(without_quotation(text_of(message)))
    booking = state.get("bookings", {}).get(user)
    last: Language = (booking or {}).get("language") or state.get("language", "en")
    turns = state.get("turns", 0) + 1
    return {
        **take_in({**state, "turns": turns}, user, read(text, booking), language_of(text, last)),
        "turns": turns,
    }


def take_in(state: ConciergeState, user: str, heard: Heard, language: Language) -> ConciergeState:
    """The update that puts what was heard into a user's open booking, for `decide` to go on from."""
    turn = Turn(
        user=user,
        language=language,
        intent=heard.intent,
        changed=False,
        out_of_range=heard.out_of_range,
    )
    update = ConciergeState(language=language, turn=turn)
    bookings = state.get("bookings", {})
    booking = bookings.get(user)
    if booking is None and heard.intent != "start":
        return update

    before = booking or Booking()
    slots = Slots() if heard.intent == "summarise" else heard.slots
    filled = cast(Booking, {**before, **slots, "language": language, "touched": state["turns"]})
    if heard.about:
        filled.pop(heard.about, None)
    turn["changed"] = any(filled.get(slot) != before.get(slot) for slot in SLOTS)
    return {**update, "bookings": with_booking(bookings, user, filled)}


def decide(state: ConciergeState) -> Answer:
    """Choose what to do in answer to this turn's message, or to what came back for its approval."""
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
    """Put the read-back of the booking, and that it is now to be approved, into the state."""
    turn, booking = state["turn"], own_booking(state) or Booking()
    again = booking.get("asked") == "confirm" and not turn["changed"] and not turn["out_of_range"]
    reply = replies.say(turn["language"], "confirm_again" if again else "confirm", booking)
    if turn["out_of_range"]:
        reply = replies.say(turn["language"], "out_of_range") + reply
    return {**asking(state, {**booking, "asked": "confirm"}), "reply": reply}


def approve(state: ConciergeState) -> ConciergeState:
    """Wait for an approval and read what comes back: a button, a plain True or False, or words of any kind.

    It may come from another member; the booking stays its owner's. This runs again from its start when the
    answer is there, so nothing is done before `interrupt`.
    """
    turn, booking = state["turn"], own_booking(state) or Booking()
    answer: Any = interrupt(replies.approval(turn["language"], state["reply"], booking))
    if isinstance(answer, bool):
        answer = "approve" if answer else "reject"
    words = without_mention(str(answer)) if isinstance(answer, str) else ""
    if pressed := PRESSED.get(words):
        return take_in(state, turn["user"], pressed, turn["language"])
    return take_in(state, turn["user"], read(words, booking), language_of(words, turn["language"]))


def change(state: ConciergeState) -> ConciergeState:
    """Ask what to change."""
    booking: Booking = {**(own_booking(state) or Booking()), "asked": "change"}
    return {**asking(state, booking), "reply": replies.say(state["turn"]["language"], "change")}


def book(state: ConciergeState) -> ConciergeState:
    """Turn the open booking into a confirmed one."""
    turn, booking = state["turn"], own_booking(state) or Booking()
    message = last_message(state["messages"])
    made = Confirmed(
        number=booking_number(message.id or "", turn["user"]),
        user=turn["user"],
        what=booking["what"],
        when=booking["when"],
        how_many=booking["how_many"],
    )
    return {
        "bookings": without_booking(state["bookings"], turn["user"]),
        "confirmed": [*state.get("confirmed", []), made][-CONFIRMED_KEPT:],
        "confirmed_count": state.get("confirmed_count", 0) + 1,
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


def booking_number(message_id: str, user: str) -> str:
    """Short, naming nobody, the same on a retry; a message names its conversation and leads to one booking."""
    digest = sha256(f"{message_id}\n{user}".encode("utf-8", "surrogatepass")).digest()
    return f"R-{b32encode(digest).decode()[:NUMBER_LENGTH]}"


def last_message(messages: list[AnyMessage]) -> HumanMessage:
    """The last message said to the concierge."""
    spoken = (message for message in reversed(messages) if isinstance(message, HumanMessage))
    return next(spoken, HumanMessage(content=""))


def without_mention(text: str) -> str:
    """The message without the "@concierge" it was addressed with."""
    return re.sub(r"^\s*@(?:[\w.-]+|\S+)[\s,:，：]*", "", text, flags=re.ASCII)
