"""Cases with what is expected, written by hand: each names a rule of the stream."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tests.vectors.replay import Case, entry

Step = dict[str, Any]
APPENDED, CHANGED, WRITTEN = "entry:appended", "run:changed", "run:written"


def case(name: str, *steps: Step, seq: int | None = None, **state: Any) -> Case:
    """A case that begins at `seq` of epoch e1 (None: no position); `state` holds what is checked at its end."""
    position = None if seq is None else {"epoch": "e1", "seq": seq}
    return {"name": name, "position": position, "steps": list(steps), "state": state}


def did(*do: Any, **gives: Any) -> Step:
    return {"do": list(do), **gives}


def at(seq: int, epoch: str = "e1") -> dict[str, Any]:
    return {"epoch": epoch, "seq": seq}


def run(run_id: str = "r", *texts: str, version: int = 1, withdrawn: tuple[str, ...] = (), **more: Any) -> Any:
    """A run's state on the wire, with its parts; with `withdrawn` as a client keeps it."""
    return {
        "run_id": run_id,
        "turn_id": 1,
        "status": "running",
        "attempt": version,
        "version": version,
        "node": "9201",
        "replaces": None,
        "parts": parts(*texts),
        "reports": [],
        "withdrawn": parts(*withdrawn),
        **more,
    }


def parts(*texts: str) -> list[Any]:
    return [{"part": n, "kind": "text", "speaker": "Concierge", "text": text} for n, text in enumerate(texts)]


def result(
    n: int,
    *entries: Any,
    after: int,
    epoch: str = "e1",
    verdict: str = "resumed",
    reason: str = "position_valid",
    more: bool = False,
    runs: tuple[Any, ...] = (),
    interrupts: tuple[Any, ...] = (),
) -> dict[str, Any]:
    """A sync result; entries as seqs or as they are on a page."""
    page = [entry(item, epoch=epoch) if isinstance(item, int) else item for item in entries]
    last = page[-1]["seq"] if page else after
    return {
        "conversation_id": "c",
        "verdict": verdict,
        "reason": reason,
        "position": at(last, epoch),
        "after": after,
        "head": last + (1 if more else 0),
        "more": more,
        "n": n,
        "entries": page,
        "runs": [{name: value for name, value in item.items() if name != "withdrawn"} for item in runs],
        "interrupts": [{"interrupt_id": name, "value": value} for name, value in interrupts],
    }


def answered(n: int, *entries: Any, gives: dict[str, Any] | None = None, **about: Any) -> Step:
    return did("answer", result(n, *entries, **about), **(gives or {}))


def appended(n: int, seq: int, kind: str = "message", gives: dict[str, Any] | None = None, **fields: Any) -> Step:
    wanted = {"entries": [seq]} if gives is None else gives
    return did("event", APPENDED, {**entry(seq, kind, **fields), "n": n}, **wanted)


def changed(n: int, state: Any, **gives: Any) -> Step:
    told = {name: value for name, value in state.items() if name != "withdrawn"}
    return did("event", CHANGED, {"conversation_id": "c", "n": n, "run": told}, **gives)


def wrote(
    n: int, part: int, text: str, *, first: bool = False, run_id: str = "r", version: int = 1, **gives: Any
) -> Step:
    said = {"part": part, "text": text, **({"kind": "text", "speaker": "Concierge"} if first else {})}
    return written(n, parts=[said], run_id=run_id, version=version, **gives)


def reported(n: int, number: int, *, version: int = 1, run_id: str = "r") -> Step:
    report = {"number": number, "kind": "custom", "data": number}
    return written(n, reports=[report], run_id=run_id, version=version)


def written(
    n: int,
    *,
    parts: Sequence[Any] = (),
    reports: Sequence[Any] = (),
    run_id: str = "r",
    version: int = 1,
    **gives: Any,
) -> Step:
    about = {"run_id": run_id, "version": version, "parts": [*parts], "reports": [*reports]}
    return did("event", WRITTEN, {"conversation_id": "c", "n": n, **about}, **gives)


def asked(n: int, seq: int, *ids: str, run_id: str = "q", **more: Any) -> Step:
    interrupts = [{"interrupt_id": item, "value": f"{item}?"} for item in ids]
    return appended(n, seq, "interrupt", data={"run_id": run_id, "interrupts": interrupts}, turn_id=1, **more)


