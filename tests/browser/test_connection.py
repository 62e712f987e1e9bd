"""The page and the network: whatever happens to node, network or tab, what was said is in the log once."""

from __future__ import annotations

import json
import signal
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from playwright.async_api import Browser, Page, WebSocketRoute, expect

from sio_clients import guest_token
from sio_clients.conversation import Conversation
from sio_server.gateway.sessions.auth import Tokens
from sio_server.local.cluster import LocalCluster
from tests.browser.conftest import PageFactory
from tests.browser.pages import look, say, until
from tests.conftest import SECRET, ClientFactory, RawClient
from tests.integration.test_revocation import revoke

TEXTS = "state.open.entries.filter((e) => e.type === 'message').map((e) => e.data.text)"

# Whether the outbox of the browser has this many messages.
# A database that the page has not made yet is not made here: it would have no table.
KEPT = (
    "COUNT === await new Promise((done) => { const opening = indexedDB.open('roomgraph', 1);"
    "opening.onupgradeneeded = () => opening.transaction.abort(); opening.onerror = () => done(0);"
    "opening.onsuccess = ({ target }) => {"
    "const all = target.result.transaction('outbox').objectStore('outbox').getAll();"
    "all.onsuccess = () => { target.result.close(); done(all.result.length); }; }; })"
)


@pytest.fixture
async def plans(new_client: ClientFactory, new_id: str) -> Conversation:
    """A conversation of Bob's that anyone may join; nobody answers in it."""
    bob = await new_client("Bob", node=2)
    return await bob.create("Plans", conversation_id=new_id, access="open", agent="off")


async def log_of(conversation: Conversation) -> list[str]:
    return [entry.data["text"] for entry in await conversation.log() if entry.type == "message"]


async def shows(page: Page, *texts: str, timeout: float = 20.0) -> None:
    """Wait until the page has these messages, in this order, and no others."""
    await until(page, f"JSON.stringify({TEXTS}) === JSON.stringify({json.dumps(texts)})", timeout)


async def test_a_page_whose_node_is_killed_moves_to_another_one_and_has_everything(
    cluster: LocalCluster, open_page: PageFactory, plans: Conversation
) -> None:
    page = await open_page(0, "Ann", conversation=plans.id)
    assert await look(page, "state.node") == str(cluster.ports[0])
    await say(page, "before")
    await shows(page, "before")
    await cluster.signal_node(cluster.ports[0], signal.SIGKILL)
    try:
        await plans.send("meanwhile")
        await say(page, "and after")
        # The page may still take itself for online: the third message says that it has moved.
        await until(page, f"{TEXTS}.length === 3")
        await until(page, "state.link === 'online' && !state.retryAt && !state.behind")
        await shows(page, *await log_of(plans))
        assert sorted(await log_of(plans)) == ["and after", "before", "meanwhile"]
        assert await look(page, "state.node") != str(cluster.ports[0])
    finally:
        await cluster.start_node(cluster.ports[0])


async def test_a_page_whose_node_is_stopped_moves_within_a_second(
    cluster: LocalCluster, open_page: PageFactory, plans: Conversation
) -> None:
    page = await open_page(1, "Ann", conversation=plans.id)
    await page.evaluate(
        "async () => { const { state, onChange } = await import('/js/state.js'); window.links = [];"
        "onChange(() => window.links.push([performance.now(), state.link, state.node])); }"
    )
    try:
        await cluster.signal_node(cluster.ports[1], signal.SIGTERM)
        await until(page, f"state.link === 'online' && state.node !== '{cluster.ports[1]}'")
        links: list[list[Any]] = await page.evaluate("window.links")
        left = next(at for at, link, _ in links if link == "reconnecting")
        back = next(at for at, link, _ in links if at > left and link in ("catching", "online"))
        assert back - left < 1000
    finally:
        await cluster.start_node(cluster.ports[1])


@pytest.mark.faults
async def test_a_node_that_hangs_is_noticed_by_a_message_without_an_answer(
    cluster: LocalCluster, open_page: PageFactory, plans: Conversation
) -> None:
    page = await open_page(0, "Ann", conversation=plans.id)
    await cluster.signal_node(cluster.ports[0], signal.SIGSTOP)
    try:
        await say(page, "hello?")
        await until(page, f"state.link === 'online' && state.node !== '{cluster.ports[0]}'")
        await shows(page, "hello?")
    finally:
        await cluster.signal_node(cluster.ports[0], signal.SIGCONT)
    assert await log_of(plans) == ["hello?"]


