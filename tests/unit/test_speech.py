"""What graphs say, as parts: real LangGraph graphs with scripted models, without a server."""

from __future__ import annotations

import asyncio
import operator
from typing import Annotated, Any, TypedDict

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import SummarizationMiddleware
from langchain_core.messages import AIMessage, AIMessageChunk, AnyMessage, HumanMessage, RemoveMessage
from langchain_core.tools import tool
from langgraph.channels.delta import DeltaChannel
from langgraph.func import entrypoint
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.graph.message import REMOVE_ALL_MESSAGES
from langgraph.types import RetryPolicy, Send, interrupt
from langgraph_supervisor import create_supervisor
from pydantic import BaseModel

from sio_server.dialog.answers import Answer, Questions
from sio_server.dialog.execution import NoAnswer
from sio_server.dialog.graphs.adapters import WHOLE, Adapter
from sio_server.dialog.graphs.served import Served
from sio_server.dialog.streaming import Part
from tests.scripted_models import Scripted, calls
from tests.single_dialog import AGENT, Dialog


def agent_parts(answer: Answer) -> list[tuple[str, str, str]]:
    return [(part.kind, part.speaker, part.text) for part in answer.parts]


def one_node(function: Any, schema: Any = MessagesState) -> StateGraph[Any]:
    builder = StateGraph(schema)
    builder.add_node("work", function)
    builder.add_edge(START, "work")
    return builder


# One message, one part


@pytest.mark.parametrize("ids", ["one", "each", "none"])
@pytest.mark.parametrize("how", ["await", "thread"])
async def test_a_message_is_one_part_whatever_ids_its_chunks_have(ids: str, how: str) -> None:
    model = Scripted(replies=["Hello world"], ids=ids)

    async def asynchronous(state: Any) -> Any:
        return {"messages": [await model.ainvoke(state["messages"])]}

    def synchronous(state: Any) -> Any:
        return {"messages": [model.invoke(state["messages"])]}

    dialog = Dialog(one_node(asynchronous if how == "await" else synchronous))
    answer = await dialog.answer()
    assert dialog.stream.shown == [(AGENT, "Hello world")]
    assert (answer.text, agent_parts(answer)) == ("Hello world", [("text", AGENT, "Hello world")])


async def test_a_message_is_streamed_while_it_is_written() -> None:
    seen: list[list[str]] = []
    dialog: Dialog

    class Watched(Scripted):
        async def _astream(self, *args: Any, **kwargs: Any) -> Any:
            async for chunk in super()._astream(*args, **kwargs):
                yield chunk
                seen.append(list(dialog.stream.texts))

    model = Watched(replies=["Hello"])

    async def work(state: Any) -> Any:
        return {"messages": [await model.ainvoke(state["messages"])]}

    dialog = Dialog(one_node(work))
    await dialog.answer()
    assert seen[:2] == [["Hel"], ["Hello"]]


async def test_a_model_that_does_not_stream_is_said_whole_and_once() -> None:
    model = Scripted(replies=["Hello world"], streams=False)

    async def work(state: Any) -> Any:
        return {"messages": [await model.ainvoke(state["messages"])]}

    dialog = Dialog(one_node(work))
    await dialog.answer()
    assert dialog.stream.texts == ["Hello world"]


async def test_models_called_at_once_in_one_node_are_a_part_each_in_the_order_of_their_beginning() -> None:
    models = [Scripted(replies=[letter * 9], ids="each") for letter in "ab"]

    async def work(state: Any) -> Any:
        return {"messages": await asyncio.gather(*(model.ainvoke(state["messages"]) for model in models))}

    dialog = Dialog(one_node(work))
    answer = await dialog.answer()
    assert dialog.stream.texts == ["aaaaaaaaa", "bbbbbbbbb"] == [part.text for part in answer.parts]


async def test_each_of_parallel_branches_is_a_part_and_named_by_its_node() -> None:
    models = {name: Scripted(replies=[name * 3], ids="each") for name in ("alpha", "beta")}
    builder = StateGraph(MessagesState)
    for name, model in models.items():

        async def work(state: Any, model: Any = model) -> Any:
            return {"messages": [await model.ainvoke(state["messages"])]}

        builder.add_node(name, work)
        builder.add_edge(START, name)
    dialog = Dialog(builder)
    answer = await dialog.answer()
    expected = [("Alpha", "alphaalphaalpha"), ("Beta", "betabetabeta")]
    assert dialog.stream.shown == expected == [(part.speaker, part.text) for part in answer.parts]


