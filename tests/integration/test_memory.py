"""The store of graphs: it does as LangGraph's own in memory does, is the same on every node, and is bounded."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from langchain_core.messages import AIMessage
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.runtime import Runtime
from langgraph.store.base import BaseStore, GetOp, IndexConfig, PutOp, SearchOp
from langgraph.store.memory import InMemoryStore
from redis.crc import key_slot

from sio_server.dialog.memory import RedisStore
from sio_server.dialog.memory.items import MAX_VALUE_BYTES, BadItem
from sio_server.dialog.memory.store import AT_ONCE, MAX_LIMIT
from sio_server.dialog.savers.errors import StoreLost
from sio_server.store.connection import connect, connect_patient
from sio_server.store.keys import MemoryKeys
from sio_server.store.partitions import partition

pytest_plugins = ["tests.served.dialog_fixtures", "tests.served.fixtures"]


@pytest.fixture
async def store(lone_redis) -> AsyncIterator[RedisStore]:
    redis = connect(lone_redis.redis_url)
    await redis.flushall()
    yield RedisStore(redis)
    await redis.aclose()


def embed(texts: Any) -> list[list[float]]:
    """A meaning that a test can foresee: how often a text has an a, a b, a c."""
    return [[text.count("a"), text.count("b"), text.count("c") + 0.1] for text in texts]


INDEX: IndexConfig = {"dims": 3, "embed": embed, "fields": ["text"]}

ITEMS: list[tuple[tuple[str, ...], str, dict[str, Any]]] = [
    (("people", "ann"), "k1", {"n": 1, "text": "aaa", "tags": ["x"], "deep": {"on": True, "more": 1}}),
    (("people", "ann"), "k2", {"n": 2.5, "text": "你好 😀"}),
    (("people", "ann", "notes"), "k1", {"n": 3, "date": "2026-01-02"}),
    (("people", "bob"), "k \0 1", {"n": 4, "text": None}),
    (("peopleless",), "k1", {"n": 5, "text": "b"}),
    (("😀",), "", {"n": 6}),
]
SEARCHES: list[tuple[tuple[str, ...], dict[str, Any] | None]] = [
    ((), None),
    (("people",), None),
    (("people", "ann"), None),
    (("peop",), None),
    (("😀",), None),
    ((), {"n": 3}),
    ((), {"n": {"$gte": 2.5, "$lt": 5}}),
    ((), {"n": {"$ne": 1}}),
    ((), {"n": {"$gt": 2}, "text": {"$eq": None}}),
    (("people",), {"tags": ["x"]}),
    (("people",), {"deep": {"on": True}}),
    (("people",), {"n": {"$lte": 2}}),
]
LISTS: list[dict[str, Any]] = [
    {},
    {"max_depth": 1},
    {"prefix": ("people",)},
    {"prefix": ("people", "*", "notes")},
    {"prefix": ("*", "ann"), "max_depth": 2},
    {"suffix": ("ann",)},
    {"suffix": ("*", "notes"), "prefix": ("people",)},
    {"limit": 2, "offset": 1},
]


async def test_the_store_does_what_langgraphs_own_does(store):
    other = InMemoryStore()
    for one in (store, other):
        for namespace, key, value in ITEMS:
            await one.aput(namespace, key, value)
    for namespace, key, value in ITEMS:
        item = await store.aget(namespace, key)
        assert (item.namespace, item.key, item.value) == (namespace, key, value)

    def names(found: Any) -> list[Any]:
        return sorted((item.namespace, item.key, repr(item.value)) for item in found)

    for prefix, wanted in SEARCHES:
        mine, its = [names(await one.asearch(prefix, filter=wanted)) for one in (store, other)]
        assert mine == its, (prefix, wanted)
    for conditions in LISTS:
        mine, its = [await one.alist_namespaces(**conditions) for one in (store, other)]
        assert mine == its, conditions
    for one in (store, other):
        await one.adelete(("people", "ann"), "k1")
        await one.adelete(("people", "ann"), "never there")
        assert await one.aget(("people", "ann"), "k1") is None
    assert names(await store.asearch(())) == names(await other.asearch(()))


async def test_what_is_found_comes_newest_first_in_pages(store):
    for number in range(7):
        await store.aput(("n",), str(number), {"n": number})
    await store.aput(("n",), "2", {"n": 2})
    order = ["2", "6", "5", "4", "3", "1", "0"]
    assert [item.key for item in await store.asearch(("n",))] == order
    pages = [await store.asearch(("n",), limit=3, offset=offset) for offset in (0, 3, 6, 9)]
    assert [item.key for page in pages for item in page] == order
    filtered = await store.asearch(("n",), filter={"n": {"$gt": 1}}, limit=2, offset=2)
    assert [item.key for item in filtered] == ["5", "4"]


async def test_more_items_than_one_reply_holds_are_all_searched(store):
    many = AT_ONCE + 5
    await store.abatch([PutOp(("many", str(n % 3)), str(n), {"n": n, "text": "x" * 3000}) for n in range(many)])
    assert len(await store.asearch(("many",), limit=MAX_LIMIT)) == many
    (found,) = await store.asearch(("many",), filter={"n": 0})
    assert found.key == "0"


async def test_an_item_keeps_the_time_of_its_making_and_a_repeated_write_changes_no_value(store):
    before = datetime.now(UTC)
    await store.aput(("a",), "k", {"n": 1})
    first = await store.aget(("a",), "k")
    await store.aput(("a",), "k", {"n": 1})
    second = await store.aget(("a",), "k")
    assert first.created_at == first.updated_at == second.created_at < second.updated_at
    assert abs((first.created_at - before).total_seconds()) < 5
    assert first.value == second.value


async def test_items_expire_after_their_lifetime_which_reading_begins_again(store):
    async def lifetime(key: str) -> float:
        keys = MemoryKeys(number)
        at: Any = await store._redis.zscore(keys.expiries, f"a\0\0{key}")
        return float(at) / 1e6 - float((await store._redis.time())[0])

    number = partition("a")
    await store.aput(("a",), "long", {"n": 1}, ttl=10)
    await store._redis.zadd(MemoryKeys(number).expiries, {"a\0\0long": 9e15})
    for refresh, changed in ((False, False), (True, True)):
        await store.aget(("a",), "long", refresh_ttl=refresh)
        assert (await lifetime("long") < 601) == changed
    await store.aput(("a",), "short", {"n": 1}, ttl=0.02 / 60)
    await store.aput(("a",), "kept", {"n": 1}, ttl=0.02 / 60)
    await store.aput(("a",), "kept", {"n": 2})
    await asyncio.sleep(0.03)  # the item's own time, on the clock of Redis
    assert await store.aget(("a",), "short") is None
    assert {item.key for item in await store.asearch(("a",))} == {"long", "kept"}


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ({"when": {"at": [datetime(2026, 1, 1)]}}, r"the value\.when\.at\[0\] is datetime"),
        ({"n": {1: 2}}, "has the key 1"),
        ({"n": float("nan")}, r"the value\.n is nan"),
        ({"n": {1, 2}}, r"the value\.n is"),
        ({"n": "\ud800"}, "half of a character"),
        ({"n": "x" * MAX_VALUE_BYTES}, f"is {MAX_VALUE_BYTES} bytes at most"),
    ],
    ids=["date", "number as a key", "not a number", "set", "surrogate", "too large"],
)
async def test_what_would_come_back_as_another_or_is_too_large_is_refused_with_its_place(store, value, told):
    with pytest.raises(BadItem, match=told):
        await store.aput(("a",), "k", value)
    assert await store.aget(("a",), "k") is None


@pytest.mark.parametrize(
    "op",
    [
        SearchOp((), limit=MAX_LIMIT + 1),
        SearchOp((), offset=-1),
        SearchOp((), filter={"n": {"$regex": "x"}}),
        GetOp((), "k"),
        GetOp(("a\0",), "k"),
        PutOp(("a",), "k" * 3000, {}),
    ],
)
async def test_an_operation_beyond_its_bounds_is_refused(store, op):
    await store.aput(("a",), "k", {"n": 1})
    with pytest.raises(BadItem):
        await store.abatch([op])


async def test_threads_may_call_without_await_and_the_loop_of_the_graphs_is_told_to_await(store):
    await asyncio.to_thread(store.put, ("a",), "k", {"n": 1})
    item = await asyncio.to_thread(store.get, ("a",), "k")
    assert item.value == {"n": 1}
    with pytest.raises(asyncio.InvalidStateError, match=r"await store\.aget"):
        store.get(("a",), "k")


async def test_a_redis_that_is_away_is_told_as_our_store():
    async with connect("redis://127.0.0.1:1/0") as redis:
        with pytest.raises(StoreLost):
            await RedisStore(redis).aget(("a",), "k")


def test_the_keys_of_a_partition_share_a_slot():
    for number in range(16):
        assert len({key_slot(key.encode()) for key in MemoryKeys(number).all}) == 1


# By meaning


async def test_items_are_found_by_meaning_where_redis_has_search(store):
    store = RedisStore(store._redis, index=INDEX)
    await store.set_up()
    await RedisStore(store._redis, index=INDEX).set_up()  # as the next node does
    for key, text in {"a": "aaa", "b": "bb", "c": "ccc"}.items():
        await store.aput(("m", "in"), key, {"text": text, "n": len(text)})
    await store.aput(("other",), "b", {"text": "bbbb"})
    await store.aput(("m",), "unindexed", {"text": "bbb"}, index=False)

    async def nearest(*prefix: str, **how: Any) -> list[str]:
        return [item.key for item in await store.asearch(prefix, query="b", **how)]

    assert await nearest("m", limit=1) == ["b"]
    assert len(await nearest("m")) == 3
    assert (await nearest())[:2] == ["b", "b"]
    assert set(await nearest("m", filter={"n": 3})) == {"a", "c"}
    (best,) = await store.asearch(("m",), query="b", limit=1)
    assert best.score == pytest.approx(1, abs=0.01)
    await store.aput(("m", "in"), "b", {"text": "ccccc"})
    assert (await nearest("m"))[0] != "b" or len(await nearest("m")) == 3
    await store.adelete(("m", "in"), "b")
    assert set(await nearest("m")) == {"a", "c"}


async def test_without_search_the_search_by_meaning_is_named_as_off_and_the_rest_works(store, caplog):
    store = RedisStore(store._redis, index=INDEX)
    await store._redis.execute_command("ACL", "SETUSER", "default", "-ft.create")
    try:
        await store.set_up()
    finally:
        await store._redis.execute_command("ACL", "SETUSER", "default", "+ft.create")
    assert "vector search is off" in caplog.text
    await store.aput(("m",), "k", {"text": "a"})
    assert [item.score for item in await store.asearch(("m",), query="b")] == [None]


async def test_a_failure_of_the_embeddings_is_the_graphs_own(store):
    def away(texts: Any) -> Any:
        raise ConnectionError("the provider is away")

    store = RedisStore(store._redis, index={**INDEX, "embed": away})
    await store.set_up()
    with pytest.raises(ConnectionError):
        await store.aput(("m",), "k", {"text": "a"})


# In graphs


async def test_a_graph_reads_and_writes_the_store_from_coroutines_and_threads(store):
    async def note(state: MessagesState, runtime: Runtime[None]) -> Any:
        assert runtime.store is not None
        await runtime.store.aput(("seen",), "k", {"text": state["messages"][-1].text})
        return {}

    def tell(state: MessagesState, *, store: BaseStore) -> Any:
        item = store.get(("seen",), "k")
        assert item is not None
        return {"messages": [AIMessage(item.value["text"])]}

    builder = StateGraph(MessagesState)
    builder.add_node("note", note)
    builder.add_node("tell", tell)
    builder.add_edge(START, "note")
    builder.add_edge("note", "tell")
    given: Any = {"messages": [("user", "hello")]}
    said = await builder.compile(store=store).ainvoke(given)
    assert said["messages"][-1].text == "hello"


async def test_langmems_tools_manage_and_search_what_is_remembered(store):
    langmem = pytest.importorskip("langmem")
    config: Any = {"configurable": {"langgraph_user_id": "ann"}}
    namespace = ("memories", "{langgraph_user_id}")
    manage = langmem.create_manage_memory_tool(namespace=namespace, store=store)
    search = langmem.create_search_memory_tool(namespace=namespace, store=store)
    await manage.ainvoke({"content": "Ann likes tea", "action": "create"}, config)
    assert "Ann likes tea" in str(await search.ainvoke({"query": "tea"}, config))
    (item,) = await store.asearch(("memories", "ann"))
    await manage.ainvoke({"action": "delete", "id": item.key}, config)
    assert await store.asearch(("memories",)) == []


async def test_what_a_graph_keeps_in_the_store_is_there_in_other_conversations_on_other_nodes(devices):
    for node, text, told in ((0, "one", "one"), (1, "two", "one two"), (2, "three", "one three two")):
        device = await devices.start("keeper", node=node)
        ack = await device.conversation.send(text)
        assert (await device.ended(ack.run_id)).text == told


async def test_a_search_for_nothing_finds_nothing(store):
    await store.aput(("people",), "k", {"n": 1})
    assert await store.asearch(("people",), filter={"n": 1}, limit=0) == []


async def test_many_calls_at_once_wait_for_a_connection(lone_redis):
    redis = connect_patient(lone_redis.redis_url)
    await redis.client_pause(1500)  # a command of run control waits 1.4 s
    try:
        await asyncio.gather(*(RedisStore(redis).aput(("many",), str(n), {}) for n in range(200)))
    finally:
        await redis.aclose()
