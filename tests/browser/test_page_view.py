"""What people see and do on the page: messages, answers, questions, people, devices, search and keys."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.async_api import expect

from sio_server.local.cluster import LocalCluster
from tests.browser.conftest import PageFactory
from tests.browser.pages import create, look, say, until

pytest_plugins = ["tests.served.fixtures"]


@pytest.fixture(scope="module")
def cluster(served: LocalCluster) -> LocalCluster:
    return served


async def test_a_message_tells_how_far_it_has_come(open_page: PageFactory) -> None:
    ann = await open_page(0, "Ann")
    conversation = await create(ann, agent="off")
    await say(ann, "hello")
    await expect(ann.locator(".mine.newest .mark")).to_have_text("Sent")
    phone = await open_page(1, token=ann.token)  # type: ignore[attr-defined]
    await until(phone, "state.conversations.size > 0")
    await expect(ann.locator(".mine.newest .mark")).to_have_text("Delivered to 1 device")
    await open_page(2, "Bob", conversation=conversation)
    await expect(ann.locator(".mine.newest .mark")).to_have_text("Read by Bob")


async def test_messages_written_offline_are_shown_as_waiting_until_they_are_sent(
    open_page: PageFactory,
) -> None:
    page = await open_page(0, "Ann")
    await create(page, agent="off")
    await page.context.set_offline(True)
    await expect(page.locator("#side .status")).to_have_text("Offline")
    await say(page, "later")
    await expect(page.locator(".pending .mark")).to_have_text("Waiting to be sent")
    await expect(page.locator("#hint")).to_contain_text("Not connected")
    await page.context.set_offline(False)
    await expect(page.locator("#side .status")).to_contain_text("Online · node")
    await expect(page.locator(".mine .mark")).to_have_text("Sent")
    await expect(page.locator(".mine")).to_have_count(1)


async def test_a_refused_message_can_be_tried_again_or_discarded(open_page: PageFactory, tmp_path: Path) -> None:
    page = await open_page(0, "Ann")
    await create(page, graph="teller", multitask_strategy="reject")
    await say(page, f"first gate:{tmp_path / 'gate'} end")
    await expect(page.locator("[aria-busy=true] .text")).to_contain_text("first")
    await say(page, "second")
    await expect(page.locator(".message .error")).to_contain_text("Not sent: The agent is still answering.")
    await say(page, "third")
    await expect(page.locator(".message .error")).to_have_count(2)
    await page.locator(".message .error").last.get_by_role("button", name="Discard").click()
    (tmp_path / "gate").touch()
    await expect(page.locator(".actions")).to_be_visible()
    await page.locator(".message .error").get_by_role("button", name="Try again").click()
    await expect(page.locator(".agent .text").last).to_have_text("second")
    await expect(page.locator(".message .error")).to_have_count(0)
    await expect(page.locator(".mine .text")).to_have_text([f"first gate:{tmp_path / 'gate'} end", "second"])


async def test_an_answer_grows_word_by_word_and_can_be_stopped(open_page: PageFactory, tmp_path: Path) -> None:
    ann = await open_page(0, "Ann")
    conversation = await create(ann, graph="teller")
    bob = await open_page(1, "Bob", conversation=conversation)
    await say(ann, f"one two gate:{tmp_path / 'never'} three")
    for page in (ann, bob):
        await expect(page.locator("[aria-busy=true] .text")).to_have_text("one two")
    await bob.click("#stop")
    for page in (ann, bob):
        await expect(page.locator(".agent .note")).to_have_text("Stopped by Bob")
        await expect(page.locator(".agent .text")).to_have_text("one two")
        await expect(page.locator("#stop")).to_be_hidden()


async def test_a_run_that_waits_for_its_turn_is_shown_with_its_message_and_can_be_stopped(
    open_page: PageFactory, tmp_path: Path
) -> None:
    ann = await open_page(0, "Ann")
    conversation = await create(ann, graph="teller")
    bob = await open_page(1, "Bob", conversation=conversation)
    await say(ann, f"one gate:{tmp_path / 'gate'} two")
    await say(ann, "three")
    four = f"four gate:{tmp_path / 'later'} five"
    await say(ann, four)
    for page in (ann, bob):
        await expect(page.locator(".queued .note")).to_have_text(
            ["Waiting for its turn: “three”", f"Waiting for its turn: “{four}”"]
        )
        await expect(page.locator("[aria-busy=true] .text")).to_have_text("one")
    await bob.locator(".queued").first.get_by_role("button", name="Stop answering").click()
    for page in (ann, bob):
        await expect(page.locator(".line.stopped")).to_have_text("Stopped by Bob")
        await expect(page.locator(".queued .note")).to_have_text([f"Waiting for its turn: “{four}”"])
        await expect(page.locator("[aria-busy=true] .text")).to_have_text("one")
    (tmp_path / "gate").touch()
    for page in (ann, bob):  # what waited is written as any other
        await expect(page.locator("[aria-busy=true] .text")).to_have_text("four")
    (tmp_path / "later").touch()
    for page in (ann, bob):
        await expect(page.locator(".agent .text")).to_have_text(["one two", "four five"])
        await expect(page.locator("#stop")).to_be_hidden()


async def test_a_run_that_waits_with_a_question_says_so(open_page: PageFactory, tmp_path: Path) -> None:
    page = await open_page(0, "Ann")
    await create(page, graph="asker")
    await say(page, f"ask 1 gate:{tmp_path / 'gate'}")
    await say(page, "second")
    await expect(page.locator(".queued .note")).to_have_text("Waiting for its turn: “second”")
    (tmp_path / "gate").touch()
    await expect(page.locator(".queued[aria-busy=true] .text")).to_have_attribute(
        "data-thinking", "Waiting for its turn"
    )


async def test_a_run_whose_node_is_silent_says_so_also_to_a_screen_reader(
    open_page: PageFactory, tmp_path: Path
) -> None:
    page = await open_page(0, "Ann")
    await create(page, graph="teller")
    await say(page, f"one gate:{tmp_path / 'gate'} two")
    await expect(page.locator("[aria-busy=true] .text")).to_have_text("one")
    change = "({ state, changed }) => { state.open.stream.current.status = STATUS; changed(); }"
    silent = await look(page, "state.open.stream.current.node")
    await page.evaluate(f"import('/js/state.js').then({change.replace('STATUS', repr('stalled'))})")
    for where in ("[aria-busy=true] .note", "#announced"):
        await expect(page.locator(where)).to_have_text(f"Node {silent} is silent. Another one will continue.")
    await expect(page.locator("[aria-busy=true] .text")).to_have_text("one")
    await page.evaluate(f"import('/js/state.js').then({change.replace('STATUS', repr('running'))})")
    await expect(page.locator(".agent .note")).to_have_count(0)
    (tmp_path / "gate").touch()
    await expect(page.locator(".agent .text")).to_have_text("one two")


async def test_nothing_moves_while_an_answer_is_written_below(open_page: PageFactory, tmp_path: Path) -> None:
    page = await open_page(0, "Ann")
    await create(page, graph="teller")
    for number in range(3):
        await say(page, "\n".join(f"{number} line {line}" for line in range(30)))
        await expect(page.locator(".actions")).to_have_count(1)
        await expect(page.locator(".message.agent")).to_have_count(number + 1)
    # The page may draw before it is told of the scrolling.
    scroll = "document.querySelector('#scroller').scrollTop = 500; changed();"
    await page.evaluate(f"import('/js/state.js').then(({{ changed }}) => {{ {scroll} }})")
    await expect(page.locator("#to-end")).to_be_visible()
    await page.evaluate(
        "window.shifts = [];"
        "new PerformanceObserver((list) => shifts.push(...list.getEntries().map((e) => e.value)))"
        ".observe({ type: 'layout-shift' })"
    )
    await page.evaluate("window.stood = document.querySelectorAll('.message')[2].getBoundingClientRect().top")
    # Somebody else's: one's own draft would make the field grow.
    other = await open_page(1, "Bob", conversation=await look(page, "state.open.id"))
    await say(other, "# title\n\ntext text\n\n- a\n- b\n\n" + "word " * 60)
    await expect(page.locator(".message.agent")).to_have_count(4)
    await expect(page.locator(".actions")).to_have_count(1)
    assert await page.evaluate("document.querySelectorAll('.message')[2].getBoundingClientRect().top === stood")
    assert sum(await page.evaluate("shifts")) < 0.001  # the button that counts is as wide as its words


async def test_the_last_answer_can_be_regenerated_and_the_last_message_edited(open_page: PageFactory) -> None:
    page = await open_page(0, "Ann")
    await create(page, graph="teller")
    await say(page, "first words")
    await expect(page.locator(".actions")).to_be_visible()
    await until(page, "state.open.entries.at(-1).type === 'answer'")
    was = await look(page, "state.open.entries.at(-1).seq")
    await page.get_by_role("button", name="Answer again").click()
    await until(page, f"state.open.entries.at(-1).data.replaces === {was}")
    await expect(page.locator(".message.agent")).to_have_count(1)

    await page.press("#text", "ArrowUp")
    await expect(page.locator("#editing")).to_be_visible()
    assert await page.input_value("#text") == "first words"
    await page.press("#text", "Escape")
    await expect(page.locator("#editing")).to_be_hidden()
    await page.get_by_role("button", name="Edit", exact=True).click()
    await say(page, "other words")
    await expect(page.locator(".agent .text")).to_have_text(["other words"])
    await expect(page.locator(".mine .text")).to_have_text(["other words"])
    await expect(page.locator(".mine .note")).to_have_text("Edited")


async def test_tools_unfold_with_their_arguments_and_results(open_page: PageFactory, tmp_path: Path) -> None:
    page = await open_page(0, "Ann")
    await create(page, graph="reporter")
    await say(page, f"find gate:{tmp_path / 'gate'} it")
    fold = page.locator(".steps")
    await expect(page.locator("[aria-busy=true] .text").last).to_contain_text("Then that.")
    await fold.locator("> summary").click()
    await expect(fold.locator("li")).to_have_count(3)
    (tmp_path / "gate").touch()
    await expect(page.locator(".actions")).to_be_visible()
    # What was open stays so when the answer is final.
    await expect(fold.locator("> summary")).to_have_text("3 steps")
    await expect(fold.locator("li")).to_contain_text(["halfway", "find", "lose"])
    await page.reload()
    await expect(fold.locator("> summary")).to_have_text("2 steps")
    await fold.locator("> summary").click()
    found, lost = await fold.locator("li").all()
    await found.locator("summary").click()
    await expect(found.locator("pre")).to_have_text(['{ "where": "here", "size": 3 }', "found it"])
    await expect(found.locator("summary")).to_have_text("find done")
    await expect(lost.locator("summary")).to_have_text("lose failed")


async def test_questions_are_answered_on_any_device_and_show_who_and_where(open_page: PageFactory) -> None:
    ann = await open_page(0, "Ann")
    conversation = await create(ann, graph="pair")
    bob = await open_page(1, "Bob", conversation=conversation)
    await say(ann, "ask both")
    for page in (ann, bob):
        await expect(page.locator("fieldset")).to_have_count(2)
    await bob.locator("fieldset").first.get_by_role("button", name="Yes").click()
    note = ann.locator("fieldset .note").first
    await expect(note).to_have_text(f"Answered by Bob on {await look(bob, 'state.devices[0].device_name')}: Yes")
    await expect(ann.locator("fieldset").last.locator(".options button")).to_have_count(2)
    await ann.locator("fieldset").last.get_by_role("button", name="No").click()
    await expect(bob.locator("fieldset button")).to_have_count(0)
    await expect(bob.locator(".agent .text").last).to_have_text('{"left": ["approve"], "right": ["reject"]}')


async def test_an_answer_to_questions_that_is_regenerated_leaves_no_answered_question_behind(
    open_page: PageFactory,
) -> None:
    page = await open_page(0, "Ann")
    await create(page, graph="pair")
    await say(page, "ask both")
    for name in ("Yes", "No"):
        for _ in range(2):
            await page.get_by_role("button", name=name).first.click()
        await expect(page.locator(".agent .text")).to_have_count(1)
        await expect(page.locator("fieldset .note")).to_have_count(2)
        await page.get_by_role("button", name="Answer again").click()
        await page.click("#ask-yes")  # what was answered counts no longer
        await expect(page.locator("fieldset .options button")).to_have_count(4)
        await expect(page.locator("fieldset")).to_have_count(2)
        await expect(page.locator(".message.agent")).to_have_count(1)
        await expect(page.locator("#to-end")).to_be_hidden()  # the page is still at the end
    await page.reload()
    await expect(page.locator("fieldset .options button")).to_have_count(4)
    await expect(page.locator(".message.agent")).to_have_count(1)


async def test_of_two_answers_to_a_question_the_later_one_is_shown_who_was_first(open_page: PageFactory) -> None:
    ann = await open_page(0, "Ann")
    conversation = await create(ann, graph="pair")
    bob = await open_page(1, "Bob", conversation=conversation)
    await say(ann, "ask both")
    await expect(bob.locator("fieldset")).to_have_count(2)
    # Bob's page is not told of Ann's answer.
    await bob.evaluate(
        "import('/sdk/src/stream.js').then(({ Stream }) => "
        "(Stream.prototype.on = () => ({ entries: [], sync: false })))"
    )
    await ann.get_by_role("button", name="Yes").first.click()
    await expect(ann.locator("fieldset .note")).to_have_count(1)
    await bob.get_by_role("button", name="No").first.click()
    device = await look(ann, "state.devices[0].device_name")
    await expect(bob.locator("fieldset .note").first).to_have_text(f"Answered by Ann on {device}: Yes")


async def test_a_question_for_the_owner_has_no_buttons_for_other_members(open_page: PageFactory) -> None:
    ann = await open_page(0, "Ann")
    conversation = await create(ann, graph="pair", approvals="owner")
    bob = await open_page(1, "Bob", conversation=conversation)
    await say(ann, "ask both")
    await expect(ann.locator("fieldset .options button")).to_have_count(4)
    await expect(bob.locator("fieldset .note")).to_have_text(["Only the owner can answer this."] * 2)


async def test_presence_and_typing_are_shown_and_people_are_invited_by_id(open_page: PageFactory) -> None:
    ann = await open_page(0, "Ann")
    conversation = await create(ann, access="invitation", agent="off")
    bob = await open_page(1, "Bob")
    await ann.click("[popovertarget=people]")
    await ann.fill("#invite input", await look(bob, "state.me"))
    await ann.press("#invite input", "Enter")
    await expect(ann.locator("#toast")).to_contain_text("Invited: bob-")
    await expect(bob.locator("#list .count")).to_have_text("Invitation")
    await bob.click("#list a")
    await expect(bob.locator("#title")).to_have_text("Plans")
    await expect(ann.locator("#subtitle")).to_have_text("2 members, 2 online")
    await expect(ann.locator("#members li")).to_contain_text(["you · owner", "Bob"])
    await ann.keyboard.press("Escape")
    await bob.locator("#text").press_sequentially("h")
    await expect(ann.locator("#typing")).to_have_text("Bob is typing…")
    await bob.context.close()
    await expect(ann.locator("#subtitle")).to_have_text("2 members, 1 online")
    assert await look(ann, "state.open.id") == conversation


async def test_drafts_are_the_same_on_all_devices(open_page: PageFactory) -> None:
    ann = await open_page(0, "Ann")
    conversation = await create(ann, agent="off")
    phone = await open_page(1, token=ann.token, conversation=conversation)  # type: ignore[attr-defined]
    await ann.locator("#text").press_sequentially("half a th")
    await expect(phone.locator("#text")).to_have_value("half a th")
    await say(ann, "half a thought")
    await expect(phone.locator("#text")).to_have_value("")


async def test_two_tabs_of_one_device_have_the_same_draft_and_a_reload_gets_it_back(
    open_page: PageFactory,
) -> None:
    same = """sessionStorage.setItem("roomgraph.device", '"one-device"')"""
    ann = await open_page(0, "Ann", script=same)
    conversation = await create(ann, agent="off")
    token: str = ann.token  # type: ignore[attr-defined]
    tab = await open_page(1, token=token, beside=ann, script=same, conversation=conversation)
    await until(tab, "state.devices.length === 1 && state.devices[0].sessions.length === 2")
    for writer, reader, text in ((ann, tab, "half a th"), (tab, ann, "half a thought")):
        await writer.fill("#text", text)
        await expect(reader.locator("#text")).to_have_value(text)
    # Both have it from the server; what comes last is not even sent before the reload.
    await ann.evaluate(
        "() => { const field = document.querySelector('#text'); field.value = 'and the rest';"
        "field.dispatchEvent(new Event('input')); location.reload(); }"
    )
    await expect(tab.locator("#text")).to_have_value("and the rest")
    await until(ann, "state.open?.loaded")
    await expect(ann.locator("#text")).to_have_value("and the rest")
    await tab.reload()
    await expect(tab.locator("#text")).to_have_value("and the rest")
    await say(ann, "and the rest")
    await expect(tab.locator("#text")).to_have_value("")


async def test_devices_are_listed_renamed_in_place_and_signed_out(open_page: PageFactory) -> None:
    ann = await open_page(0, "Ann")
    await create(ann, agent="off")
    phone = await open_page(1, token=ann.token)  # type: ignore[attr-defined]
    await ann.click("#my-button")
    rows = ann.locator("#devices li")
    await expect(rows).to_have_count(2)
    node = await look(phone, "state.node")
    await expect(rows.filter(has_text=f"online on node {node}")).to_have_count(1)
    await expect(rows.filter(has_text="this device")).to_have_count(1)
    other = rows.filter(has_text=f"node {node}").locator("input")
    await other.fill("Phone")
    await other.press("Enter")
    await until(phone, "state.devices.find((one) => one.here).device_name === 'Phone'")
    await rows.filter(has_text=f"node {node}").get_by_role("button").click()
    await expect(ann.locator("#ask-title")).to_have_text("Sign out “Phone”?")
    await ann.click("#ask-yes")
    await expect(phone.locator("#signin")).to_be_visible()
    await expect(rows).to_have_count(1)


async def test_missed_messages_are_marked_and_a_button_leads_to_the_latest(open_page: PageFactory) -> None:
    ann = await open_page(0, "Ann")
    conversation = await create(ann, agent="off")
    await say(ann, "\n".join(["tall"] * 60))
    bob = await open_page(1, "Bob", conversation=conversation)
    await bob.click("#to-end")
    await expect(ann.locator(".mine.newest .mark")).to_have_text("Read by Bob")
    await bob.evaluate("location.hash = ''")
    for number in range(3):
        await say(ann, f"{number} " + "\n".join(["tall"] * 40))
    await expect(bob.locator("#list .count:not([hidden])").first).to_have_text("3")
    await bob.click("#list a")
    await expect(bob.locator(".news")).to_have_text("3 new messages")
    await expect(bob.locator(".news")).to_be_in_viewport()
    await expect(bob.locator("#to-end")).to_be_visible()
    await say(ann, "one more")
    await expect(bob.locator("#away")).to_have_text("1 new message")
    await bob.click("#to-end")
    await expect(bob.locator("#to-end")).to_be_hidden()
    await expect(bob.locator("#log").get_by_text("one more")).to_be_in_viewport()
    await expect(bob.locator("#list .count")).to_have_count(0)
    await bob.evaluate("location.hash = ''")
    await bob.click("#list a")
    await expect(bob.locator("#log").get_by_text("one more")).to_be_in_viewport()
    await expect(bob.locator(".news")).to_have_count(0)


async def test_the_list_shows_what_was_said_last_by_whom_and_who_mentions_the_reader(
    open_page: PageFactory,
) -> None:
    ann = await open_page(0, "Ann")
    conversation = await create(ann, agent="off")
    bob = await open_page(1, "Bob", conversation=conversation)
    await bob.evaluate("location.hash = ''")
    row = bob.locator("#list li")
    await say(ann, "good morning")
    await expect(row.locator(".last")).to_have_text("Ann: good morning")
    await expect(row.locator(".count")).to_have_text(["1"])
    await say(ann, "@bob, are you here?")
    await expect(row.locator(".last")).to_have_text("Ann: @bob, are you here?")
    await expect(row.locator(".count")).to_have_text(["@", "2"])
    await expect(row.locator(".unseen")).to_have_text(["1 mention of you", "2 new messages"])
    await expect(ann.locator("#list .last")).to_have_text("You: @bob, are you here?")
    # The same from the server's list, in the other language.
    await bob.reload()
    await until(bob, "state.link === 'online'")
    await expect(row.locator(".count")).to_have_text(["@", "2"])
    await bob.click("#my-button")
    await bob.click("#mine .language")
    await bob.keyboard.press("Escape")
    await expect(row.locator(".unseen")).to_have_text(["1 条提到了您", "2 条新消息"])
    await expect(row.locator(".last")).to_have_text("Ann：@bob, are you here?")
    await row.locator("a").click()
    await expect(row.locator(".count")).to_have_count(0)
    await bob.fill("#text", "not yet")
    await bob.evaluate("location.hash = ''")
    await expect(row.locator(".last")).to_have_text("草稿：not yet")


async def test_search_goes_through_the_hits_and_marks_them(open_page: PageFactory) -> None:
    page = await open_page(0, "Ann")
    await create(page, agent="off")
    for text in ("an apple", "a pear", "two **apples**"):
        await say(page, text)
    await expect(page.locator(".sent .mark, .delivered .mark")).to_have_count(3)
    await page.keyboard.press("Alt+f")
    await page.keyboard.type("APPLE")
    await expect(page.locator("#hits")).to_have_text("1 / 2")
    await expect(page.locator(".hit")).to_contain_text("two")
    assert await page.evaluate("CSS.highlights.get('found').size") == 2
    await page.keyboard.press("Enter")
    await expect(page.locator("#hits")).to_have_text("2 / 2")
    await expect(page.locator(".hit")).to_contain_text("an apple")
    await page.fill("#query", "plum")
    await expect(page.locator("#hits")).to_have_text("No results")
    await page.keyboard.press("Escape")
    await expect(page.locator("#search")).to_be_hidden()
    assert await page.evaluate("CSS.highlights.get('found').size") == 0


async def test_the_keyboard_reaches_everything(open_page: PageFactory) -> None:
    page = await open_page(0, "Ann")
    for title in ("First", "Second"):
        await create(page, title, agent="off")
    await page.keyboard.press("Alt+ArrowDown")
    await expect(page.locator("#title")).to_have_text("First")
    await page.locator("#list a").first.focus()
    await page.keyboard.press("ArrowDown")
    await page.keyboard.press("ArrowUp")
    await page.keyboard.press("Enter")
    await expect(page.locator("#title")).to_have_text("Second")
    await page.keyboard.press("Alt+h")
    await expect(page.locator("#help")).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(page.locator("#help")).to_be_hidden()
    await page.keyboard.press("Alt+n")
    await until(page, "state.conversations.size === 3 && state.open?.loaded && state.open.title === ''")
    await page.locator("#welcome").wait_for()
    await page.focus("#text")
    await page.keyboard.type("one")
    await page.keyboard.press("Shift+Enter")
    await page.keyboard.type("two")
    await page.keyboard.press("Enter")
    await expect(page.locator(".mine .text")).to_have_text("one\ntwo", use_inner_text=True)


async def test_the_language_is_switched_for_the_whole_page(open_page: PageFactory) -> None:
    page = await open_page(0, "Ann")
    await create(page, agent="off")
    await say(page, "hello")
    await page.click("#my-button")
    await page.click("#mine .language")
    await expect(page.locator("#devices")).to_contain_text("本设备")
    await page.keyboard.press("Escape")
    for what, words in ((".status", "在线"), ("#log", "今天"), (".mine .mark", "已"), ("#subtitle", "1 位成员")):
        await expect(page.locator(what).first).to_contain_text(words)
    assert await page.get_attribute("#text", "placeholder") == "输入消息"
    assert await page.get_attribute("html", "lang") == "zh-CN"
    await page.reload()
    await expect(page.locator("#side .status")).to_contain_text("在线")


async def test_a_refused_request_is_explained(open_page: PageFactory) -> None:
    page = await open_page(0, "Ann")
    await page.click("#new-more")
    await page.fill("#join-form input", "no-such-conversation")
    await page.press("#join-form input", "Enter")
    await expect(page.locator("#toast")).to_contain_text("This conversation does not exist")


LONG_LOG = (Path(__file__).parent / "long_log.js").read_text().partition("\n")[2].rstrip(";\n")


async def test_ten_thousand_entries_open_at_once_scroll_without_a_jump_and_cost_no_more_than_few(
    open_page: PageFactory,
) -> None:
    page = await open_page(0, "Ann")
    await create(page, graph="teller", agent="off")
    await page.evaluate(LONG_LOG, 10_000)
    session = await page.context.new_cdp_session(page)
    await session.send("Performance.setTimeDomain", {"timeDomain": "threadTicks"})  # other processes do not count
    await session.send("Performance.enable")

    async def spent() -> float:
        metrics = (await session.send("Performance.getMetrics"))["metrics"]
        return float(next(one["value"] for one in metrics if one["name"] == "ScriptDuration")) * 1000

    async def least_ms(act: str, times: int) -> float:
        """What a step of `act` takes at best: a busy machine makes some of them slower, and none faster."""
        took = []
        for _ in range(5):
            before = await spent()
            await page.evaluate(act, times)
            took.append((await spent() - before) / times)
        return min(took)

    assert await page.evaluate("long.open()") < 60_000, "it hangs"
    assert await least_ms("(times) => long.live(times)", 4) < 16
    assert await least_ms("(times) => long.stream(times)", 10) < 40
    jumps, rows = await page.evaluate("long.up()")
    assert jumps == 0
    assert rows <= 240
    await expect(page.locator("#log")).to_contain_text("Start of the conversation")
    await page.click("#to-end")
    await expect(page.locator("#log").get_by_text("10020")).to_be_in_viewport()
