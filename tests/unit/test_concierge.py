"""The concierge keeps its promises: whole dialogs, in a group, in two languages, with any text at all."""

import json
import re
from collections.abc import Callable, Sequence
from itertools import count
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph.state import CompiledStateGraph
from langgraph.types import Command

from sio_server.dialog.graphs.concierge import builder
from sio_server.dialog.graphs.concierge.graph import booking_number, without_mention
from sio_server.dialog.graphs.concierge.model import SpokenReply, words
from sio_server.dialog.graphs.concierge.state import Booking
from sio_server.dialog.graphs.concierge.understanding import language_of, merge_when, number, read

ALICE, BOB = "alice-3f9c12", "bob-77aa01"
ALL_IN_ONE = "book a meeting room tomorrow at 10 for 6 people"
ALL_IN_ONE_ZH = "订会议室开会，明天下午3点，6个人"
QUESTION = "So that is: a meeting, tomorrow at 10, 6 people. Shall I book it?"
QUESTION_AGAIN = (
    "Please say yes or no, or what to change. It is: a meeting, tomorrow at 10, 6 people. Shall I book it?"
)
QUESTION_ZH = "请确认：开会，明天下午3点，6人。要预订吗？"
BOOKED = re.compile(r"Booked: (.+)\. Your booking number is (R-[A-Z2-7]{6})\.")
BOOKED_ZH = re.compile(r"已预订：(.+)。您的预订号是(R-[A-Z2-7]{6})。")
WHAT_TO_CHANGE = "What shall I change: what it is for, the time, or the number of people?"
WHAT_TO_CHANGE_ZH = "您要改什么：用途、时间还是人数？"
THREAD: RunnableConfig = {"configurable": {"thread_id": "room"}}
Graph = CompiledStateGraph[Any, Any, Any, Any]


class Dialog:
    """One thread, spoken to by name."""

    seqs = count(1)

    def __init__(self, saver: InMemorySaver | None = None) -> None:
        self.graph: Graph = builder(word_delay=0).compile(checkpointer=saver or InMemorySaver())
        self.state: dict[str, Any] = {}
        self.approval: dict[str, Any] | None = None  # the question that waits, if one does
        self.approval_id = ""
        self.message_id = ""

    def says(self, text: str, user: str = ALICE) -> str:
        """Send a message; what comes back is the answer, or the text of the approval asked for."""
        self.message_id = f"conversation:{next(self.seqs)}"
        return self.run({"messages": [HumanMessage(content=text, name=user, id=self.message_id)]})

    def answers(self, value: Any) -> str:
        """Answer the approval that waits."""
        assert self.approval is not None
        return self.run(Command(resume=value))

    def run(self, given: Any) -> str:
        before = self.state.get("messages", [])
        result = self.graph.invoke(given, THREAD)
        snapshot = self.graph.get_state(THREAD)
        self.state, self.approval = snapshot.values, None
        last = self.state["messages"][-1]
        if "__interrupt__" in result:
            [question] = result["__interrupt__"]
            assert snapshot.next == ("approve",)
            assert isinstance(last, HumanMessage), "a question is not an answer"
            self.approval, self.approval_id = question.value, question.id
            assert question.value["text"] == self.state["reply"]
            return str(question.value["text"])
        assert snapshot.next == ()
        assert isinstance(last, AIMessage)
        assert last not in before
        assert type(last.content) is str
        assert last.content == self.state["reply"]
        return last.content

    def slots(self, user: str = ALICE) -> tuple[Any, ...] | None:
        booking = self.state.get("bookings", {}).get(user)
        return booking and tuple(booking.get(slot) for slot in ("what", "when", "how_many"))

    def asked(self, user: str = ALICE) -> str:
        return str(self.state["bookings"][user]["asked"])


@pytest.fixture
def dialog() -> Dialog:
    return Dialog()


# --- whole dialogs


def test_a_dialog_in_english_asks_for_each_slot_reads_back_and_books(dialog: Dialog) -> None:
    assert "book a meeting room" in dialog.says("hello")
    assert "What is the room for" in dialog.says("@concierge I want to book a room")
    assert "When" in dialog.says("a team meeting")
    assert "How many" in dialog.says("tomorrow at 10")
    assert dialog.approval is None
    assert "team meeting, tomorrow at 10, 6 people" in dialog.says("6")
    assert dialog.approval is not None
    assert BOOKED.fullmatch(dialog.answers("approve"))
    assert dialog.slots() is None
    assert dialog.state["confirmed"][0]["when"] == "tomorrow at 10"


def test_a_dialog_in_chinese_asks_for_each_slot_reads_back_and_books(dialog: Dialog) -> None:
    assert "预订会议室" in dialog.says("你好")
    assert "用途" in dialog.says("@agent 我想预订一个房间")
    assert "什么时候" in dialog.says("培训")
    assert "多少人" in dialog.says("明天下午3点")
    assert dialog.approval is None
    assert "培训，明天下午3点，6人" in dialog.says("6")
    assert dialog.approval is not None
    assert BOOKED_ZH.fullmatch(dialog.answers("approve"))
    assert dialog.state["confirmed"][0]["how_many"] == 6


@pytest.mark.parametrize(
    ("text", "read_back"),
    [
        (ALL_IN_ONE, "a meeting, tomorrow at 10, 6 people"),
        (ALL_IN_ONE_ZH, "开会，明天下午3点，6人"),
        ("reserve a room for a workshop on Dec 1 at 3pm, party of 12", "a workshop, Dec 1 at 3pm, 12 people"),
        ("book a room for an interview now-ish: today, for 1 person", "an interview, today, 1 person"),
        ("book a room for a chess club meeting today, 5 people", ": chess club meeting, today, 5 people"),
        ("帮我预订周五15:00的会议室，十二个人，面试用", "面试，周五15:00，12人"),
    ],
)
def test_one_message_with_everything_goes_straight_to_the_read_back(
    dialog: Dialog, text: str, read_back: str
) -> None:
    assert read_back in dialog.says(text)
    assert dialog.approval is not None