def settled(n: int, seq: int, interrupt_id: str) -> Step:
    data = {"interrupt_id": interrupt_id, "outcome": "answered", "value": "yes", "run_id": None}
    return appended(n, seq, "interrupt_resolved", data=data, turn_id=1)


PICTURE = {"mime_type": "image/png", "url": "https://example.org/a.png"}

START = answered(10, after=7)  # in step at n 10 and seq 7

ORDER = [
    case(
        "events in order are applied at once",
        START,
        appended(11, 8),
        appended(12, 9),
        seq=7,
        position=at(9),
        n=12,
        in_step=True,
    ),
    case(
        "a number that was applied before is dropped",
        START,
        appended(10, 7, gives={}),
        appended(3, 2, gives={}),
        appended(11, 8),
        appended(11, 8, gives={}),
        seq=7,
        position=at(8),
        n=11,
        in_step=True,
    ),
    case(
        "a gap asks for one sync, and events are kept until its answer",
        START,
        appended(12, 9, gives={"sync": True}),
        appended(13, 10, gives={}),
        appended(15, 12, gives={}),
        answered(13, 8, 9, 10, after=7, gives={"entries": [8, 9, 10], "sync": True}),
        answered(15, 11, 12, after=10, gives={"entries": [11, 12]}),
        seq=7,
        position=at(12),
        n=15,
        in_step=True,
    ),
    case(
        "kept events above the answer's number are applied after it, those up to it are dropped",
        START,
        appended(12, 9, gives={"sync": True}),
        appended(13, 10, gives={}),
        appended(14, 11, gives={}),
        answered(12, 8, 9, after=7, gives={"entries": [8, 9, 10, 11]}),
        seq=7,
        position=at(11),
        n=14,
        in_step=True,
    ),
    case(
        "kept events are applied in the order of their numbers, each once",
        appended(13, 10, gives={}),
        appended(12, 9, gives={}),
        appended(13, 10, gives={}),
        answered(11, 8, after=7, gives={"entries": [8, 9, 10]}),
        seq=7,
        n=13,
        in_step=True,
    ),
    case(
        "an event that makes no entry counts as well",
        START,
        wrote(12, 0, "lost one before it", sync=True),
        answered(12, after=7, runs=(run("r", "both"),)),
        appended(13, 8),
        seq=7,
        runs=[run("r", "both")],
        n=13,
        in_step=True,
    ),
    case(
        "the first answer begins a view, and is no reset",
        answered(4, 1, 2, after=0, verdict="snapshot", reason="no_position", gives={"entries": [1, 2]}),
        appended(5, 3),
        position=at(3),
        n=5,
        in_step=True,
    ),
    case(
        "before the first answer events are kept, also without a position",
        appended(5, 3, gives={}),
        appended(4, 2, gives={}),
        answered(4, 1, 2, after=0, verdict="snapshot", reason="no_position", gives={"entries": [1, 2, 3]}),
        n=5,
        in_step=True,
    ),
    case(
        "while there is more, the next sync is asked for from the new position, and events are kept",
        answered(9, 8, 9, after=7, more=True, gives={"entries": [8, 9], "sync": True}),
        appended(10, 13, gives={}),
        answered(9, 10, 11, after=9, more=True, gives={"entries": [10, 11], "sync": True}),
        answered(9, 12, after=11, gives={"entries": [12, 13]}),
        seq=7,
        position=at(13),
        n=10,
        in_step=True,
    ),
    case(
        "an empty page may have more",
        answered(9, after=7, more=True, gives={"sync": True}),
        answered(9, 8, after=7, gives={"entries": [8]}),
        seq=7,
        n=9,
        in_step=True,
    ),
    case(
        "runs and interrupts are those of the last page's answer",
        answered(
            9,
            entry(8, "interrupt", data={"run_id": "q", "interrupts": [{"interrupt_id": "i", "value": 1}]}),
            after=7,
            more=True,
            runs=(run("r"),),
            gives={"entries": [8], "sync": True},
        ),
        answered(12, 9, after=8, runs=(run("s", "a"),), interrupts=(("k", 2),), gives={"entries": [9]}),
        seq=7,
        runs=[run("s", "a")],
        interrupts=[["k", 2]],
    ),
    case(
        "an answer for a position that is passed already brings what is new, once",
        START,
        appended(11, 8),
        answered(12, 8, 9, after=7, gives={"entries": [9]}),
        seq=7,
        position=at(9),
        n=12,
    ),
    case(
        "an answer that is older than what was applied changes nothing",
        START,
        changed(11, run()),
        appended(12, 8),
        answered(11, after=7),
        answered(12, 8, after=7),
        seq=7,
        runs=[run()],
        n=12,
        in_step=True,
    ),
    case(
        "what is kept is bounded: above the limit it is dropped, and a second sync brings it",
        START,
        appended(1200, 1200, gives={"sync": True}),
        did("flood", 12, 1199),
        answered(20, 8, 9, after=7, gives={"entries": [8, 9], "sync": True}),
        answered(1200, 10, after=9, gives={"entries": [10]}),
        seq=7,
        n=1200,
        in_step=True,
    ),
    case(
        "what is dropped above the limit is not missed when the answer has it",
        did("flood", 12, 1100),
        answered(1100, after=7),
        seq=7,
        n=1100,
        in_step=True,
    ),
    case(
        "after a disconnect events are kept for the next sync, and what was kept before is dropped",
        START,
        appended(12, 9, gives={"sync": True}),
        did("disconnected"),
        appended(14, 11, gives={}),
        answered(13, 8, 9, 10, after=7, gives={"entries": [8, 9, 10, 11]}),
        seq=7,
        n=14,
        in_step=True,
    ),
    case(
        "a run and an interrupt are known until the next sync says otherwise",
        answered(10, after=7, runs=(run("r", "so far"),), interrupts=(("i", "ok?"),)),
        did("disconnected"),
        seq=7,
        runs=[run("r", "so far")],
        interrupts=[["i", "ok?"]],
        in_step=False,
    ),
]

