"""A graph that says, or reports, as much as a message wants: `say <bytes>`, `report <events>`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langgraph.config import get_stream_writer
from langgraph.graph import END, START, MessagesState, StateGraph

PIECE = "0123456789abcdef" * 256  # 4 kB


def said(size: int) -> str:
    """A text of this size, in which no two pages are the same."""
    return "".join(f"{at:08}{PIECE[8:]}" for at in range(0, size, len(PIECE)))[:size]


class Writer(BaseChatModel):
    """Says a text of the size that the last message names."""

    @property
    def _llm_type(self) -> str:
        return "writer"

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        text = said(int(str(messages[-1].text).split()[1]))
        for start in range(0, len(text), 50_000):
            yield ChatGenerationChunk(message=AIMessageChunk(content=text[start : start + 50_000]))

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=AIMessage(content=""))])


async def write(state: MessagesState) -> dict[str, Any]:
    what, count = str(state["messages"][-1].text).split()
    if what == "say":
        return {"messages": [await Writer().ainvoke(state["messages"])]}
    tell = get_stream_writer()
    for number in range(int(count)):
        tell({"number": number})
    return {"messages": [AIMessage(content="reported")]}


builder = StateGraph(MessagesState)
builder.add_node("write", write)
builder.add_edge(START, "write")
builder.add_edge("write", END)
writer = builder.compile()
