"""The assistant's tools: one that only reads, and one that acts once people have approved."""

import base64
import hashlib
from datetime import UTC, datetime, tzinfo
from typing import Annotated
from zoneinfo import ZoneInfo

from langchain_core.messages import ToolMessage
from langchain_core.messages.tool import ToolCall
from langchain_core.tools import BaseTool, tool
from pydantic import BaseModel, Field, ValidationError

from sio_server.dialog.graphs.assistant import prompts
from sio_server.dialog.graphs.assistant.state import Booking, Task


class RoomRequest(BaseModel):
    """What a booking needs."""

    what: Annotated[str, Field(min_length=1, max_length=200, description="What the room is for")]
    when: Annotated[str, Field(min_length=1, max_length=200, description="Day and time, in words or as ISO 8601")]
    how_many: Annotated[int, Field(ge=1, le=500, description="How many people will come")]


@tool
def current_time(time_zone: str = "UTC") -> str:
    """The date, the day of the week and the time now, in an IANA time zone such as Europe/Paris."""
    zone: tzinfo
    try:
        zone = UTC if time_zone.upper() == "UTC" else ZoneInfo(time_zone)
    except (KeyError, ValueError, OSError):  # no such zone; no key of a zone; a folder of zones
        return f"There is no time zone {time_zone!r}; name one such as Europe/Paris, Asia/Shanghai or UTC."
    return datetime.now(zone).strftime("%A %Y-%m-%dT%H:%M:%S%z")


@tool(args_schema=RoomRequest)
def book_room(what: str, when: str, how_many: int) -> str:
    """Book a meeting room. People are asked for their approval before it is booked."""
    # Given to the model for its name and arguments; the node `act` carries it out, into the graph's state.
    raise NotImplementedError


READING: dict[str, BaseTool] = {current_time.name: current_time}
TOOLS: list[BaseTool] = [current_time, book_room]


def acts(call: ToolCall) -> bool:
    """Whether a call would change something, so that people are asked first; one with mistakes would not."""
    if call["name"] != book_room.name:
        return False
    try:
        RoomRequest.model_validate(call["args"])
    except ValidationError:
        return False
    return True


async def read(call: ToolCall) -> ToolMessage:
    """Carry out a call that changes nothing, or tell the model what is wrong with it."""
    name = call["name"]
    try:
        if name in READING:
            return result(call, str(await READING[name].ainvoke(call["args"])))
        if name == book_room.name:
            RoomRequest.model_validate(call["args"])
    except ValidationError as exc:
        return result(call, prompts.BAD_ARGUMENTS.format(problems=_problems(exc)), failed=True)
    return result(call, prompts.UNKNOWN_TOOL, failed=True)


def booking(task: Task, request: RoomRequest) -> Booking:
    """The booking a call makes: the same one, with the same number, each time the call is carried out."""
    digest = hashlib.sha256(task["key"].encode("utf-8", "surrogatepass")).digest()
    return Booking(
        key=task["key"],
        number=f"R-{base64.b32encode(digest).decode()[:6]}",
        user=task["user"],
        what=request.what,
        when=request.when,
        how_many=request.how_many,
    )


def result(call: ToolCall, text: str, *, failed: bool = False) -> ToolMessage:
    """What the model is told of a call."""
    return ToolMessage(
        text, tool_call_id=call["id"] or "", name=call["name"], status="error" if failed else "success"
    )


def _problems(error: ValidationError) -> str:
    return "; ".join(
        f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors(include_url=False)
    )