async def test_each_sent_task_is_a_part() -> None:
    class State(TypedDict):
        messages: Annotated[list[AnyMessage], operator.add]

    async def worker(state: Any) -> Any:
        return {"messages": [await Scripted(replies=[state["about"] * 9], ids="each").ainvoke("go")]}

    builder = StateGraph(State)
    builder.add_node("worker", worker)
    builder.add_conditional_edges(
        START, lambda state: [Send("worker", {"about": about}) for about in "xyz"], ["worker"]
    )
    dialog = Dialog(builder)
    answer = await dialog.answer()
    assert sorted(dialog.stream.shown) == [("Worker", letter * 9) for letter in "xyz"]
    assert sorted(part.text for part in answer.parts) == [letter * 9 for letter in "xyz"]


async def test_a_node_that_makes_a_message_of_what_was_streamed_does_not_say_it_again() -> None:
    model = Scripted(replies=["Hello world\n"])

    async def work(state: Any) -> Any:
        said = await model.ainvoke(state["messages"])
        return {"messages": [AIMessage(said.text.strip(), name="poet")]}

    dialog = Dialog(one_node(work))
    answer = await dialog.answer()
    assert dialog.stream.texts == ["Hello world\n"]
    assert agent_parts(answer) == [("text", "Poet", "Hello world")]


async def test_two_nodes_that_say_the_same_words_are_two_parts() -> None:
    model = Scripted(replies=["ok"])

    async def first(state: Any) -> Any:
        return {"messages": [await model.ainvoke(state["messages"])]}

    builder = one_node(first)
    builder.add_node("again", lambda state: {"messages": [AIMessage("ok")]})
    builder.add_edge("work", "again")
    dialog = Dialog(builder)
    answer = await dialog.answer()
    assert dialog.stream.texts == ["ok", "ok"] == [part.text for part in answer.parts]


async def test_what_a_node_returns_without_a_model_is_said_whole() -> None:
    dialog = Dialog(one_node(lambda state: {"messages": [AIMessage("By heart")]}))
    await dialog.answer()
    assert dialog.stream.shown == [(AGENT, "By heart")]


async def test_a_model_that_fails_and_is_called_again_is_said_in_two_parts_and_answered_in_one() -> None:
    model = Scripted(replies=[[AIMessageChunk(content="Hel"), ValueError("lost")], "Hello"]).with_retry(
        wait_exponential_jitter=False
    )

    async def work(state: Any) -> Any:
        return {"messages": [await model.ainvoke(state["messages"])]}

    dialog = Dialog(one_node(work))
    answer = await dialog.answer()
    assert dialog.stream.texts == ["Hel", "Hello"]
    assert [part.text for part in answer.parts] == ["Hello"]


# Who speaks


def outer(agent: Any, name: str = "research_agent") -> StateGraph[Any]:
    builder = StateGraph(MessagesState)
    builder.add_node(name, agent)
    builder.add_edge(START, name)
    return builder


async def test_an_agent_that_is_a_node_speaks_once_and_by_its_name() -> None:
    dialog = Dialog(outer(create_agent(Scripted(replies=["Found it"]), [], name="finder")))
    answer = await dialog.answer()
    assert dialog.stream.shown == [("Finder", "Found it")]
    assert agent_parts(answer) == [("text", "Finder", "Found it")]


async def test_an_agent_without_a_name_speaks_by_the_name_of_its_node() -> None:
    dialog = Dialog(outer(create_agent(Scripted(replies=["Found it"]), [])))
    answer = await dialog.answer()
    assert dialog.stream.shown == [("Research Agent", "Found it")]
    assert agent_parts(answer) == [("text", "Research Agent", "Found it")]


async def test_the_main_agent_speaks_by_the_name_of_the_conversations_agent() -> None:
    dialog = Dialog(create_agent(Scripted(replies=["Hello"]), [], name="some_agent"))
    answer = await dialog.answer()
    assert dialog.stream.shown == [(AGENT, "Hello")]
    assert agent_parts(answer) == [("text", AGENT, "Hello")]


