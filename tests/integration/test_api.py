"""The API for backends: what a service does without a socket, and how devices see it."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import pytest
from redis.asyncio import Redis

from sio_clients import connect_guest
from sio_server.local.cluster import LocalCluster
from sio_server.protocol.errors import RoomgraphError
from sio_server.protocol.server_events import check_event
from sio_server.store.keys import REQUEST_KEPT_MS, conversation_keys, user_conversations
from tests.conftest import NODE_SETTINGS, cluster_in
from tests.waiting import poll

BILLING = "the-key-of-billing-that-nobody-can-guess"
NEW_BILLING = "the-next-key-of-billing-that-nobody-can-guess"
SHOP = "the-key-of-the-shop-that-nobody-can-guess"
KEYS = f"billing:{BILLING},billing:{NEW_BILLING},shop:sha256.{hashlib.sha256(SHOP.encode()).hexdigest()}"


@pytest.fixture(scope="module")
async def cluster(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LocalCluster]:
    """Two nodes that serve the API."""
    settings = {**NODE_SETTINGS, "SERVICE_KEYS": KEYS, "CHECKPOINTER": "plain"}
    async with cluster_in(tmp_path_factory.mktemp("cluster"), settings, nodes=2) as running:
        yield running


class Api:
    """A backend, which uses another node for each request in turn."""

    def __init__(self, http: aiohttp.ClientSession, urls: list[str], key: str) -> None:
        self._http, self._urls = http, urls
        self._headers = {"Authorization": f"Bearer {key}"}

    async def ask(
        self, method: str, path: str, body: Any = None, *, key: str = "", **query: Any
    ) -> tuple[int, dict[str, Any]]:
        self._urls = self._urls[1:] + self._urls[:1]
        headers = self._headers | ({"Idempotency-Key": key} if key else {})
        url = f"{self._urls[0]}/api/v1{path}"
        async with self._http.request(method, url, json=body, params=query, headers=headers) as response:
            return response.status, await response.json()

    async def done(self, method: str, path: str, body: Any = None, *, key: str = "", **query: Any) -> Any:
        status, answer = await self.ask(method, path, body, key=key, **query)
        assert status in (200, 201), answer
        return answer

    async def refused(self, method: str, path: str, body: Any = None, *, key: str = "", **query: Any) -> Any:
        status, answer = await self.ask(method, path, body, key=key, **query)
        return status, answer["error"]["code"]


ApiFactory = Callable[[str], Api]


@pytest.fixture
async def api_with(cluster: LocalCluster) -> AsyncIterator[ApiFactory]:
    async with aiohttp.ClientSession() as http:
        yield lambda key: Api(http, list(cluster.urls), key)


@pytest.fixture
def api(api_with: ApiFactory) -> Api:
    return api_with(BILLING)


RawFactory = Callable[..., Awaitable[Any]]


async def conversation_of(api: Api, *users: str, **settings: Any) -> str:
    """A conversation of these users, the first of whom owns it."""
    owner, *members = ({"user_id": user} for user in users)
    body = {"user": owner, "members": members, "agent": "off", **settings}
    return str((await api.done("POST", "/conversations", body))["conversation_id"])


# Keys


async def test_each_of_a_services_keys_names_the_service(api_with: ApiFactory) -> None:
    for key, name in ((BILLING, "billing"), (NEW_BILLING, "billing"), (SHOP, "shop")):
        api = api_with(key)
        where = (await api.done("POST", "/conversations", {"title": "T", "agent": "off"}))["conversation_id"]
        page = await api.done("GET", f"/conversations/{where}/entries")
        assert page["entries"][0]["data"]["user_id"] == f"service:{name}"
        assert page["entries"][0]["data"]["name"] == name


async def test_without_a_key_of_a_service_nothing_is_done(api_with: ApiFactory, cluster: LocalCluster) -> None:
    assert await api_with(BILLING + "x").refused("POST", "/conversations", {}) == (401, "token_invalid")
    assert await api_with("").refused("GET", "/conversations/x") == (401, "token_invalid")
    async with (
        aiohttp.ClientSession() as http,
        http.get(f"{cluster.urls[0]}/api/v1/conversations/x") as response,
    ):
        assert (response.status, (await response.json())["error"]["code"]) == (401, "token_missing")


async def test_without_keys_there_is_no_api(start_cluster: Any) -> None:
    alone = await start_cluster(1)
    async with aiohttp.ClientSession() as http, http.get(f"{alone.urls[0]}/api/v1/openapi.json") as response:
        assert response.status == 404


@pytest.mark.faults
async def test_a_limit_is_a_services_with_all_its_keys(start_cluster: Any) -> None:
    alone = await start_cluster(1, SERVICE_KEYS=KEYS, RATE_LIMIT_SERVICE="3/hour")
    url = f"{alone.urls[0]}/api/v1/users/ann/conversations"
    async with aiohttp.ClientSession() as http:
        for key, status in ((BILLING, 200), (NEW_BILLING, 200), (BILLING, 200), (NEW_BILLING, 429), (SHOP, 200)):
            async with http.get(url, headers={"Authorization": f"Bearer {key}"}) as response:
                assert response.status == status
                if status == 429:
                    error = (await response.json())["error"]
                    assert (error["code"], error["retryable"]) == ("rate_limited", True)
                    assert 0 < int(response.headers["Retry-After"]) <= 1200


async def test_no_person_may_have_the_id_of_a_service(api: Api) -> None:
    body = {"user": {"user_id": "service:billing"}, "text": "hi"}
    assert await api.refused("POST", "/conversations/x/messages", body) == (400, "invalid_payload")


# Messages


async def test_a_message_of_a_service_reaches_members_though_it_is_none(api: Api, raw_client: RawFactory) -> None:
    ann = await raw_client()
    where = await conversation_of(api, ann.user_id)
    await ann.call("session:sync", {"positions": {where: None}})
    sent = await api.done("POST", f"/conversations/{where}/messages", {"text": "Your invoice is ready."})
    entry = await ann.event("entry:appended", conversation_id=where, seq=sent["seq"])
    assert (entry["data"]["user_id"], entry["data"]["text"]) == ("service:billing", "Your invoice is ready.")
    members = await api.done("GET", f"/conversations/{where}/members")
    assert [one["user_id"] for one in members["members"]] == [ann.user_id]


async def test_a_bot_posts_only_where_it_is_a_member(api: Api) -> None:
    where = await conversation_of(api, "ann")
    body = {"user": {"user_id": "bot", "name": "The bot"}, "text": "hi"}
    posting = f"/conversations/{where}/messages"
    assert await api.refused("POST", posting, body) == (404, "unknown_conversation")
    await api.done("PUT", f"/conversations/{where}/members/bot", {"name": "The bot"})
    seq = (await api.done("POST", posting, body))["seq"]
    page = await api.done("GET", f"/conversations/{where}/entries", after=seq - 1)
    assert page["entries"][0]["data"] | {"request_id": ""} == {
        **{"role": "user", "user_id": "bot", "name": "The bot", "device_id": "api", "request_id": ""},
        "text": "hi",
    }


async def test_the_same_key_again_gives_the_first_answer_and_another_body_is_refused(
    api: Api, new_id: str
) -> None:
    created = {"title": "Plans", "agent": "off", "members": [{"user_id": "bob"}]}
    first = await api.done("POST", "/conversations", created, key=new_id)
    assert await api.done("POST", "/conversations", created, key=new_id) == first
    where = first["conversation_id"]
    for path, body, other in (
        ("messages", {"text": "one"}, {"text": "two"}),
        ("messages", {"text": "one", "run": False}, {"text": "one"}),
        ("invitations", {"user_ids": ["cat"]}, {"user_ids": ["dan"]}),
    ):
        key = uuid.uuid4().hex
        answer = await api.done("POST", f"/conversations/{where}/{path}", body, key=key)
        assert await api.done("POST", f"/conversations/{where}/{path}", body, key=key) == answer
        refusal = await api.refused("POST", f"/conversations/{where}/{path}", other, key=key)
        assert refusal == (422, "request_id_reused")
    seqs = [e["seq"] for e in (await api.done("GET", f"/conversations/{where}/entries"))["entries"]]
    assert seqs == [1, 2, 3, 4]  # created, joined, two messages


async def test_a_message_may_name_the_one_before_it(api: Api) -> None:
    where = await conversation_of(api, "ann")
    posting = f"/conversations/{where}/messages"
    assert await api.refused("POST", posting, {"text": "2", "after": "m1"}, key="m2") == (409, "out_of_order")
    await api.done("POST", posting, {"text": "1"}, key="m1")
    await api.done("POST", posting, {"text": "2", "after": "m1"}, key="m2")


@pytest.mark.parametrize(
    ("body", "status"),
    [({"text": ""}, 400), ({"text": 7}, 400), ({"txt": "x"}, 400), ({"text": "x" * 20_000}, 413)],
)
async def test_a_wrong_message_is_refused(api: Api, body: Any, status: int) -> None:
    assert (await api.refused("POST", "/conversations/x/messages", body))[0] == status


async def test_a_message_may_be_as_long_as_one_of_a_device(api: Api) -> None:
    where = await conversation_of(api, "ann")
    posting = f"/conversations/{where}/messages"
    await api.done("POST", posting, {"text": '"' * 16_384})
    assert await api.refused("POST", posting, {"text": "x" * 16_385}) == (413, "payload_too_large")
    assert await api.refused("POST", posting, {"text": "x" * 140_000}) == (413, "payload_too_large")


# Runs


async def test_a_run_is_started_read_and_leaves_its_answer(api: Api) -> None:
    where = await conversation_of(api, "ann")
    run_id = (await api.done("POST", f"/conversations/{where}/runs", {"text": "hello"}))["run_id"]

    async def ended() -> bool:
        read = await api.done("GET", f"/conversations/{where}/runs/{run_id}")
        assert read["run_id"] == run_id
        return bool(read["final"])

    await poll(ended, "the end of the run")
    read = await api.done("GET", f"/conversations/{where}/runs/{run_id}")
    assert (read["status"], read["final"]["type"], read["final"]["data"]["run_id"]) == (
        "answered",
        "answer",
        run_id,
    )
    assert (await api.done("GET", f"/conversations/{where}/runs"))["runs"] == []
    assert await api.refused("GET", f"/conversations/{where}/runs/r-other") == (404, "not_found")


async def test_whether_the_agent_answers_is_the_services_choice(api: Api) -> None:
    silent, chatty = await conversation_of(api, "ann"), await conversation_of(api, "ann", agent="always")
    for where, run, begins in ((silent, None, False), (silent, True, True), (chatty, False, False)):
        sent = await api.done("POST", f"/conversations/{where}/messages", {"text": "hello", "run": run})
        assert (sent["run_id"] is not None) == begins


async def test_runs_are_stopped(api: Api) -> None:
    where = await conversation_of(api, "ann")
    runs = [
        (await api.done("POST", f"/conversations/{where}/runs", {"text": "tell me everything"}))["run_id"]
        for _ in range(3)
    ]
    stopped = await api.done("POST", f"/conversations/{where}/runs/{runs[2]}/stop")
    assert stopped["stopped"] == [runs[2]]
    rest = await api.done("POST", f"/conversations/{where}/runs/stop", {"user": {"user_id": "ann"}})
    assert set(rest["stopped"]) <= set(runs[:2])
    read = await api.done("GET", f"/conversations/{where}/runs/{runs[2]}")
    assert (read["status"], read["final"]["data"]["by"]["user_id"]) == ("stopped", "service:billing")


async def test_a_question_is_answered(api: Api) -> None:
    where = await conversation_of(api, "ann", approvals="owner")
    await api.done(
        "POST", f"/conversations/{where}/runs", {"text": "book a room for a workshop tomorrow at 10 for 6 people"}
    )

    async def asked() -> bool:
        return bool((await api.done("GET", f"/conversations/{where}"))["interrupts"])

    await poll(asked, "the question")
    question = (await api.done("GET", f"/conversations/{where}"))["interrupts"][0]
    value = question["form"]["options"][0]["value"]
    answering = f"/conversations/{where}/interrupts/{question['interrupt_id']}"
    assert await api.refused("POST", answering, {"value": ["not", "offered"]}) == (400, "invalid_payload")
    answer = await api.done("POST", answering, {"value": value}, key="a1")
    assert (answer["value"], answer["by"]["user_id"]) == (value, "service:billing")
    assert await api.done("POST", answering, {"value": value}, key="a1") == answer
    assert await api.refused("POST", answering, {"value": value}) == (409, "already_resolved")
    assert await api.refused("POST", answering, {"value": None}) == (400, "invalid_payload")


# Members


async def test_a_removed_member_is_told_and_receives_nothing_later(api: Api, raw_client: RawFactory) -> None:
    ann, bob = await raw_client(0), await raw_client(1, name="Bob")
    where = await conversation_of(api, ann.user_id, bob.user_id)
    for client in (ann, bob):
        await client.event("conversation:changed", conversation_id=where, change="joined")
        await client.call("session:sync", {"positions": {where: None}})
    removed = await api.done("DELETE", f"/conversations/{where}/members/{bob.user_id}")
    assert removed["left"] is True
    entry = await ann.event("entry:appended", conversation_id=where, type="member_left")
    check_event("entry:appended", entry)
    assert (entry["data"]["user_id"], entry["data"]["by"]["user_id"]) == (bob.user_id, "service:billing")
    await bob.event("conversation:changed", conversation_id=where, change="left")
    await bob.event("entry:appended", conversation_id=where, type="member_left")
    later = await api.done("POST", f"/conversations/{where}/messages", {"text": "later"})
    await ann.event("entry:appended", conversation_id=where, seq=later["seq"])
    await bob.settled()
    assert later["seq"] not in [e["seq"] for e in bob.named("entry:appended") if e["conversation_id"] == where]
    again = await api.done("DELETE", f"/conversations/{where}/members/{bob.user_id}")
    assert again["left"] is False


async def test_an_invited_user_sees_it_in_the_list(api: Api, raw_client: RawFactory) -> None:
    ann = await raw_client()
    where = await conversation_of(api, "owner", title="Plans")
    invited = await api.done("POST", f"/conversations/{where}/invitations", {"user_ids": [ann.user_id]})
    assert invited["invited"] == [ann.user_id]
    await ann.event("conversation:changed", conversation_id=where, change="invited")
    listed = await api.done("GET", f"/users/{ann.user_id}/conversations")
    assert listed["conversations"] == [{"conversation_id": where, "title": "Plans", "role": "invited"}]
    assert (await ann.call("conversation:join", {"conversation_id": where}))["ok"] is True


async def test_a_new_title_is_told_in_the_order_of_the_log(api: Api, raw_client: RawFactory) -> None:
    ann = await raw_client()
    where = await conversation_of(api, ann.user_id, title="Old")
    await ann.call("session:sync", {"positions": {where: None}})
    for changed in (True, False):
        renamed = await api.done("PATCH", f"/conversations/{where}", {"title": "New"})
        assert renamed == {"conversation_id": where, "title": "New", "changed": changed}
    entry = await ann.event("entry:appended", conversation_id=where, type="conversation_renamed")
    check_event("entry:appended", entry)
    assert entry["data"] == {"user_id": "service:billing", "name": "billing", "title": "New"}
    assert (await api.done("GET", f"/conversations/{where}"))["title"] == "New"
    assert (await api.done("GET", f"/conversations/{where}"))["position"]["seq"] == entry["seq"]


async def test_where_only_the_owner_invites_a_service_does_so_as_well(api: Api) -> None:
    where = await conversation_of(api, "ann", "bob", invites="owner")
    assert (await api.done("GET", f"/conversations/{where}"))["invites"] == "owner"
    inviting, body = f"/conversations/{where}/invitations", {"user_ids": ["cat"]}
    assert await api.refused("POST", inviting, body | {"user": {"user_id": "bob"}}) == (403, "not_allowed")
    assert (await api.done("POST", inviting, body))["invited"] == ["cat"]


# Deletion


async def keys_of(redis: Redis, conversation_id: str) -> list[str]:
    """The keys of a conversation that do not expire by themselves within a day."""
    found = [str(key) async for key in redis.scan_iter(match=f"*{conversation_id}*", count=1000)]
    return [key for key in found if not 0 <= await redis.pttl(key) <= REQUEST_KEPT_MS]


async def test_of_a_deleted_conversation_nothing_is_left(
    api: Api, redis: Redis, raw_client: RawFactory, new_id: str
) -> None:
    ann = await raw_client()
    where = await conversation_of(api, ann.user_id, "bob", agent="always")
    await ann.call("session:sync", {"positions": {where: None}})
    for _ in range(2):
        await api.done("POST", f"/conversations/{where}/messages", {"text": "hello"})
        await ann.call("draft:save", {"conversation_id": where, "text": "unsent"})

    async def idle() -> bool:
        return (await api.done("GET", f"/conversations/{where}"))["runs"] == []

    await poll(idle, "the end of the runs")
    await api.done(
        "POST", f"/conversations/{where}/runs", {"text": "book a room for a workshop tomorrow at 10 for 6 people"}
    )
    long_run = (await api.done("POST", f"/conversations/{where}/runs", {"text": "more"}))["run_id"]
    assert len(await keys_of(redis, where)) > 5
    deleted = await api.done("DELETE", f"/conversations/{where}", key=new_id)
    assert deleted == {"conversation_id": where, "deleted": True}
    # Its runs end in the room before it is gone.
    await ann.event("conversation:reset", conversation_id=where)
    ended = [e["data"]["run_id"] for e in ann.named("entry:appended") if e["type"] == "stopped"]
    assert long_run in ended
    names = [name for name, payload in ann.events if (payload or {}).get("conversation_id") == where]
    last_entry = max(i for i, name in enumerate(names) if name == "entry:appended")
    assert last_entry < names.index("conversation:reset")
    await ann.event("conversation:changed", conversation_id=where, change="left")
    refusal = await ann.call("conversation:join", {"conversation_id": where})
    assert refusal["error"]["code"] == "unknown_conversation"

    async def gone() -> bool:
        return not await keys_of(redis, where)

    await poll(gone, "the deletion of the checkpoints")
    tag = conversation_keys(where).run_prefix
    records = [str(key) async for key in redis.scan_iter(match=f"{tag}*")]
    assert [key for key in records if await redis.hget(key, "conversation_id") == where] == []
    assert await redis.zscore(user_conversations("bob"), where) is None
    assert await api.done("DELETE", f"/conversations/{where}", key=new_id) == deleted
    assert await api.done("DELETE", f"/conversations/{where}") == {**deleted, "deleted": False}
    assert await api.refused("GET", f"/conversations/{where}") == (404, "unknown_conversation")


async def test_the_sdk_forgets_a_deleted_conversation_and_keeps_the_others(
    api: Api, cluster: LocalCluster
) -> None:
    async with connect_guest(cluster.urls, "Ann") as ann:
        kept, lost = await ann.create("Kept", agent="off"), await ann.create("Lost", agent="off")
        await api.done("PATCH", f"/conversations/{kept.id}", {"title": "Renamed"})
        await api.done("DELETE", f"/conversations/{lost.id}")
        with pytest.raises(RoomgraphError) as caught:
            async for _ in lost.entries():
                pass
        assert caught.value.code == "unknown_conversation"
        async for entry in kept.entries():
            if entry.type == "conversation_renamed":
                break
        assert kept.title == "Renamed"
        assert (await kept.send("still here")).seq == 3
