"""Reads one message: what its user wants and which slots its words fill, in English or Chinese."""

import re
from typing import NamedTuple

from sio_server.dialog.graphs.concierge.state import MOST_PEOPLE, Asked, Booking, Intent, Language, Slot, Slots

# (?ia) in the patterns: any case, and \b between a Chinese character and a letter or digit as well.
READ_AT_MOST, WHEN_AT_MOST, WHAT_AT_MOST = 1000, 80, 60
UNPRINTABLE = re.compile("[\\x00-\\x1f\\x7f\\ud800-\\udfff]")
GONE = " | "  # stands where a time or a head count was, so that the words around it do not run together

HAN = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
# One character for one character, so a place in the mapped text is the same place in the user's wording.
PLAIN = str.maketrans(
    {chr(wide): chr(wide - 0xFEE0) for wide in range(0xFF01, 0xFF5F)}
    | dict(
        zip("點週後號個訂預會議總結確認對兩時間這負萬", "点周后号个订预会议总结确认对两时间这负万", strict=True)
    )
    | dict.fromkeys("\u2010\u2011\u2212\ufe63", "-")
)

NUMBER_WORDS = "one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve"
NUMBERS = {word: value for value, word in enumerate(NUMBER_WORDS.split("|"), start=1)}
NUMBERS |= {"zero": 0, "fifteen": 15, "twenty": 20, "thirty": 30, "fifty": 50}
HAN_DIGITS = {character: value for value, character in enumerate("零一二三四五六七八九")} | {"两": 2}
HAN_UNITS = {"": 1, "十": 10, "百": 100, "千": 1000, "万": 10000}
DIGITS = r"(?:[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])|[0-9]+)"
NUM = rf"(?:{DIGITS}[百千万]?|(?:{'|'.join(NUMBERS)})\b|[零一二两三四五六七八九十百千万]{{1,9}})"
# A sign is read so that "-5 people" is told of the range, and not booked for 5.
SIGN = r"(?:[-–]|\b(?:minus|negative) |负\s?)"
PEOPLE = r"(?:people|persons?|guests?|attendees|participants|colleagues|seats|pax|of us)\b"

