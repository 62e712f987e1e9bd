"""The concierge keeps its promises: whole dialogs, in a group, in two languages, with any text at all."""

import json
from collections.abc import Callable, Sequence
from itertools import count
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph.state import CompiledStateGraph

from sio_server.dialog.graphs.concierge import builder
from sio_server.dialog.graphs.concierge.graph import booking_number, without_mention
from sio_server.dialog.graphs.concierge.model import SpokenReply, words
from sio_server.dialog.graphs.concierge.state import Booking
from sio_server.dialog.graphs.concierge.understanding import language_of, merge_when, number, read

ALICE, BOB = "alice-3f9c12", "bob-77aa01"
ALL_IN_ONE = "book a meeting room tomorrow at 10 for 6 people"
ALL_IN_ONE_ZH = "订会议室，明天下午3点，6个人"
THREAD: RunnableConfig = {"configurable": {"thread_id": "room"}}
Graph = CompiledStateGraph[Any, Any, Any, Any]


class Dialog:
    """One thread, spoken to by name."""

    def __init__(self, saver: InMemorySaver | None = None) -> None:
        self.graph: Graph = builder(word_delay=0).compile(checkpointer=saver or InMemorySaver())
        self.ids = count()
        self.state: dict[str, Any] = {}

    def says(self, text: str, user: str = ALICE) -> str:
        message = HumanMessage(content=text, name=user, id=f"{id(self)}-{next(self.ids)}")
        self.state = self.graph.invoke({"messages": [message]}, THREAD)
        answer = self.state["messages"][-1]
        assert isinstance(answer, AIMessage)
        assert type(answer.content) is str
        return answer.content

    def slots(self, user: str = ALICE) -> tuple[Any, ...] | None:
        booking = self.state.get("bookings", {}).get(user)
        return booking and tuple(booking.get(slot) for slot in ("what", "when", "how_many"))


@pytest.fixture
def dialog() -> Dialog:
    return Dialog()


# --- whole dialogs


def test_a_dialog_in_english_asks_for_each_slot_reads_back_and_books(dialog: Dialog) -> None:
    assert "book a meeting room" in dialog.says("hello")
    assert "What is the room for" in dialog.says("@concierge I want to book a room")
    assert "When" in dialog.says("a team meeting")
    assert "How many" in dialog.says("tomorrow at 10")
    assert "team meeting, tomorrow at 10, 6 people" in dialog.says("6")
    assert "R-1" in dialog.says("yes")
    assert dialog.slots() is None
    assert dialog.state["confirmed"][0]["when"] == "tomorrow at 10"


def test_a_dialog_in_chinese_asks_for_each_slot_reads_back_and_books(dialog: Dialog) -> None:
    assert "预订会议室" in dialog.says("你好")
    assert "用途" in dialog.says("@agent 我想预订一个房间")
    assert "什么时候" in dialog.says("培训")
    assert "多少人" in dialog.says("明天下午3点")
    assert "培训，明天下午3点，6人" in dialog.says("6")
    assert "R-1" in dialog.says("好的")
    assert dialog.state["confirmed"][0]["how_many"] == 6


@pytest.mark.parametrize(
    ("text", "read_back"),
    [
        (ALL_IN_ONE, "meeting, tomorrow at 10, 6 people"),
        (ALL_IN_ONE_ZH, "会议，明天下午3点，6人"),
        ("reserve a room for a workshop on Dec 1 at 3pm, party of 12", "workshop, Dec 1 at 3pm, 12 people"),
        ("帮我预订周五15:00的会议室，十二个人，面试用", "面试，周五15:00，12人"),
    ],
)
def test_one_message_with_everything_goes_straight_to_the_read_back(
    dialog: Dialog, text: str, read_back: str
) -> None:
    assert read_back in dialog.says(text)


def test_a_new_graph_over_the_same_saver_resumes_at_the_slot_where_the_dialog_stopped() -> None:
    saver = InMemorySaver()
    assert "When" in Dialog(saver).says("book a room for a workshop")
    assert "How many" in Dialog(saver).says("Friday 15:00")
    assert "workshop, Friday 15:00, 6 people" in Dialog(saver).says("6")
    assert "R-1" in Dialog(saver).says("yes")


