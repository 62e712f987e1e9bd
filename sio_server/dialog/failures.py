"""What an exception that ended an attempt says: the graph's fault, the store's, or a lost lease."""

from __future__ import annotations

from langgraph.errors import GraphRecursionError

from sio_server.conversation.runs import LeaseLost
from sio_server.dialog.execution import NoAnswer
from sio_server.dialog.graphs.contexts import ContextMisfit
from sio_server.dialog.outcome import GraphEnd, StreamEnd
from sio_server.dialog.savers.errors import StaleOwner, is_store_error
from sio_server.protocol.errors import Unavailable


def graph_end(error: BaseException) -> GraphEnd:
    """How a graph has ended that raised this. A graph is anybody's code and may raise anything, SystemExit too."""
    match error:
        case NoAnswer():
            return GraphEnd.NO_ANSWER
        case ContextMisfit():
            return GraphEnd.CONTEXT_MISFIT
        case UnicodeError():
            return GraphEnd.NOT_TEXT
        case GraphRecursionError():
            return GraphEnd.TOO_MANY_STEPS
        case LeaseLost() | StaleOwner():
            return GraphEnd.LEASE_LOST
        case Unavailable():
            return GraphEnd.STORE_LOST
    return GraphEnd.STORE_LOST if is_store_error(error) else GraphEnd.RAISED


def stream_end(error: BaseException) -> StreamEnd:
    """How a stream has ended that raised this; it waits for a lost store by itself."""
    return StreamEnd.LEASE_LOST if isinstance(error, LeaseLost) else StreamEnd.BROKEN
