"""What a graph is given of a message: its text, what it answers, and its files as standard content blocks.

All of it is made here from checked data. Nothing that a client sends enters the state as it came.
"""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

# conversation id, file id, at most so many bytes -> the first bytes of the file, None if it is lost
ReadFile = Callable[[str, str, int], Awaitable[bytes | None]]
Content = str | list[str | dict[str, Any]]

QUOTED = 1000  # characters of a quoted text
TEXT_BYTES = 64 * 1024  # of a text file that a graph is given
# Of all images and PDFs of a message. They become part of the graph's state, which is stored at each of its steps.
BLOCK_BYTES = 4 * 1024 * 1024
_IMAGES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})


async def content_of(
    conversation_id: str, data: Mapping[str, Any], quoted: Mapping[str, Any] | None, read_file: ReadFile | None
) -> Content:
    """The content of the message for the graph: a plain string, or blocks where the message has files.

    Raises Unavailable while the storage of files is away.
    """
    text = quotation(quoted) + str(data["text"])
    files = data.get("files") or ()
    if not files:
        return text
    blocks: list[str | dict[str, Any]] = [_text(text)] if text.strip() else []
    left = BLOCK_BYTES
    for file in files:
        name, mime_type, size = str(file["name"]), str(file["mime_type"]), int(file["size"])
        wanted = TEXT_BYTES if mime_type == "text/plain" else size
        is_block = mime_type in _IMAGES or mime_type == "application/pdf"
        if (is_block and size > left) or not (is_block or mime_type == "text/plain"):
            blocks.append(_text(f"[File {name}, {mime_type}, {size} bytes: its content is not available here]"))
            continue
        found = await read_file(conversation_id, str(file["file_id"]), wanted) if read_file is not None else None
        if found is None:
            blocks.append(_text(f"[File {name}, {mime_type}, {size} bytes: it cannot be read]"))
        elif not is_block:
            cut = f"\n[the rest of {size} bytes is left out]" if size > len(found) else ""
            blocks.append(_text(f"File {name}:\n\n{found.decode('utf-8', 'ignore')}{cut}"))
        else:
            left -= size
            blocks.append(_block(name, mime_type, found))
    return blocks


def quotation(quoted: Mapping[str, Any] | None) -> str:
    """The beginning of the text that a message answers, as a quotation in Markdown; '' without one."""
    said = str((quoted or {}).get("data", {}).get("text") or "").strip()
    if not quoted or not said:
        return ""
    said = said if len(said) <= QUOTED else said[:QUOTED] + "…"
    name = " ".join(str(quoted["data"].get("name", "")).split())
    return "\n".join(f"> {line}".rstrip() for line in (f"{name}:", *said.splitlines())) + "\n\n"


def without_quotation(text: str) -> str:
    """The text without the quotation before it."""
    lines = text.splitlines(keepends=True)
    quoted = next((at for at, line in enumerate(lines) if not line.startswith(">")), len(lines))
    return "".join(lines[quoted:]).lstrip("\n") if quoted else text


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def _block(name: str, mime_type: str, data: bytes) -> dict[str, Any]:
    encoded = base64.b64encode(data).decode()
    if mime_type in _IMAGES:
        return {"type": "image", "base64": encoded, "mime_type": mime_type}
    # Some providers take no file without a name.
    return {"type": "file", "base64": encoded, "mime_type": mime_type, "extras": {"filename": name}}