def test_a_new_graph_over_the_same_saver_resumes_at_the_slot_where_the_dialog_stopped() -> None:
    saver = InMemorySaver()
    assert "When" in Dialog(saver).says("book a room for a workshop")
    assert "How many" in Dialog(saver).says("Friday 15:00")
    assert "workshop, Friday 15:00, 6 people" in Dialog(saver).says("6")
    assert "workshop, Friday 15:00, 7 people" in Dialog(saver).run(Command(resume="7 people"))
    assert BOOKED.fullmatch(Dialog(saver).run(Command(resume="approve")))


CHANGES = [
    ("7 people", "a meeting, tomorrow at 10, 7 people"),
    ("make it 8 people", "a meeting, tomorrow at 10, 8 people"),
    ("make it 8", "a meeting, tomorrow at 10, 8 people"),
    ("make it eight, please", "a meeting, tomorrow at 10, 8 people"),
    ("no, make it 8", "a meeting, tomorrow at 10, 8 people"),
    ("no, 8 people", "a meeting, tomorrow at 10, 8 people"),
    ("yes, but 8 people", "a meeting, tomorrow at 10, 8 people"),
    ("yes 8 people", "a meeting, tomorrow at 10, 8 people"),
    ("@concierge 8 people", "a meeting, tomorrow at 10, 8 people"),
    ("make it a workshop", "a workshop, tomorrow at 10, 6 people"),
    ("make it Friday", "a meeting, Friday at 10, 6 people"),
    ("Friday 15:00", "a meeting, Friday 15:00, 6 people"),
    ("make it at 11", "a meeting, tomorrow at 11, 6 people"),
    ("make it 11:30", "a meeting, tomorrow 11:30, 6 people"),
    ("move the meeting to Friday 9:30", "a meeting, Friday 9:30, 6 people"),
    ("改成8个人", "meeting，tomorrow at 10，8人"),
    ("改成8", "meeting，tomorrow at 10，8人"),
]


@pytest.mark.parametrize(("change", "read_back"), CHANGES)
def test_at_the_read_back_a_slot_changes_by_saying_it(dialog: Dialog, change: str, read_back: str) -> None:
    dialog.says(ALL_IN_ONE)
    assert read_back in dialog.says(change)
    assert dialog.approval is not None
    assert "confirmed" not in dialog.state


def test_a_no_asks_what_to_change_and_then_for_that_slot(dialog: Dialog) -> None:
    dialog.says(ALL_IN_ONE)
    assert dialog.says("no") == WHAT_TO_CHANGE
    assert "How many" in dialog.says("the number of people")
    assert "meeting, tomorrow at 10, 9 people" in dialog.says("9")
    assert dialog.says("no") == WHAT_TO_CHANGE
    assert "meeting, tomorrow at 10, 9 people" in dialog.says("nothing")
    assert BOOKED.fullmatch(dialog.says("ok"))


UNCLEAR = ["ok, but is it quiet?", "ok?", "8", "hmm", "🎉", "", "yesterday", "make it two rooms"]


def test_only_a_clear_yes_books(dialog: Dialog) -> None:
    dialog.says(ALL_IN_ONE)
    for unclear in (*UNCLEAR, "not sure yes", "nothing"):
        dialog.says(unclear)
    assert "confirmed" not in dialog.state
    assert dialog.slots() == ("meeting", "tomorrow at 10", 6)
    assert BOOKED.fullmatch(dialog.says("sure"))


@pytest.mark.parametrize("text", ["cancel", "please cancel it", "取消", "算了，取消吧"])
def test_cancel_drops_the_open_booking_only(dialog: Dialog, text: str) -> None:
    dialog.says(ALL_IN_ONE)
    dialog.says("yes")
    dialog.says(ALL_IN_ONE)
    assert dialog.says(text) in ("I have dropped your open booking.", "已取消您未完成的预订。")
    assert dialog.slots() is None
    assert dialog.state["confirmed_count"] == 1
    assert dialog.says("cancel") == "You have no open booking to cancel."


def test_a_summary_midway_tells_where_it_stands_and_leaves_the_question_open(dialog: Dialog) -> None:
    dialog.says(ALL_IN_ONE)
    dialog.says("yes")
    dialog.says("book a room for a workshop")
    reply = dialog.says("summary")
    assert "for: workshop, when: not known yet, people: not known yet" in reply
    assert f"{dialog.state['confirmed'][0]['number']} a meeting, tomorrow at 10, 6 people (yours)" in reply
    assert "Turns so far: 4" in reply
    assert "How many" in dialog.says("Friday 15:00")
    assert "对话轮数：6" in dialog.says("总结一下")
    assert "请确认" in dialog.says("6"), "a message with no letters keeps the language"


OUT_OF_RANGE = ["-5 people", "0 people", "1000 people", "501 guests", "–5 people", "minus 5 people", "for -5"]
OUT_OF_RANGE += ["1,000 people", "zero people", "-five people", "party of 900", "make it 0", "make it -5"]


def test_a_number_of_people_no_room_takes_is_asked_again(dialog: Dialog) -> None:
    dialog.says("book a meeting room tomorrow at 10")
    for text in ("0", "501", "-3", "-five", "1,000", "900 people", "1" * 400, *OUT_OF_RANGE[:-2]):
        assert dialog.says(text) == "A room takes 1 to 500 people. How many people will come?"
        assert dialog.slots() == ("meeting", "tomorrow at 10", None)
    assert "500 people" in dialog.says("500")
    assert "1 to 500" in dialog.says("make it 900 people")
    assert dialog.slots() == ("meeting", "tomorrow at 10", 500)


