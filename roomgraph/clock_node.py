"""The program with a clock that can be moved while it runs: `python -m roomgraph.clock_node node`."""

from __future__ import annotations

import os

from roomgraph.tour.moved_clock import FILE, move_clock

if __name__ == "__main__":
    move_clock(os.environ[FILE])
    from roomgraph.__main__ import main  # after that: modules may take the functions by name

    main()
