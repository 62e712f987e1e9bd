"""What the final entry of a run says: an answer, the questions that are open, or why the run failed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from langgraph.types import Interrupt

from sio_server.conversation.answer_schema import is_schema
from sio_server.conversation.runs import ClaimedRun
from sio_server.dialog.answers import Answer, Questions
from sio_server.dialog.outcome import Finish
from sio_server.dialog.reports import plain_json
from sio_server.dialog.streaming import Part
from sio_server.protocol.forms import form_in_words, form_of
from sio_server.protocol.run import agent_id

Said = Answer | Questions | None  # what a graph ended with; None: with nothing that can be told


def final_entry(run: ClaimedRun, how: Finish, said: Said) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """The data of the entry, and of each interrupt that it tells our id and the graph's own."""
    data: dict[str, Any] = {"role": "assistant", "user_id": agent_id(run.graph), "name": run.agent_name}
    if isinstance(said, Answer):
        return {
            **data,
            "text": said.text,
            **_parts(said.parts, run.agent_name, said.text),
            "tools": said.tools,
        }, []
    if isinstance(said, Questions):
        if how.reason:
            data["reason"] = how.reason
        asked = describe_interrupts(said.interrupts, run.run_id)
        spoken = [part.text for part in said.parts if part.kind == "text"]
        texts = [*spoken, *(form_in_words(item["form"]) for item in asked)]
        ids = [(ours["interrupt_id"], its.id) for ours, its in zip(asked, said.interrupts, strict=True)]
        parts = _parts(said.parts, run.agent_name, "\n\n".join(spoken))
        return {**data, "text": "\n\n".join(text for text in texts if text), **parts, "interrupts": asked}, ids
    return {**data, "code": how.code, "reason": how.reason}, []


def _parts(parts: Sequence[Part], agent: str, text: str) -> dict[str, Any]:
    """`parts` of an entry, unless they are but a text of the agent's own."""
    if not parts or list(parts) == [Part("text", agent, text)]:
        return {}
    shown: list[dict[str, Any]] = [
        {"kind": part.kind, "speaker": part.speaker, "text": part.text} for part in parts
    ]
    for item, part in zip(shown, parts, strict=True):
        if part.data is not None:
            item["data"] = part.data
    return {"parts": shown}


def describe_interrupts(interrupts: Iterable[Interrupt], run_id: str) -> list[dict[str, Any]]:
    """The interrupts as an entry lists them: `{interrupt_id, value, form}`."""
    described = []
    for number, interrupt in enumerate(interrupts):
        value, schema = plain_json(interrupt.value), plain_json(interrupt.response_schema)
        form = form_of(value, schema, is_schema)
        described.append({"interrupt_id": f"{run_id}:{number}", "value": value, "form": form})
    return described
