"""The assistant keeps its promises over real HTTP, with a model that plays a script and breaks when told to."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from itertools import count
from typing import Any

import pytest
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, ToolMessage
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command, Interrupt, StreamMode

from sio_server.dialog.graphs.assistant import builder, chat_model
from sio_server.dialog.graphs.assistant.history import for_model, name_for_model
from sio_server.dialog.graphs.assistant.model import ModelCutOff, ModelSaidNothing, ModelStalled
from sio_server.dialog.graphs.assistant.state import (
    BOOKINGS_KEPT,
    MESSAGES_KEPT,
    MOST_CALLS,
    MOST_STEPS,
    Booking,
    keep_recent,
    merge_bookings,
)
from tests.model_server import ModelServer, breaks_off, calls, cuts, refuses, says, stalls
from tests.waiting import within

SILENCE = 0.3
THREAD: RunnableConfig = {"configurable": {"thread_id": "room"}}
WORKSHOP = ("book_room", {"what": "workshop", "when": "Friday 15:00", "how_many": 12})
INTERVIEW = ("book_room", {"what": "interview", "when": "Monday 9:00", "how_many": 3})


class Dialog:
    """One thread with the assistant."""

    def __init__(self, silence: float = 60.0, model: str = "openai:scripted") -> None:
        self.graph = builder(chat_model(model), silence).compile(checkpointer=InMemorySaver())
        self.ids = count()
        self.chunks: list[str] = []
        self.questions: list[Interrupt] = []
        self.state: dict[str, Any] = {}

    async def says(self, text: str, user: str = "ann-3f9c12") -> str:
        """Send a message; the answer, or nothing when the graph asks."""
        return await self.goes_on({"messages": [HumanMessage(text, name=user, id=f"m-{next(self.ids)}")]})

    async def answers(self, *answers: str) -> str:
        """Answer the open questions, in order."""
        open_ids = [interrupt.id for interrupt in self.questions]
        return await self.goes_on(Command(resume=dict(zip(open_ids, answers, strict=False))))

    async def goes_on(self, given: Any = None) -> str:
        self.chunks.clear()
        self.questions.clear()
        modes: list[StreamMode] = ["messages", "updates", "values"]
        stream: Any = self.graph.astream(given, THREAD, stream_mode=modes, durability="sync")
        async for mode, part in stream:
            if mode == "messages" and isinstance(part[0], AIMessage) and part[0].text:
                self.chunks.append(part[0].text)
            elif mode == "updates":
                self.questions += part.get("__interrupt__", ())
            elif mode == "values":
                self.state = part
        last = self.state["messages"][-1]
        return last.text if isinstance(last, AIMessage) and not self.questions else ""

    @property
    def results(self) -> list[str]:
        return [item.text for item in self.state["messages"] if isinstance(item, ToolMessage)]


@pytest.fixture
async def server(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ModelServer]:
    """The model; its whole script has to be played."""
    async with ModelServer() as running:
        monkeypatch.setenv("OPENAI_BASE_URL", running.url)
        monkeypatch.setenv("OLLAMA_HOST", running.ollama_url)
        monkeypatch.setenv("OPENAI_API_KEY", "a-key-of-these-tests")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        yield running
    assert running.left == 0


@pytest.fixture
def dialog(server: ModelServer) -> Dialog:
    return Dialog()


# --- answers


async def test_the_answer_streams_in_pieces_that_joined_are_the_answer(server, dialog):
    server.plays(says("Good morning, Ann. How can I help?"))
    answer = await dialog.says("hello")
    assert answer == "Good morning, Ann. How can I help?"
    assert "".join(dialog.chunks) == answer
    assert len(dialog.chunks) > 3


async def test_a_model_of_ollama_answers_as_well(server):
    dialog = Dialog(model="ollama:scripted")
    server.plays(says("Good morning, Ann."))
    assert await dialog.says("hello") == "Good morning, Ann."
    assert "".join(dialog.chunks) == "Good morning, Ann."


async def test_the_model_is_told_the_whole_dialog_and_who_spoke(server, dialog):
    server.plays(says("Hello both."), says("Yes."))
    await dialog.says("hello", "ann-3f9c12")
    await dialog.says("is it raining?", "bob-77aa01")
    assert server.roles() == ["user", "assistant", "user"]
    assert [item.get("name") for item in server.messages()] == ["ann-3f9c12", None, "bob-77aa01"]


def test_user_ids_become_names_that_providers_accept_and_no_two_become_one():
    users = ["ann|x@y", "ann_x@y", "ann_x_y", "a.b~c+d:e", "x" * 128, "x" * 127 + "y", "王", "李", "a b<c>"]
    names = {name_for_model(user) or "" for user in users}
    assert len(names) == len(users)
    assert all(re.fullmatch("[A-Za-z0-9_-]{1,64}", name) for name in names)


def test_a_user_id_that_is_a_name_already_stays_as_it_is():
    assert name_for_model("ann-3f9c12") == "ann-3f9c12"
    assert name_for_model("") is None


# --- tools that read


async def test_a_tool_that_reads_is_used_without_asking(server, dialog):
    server.plays(calls(("current_time", {"time_zone": "Asia/Shanghai"}), text="Let me look."), says("It is late."))
    assert await dialog.says("what time is it in Shanghai?") == "It is late."
    assert server.roles() == ["user", "assistant", "tool"]
    assert server.messages()[-1]["content"].endswith("+0800")


@pytest.mark.parametrize("zone", ["Atlantis", "Europe", "../../etc/passwd", "", "\0"])
async def test_a_time_zone_that_does_not_exist_is_told_to_the_model(server, dialog, zone):
    server.plays(calls(("current_time", {"time_zone": zone})), says("There is no such place."))
    assert await dialog.says("what time is it there?") == "There is no such place."
    assert "There is no time zone" in server.messages()[-1]["content"]


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (("open_door", {}), "There is no tool of this name"),
        (("book_room", {"what": "party", "when": "now"}), "how_many: Field required"),
        (("book_room", {"what": "party", "when": "now", "how_many": 0}), "how_many: Input should be"),
        (("book_room", '{"what": "party", "when": "now", "how_many": 1'), "how_many: Field required"),
        (("book_room", "[]"), "what: Field required"),
        (("current_time", {"time_zone": 7}), "time_zone: Input should be"),
    ],
)
async def test_a_call_with_a_mistake_is_told_to_the_model_and_people_are_not_asked(server, dialog, call, told):
    server.plays(calls(call), says("I was mistaken."))
    assert await dialog.says("please") == "I was mistaken."
    assert told in server.messages()[-1]["content"]
    assert dialog.state["messages"][-2].status == "error"


# --- the tool that acts


async def test_people_are_asked_before_a_room_is_booked(server, dialog):
    server.plays(calls(WORKSHOP))
    await dialog.says("a room for a workshop on Friday at three, we are 12")
    assert [question.value for question in dialog.questions] == [
        {
            "kind": "approval",
            "text": "Book a room for 12: workshop, Friday 15:00?",
            "action": {"name": "book_room", "args": WORKSHOP[1]},
            "options": [{"value": "approve", "label": "Approve"}, {"value": "reject", "label": "Reject"}],
            "free": True,
        }
    ]
    assert dialog.state["bookings"] == []
    assert len(server.requests) == 1


async def test_people_who_write_chinese_are_asked_in_chinese(server, dialog):
    server.plays(calls(WORKSHOP))
    await dialog.says("周五15:00订会议室，12个人")
    value = dialog.questions[0].value
    assert value["text"] == "要预订一间12人的会议室吗？workshop，Friday 15:00。"
    assert value["options"] == [{"value": "approve", "label": "批准"}, {"value": "reject", "label": "拒绝"}]


@pytest.mark.parametrize("answer", ["approve", "yes", " Yes ", "批准"])
async def test_an_approved_booking_is_made_and_told_to_the_model(server, dialog, answer):
    server.plays(calls(WORKSHOP), says("It is booked."))
    await dialog.says("book it", "ann|x@y")
    assert await dialog.answers(answer) == "It is booked."
    (booking,) = dialog.state["bookings"]
    assert {**WORKSHOP[1], "user": "ann|x@y"}.items() <= booking.items()
    assert booking["number"] in server.messages()[-1]["content"]


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ("reject", "people rejected it."),
        ("NO", "people rejected it."),
        ("", "people rejected it."),
        ("yes, but only for 6", "people rejected it and said: yes, but only for 6"),
    ],
)
async def test_whatever_is_no_clear_yes_books_nothing_and_its_reason_reaches_the_model(
    server, dialog, answer, told
):
    server.plays(calls(WORKSHOP), says("Then not."))
    await dialog.says("book it")
    assert await dialog.answers(answer) == "Then not."
    assert dialog.state["bookings"] == []
    assert server.messages()[-1]["content"].endswith(told)


async def test_a_run_that_breaks_after_the_approval_and_goes_on_books_once(server, dialog):
    server.plays(calls(WORKSHOP), refuses(500), says("It is booked."))
    await dialog.says("book it")
    with pytest.raises(Exception, match="500"):
        await dialog.answers("approve")
    assert await dialog.goes_on() == "It is booked."
    assert len(dialog.state["bookings"]) == 1
    assert len(dialog.results) == 1


def test_a_booking_that_is_made_again_is_the_one_that_is_there():
    made = Booking(key="m:1", number="R-1", user="ann", what="x", when="y", how_many=1)
    assert merge_bookings([made], [made]) == [made]
    more = [Booking(**{**made, "key": f"m:{n}"}) for n in range(2, 2 * BOOKINGS_KEPT)]
    assert merge_bookings([made], more) == more[-BOOKINGS_KEPT:]


async def test_of_several_calls_each_that_acts_is_asked_about_and_decided_by_itself(server, dialog):
    server.plays(calls(WORKSHOP, ("current_time", {}), INTERVIEW), says("One of two."))
    await dialog.says("book both")
    assert [question.value["action"]["args"]["what"] for question in dialog.questions] == ["workshop", "interview"]
    assert len(dialog.results) == 1  # the time
    assert await dialog.answers("reject", "approve") == "One of two."
    assert [booking["what"] for booking in dialog.state["bookings"]] == ["interview"]
    assert [item["tool_call_id"][-1] for item in server.messages() if item["role"] == "tool"] == ["0", "1", "2"]


async def test_approvals_may_be_answered_one_after_the_other(server, dialog):
    server.plays(calls(WORKSHOP, INTERVIEW), says("Both are booked."))
    await dialog.says("book both")
    assert await dialog.answers("approve") == ""
    assert len(dialog.questions) == 1
    assert len(server.requests) == 1
    assert await dialog.answers("approve") == "Both are booked."
    assert len({booking["number"] for booking in dialog.state["bookings"]}) == 2


async def test_the_model_is_told_what_has_been_booked(server, dialog):
    server.plays(calls(WORKSHOP), says("Done."), says("A workshop."))
    await dialog.says("book it")
    await dialog.answers("approve")
    await dialog.says("what have we booked?")
    told = server.requests[-1]["messages"][0]["content"].rpartition("as data: ")[2]
    assert [booking["what"] for booking in json.loads(told)] == ["workshop"]


# --- a model that breaks


@pytest.mark.parametrize("part", [stalls(), stalls("I am"), stalls("I am", keep_alive=SILENCE / 3)])
async def test_a_model_that_falls_silent_is_given_up_in_time_and_hung_up_on(server, part):
    dialog = Dialog(silence=SILENCE)
    server.plays(part)
    async with within(SILENCE + 20, "the end of a silent model"):
        with pytest.raises(ModelStalled, match=r"nothing for 0\.3 s"):
            await dialog.says("hello")
        await server.hung_up.wait()


async def test_a_long_answer_may_take_longer_than_the_silence_allowed(server):
    dialog = Dialog(silence=1.5)

    async def slowly(request, stream):
        for word in ("one ", "two ", "three ", "four ", "five "):
            await asyncio.sleep(0.4)
            await stream.send({"content": word})
        await stream.send({}, "stop")

    server.plays(slowly)
    assert await dialog.says("count") == "one two three four five "


@pytest.mark.parametrize("part", [cuts(), cuts("I am"), breaks_off(), refuses(500), refuses(429), refuses(401)])
async def test_an_answer_that_fails_raises_and_is_not_asked_for_again(server, dialog, part):
    server.plays(part)
    with pytest.raises(Exception):  # noqa: B017  # of the client's many kinds
        await dialog.says("hello")
    assert len(server.requests) == 1


@pytest.mark.parametrize("model", ["openai:scripted", "ollama:scripted"])
async def test_half_an_answer_is_never_taken_for_a_whole_one(server, model):
    dialog = Dialog(model=model)
    server.plays(breaks_off("The answer is not"))
    with pytest.raises(ModelCutOff):
        await dialog.says("is it 42?")
    assert [type(item) for item in dialog.state["messages"]] == [HumanMessage]


async def test_an_empty_answer_fails_and_is_forgotten(server, dialog):
    server.plays(says(""), says("I am here."))
    with pytest.raises(ModelSaidNothing):
        await dialog.says("hello")
    assert await dialog.goes_on() == "I am here."
    assert server.roles() == ["user"]


async def test_a_model_with_nothing_to_add_to_what_a_tool_has_done_does_not_fail_the_run(server, dialog):
    server.plays(calls(WORKSHOP), says(""), says("Yes."))
    await dialog.says("book it")
    await dialog.answers("approve")
    assert dialog.results[-1].startswith("Booked, the number is R-")
    assert await dialog.says("really?") == "Yes."
    assert server.roles() == ["user", "assistant", "tool", "user"]


async def test_a_run_that_failed_goes_on_with_the_message_it_had(server, dialog):
    server.plays(cuts("I am"), says("I am here."))
    with pytest.raises(Exception):  # noqa: B017
        await dialog.says("hello")
    assert await dialog.goes_on() == "I am here."
    assert server.roles() == ["user"]


async def test_a_model_that_never_stops_calling_tools_is_stopped(server, dialog):
    server.plays(*[calls(("current_time", {}))] * MOST_STEPS)
    assert await dialog.says("what time is it?") == "I could not finish this in so many steps. " + (
        "Please ask for it in smaller parts."
    )
    assert len(server.requests) == MOST_STEPS


async def test_of_too_many_calls_in_one_message_the_first_are_carried_out(server, dialog):
    server.plays(calls(*[("current_time", {})] * (MOST_CALLS + 5)), says("It is late."))
    await dialog.says("what time is it?")
    assert server.roles() == ["user", "assistant", *["tool"] * MOST_CALLS]
    assert len(server.messages()[1]["tool_calls"]) == MOST_CALLS


# --- the history


async def test_a_call_that_was_never_carried_out_is_answered_before_the_model_goes_on(server, dialog):
    server.plays(calls(WORKSHOP, ("current_time", {})), says("Fine."))
    await dialog.says("book it")
    assert await dialog.says("never mind") == "Fine."
    assert server.roles() == ["user", "assistant", "tool", "tool", "user"]
    assert all(item["content"].startswith("Not executed") for item in server.messages()[2:4])
    assert dialog.state["bookings"] == []


def call(call_id: str, name: str = "current_time") -> dict[str, Any]:
    return {"name": name, "args": {}, "id": call_id, "type": "tool_call"}


def test_results_stand_behind_their_calls_and_those_of_no_call_are_left_out():
    messages: list[AnyMessage] = [
        ToolMessage("lost", tool_call_id="0"),
        HumanMessage("hi"),
        AIMessage("", tool_calls=[call("1"), call("2")]),
        HumanMessage("hello?"),
        ToolMessage("two", tool_call_id="2"),
        AIMessage(""),
        AIMessage("", tool_calls=[call("1")]),
        ToolMessage("one", tool_call_id="1"),
    ]
    told = [(item.type, item.text) for item in for_model(messages)]
    not_executed = ("tool", "Not executed: the run ended before this call was carried out.")
    assert told == [
        ("human", "hi"),
        ("ai", ""),
        not_executed,
        ("tool", "two"),
        ("human", "hello?"),
        ("ai", ""),
        ("tool", "one"),
    ]


async def test_a_dialog_of_any_length_stays_small_in_the_state_and_to_the_model(server, dialog):
    turns = 2 * MESSAGES_KEPT
    for turn in range(turns):
        server.plays(calls(("current_time", {})), says(f"answer {turn}"))
        assert await dialog.says(f"question {turn}") == f"answer {turn}"
    assert len(dialog.state["messages"]) <= MESSAGES_KEPT
    assert len(server.messages()) <= MESSAGES_KEPT
    assert server.roles()[0] == "user"
    assert server.messages()[-3]["content"] == f"question {turns - 1}"


def test_old_turns_are_forgotten_as_a_whole_and_the_present_one_never():
    def turn(number: int, tool_calls: int) -> list[Any]:
        begun = AIMessage("", tool_calls=[call(f"{number}.{n}") for n in range(tool_calls)], id=f"a{number}")
        done = [ToolMessage("x", tool_call_id=f"{number}.{n}", id=f"t{number}.{n}") for n in range(tool_calls)]
        return [HumanMessage("?", id=f"h{number}"), begun, *done]

    kept = keep_recent([], [item for number in range(20) for item in turn(number, 7)])
    assert len(kept) == 36
    assert kept[0].id == "h16"
    assert keep_recent(kept, turn(20, 60)) == turn(20, 60)
