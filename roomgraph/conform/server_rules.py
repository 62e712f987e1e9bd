"""The rules that a server keeps: each is played by clients of two users against any server."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable

import socketio

from roomgraph.conform.player import Player, Table, expect
from roomgraph.conform.report import Broken, Verdict, judge

FINAL = ("answer", "interrupt", "stopped", "failed")
ASKING = "a workshop room tomorrow at 10 for 6 people"  # the concierge asks for an approval


async def a_session_is_opened(table: Table) -> None:
    player = await table.seat()
    opened = await player.event("session:opened")
    expect(opened["v"] == 2, f"the protocol's version is {opened['v']}")


async def a_wrong_token_is_refused_with_a_code(table: Table) -> None:
    unidentified = Player(table.url, "no-token")
    try:
        await unidentified.connect()
    except socketio.exceptions.ConnectionError:
        error = (unidentified.refusal or {}).get("data") if isinstance(unidentified.refusal, dict) else None
        expect(error and error["code"] == "token_invalid" and not error["retryable"], f"{unidentified.refusal!r}")
    else:
        await unidentified.close()
        raise Broken("it was accepted")


async def unknown_requests_and_fields_are_refused(table: Table) -> None:
    ann = await table.seat()
    for code, request, fields in (
        ("unknown_event", "conversation:paint", {}),
        ("invalid_payload", "device:list", {"colour": 1}),
        ("invalid_payload", "members:list", {}),
    ):
        ack = await ann.call(request, fields)
        expect(not ack["ok"] and ack["error"]["code"] == code, f"{request} {fields}: {ack}")


async def a_repeated_request_gets_the_first_ack(table: Table) -> None:
    ann = await table.seat()
    room = await table.room(ann)
    once = {"conversation_id": room, "request_id": "r-1", "text": "once"}
    first = await ann.ask("message:send", **once)
    await ann.do("message:send", room, text="later")
    expect(await (await table.seat()).ask("message:send", **once) == first, "another device got another ack")
    await ann.refused("request_id_reused", "message:send", **{**once, "text": "twice"})
    head = (await ann.ask("history:read", conversation_id=room))["head"]
    expect(head == 3, f"the log has {head} entries, not 3")


async def messages_are_logged_in_the_order_of_the_outbox(table: Table) -> None:
    ann = await table.seat()
    room = await table.room(ann)
    await ann.refused(
        "out_of_order", "message:send", conversation_id=room, request_id="m-1", text="1", after="m-0"
    )
    sends = [{"request_id": f"m-{i}", "text": str(i), "after": f"m-{i - 1}" if i else None} for i in range(10)]
    acks = await asyncio.gather(*(ann.ask("message:send", conversation_id=room, **send) for send in sends))
    seqs = [ack.get("seq") for ack in acks]
    expect(seqs == list(range(2, 12)), f"seqs of messages sent without waiting: {seqs}")


async def the_stream_is_numbered_and_the_same_for_all(table: Table) -> None:
    ann, bob = await table.seat(0), await table.seat(1)
    room = await table.agent_room(ann, bob)
    ack = await ann.do("message:send", room, text="hello")
    for player in (ann, bob):
        await player.entry(room, *FINAL, run_id=ack["run_id"])
    streams = [player.stream(room) for player in (ann, bob)]
    numbers = [payload["n"] for _, payload in streams[1]]
    expect(numbers == list(range(numbers[0], numbers[0] + len(numbers))), f"n: {numbers}")
    expect(streams[0][-len(numbers) :] == streams[1], "two members were sent different streams")


async def an_answer_is_streamed_and_ends_with_its_entry(table: Table) -> None:
    ann, bob = await table.seat(0), await table.seat(1)
    room = await table.agent_room(ann)
    ack = await ann.do("message:send", room, text="hello")
    await ann.event("run:written", 30, run_id=ack["run_id"])
    view = await bob.do("conversation:join", room)  # in mid-stream: the text so far, then the rest
    final = await bob.entry(room, *FINAL, run_id=ack["run_id"]) if view["runs"] else None
    states = [p["run"]["status"] for n, p in ann.stream(room) if n == "run:changed"]
    expect(states[0] == "queued" and "running" in states, f"the run was {states}")
    message = next(p for n, p in ann.stream(room) if n == "entry:appended" and p["type"] == "message")
    expect(message["data"].get("run_id") == ack["run_id"], "the message does not name its run")
    if final is not None:
        written = [p for n, p in bob.stream(room) if n == "run:written" and p["n"] > view["n"]]
        so_far = "".join(part["text"] for part in view["runs"][0]["parts"])
        rest = "".join(part["text"] for payload in written for part in payload["parts"])
        expect(so_far + rest == final["data"]["text"], f"{so_far!r} + {rest!r} != {final['data']['text']!r}")
        expect(final["turn_id"] == ack["seq"], "the final entry does not name its turn")


async def what_was_missed_is_caught_up(table: Table) -> None:
    ann, bob = await table.seat(0), await table.seat(1)
    room = await table.room(ann, bob)
    view = await bob.do("conversation:join", room)
    await bob.close()
    for number in range(3):
        await ann.do("message:send", room, text=str(number))
    back = await table.seat(1)
    answer = await back.ask("session:sync", positions={room: view["position"]})
    result = answer["conversations"][room]
    seqs = [entry["seq"] for entry in result["entries"]]
    expect(result["verdict"] == "resumed" and seqs == [3, 4, 5], f"{result['verdict']} with {seqs}")
    await ann.do("message:send", room, text="live")
    live = await back.entry(room, "message", text="live")
    expect(live["n"] == result["n"] + 1, f"n was {result['n']} in the result, then {live['n']}")


async def a_position_that_cannot_be_served_is_reset(table: Table) -> None:
    ann = await table.seat()
    room = await table.room(ann)
    other = {"epoch": "another", "seq": 1}
    result = (await ann.ask("session:sync", positions={room: other}))["conversations"][room]
    expect((result["verdict"], result["reason"]) == ("reset", "new_epoch"), result["verdict"])


async def non_members_get_nothing(table: Table) -> None:
    ann, bob = await table.seat(0), await table.seat(1)
    created = await ann.ask("conversation:create", request_id=uuid.uuid4().hex, agent="off")
    room = created["conversation_id"]
    for request in ("members:list", "history:read"):
        await bob.refused("unknown_conversation", request, conversation_id=room)
    answer = await bob.ask("session:sync", positions={room: None})
    expect("error" in answer["conversations"][room], "a sync lets a non-member follow")
    await ann.do("message:send", room, text="private")
    own = await table.room(bob)
    await bob.do("message:send", own, text="marker")
    await bob.entry(own, "message", text="marker")
    expect(not bob.stream(room), "a non-member was sent the stream")


async def the_server_says_what_is_current(table: Table) -> None:
    ann = await table.seat()
    room = await table.agent_room(ann)
    sent = await ann.do("message:send", room, text="hello")
    final = await ann.entry(room, *FINAL, run_id=sent["run_id"])
    again = await ann.do("run:regenerate", room, seq=final["seq"])
    second = await ann.entry(room, *FINAL, run_id=again["run_id"])
    expect(second.get("hides") == [final["seq"]], f"the new answer hides {second.get('hides')}")
    edited = await ann.do("message:edit", room, seq=sent["seq"], text="hello again")
    message = await ann.entry(room, "message", text="hello again")
    hidden = sorted([sent["seq"], second["seq"]])
    expect(sorted(message.get("hides", [])) == hidden, f"the edit hides {message.get('hides')}, not {hidden}")
    await ann.entry(room, *FINAL, run_id=edited["run_id"])
    page = (await ann.ask("history:read", conversation_id=room, after=0))["entries"]
    said = {entry["seq"]: entry["hidden_by"] for entry in page if "hidden_by" in entry}
    wanted = {final["seq"]: second["seq"], sent["seq"]: message["seq"], second["seq"]: message["seq"]}
    expect(said == wanted, f"the page says {said}, not {wanted}")


async def the_first_answer_to_a_question_wins(table: Table) -> None:
    ann, bob = await table.seat(0), await table.seat(1)
    room = await table.agent_room(ann, bob)
    sent = await ann.do("message:send", room, text=ASKING)
    asked = (await ann.entry(room, "interrupt", run_id=sent["run_id"]))["data"]["interrupts"][0]["interrupt_id"]
    answer = {"conversation_id": room, "request_id": uuid.uuid4().hex, "interrupt_id": asked, "value": "reject"}
    first = await ann.ask("interrupt:respond", **answer)
    later = {**answer, "request_id": uuid.uuid4().hex, "value": "approve"}
    error = await bob.refused("already_resolved", "interrupt:respond", **later)
    expect(error.get("details", {}).get("value") == "reject", "`already_resolved` does not tell the winner")
    await ann.entry(room, *FINAL, run_id=first["run_id"])
    expect(await ann.ask("interrupt:respond", **answer) == first, "a repeated answer got another ack")


async def a_run_can_be_stopped(table: Table) -> None:
    ann, bob = await table.seat(0), await table.seat(1)
    room = await table.agent_room(ann, bob)
    sent = await ann.do("message:send", room, text="a summary of all bookings, please")
    stopped = (await bob.do("run:stop", room))["stopped"]
    final = await ann.entry(room, *FINAL, run_id=sent["run_id"])
    expect(final["type"] == "stopped" or sent["run_id"] not in stopped, f"it ended as {final['type']}")


async def marks_drafts_and_typing_name_the_session(table: Table) -> None:
    ann, tab = await table.seat(0), await table.seat(0)
    room = await table.room(ann, tab)
    session_id = (await ann.event("session:opened"))["session_id"]
    await ann.ask("marks:set", marks={room: {"read": 1, "delivered": 1}})
    await ann.do("draft:save", room, text="unsent")
    await ann.ask("typing:set", conversation_id=room, typing=True)
    await tab.event("marks:moved", conversation_id=room, session_id=session_id)
    draft = (await tab.event("draft:changed", conversation_id=room))["draft"]
    expect(draft["session_id"] == session_id, "the draft names another session")
    await tab.event("typing:changed", conversation_id=room, session_id=session_id)


async def all_conversations_come_with_one_request(table: Table) -> None:
    ann = await table.seat()
    rooms = {await table.room(ann) for _ in range(3)}
    found: set[str] = set()
    after = None
    while True:
        page = await ann.ask("session:sync", positions=None, after=after, entries=0)
        found |= set(page["conversations"])
        after = page["next"]
        if after is None:
            break
    expect(found >= rooms, f"without {rooms - found}")
    listed = await ann.ask("conversation:list")
    later = await ann.ask("conversation:list", changed_since=listed["cursor"])
    expect(later["ok"], "a list of differences was refused")


async def a_signed_out_device_is_told_and_kept_out(table: Table) -> None:
    ann, phone = await table.seat(0), Player(table.url, table.tokens[0])
    await phone.connect(device_id=f"d-{uuid.uuid4().hex[:8]}")
    await ann.ask("device:sign_out", request_id=uuid.uuid4().hex, device_id=phone.device_id)
    ended = await phone.event("session:ended")
    expect(ended["reason"] == "signed_out" and not ended["reconnect"], f"{ended}")
    await phone.until(lambda: phone.ended, "the end of the connection")
    again = Player(table.url, table.tokens[0])
    try:
        await again.connect(device_id=phone.device_id)
    except socketio.exceptions.ConnectionError:
        expect(again.refusal["data"]["code"] == "token_revoked", f"{again.refusal}")
    else:
        await again.close()
        raise Broken("it was let in again")


SERVER_RULES: list[Callable[[Table], Awaitable[None]]] = [
    a_session_is_opened,
    a_wrong_token_is_refused_with_a_code,
    unknown_requests_and_fields_are_refused,
    a_repeated_request_gets_the_first_ack,
    messages_are_logged_in_the_order_of_the_outbox,
    the_stream_is_numbered_and_the_same_for_all,
    an_answer_is_streamed_and_ends_with_its_entry,
    what_was_missed_is_caught_up,
    a_position_that_cannot_be_served_is_reset,
    non_members_get_nothing,
    the_server_says_what_is_current,
    the_first_answer_to_a_question_wins,
    a_run_can_be_stopped,
    marks_drafts_and_typing_name_the_session,
    all_conversations_come_with_one_request,
    a_signed_out_device_is_told_and_kept_out,
]


async def judge_server(url: str, tokens: tuple[str, str]) -> list[Verdict]:
    """Play every rule against a server, one after another."""
    verdicts = []
    for rule in SERVER_RULES:
        table = Table(url, tokens)

        async def play(rule: Callable[[Table], Awaitable[None]] = rule, table: Table = table) -> None:
            try:
                await rule(table)
            finally:
                await table.clear()

        verdicts.append(await judge(rule.__name__, play))
    return verdicts
