"""Any LangGraph graph is served as it stands; one that cannot be is named at the start, in one line."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessageChunk, HumanMessage
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.pregel import Pregel

from sio_server.dialog.graphs import assistant
from sio_server.dialog.graphs.loading import Graphs, load_graphs
from sio_server.dialog.graphs.problems import BadGraph

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
THREAD: RunnableConfig = {"configurable": {"thread_id": "room"}}

# What the modules of these tests begin with: a graph, not compiled, that answers.
BUILDER = """
from contextlib import asynccontextmanager, contextmanager

from langchain_core.messages import AIMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.graph.state import CompiledStateGraph


def answer(state):
    return {"messages": [AIMessage("hello from " + __name__)]}


def build(state=MessagesState):
    builder = StateGraph(state)
    builder.add_node("answer", answer)
    builder.add_edge(START, "answer")
    return builder

"""
SUPPORT = BUILDER + "support = build()\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder one stands in; what was imported from it, or set by it, is forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    path, environment, modules = list(sys.path), dict(os.environ), set(sys.modules)
    # Bytecode goes by seconds, and tests write the same file faster.
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield tmp_path
    sys.path[:] = path
    os.environ.clear()
    os.environ.update(environment)
    for name in set(sys.modules) - modules:
        # A folder without an __init__.py is a module without a file.
        places = [getattr(sys.modules[name], "__file__", None), *getattr(sys.modules[name], "__path__", ())]
        if any(place and Path(place).is_relative_to(top) for place in places for top in (tmp_path, EXAMPLES)):
            del sys.modules[name]


def write(name: str, text: str) -> None:
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    Path(name).write_text(text, encoding="utf-8")


def write_project(graphs: dict[str, Any], name: str = "langgraph.json", **more: Any) -> None:
    write(name, json.dumps({"dependencies": ["."], "graphs": graphs, **more}))


async def load(graph: str = "concierge", langgraph_json: str = "", model: str = "", **more: Any) -> Graphs:
    return await load_graphs(
        graph=graph, langgraph_json=langgraph_json, model=model, model_timeout=1.0, word_delay=0.0, **more
    )


async def refusal(graph: str = "concierge", langgraph_json: str = "", model: str = "", **more: str) -> str:
    """What people are told of a graph that cannot be served: always one line that begins with the setting."""
    with pytest.raises(BadGraph) as caught:
        await load(graph, langgraph_json, model, **more)
    told = str(caught.value)
    assert "\n" not in told
    assert told.startswith(("GRAPH=", "LANGGRAPH_JSON=", "MODEL="))
    assert "Traceback" not in told
    return told


async def reply(graph: Pregel[Any, Any, Any, Any], text: str = "hi") -> str:
    state = await graph.ainvoke({"messages": [HumanMessage(text)]}, THREAD)
    return str(state["messages"][-1].text)


async def default_reply(graphs: Graphs, text: str = "hi") -> str:
    return await reply(graphs.compile(InMemorySaver())[graphs.default], text)


# --- the project's own graphs


async def test_without_any_setting_the_concierge_is_the_default_and_the_echo_is_there():
    graphs = await load()
    assert (graphs.default, graphs.names) == ("concierge", ["concierge", "echo"])
    assert "book a meeting room" in await default_reply(graphs)
    assert (await load("")).default == "concierge"


async def test_the_echo_says_back_what_was_said_word_by_word_and_keeps_no_more_than_an_exchange():
    graphs = await load("echo")
    echo = graphs.compile(InMemorySaver())["echo"]
    for text in ("first", "one two 三四五六"):
        stream: Any = echo.astream({"messages": [HumanMessage(text)]}, THREAD, stream_mode="messages")
        parts = [part[0] async for part in stream]
    pieces = [part.text for part in parts if isinstance(part, AIMessageChunk) and part.text]
    assert pieces == ["one ", "two ", "三四", "五六"]
    assert [item.text for item in (await echo.aget_state(THREAD)).values["messages"]] == [text, text]


async def test_the_assistant_is_there_when_there_is_a_model(folder, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "a-key-of-these-tests")
    graphs = await load(model="openai:gpt-4o-mini")
    assert (graphs.default, graphs.names) == ("concierge", ["concierge", "echo", "assistant"])
    assert (await load("assistant", model="ollama:llama3.2")).default == "assistant"


# --- what may stand at package.module:attribute

SHAPES = {
    "a builder": "agent = build()",
    "a compiled graph": "agent = build().compile()",
    "a graph compiled with a checkpointer of its own": "agent = build().compile(checkpointer=InMemorySaver())",
    "a graph compiled to have no checkpoints": "agent = build().compile(checkpointer=False)",
    "a graph with a config": "agent = build().compile().with_config(tags=['mine'])",
    "a function": "def agent():\n    return build()",
    "a function of a compiled graph": "def agent():\n    return build().compile()",
    "a function of a config": "def agent(config):\n    return build() if 'configurable' in config else None",
    "a function of a config it need not be given": "def agent(config=None):\n    return build()",
    "an async function": "async def agent():\n    return build()",
    "an async function of a config": "async def agent(config):\n    return build().compile()",
    "a function of a future": "def agent():\n    async def make():\n        return build()\n    return make()",
    "an async context manager": "@asynccontextmanager\nasync def agent():\n    yield build()",
    "an async context manager of a config": "@asynccontextmanager\nasync def agent(config):\n    yield build()",
    "a context manager": "@contextmanager\ndef agent(config):\n    yield build().compile()",
    "a callable object": "class Factory:\n    def __call__(self):\n        return build()\nagent = Factory()",
    "a state that is a dataclass": "from dataclasses import dataclass, field\nfrom typing import Annotated\n"
    "from langgraph.graph.message import add_messages\n@dataclass\nclass State:\n"
    "    messages: Annotated[list, add_messages] = field(default_factory=list)\nagent = build(State)",
    "an agent of langchain": "from langchain.agents import create_agent\n"
    "from sio_server.dialog.graphs.concierge.model import SpokenReply\n"
    "agent = create_agent(SpokenReply(word_delay=0), [])",
}


@pytest.mark.parametrize("shape", SHAPES)
async def test_a_graph_is_served_with_our_checkpointer_whatever_shape_it_has(folder, shape):
    write("mine.py", BUILDER + SHAPES[shape])
    graphs = await load("mine:agent")
    saver = InMemorySaver()
    assert await reply(graphs.compile(saver)["agent"]) in ("hello from mine", "hi")
    assert await saver.aget_tuple(THREAD) is not None
    await graphs.close()


async def test_a_graph_of_ones_own_is_the_default_and_the_built_in_ones_stay(folder):
    write("my_app/__init__.py", "")
    write("my_app/agents.py", SUPPORT)
    graphs = await load("my_app.agents:support")
    assert (graphs.default, graphs.names) == ("support", ["support", "concierge", "echo"])
    assert await default_reply(graphs) == "hello from my_app.agents"


@pytest.mark.parametrize(
    ("setting", "name"),
    [
        ("my_app.helpdesk:support_agent", "support_agent"),
        ("my_app.helpdesk:graph", "helpdesk"),
        ("my_app.helpdesk:builder", "helpdesk"),
        ("my_app.helpdesk:app", "helpdesk"),
        ("my_app.helpdesk:workflow", "helpdesk"),
        ("my_app.helpdesk:make_graph", "helpdesk"),
        ("my_app.helpdesk:Agents.first_line", "first_line"),
        ("my_app.helpdesk:Agents.graph", "helpdesk"),
        ("my_app.helpdesk:echo", "echo"),
    ],
)
async def test_a_graph_goes_by_its_attribute_or_by_its_module_where_that_says_nothing(folder, setting, name):
    write(
        "my_app/helpdesk.py",
        BUILDER + "support_agent = graph = builder = app = workflow = echo = build()\n"
        "def make_graph():\n    return build()\n"
        "class Agents:\n    first_line = graph = build()\n",
    )
    graphs = await load(setting)
    assert graphs.default == name
    assert await default_reply(graphs) == "hello from my_app.helpdesk"


async def test_a_graph_keeps_its_interrupts_its_name_and_its_store_and_the_module_keeps_its_graph(folder):
    write(
        "mine.py",
        BUILDER + "from langgraph.store.memory import InMemoryStore\n"
        "store, saver = InMemoryStore(), InMemorySaver()\n"
        "agent = build().compile(\n"
        "    saver, interrupt_before=['answer'], interrupt_after='*', name='Mine', store=store\n"
        ")",
    )
    graphs = await load("mine:agent")
    ours, theirs = graphs.compile(InMemorySaver())["agent"], sys.modules["mine"]
    assert (ours.interrupt_before_nodes, ours.interrupt_after_nodes, ours.name) == (["answer"], "*", "Mine")
    assert ours.store is theirs.store
    assert await reply(ours) == "hi"
    assert (await ours.aget_state(THREAD)).next == ("answer",)
    assert theirs.agent.checkpointer is theirs.saver
    assert await theirs.saver.aget_tuple(THREAD) is None


async def test_a_graph_of_a_class_of_ones_own_keeps_what_the_class_does(folder):
    write(
        "mine.py",
        BUILDER + "class Counting(CompiledStateGraph):\n"
        "    def __init__(self, graph):\n"
        "        self.__dict__.update(graph.__dict__)\n"
        "        self.streams = []\n"
        "    async def astream(self, *args, **kwargs):\n"
        "        self.streams.append(args)\n"
        "        async for part in super().astream(*args, **kwargs):\n"
        "            yield part\n"
        "agent = Counting(build().compile())\n",
    )
    ours = (await load("mine:agent")).compile(InMemorySaver())["agent"]
    assert await reply(ours) == "hello from mine"
    assert len(sys.modules["mine"].agent.streams) == 1


async def test_the_same_graphs_are_compiled_for_one_checkpointer_and_another(folder):
    write("mine.py", SUPPORT)
    graphs = await load("mine:support")
    first, second = InMemorySaver(), InMemorySaver()
    one, other = graphs.compile(first), graphs.compile(second)
    await reply(one["support"])
    assert await first.aget_tuple(THREAD) is not None
    assert await second.aget_tuple(THREAD) is None
    assert set(one) == set(other) == set(graphs.names)


OPENING = (
    BUILDER
    + """
