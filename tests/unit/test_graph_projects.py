"""Of a langgraph.json every graph that can be served is served, and people are told of everything else."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import HumanMessage
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver

from sio_server.dialog.graphs.problems import BadGraph
from sio_server.protocol.errors import Refused
from tests.unit.test_graph_loading import (
    EXAMPLES,
    SUPPORT,
    THREAD,
    default_reply,
    folder,
    load,
    refusal,
    write,
    write_project,
)

__all__ = ["folder"]

BROKEN: dict[str, Any] = {
    "raises": "./raises.py:graph",
    "exits": "./exits.py:graph",
    "missing": "./missing.py:graph",
    "absent": "./good.py:absent",
    "javascript": "./agent.ts:graph",
    "number": 1,
}


@pytest.fixture
def project(folder: Path) -> Path:
    """A folder with a good graph and bad ones."""
    write("good.py", SUPPORT)
    write("raises.py", "1 / 0\n")
    write("exits.py", "import sys\nsys.exit(3)\n")
    return folder


async def test_one_broken_graph_among_good_ones_leaves_the_good_ones_served(project, caplog):
    write_project({"good": "./good.py:support", **BROKEN, "other": "./good.py:support"})
    graphs = await load(langgraph_json="langgraph.json")
    assert graphs.names == ["good", "other", "concierge", "echo"]
    assert await default_reply(graphs) == "hello from good"
    assert len(graphs.left_out) == len(BROKEN)
    for line in graphs.left_out:
        assert line.startswith("LANGGRAPH_JSON=langgraph.json, graph ")
        assert "\n" not in line
        assert caplog.text.count(line) == 1


async def test_the_next_graph_is_the_default_when_the_first_is_broken(project, caplog):
    write_project({"raises": "./raises.py:graph", "good": "./good.py:support"})
    assert (await load(langgraph_json="langgraph.json")).default == "good"
    assert "good is the default graph, since raises cannot be served" in caplog.text


@pytest.mark.parametrize("name", BROKEN)
async def test_a_node_does_not_start_when_the_graph_that_was_asked_for_is_broken(project, name):
    write_project({"good": "./good.py:support", **BROKEN})
    assert f"graph {name}" in await refusal(name, langgraph_json="langgraph.json")


async def test_a_node_does_not_start_when_no_graph_of_the_project_can_be_served(project):
    write_project(BROKEN)
    assert "ZeroDivisionError" in await refusal(langgraph_json="langgraph.json")


# --- names


@pytest.mark.parametrize(
    ("name", "graph_id", "title"),
    [
        ("My Agent", "My-Agent", "My Agent"),
        ("support/first line", "support-first-line", "support/first line"),
        ("  spaced  out ", "spaced-out", "spaced out"),
        ("客服", "graph-3cac4d72", "客服"),
        ("a" * 70, "a" * 64, "a" * 70),
        ("_private", "private", "_private"),
    ],
)
async def test_a_name_of_other_characters_is_mapped_to_an_id_and_people_read_it_as_written(
    project, name, graph_id, title
):
    write_project({name: "./good.py:support"})
    graphs = await load(langgraph_json="langgraph.json")
    assert graphs.default == graph_id
    assert graphs.titles == {graph_id: title}
    assert set(graphs.compile(InMemorySaver())) == {graph_id, "concierge", "echo"}
    assert (await load(title, langgraph_json="langgraph.json")).default == graph_id


async def test_of_two_graphs_with_one_id_the_one_that_is_called_so_keeps_it(project, caplog):
    good = "./good.py:support"
    write_project({"My Agent": "./raises.py:graph", "My-Agent": good, "My  Agent": good})
    graphs = await load(langgraph_json="langgraph.json")
    assert (graphs.default, graphs.titles) == ("My-Agent", {})
    assert "graph My Agent: its id My-Agent is that of another graph. Rename one of the two" in caplog.text
    assert "graph My  Agent: its id My-Agent is that of another graph" in caplog.text


# --- what else the file says


async def test_each_key_that_a_node_does_not_use_is_told_once_with_what_it_has_instead(project, caplog):
    write_project(
        {"good": "./good.py:support"},
        auth={"path": "./auth.py:auth"},
        http={"app": "./app.py:app"},
        checkpointer={"ttl": {"default_ttl": 60}},
        ui={"agent": "./ui.tsx"},
        webhooks={"url": "https://example.com"},
        dockerfile_lines=["RUN true"],
        image_distro="wolfi",
        pip_config_file="",
        python_version="2.7",
        **{"$schema": "https://langgra.ph/schema.json"},
    )
    await load(langgraph_json="langgraph.json")
    lines = [record.getMessage() for record in caplog.records]
    for key in ("auth", "http", "checkpointer", "ui", "webhooks"):
        assert [f": {key} is not used: " in line for line in lines].count(True) == 1
    assert f"python_version is 2.7, and this node runs on Python {platform.python_version()}" in caplog.text
    assert "not used here: dockerfile_lines, image_distro" in lines[-1]
    assert len(lines) == 7


async def test_what_a_node_does_not_miss_is_not_told(project, caplog):
    write_project({"good": "./good.py:support"}, dockerfile_lines=[], python_version=platform.python_version()[:4])
    await load(langgraph_json="langgraph.json")
    assert caplog.records == []


async def test_a_dependency_that_is_not_there_is_told(project, caplog):
    write_project(
        {"good": "./good.py:support"},
        dependencies=[
            ".",
            "./lib",
            "langgraph>=1",
            "langchain_core",
            "no-such-package[x]>=2",
            "git+https://a.example/b",
        ],
    )
    assert (await load(langgraph_json="langgraph.json")).default == "good"
    assert [record.getMessage() for record in caplog.records] == [
        f"LANGGRAPH_JSON=langgraph.json: its dependency ./lib is no folder. Write a folder relative to {project}",
        "LANGGRAPH_JSON=langgraph.json: its dependency no-such-package[x]>=2 is not installed. "
        "Run pip install 'no-such-package[x]>=2'",
    ]


async def test_the_store_of_a_project_is_handed_on_with_its_own_embedding_function(project):
    write("embed.py", "def embed(texts):\n    return [[1.0] for _ in texts]\n")
    index = {"dims": 1, "embed": "./embed.py:embed", "fields": ["$"]}
    write_project({"good": "./good.py:support"}, store={"index": index, "ttl": {"default_ttl": 60}})
    config = (await load(langgraph_json="langgraph.json")).store_config
    assert config["index"].pop("embed")(["a"]) == [[1.0]]
    assert config == {"index": {"dims": 1, "fields": ["$"]}, "ttl": {"default_ttl": 60}}


async def test_the_name_of_an_embedding_model_is_handed_on_as_it_is(project):
    index = {"dims": 1536, "embed": "openai:text-embedding-3-small"}
    write_project({"good": "./good.py:support"}, store={"index": index})
    assert (await load(langgraph_json="langgraph.json")).store_config == {"index": index}


@pytest.mark.parametrize(
    ("store", "told"),
    [
        (3, "its store is wrong and not used"),
        ({"index": 3}, "the index of its store is no object"),
        ({"index": {"embed": "./nowhere.py:embed"}}, "there is no file nowhere.py"),
    ],
)
async def test_a_store_that_cannot_be_used_is_told_and_the_graphs_are_served(project, caplog, store, told):
    write_project({"good": "./good.py:support"}, store=store)
    graphs = await load(langgraph_json="langgraph.json")
    assert (graphs.default, graphs.store_config) == ("good", {})
    assert told in caplog.text


# --- factories as LangGraph's own server calls them

RUNTIME = """
from dataclasses import dataclass
from langchain_core.runnables import RunnableConfig
from langgraph_sdk.runtime import ServerRuntime

