"""The stage's contract: what nodes report of their work, and the key that opens it."""

from __future__ import annotations

import hmac
from enum import StrEnum


class TraceKind(StrEnum):
    """The kinds of trace events; each also says `at` (Unix time in ms) and `node`."""

    NODE_UP = "node_up"
    NODE_DRAINING = "node_draining"
    NODE_GONE = "node_gone"  # gone: the name of a node that has stopped, or is taken for dead
    SESSION_OPENED = "session_opened"  # user_id, device_id, device_name, session_id
    SESSION_CLOSED = "session_closed"  # the same
    RECEIVED = "received"  # conversation_id, user_id, device_id: a send reached this node
    APPENDED = "appended"  # conversation_id, epoch, seq, device_id, ms, new: the log's ack for it came back
    HEARD = "heard"  # conversation_id, epoch, seq, type: this node heard the entry on the bus
    DELIVERED = "delivered"  # conversation_id, seq, device_ids: handed to these sessions' sockets
    RUN_STARTED = "run_started"  # conversation_id, run_id, attempt, epoch, input_seq, graph
    RUN_TAKEN_OVER = "run_taken_over"  # the same; before the run_started of an attempt after another owner's
    RUN_STEP = "run_step"  # and step: a node of the graph; checkpoint: how many the run has
    RUN_SPOKE = "run_spoke"  # devices can see the first text of this attempt
    RUN_ENDED = "run_ended"  # and status
    ASKED = "asked"  # conversation_id, run_id; before run_ended
    RESUMED = "resumed"  # conversation_id, run_id: the answers' run; before its run_started


# What a reader gets besides: first the name of the node, then each second that the stream still runs.
HELLO = "hello"
BEAT = "beat"


def opens(key: str, authorization: str) -> bool:
    """Whether an Authorization header carries the stage's key; a wrong one takes as long as the right one."""
    scheme, _, given = authorization.partition(" ")
    same = hmac.compare_digest(given.strip().encode(errors="replace"), key.encode())
    return same and bool(key) and scheme.lower() == "bearer"