@pytest.mark.parametrize(
    ("change", "read_back"),
    [
        ("make it 8 people", "meeting, tomorrow at 10, 8 people"),
        ("no, 8 people", "meeting, tomorrow at 10, 8 people"),
        ("yes, but 8 people", "meeting, tomorrow at 10, 8 people"),
        ("make it a workshop", "workshop, tomorrow at 10, 6 people"),
        ("make it Friday", "meeting, Friday at 10, 6 people"),
        ("make it at 11", "meeting, tomorrow at 11, 6 people"),
        ("move the meeting to Friday 9:30", "meeting, Friday 9:30, 6 people"),
        ("改成8个人", "meeting，tomorrow at 10，8人"),
    ],
)
def test_at_the_read_back_a_slot_changes_by_saying_it(dialog: Dialog, change: str, read_back: str) -> None:
    dialog.says(ALL_IN_ONE)
    assert read_back in dialog.says(change)
    assert "confirmed" not in dialog.state


def test_a_no_asks_what_to_change_and_then_for_that_slot(dialog: Dialog) -> None:
    dialog.says(ALL_IN_ONE)
    assert "What shall I change" in dialog.says("no")
    assert "How many" in dialog.says("the number of people")
    assert "meeting, tomorrow at 10, 9 people" in dialog.says("9")
    assert "What shall I change" in dialog.says("no")
    assert "meeting, tomorrow at 10, 9 people" in dialog.says("nothing")
    assert "R-1" in dialog.says("ok")


def test_only_a_clear_yes_books(dialog: Dialog) -> None:
    dialog.says(ALL_IN_ONE)
    for unclear in ("ok, but is it quiet?", "ok?", "8", "hmm", "🎉", "", "yesterday", "not sure yes"):
        dialog.says(unclear)
    assert "confirmed" not in dialog.state
    assert dialog.slots() == ("meeting", "tomorrow at 10", 6)
    dialog.says("sure")


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
    assert "R-1" in reply
    assert "meeting, tomorrow at 10, 6 people (yours)" in reply
    assert "Turns so far: 4" in reply
    assert "How many" in dialog.says("Friday 15:00")
    assert "对话轮数：6" in dialog.says("总结一下")
    assert "请确认" in dialog.says("6"), "a message with no letters keeps the language"


def test_a_number_of_people_no_room_takes_is_asked_again(dialog: Dialog) -> None:
    dialog.says("book a meeting room tomorrow at 10")
    for text in ("0", "501", "-3", "900 people", "1" * 400):
        assert "1 to 500" in dialog.says(text)
    assert "500 people" in dialog.says("500")
    assert "1 to 500" in dialog.says("make it 900 people")
    assert dialog.slots() == ("meeting", "tomorrow at 10", 500)


def test_a_time_it_cannot_read_is_asked_again_with_an_example(dialog: Dialog) -> None:
    dialog.says("book a room for a workshop")
    for text in ("some day", "10", "🎉", "25:00"):
        assert "tomorrow at 10" in dialog.says(text)
    assert "How many" in dialog.says("tomorrow")


def test_a_purpose_is_any_few_words_but_not_a_greeting_or_a_flood(dialog: Dialog) -> None:
    dialog.says("book a room")
    for text in ("hi", "yes", "no", "what can I say?", "x" * 1000, "!!!", "book a room", "6"):
        assert "In a few words" in dialog.says(text)
    assert "When" in dialog.says("chess club")


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
    assert "R-1" in dialog.says("yes", BOB)


def test_small_talk_of_someone_without_a_booking_opens_none(dialog: Dialog) -> None:
    dialog.says(ALL_IN_ONE, ALICE)
    for text in ("yes", "6", "no", "tomorrow", "lunch?"):
        assert "I can book a room" in dialog.says(text, BOB)
    assert list(dialog.state["bookings"]) == [ALICE]