async def test_an_agent_within_a_tool_speaks_by_the_tools_name_and_is_not_the_answer() -> None:
    inner = create_agent(Scripted(replies=["Inner words"]), [])

    @tool
    async def ask_expert() -> str:
        """Ask."""
        said = await inner.ainvoke({"messages": [HumanMessage("go")]})
        return str(said["messages"][-1].text)

    dialog = Dialog(create_agent(Scripted(replies=[calls("ask_expert"), "Outer words"]), [ask_expert]))
    answer = await dialog.answer()
    assert dialog.stream.shown == [("Ask Expert", "Inner words"), (AGENT, "Outer words")]
    assert (answer.text, agent_parts(answer)) == ("Outer words", [("text", AGENT, "Outer words")])
    assert dialog.stream.tools == [("ask_expert", "called"), ("ask_expert", "done")]


def supervised() -> Any:
    @tool
    def add(a: int, b: int) -> int:
        """Add."""
        return a + b

    worker_model = Scripted(replies=[calls("add", args={"a": 1, "b": 2}), "It is 3"])
    worker = create_agent(worker_model, [add], name="math_expert")
    boss = Scripted(replies=[calls("transfer_to_math_expert"), "The answer is 3"])
    return create_supervisor([worker], model=boss)


@pytest.mark.filterwarnings("ignore:create_react_agent has been moved")
async def test_a_supervisor_and_its_worker_speak_once_each_and_handoffs_are_not_said() -> None:
    dialog = Dialog(supervised())
    answer = await dialog.answer()
    assert [text for _, text in dialog.stream.shown] == ["It is 3", "The answer is 3"]
    assert [(part.speaker, part.text) for part in answer.parts] == dialog.stream.shown
    assert dialog.stream.shown[0][0] == "Math Expert"
    assert answer.text == "The answer is 3"


@pytest.mark.filterwarnings("ignore:create_react_agent has been moved")
async def test_tools_are_reported_once_in_each_turn_also_by_a_supervisor() -> None:
    dialog = Dialog(supervised())
    handed = [("transfer_to_math_expert", "called"), ("transfer_to_math_expert", "done")]
    added = [("add", "called"), ("add", "done")]
    for turn in range(3):
        answer = await dialog.answer(f"turn {turn}")
        assert sorted(dialog.stream.tools) == sorted([*handed, *added])
        assert [item["name"] for item in answer.tools] == ["transfer_to_math_expert"]


# What is not speech


async def test_calls_with_the_tag_nostream_are_not_streamed() -> None:
    model = Scripted(replies=["secret"]).with_config(tags=["nostream"])

    async def work(state: Any) -> Any:
        await model.ainvoke(state["messages"])
        return {"messages": [AIMessage("public")]}

    dialog = Dialog(one_node(work))
    await dialog.answer()
    assert dialog.stream.texts == ["public"]


async def test_the_summary_of_earlier_messages_is_not_said() -> None:
    summary = Scripted(replies=["THE SUMMARY"])
    agent = create_agent(
        Scripted(replies=["one", "two", "three"]),
        [],
        middleware=[SummarizationMiddleware(model=summary, trigger=("messages", 3), keep=("messages", 1))],
    )
    dialog = Dialog(agent)
    for expected in ("one", "two", "three"):
        answer = await dialog.answer("a question")
        assert dialog.stream.texts == [expected] == [part.text for part in answer.parts]
    assert summary.asked


class Route(BaseModel):
    to: str


@pytest.mark.parametrize("method", ["ls", "response_format"])
async def test_structured_output_that_only_routes_is_not_said(method: str) -> None:
    options: dict[str, Any] = (
        {"ls_structured_output_format": {"kwargs": {"method": "json_schema"}, "schema": Route}}
        if method == "ls"
        else {"response_format": {"type": "json_schema"}}
    )
    router = Scripted(replies=['{"to": "sales"}']).bind(**options)

    async def work(state: Any) -> Any:
        await router.ainvoke(state["messages"])
        return {"messages": [AIMessage("Hello from sales")]}

    dialog = Dialog(one_node(work))
    await dialog.answer()
    assert dialog.stream.texts == ["Hello from sales"]


async def test_messages_that_are_removed_and_added_again_are_not_said_again() -> None:
    def work(state: Any) -> Any:
        kept = [message.model_copy() for message in state["messages"]]
        return {"messages": [RemoveMessage(REMOVE_ALL_MESSAGES), *kept, AIMessage(f"reply {len(kept)}")]}

    dialog = Dialog(one_node(work))
    for expected in ("reply 1", "reply 3"):
        answer = await dialog.answer()
        assert dialog.stream.texts == [expected] == [part.text for part in answer.parts]


# Kinds