# --- when
HOUR = rf"(?:(?:[01]?\d|2[0-4])(?!\d|[:.]\d)|(?:{NUMBER_WORDS})\b)(?!\s?{PEOPLE}|\s?[个位名人])"
CLOCK = (
    r"(?<![\d:])(?:(?:[01]?\d|2[0-4]):[0-5]\d(?!\d)(?:\s?[ap]\.?m\b)?"
    r"|(?:1[0-2]|0?[1-9])(?:[.:][0-5]\d)?\s?[ap]\.?m\b|(?:[01]?\d|2[0-4])\s?o'?clock\b)"
)
TO = r"\s?(?:-|–|to|until|till|到|至)\s?"
PART = r"(?:凌晨|清晨|早上|早晨|上午|中午|下午|傍晚|晚上)"
HAN_NUM = r"(?:\d{1,2}|[零一二两三四五六七八九十]{1,3})"
# "大一点" is "a bit bigger", not one o'clock; in "3点6个人" the six is people, not minutes.
HAN_CLOCK = (
    rf"(?:{PART}\s?)?(?!(?<=[大小快慢好多少高低有早晚])一点)(?<!\d){HAN_NUM}\s?点"
    rf"(?:钟|整|半|[一三]刻|{HAN_NUM}分(?!钟)|[0-5]\d(?!\d|\s?[个位名人]))?"
)
TIME_OF_DAY = (
    rf"{CLOCK}(?:{TO}(?:{CLOCK}|{HOUR}))?|{HAN_CLOCK}(?:{TO}{HAN_CLOCK})?|{PART}(?!好)"
    rf"|\b(?:at|from) (?:(?:[01]?\d|2[0-3])\.[0-5]\d(?!\d)|(?:{CLOCK}|{HOUR})(?:{TO}(?:{CLOCK}|{HOUR}))?)"
    rf"|\b(?:half|quarter) (?:past|to) {HOUR}|\bin (?:\d+|an?|half an) (?:hours?|minutes?|mins?)\b"
    r"|(?<!good )\b(?:in the |at )?(?:morning|afternoon|evening|night)\b|\b(?:at )?(?:noon|midday|midnight)\b"
)
WEEKDAY = r"(?:mon|tues?|wed(?:nes)?|thu(?:rs?)?|fri|sat(?:ur)?|sun)(?:day)?\b"
MONTH = (
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?"
    r"|sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\b\.?"
)
DATE = rf"(?:3[01]|[12]\d|0?[1-9])(?:st|nd|rd|th)?(?!\d)(?!\s?{PEOPLE})"
DAY = (
    r"(?<!\d)\d{4}[-/.](?:1[0-2]|0?[1-9])[-/.](?:3[01]|[12]\d|0?[1-9])(?!\d)"
    r"|(?<![\d/])(?:3[01]|[12]\d|0?[1-9])/(?:3[01]|[12]\d|0?[1-9])(?:/\d{4})?(?![\d/])"
    r"|\b(?:the )?day after tomorrow\b|\b(?:today|tonight|tomorrow|(?:next|this) (?:week(?:end)?|month))\b"
    rf"|\b(?:(?:next|this|coming) )?{WEEKDAY}|\bin \d+ (?:days?|weeks?)\b|\bthe \d\d?(?:st|nd|rd|th)\b"
    rf"|\b{MONTH} {DATE}(?:,? 20\d\d\b)?|(?<!\d){DATE} (?:of )?{MONTH}(?: 20\d\d\b)?"
    r"|[今明]天|[今明]晚|[今明]早|大?后天|(?:下下|[下这本])?个?(?:周|星期|礼拜)[一二三四五六日天末]"
    rf"|[下这本]个?(?:周|星期|礼拜|月)|(?:\d{{4}}年)?(?<!\d){HAN_NUM}月{HAN_NUM}[日号]?"
    rf"|(?<!\d){HAN_NUM}[日号](?![会房厅楼码线])|{HAN_NUM}天后"
)
# How long belongs to the wording of a time but says no time by itself: "for 2 hours" is not "for 2".
LASTS = (
    r"(?:\bfor )?(?<![\d.])(?:\d+(?:\.\d)?|\b(?:an?|half an|one|two|three))"
    rf" ?(?:hours?|hrs?|minutes?|mins?|days?)\b|{HAN_NUM}个?半?(?:小时|钟头)|半个?小时|{HAN_NUM}\s?分钟"
)
TIME = re.compile(rf"(?ia)(?P<day>{DAY})|(?P<clock>{TIME_OF_DAY})|(?P<lasts>{LASTS})")
BETWEEN = re.compile(r"(?ia)[ ,，、的]*(?:on|the|or|and|to|T|或|和)?[ ,]*")
RIGHT_NOW = re.compile(r"(?ia)(?:right )?now|asap|现在|马上")


def find_when(words: str) -> tuple[str, str]:
    """The words that say a time, as the user put them, and the text without them."""
    plain = words.translate(PLAIN)
    pieces, rest, start, end, says_time = list[str](), "", 0, 0, False
    for found in TIME.finditer(plain):
        gap = plain[end : found.start()]
        if pieces and BETWEEN.fullmatch(gap):
            pieces[-1] = words[start : found.end()]
        else:
            rest += gap + GONE
            start = found.start()
            pieces.append(words[start : found.end()])
        end = found.end()
        says_time = says_time or found.lastgroup != "lasts"
    return (" ".join(pieces)[:WHEN_AT_MOST].strip() if says_time else ""), rest + plain[end:]


