"""The program with a clock that can be moved while it runs: `python -m roomgraph.clock_node node`.

Its nodes do not sweep: one of them keeps fewer entries of the conversations that it creates, and would drop
those of all others, too, as soon as it is the one that sweeps.
"""

from __future__ import annotations

import os
from typing import Any

from roomgraph.tour.moved_clock import FILE, move_clock

if __name__ == "__main__":
    move_clock(os.environ[FILE])
    import asyncio  # from here on: modules may take the functions by name

    from roomgraph.__main__ import main
    from sio_server.data.sweeper import Sweeper

    async def rest(sweeper: Sweeper) -> None:
        """Sweep nothing until cancelled."""
        await asyncio.Event().wait()

    of_nodes: Any = Sweeper
    of_nodes.run = rest
    main()
