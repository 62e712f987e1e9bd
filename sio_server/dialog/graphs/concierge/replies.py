"""The concierge's words: every sentence it can say, in English and in Chinese."""

import re
from typing import Any

from sio_server.dialog.graphs.concierge.state import SLOTS, Booking, Confirmed, Decision, Language, Slot

ASK: dict[Language, dict[Slot, str]] = {
    "en": {
        "what": "What is the room for? A meeting, a workshop, an interview?",
        "when": "When do you need it? For example: tomorrow at 10.",
        "how_many": "How many people will come?",
    },
    "zh": {
        "what": "会议室的用途是什么？例如：会议、培训、面试。",
        "when": "您什么时候需要？例如：明天下午3点。",
        "how_many": "一共有多少人？",
    },
}
ASK_AGAIN: dict[Language, dict[Slot, str]] = {
    "en": {
        "what": "In a few words, please: what is the room for? For example: a workshop.",
        "when": "I did not find a time in that. Please say it like “tomorrow at 10” or “Friday 15:00”.",
        "how_many": "Please tell me the number of people, for example 6.",
    },
    "zh": {
        "what": "请简单说明会议室的用途，例如：培训。",
        "when": "我没有听懂时间，请这样说：“明天下午3点”或“周五15:00”。",
        "how_many": "请告诉我人数，例如：6。",
    },
}
SAY: dict[Language, dict[str, str]] = {
    "en": {
        "help": "I can book a room for you: say “book a meeting room tomorrow at 10 for 6 people”.",
        "offer": (
            "This is what I can do:\n\n"
            "- **Book** a room or a table: say “book a meeting room tomorrow at 10 for 6 people”. "
            "I ask for your approval before anything is booked.\n"
            "- **Sum up** where we are: say “summary”.\n"
            "- **Cancel** an open booking: say “cancel”.\n"
            "- **Show** a table, code and the steps of a tool: say “show me what you can do”.\n"
            "- **Tell** a long story about a lighthouse, which you may stop at any word."
        ),
        "out_of_range": "A room takes 1 to 500 people. ",
        "confirm": "So that is: {booking}. Shall I book it?",
        "confirm_again": "Please say yes or no, or what to change. It is: {booking}. Shall I book it?",
        "change": "What shall I change: what it is for, the time, or the number of people?",
        "booked": "Booked: {booking}. Your booking number is {number}.",
        "cancelled": "I have dropped your open booking.",
        "nothing_to_cancel": "You have no open booking to cancel.",
    },
    "zh": {
        "help": "我可以帮您预订会议室，例如您可以说：“订会议室开会，明天下午3点，6个人”。",
        "offer": (
            "我可以做这些事：\n\n"
            "- **预订**会议室或餐位，例如“订会议室开会，明天下午3点，6个人”。预订之前会先请您确认。\n"
            "- **总结**目前的进展：说“总结”。\n"
            "- **取消**未完成的预订：说“取消”。\n"
            "- **展示**表格、代码和工具步骤：说“展示一下你能做什么”。\n"
            "- **讲**一个关于灯塔的长故事，您随时可以让我停下。"
        ),
        "out_of_range": "会议室可容纳1到500人。",
        "confirm": "请确认：{booking}。要预订吗？",
        "confirm_again": "请回答是或否，或者告诉我要改什么。目前是：{booking}。要预订吗？",
        "change": "您要改什么：用途、时间还是人数？",
        "booked": "已预订：{booking}。您的预订号是{number}。",
        "cancelled": "已取消您未完成的预订。",
        "nothing_to_cancel": "您没有可以取消的未完成预订。",
    },
}
BUTTONS: dict[Language, dict[Decision, str]] = {
    "en": {"approve": "Book it", "reject": "Not yet"},
    "zh": {"approve": "预订", "reject": "先不订"},
}
NAMES: dict[Language, dict[Slot, str]] = {
    "en": {"what": "for", "when": "when", "how_many": "people"},
    "zh": {"what": "用途", "when": "时间", "how_many": "人数"},
}
# Of these one says "a" or "an"; a purpose in the user's own words is said as they put it.
ONE_OF_A_KIND = re.compile(
    "meeting|workshop|interview|party|presentation|seminar|lecture|conference|stand-?up|review|retro|demo"
    "|class|lesson|session|celebration|exam|table"
)


def read_back(language: Language, booking: Booking | Confirmed) -> str:
    """A whole booking in a few words."""
    what, when, how_many = booking["what"], booking["when"], booking["how_many"]
    if language == "zh":
        return f"{what}，{when}，{how_many}人"
    if ONE_OF_A_KIND.fullmatch(what):
        what = f"{'an' if what[0] in 'aeiou' else 'a'} {what}"
    return f"{what}, {when}, {how_many} {'person' if how_many == 1 else 'people'}"


def say(
    language: Language,
    sentence: str,
    booking: Booking | Confirmed | None = None,
    number: str = "",
) -> str:
    """One of the fixed sentences, with the booking it speaks of."""
    told = read_back(language, booking) if booking else ""
    # User's words go in as arguments only: a "{" in them is a character, not a placeholder.
    return SAY[language][sentence].format(booking=told, number=number)


def ask_for(language: Language, slot: Slot, again: bool, out_of_range: bool) -> str:
    """The question for a slot, put more plainly where the last answer did not fill it."""
    if out_of_range:
        return say(language, "out_of_range") + ASK[language][slot]
    return (ASK_AGAIN if again else ASK)[language][slot]


def approval(language: Language, text: str, booking: Booking) -> dict[str, Any]:
    """The question shown with its buttons before a booking is made, in plain JSON types."""
    return {
        "kind": "approval",
        "text": text,
        "action": {
            "name": "book_table" if booking["what"] in ("table", "餐位") else "book_room",
            "args": {"what": booking["what"], "when": booking["when"], "how_many": booking["how_many"]},
        },
        "labels": NAMES[language],
        "options": [{"value": value, "label": label} for value, label in BUTTONS[language].items()],
        "free": True,
    }


def summary(
    language: Language, user: str, booking: Booking | None, confirmed: list[Confirmed], count: int, turns: int
) -> str:
    """Where the dialog stands: the user's open booking, the bookings made, and the turns taken."""
    zh = language == "zh"
    if booking is None:
        open_line = "未完成的预订：无。" if zh else "Open booking: none."
    else:
        unknown = "未定" if zh else "not known yet"
        colon = "：" if zh else ": "
        slots = [f"{NAMES[language][slot]}{colon}{booking.get(slot, unknown)}" for slot in SLOTS]
        open_line = f"您的预订：{'，'.join(slots)}。" if zh else f"Your open booking: {', '.join(slots)}."
    lines = [f"{done['number']} {read_back(language, done)}" for done in confirmed]
    lines = [
        line + (("（您的）" if zh else " (yours)") if done["user"] == user else "")
        for line, done in zip(lines, confirmed, strict=True)
    ]
    earlier = count - len(lines)
    if zh:
        more = f"另有更早的{earlier}个。" if earlier else ""
        made = f"（{count}个）：{'；'.join(lines)}。{more}" if lines else "：无。"
        return f"{open_line}\n已确认的预订{made}\n对话轮数：{turns}。"
    more = f" And {earlier} before those." if earlier else ""
    made = f" ({count}): {'; '.join(lines)}.{more}" if lines else ": none."
    return f"{open_line}\nConfirmed bookings{made}\nTurns so far: {turns}."
