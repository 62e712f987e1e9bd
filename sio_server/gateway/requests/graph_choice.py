"""Which graph a new conversation gets, and whether its context fits the graph."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sio_server.protocol.errors import ErrorCode, Refused, Unavailable

ContextCheck = Callable[[dict[str, Any] | None], None]

CONTEXT_CHECK_S = 2.0  # for the check of a context, which is the graph's code
MAX_CONTEXT_CHECKS = 64  # at once, with those that do not end

_context_checks = threading.Semaphore(MAX_CONTEXT_CHECKS)


class GraphChoice:
    """The graphs that this server runs."""

    def __init__(
        self, graphs: Sequence[str], titles: Mapping[str, str], context_checks: Mapping[str, ContextCheck]
    ) -> None:
        """`graphs`: their names, the default's first; `titles`: names in words.

        `context_checks`: for graphs with a context, what raises Refused for one that does not fit.
        """
        self._graphs = graphs
        self.titles = titles
        self._context_checks = context_checks

    async def choose(self, graph: str | None, context: dict[str, Any] | None) -> str:
        """The graph that is meant. Raises Refused for an unknown one, or a context that does not fit it."""
        graph = graph or self._graphs[0]
        if graph not in self._graphs:
            known = ", ".join(self._graphs)
            raise Refused(ErrorCode.UNKNOWN_GRAPH, f"this server has no such graph; it has: {known}")
        if (check := self._context_checks.get(graph)) is not None:
            await _in_time(check, context)
        elif context is not None:
            raise Refused(ErrorCode.INVALID_PAYLOAD, f"context: the graph {graph} takes none")
        return graph


async def _in_time(check: ContextCheck, context: dict[str, Any] | None) -> None:
    """Check a context in a thread that holds up neither other requests nor, if it never ends, the node's end."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()

    def tell(error: BaseException | None) -> None:
        if done.done():
            return
        if error is None:
            done.set_result(None)
        else:
            done.set_exception(error)

    def work() -> None:
        error: BaseException | None = None
        try:
            check(context)
        except Refused as exc:
            error = exc
        except BaseException as exc:
            error = Refused(ErrorCode.INVALID_PAYLOAD, f"context: {type(exc).__name__}")
        finally:
            _context_checks.release()
        with contextlib.suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(tell, error)

    if not _context_checks.acquire(blocking=False):
        raise Unavailable("too many contexts are being checked")
    threading.Thread(target=work, name="context-check", daemon=True).start()
    try:
        async with asyncio.timeout(CONTEXT_CHECK_S):
            await done
    except TimeoutError:
        raise Unavailable(f"the graph has not checked the context within {CONTEXT_CHECK_S:g} s") from None
