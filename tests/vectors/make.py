"""Makes the vectors that the Python cores and their twins in the page are both held to.

    python -m tests.vectors.make

The cases of CORE are written by hand, with what is expected; this script refuses to write them when the Python
side, which is the reference, does otherwise. The others are what a network with a seed happened to do, with what the
Python side answered; each of them is judged by what was true.

A case has steps. `do` is a call, and what it gives stands beside it where it is not nothing:

- delivery: `hand_on` [first, last] of the entries handed on, `read_after`, `reset`; then `seq` of the position, and
  `behind`. Calls: hear epoch seq, flood epoch first last (many times hear), read epoch head first last (a page; without
  first and last an empty one), read_failed.
- live: `missing` (true: the conversation has to be looked at again; of `hear` only), and `runs` that are on: [run id,
  attempt, text, numbers of its attempt's reports]. Calls: hear event payload, look unfinished anew, entry type run_id.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.vectors.replay import replay_delivery, replay_live

HERE = Path(__file__).parent
SEED = 20261123
RANDOM_CASES = 40

Step = dict[str, Any]
Case = dict[str, Any]


def delivery_case(name: str, *steps: Step, seq: int = 0) -> Case:
    return {"name": name, "epoch": "e1", "seq": seq, "steps": list(steps)}


def did(*do: Any, seq: int, behind: bool = False, **gives: Any) -> Step:
    return {"do": list(do), **gives, "seq": seq, "behind": behind}


E = "e1"
DELIVERY_CORE = [
    delivery_case(
        "entries in order are handed on at once",
        did("hear", E, 8, hand_on=[8, 8], seq=8),
        did("hear", E, 9, hand_on=[9, 9], seq=9),
        seq=7,
    ),
    delivery_case(
        "an entry that was handed on before is dropped",
        did("hear", E, 7, seq=7),
        did("hear", E, 3, seq=7),
        did("hear", E, 8, hand_on=[8, 8], seq=8),
        did("hear", E, 8, seq=8),
        seq=7,
    ),
    delivery_case(
        "a gap is noticed and read once",
        did("hear", E, 9, read_after=7, seq=7, behind=True),
        did("hear", E, 11, seq=7, behind=True),
        did("read", E, 11, 8, 11, hand_on=[8, 11], seq=11),
        seq=7,
    ),
    delivery_case(
        "an entry that was only late closes the gap without the answer",
        did("hear", E, 2, read_after=0, seq=0, behind=True),
        did("hear", E, 1, hand_on=[1, 2], seq=2),
        did("read", E, 2, 1, 2, seq=2),
    ),
    delivery_case(
        "a page that is not the last asks for the next",
        did("hear", E, 5, read_after=0, seq=0, behind=True),
        did("read", E, 5, 1, 2, hand_on=[1, 2], read_after=2, seq=2, behind=True),
        did("read", E, 6, 3, 4, hand_on=[3, 5], read_after=5, seq=5, behind=True),
        did("read", E, 6, 6, 6, hand_on=[6, 6], seq=6),
    ),
    delivery_case(
        "entries kept while reading save the next read",
        did("hear", E, 3, read_after=0, seq=0, behind=True),
        did("read", E, 3, 1, 2, hand_on=[1, 3], seq=3),
    ),
    delivery_case(
        "a page brings nothing twice",
        did("hear", E, 4, read_after=2, seq=2, behind=True),
        did("hear", E, 3, hand_on=[3, 4], seq=4),
        did("read", E, 5, 3, 5, hand_on=[5, 5], seq=5),
        seq=2,
    ),
    delivery_case(
        "after a failed read the next entry asks again, from where the delivery is then",
        did("hear", E, 3, read_after=0, seq=0, behind=True),
        did("hear", E, 1, hand_on=[1, 1], seq=1, behind=True),
        did("read_failed", seq=1, behind=True),
        did("hear", E, 4, read_after=1, seq=1, behind=True),
        did("read", E, 4, 2, 2, hand_on=[2, 4], seq=4),
    ),
    delivery_case(
        "a head above the last entry of the page is read on",
        did("read", E, 9, 1, 4, hand_on=[1, 4], read_after=4, seq=4, behind=True),
        did("read", E, 9, 5, 9, hand_on=[5, 9], seq=9),
    ),
    delivery_case(
        "a flood beyond the buffer is bounded, and read from the log instead",
        did("flood", E, 2, 1500, read_after=0, seq=0, behind=True),
        did("read", E, 1500, 1, 1, hand_on=[1, 1001], read_after=1001, seq=1001, behind=True),
        did("read", E, 1500, 1002, 1500, hand_on=[1002, 1500], seq=1500),
    ),
    delivery_case(
        "the next entry is handed on even when the buffer is full",
        did("flood", E, 2, 1200, read_after=0, seq=0, behind=True),
        did("hear", E, 1, hand_on=[1, 1001], seq=1001, behind=True),
    ),
    delivery_case(
        "what a page brings again takes no room in the buffer",
        did("read", E, 1000, 1, 1000, seq=1000),
        did("hear", E, 1002, read_after=1000, seq=1000, behind=True),
        did("read", E, 1002, 1001, 1001, hand_on=[1001, 1002], seq=1002),
        seq=1000,
    ),
    delivery_case("an entry of another epoch means start over", did("hear", "e2", 4, reset=True, seq=3), seq=3),
    delivery_case(
        "an entry of another epoch means start over even if its seq is known",
        did("hear", "e2", 1, reset=True, seq=3),
        seq=3,
    ),
    delivery_case(
        "a page of another epoch means start over", did("read", "e2", 9, 4, 9, reset=True, seq=3), seq=3
    ),
    delivery_case(
        "a log that ends below what was seen before the read means start over",
        did("read", E, 2, reset=True, seq=3),
        seq=3,
    ),
    delivery_case(
        "a page that does not join on means start over, and moves nothing",
        did("hear", E, 9, read_after=3, seq=3, behind=True),
        did("read", E, 9, 5, 9, reset=True, seq=3, behind=True),
        seq=3,
    ),
    delivery_case(
        "a page older than what came live meanwhile is no reason to start over",
        did("hear", E, 2, read_after=0, seq=0, behind=True),
        did("hear", E, 1, hand_on=[1, 2], seq=2),
        did("hear", E, 3, hand_on=[3, 3], seq=3),
        did("read", E, 2, 1, 2, seq=3),
    ),
    delivery_case("a page of a log that has nothing more asks for nothing", did("read", E, 3, seq=3), seq=3),
]


def live_case(name: str, *steps: Step) -> Case:
    return {"name": name, "steps": list(steps)}


def heard(kind: str, run_id: str, attempt: int, *, runs: list[Any], missing: bool = False, **fields: Any) -> Step:
    payload = {"run_id": run_id, "attempt": attempt, **fields}
    return {"do": ["hear", f"run:{kind}", payload], "missing": missing, "runs": runs}


def looked(unfinished: dict[str, Any] | None, *, runs: list[Any], anew: bool = False) -> Step:
    return {"do": ["look", unfinished, anew], "runs": runs}


def ended(kind: str, run_id: str, *, runs: list[Any]) -> Step:
    return {"do": ["entry", kind, run_id], "runs": runs}


def card(run_id: str, attempt: int, text: str, *numbers: int, status: str = "running") -> dict[str, Any]:
    updates = [told(run_id, attempt, number) for number in numbers]
    return {
        "run_id": run_id,
        "attempt": attempt,
        "status": status,
        "input_seq": 1,
        "text": text,
        "updates": updates,
    }


def told(run_id: str, attempt: int, number: int) -> dict[str, Any]:
    return {"run_id": run_id, "attempt": attempt, "number": number, "kind": "custom", "data": number}


def report(attempt: int, number: int, *, runs: list[Any]) -> Step:
    return {"do": ["hear", "run:update", told("r", attempt, number)], "missing": False, "runs": runs}


LIVE_CORE = [
    live_case(
        "deltas join on",
        heard("started", "r", 1, runs=[["r", 1, "", []]]),
        heard("delta", "r", 1, offset=0, text="I ", runs=[["r", 1, "I ", []]]),
        heard("delta", "r", 1, offset=2, text="can", runs=[["r", 1, "I can", []]]),
    ),
    live_case(
        "a delta that came before adds nothing, one that overlaps adds what is new",
        heard("delta", "r", 1, offset=0, text="abc", runs=[["r", 1, "abc", []]]),
        heard("delta", "r", 1, offset=0, text="abc", runs=[["r", 1, "abc", []]]),
        heard("delta", "r", 1, offset=1, text="bcde", runs=[["r", 1, "abcde", []]]),
    ),
    live_case(
        "offsets count code points",
        heard("delta", "r", 1, offset=0, text="😀", runs=[["r", 1, "😀", []]]),
        heard("delta", "r", 1, offset=1, text="é好", runs=[["r", 1, "😀é好", []]]),
        heard("delta", "r", 1, offset=2, text="好👩‍👧", runs=[["r", 1, "😀é好👩‍👧", []]]),
        heard("delta", "r", 1, offset=6, text="!", runs=[["r", 1, "😀é好👩‍👧!", []]]),
    ),
    live_case(
        "a delta beyond a gap is kept until what is missing comes",
        heard("delta", "r", 1, offset=3, text="def", missing=True, runs=[["r", 1, "", []]]),
        heard("delta", "r", 1, offset=6, text="g", missing=True, runs=[["r", 1, "", []]]),
        heard("delta", "r", 1, offset=0, text="abc", runs=[["r", 1, "abcdefg", []]]),
    ),
    live_case(
        "of two deltas with one offset the longer one is kept",
        heard("delta", "r", 1, offset=1, text="bcd", missing=True, runs=[["r", 1, "", []]]),
        heard("delta", "r", 1, offset=1, text="b", missing=True, runs=[["r", 1, "", []]]),
        heard("delta", "r", 1, offset=0, text="a", runs=[["r", 1, "abcd", []]]),
    ),
    live_case(
        "the card's text closes a gap, and deltas go on from it",
        heard("delta", "r", 1, offset=4, text="e", missing=True, runs=[["r", 1, "", []]]),
        looked(card("r", 1, "abcd"), runs=[["r", 1, "abcde", []]]),
        heard("delta", "r", 1, offset=5, text="f", runs=[["r", 1, "abcdef", []]]),
    ),
    live_case(
        "a card older than what was heard takes nothing back",
        heard("delta", "r", 1, offset=0, text="abc", runs=[["r", 1, "abc", []]]),
        looked(card("r", 1, "a"), runs=[["r", 1, "abc", []]]),
        looked(None, runs=[["r", 1, "abc", []]]),
    ),
    live_case(
        "what begins anew forgets what was before",
        heard("delta", "q", 1, offset=0, text="abc", runs=[["q", 1, "abc", []]]),
        looked(card("r", 2, "x"), anew=True, runs=[["r", 2, "x", []]]),
        looked(None, anew=True, runs=[]),
    ),
    live_case(
        "a run that has not begun is known, and says nothing",
        looked(card("r", 0, "", status="pending"), runs=[["r", 0, "", []]]),
        heard("started", "r", 1, runs=[["r", 1, "", []]]),
    ),
    live_case(
        "a superseded attempt's text is void at once",
        heard("delta", "r", 1, offset=0, text="I can", runs=[["r", 1, "I can", []]]),
        heard("superseded", "r", 1, withdrawn_chars=5, runs=[["r", 2, "", []]]),
        heard("delta", "r", 1, offset=5, text=" book", runs=[["r", 2, "", []]]),
        heard("started", "r", 2, runs=[["r", 2, "", []]]),
        heard("delta", "r", 2, offset=0, text="Well", runs=[["r", 2, "Well", []]]),
    ),
    live_case(
        "a later attempt begins with an empty text, whatever names it first",
        heard("delta", "r", 1, offset=0, text="old", runs=[["r", 1, "old", []]]),
        heard("delta", "r", 3, offset=0, text="new", runs=[["r", 3, "new", []]]),
        heard("superseded", "r", 1, withdrawn_chars=3, runs=[["r", 3, "new", []]]),
        looked(card("r", 2, "older"), runs=[["r", 3, "new", []]]),
        looked(card("r", 4, ""), runs=[["r", 4, "", []]]),
    ),
    live_case(
        "deltas kept of an earlier attempt are not joined to a later one",
        heard("delta", "r", 1, offset=2, text="cd", missing=True, runs=[["r", 1, "", []]]),
        heard("started", "r", 2, runs=[["r", 2, "", []]]),
        heard("delta", "r", 2, offset=0, text="xy", runs=[["r", 2, "xy", []]]),
    ),
    live_case(
        "what comes of a run after its end is ignored",
        heard("delta", "r", 1, offset=0, text="abc", runs=[["r", 1, "abc", []]]),
        ended("answer", "r", runs=[]),
        heard("delta", "r", 1, offset=3, text="d", runs=[]),
        heard("started", "r", 2, runs=[]),
        looked(card("r", 1, "abc"), runs=[]),
    ),
    live_case(
        "run:finished says the end as well",
        heard("delta", "r", 1, offset=0, text="abc", runs=[["r", 1, "abc", []]]),
        heard("finished", "r", 1, status="answered", seq=5, runs=[]),
        heard("delta", "r", 1, offset=3, text="d", runs=[]),
        looked(card("r", 1, "abc"), runs=[]),
        ended("answer", "r", runs=[]),
        heard("delta", "r", 1, offset=3, text="d", runs=[]),
    ),
    *(
        live_case(
            f"{kind} ends a run, and no other",
            heard("started", "q", 1, runs=[["q", 1, "", []]]),
            heard("started", "r", 1, runs=[["q", 1, "", []], ["r", 1, "", []]]),
            ended(kind, "q", runs=[["r", 1, "", []]]),
        )
        for kind in ("answer", "interrupt", "stopped", "failed")
    ),
    live_case(
        "reports are in their order, each once, and of the last attempt",
        report(1, 2, runs=[["r", 1, "", [2]]]),
        report(1, 1, runs=[["r", 1, "", [1, 2]]]),
        report(1, 2, runs=[["r", 1, "", [1, 2]]]),
        looked(card("r", 1, "", 1, 2, 3), runs=[["r", 1, "", [1, 2, 3]]]),
        report(2, 1, runs=[["r", 2, "", [1]]]),
        report(1, 4, runs=[["r", 2, "", [1]]]),
    ),
]


def random_deliveries(rng: random.Random) -> Iterator[Case]:
    """A log that grows and may begin anew, a bus that loses, repeats and reorders, a store that answers late or not."""
    for number in range(RANDOM_CASES):
        start = rng.randrange(20)
        head, epoch, asked = start, "e1", None
        on_the_way: list[tuple[str, int]] = []
        case = delivery_case(f"random {number}", seq=start)
        for _ in range(60):
            luck = rng.random()
            if luck < 0.3:
                grown = rng.randrange(1, 6)
                on_the_way += [(epoch, head + step) for step in range(1, grown + 1) if rng.random() < 0.85]
                head += grown
                continue
            if luck < 0.7 and on_the_way:
                entry = on_the_way[0] if rng.random() < 0.7 else rng.choice(on_the_way)
                if rng.random() < 0.85:
                    on_the_way.remove(entry)
                do: list[Any] = ["hear", *entry]
            elif asked is not None and luck < 0.95:
                seen = max(asked, head - rng.randrange(4))  # the store was read some time ago
                last = min(seen, asked + rng.randrange(1, 8))
                do = ["read", epoch, seen, asked + 1, last] if last > asked else ["read", epoch, seen]
                asked = None
                if rng.random() < 0.1:
                    do = ["read_failed"]
            elif luck > 0.99:
                epoch, head, on_the_way = f"{epoch}x", rng.randrange(5), []
                continue
            else:
                continue
            case["steps"].append({"do": do})
            step = replay_delivery(case)[-1]
            if step.get("reset"):
                break
            asked = step.get("read_after", asked)
        yield {**case, "steps": replay_delivery(case)}


WORDS = ["I ", "can ", "book ", "a room", "好", "的，", "😀", "👩‍👧", "é", "\n", "̈", "𝔘"]


def random_lives(rng: random.Random) -> Iterator[Case]:
    """Runs that are taken over and end, told over a bus that loses, repeats and delays; now and then a late look."""
    for number in range(RANDOM_CASES):
        case = live_case(f"random {number}")
        on_the_way: list[list[Any]] = []
        said: dict[tuple[str, int], str] = {}
        truth: dict[str, dict[str, Any]] = {}
        run_id, runs = "", 0

        def tell(kind: str, on_the_way: list[list[Any]] = on_the_way, **payload: Any) -> None:
            on_the_way.append(["hear", f"run:{kind}", payload])

        for _ in range(70):
            luck = rng.random()
            run = truth.get(run_id)
            if run is None and luck < 0.5:
                runs += 1
                run_id = f"r{runs}"
                truth[run_id] = card(run_id, 1, "")
                tell("started", run_id=run_id, attempt=1)
            elif run is not None and luck < 0.3:
                text = "".join(rng.choice(WORDS) for _ in range(rng.randrange(1, 4)))
                tell("delta", run_id=run_id, attempt=run["attempt"], offset=len(run["text"]), text=text)
                run["text"] += text
                said[run_id, run["attempt"]] = run["text"]
            elif run is not None and luck < 0.4:
                update = told(run_id, run["attempt"], len(run["updates"]) + 1)
                run["updates"] = [*run["updates"], update]
                on_the_way.append(["hear", "run:update", update])
            elif run is not None and luck < 0.45:
                tell("superseded", run_id=run_id, attempt=run["attempt"], withdrawn_chars=len(run["text"]))
                run.update(attempt=run["attempt"] + 1, text="", updates=[])
                tell("started", run_id=run_id, attempt=run["attempt"])
            elif run is not None and luck < 0.5:
                tell("finished", run_id=run_id, attempt=run["attempt"], status="answered", seq=9)
                on_the_way.append(["entry", rng.choice(["answer", "stopped", "failed", "interrupt"]), run_id])
                truth.pop(run_id)
            elif luck < 0.56:
                on_the_way.append(["look", dict(run) if run else None, rng.random() < 0.2])
            elif on_the_way:
                do = on_the_way.pop(0 if rng.random() < 0.8 else rng.randrange(len(on_the_way)))
                if do[0] == "hear" and rng.random() < 0.15:
                    continue  # lost
                if do[0] == "hear" and rng.random() < 0.15:
                    on_the_way.insert(rng.randrange(len(on_the_way) + 1), do)
                case["steps"].append({"do": do})
        steps = replay_live(case)
        for shown, attempt, text, _ in (run for step in steps for run in step["runs"]):
            assert said.get((shown, attempt), "").startswith(text)
        yield {**case, "steps": steps}


def write(name: str, replay: Callable[[Case], list[Step]], core: list[Case], others: Iterator[Case]) -> None:
    for case in core:
        for wanted, got in zip(case["steps"], replay(case), strict=True):
            if wanted != got:
                raise SystemExit(f"{name}, {case['name']!r}:\n  expected {wanted}\n  the Python side does {got}")
    cases = [*core, *others]
    lines = ",\n".join(json.dumps(case, ensure_ascii=False) for case in cases)
    (HERE / name).write_text(f"[\n{lines}\n]\n", encoding="utf-8")
    print(f"{name}: {len(core)} cases by hand, {len(cases) - len(core)} by chance")


if __name__ == "__main__":
    write("delivery.json", replay_delivery, DELIVERY_CORE, random_deliveries(random.Random(SEED)))
    write("live.json", replay_live, LIVE_CORE, random_lives(random.Random(SEED)))
