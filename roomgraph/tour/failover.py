"""Part of the recovery scene: the node that is answering is killed, and another one completes the answer."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from roomgraph.check.recording import seen
from roomgraph.tour.own import OwnCluster
from roomgraph.tour.stage import WAIT_S, Booked, Stage
from roomgraph.tour.watch import RunWatch
from sio_server.protocol.events import Entry, EntryType

TRIES = 5  # an answer may be complete before its node is dead
ENOUGH = 20  # characters of it that every device shows before the kill


class _NotOurs(Exception):
    """A node answers that the tour may not kill: others use the same Redis."""


@dataclass(frozen=True)
class _Kill:
    """A node that was killed while it was answering."""

    port: int
    run_id: str
    attempt: int  # the one that it was making
    at: float
    on: list[str]  # the node that each device was on


async def play_failover(stage: Stage) -> dict[str, Any] | None:
    """Play and judge it, where the tour may kill nodes."""
    if stage.booked is None:
        return None  # what goes before could not be played
    nodes = stage.nodes
    left_out = "failover.left_out" if nodes is None else "failover.one_node" if len(nodes.ports) < 2 else ""
    if nodes is not None and not left_out:
        watch = RunWatch(stage.devices, stage.booked.conversation_id)
        stage.say("failover.begin")
        try:
            for _ in range(TRIES):
                if kill := await _kill_in_an_answer(stage, stage.booked.conversation_id, nodes, watch):
                    return await _see_it_completed(stage, stage.booked, nodes, watch, kill)
        except _NotOurs:
            left_out = "failover.left_out"
        else:
            stage.verdict(False, "failover.too_late", count=TRIES)
            return {"ok": False, "error": "every answer was complete before its node was dead"}
    stage.say(left_out)
    stage.console.print()
    return None


async def _kill_in_an_answer(
    stage: Stage, conversation_id: str, nodes: OwnCluster, watch: RunWatch
) -> _Kill | None:
    """Ask, and kill the node that answers; None when the answer was complete before. Raises _NotOurs."""
    asking, question = stage.devices[-1], stage.texts("failover.ask")
    run_id = (await asking.send(conversation_id, question)).run_id or ""

    def shown() -> list[str]:
        return watch.shown(run_id, watch.attempt(run_id))

    await watch.until(lambda: run_id in watch.ended or all(len(text) >= ENOUGH for text in shown()))
    attempt = watch.attempt(run_id)
    if run_id in watch.ended or not attempt:
        return None
    node = watch.started[run_id, attempt][0]
    if node not in map(str, nodes.ports):
        raise _NotOurs
    kill = _Kill(int(node), run_id, attempt, watch.now(), [device.client.node for device in stage.devices])
    await nodes.signal_node(kill.port, signal.SIGKILL)
    with stage.console.status(stage.texts("failover.waiting")):
        stage.quote(asking.name, "cyan", question)
        stage.quote("concierge", "magenta", _in_one_line(max(shown(), key=len)), " [red]▮[/]")
        stage.say("failover.killed", node=node)
        await watch.until(lambda: run_id in watch.ended or watch.attempt(run_id) > attempt)
    if watch.ended.get(run_id) != attempt:
        return kill
    stage.say("failover.again")
    await nodes.start_node(kill.port)
    return None


async def _see_it_completed(
    stage: Stage, booked: Booked, nodes: OwnCluster, watch: RunWatch, kill: _Kill
) -> dict[str, Any]:
    devices, texts = stage.devices, stage.texts
    conversation_id, run_id = booked.conversation_id, kill.run_id
    node, began = watch.started.get((run_id, kill.attempt + 1), ("–", kill.at))
    takeover_s = round(began - kill.at, 2)
    stage.say("failover.taken_over", node=node, seconds=takeover_s)

    def answers(entries: Sequence[Entry]) -> list[Entry]:
        return [e for e in entries if e.type == EntryType.ANSWER and e.data["run_id"] == run_id]

    await asyncio.gather(
        *(device.until(conversation_id, lambda entries: bool(answers(entries)), WAIT_S) for device in devices)
    )
    await nodes.start_node(kill.port)
    log = await devices[-1].conversation(conversation_id).log()
    level = await asyncio.gather(*(device.reaches(conversation_id, log[-1].seq, WAIT_S) for device in devices))
    stage.recorder.log(conversation_id, *(seen(entry) for entry in log if entry.seq > booked.head))
    report = stage.judge()
    in_log = answers(log)
    text, attempts = (in_log[0].text, in_log[0].data["attempt"]) if in_log else ("", 0)
    withdrawn = sum(chars for (run, _), chars in watch.withdrawn.items() if run == run_id)
    stage.quote("concierge", "magenta", _in_one_line(text))

    columns = (texts("failover.had_shown"), texts("failover.answers"), texts("failover.shows"))
    table = stage.table("", texts("client"), texts("node"), *columns)
    same = 0
    for device, on, had in zip(devices, kill.on, watch.shown(run_id, kill.attempt), strict=True):
        theirs = answers(device.entries[conversation_id])
        held = theirs == in_log[:1] and not device.conversation(conversation_id).runs
        same += held
        moved = on if device.client.node == on else f"{on} → {device.client.node}"
        lengths = [len(had), sum(len(entry.text) for entry in theirs)]
        before, now = (texts("failover.characters", count=length) for length in lengths)
        mark = "[green]✔[/]" if held else "[red]✘[/]"
        table.add_row(mark, device.name, moved, before, str(len(theirs)), now)
    stage.console.print(table)
    remembers = bool(booked.numbers) and all(number in text for number in booked.numbers)
    stage.say("failover.ready", node=kill.port)
    stage.tell_anomalies(report)
    ok = report.ok and all(level) and same == len(devices) and len(in_log) == 1 and remembers
    ok = ok and attempts > kill.attempt and withdrawn > 0 and node != str(kill.port)
    if ok:
        stage.verdict(True, "failover.verdict", count=same, withdrawn=withdrawn)
    else:
        facts = {"answers": len(in_log), "count": same, "all": len(devices), "withdrawn": withdrawn}
        stage.verdict(False, "failover.broken", **facts)
    return {
        "ok": ok,
        "takeover_s": takeover_s,
        "attempts": attempts,
        "withdrawn_chars": withdrawn,
        "answers": len(in_log),
    }


def _in_one_line(text: str) -> str:
    return " ".join(text.split())