SYNCED = [
    case(
        "a node that missed something brings it by itself",
        START,
        did("synced", result(13, 8, 9, after=7, runs=(run(),)), entries=[8, 9]),
        appended(14, 10),
        seq=7,
        runs=[run()],
        n=14,
        in_step=True,
    ),
    case(
        "what a node brings that is known already is dropped",
        START,
        appended(11, 8),
        did("synced", result(11, 8, after=7, runs=(run(),))),
        did("synced", result(10, after=7)),
        seq=7,
        runs=[],
        n=11,
        in_step=True,
    ),
    case(
        "of what a node brings only what is new is handed on",
        START,
        appended(11, 8),
        did("synced", result(12, 8, 9, after=7), entries=[9]),
        seq=7,
        n=12,
        in_step=True,
    ),
    case(
        "a client that is behind what the node delivered before syncs itself",
        START,
        did("synced", result(14, 10, after=9), sync=True),
        answered(14, 8, 9, 10, after=7, gives={"entries": [8, 9, 10]}),
        seq=7,
        n=14,
        in_step=True,
    ),
    case(
        "what a node brings with more to read is read on by the client",
        START,
        did("synced", result(14, 8, after=7, more=True), entries=[8], sync=True),
        answered(14, 9, after=8, gives={"entries": [9]}),
        seq=7,
        n=14,
        in_step=True,
    ),
    case(
        "while a sync is on its way, what a node brings is not applied, but its number is not forgotten",
        did("synced", result(12, 8, 9, after=7)),
        answered(11, 8, after=7, gives={"entries": [8], "sync": True}),
        answered(12, 9, after=8, gives={"entries": [9]}),
        seq=7,
        n=12,
        in_step=True,
    ),
    case(
        "the number that a node named is not forgotten while there is more",
        did("synced", result(12, 8, 9, after=7)),
        answered(11, 8, after=7, more=True, gives={"entries": [8], "sync": True}),
        answered(11, 9, after=8, gives={"entries": [9], "sync": True}),
        answered(12, 10, after=9, gives={"entries": [10]}),
        seq=7,
        n=12,
        in_step=True,
    ),
    case(
        "an answer that reaches the number that a node named is enough",
        did("synced", result(12, 8, 9, after=7)),
        answered(12, 8, 9, after=7, gives={"entries": [8, 9]}),
        seq=7,
        n=12,
        in_step=True,
    ),
    case(
        "what a node brings of another epoch asks for a sync",
        START,
        did("synced", result(30, 8, after=7, epoch="e2"), sync=True),
        seq=7,
        position=at(7),
        in_step=False,
    ),
]

