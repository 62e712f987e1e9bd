"""A graph whose state has no messages: a question goes in, an answer comes out."""

from __future__ import annotations

from typing import TypedDict

from langgraph.graph import START, StateGraph


class Question(TypedDict):
    question: str


class Answer(TypedDict):
    answer: str


class State(Question, Answer):
    asked: int


def solve(state: State) -> State:
    asked = state.get("asked", 0) + 1
    return {"question": state["question"], "answer": f"{state['question'][::-1]} ({asked})", "asked": asked}


graph = StateGraph(State, input_schema=Question, output_schema=Answer)
graph.add_node("solve", solve)
graph.add_edge(START, "solve")
