"""Cases that a network with a seed happened to make: at the end of each the client knows what the server knows."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from sio_server.protocol.position import Position
from sio_server.protocol.stream import Stream
from tests.vectors.model import Event, ModelConversation
from tests.vectors.replay import Case, perform, replay

CASES = 25
WORDS = ["I ", "can ", "book ", "a room", "好", "的，", "😀", "👩‍👧", "é", "\n", "̈", "𝔘"]


def happen(server: ModelConversation, rng: random.Random) -> Event:
    """Something happens in the conversation."""
    run_id = rng.choice([*server.runs, ""])
    run = server.runs.get(run_id)
    luck = rng.random()
    if run is None:
        if luck < 0.4:
            return server.begin()
        if luck < 0.5 and server.interrupts:
            return server.append("interrupt_resolved", interrupt_id=rng.choice(list(server.interrupts)))
        if luck < 0.6 and server.head:
            return server.append(hides=tuple({rng.randint(1, server.head), rng.randint(1, server.head)}))
        return server.append(text=rng.choice(WORDS))
    if run["version"] == 0 or luck < 0.1:
        return server.claim(run_id)
    if luck < 0.15:
        return server.stall(run_id)
    if luck < 0.25:
        return server.report(run_id)
    if luck < 0.7:
        return server.write(run_id, rng.randint(0, len(run["parts"])), rng.choice(WORDS))
    if luck < 0.8:
        interrupts = [
            {"interrupt_id": f"{run_id}:{number}", "value": "ok?"} for number in range(rng.randint(1, 2))
        ]
        return server.append("interrupt", run_id=run_id, interrupts=interrupts)
    return server.append(rng.choice(["answer", "stopped", "failed"]), run_id=run_id)


def random_streams(rng: random.Random) -> Iterator[Case]:
    """A server that is busy, a wire that loses, repeats and reorders, answers that are late, lost connections."""
    for number in range(CASES):
        server, stream = ModelConversation(), Stream(None)
        server.append("conversation_created")
        wire: list[list[Any]] = []  # on the way to the client
        case: Case = {"name": f"random {number}", "position": None, "steps": []}
        asked = 1

        def ask(stream: Stream = stream, server: ModelConversation = server, wire: list[Any] = wire) -> None:
            wire.append(["answer", server.result(stream.position, rng.randint(1, 4))])

        def give(do: list[Any], stream: Stream = stream, case: Case = case) -> bool:
            case["steps"].append({"do": do})
            return any(step.sync for step in perform(stream, do))

        for _ in range(60):
            luck = rng.random()
            if luck < 0.45:
                wire.append(["event", *happen(server, rng)])
            elif luck < 0.5 and asked:
                asked -= 1
                ask()
            elif luck < 0.53:
                wire.append(["synced", server.result(known(stream, rng), 3)])
            elif luck < 0.54:
                wire.append([server.start_over()[0].partition(":")[2]])
            elif luck < 0.56:
                wire.clear()
                give(["disconnected"])
                asked = 1
            elif wire:
                do = wire.pop(0 if rng.random() < 0.9 else rng.randrange(len(wire)))
                if do[0] == "event" and rng.random() < 0.1:
                    continue
                if do[0] == "event" and rng.random() < 0.1:
                    wire.insert(rng.randrange(len(wire) + 1), do)
                asked += give(do)
        give(["disconnected"])
        while give(["answer", server.result(stream.position, 3)]):
            pass
        played = replay(case)
        compare(played["state"], server)
        yield played


def known(stream: Stream, rng: random.Random) -> Position | None:
    """A position that a node may have delivered up to: the client's, or somewhat off."""
    position = stream.position
    return position and Position(position.epoch, max(0, position.seq + rng.choice([-1, 0, 0, 0, 1])))


def compare(state: dict[str, Any], server: ModelConversation) -> None:
    """After the last answer the client has what the server has."""
    wanted = server.result(None)
    runs = [{name: value for name, value in run.items() if name != "withdrawn"} for run in state["runs"]]
    assert state["in_step"]
    assert (state["n"], runs) == (server.n, wanted["runs"])
    assert state["position"] == {"epoch": server.epoch, "seq": server.head}
    assert state["interrupts"] == [[item["interrupt_id"], item["value"]] for item in wanted["interrupts"]]
    assert set(state["hidden"]) <= set(server.hidden)