async def test_messages_written_offline_are_sent_once_when_the_network_is_back(
    open_page: PageFactory, plans: Conversation
) -> None:
    page = await open_page(0, "Ann", conversation=plans.id)
    await page.context.set_offline(True)
    await until(page, "state.link === 'offline'")
    for text in ("one", "two", "three"):
        await say(page, text)
    await plans.send("meanwhile")
    assert await log_of(plans) == ["meanwhile"]
    await page.context.set_offline(False)
    await shows(page, "meanwhile", "one", "two", "three")
    assert await log_of(plans) == ["meanwhile", "one", "two", "three"]


class Wire:
    """The connections of a page, on which sends do not reach the server, or nothing comes back after one."""

    def __init__(self, lost: str) -> None:
        self.lost = lost
        self.sent: list[str] = []

    async def prepare(self, page: Page) -> None:
        await page.route_web_socket("**/socket.io/**", self._connect)

    def _connect(self, socket: WebSocketRoute) -> None:
        server = socket.connect_to_server()

        def to_server(frame: str | bytes) -> None:
            if '"message:send"' in str(frame):
                self.sent.append(str(frame))
                if self.lost == "send":
                    return
            server.send(frame)

        def to_page(frame: str | bytes) -> None:
            if not (self.sent and self.lost == "answer"):
                socket.send(frame)

        socket.on_message(to_server)
        server.on_message(to_page)


@pytest.mark.parametrize("lost", ["send", "answer"])
async def test_messages_that_a_closed_tab_left_are_sent_once_by_another_tab(
    open_page: PageFactory, plans: Conversation, lost: str
) -> None:
    wire = Wire(lost)
    closed = await open_page(0, "Ann", conversation=plans.id, prepare=wire.prepare)
    other = await open_page(0, token=closed.token, conversation=plans.id, beside=closed)  # type: ignore[attr-defined]
    assert await look(other, "state.devices.filter((d) => d.online).length") == 2
    await say(closed, "one")
    await say(closed, "two")
    await until(closed, KEPT.replace("COUNT", "2"))
    await closed.close()
    await shows(other, "one", "two")
    assert await log_of(plans) == ["one", "two"]
    await until(other, KEPT.replace("COUNT", "0"))
    first = next(entry for entry in await plans.log() if entry.type == "message")
    assert first.data["request_id"] in wire.sent[0]


async def test_open_tabs_know_of_each_other_by_their_locks(open_page: PageFactory, plans: Conversation) -> None:
    first = await open_page(0, "Ann", conversation=plans.id)
    second = await open_page(0, token=first.token, conversation=plans.id, beside=first)  # type: ignore[attr-defined]
    held = "(await navigator.locks.query()).held.map((lock) => lock.name)"
    devices = [
        f"roomgraph {await look(page, 'state.devices.find((d) => d.here).device_id')}" for page in (first, second)
    ]
    assert sorted(await look(second, held)) == sorted(devices)
    await first.close()
    await until(second, f"JSON.stringify({held}) === JSON.stringify([{json.dumps(devices[1])}])")


async def test_a_reloaded_page_sends_its_unsent_messages(open_page: PageFactory, plans: Conversation) -> None:
    wire = Wire("send")
    page = await open_page(0, "Ann", conversation=plans.id, prepare=wire.prepare)
    device = await look(page, "state.devices.find((d) => d.here).device_id")
    await say(page, "one")
    await until(page, KEPT.replace("COUNT", "1"))
    wire.lost = ""
    await page.reload()
    await until(page, "state.open?.loaded")
    await shows(page, "one")
    assert await log_of(plans) == ["one"]
    assert await look(page, "state.devices.find((d) => d.here).device_id") == device


@pytest.mark.parametrize("missing", ["indexedDB", "locks"])
async def test_messages_are_sent_in_a_browser_without_a_database_or_locks(
    open_page: PageFactory, plans: Conversation, missing: str
) -> None:
    where = {"indexedDB": "window", "locks": "Navigator.prototype"}[missing]
    script = f"Object.defineProperty({where}, '{missing}', {{ value: undefined }})"
    page = await open_page(0, "Ann", conversation=plans.id, script=script)
    await say(page, "one")
    await shows(page, "one")
    assert await log_of(plans) == ["one"]