RESET = [
    case(
        "an entry of another epoch asks for a sync, and moves nothing",
        START,
        appended(11, 8, epoch="e2", gives={"sync": True}),
        seq=7,
        position=at(7),
        n=10,
        in_step=False,
    ),
    case(
        "an entry that leaves one out asks for a sync, although its number is the next",
        START,
        appended(11, 9, gives={"sync": True}),
        answered(12, 8, 9, after=7, gives={"entries": [8, 9]}),
        seq=7,
        n=12,
        in_step=True,
    ),
    case(
        "a reset gives the reason and begins a new view with new numbers",
        answered(
            10,
            entry(8, hides=[3]),
            after=7,
            runs=(run("r", "old"),),
            interrupts=(("i", 1),),
            gives={"entries": [8], "hidden": [3]},
        ),
        did("disconnected"),
        answered(
            3,
            1,
            2,
            after=0,
            epoch="e2",
            verdict="reset",
            reason="new_epoch",
            gives={"reset": "new_epoch", "entries": [1, 2]},
        ),
        appended(4, 3, epoch="e2"),
        seq=7,
        position=at(3, "e2"),
        n=4,
        hidden=[],
        runs=[],
        interrupts=[],
        in_step=True,
    ),
    case(
        "what was missed and is not kept any more is a reset in the same epoch",
        answered(
            99,
            80,
            81,
            after=79,
            verdict="reset",
            reason="older_than_retention",
            gives={"reset": "older_than_retention", "entries": [80, 81]},
        ),
        seq=7,
        position=at(81),
        n=99,
        in_step=True,
    ),
    case(
        "conversation:reset drops what was kept and asks for a sync",
        START,
        did("reset", sync=True),
        answered(
            1,
            1,
            after=0,
            epoch="e2",
            verdict="reset",
            reason="new_epoch",
            gives={"reset": "new_epoch", "entries": [1]},
        ),
        seq=7,
        n=1,
        in_step=True,
    ),
    case(
        "a reset while a sync is on its way asks for another one after the answer, which may be older",
        appended(11, 8, gives={}),
        did("reset"),
        answered(10, after=7, gives={"sync": True}),
        answered(
            1,
            1,
            after=0,
            epoch="e2",
            verdict="reset",
            reason="new_epoch",
            gives={"reset": "new_epoch", "entries": [1]},
        ),
        seq=7,
        n=1,
        in_step=True,
    ),
    case(
        "a page that does not join on asks for a sync, and moves nothing",
        answered(12, 10, after=9, gives={"sync": True}),
        seq=7,
        position=at(7),
        in_step=False,
    ),
]

