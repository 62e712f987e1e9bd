"""The application's own check of a token: a function that is named in AUTHENTICATE."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import inspect
import logging
import threading
import time
from collections.abc import Callable, Mapping
from math import inf
from typing import Any

from sio_server.protocol.errors import ErrorCode, Refused, RoomgraphError, Unavailable
from sio_server.tasks import is_being_cancelled

log = logging.getLogger(__name__)

CALL_S = 5.0  # for one call
MAX_THREADS = 32  # calls of a function that is not async, at once, with those that do not return
LOG_PERIOD_S = 60.0  # between two lines about the same error

Claims = Mapping[str, Any]


class BadHook(Exception):
    """AUTHENTICATE names nothing that can be called; the message is for people."""


class AuthenticateHook:
    """Calls `function(token, headers)`, async or not, and says what came of it.

    It returns the claims of the user (`sub`, and `name`, `exp`, `iat` and others as a token has them), the user id
    alone, or None for a token that is to be checked as if there were no function. `headers` are those of the
    connection's opening, in which names have no case.

    Whatever it raises refuses the token, and is logged: an error of this project as it is, ConnectionError and
    TimeoutError as `unavailable`, everything else as `token_invalid`. Clients are not told its text.
    """

    def __init__(self, function: Callable[[str, Mapping[str, str]], Any], *, ttl_s: int, place: str = "") -> None:
        """`ttl_s`: how long claims without `exp` hold. `place`: what the function is called in the log."""
        self._function = function
        self._ttl_s = ttl_s
        self._place = place or getattr(function, "__qualname__", repr(function))
        called = function if inspect.isroutine(function) else getattr(function, "__call__", function)  # noqa: B004
        self._is_async = inspect.iscoroutinefunction(called)
        self._threads = asyncio.Semaphore(MAX_THREADS)
        self._logged: dict[type[BaseException], float] = {}

    async def claims(self, token: str, headers: Mapping[str, str], now: float) -> Claims | None:
        """What the function says of a token at `now` (seconds since 1970). Raises RoomgraphError, nothing else."""
        try:
            async with asyncio.timeout(CALL_S):
                said = await self._call(token, headers)
        except RoomgraphError as exc:
            self._log(exc)
            raise
        except BaseException as exc:
            if is_being_cancelled():
                raise
            self._log(exc)
            # PermissionError is an OSError as well, and says no.
            if isinstance(exc, (ConnectionError, TimeoutError)):
                raise Unavailable("whether the token is valid cannot be told at this moment; try again") from None
            raise Refused(ErrorCode.TOKEN_INVALID, "the application refuses the token") from None
        if said is None:
            return None
        if isinstance(said, str):
            said = {"sub": said}
        if not isinstance(said, Mapping):
            self._log(TypeError(f"it returned {type(said).__name__}, not the claims of a user, a user id or None"))
            raise Refused(ErrorCode.TOKEN_INVALID, "the application refuses the token")
        return {"exp": int(now) + self._ttl_s, **said}

    async def _call(self, token: str, headers: Mapping[str, str]) -> Any:
        if self._is_async:
            return await self._function(token, headers)
        said = await self._in_thread(lambda: self._function(token, headers))
        return await said if inspect.isawaitable(said) else said

    async def _in_thread(self, work: Callable[[], Any]) -> Any:
        """The result of `work()`, in a thread that does not keep the process from ending.

        A thread counts until it ends, which may be long after the caller has stopped waiting for it. Raises
        Unavailable when no thread can be started.
        """
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Any] = loop.create_future()

        def on_ended(result: Any, error: BaseException | None) -> None:
            self._threads.release()
            if done.done():
                return
            if error is None:
                done.set_result(result)
            else:
                # A future cannot hold it.
                done.set_exception(RuntimeError("StopIteration") if isinstance(error, StopIteration) else error)

        def run() -> None:
            result, error = None, None
            try:
                result = work()
            except BaseException as exc:
                error = exc
            with contextlib.suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(on_ended, result, error)

        await self._threads.acquire()
        try:
            threading.Thread(target=run, name="authenticate", daemon=True).start()
        except RuntimeError as exc:  # the system has no room for one
            self._threads.release()
            raise Unavailable("the token cannot be checked at this moment; try again") from exc
        return await done

    def _log(self, error: BaseException) -> None:
        now = time.monotonic()
        if now - self._logged.get(type(error), -inf) >= LOG_PERIOD_S:
            self._logged[type(error)] = now
            log.warning("AUTHENTICATE=%s refuses a token: %s", self._place, type(error).__name__, exc_info=error)


def load_hook(place: str, ttl_s: int) -> AuthenticateHook:
    """The function at `module:attribute`. Raises BadHook, whatever the module raises."""
    module_name, _, attribute = place.partition(":")
    try:
        found: Any = importlib.import_module(module_name)
        for part in attribute.split("."):
            found = getattr(found, part)
    except asyncio.CancelledError:
        raise
    except BaseException as exc:  # modules also raise SystemExit
        raise BadHook(f"AUTHENTICATE={place}: it cannot be imported: {type(exc).__name__}: {exc}") from exc
    if not callable(found):
        raise BadHook(f"AUTHENTICATE={place}: it is not a function")
    return AuthenticateHook(found, ttl_s=ttl_s, place=place)