def merge_when(old: str, new: str) -> str:
    """A new time of day keeps the day agreed on, a new day keeps the time of day."""
    kinds = {found.lastgroup for found in TIME.finditer(new.translate(PLAIN))}
    if len(kinds & {"day", "clock"}) != 1:
        return new
    kept = [found for found in TIME.finditer(old.translate(PLAIN)) if found.lastgroup not in kinds]
    days = [old[found.start() : found.end()] for found in kept if found.lastgroup == "day"]
    rest = [old[found.start() : found.end()] for found in kept if found.lastgroup != "day"]
    merged = " ".join([*days, new, *rest])
    return re.sub(f"(?<=[{HAN}]) (?=[{HAN}])", "", merged)[:WHEN_AT_MOST]


# --- how many
COUNT = rf"({SIGN}?{NUM})"
# "for 3 interviews" counts no people, so a bare "for 3" must end its phrase.
PHRASE_END = r"(?=\s*(?:$|[^\w\s.,:]|[.,](?!\d)|(?:at|on|in|please)\b))"
HEADS = re.compile(
    # "6-8 people" takes a room for 8; "1,5 people" is no head count.
    rf"(?ia)(?:(?<![\d.,-]){NUM}\s?(?:-|–|~|to|or|到|至)\s?|(?<![\d-])(?<!\d[.,])(?<!第)){COUNT}\s?(?:more )?"
    rf"(?:{PEOPLE}|个人|人|位|名|个(?:同事|朋友|客人|学生|员工))"
    rf"|\b(?:party|group|team) of {COUNT}|\b(?:we are|we're|we'll be|there (?:are|will be)) {COUNT}"
    rf"|\bfor (?:about |around |up to )?{COUNT}{PHRASE_END}"
    rf"|人数(?:改成|改为|是|为|:)?\s?{COUNT}",
)
# Of a booking that has its time already, "make it 8" is about the people.
MAKE_IT = re.compile(
    rf"(?ia)\bmake (?:it|that) {COUNT}{PHRASE_END}|改[成为到]\s?{COUNT}(?=个?[吧了]?\s*(?:$|[|.,!。、]))"
)
ONLY_A_NUMBER = re.compile(
    rf"(?ia)(?:we are|we're|there are|about|around|maybe|up to|我们|大概|大约|一共|差不多|\s)*{COUNT}"
    r"(?:\s|个|左右|吧|of us|or so|max|please)*",
)


def number(text: str) -> int:
    """The value of "12", "-12", "1,200", "twelve", "十二" or "3千"."""
    if sign := re.match(rf"(?ia){SIGN}", text):
        return -number(text[sign.end() :])
    if digits := re.fullmatch(rf"({DIGITS})([百千万]?)", text):
        return int(digits[1].replace(",", "")) * HAN_UNITS[digits[2]]
    if text.lower() in NUMBERS:
        return NUMBERS[text.lower()]
    total, digit = 0, 0
    for character in text:
        if character == "万":
            total, digit = (total + digit or 1) * HAN_UNITS[character], 0
        elif character in HAN_UNITS:
            total, digit = total + (digit or 1) * HAN_UNITS[character], 0
        else:
            digit = digit * 10 + HAN_DIGITS[character]
    return total + digit


def find_how_many(plain: str, asked: Asked | None) -> tuple[int | None, str]:
    """The head count, and the text without it; a number alone is one only where that was the question."""
    found = HEADS.search(plain)
    if not found and asked in ("how_many", "confirm", "change"):
        found = MAKE_IT.search(plain)
    if found:
        said = next(group for group in found.groups() if group is not None)
        return number(said), plain[: found.start()] + GONE + plain[found.end() :]
    if asked == "how_many" and (alone := ONLY_A_NUMBER.fullmatch(plain.strip(" |.!,。"))):
        return number(alone[1]), ""
    return None, plain