RUNS = [
    case(
        "text is appended to the part that it names",
        START,
        changed(11, run(status="queued", version=0, node="")),
        changed(12, run()),
        wrote(13, 0, "I ", first=True),
        wrote(14, 0, "can"),
        wrote(15, 1, "好", first=True),
        wrote(16, 0, " 😀"),
        wrote(17, 1, "的"),
        seq=7,
        runs=[run("r", "I can 😀", "好的")],
        in_step=True,
    ),
    case(
        "the first text of a part says its kind and its speaker",
        START,
        changed(11, run()),
        written(12, parts=[{"part": 0, "kind": "reasoning", "speaker": "Planner", "text": "hm"}]),
        wrote(13, 0, "m"),
        seq=7,
        runs=[run(parts=[{"part": 0, "kind": "reasoning", "speaker": "Planner", "text": "hmm"}])],
    ),
    case(
        "one event may write to many parts, begin some, and report",
        START,
        changed(11, run()),
        wrote(12, 0, "al", first=True),
        written(
            13,
            parts=[
                {"part": 0, "text": "pha"},
                {"part": 1, "kind": "text", "speaker": "Concierge", "text": "be"},
                {"part": 2, "kind": "image", "speaker": "Painter", "text": "", "data": PICTURE},
                {"part": 1, "text": "ta"},
            ],
            reports=[{"number": 1, "kind": "custom", "data": 1}, {"number": 2, "kind": "node", "path": ["a"]}],
        ),
        seq=7,
        runs=[
            run(
                parts=[
                    *parts("alpha", "beta"),
                    {"part": 2, "kind": "image", "speaker": "Painter", "text": "", "data": PICTURE},
                ],
                reports=[{"number": 1, "kind": "custom", "data": 1}, {"number": 2, "kind": "node", "path": ["a"]}],
            )
        ],
    ),
    case(
        "a part that is cut stays cut, and others may grow",
        START,
        changed(11, run()),
        wrote(12, 0, "much", first=True),
        written(13, parts=[{"part": 0, "text": " more", "cut": True}]),
        wrote(14, 1, "some", first=True),
        seq=7,
        runs=[run(parts=[{**parts("much more")[0], "cut": True}, parts("", "some")[1]])],
    ),
    case(
        "a part whose kind is not known is kept",
        START,
        changed(11, run()),
        written(12, parts=[{"part": 0, "kind": "hologram", "speaker": "X", "text": "", "data": {"a": 1}}]),
        changed(13, run(version=2)),
        seq=7,
        runs=[
            run(version=2)
            | {"withdrawn": [{"part": 0, "kind": "hologram", "speaker": "X", "text": "", "data": {"a": 1}}]}
        ],
    ),
    case(
        "the newest hundred reports are kept",
        START,
        changed(11, run()),
        written(12, reports=[{"number": n, "kind": "custom"} for n in range(1, 61)]),
        written(13, reports=[{"number": n, "kind": "custom"} for n in range(70, 130)]),
        seq=7,
        runs=[run(reports=[{"number": n, "kind": "custom"} for n in (*range(21, 61), *range(70, 130))])],
    ),
    case(
        "a higher version withdraws what the one before said, and begins empty",
        START,
        changed(11, run()),
        wrote(12, 0, "old", first=True),
        reported(13, 1),
        changed(14, run(version=2, node="9202")),
        wrote(15, 0, "new", first=True, version=2),
        seq=7,
        runs=[run("r", "new", version=2, node="9202", withdrawn=("old",))],
    ),
    case(
        "a version that said nothing leaves what was withdrawn before",
        START,
        changed(11, run()),
        wrote(12, 0, "old", first=True),
        changed(13, run(version=2)),
        changed(14, run(version=3)),
        seq=7,
        runs=[run(version=3, withdrawn=("old",))],
    ),
    case(
        "with the same version the status changes and the parts and reports stay",
        START,
        changed(11, run()),
        wrote(12, 0, "so far", first=True),
        reported(13, 1),
        changed(14, run(status="stalled")),
        wrote(15, 0, " and on"),
        seq=7,
        runs=[run("r", "so far and on", status="stalled", reports=[{"number": 1, "kind": "custom", "data": 1}])],
    ),
    case(
        "text and reports of another version, or of a run that is not known, are ignored and counted",
        START,
        changed(11, run(version=2)),
        wrote(12, 0, "late", first=True, version=1),
        reported(13, 1, version=1),
        wrote(14, 0, "who", first=True, run_id="s"),
        reported(15, 1, run_id="s"),
        changed(16, run("r", "old")),
        appended(17, 8),
        seq=7,
        runs=[run(version=2)],
        n=17,
        in_step=True,
    ),
    case(
        "several runs are known, in the order of their coming",
        START,
        changed(11, run("r")),
        changed(12, run("s", status="queued", version=0)),
        changed(13, run("r", status="stalled")),
        seq=7,
        runs=[run("r", status="stalled"), run("s", status="queued", version=0)],
    ),
    *[
        case(
            f"an entry of type {kind} ends its run",
            START,
            changed(11, run("r")),
            changed(12, run("s")),
            appended(13, 8, kind, data={"run_id": "r", "interrupts": []}),
            seq=7,
            runs=[run("s")],
        )
        for kind in ("answer", "interrupt", "stopped", "failed")
    ],
    case(
        "a message that names its run does not end it",
        START,
        changed(11, run("r")),
        appended(12, 8, data={"run_id": "r", "text": "hello"}),
        seq=7,
        runs=[run("r")],
    ),
    case(
        "an answer to a sync has all unfinished runs, and a higher version withdraws what was known",
        START,
        changed(11, run("r")),
        wrote(12, 0, "old", first=True),
        changed(13, run("s")),
        did("disconnected"),
        answered(20, after=7, runs=(run("r", "new", version=2), run("t", status="queued", version=0))),
        wrote(21, 0, "er", version=2),
        seq=7,
        runs=[run("r", "newer", version=2, withdrawn=("old",)), run("t", status="queued", version=0)],
    ),
    case(
        "an answer with the same version has the whole text, and leaves what was withdrawn",
        START,
        changed(11, run("r")),
        wrote(12, 0, "old", first=True),
        changed(13, run("r", version=2)),
        wrote(14, 0, "ne", first=True, version=2),
        wrote(16, 0, "r", version=2, sync=True),
        answered(15, after=7, runs=(run("r", "newe", version=2),)),
        seq=7,
        runs=[run("r", "newer", version=2, withdrawn=("old",))],
    ),
]

