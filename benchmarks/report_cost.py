"""What 5,000 reports of a graph cost: how much later the answer comes than without any.

    python -m benchmarks.report_cost

A cluster of three nodes on this machine serves `tests/served/writing.py`; figures are medians of 5 runs.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path
from statistics import median

from tests.conftest import NODE_SETTINGS, cluster_in
from tests.served.devices import LANGGRAPH_JSON, devices_of

EVENTS = 5000


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with cluster_in(Path(folder), {**NODE_SETTINGS, "LANGGRAPH_JSON": LANGGRAPH_JSON}) as cluster:
            async with devices_of(cluster) as devices:
                ann = await devices.start("writer")
                took: dict[int, list[float]] = {0: [], EVENTS: []}
                for _ in range(5):
                    for count, times in took.items():
                        began = time.monotonic()
                        ack = await ann.conversation.send(f"report {count}")
                        await ann.ended(ack.run_id)
                        times.append(time.monotonic() - began)
    for count, times in took.items():
        print(f"{count} reports: {median(times):.3f} s ({', '.join(f'{s:.3f}' for s in times)})")


if __name__ == "__main__":
    asyncio.run(main())