def test_each_user_of_a_group_is_answered_in_their_own_language(dialog: Dialog) -> None:
    dialog.says("订会议室，明天下午3点", ALICE)
    dialog.says("book a room for a workshop tomorrow at 10", BOB)
    assert "请确认" in dialog.says("6", ALICE)
    assert "Shall I book it" in dialog.says("6", BOB)


def test_no_reply_shows_a_user_id(dialog: Dialog) -> None:
    for user in (ALICE, BOB):
        for text in ("hi", ALL_IN_ONE, "summary", "no", "8 people", "yes", "summary", "总结", "cancel"):
            assert user not in dialog.says(text, user)
            assert ALICE not in dialog.state["reply"]


def test_booking_numbers_are_deterministic_and_all_different_in_a_thread(dialog: Dialog) -> None:
    for _ in range(3):
        for user in (ALICE, BOB):
            dialog.says(ALL_IN_ONE, user)
            dialog.says("yes", user)
    numbers = [done["number"] for done in dialog.state["confirmed"]]
    assert numbers == [booking_number((ALICE, BOB)[n % 2], n + 1) for n in range(6)]
    assert len(set(numbers)) == 6


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


@settings(max_examples=40, deadline=None)
@given(stage=st.sampled_from(list(STAGES)), texts=st.lists(ANY_TEXT, min_size=1, max_size=4), user=st.text())
def test_any_text_in_any_state_gets_a_reply_and_the_state_stays_bounded(
    stage: str, texts: list[str], user: str
) -> None:
    dialog = Dialog()
    for text in (*STAGES[stage], *texts):
        assert dialog.says(text, user).strip()
        assert plain_and_bounded(dialog.state)


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


@pytest.mark.parametrize("text", ["hello", "你好", ALL_IN_ONE, ALL_IN_ONE_ZH, "summary"])
async def test_streamed_chunks_joined_are_the_final_message(text: str) -> None:
    graph: Graph = builder(word_delay=0).compile(checkpointer=InMemorySaver())
    message = HumanMessage(content=text, name=ALICE, id="1")
    chunks: list[str] = []
    stream: Any = graph.astream({"messages": [message]}, THREAD, stream_mode="messages")
    async for chunk, metadata in stream:
        assert isinstance(chunk, AIMessageChunk)
        assert metadata["langgraph_node"] == "speak"
        chunks.append(str(chunk.text))
    final = (await graph.aget_state(THREAD)).values["messages"][-1]
    assert "".join(chunks) == final.content
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
def test_times_are_read_in_the_users_own_words(asked: Any, text: str, expected: str | None) -> None:
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
        "-5 people": None,
        "501 people": None,
    },
    when={"6": None},
    how_many={"6": 6, "about 6": 6, "six": 6, "6个": 6, "十二": 12, "6!": 6, "6.5": None, "5 minutes": None},
)
def test_head_counts_are_read_and_times_are_none(asked: Any, text: str, expected: int | None) -> None:
    assert read(text, Booking(asked=asked)).slots.get("how_many") == expected


@tabled(
    none={
        "book a meeting room": "meeting",
        "book a meeting room for a workshop": "workshop",
        "a birthday party on Friday": "birthday party",
        "订会议室": "会议",
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
    confirm=dict.fromkeys(["yes", "Y", "ok", "Sure!", "confirm", "yes please, book it", "👍"], "yes")
    | dict.fromkeys(["是", "好", "好的", "对", "确认", "可以", "没问题", "对的，谢谢"], "yes")
    | dict.fromkeys(["no", "N", "nope", "no, wait", "不", "不是", "否", "不对", "change it"], "no")
    | dict.fromkeys(["ok?", "yesterday", "maybe", "8", ""], "other")
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


def test_numbers_are_read_in_digits_and_in_words() -> None:
    assert [number(text) for text in ("12", "-3", "Twelve", "十", "十二", "二十", "一百零五")] == [
        12,
        -3,
        12,
        10,
        12,
        20,
        105,
    ]


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
