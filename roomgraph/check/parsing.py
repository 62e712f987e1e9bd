"""Reads a history line by line, and names the line that is wrong."""

import json
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, replace
from functools import cache
from typing import Any, Literal, NoReturn, TypeVar, get_args, get_origin, get_type_hints

from roomgraph.check.history import (
    Absence,
    Acked,
    Damage,
    DeviceView,
    Execution,
    History,
    Invitation,
    Retention,
    Run,
    RunView,
    Seen,
    Send,
    Session,
    Shown,
    SignOut,
)
from roomgraph.check.lines import VERSION, Line

T = TypeVar("T")


class BadHistory(ValueError):
    """The file is no history; the message names the line and what is wrong with it."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(f"line {line}: {reason}")
        self.line = line
        self.reason = reason


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


class HistoryReader:
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
        self._absences: list[Absence] = []
        self._invitations: list[Invitation] = []
        self._sessions: list[Session] = []
        self._sign_outs: list[SignOut] = []
        self._retentions: list[Retention] = []
        self._shown: dict[tuple[str, str, str, str], list[Shown]] = {}
        self._kept: dict[Seen, Seen] = {}  # equal entries of many devices are kept once

    def add(self, line: bytes) -> None:
        """Read the next line."""
        self._count += 1
        try:
            if self._ended:
                raise _Wrong("there is something after the end")
            self._add(self._parse(line))
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
            run_views=tuple(
                RunView(device, where, run_id, tuple(states), epoch)
                for (device, where, run_id, epoch), states in self._shown.items()
            ),
            damages=tuple(self._damages),
            absences=tuple(self._absences),
            invitations=tuple(self._invitations),
            sessions=tuple(self._sessions),
            sign_outs=tuple(self._sign_outs),
            retentions=tuple(self._retentions),
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

    def _add(self, line: Line) -> None:
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
                if self._sends.setdefault(send.request_id, send) is not send:
                    raise _Wrong(f"request_id {_short(send.request_id)} is there twice; a retry is the same send")
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
            case "absence":
                self._absences.append(_made(Absence, line))
            case "invitation":
                self._invitations.append(_made(Invitation, line))
            case "session":
                self._sessions.append(_made(Session, line))
            case "sign_out":
                self._sign_outs.append(_made(SignOut, line))
            case "retention":
                self._retentions.append(_made(Retention, line))
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
        whose = (view.device, view.conversation_id, view.run_id, view.epoch)
        self._shown.setdefault(whose, []).extend(states)

    def _end(self, line: Line) -> None:
        if line.get("lines") != self._count - 1:
            raise _Wrong(f"{self._count - 1} lines came before the end, not {_short(line.get('lines'))}")
        for view, entries, count in self._views.values():
            if len(entries) != count:
                raise _Wrong(f"the view of {_short(view.device)} has {len(entries)} entries, not {count}")
        self._ended = True


def _check_possible(send: Send) -> None:
    """A send that cannot have been so is a mistake of the recorder, and must not be charged to the server."""
    if send.order < 0:
        raise _Wrong(f"order: {send.order} is less than 0")
    if send.completed is not None and send.completed < send.invoked:
        raise _Wrong("completed: it ended before it was invoked")
    if send.outcome == "ok" and not send.acks:
        raise _Wrong("outcome: ok, and there is no ack")
