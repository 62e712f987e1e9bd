"""A history as lines of JSON, told apart by their `kind`. docs/checking.md has the fields.

A line stands alone, and what devices were handed is written as the seqs of the log wherever it is just what the
log says, so that large histories can be written and read line by line.
"""

import json
from collections.abc import Iterator
from dataclasses import MISSING, fields
from typing import Any

from roomgraph.check.history import History, Seen

VERSION = 1
_AT_ONCE = 1000  # entries or states in one line

Line = dict[str, Any]


def lines_of(history: History) -> Iterator[str]:
    """The lines of a history's file, each with its end."""
    count = 0
    for line in _lines(history):
        yield _json(line)
        count += 1
    yield _json({"kind": "end", "lines": count})


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
    for kind, items in (
        ("run", history.runs),
        ("execution", history.executions),
        ("damage", history.damages),
        ("absence", history.absences),
        ("invitation", history.invitations),
        ("session", history.sessions),
        ("sign_out", history.sign_outs),
        ("retention", history.retentions),
    ):
        yield from ({"kind": kind, **_plain(item)} for item in items)
    for shown in history.run_views:
        about = {"device": shown.device, "conversation_id": shown.conversation_id, "run_id": shown.run_id}
        if shown.epoch:
            about["epoch"] = shown.epoch
        for start in range(0, max(1, len(shown.states)), _AT_ONCE):
            states = [list(state) for state in shown.states[start : start + _AT_ONCE]]
            yield {"kind": "run_view", **about, "states": states}
