"""Entries and runs as lines of the terminal."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from rich.text import Text

from roomgraph.questions import INDENT, answer_in_words, chat_texts, question_lines, said_before
from sio_server.language import Texts
from sio_server.protocol.events import Entry, EntryType
from sio_server.protocol.names import printable, printable_name
from sio_server.protocol.run import RunStatus
from sio_server.protocol.stream import Run

MAX_THOUGHT = 300  # characters of reasoning that are shown


def describe(entry: Entry, own_user_id: str, texts: Texts | None = None) -> Text | None:
    """An entry as lines, with control characters replaced; None for one that is not shown."""
    texts = texts or chat_texts()
    when = (f"{entry.ts[11:16]} ", "dim")
    name = printable_name(str(entry.data.get("name", entry.author)))
    if entry.data.get("deleted"):
        return Text.assemble(when, (f"{name}: {texts('deleted')}", "dim"))
    if entry.type in (EntryType.MESSAGE, EntryType.ANSWER):
        colour = (
            "magenta" if entry.type == EntryType.ANSWER else "green" if entry.author == own_user_id else "cyan"
        )
        said = Text.assemble(when, (name, colour), ": ", _said(entry, printable(entry.text), texts))
        for file in entry.files:
            what = f"{file.get('name', '')} · {in_bytes(int(file.get('size', 0)))}"
            said.append(f"\n{INDENT}{printable(texts('file', what=what))}", "dim")
        return said
    if entry.type == EntryType.INTERRUPT:
        forms = [interrupt["form"] for interrupt in entry.data.get("interrupts", ())]
        shown = Text.assemble(when, (name, "magenta"), ": ")
        shown.append_text(_said(entry, printable(said_before(entry.text, forms)), texts))
        if reason := entry.data.get("reason"):
            shown.append(f"\n{INDENT}{printable(texts('asked_again', reason=reason))}", "yellow")
        for form in forms:
            for line in question_lines(form, texts):
                shown.append(f"\n{INDENT}{printable(line)}", "bold")
        return shown
    if entry.type == EntryType.INTERRUPT_RESOLVED:
        by, value = entry.data.get("by"), entry.data.get("value")
        if not by:
            return Text.assemble(when, (texts("closed"), "dim"))
        device = by["device_name"] or by["device_id"]
        answer = printable(answer_in_words(value, texts))
        told = texts("answered", name=printable_name(by["name"]), answer=answer, device=printable_name(device))
        return Text.assemble(when, (told, "yellow"))
    if entry.type == EntryType.STOPPED:
        by = printable_name(str((entry.data.get("by") or {}).get("name", "–")))
        said = _said(entry, printable(entry.text).rstrip(), texts)
        stopped = (f"[stopped by {by}]", "yellow")
        return Text.assemble(when, (name, "magenta"), ": ", said, " " if said else "", stopped)
    if entry.type == EntryType.FAILED:
        return Text.assemble(when, (f"{name}: {printable(str(entry.data.get('reason', '')))}", "red"))
    if entry.type in (EntryType.MEMBER_JOINED, EntryType.MEMBER_LEFT):
        return Text.assemble(
            when, (f"{name} {'joined' if entry.type == EntryType.MEMBER_JOINED else 'left'}", "dim")
        )
    if entry.type == EntryType.MESSAGE_DELETED:
        seqs = ", ".join(str(seq) for seq in entry.data["deletes"])
        return Text.assemble(when, (texts("deletes", name=name, seqs=seqs), "dim"))
    if entry.type == EntryType.REACTION_CHANGED and entry.data.get("set"):
        told = texts("reacts", name=name, reaction=entry.data["reaction"], seq=entry.data["to"])
        return Text.assemble(when, (printable(told), "dim"))
    if entry.type == EntryType.CONVERSATION_RENAMED:
        return Text.assemble(when, (f"{name} called it: {printable_name(entry.data['title'])}", "dim"))
    if entry.type == EntryType.CONVERSATION_CONFIGURED:
        settings = ", ".join(f"{key} {entry.data.get(key)}" for key in ("agent", "access", "approvals", "invites"))
        return Text.assemble(when, (printable(f"{name} changed the settings: {settings}"), "dim"))
    return None


def _said(entry: Entry, text: str, texts: Texts) -> Text:
    """What a final entry says: its text, or a line for each of its parts."""
    if "parts" not in entry.data:
        return Text(text)
    said, speaker, sources = Text(), str(entry.data.get("name", "")), 0
    for part in entry.parts:
        sources += part["kind"] == "citation"
        line = _part_line(part, sources, texts)
        if line is None:
            continue
        said.append(f"\n{INDENT}")
        if part["kind"] == "text" and part["speaker"] != speaker:
            speaker = part["speaker"]
            said.append(f"{printable_name(speaker)}: ", "magenta")
        said.append_text(line)
    return said


def _part_line(part: Mapping[str, Any], source: int, texts: Texts) -> Text | None:
    """A part in words; None for a kind that is not known. `source`: the number of a citation."""
    data = part.get("data") or {}
    match part["kind"]:
        case "text":
            return Text(printable(part["text"].strip()).replace("\n", f"\n{INDENT}"))
        case "reasoning":
            thought = " ".join(part["text"].split())
            thought = thought if len(thought) <= MAX_THOUGHT else thought[:MAX_THOUGHT] + "…"
            return Text(printable(texts("thought", text=thought)), "dim italic")
        case "image" | "file":
            what = [data.get("name"), data.get("mime_type")]
            if data.get("omitted"):
                what.append(texts("too_large", size=f"{data.get('size', 0) / 1e6:.1f}"))
            elif not str(data.get("url", "")).startswith("data:"):
                what.append(data.get("url"))
            return Text(printable(texts(part["kind"], what=" · ".join(str(item) for item in what if item))), "dim")
        case "citation":
            what = [data.get("title") or data.get("text"), data.get("url")]
            return Text(printable(f"[{source}] " + " · ".join(str(item) for item in what if item)), "dim")
        case "data":
            return Text(printable(json.dumps(data.get("value"), ensure_ascii=False)))
    return None


def describe_run(run: Run, told: tuple[int, str] | None) -> Text | None:
    """What is new of a run as lines; `told`: its version and status before. None when it goes on as it should."""
    version, status = told or (run.version, "")
    if run.version > version and run.withdrawn_text:
        lines = Text()
        for part in run.withdrawn:
            if part.text.strip():
                lines.append(f"      {printable_name(part.speaker)}: ", "dim")
                lines.append(f"{printable(part.text.strip())}\n", "dim strike")
        return lines.append(f"      begun again on node {printable(run.node)}", "dim")
    if run.status == RunStatus.STALLED and status != RunStatus.STALLED:
        return Text(f"      node {printable(run.node)} is silent; another one will take over", "dim")
    return None


def in_bytes(size: int) -> str:
    """A number of bytes in words."""
    for unit in ("B", "kB"):
        if size < 1000:
            return f"{size:.0f} {unit}"
        size = round(size / 1000)
    return f"{size} MB"
