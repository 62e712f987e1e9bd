"""The echo: a graph that says back what it was told, word by word; the smallest thing that streams."""

from typing import Annotated, Any, TypedDict, cast

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage
from langchain_core.runnables import RunnableLambda
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages

from sio_server.dialog.graphs.concierge.model import SpokenReply, text_of

MESSAGES_KEPT = 2


def keep_last(left: Any, right: Any) -> list[AnyMessage]:
    """Merge as `add_messages` does, and keep one exchange: an echo has no memory, and must not grow."""
    return cast(list[AnyMessage], add_messages(left, right))[-MESSAGES_KEPT:]


class EchoState(TypedDict, total=False):
    """The state of one thread."""

    messages: Annotated[list[AnyMessage], keep_last]


def builder(word_delay: float = 0.02) -> StateGraph[EchoState]:
    """The graph, for the server to compile with its checkpointer."""
    graph = StateGraph(EchoState)
    speak = RunnableLambda(to_say) | SpokenReply(word_delay=word_delay) | RunnableLambda(said)
    graph.add_node("speak", speak)
    graph.add_edge(START, "speak")
    graph.add_edge("speak", END)
    return graph


def to_say(state: EchoState) -> list[AnyMessage]:
    """What a person said last."""
    heard = (item for item in reversed(state.get("messages", [])) if isinstance(item, HumanMessage))
    return [AIMessage(content=text_of(next(heard, HumanMessage(content=""))))]


def said(message: AIMessage) -> EchoState:
    """What the model has said becomes the answer of the run."""
    return {"messages": [message]}