@pytest.mark.parametrize("text", OUT_OF_RANGE)
def test_at_the_read_back_too_a_number_no_room_takes_names_the_range_and_changes_nothing(
    dialog: Dialog, text: str
) -> None:
    dialog.says(ALL_IN_ONE)
    question = f"A room takes 1 to 500 people. {QUESTION}"
    assert [dialog.says(text), dialog.answers(text), dialog.answers(f"yes, {text}")] == [question] * 3
    assert dialog.slots() == ("meeting", "tomorrow at 10", 6)
    assert "confirmed" not in dialog.state


@pytest.mark.parametrize(
    "text", ["-5个人", "0人", "零人", "1000人", "负5人", "负五个人", "一千人", "2万人", "－５人"]
)
def test_in_chinese_too_a_number_no_room_takes_names_the_range(dialog: Dialog, text: str) -> None:
    assert dialog.says(f"订会议室开会，明天下午3点，{text}") == "会议室可容纳1到500人。一共有多少人？"
    assert "6人" in dialog.says("6")
    assert dialog.answers(text) == f"会议室可容纳1到500人。{QUESTION_ZH}"
    assert dialog.slots() == ("开会", "明天下午3点", 6)


def test_a_time_it_cannot_read_is_asked_again_with_an_example(dialog: Dialog) -> None:
    dialog.says("book a room for a workshop")
    for text in ("some day", "10", "🎉", "25:00", "make it 8"):
        assert "tomorrow at 10" in dialog.says(text)
    assert "How many" in dialog.says("tomorrow")


def test_a_purpose_is_any_few_words_but_not_a_greeting_or_a_flood(dialog: Dialog) -> None:
    dialog.says("book a room")
    for text in ("hi", "yes", "no", "what can I say?", "x" * 1000, "!!!", "book a room", "6"):
        assert "In a few words" in dialog.says(text)
    assert "When" in dialog.says("chess club")


def test_in_chinese_a_meeting_room_alone_is_no_purpose(dialog: Dialog) -> None:
    assert "用途" in dialog.says("订会议室，明天下午3点，6个人")
    assert dialog.slots() == (None, "明天下午3点", 6)
    assert "请简单说明会议室的用途" in dialog.says("会议室")
    assert dialog.says("开会") == QUESTION_ZH


# --- the approval


@pytest.mark.parametrize(
    ("text", "question"),
    [
        (
            ALL_IN_ONE,
            {
                "kind": "approval",
                "text": QUESTION,
                "action": {
                    "name": "book_room",
                    "args": {"what": "meeting", "when": "tomorrow at 10", "how_many": 6},
                },
                "labels": {"what": "for", "when": "when", "how_many": "people"},
                "options": [
                    {"value": "approve", "label": "Book it"},
                    {"value": "reject", "label": "Not yet"},
                ],
                "free": True,
            },
        ),
        (
            ALL_IN_ONE_ZH,
            {
                "kind": "approval",
                "text": QUESTION_ZH,
                "action": {
                    "name": "book_room",
                    "args": {"what": "开会", "when": "明天下午3点", "how_many": 6},
                },
                "labels": {"what": "用途", "when": "时间", "how_many": "人数"},
                "options": [
                    {"value": "approve", "label": "预订"},
                    {"value": "reject", "label": "先不订"},
                ],
                "free": True,
            },
        ),
    ],
)
def test_before_it_books_it_asks_for_an_approval_in_the_bookings_language(
    dialog: Dialog, text: str, question: dict[str, Any]
) -> None:
    assert dialog.says(text) == question["text"]
    assert dialog.approval == question
    assert json.loads(json.dumps(dialog.approval)) == dialog.approval, "plain JSON types"
    assert "confirmed" not in dialog.state


def test_the_booking_with_its_question_is_in_the_state_before_the_approval_is_asked_for(dialog: Dialog) -> None:
    dialog.says(ALL_IN_ONE)
    assert dialog.state["bookings"] == {
        ALICE: {
            "what": "meeting",
            "when": "tomorrow at 10",
            "how_many": 6,
            "asked": "confirm",
            "language": "en",
            "touched": 1,
        }
    }
    dialog.answers("7 people")
    assert (dialog.slots(), dialog.asked()) == (("meeting", "tomorrow at 10", 7), "confirm")


def test_asking_again_after_a_crash_changes_nothing_and_is_the_same_question(dialog: Dialog) -> None:
    dialog.says(ALL_IN_ONE)
    state, question, question_id = dialog.state, dialog.approval, dialog.approval_id
    for _ in range(2):
        dialog.run(None)
        assert (dialog.state, dialog.approval, dialog.approval_id) == (state, question, question_id)
    assert BOOKED.fullmatch(dialog.answers("approve"))


YES = ["approve", "Approve", "approved", "yes", "Y", "ok", "Sure!", "yes please, book it", "Book it", "👍"]
YES_ZH = ["是", "好的", "确认", "可以", "同意", "批准", "预订", "对的，谢谢"]
NO = ["reject", "Rejected", "no", "nope", "Not yet", "no, wait", "change it"]
NO_ZH = ["不", "不是", "否", "先不订", "不同意", "拒绝", "修改"]


@pytest.mark.parametrize("text", [ALL_IN_ONE, ALL_IN_ONE_ZH])
@pytest.mark.parametrize("value", [True, *YES, *YES_ZH])
def test_an_approval_books_the_room(dialog: Dialog, text: str, value: Any) -> None:
    dialog.says(text)
    reply = dialog.answers(value)
    booked = BOOKED.fullmatch(reply) or BOOKED_ZH.fullmatch(reply)
    assert booked
    assert booked[2] == dialog.state["confirmed"][0]["number"]
    assert dialog.slots() is None
    assert dialog.state["confirmed_count"] == 1


