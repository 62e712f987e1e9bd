"""Web Push: devices are notified of questions and mentions, once, by whatever node, and of nothing else."""

from __future__ import annotations

import asyncio
import json
import os
import time
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import http_ece
import jwt
import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from sio_clients import ChatClient, Refused, guest_token
from sio_server.gateway.push import sending
from sio_server.gateway.push.addresses import refusal
from sio_server.gateway.push.encryption import Sealer, decode, encode, new_keys
from sio_server.gateway.push.sending import ATTEMPTS, FIRST_PAUSE_S, Notification, Sender, topic_of
from sio_server.local.cluster import LocalCluster
from sio_server.store.connection import connect
from sio_server.store.keys import user_push
from sio_server.store.scripts import Scripts
from sio_server.tasks import end_tasks
from sio_server.users.push import Subscription
from sio_server.users.sign_out import RefusedTokens
from tests.conftest import NODE_SETTINGS, cluster_in, free_ports
from tests.waiting import Changes

PRIVATE_KEY, PUBLIC_KEY = new_keys()
SUBJECT = "mailto:admin@example.com"


@dataclass
class Browser:
    """What a browser has of a subscription: it alone reads what is sent."""

    endpoint: str
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    auth: bytes = field(default_factory=lambda: os.urandom(16))

    @property
    def subscription(self) -> dict[str, Any]:
        point = self.key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        return {"endpoint": self.endpoint, "keys": {"p256dh": encode(point), "auth": encode(self.auth)}}

    def read(self, body: bytes) -> dict[str, Any]:
        opened = http_ece.decrypt(body, private_key=self.key, auth_secret=self.auth, version="aes128gcm")
        return dict(json.loads(opened))