async def test_reasoning_is_a_part_of_its_own_before_the_text() -> None:
    chunks = [
        AIMessageChunk(content="", additional_kwargs={"reasoning_content": "let me "}),
        AIMessageChunk(content="", additional_kwargs={"reasoning_content": "think"}),
        AIMessageChunk(content="Yes"),
    ]
    model = Scripted(replies=[chunks])

    async def work(state: Any) -> Any:
        return {"messages": [await model.ainvoke(state["messages"])]}

    dialog = Dialog(one_node(work))
    answer = await dialog.answer()
    expected = [("reasoning", AGENT, "let me think"), ("text", AGENT, "Yes")]
    assert (
        [(part.kind, part.speaker, part.text) for part in dialog.stream.parts] == expected == agent_parts(answer)
    )
    assert answer.text == "Yes"


async def test_an_image_alone_is_an_answer() -> None:
    block = {"type": "image", "base64": "AAAA", "mime_type": "image/png"}
    dialog = Dialog(one_node(lambda state: {"messages": [AIMessage([block])]}))
    answer = await dialog.answer()
    data = {"mime_type": "image/png", "url": "data:image/png;base64,AAAA"}
    assert answer.parts == [Part("image", AGENT, data=data)] == dialog.stream.parts
    assert answer.text == ""


async def test_a_refusal_is_an_answer() -> None:
    refused = AIMessage("", additional_kwargs={"refusal": "I cannot help with that"})
    dialog = Dialog(one_node(lambda state: {"messages": [refused.model_copy()]}))
    answer = await dialog.answer()
    assert answer.text == "I cannot help with that" == dialog.stream.texts[0]


class Weather(BaseModel):
    sky: str


async def test_structured_output_of_an_agent_is_data_and_its_json_is_not_said() -> None:
    model = Scripted(
        replies=[calls("Weather", args={"sky": "blue"}, tag="1"), calls("Weather", args={"sky": "grey"}, tag="2")]
    )
    dialog = Dialog(create_agent(model, [], response_format=Weather))
    for sky in ("blue", "grey"):
        answer = await dialog.answer()
        assert answer.parts == [Part("data", AGENT, data={"value": {"sky": sky}})]
        assert answer.text == f'{{"sky":"{sky}"}}'
        assert [part.kind for part in dialog.stream.parts] == ["data"]


# Answers whose state says nothing


async def test_an_answer_that_is_removed_from_the_state_again_is_an_answer() -> None:
    model = Scripted(replies=["Said and gone"])

    async def work(state: Any) -> Any:
        return {"messages": [await model.ainvoke(state["messages"])]}

    builder = one_node(work)
    builder.add_node("forget", lambda state: {"messages": [RemoveMessage(state["messages"][-1].id)]})
    builder.add_edge("work", "forget")
    assert (await Dialog(builder).answer()).text == "Said and gone"


async def test_what_was_streamed_is_the_answer_of_a_graph_that_keeps_it_outside_of_messages() -> None:
    class State(MessagesState):
        answer: str

    model = Scripted(replies=["Outside"])

    async def work(state: Any) -> Any:
        return {"answer": (await model.ainvoke(state["messages"])).text}

    answer = await Dialog(one_node(work, State)).answer()
    assert (answer.text, agent_parts(answer)) == ("Outside", [("text", AGENT, "Outside")])


async def test_an_old_answer_is_never_given_again_when_the_persons_message_is_removed() -> None:
    def work(state: Any) -> Any:
        if len(state["messages"]) == 1:
            return {"messages": [AIMessage("old")]}
        return {"messages": [RemoveMessage(state["messages"][-1].id)]}

    dialog = Dialog(one_node(work))
    assert (await dialog.answer()).text == "old"
    with pytest.raises(NoAnswer):
        await dialog.say()


async def test_what_is_said_while_another_branch_asks_is_kept_with_the_question_and_said_once() -> None:
    model = Scripted(replies=["Meanwhile"])

    async def talk(state: Any) -> Any:
        return {"messages": [await model.ainvoke(state["messages"])]}

    def ask(state: Any) -> Any:
        return {"messages": [AIMessage(f"You said {interrupt('Really?')}")]}

    builder = StateGraph(MessagesState)
    for name, node in (("talk", talk), ("ask", ask)):
        builder.add_node(name, node)
        builder.add_edge(START, name)
        builder.add_edge(name, END)
    dialog = Dialog(builder)
    asked = await dialog.say()
    assert isinstance(asked, Questions)
    assert [(part.speaker, part.text) for part in asked.parts] == [("Talk", "Meanwhile")]
    answer = await dialog.respond(asked, "yes")
    assert [part.text for part in answer.parts] == ["You said yes"]


