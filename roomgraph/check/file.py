"""Histories as files: one JSON object in each line, told apart by its `kind`. docs/checking.md has the fields.

A line stands alone, and what devices were handed is written as the seqs of the log wherever it is just what the
log says, so that large histories can be written and read line by line.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, fields, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal, NoReturn, TypeVar, get_args, get_origin, get_type_hints

from roomgraph.check.history import (
    Acked,
    Damage,
    DeviceView,
    Execution,
    History,
    Run,
    RunView,
    Seen,
    Send,
    Shown,
)

VERSION = 1
_AT_ONCE = 1000  # entries or states in one line

T = TypeVar("T")
Line = dict[str, Any]


class BadHistory(ValueError):
    """The file is no history; the message names the line and what is wrong with it."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(f"line {line}: {reason}")
        self.line = line
        self.reason = reason


def write_history(path: Path, history: History) -> None:
    """Write a history to a file. Raises OSError."""
    with path.open("w", encoding="utf-8") as file:
        count = 0
        for line in _lines(history):
            file.write(_json(line))
            count += 1
        file.write(_json({"kind": "end", "lines": count}))


def read_history(path: Path) -> History:
    """Read a history from a file. Raises BadHistory or OSError."""
    reader = _Reader()
    with path.open("rb") as file:
        for line in file:
            reader.take(line)
    return reader.history()


# Writing


def _json(line: Line) -> str:
    return json.dumps(line, ensure_ascii=False, allow_nan=False, separators=(",", ":")) + "\n"


def _plain(item: Any) -> Line:
    """The fields of a record that are not as they are by default."""
    found: Line = {}
    for field in fields(item):
        value = getattr(item, field.name)
        if field.default is MISSING or value != field.default:
            found[field.name] = value
    return found


def _lines(history: History) -> Iterator[Line]:
    yield {"kind": "history", "v": VERSION}
    in_log: dict[str, dict[int, Seen]] = {}
    for where, log in history.logs.items():
        yield {"kind": "conversation", "conversation_id": where}
        known = in_log[where] = {}
        for entry in log:
            known.setdefault(entry.seq, entry)
            yield {"kind": "entry", "conversation_id": where, **_plain(entry)}
    for send in history.sends:
        yield {"kind": "send", **_plain(send), "acks": [ack._asdict() for ack in send.acks]}
    for view in history.views:
        whose = {"device": view.device, "conversation_id": view.conversation_id, "part": view.part}
        yield {"kind": "view", **_plain(view), **whose, "entries": len(view.entries)}
        known = in_log.get(view.conversation_id, {})
        for start in range(0, len(view.entries), _AT_ONCE):
            some = view.entries[start : start + _AT_ONCE]
            handed = [entry.seq if known.get(entry.seq) == entry else _plain(entry) for entry in some]
            yield {"kind": "saw", **whose, "entries": handed}
    for kind, items in (("run", history.runs), ("execution", history.executions), ("damage", history.damages)):
        yield from ({"kind": kind, **_plain(item)} for item in items)
    for shown in history.run_views:
        about = {"device": shown.device, "conversation_id": shown.conversation_id, "run_id": shown.run_id}
        for start in range(0, max(1, len(shown.states)), _AT_ONCE):
            states = [list(state) for state in shown.states[start : start + _AT_ONCE]]
            yield {"kind": "run_view", **about, "states": states}


# Reading


class _Wrong(Exception):
    """What is wrong with a line."""


def _fits(value: Any, hint: Any) -> bool:
    """Whether a value that came from JSON is of a simple type."""
    if get_origin(hint) is Literal:
        return isinstance(value, str) and value in get_args(hint)
    if get_args(hint):
        return any(_fits(value, one) for one in get_args(hint))
    if hint is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    return isinstance(value, hint) and (hint is bool or not isinstance(value, bool))


@cache
def _shape(kind: Any) -> dict[str, tuple[Any, bool]]:
    """The fields of a record: the type of each, and whether it must be there."""
    hints = get_type_hints(kind)
    if issubclass(kind, tuple):
        defaults: Mapping[str, Any] = kind._field_defaults
        return {name: (hint, name not in defaults) for name, hint in hints.items()}
    return {field.name: (hints[field.name], field.default is MISSING) for field in fields(kind)}


def _made(kind: Callable[..., T], line: Any, **given: Any) -> T:
    """A record from a line; `given` are the fields that have been read already."""
    if not isinstance(line, dict):
        raise _Wrong(f"there should be an object, not {_short(line)}")
    shape = _shape(kind)
    for name, value in line.items():
        if name not in shape:
            raise _Wrong(f"{name}: there is no such field")
        if name not in given and not _fits(value, shape[name][0]):
            raise _Wrong(f"{name}: {_short(value)} is not what belongs there")
    for name, (_, needed) in shape.items():
        if needed and name not in line and name not in given:
            raise _Wrong(f"{name} is missing")
    return kind(**{**line, **given})


def _listed(line: Line, name: str) -> list[Any]:
    value = line.get(name)
    if not isinstance(value, list):
        raise _Wrong(f"{name}: there should be a list, not {_short(value)}")
    return value


def _text(line: Line, name: str) -> str:
    value = line.get(name)
    if not isinstance(value, str):
        raise _Wrong(f"{name}: {_short(value)} is not what belongs there")
    return value


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 40 else text[:40] + "…"


def _no_number(text: str) -> NoReturn:
    raise _Wrong(f"{text} is not a number")