@pytest.mark.parametrize("text", [ALL_IN_ONE, ALL_IN_ONE_ZH])
@pytest.mark.parametrize("value", [False, *NO, *NO_ZH])
def test_a_rejection_asks_what_to_change_and_keeps_the_booking(dialog: Dialog, text: str, value: Any) -> None:
    dialog.says(text)
    slots = dialog.slots()
    assert dialog.answers(value) in (WHAT_TO_CHANGE, WHAT_TO_CHANGE_ZH)
    assert (dialog.slots(), dialog.asked()) == (slots, "change")
    assert "confirmed" not in dialog.state
    dialog.says("8 people")
    assert dialog.approval is not None
    assert dialog.approval["action"]["args"]["how_many"] == 8
    assert BOOKED.fullmatch(dialog.answers("approve"))


@pytest.mark.parametrize("value", ["approve", "reject", True, False])
def test_a_button_keeps_the_language_of_the_booking(dialog: Dialog, value: Any) -> None:
    dialog.says(ALL_IN_ONE_ZH)
    assert re.match("已预订|您要改什么", dialog.answers(value))


@pytest.mark.parametrize(("change", "read_back"), CHANGES)
def test_an_answer_that_changes_the_booking_asks_for_the_changed_booking_to_be_approved(
    dialog: Dialog, change: str, read_back: str
) -> None:
    dialog.says(ALL_IN_ONE)
    before, before_id = dialog.approval, dialog.approval_id
    text = dialog.answers(change)
    assert read_back in text
    assert re.match("So that is: |请确认：", text)
    assert "confirmed" not in dialog.state
    assert dialog.approval is not None
    assert before is not None
    assert dialog.approval["action"]["args"] != before["action"]["args"]
    assert dialog.approval_id != before_id, "what was asked about the old booking cannot approve the new one"
    args = dialog.approval["action"]["args"]
    dialog.answers("approve")
    [made] = dialog.state["confirmed"]
    assert {slot: made[slot] for slot in args} == args


@pytest.mark.parametrize("value", [*UNCLEAR, ALL_IN_ONE, "6 people", 1, 0, ["approve"], {"value": "approve"}])
def test_an_answer_that_says_nothing_about_the_booking_is_asked_for_again(dialog: Dialog, value: Any) -> None:
    dialog.says(ALL_IN_ONE)
    before_id = dialog.approval_id
    for _ in range(2):
        assert dialog.answers(value) == QUESTION_AGAIN
    assert dialog.approval_id != before_id
    assert dialog.slots() == ("meeting", "tomorrow at 10", 6)
    assert "confirmed" not in dialog.state
    assert BOOKED.fullmatch(dialog.answers("approve"))


def test_an_answer_that_reopens_a_slot_is_followed_by_its_question(dialog: Dialog) -> None:
    dialog.says(ALL_IN_ONE)
    assert "How many" in dialog.answers("change the number of people")
    assert dialog.approval is None
    assert "9 people" in dialog.says("9")
    assert "confirmed" not in dialog.state
    assert BOOKED.fullmatch(dialog.answers("approve"))


def test_a_booking_may_change_many_times_before_it_is_approved(dialog: Dialog) -> None:
    dialog.says(ALL_IN_ONE)
    ids = {dialog.approval_id}
    for people in range(7, 37):
        assert f"{people} people" in dialog.answers(f"{people} people")
        ids.add(dialog.approval_id)
    assert len(ids) == 31
    assert len(dialog.state["messages"]) == 1
    assert "36 people" in dialog.answers("approve")
    assert dialog.state["confirmed_count"] == 1
    assert len(dialog.state["messages"]) == 2


def test_an_answer_may_name_the_question_it_answers(dialog: Dialog) -> None:
    dialog.says(ALL_IN_ONE)
    dialog.answers({dialog.approval_id: "7 people"})
    assert "7 people" in dialog.answers({dialog.approval_id: "approve"})
    assert dialog.state["confirmed_count"] == 1


def test_an_answer_of_cancel_drops_the_booking(dialog: Dialog) -> None:
    dialog.says(ALL_IN_ONE)
    assert dialog.answers("cancel") == "I have dropped your open booking."
    assert dialog.slots() is None
    assert "confirmed" not in dialog.state


def test_a_message_instead_of_an_answer_goes_on_with_the_same_booking(dialog: Dialog) -> None:
    dialog.says(ALL_IN_ONE)
    before_id = dialog.approval_id
    assert dialog.says("hmm") == QUESTION_AGAIN
    assert dialog.approval_id != before_id
    assert dialog.says("8 people") == QUESTION.replace("6", "8")
    assert "8 people" in dialog.answers("approve")
    assert dialog.state["confirmed_count"] == 1


@pytest.mark.parametrize("text", [*YES, *YES_ZH])
def test_a_yes_sent_as_a_message_books_without_a_second_question(dialog: Dialog, text: str) -> None:
    dialog.says(ALL_IN_ONE)
    reply = dialog.says(text)
    assert BOOKED.fullmatch(reply) or BOOKED_ZH.fullmatch(reply)
    assert dialog.approval is None
    assert dialog.state["confirmed_count"] == 1


@pytest.mark.parametrize("text", [*NO, *NO_ZH])
def test_a_no_sent_as_a_message_asks_what_to_change(dialog: Dialog, text: str) -> None:
    dialog.says(ALL_IN_ONE)
    assert dialog.says(text) in (WHAT_TO_CHANGE, WHAT_TO_CHANGE_ZH)
    assert dialog.asked() == "change"


@pytest.mark.parametrize("as_answer", [False, True])
def test_a_summary_while_an_approval_waits_loses_nothing_and_asks_nothing(dialog: Dialog, as_answer: bool) -> None:
    dialog.says(ALL_IN_ONE)
    reply = dialog.answers("summary") if as_answer else dialog.says("summary")
    assert "Your open booking: for: meeting, when: tomorrow at 10, people: 6." in reply
    assert dialog.approval is None
    assert dialog.asked() == "confirm"
    assert BOOKED.fullmatch(dialog.says("yes"))


