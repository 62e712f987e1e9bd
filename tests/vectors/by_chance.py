"""Cases that a network with a seed happened to make; all that was handed on or shown was true."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from tests.vectors.by_hand import Case, card, delivery_case, live_case, told
from tests.vectors.replay import replay_delivery, replay_live

CASES = 40


def random_deliveries(rng: random.Random) -> Iterator[Case]:
    """A log that grows or starts over, a bus that loses, repeats and reorders, a store that answers late."""
    for number in range(CASES):
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
                do: list[Any] = ["entry", *entry]
            elif asked is not None and luck < 0.95:
                seen = max(asked, head - rng.randrange(4))  # the store was read some time ago
                last = min(seen, asked + rng.randrange(1, 8))
                do = ["page", epoch, seen, asked + 1, last] if last > asked else ["page", epoch, seen]
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
    """Runs that are taken over and end, on a bus that loses, repeats and delays; now and then a late view."""
    for number in range(CASES):
        case = live_case(f"random {number}")
        on_the_way: list[list[Any]] = []
        said: dict[tuple[str, int], str] = {}
        truth: dict[str, dict[str, Any]] = {}
        run_id, runs = "", 0

        def tell(kind: str, on_the_way: list[list[Any]] = on_the_way, **payload: Any) -> None:
            on_the_way.append(["event", f"run:{kind}", payload])

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
                on_the_way.append(["event", "run:update", update])
            elif run is not None and luck < 0.45:
                tell("superseded", run_id=run_id, attempt=run["attempt"], withdrawn_chars=len(run["text"]))
                run.update(attempt=run["attempt"] + 1, text="", updates=[])
                tell("started", run_id=run_id, attempt=run["attempt"])
            elif run is not None and luck < 0.5:
                tell("finished", run_id=run_id, attempt=run["attempt"], status="answered", seq=9)
                on_the_way.append(["entry", rng.choice(["answer", "stopped", "failed", "interrupt"]), run_id])
                truth.pop(run_id)
            elif luck < 0.56:
                on_the_way.append(["view", dict(run) if run else None, rng.random() < 0.2])
            elif on_the_way:
                do = on_the_way.pop(0 if rng.random() < 0.8 else rng.randrange(len(on_the_way)))
                if do[0] == "event" and rng.random() < 0.15:
                    continue  # lost
                if do[0] == "event" and rng.random() < 0.15:
                    on_the_way.insert(rng.randrange(len(on_the_way) + 1), do)
                case["steps"].append({"do": do})
        steps = replay_live(case)
        for shown, attempt, text, _ in (run for step in steps for run in step["runs"]):
            assert said.get((shown, attempt), "").startswith(text)
        yield {**case, "steps": steps}
