"""The rules that a client keeps: a scripted server plays each, and judges by what the client asks for and shows.

A client under test follows the conversation `conformance`. To prove what it shows, it answers the message `show`
with a message whose text is JSON: `{"entries": [seqs of current entries], "runs": {run_id: text so far}}`. The
entries of `show` and of its answers are entries as all others.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from roomgraph.conform.report import Broken, LeftOut, Outcome, Verdict, judge
from roomgraph.conform.scripted_room import ROOM, ScriptedRoom
from roomgraph.conform.scripted_server import ScriptedServer

SHOW = "show"
SHOW_S = 5.0  # a client that answers `show` does so within this time
TOLD_S = 0.1  # for `session:ended` to leave before the connection is cut
AWAY_S = 2.0  # a client that would come back has come back by then


def _check_position(server: ScriptedServer, got: object, wanted: object) -> None:
    if got != wanted:
        raise Broken(f"it asked from the position {got}, not {wanted}")


async def _lose_step(server: ScriptedServer, known: dict[str, object]) -> None:
    """Leave an event out: the client must sync from the position that it has come to."""
    server.room.event("run:written", run_id="none", version=1, parts=[], reports=[])
    await server.emit(server.room.message("after a gap"))
    asked = await server.next_ask("a number was missing")
    _check_position(server, asked.position, known)
    server.answer(asked)


async def _next_shown(server: ScriptedServer) -> dict[str, Any]:
    """Ask the client what it shows; return its answer, not one to an earlier `show` that came again in a page."""
    await server.emit(server.room.message(SHOW))
    asked_at = len(server.room.entries)
    try:
        async with asyncio.timeout(SHOW_S):
            while True:
                answer = await server.sent.get()
                if asked_at in json.loads(answer["text"])["entries"]:
                    return answer
    except TimeoutError:
        raise LeftOut(f"the client does not answer the message {SHOW!r}") from None


async def _check_shown(server: ScriptedServer) -> None:
    """The client shows what it must, if it says what it shows."""
    wanted = server.room.shown_with_next()
    shown = json.loads((await _next_shown(server))["text"])
    if shown != wanted:
        raise Broken(f"it shows {shown}, not {wanted}")


async def a_client_asks_after_each_connect(server: ScriptedServer) -> None:
    await server.emit(server.room.message("before"))
    known = server.room.position
    await server.quiet("nothing was missing")
    await server.cut()
    asked = await server.next_ask("after a connect")
    _check_position(server, asked.position, known)
    server.answer(asked)


async def a_client_asks_until_there_is_no_more(server: ScriptedServer) -> None:
    known = server.room.position
    await server.cut()
    for number in range(4):
        server.room.message(str(number))
    asked = await server.next_ask("after a connect")
    asked.answer(server.room.result(asked.position, limit=2))
    again = await server.next_ask("there was more")
    _check_position(server, again.position, {**known, "seq": int(known["seq"]) + 2})
    server.answer(again)
    await _lose_step(server, server.room.position)


async def a_client_drops_what_it_knows(server: ScriptedServer) -> None:
    event = server.room.message("twice")
    await server.emit(event, event, server.room.message("next"), event)
    await server.quiet("events came twice")
    await _check_shown(server)


async def a_client_asks_when_a_number_is_missing(server: ScriptedServer) -> None:
    known = server.room.position
    await _lose_step(server, known)
    await server.quiet("it was in step again")


async def a_client_keeps_events_while_a_sync_is_on_its_way(server: ScriptedServer) -> None:
    await server.cut()
    asked = await server.next_ask("after a connect")
    before = server.room.result(asked.position)
    await server.emit(server.room.message("during the sync"), server.room.run("r-kept", 1))
    await server.emit(server.room.write("r-kept", "kept"))
    asked.answer(before)
    await server.emit(server.room.write("r-kept", " and live"))
    await server.quiet("all that came during the sync joins on")
    await _check_shown(server)


async def a_client_takes_over_the_text_so_far(server: ScriptedServer) -> None:
    server.room.run("r-late", 1)
    server.room.write("r-late", "said before")
    await server.level()
    await server.emit(server.room.write("r-late", ", said after"))
    await _check_shown(server)


async def a_client_withdraws_what_a_lower_version_has_said(server: ScriptedServer) -> None:
    room = server.room
    await server.emit(room.run("r-over", 1), room.write("r-over", "withdrawn"), room.run("r-over", 1, "stalled"))
    await server.emit(room.run("r-over", 2), room.write("r-over", "said"), room.run("r-over", 2))
    await _check_shown(server)
    await server.emit(room.answer("r-over", "said"))
    await _check_shown(server)


async def a_client_hides_what_is_not_current(server: ScriptedServer) -> None:
    seq = len(server.room.entries) + 1
    await server.emit(server.room.message("hidden"), server.room.message("instead", hides=[seq]))
    await _check_shown(server)


async def a_client_takes_what_is_hidden_from_pages(server: ScriptedServer) -> None:
    await server.cut()
    seq = len(server.room.entries) + 1
    server.room.message("hidden later")
    server.room.message("instead", hides=[seq])
    server.answer(await server.next_ask("after a connect"))
    await _check_shown(server)


async def a_client_ignores_what_it_does_not_know(server: ScriptedServer) -> None:
    await server.emit(("weather:changed", {"sun": True}), server.room.event("run:dreamt", of="sheep"))
    await server.emit(server.room.entry("poll_opened", {"question": "Lunch?"}, colour="red"))
    await server.quiet("unknown events and entries are part of the stream")
    await _lose_step(server, server.room.position)


async def a_client_applies_a_result_that_the_node_sends(server: ScriptedServer) -> None:
    known = server.room.position
    server.room.message("missed by the node")
    result = {k: v for k, v in server.room.result(known).items() if k not in ("role", "draft")}
    await server.emit(("conversation:synced", result), server.room.message("next"))
    await server.answer_all()  # to ask instead is one request more, and no mistake
    await _lose_step(server, server.room.position)


async def a_client_asks_when_a_result_does_not_join_on(server: ScriptedServer) -> None:
    known = server.room.position
    for text in ("missed by both", "missed by the node"):
        server.room.message(text)
    result = server.room.result({**known, "seq": int(known["seq"]) + 1})
    await server.emit(("conversation:synced", {k: v for k, v in result.items() if k not in ("role", "draft")}))
    asked = await server.next_ask("`after` was above its own position")
    _check_position(server, asked.position, known)
    server.answer(asked)


async def a_client_starts_over_with_a_new_epoch(server: ScriptedServer) -> None:
    await server.emit(server.room.message("lost"))
    known = server.room.position
    server.room.start_over()
    await server.emit(("conversation:reset", {"conversation_id": ROOM}))
    asked = await server.next_ask("the log has started over")
    _check_position(server, asked.position, known)
    server.answer(asked)
    await _lose_step(server, server.room.position)
    await _check_shown(server)


async def a_client_repeats_a_request_without_an_answer(server: ScriptedServer) -> None:
    server.cut_next_send = True
    try:
        first = await _next_shown(server)
    finally:
        server.cut_next_send = False
    server.answer(await server.next_ask("after a connect"))
    try:
        again = await asyncio.wait_for(server.sent.get(), server.patience_s)
    except TimeoutError:
        raise Broken("the request without an ack was not repeated") from None
    if {**again, "after": None} != {**first, "after": None}:
        raise Broken(f"it was repeated as {again}, not as {first}")


async def a_client_comes_back_when_it_is_told_to(server: ScriptedServer) -> None:
    known = server.room.position
    ended = {"reason": "node_stopping", "reconnect": True, "after_ms": 100, "nodes": [], "by": None}
    await server.emit(("session:ended", ended))
    await asyncio.sleep(TOLD_S)
    await server.cut()
    asked = await server.next_ask("after `session:ended` with `reconnect`")
    _check_position(server, asked.position, known)
    server.answer(asked)


async def a_client_stays_away_when_it_is_told_to(server: ScriptedServer) -> None:
    while not server.connected.empty():
        server.connected.get_nowait()
    ended = {"reason": "signed_out", "reconnect": False, "after_ms": 0, "nodes": [], "by": None}
    await server.emit(("session:ended", ended))
    await asyncio.sleep(TOLD_S)
    await server.cut()
    await asyncio.sleep(AWAY_S)
    if not server.connected.empty():
        raise Broken("it connected again after `session:ended` without `reconnect`")


ClientRule = Callable[[ScriptedServer], Awaitable[None]]
CLIENT_RULES: list[ClientRule] = [
    a_client_asks_after_each_connect,
    a_client_asks_until_there_is_no_more,
    a_client_drops_what_it_knows,
    a_client_asks_when_a_number_is_missing,
    a_client_keeps_events_while_a_sync_is_on_its_way,
    a_client_takes_over_the_text_so_far,
    a_client_withdraws_what_a_lower_version_has_said,
    a_client_hides_what_is_not_current,
    a_client_takes_what_is_hidden_from_pages,
    a_client_ignores_what_it_does_not_know,
    a_client_applies_a_result_that_the_node_sends,
    a_client_asks_when_a_result_does_not_join_on,
    a_client_starts_over_with_a_new_epoch,
    a_client_repeats_a_request_without_an_answer,
    a_client_comes_back_when_it_is_told_to,
    a_client_stays_away_when_it_is_told_to,
]


async def judge_client(server: ScriptedServer, rules: Sequence[ClientRule] = CLIENT_RULES) -> list[Verdict]:
    """Wait for a client, and play every rule with it, each on a new connection of the client."""
    server.answer(await server.asked.get())
    verdicts = []
    for rule in rules:

        async def play(rule: ClientRule = rule) -> None:
            await server.level()
            server.faults.clear()
            await rule(server)
            if server.faults:
                raise Broken(server.faults[0])

        verdict = await judge(rule.__name__, play)
        verdicts.append(verdict)
        if verdict.outcome == Outcome.FAILED:
            # The client starts over, whatever it has made of the other one.
            server.room = ScriptedRoom(f"epoch-{len(verdicts) + 1}")
    return verdicts