class PushService:
    """A push service on this machine: it decrypts what it is sent for its browsers, and answers with `status`."""

    def __init__(self) -> None:
        self.status: Callable[[str], int] = lambda name: 201
        self.retry_after = ""
        self.silent = False
        self.over = asyncio.Event()
        self.times: list[float] = []
        self.tried: list[tuple[str, dict[str, Any], dict[str, str]]] = []  # browser, payload, headers
        self.browsers: dict[str, Browser] = {}
        self.url = ""
        self._changes = Changes(lambda: [(name, payload) for name, payload, _ in self.tried[-5:]])

    async def serve(self) -> web.AppRunner:
        app = web.Application()
        app.router.add_post("/push/{name}", self._on_post)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        port = free_ports(1)
        await web.TCPSite(runner, "127.0.0.1", port).start()
        self.url = f"http://127.0.0.1:{port}"
        return runner

    def browser(self) -> Browser:
        name = uuid.uuid4().hex
        self.browsers[name] = Browser(f"{self.url}/push/{name}")
        return self.browsers[name]

    def told(self, browser: Browser) -> list[dict[str, Any]]:
        return [payload for name, payload, _ in self.tried if self.browsers[name] is browser]

    async def until(self, holds: Callable[[], Any]) -> None:
        await self._changes.until(holds, timeout=30.0)

    async def _on_post(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        payload = self.browsers[name].read(await request.read())
        self.tried.append((name, payload, dict(request.headers)))
        self.times.append(time.monotonic())
        self._changes.changed()
        if self.silent:
            await self.over.wait()
        headers = {"Retry-After": self.retry_after} if self.retry_after else None
        return web.Response(status=self.status(name), headers=headers)


@pytest.fixture(scope="module")
async def nodes(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LocalCluster]:
    settings = {
        **NODE_SETTINGS,
        **{"VAPID_PRIVATE_KEY": PRIVATE_KEY, "VAPID_SUBJECT": SUBJECT, "PUSH_PRIVATE": "on"},
    }
    async with cluster_in(tmp_path_factory.mktemp("push"), settings, nodes=2) as running:
        yield running


@pytest.fixture
async def service() -> AsyncIterator[PushService]:
    made = PushService()
    runner = await made.serve()
    yield made
    made.over.set()
    await runner.cleanup()


class Person:
    """A user with a device that is notified."""

    def __init__(self, nodes: LocalCluster, service: PushService, name: str) -> None:
        self._nodes, self._service, self.name = nodes, service, name
        self.browser = service.browser()

    async def subscribe(self, conversation_id: str = "", device_id: str = "phone", *, stay: bool = False) -> None:
        """Sign in, join a conversation, subscribe, and go offline unless one is to `stay`."""
        self.user_id, self.token = await guest_token(self._nodes.urls[1], self.name)
        self.client = ChatClient(self._nodes.urls[1], self.token, device_id=device_id)
        await self.client.connect()
        if conversation_id:
            await self.client.join(conversation_id)
        asked = {"subscription": self.browser.subscription}
        ack = await self.client.request("push:subscribe", asked)
        assert (ack["device_id"], ack["subscribed"]) == (device_id, True)
        if not stay:
            await self.client.close()


@pytest.fixture
async def ann(nodes) -> AsyncIterator[ChatClient]:
    _, token = await guest_token(nodes.urls[0], "Ann")
    async with ChatClient(nodes.urls[0], token) as client:
        yield client


async def offline(client: ChatClient, conversation, user_id: str) -> None:
    """Wait until the server knows that a user is gone."""
    async with asyncio.timeout(15):
        while any(one["online"] for one in await conversation.members() if one["user_id"] == user_id):  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def test_a_mention_is_pushed_once_to_a_member_who_is_offline_and_to_no_one_else(nodes, service, ann, new_id):
    conversation = await ann.create("Plans", conversation_id=new_id, access="open", agent="off")
    bob, carol, dave = (Person(nodes, service, name) for name in ("Bob", "Carol", "Dave"))
    await bob.subscribe(new_id)
    await carol.subscribe(new_id)
    await dave.subscribe()  # no member
    await offline(ann, conversation, bob.user_id)
    await conversation.send("nobody is meant")
    await conversation.send("@Bob @Dave, can you come?")
    await service.until(lambda: service.told(bob.browser))
    await conversation.send(f"@{carol.user_id} and you?")  # what was sent before has been told by then
    await service.until(lambda: service.told(carol.browser))
    assert service.told(bob.browser) == [
        {
            "kind": "mention",
            "conversation_id": new_id,
            "title": "Plans",
            "name": "Ann",
            "text": "@Bob @Dave, can you come?",
            "url": f"/#c={new_id}",
        }
    ]
    assert service.told(dave.browser) == []
    assert len(service.told(carol.browser)) == 1
    _, _, headers = service.tried[0]
    assert (headers["Content-Encoding"], headers["Urgency"]) == ("aes128gcm", "normal")
    assert (int(headers["TTL"]) > 0, len(headers["Topic"])) == (True, 32)
    scheme, _, rest = headers["Authorization"].partition(" ")
    token, key = (part.partition("=")[2] for part in rest.split(","))
    assert (scheme, key) == ("vapid", PUBLIC_KEY)
    public = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), decode(key))
    claims = jwt.decode(token, public, algorithms=["ES256"], audience=service.url)
    assert claims["sub"] == SUBJECT


async def test_a_member_who_is_online_is_told_of_questions_only(nodes, service, ann, new_id):
    conversation = await ann.create(conversation_id=new_id, access="open", agent="mention")
    bob, carol = Person(nodes, service, "Bob"), Person(nodes, service, "Carol")
    await bob.subscribe(new_id, stay=True)
    await carol.subscribe(new_id)
    await offline(ann, conversation, carol.user_id)
    try:
        await conversation.send("@Bob @Carol hello")
        await service.until(lambda: service.told(carol.browser))
        await conversation.send("@agent Book a table for two tomorrow at seven")
        await service.until(lambda: service.told(bob.browser) and len(service.told(carol.browser)) == 2)
        (question,) = service.told(bob.browser)
        assert (question["kind"], question["name"]) == ("question", "Concierge")
        assert "Shall I book it?" in question["text"]
    finally:
        await bob.client.close()