seen = []

@dataclass
class Context:
    colour: str = "blue"

def note(runtime):
    seen.append(runtime)
    return build()

"""


@pytest.mark.parametrize(
    "factory",
    [
        "def agent(runtime: ServerRuntime):\n    return note(runtime)",
        "def agent(runtime: ServerRuntime[Context]):\n    return note(runtime)",
        "async def agent(config: RunnableConfig, runtime: ServerRuntime):\n    return note(runtime)",
        "@asynccontextmanager\nasync def agent(*, runtime: 'ServerRuntime'):\n    yield note(runtime)",
    ],
)
async def test_a_factory_that_takes_a_server_runtime_is_given_one(folder, factory):
    write("mine.py", SUPPORT + RUNTIME + factory)
    graphs = await load("mine:agent")
    assert await default_reply(graphs) == "hello from mine"
    runtime = sys_module("mine").seen[0]
    assert (runtime.access_context, runtime.user) == ("threads.create_run", None)
    assert runtime.execution_runtime is runtime
    assert getattr(runtime.context, "colour", "blue") == "blue"


async def test_the_store_of_a_server_runtime_is_the_deployments_once_that_is_there(folder):
    from langgraph.store.memory import InMemoryStore

    write(
        "mine.py",
        SUPPORT + RUNTIME + "def agent(runtime: ServerRuntime):\n    return note(runtime)",
    )
    graphs = await load("mine:agent")
    early = sys_module("mine").seen[0].store
    with pytest.raises(RuntimeError, match="the store is not there yet"):
        await early.aput(("a",), "b", {"c": 1})
    store = InMemoryStore()
    assert graphs.compile(InMemorySaver(), store)["agent"].store is store
    await early.aput(("a",), "b", {"c": 1})
    found = store.get(("a",), "b")
    assert found is not None
    assert found.value == {"c": 1}


def sys_module(name: str) -> Any:
    import sys

    return sys.modules[name]


async def test_an_adapter_is_refused_for_a_graph_of_the_project_or_of_ours(project):
    with pytest.raises(BadGraph, match='write "input" and "output" beside its "path"'):
        await load("echo", graph_input="question")


# --- the examples


async def test_the_example_of_graphs_without_messages_is_served(folder, monkeypatch):
    monkeypatch.chdir(EXAMPLES / "question_answer")
    graphs = await load(langgraph_json="./langgraph.json")
    assert graphs.names == ["qa", "diary", "concierge", "echo"]
    compiled = graphs.compile(InMemorySaver())
    for name, answers in {"qa": ["1 words, and no answer yet."] * 2, "diary": ["one", "one\ntwo"]}.items():
        adapter = graphs.served[name].adapter
        assert adapter is not None
        thread: RunnableConfig = {"configurable": {"thread_id": name}}
        for text, answer in zip(("one", "two"), answers, strict=True):
            state = await compiled[name].ainvoke(adapter.input(HumanMessage(text)), thread)
            assert adapter.answer(state) == answer


async def test_the_example_of_a_context_asks_for_a_product_and_greets_the_person(folder, monkeypatch):
    monkeypatch.chdir(EXAMPLES / "context")
    graphs = await load("support:graph")
    context = graphs.served["support"].context
    assert context is not None
    with pytest.raises(Refused, match=r"context\.product: Field required"):
        graphs.context_checks["support"](None)
    config = THREAD["configurable"] | {"langgraph_auth_user": {"display_name": "Ann"}}
    given: Any = {"messages": [HumanMessage("help")]}
    graph = graphs.compile(InMemorySaver())["support"]
    state = await graph.ainvoke(given, {"configurable": config}, context=context.make({"product": "kettle"}))
    assert state["messages"][-1].text == "Hello Ann! What is wrong with your kettle?"


async def test_a_module_that_a_newer_version_of_a_library_does_not_have_is_told(folder):
    write("mine.py", "from langchain_core.pydantic_v1 import BaseModel\n")
    assert "Install the version of langchain_core that the code was written for" in await refusal("mine:graph")
