"""What is wrong with a graph, in words for the people who wrote it."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import json
import sysconfig
import traceback
from pathlib import Path
from typing import Any

MAY_STAND_THERE = "Name a StateGraph, a compiled graph, or a function that makes one"


class BadGraph(ValueError):
    """A graph that cannot be served; one line for people: the setting, what is wrong, and what to write."""


def told(exc: BaseException) -> str:
    """An exception in one line, with the place in the user's code that it came from."""
    place = _place(exc)
    return f"{type(exc).__name__}: {one_line(exc)}" + (f" ({place})" if place else "")


def one_line(exc: BaseException) -> str:
    text = exc.msg if isinstance(exc, (SyntaxError, json.JSONDecodeError)) else str(exc)
    if isinstance(exc, json.JSONDecodeError):
        text += f" in line {exc.lineno}"
    return (" ".join(text.split())[:300] or "no reason given").rstrip(".")


def _place(exc: BaseException) -> str:
    """`file:line`, in the user's code if any of it was on the way, and not inside the library it called."""
    if isinstance(exc, SyntaxError) and exc.filename:
        return f"{short(exc.filename)}:{exc.lineno}"
    frames = [frame for frame in traceback.extract_tb(exc.__traceback__) if not _is_machinery(frame.filename)]
    own = [frame for frame in frames if not _is_library(frame.filename)]
    for frame in reversed(own or frames):
        return f"{short(frame.filename)}:{frame.lineno}"
    return ""


def _is_machinery(filename: str) -> bool:
    ours = Path(filename).parent == Path(__file__).parent
    return ours or filename.startswith("<") or filename == importlib.__file__


def _is_library(filename: str) -> bool:
    parts = Path(filename).parts
    standard = {sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")}
    return "site-packages" in parts or "dist-packages" in parts or any(filename.startswith(s) for s in standard)


def short(filename: str) -> str:
    path = Path(filename)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else filename


def remedy(missing: str | None) -> str:
    if not missing:
        return "Put that right in your code"
    package, _, inner = missing.partition(".")
    if inner and importlib.util.find_spec(package):
        return f"Install the version of {package} that the code was written for"
    return f"Install what has the module {missing}"


def kind_of(found: Any) -> str:
    if inspect.ismodule(found):
        return "a module"
    return "None" if found is None else f"of type {type(found).__name__}"
