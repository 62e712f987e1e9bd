"""What a graph is given of a message: strings and content blocks made from checked data, which models take."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from langchain.chat_models import init_chat_model
from langchain_core.messages import HumanMessage

from sio_server.conversation.author import Author
from sio_server.conversation.file_records import FileRecords
from sio_server.dialog.content import BLOCK_BYTES, QUOTED, TEXT_BYTES, content_of, without_quotation
from sio_server.files.files import Files
from sio_server.files.store import FileStore
from sio_server.protocol.errors import Unavailable
from sio_server.store.scripts import Request
from tests.providers.server import Providers
from tests.served.dialogs import ANN, Dialogs, graph_of, said

pytest_plugins = ["tests.served.dialog_fixtures"]

BOB = Author("bob", "Bob", "phone")


def file(name: str, mime_type: str, size: int) -> dict[str, Any]:
    return {"file_id": name, "name": name, "mime_type": mime_type, "size": size}


async def made(*files: dict[str, Any], text: str = "look", stored: dict[str, bytes] | None = None) -> Any:
    async def read(conversation_id: str, file_id: str, limit: int) -> bytes | None:
        found = (stored or {}).get(file_id)
        return None if found is None else found[:limit]

    return await content_of("c", {"text": text, "files": list(files)}, None, read)


async def test_files_become_standard_blocks_or_words() -> None:
    stored = {"a.png": b"png", "b.pdf": b"pdf", "c.txt": "grüße".encode(), "d.txt": b"x" * TEXT_BYTES + b"y"}
    blocks = await made(
        file("a.png", "image/png", 3),
        file("b.pdf", "application/pdf", 3),
        file("c.txt", "text/plain", 7),
        file("d.txt", "text/plain", TEXT_BYTES + 1),
        file("e.bin", "application/octet-stream", 9),
        file("lost.png", "image/png", 3),
        file("huge.png", "image/png", BLOCK_BYTES),
        stored=stored,
    )
    assert blocks[:4] == [
        {"type": "text", "text": "look"},
        {"type": "image", "base64": base64.b64encode(b"png").decode(), "mime_type": "image/png"},
        {
            "type": "file",
            "base64": base64.b64encode(b"pdf").decode(),
            "mime_type": "application/pdf",
            "extras": {"filename": "b.pdf"},
        },
        {"type": "text", "text": "File c.txt:\n\ngrüße"},
    ]
    assert blocks[4]["text"].endswith(f"x\n[the rest of {TEXT_BYTES + 1} bytes is left out]")
    assert [block["type"] for block in blocks[5:]] == ["text"] * 3
    assert blocks[5]["text"].startswith("[File e.bin, application/octet-stream, 9 bytes")
    assert (await made(file("a.png", "image/png", 3), text="", stored=stored))[0]["type"] == "image"
    assert await made() == "look"


async def test_models_of_two_providers_take_the_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    stored = {"a.png": b"png", "b.pdf": b"pdf", "c.txt": b"text"}
    kinds = {"a.png": "image/png", "b.pdf": "application/pdf", "c.txt": "text/plain"}
    blocks = await made(*(file(name, kinds[name], 4) for name in stored), text="say Seen.", stored=stored)
    async with Providers() as models:
        for name, value in models.environment.items():
            monkeypatch.setenv(name, value)
        for name in ("openai:scripted", "anthropic:scripted"):
            answer = await init_chat_model(name, max_retries=0).ainvoke([HumanMessage(content=blocks)])
            assert answer.text
        assert models.refused == []


async def test_a_graph_sees_what_a_message_answers_and_its_files(dialogs: Dialogs, tmp_path: Path) -> None:
    seen: list[Any] = []
    files = Files(FileStore(str(tmp_path)), FileRecords(dialogs.scripts), 10_000)
    dialogs.read_file = files.read

    async def answer(state: Any) -> Any:
        seen.append(state["messages"][-1].content)
        return said("Well.")

    await dialogs.serve(graph_of(answer))
    conversation = await dialogs.conversation(agent="always")
    first = await dialogs.ended_with(conversation, await dialogs.send(conversation, "hello"))

    async def chunks() -> AsyncIterator[bytes]:
        yield b"some text"

    about = await files.upload(conversation, "ann", "a.txt", chunks())
    run = await dialogs.send(conversation, "why?", reply_to=first.seq, file_ids=[about["file_id"]])
    await dialogs.ended_with(conversation, run)
    assert seen[0] == "hello"
    assert seen[1] == [
        {"type": "text", "text": seen[1][0]["text"]},
        {"type": "text", "text": "File a.txt:\n\nsome text"},
    ]
    assert seen[1][0]["text"].endswith(":\n> Well.\n\nwhy?")
    assert without_quotation(seen[1][0]["text"]) == "why?"
    # What was deleted is not quoted.
    await dialogs.log.delete_message(conversation, ANN, first.seq, Request.unrepeated("ann"), operator=True)
    long = await dialogs.ended_with(conversation, await dialogs.send(conversation, "x" * 2 * QUOTED))
    run = await dialogs.send(conversation, "again", reply_to=long.data["input_seq"])
    await dialogs.ended_with(conversation, run)
    assert seen[-1] == "> Ann:\n> " + "x" * QUOTED + "…\n\nagain"


async def test_a_storage_that_is_away_fails_no_run(dialogs: Dialogs) -> None:
    calls = 0

    async def read(conversation_id: str, file_id: str, limit: int) -> bytes | None:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise Unavailable("away")
        return b"back"

    dialogs.read_file = read
    await dialogs.serve(graph_of(lambda state: said(state["messages"][-1].text)))
    conversation = await dialogs.conversation(agent="always")
    records = FileRecords(dialogs.scripts)
    await records.reserve(conversation, "ann", "f.1")
    await records.keep(conversation, "ann", "f.1", {**file("a.txt", "text/plain", 4), "file_id": "f.1"})
    run = await dialogs.send(conversation, "", file_ids=["f.1"])
    final = await dialogs.ended_with(conversation, run)
    assert (final.type, final.text, calls) == ("answer", "File a.txt:\n\nback", 2)


async def test_a_message_holds_nothing_but_strings_whatever_a_client_sends() -> None:
    text = '{"lc": 1, "type": "constructor", "id": ["x"]}'
    content = await content_of("c", {"text": text}, {"data": {"name": "a\nb", "text": "> x\ny"}}, None)
    assert content == "> a b:\n> > x\n> y\n\n" + text
