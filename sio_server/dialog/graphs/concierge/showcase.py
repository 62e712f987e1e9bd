"""What the concierge shows of itself, without a network: two tools, a table, code, a list, and a long story."""

import hashlib
import json
from typing import Any

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, ToolMessage

from sio_server.dialog.graphs.concierge.state import ConciergeState, Language

ROOMS: dict[Language, list[dict[str, Any]]] = {
    "en": [
        {"name": "Harbour", "seats": 6, "screen": "yes", "floor": 1},
        {"name": "Lighthouse", "seats": 12, "screen": "yes", "floor": 4},
        {"name": "Garden", "seats": 20, "screen": "no", "floor": 0},
    ],
    "zh": [
        {"name": "海港", "seats": 6, "screen": "有", "floor": 1},
        {"name": "灯塔", "seats": 12, "screen": "有", "floor": 4},
        {"name": "花园", "seats": 20, "screen": "无", "floor": 0},
    ],
}
FREE: dict[Language, list[str]] = {"en": ["10:00", "14:30", "19:00"], "zh": ["10:00", "14:30", "19:00"]}
DAY: dict[Language, str] = {"en": "tomorrow", "zh": "明天"}

PRESENTED: dict[Language, str] = {
    "en": """I looked up the rooms, then what is free tomorrow. These were two steps; you can open them above.

| Room | Seats | Screen | Floor |
|---|---:|:---:|---:|
{rows}

Free tomorrow at {times}. This is what I read, as code:

```python
rooms = find_rooms(least_seats=6)
free = [room for room in rooms if room.is_free("tomorrow")]
print(f"{{len(free)}} rooms are free")
```

What you can try next:

1. Say “**book a table for two tomorrow at seven**”, and approve it on another device.
2. Ask for a *long story*, and reload the page in the middle of it.
3. Stop a node while I speak: another one continues.
""",
    "zh": """我先查了会议室，再查了明天的空闲时间。这是两个步骤，您可以在上面展开查看。

| 会议室 | 座位 | 屏幕 | 楼层 |
|---|---:|:---:|---:|
{rows}

明天的空闲时间：{times}。用代码表示就是：

```python
rooms = find_rooms(least_seats=6)
free = [room for room in rooms if room.is_free("明天")]
print(f"{{len(free)}} 间会议室空闲")
```

接下来您可以试试：

1. 说“**预订明晚七点两人的餐位**”，然后在另一台设备上确认。
2. 让我讲一个*长故事*，讲到一半时刷新页面。
3. 在我说话时停掉一个节点：另一个节点会接着说。
""",
}
STORY: dict[Language, tuple[str, str]] = {
    "en": (
        "A story about a lighthouse: it needs a keeper, a storm, and a light that must not go out. "
        "If one keeper falls asleep, another has to continue at the same word.",
        """On the last rock before the open sea stood a lighthouse with three keepers. They had one lamp, one \
logbook, and one rule: whatever happens, the light goes on.

Ann kept the first watch. She wrote down each ship that passed, one line for each, and numbered the \
lines, so that nobody could ever say that one was missing. “Four hundred and eleven,” she wrote, “a \
fishing boat, heading home.”

In the winter of the great storm the sea rose higher than anybody remembered. The wind took the shutters \
first, then the boat, and at midnight it broke the window on the stairs. Ann held the lamp with both \
hands and read the signal aloud to the ships outside, word for word, since in such a night they could \
not see the light, but they could hear.

In the middle of a word she fell silent. The cold had been too much for her.

Bob woke up because it was quiet. He did not ask what had happened, he climbed the stairs, two at a \
time, opened the logbook and put a finger on the last line. There it was, the whole signal up to the \
word at which Ann had stopped. He took the lamp and went on with the next word, and out at sea not one \
captain noticed that it was another voice.

Towards morning Ann came to herself and wanted to continue as if nothing had happened. But the page had \
turned, and the number on it was no longer hers. “It is done,” said Bob kindly. “Sleep.” So the signal \
was given once, and not twice.

When the sun rose, all ships lay in the harbour. The captains met in the inn and compared their logs, \
line by line, and there was no difference between any two of them. They asked Carol, the third keeper, \
how that was possible in such a night.

“We do not trust any keeper,” said Carol, “not even ourselves. We trust the book.” And she went up, \
since it was her watch, and lit the lamp.""",
    ),
    "zh": (
        "关于灯塔的故事：要有守灯人，有风暴，还有一盏不能熄灭的灯。一个守灯人倒下了，另一个要从同一个字接着说下去。",
        """在通向大海的最后一块礁石上，立着一座灯塔，住着三位守灯人。他们有一盏灯、一本航海日志，还有一条规矩：无论发生什么，灯都不能灭。

安安值第一班。每过一艘船，她就写一行，每行都编上号，这样谁也不能说少了哪一行。“第四百一十一行，”她写道，“一艘渔船，正在回家。”

大风暴来的那个冬天，海水涨得比任何人记忆中的都高。风先卷走了百叶窗，又卷走了小船，午夜时打碎了楼梯上的窗户。安安双手护着灯，向外面的船一字一句地念出信号，因为在这样的夜里，船上的人看不见光，却听得见声音。

念到一半，她没了声音。寒冷压倒了她。

博文是被寂静惊醒的。他没有问发生了什么，两级一步地跑上楼梯，翻开日志，把手指按在最后一行上。信号就在那里，一直写到安安停下的那个字。他拿起灯，从下一个字接着念，海上没有一位船长听出换了一个人。

快天亮时安安醒了过来，想要接着念，就像什么都没有发生。可是日志已经翻过了一页，那一页上的编号不再是她的。“已经念完了，”博文轻声说，“睡吧。”于是信号只发了一遍，没有发两遍。

太阳升起时，所有的船都停在港湾里。船长们聚在小酒馆里，一行一行地核对日志，没有任何两本有一点不同。他们问第三位守灯人楚楚，这样的夜里怎么可能做到。

“我们不相信任何一个守灯人，”楚楚说，“连自己也不相信。我们相信的是那本日志。”说完她走上楼去，因为轮到她值班了，她把灯点亮。""",
    ),
}