seen = []

@asynccontextmanager
async def agent():
    seen.append("opened")
    try:
        yield build()
    finally:
        seen.append("closed")

@asynccontextmanager
async def clumsy():
    yield build()
    raise OSError("the database is gone")
"""
)


async def test_what_a_factory_opened_stays_open_until_the_graphs_are_closed(folder):
    write("mine.py", OPENING)
    graphs = await load("mine:agent")
    assert await default_reply(graphs) == "hello from mine"
    assert sys.modules["mine"].seen == ["opened"]
    await graphs.close()
    assert sys.modules["mine"].seen == ["opened", "closed"]


async def test_what_a_factory_opened_is_closed_when_the_node_does_not_start(folder):
    write("mine.py", OPENING)
    write_project({"good": "mine:agent", "bad": "mine:nothing"})
    await refusal("bad", langgraph_json="langgraph.json")
    assert sys.modules["mine"].seen == ["opened", "closed"]


async def test_what_a_factory_opened_for_a_graph_that_is_left_out_is_closed_at_once(folder):
    write("mine.py", OPENING.replace("yield build()\n    finally", "yield 42\n    finally"))
    write_project({"bad": "mine:agent", "good": "mine:clumsy"})
    graphs = await load(langgraph_json="langgraph.json")
    assert graphs.names == ["good", "concierge", "echo"]
    assert sys.modules["mine"].seen == ["opened", "closed"]


async def test_a_factory_that_fails_to_close_does_not_stop_the_node_from_stopping(folder, caplog):
    write("mine.py", OPENING)
    await (await load("mine:clumsy")).close()
    assert "the database is gone" in caplog.text


# --- langgraph.json


async def test_all_graphs_of_a_project_are_served_by_name_and_the_first_is_the_default(folder):
    write("support.py", SUPPORT)
    write("src/agency/__init__.py", "")
    write("src/agency/sales.py", BUILDER + "from .offers import text\ndef make():\n    return build()")
    write("src/agency/offers.py", "text = 'all half price'")
    write_project(
        {
            "support": "./support.py:support",
            "sales": {"path": "./src/agency/sales.py:make", "description": "Sells."},
            "again": "agency.sales:make",
        }
    )
    graphs = await load(langgraph_json="./langgraph.json")
    assert graphs.default == "support"
    assert graphs.names == ["support", "sales", "again", "concierge", "echo"]
    served = graphs.compile(InMemorySaver())
    assert await reply(served["support"]) == "hello from support"
    assert await reply(served["sales"]) == await reply(served["again"]) == "hello from agency.sales"


@pytest.mark.parametrize(
    ("graph", "default"), [("", "one"), ("concierge", "one"), ("two", "two"), ("echo", "echo")]
)
async def test_the_setting_names_another_default_than_the_first_of_the_project(folder, graph, default):
    write("support.py", SUPPORT)
    write_project({"one": "./support.py:support", "two": "./support.py:support"})
    assert (await load(graph, "langgraph.json")).default == default


async def test_a_graph_may_stand_beside_those_of_a_project(folder):
    write("support.py", SUPPORT + "other = support")
    write_project({"one": "./support.py:support"})
    graphs = await load("support:other", "langgraph.json")
    assert graphs.names == ["other", "one", "concierge", "echo"]


async def test_a_project_may_use_the_name_of_a_built_in_graph(folder):
    write("support.py", SUPPORT)
    write_project({"first": "./support.py:support", "concierge": "./support.py:support"})
    graphs = await load(langgraph_json="langgraph.json")
    assert (graphs.default, graphs.names) == ("concierge", ["concierge", "first", "echo"])
    assert await default_reply(graphs) == "hello from support"


async def test_a_project_is_served_from_any_folder(folder, monkeypatch):
    write("project/agents/support.py", SUPPORT)
    write_project({"support": "./agents/support.py:support"}, name="project/langgraph.json")
    (folder / "elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    graphs = await load(langgraph_json="../project/langgraph.json")
    assert await default_reply(graphs) == "hello from agents.support"


async def test_a_package_that_is_named_as_a_dependency_is_known_by_its_name_and_not_by_its_parts(folder):
    write("agency/__init__.py", "")
    write("agency/support.py", "from agency.words import greeting\n" + SUPPORT)
    write("agency/words.py", "greeting = 'hello'")
    write_project({"support": "./agency/support.py:support"}, dependencies=["./agency", "langchain_openai"])
    assert await default_reply(await load(langgraph_json="langgraph.json")) == "hello from agency.support"


async def test_a_file_with_the_name_of_a_library_or_of_no_module_is_served_as_well(folder):
    write("random.py", SUPPORT)
    write("my-agent.py", SUPPORT)
    write_project({"one": "./random.py:support", "two": "./my-agent.py:support"})
    served = (await load(langgraph_json="langgraph.json")).compile(InMemorySaver())
    assert (await reply(served["one"])).startswith("hello from roomgraph_graph_")
    assert (await reply(served["two"])).startswith("hello from roomgraph_graph_")
    assert hasattr(sys.modules["random"], "randrange")


ASKS_ENVIRONMENT = (
    BUILDER.replace('"hello from " + __name__', "COLOUR") + "import os\nCOLOUR = os.environ['COLOUR']\n"
)


@pytest.mark.parametrize("env", [{"COLOUR": "blue"}, ".env"])
async def test_the_environment_of_a_project_is_there_when_its_graphs_are_imported(folder, env):
    write(".env", "COLOUR=blue\n")
    write("mine.py", ASKS_ENVIRONMENT + "agent = build()")
    write_project({"mine": "./mine.py:agent"}, env=env)
    assert await default_reply(await load(langgraph_json="langgraph.json")) == "blue"


async def test_what_the_environment_says_already_stays(folder, monkeypatch):
    monkeypatch.setenv("COLOUR", "red")
    write("mine.py", ASKS_ENVIRONMENT + "agent = build()")
    write_project({"mine": "./mine.py:agent"}, env={"COLOUR": "blue"})
    assert await default_reply(await load(langgraph_json="langgraph.json")) == "red"


async def test_an_env_file_that_was_left_behind_is_no_mistake(folder, caplog):
    write("mine.py", SUPPORT)
    write_project({"mine": "./mine.py:support"}, env=".env")
    assert (await load(langgraph_json="langgraph.json")).default == "mine"
    assert ".env is not there" in caplog.text


# --- graphs that cannot be served: the setting, what is wrong, and what to write

PLACES = {
    "nothing": ("there is no graph of this name", "Write one of concierge, echo, or package.module:attribute"),
    "mine.support": ("there is no graph of this name", "package.module:attribute"),
    "mine:": ("this names no graph", "write package.module:attribute"),
    ":support": ("this names no graph", "write package.module:attribute"),
    "mine:support:graph": ("this names no graph", "write package.module:attribute"),
    "my app:support": ("this names no graph", "write package.module:attribute"),
    "mine:support()": ("this names no graph", "write package.module:attribute"),
    "./mine.py:support": ("this is a file", "Write its module, such as my_graph:graph for my_graph.py"),
    "mine:_support": ("the graph cannot be called _support", "Name its attribute with"),
    f"mine:{'a' * 65}": ("the graph cannot be called", "up to 64"),
    "nowhere:support": ("there is no module nowhere", "start from the folder that holds it (this is "),
    "nowhere.agents:support": ("there is no module nowhere.", "Write package.module:attribute"),
    "mine.agents:support": ("there is no module mine.agents.", "Write package.module:attribute"),
    "mine:suport": ("there is no suport in mine.", "Write one of its graphs: support"),
    "mine:support.first": ("there is no first in mine.support.", "Write one of its graphs: support"),
    "assistant": ("it needs a chat model", "Set MODEL as well, such as MODEL=openai:gpt-4o-mini"),
}


@pytest.mark.parametrize("setting", PLACES)
async def test_a_place_where_no_graph_stands_is_told(folder, setting):
    write("mine.py", SUPPORT)
    told = await refusal(setting)
    assert told.startswith(f"GRAPH={setting}: ")
    for part in PLACES[setting]:
        assert part in told


# What a module holds -> what people are told; the place in it is that of the last line.
BROKEN = {
    "agent = 1 / 0": "it cannot be imported: ZeroDivisionError: division by zero (mine.py:{line}). Put that right",
    "import no_such_package": "ModuleNotFoundError: No module named 'no_such_package' (mine.py:{line}). "
    "Install what has the module no_such_package",
    "agent = build(": "it cannot be imported: SyntaxError: '(' was never closed (mine.py:{line})",
    "import json; json.loads('')": "JSONDecodeError: Expecting value in line 1 (mine.py:{line})",
    "raise SystemExit('usage: mine')": "it cannot be imported: SystemExit: usage: mine (mine.py:{line})",
    "raise RuntimeError('one\\n  two')": "RuntimeError: one two (mine.py:{line})",
    "raise RuntimeError": "RuntimeError: no reason given (mine.py:{line})",
    "agent = build().add_node('answer', answer)": "ValueError: Node `answer` already present (mine.py:{line})",
    "agent = StateGraph(MessagesState)": "it cannot be compiled: Graph must have an entrypoint",
    "agent = build(); agent.add_edge('answer', 'nowhere')": "it cannot be compiled: Found edge",
    "agent = 42": "it is not a graph but of type int. Name a StateGraph, a compiled graph, or a function",
    "agent = None": "it is not a graph but None",
    "import json as agent": "it is not a graph but a module",
    "agent = lambda: 'graph'": "it is not a graph but of type str",
    "agent = lambda: 1 / 0": "the function raised ZeroDivisionError: division by zero (mine.py:{line}). Put that",
    "async def agent(): raise KeyError('colour')": "the function raised KeyError: 'colour' (mine.py:{line})",
    "@asynccontextmanager\nasync def agent(): raise OSError('gone'); yield": "OSError: gone (mine.py:{line})",
    "agent = lambda config, database: build()": "the function needs database, which is not known here. Let it",
    "def agent(config, /): return build()": "the function takes config by its position only",
    "class Broken(BaseException): pass\nraise Broken('no')": "it cannot be imported: Broken: no (mine.py:{line})",
    "def agent(): raise type('Broken', (BaseException,), {})('no')": "the function raised Broken: no (mine",
    "from typing import TypedDict; agent = build(TypedDict('State', {'text': str}))": "its state has no messages. "
    "Derive it from MessagesState",
    "from langgraph.func import entrypoint; agent = entrypoint()(lambda x: x)": "it does not say what it takes. "
    "For the text that was written, write GRAPH_INPUT=. and GRAPH_OUTPUT=.; for a list of messages, let it take",
}


@pytest.mark.parametrize("code", BROKEN)
async def test_a_module_or_a_graph_with_a_mistake_is_told_with_the_place_of_the_mistake(folder, code):
    write("mine.py", BUILDER + code)
    line = len((BUILDER + code).splitlines())
    told = await refusal("mine:agent")
    assert told.startswith("GRAPH=mine:agent: ")
    assert BROKEN[code].format(line=line) in told


async def test_the_place_of_a_mistake_is_in_ones_own_code_and_not_in_the_library_it_called(folder):
    write("mine.py", SUPPORT + "from helper import agent\n")
    write("helper.py", "import fractions\n\nagent = fractions.Fraction('a half')\n")
    assert "ValueError: Invalid literal for Fraction: 'a half' (helper.py:3)" in await refusal("mine:agent")


async def test_a_state_whose_input_has_no_messages_is_told(folder):
    write(
        "mine.py",
        BUILDER + "from typing import TypedDict\nclass Question(TypedDict):\n    text: str\n"
        "agent = StateGraph(MessagesState, input_schema=Question)\n"
        "agent.add_node('answer', answer)\nagent.add_edge(START, 'answer')\n",
    )
    assert "its input has no messages" in await refusal("mine:agent")


FORGETFUL = """
from typing import TypedDict

