"""Every event x every relation to a conversation x every kind of conversation: what is allowed, and who sees it.

The cells are generated from the events of the protocol, so a new event without a rule fails here. Each has a
conversation of its own on a real cluster. All that outsiders are sent meanwhile is recorded: it must be nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
from typing import Any, NamedTuple
from unittest.mock import Mock

import aiohttp
import pytest

from sio_server.gateway.http.application import make_application
from sio_server.gateway.http.assets import Assets
from sio_server.gateway.http.device import DeviceRoutes
from sio_server.gateway.http.guest import GuestRoutes
from sio_server.gateway.http.health import HealthRoutes
from sio_server.gateway.http.hosts import AllowedHosts
from sio_server.gateway.http.metrics import MetricsRoutes
from sio_server.gateway.http.page import PagePolicy, PageRoutes
from sio_server.gateway.http.stage import TRACE_PATH, Stage, StageRoutes
from sio_server.gateway.http.status import StatusRoutes
from sio_server.protocol.events import REQUESTS, ClientEvent
from tests.conftest import RawClient
from tests.integration.test_sign_out import TOKENS, token_of
from tests.waiting import within

E = ClientEvent
ROLES = ("owner", "member", "invited", "outsider", "left", "operator")
ACCESS = ("invitation", "open")
OUTSIDE = {"invitation": "unknown_conversation", "open": "not_a_member"}


class Rule(NamedTuple):
    """What else an event carries, and with which code (`ok`: done) it is answered inside; outside: `OUTSIDE`."""

    fields: dict[str, Any]
    owner: str = "ok"
    member: str = "ok"
    operator: str | None = None  # None: as any outsider, which an operator is here


# In each conversation the owner's message is entry SEQ, the last one, and no run was ever begun.
SEQ = 4
RULES: dict[ClientEvent, Rule] = {
    E.HISTORY_READ: Rule({}),
    E.LIST_SET: Rule({"pinned": True}),
    E.MESSAGE_SEARCH: Rule({"query": "cell"}),
    E.CONVERSATION_INVITE: Rule({"user_ids": ["somebody"]}),
    E.CONVERSATION_RENAME: Rule({"title": "Renamed"}, member="not_allowed", operator="ok"),
    E.CONVERSATION_CONFIGURE: Rule({"agent": "mention"}, member="not_allowed", operator="ok"),
    E.CONVERSATION_DELETE: Rule({}, member="not_allowed", operator="ok"),
    E.MEMBERS_REMOVE: Rule({"user_id": "somebody"}, member="not_allowed", operator="ok"),
    E.ENTRY_READ: Rule({"seq": SEQ, "page": 0}, owner="not_found", member="not_found"),
    E.MEMBERS_LIST: Rule({}),
    E.MESSAGE_SEND: Rule({"request_id": "cell", "text": "cell"}),
    E.MESSAGE_EDIT: Rule({"request_id": "cell", "text": "cell", "seq": SEQ}, member="not_allowed"),
    E.MESSAGE_DELETE: Rule({"request_id": "cell", "seq": SEQ}, member="not_allowed", operator="ok"),
    E.REACTION_SET: Rule({"request_id": "cell", "seq": SEQ, "reaction": "👍", "set": True}),
    E.FILE_LINK: Rule({"file_id": "f.1"}, owner="not_found", member="not_found"),
    E.RUN_STOP: Rule({}),
    E.RUN_REGENERATE: Rule({"seq": SEQ}, owner="not_latest", member="not_latest"),
    E.INTERRUPT_RESPOND: Rule(
        {"interrupt_id": "i", "value": 1}, owner="unknown_interrupt", member="unknown_interrupt"
    ),
    E.DRAFT_SAVE: Rule({"text": "cell"}),
}


def joining(role: str, access: str) -> str:
    """Members and invited users may; anybody may join an open conversation."""
    return "ok" if role in ("owner", "member", "invited") or access == "open" else "unknown_conversation"


def creating(role: str, access: str) -> str:
    """The owner's repeated request is recognised; else the id is taken. That of a private one cannot be chosen."""
    if access == "invitation":
        return "invalid_payload"
    return "ok" if role == "owner" else "conversation_exists"