# --- what
KIND = re.compile(
    r"(?ia)(?:\b(?:an?|the|our|my) (?P<more>(?:(?!(?:room|for|to|of|on|in|a|the)\b)[a-z'-]{1,20} ){0,2}?))?"
    r"\b(?P<kind>meeting|workshop|interview|party|training|presentation|seminar|lecture|conference|stand-?up"
    r"|review|retro|demo|class|lesson|session|brainstorm(?:ing)?|celebration|exam)s?\b"
    r"|(?P<han>(?:团队|项目|部门|客户|生日|年终)?"
    # "订会议室" says what is booked, not what for.
    r"(?:研讨会|工作坊|面试|聚会|派对|培训|讲座|演示|评审|发布会|生日会|座谈会|会议(?![室厅])|开会(?!议[室厅])))",
)
# A table is booked as a room is; one that stands in a room is no purpose of it.
TABLE = re.compile(
    r"(?ia)\b(?:book|reserve|need|want|get|have|like)\b(?: [a-z]+){0,3}? (?P<table>tables?)\b"
    r"(?! tennis)(?!.*\broom)"
    r"|位子|餐位|餐桌|[订预].{0,6}桌"
)
FILLER = re.compile(
    r"(?ia)^(?:(?:it'?s|it (?:is|will be)|this is|we(?:'re| are) (?:having|holding)|i need (?:it|one)|just"
    r"|maybe|well|for|to|an?|the|our|my|some|please)\b\s*|就是|是|用来|用于|用作|我们|我|要|想|[开办]?一?[个场])+"
    r"|(?:\s+(?:please|at|on|by|in|for|with))+$",
)
NO_PURPOSE = re.compile(
    r"(?ia)\?|\b(?:hi|hello|hey|thanks|thank you|help|room|reserve|book (?:an?|the|it|me)|don'?t know)\b"
    r"|\bat \d|你好|您好|谢谢|帮助|不知道|随便|订|会议室|房间|什么",
)


def find_what(plain: str, known: str | None, asked: bool) -> str | None:
    """What the room is for: a kind of event known by name or, if that was the question, any few words."""
    free: list[str] = []
    if asked and not NO_PURPOSE.search(plain) and not NO.match(plain) and not says_yes(plain):
        parts = [FILLER.sub("", part.strip(" .,!;:。、")).strip() for part in plain.split("|")]
        free = [part for part in parts if len(part) <= WHAT_AT_MOST and any(map(str.isalpha, part))]
    if free and len(re.findall(f"[{HAN}]{{1,2}}|[^ {HAN}]+", free[0])) <= 3:
        return free[0]  # the user's own "weekly team meeting" says more than "meeting"
    kinds = [(kind["more"] or "") + (kind["kind"] or kind["han"]).lower() for kind in KIND.finditer(plain)]
    if telling := [kind for kind in kinds if kind not in {"meeting", "会议", "开会"}]:
        return telling[0]
    # "Move the meeting to Friday" does not turn a workshop into a meeting.
    if kinds and (known is None or re.search(r"(?ia)\ba meeting\b(?! room)|[成为]会议(?![室厅])", plain)):
        return kinds[0]
    if not kinds and not free and (table := TABLE.search(plain)):
        return "table" if table["table"] else "餐位"
    return free[0] if free else None


