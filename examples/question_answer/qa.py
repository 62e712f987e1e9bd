"""Two graphs that do not take messages: a state with a question and an answer, and an entrypoint."""

from typing import TypedDict

from langgraph.func import entrypoint
from langgraph.graph import START, StateGraph


class State(TypedDict):
    question: str
    answer: str


def reply(state: State) -> dict[str, str]:
    return {"answer": f"{len(state['question'].split())} words, and no answer yet."}


builder = StateGraph(State)
builder.add_node("reply", reply)
builder.add_edge(START, "reply")
graph = builder.compile()


@entrypoint()
def diary(text: str, *, previous: list[str] | None = None) -> entrypoint.final[str, list[str]]:
    """Keeps what it is told, as long as the conversation lasts; what is saved comes back as `previous`."""
    lines = [*(previous or []), text]
    return entrypoint.final(value="\n".join(lines), save=lines)
