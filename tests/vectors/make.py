"""Makes the vectors that both state machines of the stream, the Python one and the page's, must match.

    python -m tests.vectors.make

The Python side is the reference; where a case by hand expects otherwise, nothing is written.

`stream.json` is a list of cases `{name, position, steps, state}`. A case begins with a new state machine at
`position`: `{epoch, seq}` or null. Each step is an object with `do` and its outcome. `do` is one of

- `["event", name, payload]`: a stream event, with `n` in its payload;
- `["answer", result]`: the answer to a create, join or sync;
- `["synced", result]`: `conversation:synced`;
- `["reset"]`: `conversation:reset`;
- `["disconnected"]`;
- `["flood", first, last]`: events "entry:appended" by `flooded(k)`, for k from first to last: n = seq = k.

The outcome, of which what is empty is left out: `entries`, the seqs handed on in order; `hidden`, the seqs hidden
from now on, ascending; `reset`, the reason; `sync`: true when a sync has to be asked for.

`state`, after the last step: `position`, `n`, `in_step`, `hidden` (ascending), `runs` (a list in order, each as on
the wire with `withdrawn` beside `parts`), `interrupts` (a list of `[id, value]` in order).
"""

from __future__ import annotations

import json
import random
from pathlib import Path

from tests.vectors.by_chance import random_streams
from tests.vectors.by_hand import STREAM
from tests.vectors.replay import replay

FILE = Path(__file__).parent / "stream.json"
SEED = 20261127


def main() -> None:
    for case in STREAM:
        played = replay(case)
        for wanted, got in zip(case["steps"], played["steps"], strict=True):
            if wanted != got:
                raise SystemExit(f"{case['name']!r}:\n  expected {wanted}\n  the Python side does {got}")
        wanted = {**played["state"], **case["state"]}
        if wanted != played["state"]:
            raise SystemExit(f"{case['name']!r}:\n  expected {wanted}\n  the Python side has {played['state']}")
    cases = [*map(replay, STREAM), *random_streams(random.Random(SEED))]
    lines = ",\n".join(json.dumps(case, ensure_ascii=False) for case in cases)
    FILE.write_text(f"[\n{lines}\n]\n", encoding="utf-8")
    print(f"{FILE.name}: {len(STREAM)} cases by hand, {len(cases) - len(STREAM)} by chance")


if __name__ == "__main__":
    main()
