"""Questions in their forms: reviews, schemas and choices are answered on any device and close on all of them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Page, expect

from sio_clients.conversation import Conversation
from sio_server.local.cluster import LocalCluster
from tests.browser.conftest import PageFactory
from tests.browser.pages import problems, say
from tests.conftest import NODE_SETTINGS, ClientFactory, cluster_in
from tests.integration.test_reviews import REVIEWS

SEND = ["send_mail", {"to": "ann", "copies": 2}]
DELETE = ["delete_file", {"path": "/tmp/a"}]


@pytest.fixture(scope="module")
async def cluster(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LocalCluster]:
    """Two nodes whose graphs ask in each form."""
    settings = {**NODE_SETTINGS, "LANGGRAPH_JSON": REVIEWS}
    async with cluster_in(tmp_path_factory.mktemp("questions"), settings, nodes=2) as running:
        yield running


async def asked(new_client: ClientFactory, new_id: str, graph: str) -> Conversation:
    bob = await new_client("Bob", node=1)
    return await bob.create("Plans", conversation_id=new_id, access="open", graph=graph)


def last(page: Page) -> str:
    return ".agent .text >> nth=-1"


async def test_several_actions_are_decided_one_by_one_and_sent_together(
    open_page: PageFactory, new_client: ClientFactory, new_id: str
) -> None:
    plans = await asked(new_client, new_id, "reviewed")
    ann = await open_page(0, "Ann", conversation=plans.id)
    cid = await open_page(1, "Cid", conversation=plans.id, locale="zh-CN")
    await say(ann, json.dumps([SEND, DELETE]))
    mail, delete = ann.locator(".action").nth(0), ann.locator(".action").nth(1)
    await expect(mail.locator("dd")).to_have_text(["ann", "2"])
    await expect(delete.get_by_role("button")).to_have_text(["Approve", "Reject"])
    await mail.get_by_role("button", name="Edit").click()
    await mail.get_by_label("to").fill("bob")
    await mail.get_by_label("copies").fill("3")
    assert await problems(ann) == []
    await mail.get_by_role("button", name="Approve with changes").click()
    await expect(mail.locator("dd.changed")).to_have_text(["bob", "3"])
    await delete.get_by_role("button", name="Reject").click()
    await expect(ann.get_by_role("button", name="Send decisions")).to_be_disabled()
    await delete.get_by_label("Reason").fill("keep it")
    await delete.get_by_role("button", name="Reject").click()
    await ann.get_by_role("button", name="Send decisions").click()
    for page, words in ((ann, ["Approved with changes", "Rejected"]), (cid, ["修改后批准", "已拒绝"])):
        await expect(page.locator(".verdict")).to_have_text(words)
        await expect(page.locator("fieldset .note")).to_contain_text("Ann")
        await expect(page.locator("fieldset button")).to_have_count(0)
        await expect(page.locator(last(page))).to_contain_text("sent to bob, 3")


async def test_a_form_of_a_schema_keeps_what_was_typed_when_the_answer_is_refused(
    open_page: PageFactory, new_client: ClientFactory, new_id: str
) -> None:
    plans = await asked(new_client, new_id, "typed")
    page = await open_page(0, "Ann", conversation=plans.id)
    await say(page, "book")
    card = page.locator("fieldset")
    await card.get_by_label("People").fill("4")
    await card.locator("select").select_option(label="red")
    await card.get_by_label("Name").fill("ANN")
    await card.get_by_role("button", name="Answer").click()
    await expect(card.locator(".error")).to_contain_text("name")
    assert await problems(page) == []
    await expect(card.get_by_label("People")).to_have_value("4")
    await card.get_by_label("Name").fill("ann")
    await card.get_by_role("button", name="Answer").click()
    await expect(card.locator("dd")).to_have_text(["4", "red", "ann"])
    await expect(page.locator(last(page))).to_contain_text('"people": 4')


async def test_a_call_of_an_inbox_is_answered_with_text_or_ignored(
    open_page: PageFactory, new_client: ClientFactory, new_id: str
) -> None:
    plans = await asked(new_client, new_id, "inbox")
    page = await open_page(0, "Ann", conversation=plans.id)
    await say(page, "one")
    buttons = page.locator("fieldset .options button")
    await expect(buttons).to_have_text(["Approve", "Edit", "Respond", "Ignore"])
    await buttons.nth(2).click()
    await page.get_by_label("Your response").fill("later")
    await page.locator("fieldset form button").first.click()
    await expect(page.locator(".verdict")).to_have_text("Responded")
    await expect(page.locator(".comment")).to_have_text("later")


async def test_an_answer_of_no_use_is_asked_again_with_the_reason(
    open_page: PageFactory, new_client: ClientFactory, new_id: str
) -> None:
    plans = await asked(new_client, new_id, "fussy")
    page = await open_page(0, "Ann", conversation=plans.id)
    await say(page, "one")
    await page.fill("fieldset textarea", "wrong")
    await page.press("fieldset textarea", "Enter")
    await expect(page.locator(".reopened")).to_contain_text("The last answer could not be used", timeout=15_000)
    await page.locator("fieldset textarea").last.fill("right")
    await page.locator("fieldset textarea").last.press("Enter")
    await expect(page.locator(last(page))).to_contain_text('"right"')


async def test_a_shortened_question_is_answered_only_when_it_is_whole(
    open_page: PageFactory, new_client: ClientFactory, new_id: str
) -> None:
    plans = await asked(new_client, new_id, "reviewed")
    ann = await open_page(0, "Ann", conversation=plans.id)
    shown = await ann.evaluate(
        """async () => {
          const { showQuestions } = await import("/js/view/question.js");
          const c = { asked: ["i"], resolved: new Map(), approvals: "members" };
          const ask = (text) => [{ interrupt_id: "i", form: { kind: "text", text, free: true } }];
          const short = document.createElement("div"), whole = document.createElement("div");
          const more = { c, words: true, connection: {} };
          showQuestions(short, null, { ...more, interrupts: ask("Bo"), shortened: true });
          const before = [short.textContent, short.querySelectorAll("form").length];
          showQuestions(whole, short, { ...more, interrupts: ask("Book it?"), shortened: false });
          return [before, [whole.textContent, whole.querySelectorAll("form").length]];
        }"""
    )
    (short, short_forms), (whole, whole_forms) = shown
    assert "Only the beginning is shown." in short
    assert (short_forms, whole_forms) == (0, 1)
    assert "Book it?" in whole