ENTRIES = [
    case(
        "an entry hides what it says, once",
        START,
        appended(11, 8, hides=[5, 3], gives={"entries": [8], "hidden": [3, 5]}),
        appended(12, 9, hides=[3, 6], gives={"entries": [9], "hidden": [6]}),
        seq=7,
        hidden=[3, 5, 6],
    ),
    case(
        "an entry may hide itself",
        START,
        appended(11, 8, "stopped", data={"run_id": "r"}, hides=[8], gives={"entries": [8], "hidden": [8]}),
        seq=7,
        hidden=[8],
    ),
    case(
        "a page says of each entry what hides it, and entries of pages hide as well",
        answered(
            9,
            entry(8, hidden_by=10),
            entry(9),
            entry(10, hides=[4, 8]),
            after=7,
            gives={"entries": [8, 9, 10], "hidden": [4, 8]},
        ),
        answered(10, entry(11, hidden_by=15), after=10, gives={"entries": [11], "hidden": [11]}),
        seq=7,
        hidden=[4, 8, 11],
    ),
    case(
        "an interrupt opens, and each is closed by its answer",
        START,
        asked(11, 8, "a", "b"),
        settled(12, 9, "a"),
        asked(13, 10, "d"),
        settled(14, 11, "never"),
        seq=7,
        interrupts=[["b", "b?"], ["d", "d?"]],
    ),
    case(
        "an answer to a sync has the open interrupts",
        START,
        asked(11, 8, "a"),
        did("disconnected"),
        answered(20, after=8, interrupts=(("b", {"question": "ok?"}),)),
        seq=7,
        interrupts=[["b", {"question": "ok?"}]],
    ),
]

ODD = [
    case(
        "an event of an unknown type is counted and ignored",
        START,
        did("event", "run:sung", {"conversation_id": "c", "n": 11, "song": "la"}),
        appended(12, 8),
        seq=7,
        n=12,
        in_step=True,
    ),
    case(
        "an entry of an unknown type is handed on",
        START,
        appended(11, 8, "poll_opened", data={"run_id": "r", "interrupts": 7}),
        seq=7,
        position=at(8),
    ),
    case(
        "a malformed event is counted and ignored",
        START,
        changed(11, run()),
        did("event", WRITTEN, {"conversation_id": "c", "n": 12}),
        written(13, parts=[{"part": 0, "text": 7}]),
        did("event", CHANGED, {"conversation_id": "c", "n": 14, "run": None}),
        did("event", CHANGED, {"conversation_id": "c", "n": 15, "run": {"run_id": "s"}}),
        written(16, parts=[{"part": 0, "kind": "text", "speaker": "Concierge", "text": "x"}], reports=["x"]),
        asked(17, 8),
        appended(
            18, 9, "interrupt", data={"run_id": ["r"], "interrupts": [None, {"value": 1}, {"interrupt_id": 7}]}
        ),
        appended(19, 10, "interrupt_resolved", data={}),
        seq=7,
        runs=[run()],
        interrupts=[],
        n=19,
        in_step=True,
    ),
    case(
        "an entry that cannot be read is counted, and the next one asks for a sync",
        START,
        did("event", APPENDED, {"conversation_id": "c", "n": 11, "type": "message"}),
        appended(12, 9, gives={"sync": True}),
        seq=7,
        n=11,
        in_step=False,
    ),
    case(
        "an event without a number is ignored",
        START,
        did("event", APPENDED, entry(8)),
        did("event", APPENDED, {**entry(8), "n": "11"}),
        did("event", APPENDED, {**entry(8), "n": None}),
        did("event", APPENDED, {**entry(8), "n": True}),
        appended(11, 8),
        seq=7,
        n=11,
        in_step=True,
    ),
    case(
        "ids that name an object's own properties are plain keys",
        START,
        wrote(11, 0, "x", first=True, run_id="__proto__"),
        wrote(12, 0, "x", first=True, run_id="constructor"),
        changed(13, run("__proto__")),
        wrote(14, 0, "a", first=True, run_id="__proto__"),
        changed(15, run("constructor")),
        asked(16, 8, "__proto__", "toString"),
        settled(17, 9, "toString"),
        settled(18, 10, "hasOwnProperty"),
        appended(19, 11, "answer", data={"run_id": "constructor"}),
        seq=7,
        runs=[run("__proto__", "a")],
        interrupts=[["__proto__", "__proto__?"]],
        in_step=True,
    ),
]

STREAM = [*ORDER, *SYNCED, *RESET, *RUNS, *ENTRIES, *ODD]