# --- a group


def test_one_users_words_never_fill_anothers_slots(dialog: Dialog) -> None:
    dialog.says("book a room", ALICE)
    dialog.says("tomorrow at 10 for 6 people, workshop", BOB)
    assert dialog.slots(ALICE) == (None, None, None)
    assert dialog.slots(BOB) == ("workshop", "tomorrow at 10", 6)
    dialog.says("interview", ALICE)
    assert "confirmed" not in dialog.state
    dialog.says("yes", ALICE)
    assert "confirmed" not in dialog.state, "Alice's yes must not book for Bob"
    dialog.says("cancel", ALICE)
    assert BOOKED.fullmatch(dialog.says("yes", BOB))
    assert [done["user"] for done in dialog.state["confirmed"]] == [BOB]


def test_whoever_answers_an_approval_the_booking_stays_its_owners(dialog: Dialog) -> None:
    dialog.says("book a room", BOB)
    dialog.says(ALL_IN_ONE, ALICE)
    dialog.answers("7 people")
    assert dialog.slots(ALICE) == ("meeting", "tomorrow at 10", 7)
    assert dialog.slots(BOB) == (None, None, None)
    dialog.answers("approve")
    assert [done["user"] for done in dialog.state["confirmed"]] == [ALICE]
    assert list(dialog.state["bookings"]) == [BOB]
    assert "(yours)" in dialog.says("summary", ALICE)
    assert "(yours)" not in dialog.says("summary", BOB)


def test_a_message_of_another_member_leaves_a_waiting_booking_as_it_is(dialog: Dialog) -> None:
    dialog.says(ALL_IN_ONE, ALICE)
    booking = dialog.state["bookings"][ALICE]
    for text in ("yes", "no", "cancel", "summary", "8 people", ALL_IN_ONE, "approve"):
        dialog.says(text, BOB)
        assert dialog.state["bookings"][ALICE] == booking
    assert [done["user"] for done in dialog.state["confirmed"]] == [BOB]
    assert BOOKED.fullmatch(dialog.says("yes", ALICE))
    assert [done["user"] for done in dialog.state["confirmed"]] == [BOB, ALICE]


def test_small_talk_of_someone_without_a_booking_opens_none(dialog: Dialog) -> None:
    dialog.says(ALL_IN_ONE, ALICE)
    for text in ("yes", "6", "no", "tomorrow", "lunch?"):
        assert "I can book a room" in dialog.says(text, BOB)
    assert list(dialog.state["bookings"]) == [ALICE]


def test_each_user_of_a_group_is_answered_in_their_own_language(dialog: Dialog) -> None:
    dialog.says("订会议室开会，明天下午3点", ALICE)
    dialog.says("book a room for a workshop tomorrow at 10", BOB)
    assert "请确认" in dialog.says("6", ALICE)
    assert "Shall I book it" in dialog.says("6", BOB)


def test_no_reply_shows_a_user_id(dialog: Dialog) -> None:
    for user in (ALICE, BOB):
        for text in ("hi", ALL_IN_ONE, "summary", "no", "8 people", "yes", "summary", "总结", "cancel"):
            assert user not in dialog.says(text, user)
            assert ALICE not in dialog.state["reply"]
            assert ALICE not in json.dumps(dialog.approval)


# --- booking numbers


def test_booking_numbers_are_all_different_in_a_thread(dialog: Dialog) -> None:
    for _ in range(10):
        for user in (ALICE, BOB):
            dialog.says(ALL_IN_ONE, user)
            dialog.says("yes", user)
            assert dialog.state["confirmed"][-1]["number"] == booking_number(dialog.message_id, user)
    assert len({done["number"] for done in dialog.state["confirmed"]}) == 20


def test_booking_numbers_are_short_and_do_not_repeat_between_conversations() -> None:
    numbers = {
        booking_number(f"conversation-{n}:{seq}", user)
        for n in range(500)
        for seq in (4, 6)
        for user in (ALICE, BOB)
    }
    assert len(numbers) == 2000
    assert all(re.fullmatch(r"R-[A-Z2-7]{6}", number) for number in numbers)


def test_a_booking_made_again_after_a_crash_has_the_same_number(dialog: Dialog) -> None:
    dialog.says(ALL_IN_ONE)
    dialog.answers("7 people")
    reply, made = dialog.answers("approve"), dialog.state["confirmed"]
    assert made[0]["number"] == booking_number(dialog.message_id, ALICE)
    [before] = [step for step in dialog.graph.get_state_history(THREAD) if step.next == ("book",)]
    again = dialog.graph.invoke(None, before.config)
    assert (again["reply"], again["confirmed"]) == (reply, made)


# --- bounds


def plain_and_bounded(state: dict[str, Any]) -> bool:
    """Whether the state is JSON that comes back the same, within its limits."""
    rest = {key: value for key, value in state.items() if key != "messages"}
    assert json.loads(json.dumps(rest)) == rest
    assert len(state["messages"]) <= 20
    assert len(state.get("bookings", {})) <= 50
    assert len(state.get("confirmed", [])) <= 20
    for booking in state.get("bookings", {}).values():
        assert len(booking.get("what", "")) <= 60
        assert len(booking.get("when", "")) <= 80
        assert 1 <= booking.get("how_many", 1) <= 500
    return True


def test_the_state_stays_bounded_after_200_turns(dialog: Dialog) -> None:
    for n in range(70):
        dialog.says("book a room", f"user-{n}")
    assert "user-19" not in dialog.state["bookings"], "the oldest are dropped"
    for _ in range(65):
        dialog.says(ALL_IN_ONE)
        dialog.says("yes")
    assert plain_and_bounded(dialog.state)
    assert dialog.state["turns"] == 200
    assert len(dialog.state["messages"]) == 20
    assert (len(dialog.state["confirmed"]), dialog.state["confirmed_count"]) == (20, 65)
    assert "And 45 before those" in dialog.says("summary")


