"""What a page knows, with real nodes: devices, delivery marks, members, long logs, and what it tells a stage."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from typing import Any

import pytest
from playwright.async_api import Page, Route

from sio_clients.conversation import Conversation
from sio_server.conversation.author import Author
from sio_server.conversation.log import ConversationLog
from sio_server.local.cluster import LocalCluster
from sio_server.protocol.errors import Unavailable
from tests.browser.conftest import PageFactory
from tests.browser.pages import MARKS, look, say, until
from tests.conftest import ClientFactory

LONG = 10_000


@pytest.fixture
async def plans(new_client: ClientFactory, new_id: str) -> Conversation:
    """A conversation of Bob's that anyone may join; nobody answers in it."""
    bob = await new_client("Bob", node=2, device_name="Bob's phone")
    return await bob.create("Plans", conversation_id=new_id, access="open", agent="off")


async def test_the_devices_of_a_user_are_listed_with_how_far_each_is_behind(
    open_page: PageFactory, plans: Conversation
) -> None:
    laptop = await open_page(0, "Ann", conversation=plans.id)
    phone = await open_page(1, token=laptop.token, conversation=plans.id)  # type: ignore[attr-defined]
    await until(laptop, "state.devices.length === 2 && state.devices.every((one) => one.online)")
    here, there = [await look(page, "state.devices.find((one) => one.here).device_id") for page in (laptop, phone)]
    assert here != there
    nodes = await look(
        laptop, f"state.devices.find((one) => one.device_id === '{there}').sessions.map((s) => s.node)"
    )
    assert nodes == [await look(phone, "state.node")]

    await say(laptop, "hello")
    await until(laptop, "state.open.entries.at(-1).data.text === 'hello'")
    await until(laptop, f"{MARKS}.deliveredTo(state.open, state.open.entries.at(-1)) === 1")
    await until(laptop, f"{MARKS}.behindOf(state.open, '{there}') === 0")
    await phone.context.set_offline(True)
    await until(laptop, f"!state.devices.find((one) => one.device_id === '{there}').online", timeout=30)
    await plans.send("one")
    await plans.send("two")
    await until(
        laptop, f"{MARKS}.behindOf(state.open, '{there}') === 2 && {MARKS}.behindOf(state.open, '{here}') === 0"
    )
    assert await look(laptop, f"{MARKS}.behindOf(state.open, 'unknown')") is None
    await phone.context.set_offline(False)
    await until(laptop, f"{MARKS}.behindOf(state.open, '{there}') === 0")


async def test_delivery_marks_are_sent_for_conversations_that_are_followed_but_not_open(
    open_page: PageFactory, plans: Conversation
) -> None:
    page = await open_page(0, "Ann", conversation=plans.id)
    here = await look(page, "state.devices.find((one) => one.here).device_id")
    await page.evaluate("location.hash = ''")
    await until(page, "!state.open")
    seqs = [(await plans.send(f"message {number}")).seq for number in range(20)]
    known = f"state.conversations.get('{plans.id}')"
    await until(page, f"{known}.head === {seqs[-1]} && {MARKS}.behindOf({known}, '{here}') === 0")


async def test_ten_thousand_entries_open_at_once_and_are_read_page_by_page(
    open_page: PageFactory, plans: Conversation, log: ConversationLog
) -> None:
    bob = Author(plans.card.user_id if plans.card else "", "Bob", "phone")

    async def append(key: str, text: str) -> None:
        while True:
            with suppress(Unavailable):  # the disk may be slow; the same again makes no second entry
                await log.append_message(plans.id, bob, key, text, run_id="r")
                return

    for start in range(0, LONG, 25):
        texts = [(f"m{number}", f"message {number}") for number in range(start, start + 25)]
        await asyncio.gather(*(append(key, text) for key, text in texts))
    page = await open_page(0, "Ann")
    await page.evaluate(f"window.began = performance.now(); location.hash = '#c={plans.id}'")
    await until(page, "state.open?.loaded")
    took, count, head = await look(
        page, "[performance.now() - window.began, state.open.entries.length, state.open.head]"
    )
    assert head > LONG
    assert count < LONG / 10, "pages above are read when they are needed"
    assert took < 10_000
    for _ in range(3):
        before = await look(page, "state.open.entries[0].seq")
        await page.evaluate("document.getElementById('scroller').scrollTop = 0")
        await until(page, f"state.open.entries[0].seq < {before}")
    seqs = await look(page, "state.open.entries.map((entry) => entry.seq)")
    assert seqs == list(range(seqs[0], head + 1))


STAGE = """<!doctype html><title>stage</title><iframe id="phone"></iframe>"""


async def test_a_page_in_a_frame_reports_to_its_stage_and_obeys_it(
    cluster: LocalCluster, open_page: PageFactory, plans: Conversation
) -> None:
    async def serve(page: Page) -> None:
        async def answer(route: Route) -> None:
            await route.fulfill(body=STAGE, content_type="text/html")

        await page.route("**/stage-of-a-test", answer)

    stage = await open_page(0, "Ann", prepare=serve)
    await stage.goto(f"{cluster.urls[0]}/stage-of-a-test")
    await stage.evaluate(
        """({ token, nodes, conversation }) => {
          window.told = [];
          addEventListener("message", ({ data, origin }) => origin === location.origin && told.push(data));
          const kept = { token, nodes, device: "stage-phone", device_name: "Phone" };
          for (const [key, value] of Object.entries(kept)) {
            sessionStorage.setItem(`roomgraph.phone.${key}`, JSON.stringify(value));
          }
          document.getElementById("phone").src = `/?frame=phone#c=${conversation}`;
        }""",
        {"token": stage.token, "nodes": [cluster.urls[1]], "conversation": plans.id},  # type: ignore[attr-defined]
    )

    async def told(kind: str, **fields: Any) -> dict[str, Any]:
        found = await stage.evaluate(
            """async ([kind, fields]) => {
              for (let left = 500; left; left--) {
                const fits = (one) => Object.entries(fields).every(([key, value]) => one[key] === value);
                const found = told.find((one) => one.roomgraph === kind && fits(one));
                if (found) return found;
                await new Promise((done) => setTimeout(done, 20));
              }
            }""",
            [kind, fields],
        )
        assert found, (kind, fields, json.dumps(await stage.evaluate("told")))
        return dict(found)

    link = await told("link", link="online")
    assert link["node"] == str(cluster.ports[1])
    await told("entry", type="member_joined")
    await stage.evaluate("frames[0].postMessage({ do: 'send', text: 'from the stage' }, location.origin)")
    sent = await told("sent")
    acked = await told("acked", request_id=sent["request_id"])
    entry = await told("entry", request_id=sent["request_id"], seq=acked["seq"], type="message")
    assert sent["at"] <= min(acked["at"], entry["at"])
    assert sent["conversation_id"] == entry["conversation_id"] == plans.id
    written = [(one.data["text"], one.data["device_id"]) for one in await plans.log() if one.type == "message"]
    assert written == [("from the stage", "stage-phone")]
    await stage.evaluate("frames[0].postMessage({ do: 'draft', text: 'half a' }, location.origin)")
    frame = next(frame for frame in stage.frames if "frame=phone" in frame.url)
    await until(frame, "document.getElementById('text').value === 'half a'")
    await frame.evaluate("postMessage({ do: 'send', text: 'from itself' }, location.origin)")
    await stage.evaluate("frames[0].postMessage({ do: 'send', text: 'again' }, location.origin)")
    await told("entry", seq=entry["seq"] + 1)
    assert [one.data["text"] for one in await plans.log() if one.type == "message"] == ["from the stage", "again"]