def following(role: str, access: str) -> str:
    """Only sessions that follow."""
    return "ok" if role in ("owner", "member") else "not_a_member"


def anybody(role: str, access: str) -> str:
    return "ok"


# Those that are not for members only; what they may tell and do is checked below.
OTHERS = {
    E.CONVERSATION_JOIN: joining,
    E.CONVERSATION_CREATE: creating,
    E.CONVERSATION_LEAVE: anybody,
    E.TYPING_SET: following,
    E.CONVERSATION_LIST: anybody,
    E.SESSION_SYNC: anybody,
    E.MARKS_SET: anybody,
    E.DEVICE_LIST: anybody,
    E.DEVICE_RENAME: anybody,
    E.DEVICE_LINK: anybody,
    E.DEVICE_UNLINK: anybody,
    E.PUSH_SUBSCRIBE: anybody,
    E.DEVICE_SIGN_OUT: anybody,
}


def expected(event: ClientEvent, role: str, access: str) -> str:
    if event in OTHERS:
        return OTHERS[event](role, access)
    rule = RULES[event]
    outside = OUTSIDE[access]
    answers = {"owner": rule.owner, "member": rule.member, "operator": rule.operator or outside}
    return answers.get(role, outside)


def payload(event: ClientEvent, conversation_id: str, access: str) -> dict[str, Any]:
    match event:
        case E.CONVERSATION_CREATE:
            return settings(conversation_id, access)
        case E.TYPING_SET:
            return {"conversation_id": conversation_id, "typing": True}
        case E.CONVERSATION_LIST:
            return {"after": conversation_id[:-1], "limit": 10}
        case E.SESSION_SYNC:
            return {"positions": {conversation_id: None}}
        case E.MARKS_SET:
            return {"marks": {conversation_id: {"read": SEQ, "delivered": SEQ}}}
        case E.DEVICE_LIST:
            return {}
        case E.PUSH_SUBSCRIBE:
            return {"subscription": None}
        case E.DEVICE_RENAME:
            return {"device_id": "other", "device_name": "Cell"}
        case E.DEVICE_LINK:
            return {}
        case E.DEVICE_UNLINK:
            return {"code": "ann.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}
        case E.DEVICE_SIGN_OUT:
            return {"device_id": "other"}
    fields = RULES[event].fields if event in RULES else {}
    return {"conversation_id": conversation_id, **fields}


def settings(conversation_id: str, access: str) -> dict[str, Any]:
    return {"conversation_id": conversation_id, "access": access, "agent": "off", "title": "Cell"}


def code_of(ack: dict[str, Any]) -> str:
    return "ok" if ack["ok"] else ack["error"]["code"]


async def must(client: RawClient, event: str, request: dict[str, Any]) -> dict[str, Any]:
    ack = await client.call(event, request)
    assert ack["ok"], (event, ack)
    return ack


def heard_of(client: RawClient, conversation_id: str) -> list[str]:
    """The events that the client was sent of a conversation, with the type of an entry or the kind of a change."""
    return [
        f"{name} {said.get('type') or said.get('change') or ''}".strip()
        for name, said in client.events
        if isinstance(said, dict) and said.get("conversation_id") == conversation_id
    ]


class Cell(NamedTuple):
    event: ClientEvent
    role: str
    access: str
    conversation_id: str


async def set_up(cell: Cell, owner: RawClient, member: RawClient, actor: RawClient) -> str:
    """Make a conversation in which the actor has the role, with SEQ entries, the last the owner's message."""
    here = {"conversation_id": await create(owner, cell.conversation_id, cell.access)}
    guests = [member] if cell.role in ("owner", "member", "outsider", "operator") else [member, actor]
    if cell.access == "invitation":
        await must(owner, E.CONVERSATION_INVITE, {**here, "user_ids": [guest.user_id for guest in guests]})
    elif cell.role == "invited":
        await must(owner, E.CONVERSATION_INVITE, {**here, "user_ids": [actor.user_id]})
    await must(member, E.CONVERSATION_JOIN, here)
    entries = 2
    if cell.role == "left":
        await must(actor, E.CONVERSATION_JOIN, here)
        await must(actor, E.CONVERSATION_LEAVE, here)
        entries = 4
    while entries < SEQ:  # but where somebody has left, which is then the last one
        entries += 1
        await must(owner, E.MESSAGE_SEND, {**here, "request_id": f"m{entries}", "text": "secret"})
    return here["conversation_id"]


async def create(owner: RawClient, conversation_id: str, access: str) -> str:
    """Create a conversation, an open one with this id; return its id."""
    chosen = settings(conversation_id, access)
    if access == "invitation":
        del chosen["conversation_id"]
    return str((await must(owner, E.CONVERSATION_CREATE, chosen))["conversation_id"])


async def judge(cell: Cell, actor: RawClient, ack: dict[str, Any], none: dict[str, Any]) -> None:
    """The answer is the rule's, tells an outsider no more than of a conversation that does not exist."""
    event, role, access, conversation_id = cell
    assert code_of(ack) == expected(event, role, access), (cell, ack)
    inside = role in ("owner", "member")
    told_apart = (event in RULES or event == E.CONVERSATION_CREATE) and expected(event, role, access) != "ok"
    if not inside and told_apart and access == "invitation":
        assert ack == none, (cell, "it can be told from one that does not exist")
    if event == E.SESSION_SYNC:
        item = ack["conversations"][conversation_id]
        assert item.get("error", {}).get("code") == (None if inside else OUTSIDE[access]), cell
    if event == E.CONVERSATION_LIST:
        found = [item for item in ack["conversations"] if item["conversation_id"] == conversation_id]
        assert len(found) == (inside or role == "invited"), cell
        if role == "invited":
            assert set(found[0]) == {"conversation_id", "title", "role"}, cell
    if event == E.CONVERSATION_LEAVE:
        assert ack["left"] == inside, cell
    if event in (E.DEVICE_LIST, E.DEVICE_SIGN_OUT, E.DEVICE_RENAME):
        devices = (await must(actor, E.DEVICE_LIST, {}))["devices"]
        assert {device["device_id"] for device in devices} <= {"actor", "other"}, (cell, "others' devices")


def allowed(cell: Cell) -> set[str]:
    """What the actor may be sent of the conversation, being outside of it."""
    own = {"left": {"entry:appended member_joined", "entry:appended member_left"}}.get(cell.role, set())
    if cell.role in ("invited", "left"):
        own = own | {"conversation:changed invited", "conversation:changed joined", "conversation:changed left"}
    return own


async def play(cell: Cell, owner: RawClient, member: RawClient, actor: RawClient) -> Cell:
    """Play a cell; return it with the id of its conversation."""
    cell = cell._replace(conversation_id=await set_up(cell, owner, member, actor))
    event, role, access, conversation_id = cell
    insider = member if (event, role) == (E.CONVERSATION_LEAVE, "owner") else owner
    request = payload(event, conversation_id, access)
    other = payload(event, f"{conversation_id}-none", access)
    none = await actor.call(event, other) if event in RULES or event == E.CONVERSATION_CREATE else {}
    ack = await actor.call(event, request)
    await judge(cell, actor, ack, none)
    if event == E.CONVERSATION_DELETE and ack["ok"]:
        return cell
    # Then things happen of which outsiders must hear nothing.
    here = {"conversation_id": conversation_id}
    await must(insider, E.MESSAGE_SEND, {**here, "request_id": "after", "text": "secret"})
    await must(insider, E.TYPING_SET, {**here, "typing": True})
    await must(insider, E.MARKS_SET, {"marks": {conversation_id: {"read": 1}}})
    return cell


def test_each_event_has_one_rule_of_who_may_send_it() -> None:
    assert set(RULES) | set(OTHERS) == set(REQUESTS)
    assert not set(RULES) & set(OTHERS)


@pytest.fixture
async def watchers(cluster, raw_client, new_id) -> list[RawClient]:
    """Members of nothing, one on each node, who do nothing but listen."""
    return [await raw_client(node, token=token_of(f"{new_id}-eve-{node}")) for node in range(3)]


@pytest.mark.parametrize("access", ACCESS)
async def test_every_event_in_every_role_is_answered_as_the_rules_say_and_leaks_nothing(
    raw_client, new_id, watchers, access
):
    owner = await raw_client(0, token=token_of(f"{new_id}-owner"), device_id="actor")
    owner.user_id = f"{new_id}-owner"
    member = await raw_client(1, token=token_of(f"{new_id}-member"), device_id="actor")
    member.user_id = f"{new_id}-member"
    actors = {"owner": owner, "member": member}
    for node, role in enumerate(("invited", "outsider", "left", "operator")):
        token = TOKENS.issue(f"{new_id}-{role}", role, 60, operator=role == "operator")
        actors[role] = await raw_client(node % 3, token=token, device_id="actor")
        actors[role].user_id = f"{new_id}-{role}"
    cells = [
        Cell(event, role, access, f"{new_id}-{number:03}")
        for number, (event, role) in enumerate(itertools.product(REQUESTS, ROLES))
    ]

    played: list[Cell] = []

    async def play_all(role: str) -> None:
        for cell in cells:
            if cell.role == role:
                if cell.event in (E.DEVICE_RENAME, E.DEVICE_SIGN_OUT):
                    other = await raw_client(2, token=token_of(actors[role].user_id), device_id="other")
                    played.append(await play(cell, owner, member, actors[role]))
                    await other.sio.disconnect()
                else:
                    played.append(await play(cell, owner, member, actors[role]))

    await asyncio.gather(*(play_all(role) for role in ROLES))
    # All that the bus held before has been delivered when what was sent last has come back on each node.
    last = f"{new_id}-last"
    await must(owner, E.CONVERSATION_CREATE, settings(last, "open"))
    listeners = [*watchers, *actors.values()]
    for number, client in enumerate(listeners):
        await must(client, E.CONVERSATION_JOIN, {"conversation_id": last})
        await must(client, E.MESSAGE_SEND, {"conversation_id": last, "request_id": f"l{number}", "text": "x"})
    head = (await must(owner, E.HISTORY_READ, {"conversation_id": last}))["head"]
    for client in listeners:
        await client.until(
            lambda client=client: any(
                entry["conversation_id"] == last and entry["seq"] == head
                for entry in client.named("entry:appended")
            )
        )
    for cell in played:
        for watcher in watchers:
            assert heard_of(watcher, cell.conversation_id) == [], (cell, "an outsider was told")
        joined = cell.event == E.CONVERSATION_JOIN and expected(*cell[:3]) == "ok"
        if cell.role in ("invited", "outsider", "left", "operator") and not joined:
            heard = heard_of(actors[cell.role], cell.conversation_id)
            assert set(heard) <= allowed(cell), (cell, heard)
    for watcher in watchers:
        about = {name for name, said in watcher.events if name not in ("conversation:changed", "devices:changed")}
        assert about <= {"session:opened", "entry:appended", "presence:changed"}, about


@pytest.mark.parametrize("role", ["owner", "operator"])
async def test_what_is_the_owners_to_do_an_operator_may_do_as_well_and_reads_nothing(raw_client, new_id, role):
    ann, bob = await raw_client(0), await raw_client(1)
    await must(ann, E.CONVERSATION_CREATE, settings(new_id, "open"))
    room = {"conversation_id": new_id}
    await must(bob, E.CONVERSATION_JOIN, room)
    actor = ann
    if role == "operator":
        actor = await raw_client(2, token=TOKENS.issue(f"{new_id}-ops", "Ops", 60, operator=True))
        assert code_of(await actor.call(E.HISTORY_READ, room)) == "not_a_member"
    renamed = await must(actor, E.CONVERSATION_RENAME, {**room, "title": "New"})
    assert (renamed["title"], renamed["changed"]) == ("New", True)
    assert (await bob.event("entry:appended", type="conversation_renamed"))["data"]["title"] == "New"
    removed = await must(actor, E.MEMBERS_REMOVE, {**room, "user_id": bob.user_id})
    assert (removed["user_id"], removed["left"]) == (bob.user_id, True)
    left = (await ann.event("entry:appended", type="member_left"))["data"]
    by = left["by"]["user_id"]
    assert (left["user_id"], by) == (bob.user_id, ann.user_id if role == "owner" else f"{new_id}-ops")
    await bob.event("conversation:changed", change="left", **room)
    assert code_of(await bob.call(E.HISTORY_READ, room)) == "not_a_member"
    asked = {**room, "request_id": "delete"}
    deleted = await must(actor, E.CONVERSATION_DELETE, asked)
    assert deleted["deleted"] is True
    assert await must(actor, E.CONVERSATION_DELETE, asked) == deleted
    await ann.event("conversation:changed", change="left", **room)
    for client in (ann, bob, actor):
        assert code_of(await client.call(E.HISTORY_READ, room)) == "unknown_conversation"


@pytest.mark.parametrize("access", ACCESS)
async def test_requests_of_a_session_that_has_ended_are_not_carried_out(raw_client, new_id, access):
    """Signed out, told so, and not yet closed: all events at once, on what is left of its connection."""
    laptop = await raw_client(0, token=token_of(new_id), device_id="laptop")
    phone = await raw_client(1, token=token_of(new_id), device_id="phone")
    await raw_client(2, token=token_of(new_id), device_id="other")
    room = await create(laptop, new_id, access)
    for turn in range(2, SEQ + 1):
        await must(laptop, E.MESSAGE_SEND, {"conversation_id": room, "request_id": f"m{turn}", "text": "x"})
    await must(phone, E.CONVERSATION_JOIN, {"conversation_id": room})
    told = asyncio.Event()
    frames = [
        f"2{number}{json.dumps([event, payload(event, room, access)])}"
        for number, event in enumerate(REQUESTS)
        if event != E.CONVERSATION_CREATE
    ]
    received: list[str] = []
    original = phone.sio._handle_eio_message

    async def keep(data: str) -> None:
        received.append(data)
        if "session:ended" in data:
            for frame in frames:
                await phone.sio.eio.send(frame)
            told.set()
        await original(data)

    phone.sio.eio.on("message", keep)
    await must(laptop, E.DEVICE_SIGN_OUT, {"device_id": "phone"})
    await asyncio.wait_for(told.wait(), 5)
    await phone.closed()
    acks = [data for data in received if data.startswith("3")]
    assert all('"code":"unavailable"' in ack for ack in acks), acks
    page = await must(laptop, E.HISTORY_READ, {"conversation_id": room})
    assert page["head"] == SEQ
    devices = (await must(laptop, E.DEVICE_LIST, {}))["devices"]
    assert {(d["device_id"], d["device_name"]) for d in devices} == {("laptop", ""), ("other", "")}
    members = (await must(laptop, E.MEMBERS_LIST, {"conversation_id": room}))["members"]
    assert [member["user_id"] for member in members] == [new_id]


@pytest.mark.parametrize("handshake", ["2", '40{"token":"wrong"}'], ids=["none", "refused"])
async def test_requests_without_a_session_are_neither_answered_nor_carried_out(
    cluster, raw_client, new_id, handshake
):
    owner = await raw_client(0)
    await must(owner, E.CONVERSATION_CREATE, settings(new_id, "open"))
    address = cluster.urls[1].replace("http", "ws") + "/socket.io/?EIO=4&transport=websocket"
    answers: list[str] = []
    async with aiohttp.ClientSession() as http, http.ws_connect(address) as socket:
        await socket.receive_str()  # the engine's own opening
        requests = enumerate([event, payload(event, new_id, "open")] for event in REQUESTS)
        for frame in [handshake, *(f"42{number}{json.dumps(body)}" for number, body in requests)]:
            with contextlib.suppress(ConnectionError, aiohttp.ClientError):  # it may be closed already
                await socket.send_str(frame)
        # A session that begins behind them is answered behind them; after a refusal the connection has an end.
        with contextlib.suppress(ConnectionError, aiohttp.ClientError):
            await socket.send_str(f'40{{"token":"{token_of(new_id)}"}}')
            await socket.send_str('42999["conversation:list",{}]')
        async with within(5, "the last answer, or the end", lambda: answers):
            async for message in socket:
                answers.append(message.data)
                if message.data.startswith("43999"):
                    break
    acks = [answer for answer in answers if answer.startswith("43") and not answer.startswith("43999")]
    assert not acks
    assert not [answer for answer in answers if new_id in answer and answer.startswith('42["conversation:')]
    page = await must(owner, E.HISTORY_READ, {"conversation_id": new_id})
    assert page["head"] == 1


# HTTP

LINKED = "with a code of `device:link`"
REMEMBERED = "a browser that remembers a guest, or with a guest's token"
PUBLIC, TOKEN, STAGE = "anybody", "with a token", "with the stage's key, where there is a stage"
ROUTES = {
    ("GET", "/healthz"): PUBLIC,
    ("GET", "/ready"): PUBLIC,
    ("GET", "/metrics"): PUBLIC,
    ("POST", "/api/guest"): PUBLIC,
    ("POST", "/api/guest/renew"): REMEMBERED,
    ("GET", "/api/guest/remembered"): PUBLIC,
    ("POST", "/api/guest/forget"): PUBLIC,
    ("POST", "/api/device"): LINKED,
    ("GET", "/api/status"): TOKEN,
    ("GET", "/api/v1/status"): TOKEN,
    ("GET", "/"): PUBLIC,
    ("GET", "/sw.js"): PUBLIC,
    ("GET", "/manifest.webmanifest"): PUBLIC,
    ("GET", "/assets/{hash}/{path}"): PUBLIC,
    ("GET", "/{path}"): PUBLIC,
    ("GET", "/stage"): STAGE,
    ("GET", TRACE_PATH): STAGE,
}


def test_each_http_route_has_one_rule_of_who_may_ask() -> None:
    application = make_application(
        [
            HealthRoutes("n", Mock()),
            MetricsRoutes(Mock(), ""),
            GuestRoutes(Mock(), Mock(), Mock(), Mock(), Mock()),
            DeviceRoutes(Mock(), Mock(), Mock(), Mock(), token_ttl_s=60, now=Mock()),
            StatusRoutes(Mock(), Mock(), Mock(), Mock()),
            PageRoutes(Assets()),
        ],
        hosts=AllowedHosts(()),
        cors=Mock(),
        policy=PagePolicy((), Assets(), stage=True),
        stage=StageRoutes(Stage("k" * 16, None, (), Mock()), "n", Assets()),
    )
    found = {(route.method, route.resource.canonical) for route in application.router.routes() if route.resource}
    assert {route for route in found if route[0] != "HEAD"} == set(ROUTES)


async def test_each_route_answers_only_those_that_its_rule_allows(cluster, new_id):
    tokens = {
        "none": ("", "token_missing"),
        "basic": ("Basic YTpi", "token_missing"),
        "wrong": ("Bearer x.y.z", "token_invalid"),
        "expired": (f"Bearer {TOKENS.issue(new_id, 'Ann', -5)}", "token_expired"),
        "good": (f"Bearer {token_of(new_id)}", ""),
    }
    async with aiohttp.ClientSession() as http:
        for (method, path), rule in ROUTES.items():
            where = cluster.urls[0] + path.replace("{hash}", "0").replace("{path}", "js/main.js")
            for kind, (header, code) in tokens.items():
                headers = {"Authorization": header} if header else {}
                body = {"name": "Ann"} if path == "/api/guest" else {} if method == "POST" else None
                async with http.request(method, where, headers=headers, json=body) as response:
                    if rule == STAGE:
                        assert response.status in (404, 405), (path, kind)  # this cluster has none
                    elif rule == REMEMBERED:
                        assert response.status == 401, (path, kind)
                    elif rule == LINKED:
                        assert response.status == 400, (path, kind)
                    elif rule == PUBLIC or not code:
                        assert response.status in (200, 503) if "vendor" in path else response.status == 200, path
                    else:
                        error = (await response.json())["error"]
                        assert (response.status, error["code"]) == (401, code), (path, kind)
