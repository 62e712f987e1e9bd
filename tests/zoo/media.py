"""What is more than text: reasoning and citations of a model, images and files that a node makes."""

from __future__ import annotations

import base64
from typing import Any

from langchain.agents import create_agent
from langchain.chat_models import init_chat_model
from langchain_core.messages import AIMessage
from langgraph.graph import START, MessagesState, StateGraph

from tests.zoo.tools import look_up

thinker = create_agent(
    init_chat_model("anthropic:scripted", thinking={"type": "enabled", "budget_tokens": 1024}, max_tokens=2048),
    [look_up],
)

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


def paint(state: MessagesState) -> dict[str, Any]:
    blocks: list[str | dict[str, Any]] = [
        {"type": "text", "text": "Here is a pixel, a photo and a list."},
        {"type": "image", "base64": PIXEL, "mime_type": "image/png"},
        {"type": "image_url", "image_url": {"url": "https://example.org/photo.jpg"}},
        {
            "type": "file",
            "base64": base64.b64encode(b"tea,3\n").decode(),
            "mime_type": "text/csv",
            "filename": "prices.csv",
        },
    ]
    if "only" in state["messages"][-1].text:
        blocks = blocks[1:2]
    return {"messages": [AIMessage(blocks)]}


painter = StateGraph(MessagesState)
painter.add_node("paint", paint)
painter.add_edge(START, "paint")