async def test_a_question_that_only_the_owner_may_answer_is_pushed_to_the_owner_only(nodes, service, ann, new_id):
    bob, carol = Person(nodes, service, "Bob"), Person(nodes, service, "Carol")
    await bob.subscribe(stay=True)
    try:
        own = await bob.client.create(conversation_id=new_id, access="open", approvals="owner")
        await carol.subscribe(new_id)
        await own.send("Book a table for two tomorrow at seven")
        await service.until(lambda: service.told(bob.browser))
        assert service.told(carol.browser) == []
    finally:
        await bob.client.close()


async def test_an_endpoint_that_is_gone_is_forgotten_and_one_that_fails_is_tried_some_times(
    nodes, service, ann, new_id
):
    conversation = await ann.create(conversation_id=new_id, access="open", agent="off")
    bob, carol = Person(nodes, service, "Bob"), Person(nodes, service, "Carol")
    await bob.subscribe(new_id)
    await carol.subscribe(new_id)
    for person in (bob, carol):
        await offline(ann, conversation, person.user_id)
    gone = bob.browser.endpoint.rpartition("/")[2]
    service.status = lambda name: 410 if name == gone else 503
    await conversation.send("@Bob @Carol hello")
    await service.until(lambda: len(service.told(carol.browser)) == ATTEMPTS)
    async with connect(nodes.redis_url) as redis:
        assert await redis.hgetall(user_push(bob.user_id)) == {}
        assert await redis.hlen(user_push(carol.user_id)) == 1
    assert len(service.told(bob.browser)) == 1


@dataclass
class Sent:
    """What became of one notification."""

    outcomes: list[str] = field(default_factory=list)
    forgotten: list[Subscription] = field(default_factory=list)
    changes: Changes = field(default_factory=Changes)

    async def forget(self, subscription: Subscription) -> None:
        self.forgotten.append(subscription)

    def count(self, outcome: str) -> None:
        self.outcomes.append(outcome)
        self.changes.changed()


async def send_one(service: PushService) -> Sent:
    """Send a notification to a browser of this service; return what became of it."""
    sent, browser = Sent(), service.browser()
    sealer = Sealer(PRIVATE_KEY, SUBJECT, time.time)
    sender = Sender(sealer, sent.forget, sent.count, private=True)
    keys = browser.subscription["keys"]
    to = Subscription("bob", "phone", browser.endpoint, keys["p256dh"], keys["auth"], "Bob")
    running = asyncio.create_task(sender.run())
    sender.put(Notification(to, b'{"kind":"mention"}', topic_of("mention", "plans"), urgent=False))
    await sent.changes.until(lambda: sent.outcomes, "the end of the notification", 30)
    await end_tasks([running])
    return sent


async def test_a_service_that_fails_for_a_while_is_asked_again_later_and_later_until_it_takes_it_once(service):
    answers = [503, 500, 201]
    service.status = lambda name: answers[len(service.tried) - 1]
    sent = await send_one(service)
    assert (sent.outcomes, len(service.tried), sent.forgotten) == (["delivered"], 3, [])
    first, second, third = service.times
    assert second - first >= FIRST_PAUSE_S
    assert third - second >= 4 * FIRST_PAUSE_S


async def test_a_service_is_not_asked_again_before_the_time_that_it_names(service):
    answers = [429, 201]
    service.status = lambda name: answers[len(service.tried) - 1]
    service.retry_after = "2"
    sent = await send_one(service)
    assert (sent.outcomes, len(service.tried)) == (["delivered"], 2)
    assert service.times[1] - service.times[0] >= 2.0


async def test_a_service_that_does_not_answer_is_given_up_and_asked_again(service, monkeypatch):
    monkeypatch.setattr(sending, "REQUEST_S", 0.5)
    monkeypatch.setattr(sending, "FIRST_PAUSE_S", 0.05)
    service.silent = True
    sent = await send_one(service)
    assert (sent.outcomes, len(service.tried), sent.forgotten) == (["failed"], ATTEMPTS, [])


@pytest.mark.parametrize(
    ("status", "retry_after", "outcome", "forgotten"),
    [
        (404, "", "gone", 1),
        (410, "", "gone", 1),
        (400, "", "failed", 0),
        (413, "", "failed", 0),
        (429, "60", "failed", 0),
    ],
)
async def test_what_would_be_refused_again_is_sent_once(service, status, retry_after, outcome, forgotten):
    service.status = lambda name: status
    service.retry_after = retry_after
    sent = await send_one(service)
    assert (sent.outcomes, len(sent.forgotten), len(service.tried)) == ([outcome], forgotten, 1)