async def test_a_token_is_removed_from_the_address_and_kept_in_its_tab_only(
    cluster: LocalCluster, open_page: PageFactory
) -> None:
    page = await open_page(0, "Ann")
    assert page.url == f"{cluster.urls[0]}/"
    kept = await page.evaluate("JSON.stringify(localStorage) + document.cookie")
    assert page.token not in kept  # type: ignore[attr-defined]
    assert "guest" not in kept
    assert await page.evaluate("sessionStorage.getItem('roomgraph.token')")


@pytest.mark.parametrize("link", ["online", "offline"])
async def test_a_device_that_is_signed_out_elsewhere_keeps_nothing_of_its_user(
    open_page: PageFactory, raw_client: Callable[..., Awaitable[RawClient]], plans: Conversation, link: str
) -> None:
    wire = Wire("send")
    lost = await open_page(0, "Ann", conversation=plans.id, prepare=wire.prepare)
    here = await raw_client(1, token=lost.token)  # type: ignore[attr-defined]
    device = await look(lost, "state.devices.find((d) => d.here).device_id")
    await say(lost, "never said")
    await until(lost, KEPT.replace("COUNT", "1"))
    if link == "offline":
        await lost.context.set_offline(True)
        await until(lost, "state.link === 'offline'")
    assert (await here.call("device:sign_out", {"device_id": device}))["ok"]
    await lost.context.set_offline(False)
    await lost.wait_for_selector("#signin:visible")
    assert await lost.inner_text("#signin-error")
    assert await lost.evaluate("sessionStorage.getItem('roomgraph.token')") == "null"
    await until(lost, KEPT.replace("COUNT", "0"))
    assert await log_of(plans) == []


@pytest.mark.parametrize("reason", ["token_expired", "token_revoked"])
async def test_an_expired_or_revoked_token_leads_to_the_sign_in_page_which_says_why(
    cluster: LocalCluster, open_page: PageFactory, plans: Conversation, new_id: str, reason: str
) -> None:
    wire = Wire("send")
    token = Tokens(SECRET, "roomgraph").issue(new_id, "Ann", 8 if reason == "token_expired" else 3600)
    page = await open_page(0, token=token, conversation=plans.id, prepare=wire.prepare)
    await say(page, "never said")
    await until(page, KEPT.replace("COUNT", "1"))
    if reason == "token_revoked":
        assert (await revoke(cluster.redis_url, new_id))[0] == 0
    await page.wait_for_selector("#signin:visible")
    said = await page.inner_text("#signin-error")
    assert (
        said
        == {
            "token_expired": "Your sign-in has expired. Sign in again.",
            "token_revoked": "The server's operator has revoked your access. Sign in with a new token.",
        }[reason]
    )
    # After a revocation nothing is kept; after expiry the unsent message waits for the next sign-in.
    await until(page, KEPT.replace("COUNT", "1" if reason == "token_expired" else "0"))


@pytest.mark.parametrize(
    ("locale", "words"), [("en-GB", "is not allowed by the server"), ("zh-CN", "服务器不允许")]
)
async def test_a_page_whose_origin_is_refused_says_so_and_offers_to_try_again(
    cluster: LocalCluster, browser: Browser, locale: str, words: str
) -> None:
    """The nodes do not allow page.localhost: under this name they serve the page and refuse its socket."""
    context = await browser.new_context(locale=locale)
    page = await context.new_page()
    sockets = 0

    def count(socket: object) -> None:
        nonlocal sockets
        sockets += 1

    page.on("websocket", count)
    _, token = await guest_token(cluster.urls[0], "Ann")
    await page.goto(f"http://page.localhost:{cluster.ports[0]}/?token={token}")
    await expect(page.locator("#refusal")).to_be_visible()
    await expect(page.locator("#why")).to_contain_text(words)
    await expect(page.locator("#why")).to_contain_text("ALLOWED_ORIGINS")
    async with page.expect_event("websocket"):
        before = sockets
        await page.click("#reconnect")
    assert sockets > before
    await page.goto(f"{cluster.urls[0]}/?token={token}")
    await until(page, "state.link === 'online'")
    await expect(page.locator("#refusal")).to_be_hidden()
    await context.close()
