"""The history as a model may be given it: each tool call with its result, names within the providers' rules."""

import re
from collections.abc import Iterable
from itertools import takewhile
from zlib import crc32

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, ToolMessage
from langchain_core.messages.tool import ToolCall

from sio_server.dialog.graphs.assistant import prompts

MODEL_NAME_AT_MOST = 64  # OpenAI's limit for a participant's name; its characters are letters, digits, _ and -


def for_model(messages: list[AnyMessage]) -> list[AnyMessage]:
    """The messages in an order and a form that every provider accepts.

    A run that was stopped, or superseded by the next message, leaves a call without a result, and providers
    refuse such a history. The state is left as it is: what was not executed may be known there later.
    """
    view: list[AnyMessage] = []
    for place, message in enumerate(messages):
        if isinstance(message, HumanMessage):
            view.append(message.model_copy(update={"name": name_for_model(message.name)}))
        elif isinstance(message, AIMessage) and (message.tool_calls or message.text):
            view.append(message)
            later = takewhile(lambda item: not isinstance(item, AIMessage), messages[place + 1 :])
            view.extend(_results(message.tool_calls, later))
        elif not isinstance(message, (AIMessage, ToolMessage)):
            view.append(message)
    return view


def _results(calls: list[ToolCall], later: Iterable[AnyMessage]) -> list[ToolMessage]:
    """The result of each call, in the order of the calls, wherever it was put."""
    known = {message.tool_call_id: message for message in later if isinstance(message, ToolMessage)}
    return [known.get(call["id"] or "") or _not_executed(call) for call in calls]


def _not_executed(call: ToolCall) -> ToolMessage:
    return ToolMessage(prompts.NOT_EXECUTED, tool_call_id=call["id"] or "", name=call["name"], status="error")


def name_for_model(user_id: str | None) -> str | None:
    """A user id as a participant's name: `ann|x@y` becomes `ann_x_y-` and a checksum, which keeps two ids two."""
    if not user_id:
        return None
    clean = re.sub(r"[^A-Za-z0-9_-]", "_", user_id)
    if clean == user_id and len(user_id) <= MODEL_NAME_AT_MOST:
        return user_id
    checksum = f"-{crc32(user_id.encode('utf-8', 'surrogatepass')):08x}"
    return clean[: MODEL_NAME_AT_MOST - len(checksum)] + checksum


def last_speaker(messages: list[AnyMessage]) -> str:
    """The id of the person who spoke last."""
    heard = (message for message in reversed(messages) if isinstance(message, HumanMessage))
    return next((message.name or "" for message in heard), "")


def language_of(messages: list[AnyMessage]) -> str:
    """`zh` when the last person's message with letters in it has Chinese characters, otherwise `en`."""
    for message in reversed(messages):
        if isinstance(message, HumanMessage) and any(map(str.isalpha, message.text)):
            return "zh" if re.search("[\u3400-\u4dbf\u4e00-\u9fff]", message.text) else "en"
    return "en"
