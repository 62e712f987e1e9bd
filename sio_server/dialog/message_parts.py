"""The parts of one chat message: what it says, thinks, shows and cites, whichever provider wrote it."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Iterator
from typing import Any

from langchain_core.messages import AIMessage

from sio_server.dialog.reports import bounded_json
from sio_server.dialog.streaming import Part
from sio_server.protocol.text import valid_unicode

MAX_DATA_URL_BYTES = 128 * 1024  # of an image or a file that is sent within an entry
MAX_DATA_CHARS = 64 * 1024  # of the JSON of structured output
MAX_CITATIONS = 100  # of one message
BETWEEN_THOUGHTS = "\n\n"  # models give their reasoning in sections

_HANDED_BACK = "__is_handoff_back"  # langgraph-supervisor's mark of the messages that it writes itself
_MIME_TYPES = {"image": "image/png", "audio": "audio/wav", "video": "video/mp4"}


def is_bookkeeping(message: Any) -> bool:
    """Whether a message is written by a library for the model's eyes: a summary, or the return of a handoff."""
    return "lc_source" in message.additional_kwargs or _HANDED_BACK in message.response_metadata


def written(message: AIMessage) -> Iterator[tuple[str, str, Any]]:
    """What is written in a message or a chunk of one: `(kind, text, section)`, `text` or `reasoning`.

    Sections of the reasoning are told apart by `section`; None when the provider does not count them.
    """
    if isinstance(message.content, str):  # nearly every chunk of nearly every model
        reasoning = message.additional_kwargs.get("reasoning_content")
        if isinstance(reasoning, str) and reasoning:
            yield "reasoning", valid_unicode(reasoning), None
        if message.content:
            yield "text", valid_unicode(str(message.content)), None
        refusal = message.additional_kwargs.get("refusal")
        if isinstance(refusal, str) and refusal:
            yield "text", valid_unicode(refusal), None
        return
    for block in _blocks(message):
        kind, text = _written_block(block)
        if text:
            yield kind, valid_unicode(text), block.get("index")


def parts_of(message: AIMessage, speaker: str) -> list[Part]:
    """A whole message as parts, in its order: text that only citations divide is one part."""
    if isinstance(message.content, str):
        return [Part(kind, speaker, text) for kind, text, _ in written(message)]
    parts: list[Part] = []
    cited: list[Part] = []
    pieces: list[str] = []

    def end_text(kind: str) -> None:
        if pieces:
            between = BETWEEN_THOUGHTS if kind == "reasoning" else ""
            parts.append(Part(kind, speaker, between.join(pieces)))
            pieces.clear()

    writing = "text"
    for block in _blocks(message):
        kind, text = _written_block(block)
        data = None if kind else shown_data(block)
        if data is not None or (text and kind != writing):
            end_text(writing)
        if text:
            writing = kind
            pieces.append(valid_unicode(text))
        if data is not None:
            parts.append(Part(data[0], speaker, data=data[1]))
        for citation in _citations(block):
            if len(cited) < MAX_CITATIONS and all(citation != item.data for item in cited):
                cited.append(Part("citation", speaker, data=citation))
    end_text(writing)
    return [*parts, *cited]


def data_part(value: Any, speaker: str) -> Part:
    """Structured output as a part, of a bounded size."""
    return Part("data", speaker, data={"value": bounded_json(value, MAX_DATA_CHARS)})


def shown_data(block: dict[str, Any]) -> tuple[str, dict[str, Any]] | None:
    """The kind and the data of an image or a file, or None for any other block."""
    kind = block.get("type")
    if kind == "image_url":  # of a provider that LangChain does not know
        url = block.get("image_url")
        block = {"type": "image", "url": url.get("url") if isinstance(url, dict) else url}
    elif kind not in ("image", "file", "audio", "video"):
        return None
    shown = "image" if block["type"] == "image" else "file"
    mime_type = _text(block.get("mime_type")) or _MIME_TYPES.get(block["type"], "application/octet-stream")
    name = _name(block)
    named = {"name": name} if name else {}
    url, encoded = _text(block.get("url")), _text(block.get("base64"))
    if encoded:
        mime_type = mime_type.split(";")[0].strip()
        url = f"data:{mime_type};base64,{encoded}"
    elif url.startswith("data:"):
        mime_type = url[5:].split(",")[0].split(";")[0] or mime_type
    elif not url.startswith(("http:", "https:")):
        if not (name or url or block.get("file_id") or block.get("id")):
            return None
        # The provider keeps it: people are told that it is there.
        return shown, {"mime_type": mime_type, "url": "", "name": name or _text(block.get("file_id")) or shown}
    if len(url) > MAX_DATA_URL_BYTES and url.startswith("data:"):
        return shown, {"mime_type": mime_type, "size": _size(url), "omitted": "too_large", **named}
    return shown, {"mime_type": mime_type, "url": url, **named}


def _blocks(message: AIMessage) -> Iterable[dict[str, Any]]:
    """LangChain's standard blocks, or the content as it is where LangChain cannot read it."""
    try:
        blocks: list[Any] = list(message.content_blocks)
    except Exception:  # of a provider's translator, which expects its own provider's content
        blocks = [
            item if isinstance(item, dict) else {"type": "text", "text": str(item)} for item in message.content
        ]
    for block in blocks:
        value = block.get("value") if block.get("type") == "non_standard" else None
        yield value if isinstance(value, dict) else block


def _block(item: Any) -> dict[str, Any]:
    return item if isinstance(item, dict) else {"type": "text", "text": str(item)}


def _written_block(block: dict[str, Any]) -> tuple[str, str]:
    match block.get("type"):
        case "text" | "output_text":
            return "text", _text(block.get("text"))
        case "refusal":
            return "text", _text(block.get("refusal"))
        case "reasoning":
            return "reasoning", _text(block.get("reasoning"))
        case "thinking":
            return "reasoning", _text(block.get("thinking"))
    return "", ""


def _citations(block: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for found in block.get("annotations") or () if block.get("type") == "text" else ():
        if isinstance(found, dict) and found.get("type") == "citation":
            names = {"url": found.get("url"), "title": found.get("title"), "text": found.get("cited_text")}
            citation = {
                name: valid_unicode(value) for name, value in names.items() if isinstance(value, str) and value
            }
            if citation:
                yield citation


def _name(block: dict[str, Any]) -> str:
    extras = block.get("extras")
    places = (block, extras if isinstance(extras, dict) else {})
    names = (place.get(key) for place in places for key in ("name", "filename", "title"))
    return next((valid_unicode(name) for name in names if isinstance(name, str) and name), "")


def _text(value: Any) -> str:
    return valid_unicode(value) if isinstance(value, str) else ""


def _size(url: str) -> int:
    """How many bytes a data URL holds."""
    head, _, data = url.partition(",")
    if not head.endswith(";base64"):
        return len(data.encode())
    try:
        return len(base64.b64decode(data))
    except (binascii.Error, ValueError):
        return len(data) * 3 // 4