class Forgetful(TypedDict):
    messages: list

agent = build(Forgetful)
"""


async def test_a_graph_whose_messages_have_no_reducer_is_served_with_a_warning(folder, caplog):
    write("mine.py", BUILDER + FORGETFUL)
    assert await default_reply(await load("mine:agent")) == "hello from mine"
    assert "GRAPH=mine:agent: its messages have no reducer, so each turn forgets those before" in caplog.text


PROJECTS: dict[str, tuple[Any, str, str]] = {
    "not JSON": ('{"graphs": {', "it is not JSON: Expecting", "in line 1. Put that right in the file"),
    "not an object": ([], "it has no graphs", 'Write "graphs": {"agent": "./agent.py:graph"} in it'),
    "no graphs": ({"dependencies": ["."]}, "it has no graphs", 'Write "graphs"'),
    "empty graphs": ({"graphs": {}}, "it has no graphs", 'Write "graphs"'),
    "a bad key": ({"graphs": {"a": {"path": "./mine.py:support", "input": 3}}}, "its input is not a text", '"."'),
    "a number": ({"graphs": {"a": 1}}, "graph a: 1 names no graph", "Write ./path/file.py:attribute"),
    "no attribute": (
        {"graphs": {"a": "./mine.py"}},
        "graph a: './mine.py' names no graph",
        "./path/file.py:attribute",
    ),
    "a bad attribute": ({"graphs": {"a": "./mine.py:a b"}}, "names no graph", "./path/file.py:attribute"),
    "no path": ({"graphs": {"a": {"description": "?"}}}, "names no graph", "./path/file.py:attribute"),
    "JavaScript": ({"graphs": {"a": "./src/agent.ts:graph"}}, "./src/agent.ts is JavaScript", "take it out"),
    "no file": ({"graphs": {"a": "./missing.py:graph"}}, "there is no file missing.py", "Write one that is there"),
    "no module": (
        {"graphs": {"a": "missing:graph"}},
        "there is no module missing",
        "Write package.module:attribute",
    ),
    "a bad module": ({"graphs": {"a": "my agent:graph"}}, "my agent is no module", "./path/file.py:attribute"),
    "no such attribute": (
        {"graphs": {"a": "./mine.py:gra"}},
        "there is no gra in mine.py",
        "one of its graphs: support",
    ),
    "bad dependencies": (
        {"graphs": {"a": "./mine.py:support"}, "dependencies": "."},
        "dependencies are wrong",
        "[",
    ),
    "a bad env": (
        {"graphs": {"a": "./mine.py:support"}, "env": ["A=1"]},
        "its env is wrong",
        'Write "env": ".env"',
    ),
}


@pytest.mark.parametrize("mistake", PROJECTS)
async def test_a_mistake_in_a_langgraph_json_is_told(folder, mistake):
    content, problem, advice = PROJECTS[mistake]
    write("mine.py", SUPPORT)
    write("langgraph.json", content if isinstance(content, str) else json.dumps(content))
    told = await refusal(langgraph_json="langgraph.json")
    assert told.startswith("LANGGRAPH_JSON=langgraph.json")
    assert problem in told
    assert advice in told


@pytest.mark.parametrize(("path", "reason"), [("nowhere.json", "No such file"), (".", "Is a directory")])
async def test_a_langgraph_json_that_is_not_there_is_told(folder, path, reason):
    told = await refusal(langgraph_json=path)
    assert told.startswith(f"LANGGRAPH_JSON={path}: it cannot be read ({reason}")
    assert "such as ./langgraph.json" in told


async def test_a_mistake_in_a_file_of_a_project_is_told_with_its_place(folder):
    write("agents/mine.py", "\n\n1 / 0\n")
    write_project({"a": "./agents/mine.py:graph"})
    told = await refusal(langgraph_json="langgraph.json")
    assert told.startswith(
        "LANGGRAPH_JSON=langgraph.json, graph a (./agents/mine.py:graph): it cannot be imported"
    )
    assert "(agents/mine.py:3)" in told


async def test_two_graphs_of_one_name_are_told(folder):
    write("mine.py", SUPPORT)
    write_project({"support": "./mine.py:support"})
    assert "another graph named support. Rename one" in await refusal("mine:support", "langgraph.json")


async def test_a_model_without_its_key_is_told(folder, monkeypatch):
    monkeypatch.delenv("OPENAI_ADMIN_KEY", raising=False)
    told = await refusal("assistant", model="openai:gpt-4o-mini")
    assert told.startswith("MODEL=openai:gpt-4o-mini: it cannot be used")
    assert "set the provider's key, such as OPENAI_API_KEY" in told


@pytest.mark.parametrize(
    ("model", "told"),
    [
        ("mistralai:small", "its provider's package is not installed"),
        ("openai:", "it names no model. Write provider:model"),
        ("nobody:model", "Write provider:model, such as openai:gpt-4o-mini or ollama:llama3.2"),
        ("some-model", "Write provider:model, such as openai:gpt-4o-mini or ollama:llama3.2"),
    ],
)
async def test_a_model_that_cannot_be_made_is_told(folder, model, told):
    assert told in await refusal("assistant", model=model)


async def test_a_missing_extra_is_told(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "langchain.chat_models", None)
    assert "Run pip install 'roomgraph[assistant]'" in await refusal("assistant", model="openai:gpt-4o-mini")


async def test_a_model_without_tools_is_told(folder, monkeypatch):
    from sio_server.dialog.graphs.concierge.model import SpokenReply

    monkeypatch.setattr(assistant, "chat_model", lambda name: SpokenReply())
    assert "this model cannot call tools. Write one that can" in await refusal("assistant", model="spoken:reply")


@pytest.mark.parametrize("model", ["openai/gpt-4o", "gpt-4o", "openai:", "nobody:model", "anything at all"])
async def test_a_model_that_is_a_templates_own_does_not_stop_the_node(folder, monkeypatch, caplog, model):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_ADMIN_KEY", raising=False)
    write("mine.py", SUPPORT)
    graphs = await load("mine:support", model=model)
    assert graphs.names == ["support", "concierge", "echo"]
    assert [line.startswith(f"MODEL={model}: ") for line in graphs.left_out] == [True]
    assert graphs.left_out[0] in caplog.text


async def test_a_model_may_be_written_as_the_templates_write_it(folder, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "a-key-of-these-tests")
    graphs = await load("assistant", model="openai/gpt-4o-mini")
    assert graphs.default == "assistant"


# --- the examples


def test_the_minimal_example_is_short():
    assert len((EXAMPLES / "minimal" / "my_graph.py").read_text(encoding="utf-8").splitlines()) < 30


async def test_the_minimal_example_is_served_by_its_command(folder, monkeypatch):
    monkeypatch.chdir(EXAMPLES / "minimal")
    graphs = await load("my_graph:graph")
    graph = graphs.compile(InMemorySaver())["my_graph"]
    assert await reply(graph, "one") == "That was message 1: one"
    assert await reply(graph, "two") == "That was message 2: two"


async def test_the_example_of_a_project_serves_both_graphs_and_reports_how_far_it_is(folder, monkeypatch):
    monkeypatch.chdir(EXAMPLES / "langgraph_project")
    graphs = await load(langgraph_json="./langgraph.json")
    assert (graphs.default, graphs.names[:2]) == ("planner", ["planner", "guide"])
    served = graphs.compile(InMemorySaver())
    assert await reply(served["guide"]) == "Welcome to the Lakeside office. Ask the planner for a room."
    assert await reply(served["planner"], "a room for 99") == "There is no room for 99."
    given = {"messages": [HumanMessage("a room for 10, please")]}
    stream: Any = served["planner"].astream(given, THREAD, stream_mode="custom", subgraphs=True)
    parts = [part async for part in stream]
    assert [part["text"] for _, part in parts] == ["Looking on floor 1", "Looking on floor 2"]
    state = await served["planner"].aget_state(THREAD)
    assert state.values["messages"][-1].text == "The red room takes 10."
