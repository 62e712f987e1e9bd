"""What a command prints, and how it ends: plain lines, errors without a traceback, exit statuses.

Messages may hold anything: names, paths, URLs, what a server said. They are printed as `Text`, which Rich does not
parse, so that `[embedded]` and `:smile:` stand on the screen as they were written; what
would move the cursor is replaced.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Coroutine
from typing import Any, NoReturn, TypeVar

import typer
from rich.console import Console
from rich.text import Text

from sio_server.protocol.names import printable

MISTAKE = 2  # exit status of a command that was given something it cannot use
INTERRUPTED = 130

T = TypeVar("T")

# In a file or a pipe, lines need not fit a screen.
console = Console(
    width=None if sys.stdout.isatty() or "COLUMNS" in os.environ else 120, emoji=False, highlight=False
)
errors = Console(stderr=True, emoji=False, highlight=False)


def say(message: str, on: Console = console) -> None:
    """Print a message as it is, but for control characters."""
    on.print(Text(printable(message)), soft_wrap=True)


def fail(message: str, status: int = 1) -> NoReturn:
    """Print what is wrong and what to do about it, and end with an exit status; never a traceback."""
    errors.print(Text.assemble(("✘", "red"), " ", printable(message)), soft_wrap=True)
    raise typer.Exit(status)


def run(main: Callable[[], Coroutine[Any, Any, T]], failing: Callable[[str, int], NoReturn] = fail) -> T:
    """Run a coroutine, on uvloop where it exists; an error that has a message for people becomes that message.

    `failing` gets it, with the exit status.
    """
    from sio_server.local.redis import NoEmbeddedRedis
    from sio_server.protocol.errors import RoomgraphError
    from sio_server.settings import SettingsError

    try:
        import uvloop
    except ImportError:
        factory = None
    else:
        factory = uvloop.new_event_loop
    try:
        with asyncio.Runner(loop_factory=factory) as runner:
            return runner.run(main())
    except (SettingsError, NoEmbeddedRedis) as exc:
        failing(str(exc), MISTAKE)
    except RoomgraphError as exc:
        failing(exc.message, 1)
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None