async def test_signing_a_device_out_ends_its_notifications(nodes, service):
    bob = Person(nodes, service, "Bob")
    await bob.subscribe(stay=True)
    async with (
        ChatClient(nodes.urls[0], bob.token, device_id="laptop") as laptop,
        connect(nodes.redis_url) as redis,
    ):
        assert await redis.hkeys(user_push(bob.user_id)) == ["phone"]
        await laptop.sign_out_device("phone")
        assert await redis.hkeys(user_push(bob.user_id)) == []
        await laptop.request("push:subscribe", {"subscription": bob.browser.subscription})
        assert await redis.hkeys(user_push(bob.user_id)) == ["laptop"]
        await laptop.request("push:subscribe", {"subscription": None})
        assert await redis.hkeys(user_push(bob.user_id)) == []
    await bob.client.close()


async def test_what_is_deleted_or_revoked_with_a_user_is_notified_no_more(nodes, service):
    bob, carol = Person(nodes, service, "Bob"), Person(nodes, service, "Carol")
    for person in (bob, carol):
        await person.subscribe()
    async with connect(nodes.redis_url) as redis:
        scripts = Scripts(redis)
        await scripts.user("erase_user", bob.user_id, refused_s=60)
        await RefusedTokens(redis, scripts).revoke(carol.user_id)
        for person in (bob, carol):
            assert await redis.hgetall(user_push(person.user_id)) == {}


async def test_one_browser_is_notified_once_whatever_device_id_it_has(nodes, service):
    bob = Person(nodes, service, "Bob")
    await bob.subscribe(stay=True)
    asked = {"subscription": bob.browser.subscription}
    async with ChatClient(nodes.urls[0], bob.token, device_id="other") as other, connect(nodes.redis_url) as redis:
        await other.request("push:subscribe", asked)
        assert await redis.hkeys(user_push(bob.user_id)) == ["other"]
    await bob.client.close()


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"endpoint": "https://user:secret@push.example/1"}, "endpoint"),
        ({"endpoint": "ftp://push.example/1"}, "endpoint"),
        ({"keys": {"p256dh": "B" + 86 * "A", "auth": 22 * "A"}}, "p256dh"),
    ],
)
async def test_a_subscription_that_cannot_be_served_is_refused(service, ann, changed, told):
    with pytest.raises(Refused) as refused:
        await ann.request("push:subscribe", {"subscription": service.browser().subscription | changed})
    assert refused.value.code == "invalid_payload"
    assert told in refused.value.message


async def test_a_server_without_keys_sends_no_notifications_and_says_so(raw_client):
    client = await raw_client()
    subscription = Browser("https://push.example/1").subscription
    ack = await client.call("push:subscribe", {"subscription": subscription})
    assert ack["error"]["code"] == "not_supported"
    assert "push_key" not in client.named("session:opened")[0]
    assert (await client.call("push:subscribe", {"subscription": None}))["subscribed"] is False


async def test_a_server_with_keys_tells_browsers_the_public_one(nodes, ann):
    opened: list[dict[str, Any]] = []
    ann.on("session:opened", opened.append)
    await ann.go_offline()
    await ann.go_online()
    assert opened[0]["push_key"] == PUBLIC_KEY
    assert "push" in opened[0]["features"]


@pytest.mark.parametrize(
    "endpoint",
    [
        "http://push.example/1",
        "https://127.0.0.1/1",
        "https://10.0.0.1/1",
        "https://169.254.169.254/latest",
        "https://[::1]/1",
        "https://[::ffff:10.0.0.1]/1",
        "https://[fe80::1]/1",
        "https://localhost/1",
        "https://user@push.example/1",
        "https:///1",
        "https://push.example:x/1",
    ],
)
def test_no_notification_goes_to_the_servers_own_network(endpoint: str) -> None:
    assert refusal(endpoint, private=False)
    assert refusal("https://push.example/1", private=False) == ""
