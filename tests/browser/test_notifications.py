"""Notifications in a real browser: the switch among one's devices, and what the service worker shows."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from playwright.async_api import CDPSession, Page, Worker, expect

from sio_server.gateway.push.encryption import new_keys, public_key
from sio_server.local.cluster import LocalCluster
from sio_server.store.connection import connect
from sio_server.store.keys import user_push
from tests.browser.conftest import PageFactory
from tests.browser.pages import look, until
from tests.conftest import NODE_SETTINGS, cluster_in
from tests.waiting import NeverCame, poll

PRIVATE_KEY, PUBLIC_KEY = new_keys()
BROWSERS_KEY = public_key(ec.generate_private_key(ec.SECP256R1()))
ENDPOINT = "https://push.example/send/1"
# No push service can be reached from here: the browser's own subscription is played.
PLAYED = """
  const kept = () => JSON.parse(localStorage.getItem("subscription"));
  const made = (key) => ({
    options: { applicationServerKey: Uint8Array.from(key).buffer },
    toJSON: () => ({ endpoint: "%s", keys: { p256dh: "%s", auth: "%s" } }),
    unsubscribe: async () => localStorage.removeItem("subscription") ?? true,
  });
  const pushManager = {
    getSubscription: async () => kept() && made(kept()),
    async subscribe({ applicationServerKey: key }) {
      localStorage.setItem("subscription", JSON.stringify([...key]));
      return made([...key]);
    },
  };
  navigator.serviceWorker.getRegistration = async () => ({ pushManager });
  Notification.requestPermission = async () => (globalThis.asked = "granted");
""" % (ENDPOINT, BROWSERS_KEY, "a" * 22)  # noqa: UP031


@pytest.fixture(scope="module")
async def cluster(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LocalCluster]:
    settings = {
        **NODE_SETTINGS,
        **{"VAPID_PRIVATE_KEY": PRIVATE_KEY, "VAPID_SUBJECT": "mailto:admin@example.com"},
    }
    async with cluster_in(tmp_path_factory.mktemp("push-page"), settings) as running:
        yield running


async def test_a_device_asks_for_permission_on_a_click_and_is_subscribed_until_it_is_switched_off(
    open_page: PageFactory, cluster: LocalCluster
) -> None:
    page = await open_page(0, "Ann", script=PLAYED)
    user_id = await look(page, "state.me")
    await page.click("[popovertarget=mine]")
    switch = page.get_by_label("Notify me on this device")
    await expect(switch).not_to_be_checked()
    assert await page.evaluate("globalThis.asked") is None
    async with connect(cluster.redis_url) as redis:

        async def subscribed(wanted: bool) -> bool:
            return (await redis.hlen(user_push(user_id)) == 1) == wanted

        await switch.click()
        await poll(lambda: subscribed(True), "the subscription")
        assert await page.evaluate("globalThis.asked") == "granted"
        (told,) = (await redis.hgetall(user_push(user_id))).values()
        assert json.loads(told)["endpoint"] == ENDPOINT
        await page.reload()
        await until(page, "state.link === 'online'")
        await page.click("[popovertarget=mine]")
        await expect(switch).to_be_checked()
        await switch.click()
        await poll(lambda: subscribed(False), "the end of the subscription")


async def deliver(session: CDPSession, registration: str, origin: str, **told: str) -> None:
    data = json.dumps({"conversation_id": "plans", "name": "Bob", "title": "Plans", "url": "/#c=plans", **told})
    asked = {"origin": origin, "registrationId": registration, "data": data}
    await session.send("ServiceWorker.deliverPushMessage", asked)


async def deliver_once(worker: Worker, deliver: Callable[[], Awaitable[None]]) -> None:
    """Deliver a push that the worker counts: again only if its event did not come, which the debugger can lose."""

    async def has_come() -> bool:
        return bool(await worker.evaluate("pushes"))

    for _ in range(3):
        await deliver()
        with contextlib.suppress(NeverCame):
            return await poll(has_come, "the push", 5)
    raise NeverCame("the push")


async def shown(worker: Worker) -> list[list[str]]:
    return list(
        await worker.evaluate(
            "registration.getNotifications().then((all) => all.map(({ title, body, tag }) => [title, body, tag]))"
        )
    )


async def registered(page: Page) -> tuple[CDPSession, str, Worker]:
    """The page's service worker, which it registers by itself, as the browser's own tools know it."""
    session = await page.context.new_cdp_session(page)
    ids: list[str] = []
    session.on(
        "ServiceWorker.workerRegistrationUpdated",
        lambda told: ids.extend(one["registrationId"] for one in told["registrations"]),
    )
    await session.send("ServiceWorker.enable")
    await page.evaluate("navigator.serviceWorker.ready.then(() => 0)")
    (worker,) = page.context.service_workers
    await poll(lambda: ids, "the registration")
    return session, ids[-1], worker


async def test_a_push_is_shown_once_for_a_conversation_and_opens_it_when_it_is_clicked(
    open_page: PageFactory, cluster: LocalCluster
) -> None:
    page = await open_page(0, "Ann", service_workers="allow")
    origin = cluster.urls[0]
    await page.context.grant_permissions(["notifications"], origin=origin)
    session, registration, worker = await registered(page)
    await worker.evaluate("clients.matchAll = async () => []")  # as if no page was open
    await deliver(session, registration, origin, kind="question", text="Shall I book it?")
    await deliver(session, registration, origin, kind="question", text="And now?")

    async def is_shown() -> bool:
        return await shown(worker) == [["Bob · Plans", "And now?", "question plans"]]

    await poll(is_shown, "the notification")
    # A page that is in sight shows it by itself: what the browser asks for is shown and closed at once.
    await worker.evaluate("clients.matchAll = async () => [{ visibilityState: 'visible', focused: true }]")
    await worker.evaluate(
        "globalThis.closed = [], globalThis.pushes = 0, addEventListener('push', () => { pushes += 1; }),"
        " Notification.prototype.close = ((close) => function () {"
        " closed.push(this.tag); close.call(this); })(Notification.prototype.close), 0"
    )
    await deliver_once(worker, partial(deliver, session, registration, origin, kind="mention", text="@Ann"))

    async def is_closed() -> bool:
        tags = [tag for _, _, tag in await shown(worker)]
        return (await worker.evaluate("closed"), tags) == (["mention plans"], ["question plans"])

    await poll(is_closed, "the end of the other one")
    await worker.evaluate("delete clients.matchAll")
    clicked = "new NotificationEvent('notificationclick', { notification })"
    await page.evaluate(
        "navigator.serviceWorker.startMessages(),"
        " navigator.serviceWorker.addEventListener('message', ({ data }) => (globalThis.told = data.open)), 0"
    )
    # A click that no person makes may not bring a page to the front.
    await worker.evaluate(
        "WindowClient.prototype.focus = async () => {},"
        f"registration.getNotifications().then(([notification]) => self.dispatchEvent({clicked}))"
    )
    await until(page, "globalThis.told === '#c=plans'")