STAGES: dict[str, Sequence[str]] = {
    "nothing": (),
    "what": ("book",),
    "when": ("book a workshop",),
    "how_many": ("book a workshop tomorrow",),
    "confirm": (ALL_IN_ONE,),
    "confirm in Chinese": (ALL_IN_ONE_ZH,),
    "change": (ALL_IN_ONE, "no"),
    "booked": (ALL_IN_ONE_ZH, "是"),
}
PIECES = [
    "at",
    "10",
    "for",
    "6",
    "people",
    "tomorrow",
    "no",
    "yes",
    "cancel",
    "summary",
    "明天",
    "3点",
    "个人",
    "一",
]
PIECES += [
    "千",
    "负",
    "minus",
    "make it",
    "approve",
    "reject",
    "一点",
    "两",
    "周",
    "订",
    "会议室",
    "-",
    ":",
    ".",
    "|",
    "{",
    "}",
    "{booking}",
    "@",
    "@a ",
    "Dec",
    "１",
    "a",
]
ANY_TEXT = st.one_of(
    st.text(max_size=60),
    st.lists(st.sampled_from(PIECES), max_size=12).flatmap(
        lambda pieces: st.sampled_from(["", " "]).map(lambda gap: gap.join(pieces))
    ),
    st.sampled_from(
        ["", " ", "???", "🎉🎉", "x" * 1000, "一" * 1000, "1" * 1000, "at 1 " * 200, "\ud800", "\x00"]
    ),
)


@settings(max_examples=60, deadline=None)
@given(
    stage=st.sampled_from(list(STAGES)),
    turns=st.lists(st.tuples(ANY_TEXT, st.booleans()), min_size=1, max_size=4),
    user=st.text(),
)
def test_any_text_in_any_state_gets_a_reply_and_the_state_stays_bounded(
    stage: str, turns: list[tuple[str, bool]], user: str
) -> None:
    dialog = Dialog()
    for text in STAGES[stage]:
        dialog.says(text, user)
    for text, as_answer in turns:
        reply = dialog.answers(text) if as_answer and dialog.approval else dialog.says(text, user)
        assert reply.strip()
        assert plain_and_bounded(dialog.state)
        if dialog.approval:
            assert json.loads(json.dumps(dialog.approval)) == dialog.approval
            assert len(dialog.approval["text"]) <= 300
            assert tuple(dialog.approval["action"]["args"].values()) == dialog.slots(user)
            assert dialog.asked(user) == "confirm"


@settings(max_examples=100, deadline=None)
@given(text=ANY_TEXT)
@example(text="tomorrow:APPROVE")
def test_no_answer_books_but_a_yes_and_nothing_else(text: str) -> None:
    dialog = Dialog()
    dialog.says(ALL_IN_ONE)
    asked = dict(dialog.state["bookings"][ALICE])
    heard = read(without_mention(text), dialog.state["bookings"][ALICE])
    dialog.answers(text)
    # "Tomorrow: approve" says again what was asked, and changes nothing.
    changes = any(asked[name] != value for name, value in heard.slots.items())
    says_just_yes = heard.intent == "yes" and not changes and not heard.out_of_range
    assert ("confirmed" in dialog.state) == says_just_yes


@settings(max_examples=200, deadline=None)
@given(text=ANY_TEXT, asked=st.sampled_from(["what", "when", "how_many", "confirm", "change"]))
def test_reading_never_fails_and_keeps_to_the_limits(text: str, asked: Any) -> None:
    for booking in (
        None,
        Booking(asked=asked),
        Booking(asked=asked, what="yoga", when="明天3点", how_many=2),
    ):
        slots = read(text, booking).slots
        assert len(slots.get("what", "")) <= 60
        assert len(slots.get("when", "")) <= 80
        assert 1 <= slots.get("how_many", 1) <= 500


# --- streaming


async def streamed(graph: Graph, given: Any) -> list[str]:
    """The pieces of text of one run."""
    chunks: list[str] = []
    stream: Any = graph.astream(given, THREAD, stream_mode="messages")
    async for chunk, metadata in stream:
        assert isinstance(chunk, AIMessageChunk)
        assert metadata["langgraph_node"] == "speak"
        chunks.append(str(chunk.text))
    return chunks


@pytest.mark.parametrize("text", ["hello", "你好", "book a room", "订会议室", "summary"])
async def test_streamed_chunks_joined_are_the_final_message(text: str) -> None:
    graph: Graph = builder(word_delay=0).compile(checkpointer=InMemorySaver())
    chunks = await streamed(graph, {"messages": [HumanMessage(content=text, name=ALICE, id="1")]})
    final = (await graph.aget_state(THREAD)).values["messages"][-1]
    assert "".join(chunks) == final.content
    assert len(chunks) > 5


@pytest.mark.parametrize("text", [ALL_IN_ONE, ALL_IN_ONE_ZH])
async def test_a_question_is_not_streamed_but_the_answer_after_its_approval_is(text: str) -> None:
    graph: Graph = builder(word_delay=0).compile(checkpointer=InMemorySaver())
    assert await streamed(graph, {"messages": [HumanMessage(content=text, name=ALICE, id="1")]}) == []
    assert await streamed(graph, Command(resume="8")) == []
    chunks = await streamed(graph, Command(resume="approve"))
    final = (await graph.aget_state(THREAD)).values["messages"][-1]
    assert "".join(chunks) == final.content
    assert BOOKED.fullmatch(final.content) or BOOKED_ZH.fullmatch(final.content)
    assert len(chunks) > 5


@pytest.mark.parametrize(
    "text", ["", " ", "one two  three\n", "  lead", "请确认：会议，3人", "mixed 中文 and text，ok\u3000。"]
)
def test_words_joined_are_the_text_and_chinese_comes_in_ones_and_twos(text: str) -> None:
    assert "".join(words(text)) == text
    assert all(len(word) <= 2 for word in words("请确认：会议，明天下午三点，六人。"))