async def test_what_an_earlier_attempt_has_said_is_kept_after_a_takeover() -> None:
    broken = [True]
    model = Scripted(replies=["From the first node"])

    async def first(state: Any) -> Any:
        return {"messages": [await model.ainvoke(state["messages"])]}

    async def second(state: Any) -> Any:
        if broken.pop() if broken else False:
            raise ValueError("the node dies")
        return {"messages": [AIMessage("From the second")]}

    builder = one_node(first)
    builder.add_node("second", second)
    builder.add_edge("work", "second")
    dialog = Dialog(builder)
    with pytest.raises(ValueError, match="dies"):
        await dialog.say()
    answer = await dialog.say(attempt=2, source=dialog.last.thread_id)
    assert [part.text for part in answer.parts] == ["From the first node", "From the second"]
    assert dialog.stream.texts == ["From the second"]
    assert len(model.asked) == 1


@pytest.mark.parametrize("nested", [False, True])
async def test_what_an_agent_that_is_a_node_has_said_before_its_question_is_not_said_again(nested: bool) -> None:
    @tool
    def send_mail() -> str:
        """Send."""
        return f"sent: {interrupt('Send it?')}"

    first = calls("send_mail", text="I write a mail")
    agent: Any = create_agent(Scripted(replies=[first, "It is sent"]), [send_mail], name="mailer")
    dialog = Dialog(outer(outer(agent).compile() if nested else agent))
    asked = await dialog.say()
    assert [part.text for part in asked.parts] == ["I write a mail"]
    answer = await dialog.respond(asked, "yes")
    assert [part.text for part in answer.parts] == ["It is sent"] == dialog.stream.texts
    assert dialog.stream.tools == [("send_mail", "done")]


async def test_a_state_that_is_put_together_of_its_history_is_read_once_before_a_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class State(TypedDict):
        messages: Annotated[list[AnyMessage], DeltaChannel(lambda messages, writes: sum(writes, messages))]

    dialog = Dialog(one_node(lambda state: {"messages": [AIMessage("well")]}, State))
    await dialog.say()
    read, reads = dialog.graph.aget_state, []

    async def counted(*args: Any, **kwargs: Any) -> Any:
        reads.append(args)
        return await read(*args, **kwargs)

    monkeypatch.setattr(dialog.graph, "aget_state", counted)
    assert [part.text for part in (await dialog.answer()).parts] == ["well"]
    assert len(reads) == 1


async def test_the_message_that_an_entrypoint_returns_keeps_its_parts() -> None:
    block = {"type": "image", "base64": "AAAA", "mime_type": "image/png"}
    message = AIMessage(
        [{"type": "reasoning", "reasoning": "let me think"}, block, {"type": "text", "text": "Yes"}]
    )

    @entrypoint()
    async def talk(text: str) -> AIMessage:
        return message

    answer = await Dialog(talk, Served(talk, Adapter(WHOLE, WHOLE))).answer()
    assert answer.text == "Yes"
    assert [part.kind for part in answer.parts] == ["reasoning", "image", "text"]


@pytest.mark.parametrize("fails", ["call", "node"])
@pytest.mark.parametrize("asks", [True, False])
async def test_what_is_tried_again_stands_once_in_a_question_or_an_answer(fails: str, asks: bool) -> None:
    broken = [AIMessageChunk(content="Hel"), ValueError("lost")] if fails == "call" else "Hello"
    model = Scripted(replies=[broken, "Hello"])

    async def work(state: Any) -> Any:
        await model.ainvoke(state["messages"])
        if len(model.asked) == 1:
            raise ValueError("lost")
        return {}

    model.asked = []
    builder = StateGraph(MessagesState)
    policy = RetryPolicy(initial_interval=0.01, retry_on=ValueError)
    builder.add_node("work", work, retry_policy=policy)
    builder.add_edge(START, "work")
    if asks:
        builder.add_node("ask", lambda state: {"messages": [AIMessage(interrupt("Sure?"))]})
        builder.add_edge("work", "ask")
    dialog = Dialog(builder)
    said = await dialog.say()
    assert isinstance(said, Questions) == asks
    assert [part.text for part in said.parts] == ["Hello"]
    assert len(dialog.stream.parts) == 2
