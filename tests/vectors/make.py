"""Makes the vectors that both the Python cores and their twins in the page must match.

    python -m tests.vectors.make

The Python side is the reference; where a case by hand expects otherwise, nothing is written.

A case has steps. `do` is a call, and what it gives stands beside it where it is not nothing:

- delivery: `hand_on` [first, last] of the entries handed on, `read_after`, `reset`; then `seq` of the position,
  and `behind`. Calls: entry epoch seq; flood epoch first last (all of them); page epoch head first last (empty
  without first and last); read_failed.
- live: `missing` (another view of the conversation is needed; of `event` only), and `runs` that are on: [run id,
  attempt, text, numbers of its attempt's reports]. Calls: event name payload; view unfinished starts_over; entry
  type run_id.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable
from pathlib import Path

from tests.vectors.by_chance import random_deliveries, random_lives
from tests.vectors.by_hand import DELIVERY, LIVE, Case, Step
from tests.vectors.replay import replay_delivery, replay_live

HERE = Path(__file__).parent
SEED = 20261123


def write(name: str, replay: Callable[[Case], list[Step]], core: list[Case], others: Iterable[Case]) -> None:
    for case in core:
        for wanted, got in zip(case["steps"], replay(case), strict=True):
            if wanted != got:
                raise SystemExit(f"{name}, {case['name']!r}:\n  expected {wanted}\n  the Python side does {got}")
    cases = [*core, *others]
    lines = ",\n".join(json.dumps(case, ensure_ascii=False) for case in cases)
    (HERE / name).write_text(f"[\n{lines}\n]\n", encoding="utf-8")
    print(f"{name}: {len(core)} cases by hand, {len(cases) - len(core)} by chance")


if __name__ == "__main__":
    write("delivery.json", replay_delivery, DELIVERY, random_deliveries(random.Random(SEED)))
    write("live.json", replay_live, LIVE, random_lives(random.Random(SEED)))