@given(st.text())
def test_any_text_is_cut_without_loss(text: str) -> None:
    assert "".join(words(text)) == text


async def test_the_model_says_the_same_in_one_piece_and_in_chunks() -> None:
    model, said = SpokenReply(word_delay=0), [AIMessage(content="So that is it.")]
    assert model.invoke(said).content == (await model.ainvoke(said)).content == "So that is it."
    assert [chunk.content for chunk in model.stream(said)][:4] == ["So ", "that ", "is ", "it."]
    assert [chunk.content async for chunk in model.astream(said)][:4] == ["So ", "that ", "is ", "it."]


# --- reading


def tabled(**cases: dict[str, Any]) -> Callable[[Any], Any]:
    return pytest.mark.parametrize(
        ("asked", "text", "expected"),
        [(asked, text, expected) for asked, table in cases.items() for text, expected in table.items()],
    )


@tabled(
    none={
        "today": "today",
        "tomorrow   at 10": "tomorrow at 10",
        "Friday 15:00": "Friday 15:00",
        "on Friday, 10:30": "Friday, 10:30",
        "next week": "next week",
        "tonight at 8": "tonight at 8",
        "2026-12-01 09:30": "2026-12-01 09:30",
        "Dec 1 at 3pm": "Dec 1 at 3pm",
        "1 December": "1 December",
        "from 10 to 12 on Monday": "from 10 to 12 on Monday",
        "10am-11am tomorrow": "10am-11am tomorrow",
        "tomorrow for 6 people at 10": "tomorrow at 10",
        "tomorrow at 10 for 2 hours": "tomorrow at 10 for 2 hours",
        "at 10 for 6 people": "at 10",
        "今天": "今天",
        "明天下午3点": "明天下午3点",
        "后天上午十点半": "后天上午十点半",
        "周五15:00": "周五15:00",
        "星期三晚上8点": "星期三晚上8点",
        "下周一9点30分": "下周一9点30分",
        "12月1日9点到11点": "12月1日9点到11点",
        "明天下午3点6个人": "明天下午3点",
        "明天下午３点": "明天下午３点",
        "6 people": None,
        "at 10 people": None,
        "at 25": None,
        "25:00": None,
        "10": None,
        "good morning": None,
        "下午好": None,
        "大一点的会议室": None,
        "3号会议室": None,
        "for 2 hours": None,
        "maybe 6": None,
    },
    when={"now": "now", "10": None, "noon": "noon", "soon": None},
)
def test_the_concierge_reads_times_in_the_users_own_words(asked: Any, text: str, expected: str | None) -> None:
    assert read(text, Booking(asked=asked)).slots.get("when") == expected


@tabled(
    none={
        "at 10 for 6 people": 6,
        "for 12": 12,
        "for 10 at 10:30": 10,
        "six people": 6,
        "party of 8": 8,
        "6-8 people": 8,
        "Dec 15 people": 15,
        "Friday 15:00, 12 guests": 12,
        "6个人": 6,
        "十二个人": 12,
        "一百二十人": 120,
        "8位": 8,
        "明天3点6个人": 6,
        "人数改成9": 9,
        "６个人": 6,
        "6": None,
        "at 10": None,
        "for 10:30": None,
        "for 3pm": None,
        "for 2 hours": None,
        "for 3 interviews": None,
        "room 5": None,
        "一个会议室": None,
        "1,5 people": None,
        "1,0000 people": None,
        "1,200 people": None,
        "- 5 people": 5,
        "make it 8": None,
        "改成8": None,
        "六千人": None,
        **dict.fromkeys(OUT_OF_RANGE),
    },
    when={"6": None},
    confirm={
        "make it 8": 8,
        "make that twelve.": 12,
        "改成8": 8,
        "改成8个吧": 8,
        "make it 2 rooms": None,
        "改成8点": None,
        "8": None,
    }
    | dict.fromkeys(["make it 8pm", "make it 8:30", "make it 2 hours", "改成一个会议", "改成8号"]),
    how_many={
        "6": 6,
        "make it 6": 6,
        "about 6": 6,
        "six": 6,
        "6个": 6,
        "十二": 12,
        "6!": 6,
        "6.5": None,
        "5 minutes": None,
    },
)
def test_head_counts_are_read_and_times_are_none(asked: Any, text: str, expected: int | None) -> None:
    assert read(text, Booking(asked=asked)).slots.get("how_many") == expected


@tabled(
    none={
        "book a meeting room": "meeting",
        "book a meeting room for a workshop": "workshop",
        "a birthday party on Friday": "birthday party",
        "订会议室": None,
        "訂會議室": None,
        "预订一个大会议厅": None,
        "我要开会议室": None,
        "订会议室开会": "开会",
        "开会用的会议室": "开会",
        "订会议室，部门会议": "部门会议",
        "订个会议": "会议",
        "订培训会议室": "培训",
        "面试用的会议室": "面试",
        "book a room": None,
        "party of 6": None,
    },
    what={
        "a team meeting": "team meeting",
        "it's for a workshop, tomorrow at 10": "workshop",
        "Yoga, tomorrow at 10 for 6": "Yoga",
        "我们要开个产品发布会": "产品发布会",
        "团队建设": "团队建设",
        "会议": "会议",
        "开会": "开会",
        "培训": "培训",
        "会议室": None,
        "tomorrow at 10 please": None,
        "for 6 people": None,
        "不知道": None,
    },
    how_many={"yoga": None},
)
def test_a_purpose_is_a_known_kind_or_when_asked_any_few_words(
    asked: Any, text: str, expected: str | None
) -> None:
    assert read(text, Booking(asked=asked)).slots.get("what") == expected


