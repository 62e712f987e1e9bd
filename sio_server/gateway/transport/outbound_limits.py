"""How much may wait for one client, and how fast it must read."""

from __future__ import annotations

MAX_EVENT_BYTES = 1024 * 1024  # of events that the transport has not accepted yet
MAX_ANSWER_BYTES = 256 * 1024  # of answers; while more wait, nothing is read from the client
MAX_ANSWERS = 100
MIN_RATE = 1024  # bytes a second that a client must read while something waits for it
STALL_S = 3.0  # over how long that is measured
# What the system may hold of a connection beyond what is on its way: the rest stays where it is counted.
UNSENT_BYTES = 64 * 1024
