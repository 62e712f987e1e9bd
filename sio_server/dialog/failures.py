"""What an exception that ended an attempt says: the graph's fault, the store's, or a lost lease."""

from __future__ import annotations

from collections.abc import Iterator

from langgraph.errors import GraphRecursionError

from sio_server.conversation.runs import LeaseLost
from sio_server.dialog.changed_graph import GraphChanged
from sio_server.dialog.execution import NoAnswer
from sio_server.dialog.outcome import GraphEnd, StreamEnd
from sio_server.dialog.savers.errors import NotKept, StaleOwner, StoreLost


class EndedNodes(Exception):
    """The run has ended nodes at this step, and is not started again."""


def graph_end(error: BaseException) -> GraphEnd:
    """How a graph has ended that raised this. A graph is anybody's code and may raise anything, SystemExit too.

    Only errors that our own parts have marked are taken for theirs: a graph may have a Redis client of its own, or
    raise TimeoutError and UnicodeError for reasons of its own.
    """
    match error:
        case NoAnswer():
            return GraphEnd.NO_ANSWER
        case GraphChanged():
            return GraphEnd.GRAPH_CHANGED
        case EndedNodes():
            return GraphEnd.NODE_LOST
        case GraphRecursionError():
            return GraphEnd.TOO_MANY_STEPS
    for cause in _causes(error):
        match cause:
            case LeaseLost() | StaleOwner():
                return GraphEnd.LEASE_LOST
            case StoreLost():
                return GraphEnd.STORE_LOST
            case NotKept():
                return GraphEnd.NOT_TEXT
    return GraphEnd.RAISED


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The exception and what led to it: nodes of a graph may wrap what its checkpointer raised."""
    waiting, seen = [error], set[int]()
    while waiting:
        one = waiting.pop(0)
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        inner = one.exceptions if isinstance(one, BaseExceptionGroup) else ()
        waiting += [cause for cause in (*inner, one.__cause__, one.__context__) if cause is not None]


def stream_end(error: BaseException) -> StreamEnd:
    """How a stream has ended that raised this; it waits for a lost store by itself."""
    return StreamEnd.LEASE_LOST if isinstance(error, LeaseLost) else StreamEnd.BROKEN