@tabled(
    confirm=dict.fromkeys(["confirm", "I approve", "好", "对", "没问题", "同意吧", *YES, *YES_ZH], "yes")
    | dict.fromkeys(["N", "不对", "暂不", "rejected", *NO, *NO_ZH], "no")
    | dict.fromkeys(["ok?", "yesterday", "maybe", "8", "", "rejection", "I disapprove", "approval"], "other")
    | dict.fromkeys(["cancel", "取消", "please cancel my booking"], "cancel")
    | dict.fromkeys(["summary", "Summarise please", "summarize", "总结", "给我一个摘要"], "summarise"),
    what={"don't cancel": "no", "book a room": "start", "subscription cancellation": "other"},
)
def test_intents_are_told_apart(asked: Any, text: str, expected: str) -> None:
    assert read(text, Booking(asked=asked)).intent == expected


@pytest.mark.parametrize(
    "text", ["book", "I need a room", "reserve something", "a booking", "订", "预定", "会议室"]
)
def test_booking_words_start_a_booking(text: str) -> None:
    assert read(text, None).intent == "start"


@pytest.mark.parametrize(
    ("old", "new", "merged"),
    [
        ("tomorrow at 10", "Friday", "Friday at 10"),
        ("tomorrow at 10", "3pm", "tomorrow 3pm"),
        ("tomorrow at 10", "Friday at 9", "Friday at 9"),
        ("明天下午3点", "周五", "周五下午3点"),
        ("明天", "下午3点", "明天下午3点"),
        ("", "at 10", "at 10"),
    ],
)
def test_a_new_time_of_day_keeps_the_day_and_the_other_way_round(old: str, new: str, merged: str) -> None:
    assert merge_when(old, new) == merged


def test_the_concierge_reads_numbers_in_digits_and_in_words() -> None:
    assert [number(text) for text in ("12", "-3", "Twelve", "十", "十二", "二十", "一百零五")] == [
        12,
        -3,
        12,
        10,
        12,
        20,
        105,
    ]
    signed = ("-twelve", "minus 5", "负五", "–5", "1,200", "12,000", "一千零二十", "两万", "十万三", "3千", "zero")
    assert [number(text) for text in signed] == [-12, -5, -5, -5, 1200, 12000, 1020, 20000, 100003, 3000, 0]


@pytest.mark.parametrize(
    "text", ["@concierge hello", "  @agent, hello", "@concierge：hello", "@助手 hello", "hello"]
)
def test_a_leading_mention_is_ignored(text: str) -> None:
    assert without_mention(text) == "hello"


def test_the_language_follows_the_message_and_stays_where_there_are_no_letters() -> None:
    assert language_of("book 会议室", "en") == "zh"
    assert language_of("hello", "zh") == "en"
    assert language_of("6?", "zh") == "zh"
    assert language_of("🎉", "en") == "en"


# --- what the concierge shows of itself


@pytest.mark.parametrize(
    ("text", "said"),
    [("Show me what you can do", "| Room | Seats |"), ("展示一下你能做什么", "| 会议室 | 座位 |")],
)
def test_the_showcase_calls_two_tools_and_shows_a_table_code_and_a_list(
    dialog: Dialog, text: str, said: str
) -> None:
    reply = dialog.says(text)
    assert said in reply
    assert "```python\n" in reply
    assert re.search(r"^1\. .*\n2\. ", reply, re.MULTILINE)
    called = [call for message in dialog.state["messages"] for call in getattr(message, "tool_calls", ())]
    results = {message.tool_call_id for message in dialog.state["messages"] if message.type == "tool"}
    assert [call["name"] for call in called] == ["find_rooms", "find_free_times"]
    assert {call["id"] for call in called} == results


@pytest.mark.parametrize(
    ("text", "said"),
    [("what can you do?", "**Cancel**"), ("你能做什么？", "**取消**"), ("您会做些什么", "**取消**")],
)
def test_the_concierge_lists_what_it_offers(dialog: Dialog, text: str, said: str) -> None:
    assert said in dialog.says(text)


@pytest.mark.parametrize(
    ("text", "read_back", "book"),
    [
        ("Book a table for two tomorrow at seven", "a table, tomorrow at seven, 2 people", BOOKED),
        ("预订明晚七点两人的位子", "餐位，明晚七点，2人", BOOKED_ZH),
    ],
)
def test_a_table_is_asked_for_approval_at_once_and_booked(
    dialog: Dialog, text: str, read_back: str, book: re.Pattern[str]
) -> None:
    assert read_back in dialog.says(text)
    assert dialog.approval is not None
    assert dialog.approval["action"]["name"] == "book_table"
    assert book.fullmatch(dialog.answers("approve"))


@pytest.mark.parametrize("text", ["Tell me a long story about a lighthouse", "讲一个关于灯塔的长故事"])
async def test_a_story_is_thought_about_and_then_streamed_at_length(text: str) -> None:
    graph: Graph = builder(word_delay=0).compile(checkpointer=InMemorySaver())
    stream: Any = graph.astream(
        {"messages": [HumanMessage(content=text, name=ALICE, id="1")]}, THREAD, stream_mode="messages"
    )
    chunks = [chunk async for chunk, _ in stream]
    thoughts = [chunk for chunk in chunks if chunk.additional_kwargs.get("reasoning_content")]
    assert chunks[: len(thoughts)] == thoughts
    assert len(thoughts) > 10
    assert len(chunks) > 250
    assert "".join(str(chunk.text) for chunk in chunks) == (await graph.aget_state(THREAD)).values["reply"]


@pytest.mark.parametrize("text", ["Show me what you can do", "What can you do?", "讲个故事"])
def test_an_aside_leaves_the_open_booking_as_it_is(dialog: Dialog, text: str) -> None:
    dialog.says("book a room tomorrow")
    before = dialog.slots(), dialog.asked()
    dialog.says(text)
    assert (dialog.slots(), dialog.asked()) == before
    assert "How many" in dialog.says("a workshop")