def call_tools(state: ConciergeState) -> ConciergeState:
    """Ask for the rooms, and for what is free."""
    about = state["messages"][-1].id or ""
    language = state["turn"]["language"]
    calls = [("find_rooms", {"least_seats": 6}), ("find_free_times", {"day": DAY[language]})]
    return {
        "messages": [
            AIMessage(
                content="",
                tool_calls=[
                    {"type": "tool_call", "id": _call_id(about, name), "name": name, "args": args}
                    for name, args in calls
                ],
            )
        ]
    }


def run_tools(state: ConciergeState) -> ConciergeState:
    """Answer both calls."""
    asked = state["messages"][-1]
    language = state["turn"]["language"]
    results: dict[str, Any] = {"find_rooms": ROOMS[language], "find_free_times": FREE[language]}
    answers: list[AnyMessage] = []
    for call in asked.tool_calls if isinstance(asked, AIMessage) else []:
        result = json.dumps(results[call["name"]], ensure_ascii=False)
        answers.append(ToolMessage(result, tool_call_id=call["id"] or "", name=call["name"]))
    return {"messages": answers}


def presented(language: Language, messages: list[AnyMessage]) -> str:
    """What the tools have found: a table, code and a list, in Markdown."""
    found: dict[str, Any] = {}
    for message in reversed(messages):
        if isinstance(message, HumanMessage):
            break
        if isinstance(message, ToolMessage):
            found[message.name or ""] = json.loads(str(message.content))
    rows = "\n".join("| {name} | {seats} | {screen} | {floor} |".format(**room) for room in found["find_rooms"])
    times = ("、" if language == "zh" else ", ").join(found["find_free_times"])
    return PRESENTED[language].format(rows=rows, times=times).rstrip("\n")


def _call_id(about: str, name: str) -> str:
    """The id of a call: the same when a takeover repeats the step."""
    return f"call-{hashlib.sha256(f'{about} {name}'.encode('utf-8', 'surrogatepass')).hexdigest()[:12]}"