class _Reader:
    """A history that is read line by line."""

    def __init__(self) -> None:
        self._count = 0
        self._ended = False
        self._logs: dict[str, dict[int, Seen]] = {}
        self._entries: dict[str, list[Seen]] = {}
        self._sends: dict[str, Send] = {}
        self._views: dict[tuple[str, str, int], tuple[DeviceView, list[Seen], int]] = {}
        self._runs: list[Run] = []
        self._executions: list[Execution] = []
        self._damages: list[Damage] = []
        self._shown: dict[tuple[str, str, str], list[Shown]] = {}
        self._kept: dict[Seen, Seen] = {}  # equal entries of many devices are kept once

    def take(self, line: bytes) -> None:
        """Read the next line."""
        self._count += 1
        try:
            if self._ended:
                raise _Wrong("there is something after the end")
            self._take(self._parse(line))
        except _Wrong as exc:
            raise BadHistory(self._count, str(exc)) from None

    def history(self) -> History:
        """All that was read, when the last line was the end."""
        if not self._ended:
            raise BadHistory(self._count + 1, "the file ends here, before the line of kind end: it was cut off")
        return History(
            sends=tuple(self._sends.values()),
            views=tuple(replace(view, entries=tuple(entries)) for view, entries, _ in self._views.values()),
            logs={where: tuple(entries) for where, entries in self._entries.items()},
            runs=tuple(self._runs),
            executions=tuple(self._executions),
            run_views=tuple(RunView(*whose, tuple(states)) for whose, states in self._shown.items()),
            damages=tuple(self._damages),
        )

    def _parse(self, line: bytes) -> Line:
        try:
            parsed = json.loads(line.decode(), parse_constant=_no_number)
        except UnicodeDecodeError:
            raise _Wrong("this is not text in UTF-8") from None
        except (ValueError, RecursionError) as exc:
            raise _Wrong(f"this is not JSON ({exc})") from None
        if not isinstance(parsed, dict) or not isinstance(parsed.get("kind"), str):
            raise _Wrong("there should be an object with a kind")
        if self._count == 1 and parsed != {"kind": "history", "v": VERSION}:
            raise _Wrong(f'a history begins with {{"kind":"history","v":{VERSION}}}')
        return parsed

    def _take(self, line: Line) -> None:
        kind = line.pop("kind")
        match kind:
            case "history" if self._count == 1:
                pass
            case "conversation":
                where = _text(line, "conversation_id")
                if where in self._logs:
                    raise _Wrong(f"conversation {_short(where)} is there twice")
                self._logs[where], self._entries[where] = {}, []
            case "entry":
                where = _text(line, "conversation_id")
                if where not in self._logs:
                    raise _Wrong(f"no conversation {_short(where)} was named above")
                entry = self._entry({name: value for name, value in line.items() if name != "conversation_id"})
                self._logs[where].setdefault(entry.seq, entry)
                self._entries[where].append(entry)
            case "send":
                acks = tuple(_made(Acked, ack) for ack in _listed(line, "acks"))
                send = _made(Send, line, acks=acks)
                _check_possible(send)
                if self._sends.setdefault(send.client_id, send) is not send:
                    raise _Wrong(f"client_id {_short(send.client_id)} is there twice; a retry is the same send")
            case "view":
                view = _made(DeviceView, line, entries=())
                if not _fits(line.get("entries"), int):
                    raise _Wrong(f"entries: {_short(line.get('entries'))} is not how many there are")
                whose = (view.device, view.conversation_id, view.part)
                if whose in self._views:
                    raise _Wrong(f"part {view.part} of the view of {_short(view.device)} is there twice")
                self._views[whose] = (view, [], line["entries"])
            case "saw":
                self._saw(line)
            case "run":
                self._runs.append(_made(Run, line))
            case "execution":
                self._executions.append(_made(Execution, line))
            case "damage":
                self._damages.append(_made(Damage, line))
            case "run_view":
                self._run_view(line)
            case "end":
                self._end(line)
            case _:
                raise _Wrong(f"kind: there is no {_short(kind)} here")

    def _entry(self, line: Any) -> Seen:
        entry = _made(Seen, line)
        return self._kept.setdefault(entry, entry)

    def _saw(self, line: Line) -> None:
        part = line.get("part")
        whose = (_text(line, "device"), _text(line, "conversation_id"), part if _fits(part, int) else -1)
        if whose not in self._views:
            raise _Wrong(f"no such view of {_short(whose[0])} was named above")
        view, entries, _ = self._views[whose]
        log = self._logs.get(view.conversation_id, {})
        for item in _listed(line, "entries"):
            if _fits(item, int):
                if item not in log:
                    raise _Wrong(f"entries: the log above has no entry {item}")
                entries.append(log[item])
            else:
                entries.append(self._entry(item))

    def _run_view(self, line: Line) -> None:
        states = []
        for state in _listed(line, "states"):
            if not isinstance(state, list) or len(state) != len(Shown._fields):
                raise _Wrong(f"states: {_short(state)} does not have {len(Shown._fields)} fields")
            states.append(_made(Shown, dict(zip(Shown._fields, state, strict=True))))
        view = _made(RunView, line, states=())
        self._shown.setdefault((view.device, view.conversation_id, view.run_id), []).extend(states)

    def _end(self, line: Line) -> None:
        if line.get("lines") != self._count - 1:
            raise _Wrong(f"{self._count - 1} lines came before the end, not {_short(line.get('lines'))}")
        for view, entries, count in self._views.values():
            if len(entries) != count:
                raise _Wrong(f"the view of {_short(view.device)} has {len(entries)} entries, not {count}")
        self._ended = True


def _check_possible(send: Send) -> None:
    """A send that cannot have been so is the recorder's fault: it must not be laid to the server."""
    if send.order < 0:
        raise _Wrong(f"order: {send.order} is less than 0")
    if send.completed is not None and send.completed < send.invoked:
        raise _Wrong("completed: it ended before it was invoked")
    if send.outcome == "ok" and not send.acks:
        raise _Wrong("outcome: ok, and there is no ack")