# --- what is wanted
CANCEL = re.compile(r"(?ia)(?<!don't )(?<!not )\bcancel\b|\bforget it\b|(?<!别)(?<!不要)(?<!不)取消|算了")
SUMMARY = re.compile(r"(?ia)\bsummar(?:y|i[sz]e)\b|总结|摘要")
# What the concierge tells of itself.
SHOWCASE = re.compile(
    rf"(?ia)\bshow (?:me |us )?(?:everything |all )?(?:that )?(?:what )?you can\b|\bshowcase\b"
    rf"|(?:展示|演示|秀)(?:一下|一遍)?[{HAN}]{{0,2}}(?:你|您|功能|能力|本领)"
)
OFFER = re.compile(
    r"(?ia)\bwhat (?:else )?(?:can|could|do) you (?:do|offer)\b|\bwhat are you able to do\b"
    r"|(?:你|您)(?:都|还)?(?:能|会|可以)(?:做|干|帮我做)(?:什么|啥|些什么|哪些)|(?:有|提供)(?:什么|哪些)(?:功能|服务)"
)
STORY = re.compile(r"(?ia)\btell\b.{0,30}\b(?:story|tale)\b|讲\S{0,20}故事")
START = re.compile(r"(?ia)\b(?:book(?:ing)?|reserv(?:e|ation)|rooms?)\b|订|预定|会议室")
# Each word of a yes must agree or be polite: "ok, but is it quiet?" books no room.
YES = re.compile(
    r"(?ia)yes|y|yeah|yep|okay|ok|sure|confirm(?:ed)?|approved?|correct|right|perfect|fine|agreed?|book|go|[👍✅]"
    r"|(?:是的?|对的?|好的?|确认|同意|批准|可以|行|没问题|[没不]错|预?订|就这样)+[吧啊呀了请谢]*",
)
POLITE = re.compile(r"(?ia)please|thanks?|you|it|that'?s?|is|looks|good|great|do|ahead|the|this|i|谢谢|请")
NO = re.compile(r"(?ia)(?:no|n|nope|nah|not|nothing|wrong|don't|reject(?:ed)?)\b|[先暂]?不|否|没|别|错|拒绝")
CHANGE = re.compile(r"(?ia)(?:please |i want to |let's )?(?:change|edit|modify)\b|修改|更改|改")
ABOUT: dict[Slot, re.Pattern[str]] = {
    "when": re.compile(r"(?ia)\b(?:time|date|day|when|hour)\b|时间|日期"),
    "how_many": re.compile(r"(?ia)\b(?:people|number|how many|head ?count|size)\b|人数|几个人"),
    "what": re.compile(r"(?ia)\b(?:what|purpose|kind|type|event)\b|用途|类型|主题"),
}


class Heard(NamedTuple):
    """What one message says."""

    intent: Intent
    slots: Slots
    about: Slot | None = None  # the slot a user wants to change without saying yet to what
    out_of_range: bool = False


def says_yes(plain: str) -> bool:
    """Whether a text is a yes and nothing else."""
    said = re.findall(rf"(?ia)[a-z']+|[{HAN}]+|[👍✅]|[?\d]", plain)
    agreeing = [word for word in said if YES.fullmatch(word)]
    return bool(agreeing) and all(word in agreeing or POLITE.fullmatch(word) for word in said)


def read(text: str, booking: Booking | None) -> Heard:
    """Read a message in the light of its user's open booking, if there is one."""
    words = " ".join(UNPRINTABLE.sub(" ", text[:READ_AT_MOST]).split())
    known, asked = booking or Booking(), booking.get("asked") if booking else None
    when, plain = find_when(words)
    when = when or (words if asked == "when" and RIGHT_NOW.fullmatch(words) else "")
    how_many, plain = find_how_many(plain, asked)
    what = find_what(plain, known.get("what"), asked == "what")

    slots = Slots()
    if what:
        slots["what"] = what
    if when:
        slots["when"] = merge_when(known.get("when", ""), when)
    if how_many is not None and 1 <= how_many <= MOST_PEOPLE:
        slots["how_many"] = how_many

    intent: Intent = "other"
    if SHOWCASE.search(words):
        intent = "showcase"
    elif OFFER.search(words):
        intent = "offer"
    elif STORY.search(words):
        intent = "story"
    elif CANCEL.search(plain):
        intent = "cancel"
    elif SUMMARY.search(plain) and not when and how_many is None:
        intent = "summarise"
    elif booking and says_yes(plain):
        intent = "yes"
    elif booking and (NO.match(plain.strip(" |.,!")) or CHANGE.match(plain)):
        intent = "no"
    elif START.search(plain) or len(slots) > 1:
        intent = "start"
    unclear = asked in ("confirm", "change") and intent != "yes" and not slots and "?" not in plain
    about = next((slot for slot, named in ABOUT.items() if unclear and named.search(plain)), None)
    return Heard(intent, slots, about, how_many is not None and "how_many" not in slots)


def language_of(text: str, last: Language) -> Language:
    """The language to answer in: a message with no letters in it keeps the last."""
    letters = any(map(str.isalpha, text))
    return "zh" if re.search(f"[{HAN}]", text) else "en" if letters else last
