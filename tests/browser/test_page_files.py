"""Files of messages: what is attached offline comes with the connection; kinds, names and places are told."""

from __future__ import annotations

import struct
import zlib

import pytest
from playwright.async_api import FilePayload, expect

from sio_clients.conversation import Conversation
from sio_server.local.cluster import LocalCluster
from tests.browser.conftest import PageFactory
from tests.browser.pages import look, problems, say, until

pytestmark = pytest.mark.faults  # for their length; they break nothing

pytest_plugins = ["tests.served.fixtures"]

LOAD = "import('/js/lazy.js').then(({ lazy }) => Promise.all(Object.values(lazy).map((one) => one.load())))"


@pytest.fixture(scope="module")
def cluster(served: LocalCluster) -> LocalCluster:
    return served


def png(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = zlib.compress((b"\0" + b"\x80" * width) * height)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


NOTES = FilePayload(name="notes.txt", mimeType="text/plain", buffer=b"some notes")


async def test_a_file_that_is_attached_offline_is_uploaded_when_the_connection_is_back(
    open_page: PageFactory, plans: Conversation
) -> None:
    page = await open_page(0, "Ann", conversation=plans.id)
    await page.evaluate(LOAD)
    await page.context.set_offline(True)
    await until(page, "state.link !== 'online'")
    await page.set_input_files("#pick-files", [NOTES])
    chip = page.locator("#attached li")
    await expect(chip).to_contain_text("Waits for the connection")
    await page.click("#send")
    await expect(page.locator("#toast")).to_contain_text("uploaded when the connection is back")
    await page.context.set_offline(False)
    await expect(chip).to_contain_text("1 kB", timeout=20_000)
    await page.click("#send")
    await expect(page.locator("#log .file")).to_contain_text("notes.txt")
    await expect(page.locator("#list .last")).to_have_text("You: notes.txt")
    await page.reload()
    await expect(page.locator("#list .last")).to_have_text("You: notes.txt")


async def test_an_upload_that_fails_can_be_tried_again(open_page: PageFactory, plans: Conversation) -> None:
    page = await open_page(0, "Ann", conversation=plans.id)
    await page.evaluate(LOAD)
    await page.route("**/files?name=*", lambda route: route.abort())
    await page.set_input_files("#pick-files", [NOTES])
    chip = page.locator("#attached li")
    await expect(chip).to_contain_text("The upload failed")
    await expect(chip.get_by_role("button", name="Remove “notes.txt”")).to_be_visible()
    assert await problems(page) == []
    await page.unroute("**/files?name=*")
    await chip.get_by_role("button", name="Try again").click()
    await expect(chip).to_contain_text("1 kB")
    await expect(chip.get_by_role("button")).to_have_count(1)


async def test_kinds_are_told_by_names_and_what_stands_beside_a_file_stands_beside_it(
    open_page: PageFactory, plans: Conversation
) -> None:
    page = await open_page(0, "Ann", conversation=plans.id)
    await page.evaluate(LOAD)
    names = {"page.html": "text/html", "evil.svg": "image/svg+xml", "fake.png": "image/png", "data": ""}
    given = [FilePayload(name=name, mimeType=mime, buffer=b"plain") for name, mime in names.items()]
    await page.set_input_files("#pick-files", given)
    await expect(page.locator("#attached small")).to_have_text(["1 kB"] * 4)
    await page.click("#send")
    about = page.locator("#log .file small")
    await expect(about).to_have_text(["HTML · 1 kB", "SVG · 1 kB", "PNG · 1 kB", "1 kB"])
    # Its delivery mark does not make an empty line.
    await say(page, "and now?")
    await expect(page.locator("#log .mine")).to_have_count(2)
    beside = (
        "(() => { const mine = document.querySelector('#log .mine'); const box = (one) => "
        "mine.querySelector(one).getBoundingClientRect(); return box('.mark').bottom - box('.files').top; })()"
    )
    assert await page.evaluate(beside) > 20


async def test_a_file_alone_can_be_edited_into_a_message_with_a_text(
    open_page: PageFactory, plans: Conversation
) -> None:
    page = await open_page(0, "Ann", conversation=plans.id)
    await page.evaluate(LOAD)
    await page.set_input_files("#pick-files", [NOTES])
    await expect(page.locator("#attached small")).to_have_text("1 kB")
    await page.click("#send")
    await page.locator("#log .file").hover()
    await page.get_by_role("button", name="Edit this message").click()
    await expect(page.locator("#editing")).to_be_visible()
    await expect(page.locator("#send")).to_be_enabled()
    await page.click("#send")  # as it was
    await expect(page.locator("#editing")).to_be_hidden()
    await page.locator("#log .file").hover()
    await page.get_by_role("button", name="Edit this message").click()
    await say(page, "for you")
    await expect(page.locator("#log .mine .text")).to_have_text("for you")
    await expect(page.locator("#log .file")).to_contain_text("notes.txt")


@pytest.mark.parametrize("width", [390, 1280])
async def test_an_image_keeps_its_shape_and_is_enlarged_with_its_name_and_a_download(
    open_page: PageFactory, plans: Conversation, width: int
) -> None:
    page = await open_page(0, "Ann", conversation=plans.id, viewport={"width": width, "height": 800})
    await page.evaluate(LOAD)
    photo = FilePayload(name="wide photo.png", mimeType="image/png", buffer=png(1600, 900))
    await page.set_input_files("#pick-files", [photo])
    await expect(page.locator("#attached small")).to_contain_text("kB")
    await page.click("#send")
    await until(page, "document.querySelector('#log .files img')?.naturalWidth === 1600")
    shape = "(({ width, height }) => width / height)(document.querySelector('#log .files img'))"
    assert abs(await page.evaluate(shape) - 16 / 9) < 0.02
    await page.get_by_role("button", name="Enlarge the image").click()
    box = page.locator(".lightbox")
    await expect(box).to_contain_text("wide photo.png")
    await expect(box.locator("a")).to_have_count(0)
    assert await problems(page) == []
    async with page.expect_download() as download:
        await box.get_by_role("button", name="Download").click()
    assert (await download.value).suggested_filename == "wide photo.png"
    await box.get_by_role("button", name="Close").click()
    await expect(box).to_have_count(0)


async def test_what_is_held_above_the_page_is_told_where_to_go(
    open_page: PageFactory, plans: Conversation
) -> None:
    page = await open_page(0, "Ann", conversation=plans.id)
    await page.evaluate(LOAD)
    over = (
        "(type) => { const dataTransfer = new DataTransfer(); dataTransfer.items.add(new File(['x'], 'a.txt'));"
        "document.querySelector('#log').dispatchEvent("
        "new DragEvent(type, { dataTransfer, bubbles: true, cancelable: true })); }"
    )
    await page.evaluate(over, "dragover")
    await expect(page.get_by_text("Drop files here")).to_be_visible()
    await page.evaluate(over, "drop")
    await expect(page.get_by_text("Drop files here")).to_be_hidden()
    await expect(page.locator("#attached li")).to_contain_text("a.txt")
    assert await look(page, "state.open.id") == plans.id
