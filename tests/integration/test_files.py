"""Files of messages: stored once, read by members only, executed by nobody, and gone with what had them."""

from __future__ import annotations

import asyncio
import io
import struct
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import aiohttp
import pytest

from sio_clients import Refused
from sio_server.files.links import LINK_S, FileLinks

PNG = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", 3, 2) + b"\x08\x02\x00\x00\x00" + b"\xff" * 50
HTML = b"<!doctype html><script>alert(document.domain)</script>"
MAX_BYTES = 10_485_760


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


class Place:
    """A private conversation of Ann and Bob, and Eve outside of it."""

    def __init__(self, cluster: Any, http: aiohttp.ClientSession, ann: Any, bob: Any, eve: Any, room: str) -> None:
        self.cluster, self.http = cluster, http
        self.ann, self.bob, self.eve, self.room = ann, bob, eve, room

    async def upload(
        self, client: Any, data: Any, name: str = "a.png", *, room: str = "", claimed: str = ""
    ) -> dict[str, Any]:
        url = f"{self.cluster.urls[0]}/api/conversations/{room or self.room}/files"
        given = {"Authorization": f"Bearer {client.token}", **({"Content-Type": claimed} if claimed else {})}
        async with self.http.post(url, params={"name": name}, data=data, headers=given) as response:
            return {"status": response.status, **await response.json()}

    async def download(
        self, client: Any, file_id: str, *, room: str = "", node: int = 1, method: str = "GET"
    ) -> tuple[int, bytes, Any]:
        url = f"{self.cluster.urls[node]}/api/files/{file_id}"
        headers = {"Authorization": f"Bearer {client.token}"} if client else {}
        async with self.http.request(
            method, url, params={"conversation_id": room or self.room}, headers=headers
        ) as response:
            return response.status, await response.read(), response.headers

    async def send(self, client: Any, *files: str, text: str = "", **more: Any) -> dict[str, Any]:
        ack = await client.call(
            "message:send", {"conversation_id": self.room, "text": text, "files": list(files), **more}
        )
        return dict(ack)

    async def open(self, url: str, node: int = 2) -> tuple[int, bytes]:
        async with self.http.get(f"{self.cluster.urls[node]}{url}") as response:
            return response.status, await response.read()


@pytest.fixture
async def place(cluster: Any, raw_client: Any, http: aiohttp.ClientSession) -> Place:
    ann, bob = await raw_client(0), await raw_client(1, name="Bob")
    eve = await raw_client(2, name="Eve")
    made = await ann.call("conversation:create", {"agent": "off", "invite": [bob.user_id]})
    await bob.call("conversation:join", {"conversation_id": made["conversation_id"]})
    return Place(cluster, http, ann, bob, eve, made["conversation_id"])


async def test_a_file_is_uploaded_sent_and_read_on_another_node(place: Place) -> None:
    about = await place.upload(place.ann, PNG, "../photos/cat.png")
    file_id = about["file_id"]
    assert (about["status"], about["name"], about["mime_type"], about["size"]) == (
        201,
        "cat.png",
        "image/png",
        len(PNG),
    )
    ack = await place.send(place.ann, file_id)
    entry = await place.bob.event("entry:appended", seq=ack["seq"])
    told = {
        "file_id": file_id,
        "name": "cat.png",
        "mime_type": "image/png",
        "size": len(PNG),
        "width": 3,
        "height": 2,
    }
    assert (entry["data"]["text"], entry["data"]["files"]) == ("", [told])
    (listed,) = (await place.bob.call("conversation:list", {}))["conversations"]
    assert (listed["last_entry"]["text"], listed["last_entry"]["files"]) == ("", 1)
    status, data, headers = await place.download(place.bob, file_id)
    assert (status, data, headers["Content-Type"]) == (200, PNG, "image/png")
    assert headers["Content-Disposition"].startswith("inline;")
    assert "sandbox" in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"
    status, data, headers = await place.download(place.bob, file_id, method="HEAD")
    assert (status, data, headers["Content-Length"]) == (200, b"", str(len(PNG)))


async def test_only_members_upload_and_read(place: Place, cluster: Any) -> None:
    file_id = (await place.upload(place.ann, b"secret", "a.txt"))["file_id"]
    assert (await place.download(place.bob, file_id))[0] == 404, "no message has it yet"
    await place.send(place.ann, file_id, text="here")
    assert (await place.download(place.bob, file_id))[0] == 200
    refused = await place.upload(place.eve, b"x")
    none = await place.upload(place.eve, b"x", room=f"{place.room}-none")
    assert refused == none, "nobody can tell whether the conversation exists"
    assert refused["error"]["code"] == "unknown_conversation"
    assert (await place.download(place.eve, file_id))[0] == 404
    assert (await place.download(None, file_id))[0] == 401
    link = await place.eve.call("file:link", {"conversation_id": place.room, "file_id": file_id})
    assert link["error"]["code"] == "unknown_conversation"
    # A conversation of one's own opens no file of another one.
    own = (await place.eve.call("conversation:create", {"agent": "off"}))["conversation_id"]
    assert (await place.download(place.eve, file_id, room=own))[0] == 404
    taken = await place.eve.call("message:send", {"conversation_id": own, "text": "x", "files": [file_id]})
    assert taken["error"]["code"] == "invalid_payload"
    for wrong in ("..", "%2e%2e%2fa", "f." + "0" * 32, "a%00b"):
        url = f"{cluster.urls[0]}/api/files/{wrong}?conversation_id={place.room}"
        async with place.http.get(url, headers={"Authorization": f"Bearer {place.ann.token}"}) as response:
            assert response.status == 404, wrong
    await place.bob.call("conversation:leave", {"conversation_id": place.room})
    assert (await place.download(place.bob, file_id))[0] == 404


async def test_nothing_that_a_browser_executes_is_shown(place: Place) -> None:
    for data, name in (
        (HTML, "cat.png"),
        (b"<svg onload='alert(1)' xmlns='http://www.w3.org/2000/svg'/>", "a.svg"),
    ):
        about = await place.upload(place.ann, data, name, claimed="image/png")
        assert about["mime_type"] == "text/plain"
        status, _, headers = await place.download(place.ann, about["file_id"])
        assert (status, headers["Content-Type"]) == (200, "text/plain; charset=utf-8")
        assert headers["Content-Disposition"].startswith("attachment;")
        assert headers["Content-Security-Policy"] == "default-src 'none'; sandbox"
        assert headers["X-Content-Type-Options"] == "nosniff"
    about = await place.upload(place.ann, b"\x00\x01", 'a"; filename="x.html\r\nX: y')
    _, _, headers = await place.download(place.ann, about["file_id"])
    assert "X" not in headers
    assert '"' not in headers["Content-Disposition"]


async def test_a_signed_address_is_read_without_a_token_until_it_expires(place: Place, redis: Any) -> None:
    file_id = (await place.upload(place.ann, PNG))["file_id"]
    await place.send(place.ann, file_id)
    link = await place.bob.call("file:link", {"conversation_id": place.room, "file_id": file_id})
    assert link["expires_in"] == LINK_S
    assert await place.open(link["url"]) == (200, PNG)
    fields = dict(parse_qsl(urlsplit(link["url"]).query))
    for name, value in (
        *(("signature", "0" * 64), ("signature", ""), ("user_id", place.ann.user_id)),
        *(("expires", "99999999999"), ("expires", "x"), ("conversation_id", "other")),
    ):
        changed = "&".join(f"{key}={one}" for key, one in {**fields, name: value}.items())
        assert (await place.open(f"/api/files/{file_id}?{changed}"))[0] == 401, (name, value)
    secret = str(await redis.get("rg:secret"))
    expired = FileLinks(secret, lambda: 1_000_000.0).make(place.room, file_id, place.bob.user_id)
    assert (await place.open(expired))[0] == 401
    await place.bob.call("conversation:leave", {"conversation_id": place.room})
    assert (await place.open(link["url"]))[0] == 404, "it is a member's no longer"


async def test_a_file_that_is_too_large_is_refused_while_it_is_read(place: Place) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while sent < 4 * MAX_BYTES:
            sent += 65_536
            yield b"\x01" * 65_536

    try:
        refused = await place.upload(place.ann, endless())
        assert (refused["status"], refused["error"]["code"]) == (413, "payload_too_large")
    except aiohttp.ClientConnectionError:
        pass  # the server has closed the connection before all was sent
    assert sent < 3 * MAX_BYTES
    told = await place.upload(place.ann, io.BytesIO(b"x" * (MAX_BYTES + 1)))
    assert (told["status"], told["error"]["code"]) == (413, "payload_too_large")
    assert not [path for path in stored(place) if path.is_file()]
    empty = await place.upload(place.ann, b"")
    assert (empty["status"], empty["error"]["code"]) == (400, "invalid_payload")
    whole = await place.upload(place.ann, io.BytesIO(b"\x01" * MAX_BYTES))
    assert (whole["status"], whole["size"]) == (201, MAX_BYTES)
    _, data, _ = await place.download(place.ann, whole["file_id"])
    assert data == b"\x01" * MAX_BYTES


def stored(place: Place) -> list[Path]:
    folder = place.cluster.data_dir / "files" / place.room
    return sorted(folder.iterdir()) if folder.is_dir() else []


async def test_a_file_belongs_to_one_message_of_its_user_and_an_edit_takes_it_along(place: Place) -> None:
    one, two = [(await place.upload(place.ann, b"text", f"{n}.txt"))["file_id"] for n in "ab"]
    assert (await place.send(place.bob, one))["error"]["code"] == "invalid_payload"
    assert (await place.send(place.ann, one, one))["error"]["code"] == "invalid_payload"
    assert (await place.send(place.ann, "f.none", text="x"))["error"]["code"] == "invalid_payload"
    assert (await place.send(place.ann))["error"]["code"] == "invalid_payload", "neither text nor files"
    ack = await place.send(place.ann, one, two, request_id="r1")
    assert await place.send(place.ann, one, two, request_id="r1") == ack
    assert (await place.send(place.ann, one))["error"]["code"] == "invalid_payload"
    edit = {"conversation_id": place.room, "seq": ack["seq"], "text": "only this", "files": [two]}
    edited = await place.ann.call("message:edit", edit)
    assert edited["ok"], edited
    await place.ann.call("message:delete", {"conversation_id": place.room, "seq": edited["seq"]})
    for file_id in (one, two):
        assert (await place.download(place.ann, file_id))[0] == 404
    await gone(place)


async def gone(place: Place) -> None:
    """Wait until the node that sweeps has removed the bytes."""
    for _ in range(300):
        if not stored(place):
            return
        await asyncio.sleep(0.1)
    raise AssertionError(f"still there: {stored(place)}")


async def test_a_deleted_conversation_takes_its_files_along(place: Place) -> None:
    file_id = (await place.upload(place.ann, b"text", "a.txt"))["file_id"]
    await place.send(place.ann, file_id)
    assert stored(place)
    await place.ann.call("conversation:delete", {"conversation_id": place.room})
    assert (await place.download(place.ann, file_id))[0] == 404
    await gone(place)


async def test_the_sdk_sends_reads_answers_and_reacts(new_client: Any, tmp_path: Path) -> None:
    ann, bob = await new_client("Ann"), await new_client("Bob", node=1)
    conversation = await ann.create(agent="off", invite=[bob.user_id])
    theirs = await bob.join(conversation.id)
    (tmp_path / "plan.txt").write_text("at ten")
    sent = await conversation.send("", files=[tmp_path / "plan.txt", ("raw", b"\x00\x01")])
    answer = await theirs.send("no", reply_to=sent.seq)
    await theirs.react(sent.seq, "👎")
    found = {}
    async for entry in theirs.entries():
        found[entry.seq] = entry
        if entry.type == "reaction_changed":
            break
    assert [file["name"] for file in found[sent.seq].files] == ["plan.txt", "raw"]
    assert await theirs.download(found[sent.seq].files[0]["file_id"]) == b"at ten"
    assert found[answer.seq].data["reply_to"] == sent.seq
    assert [hit.seq for hit in (await bob.search("PLAN.txt")).hits] == [sent.seq]
    with pytest.raises(Refused) as refused:
        await theirs.download("f.none")
    assert refused.value.code == "not_found"


async def test_an_edit_of_the_sdk_keeps_files_and_what_it_replies_to_unless_told_otherwise(
    new_client: Any,
) -> None:
    ann = await new_client("Ann")
    conversation = await ann.create(agent="off")
    first = await conversation.send("when?")
    sent = await conversation.send("at ten", reply_to=first.seq, files=[("a.txt", b"a"), ("b.txt", b"b")])

    async def edited(seq: int, **more: Any) -> tuple[int, list[str], int | None]:
        ack = await conversation.edit(seq, "at eleven", **more)
        entry = next(one for one in await conversation.log() if one.seq == ack.seq)
        return ack.seq, [file["name"] for file in entry.files], entry.data.get("reply_to")

    seq, *kept = await edited(sent.seq)
    assert kept == [["a.txt", "b.txt"], first.seq]
    seq, *kept = await edited(seq, files=[("c.txt", b"c")])
    assert kept == [["c.txt"], first.seq]
    seq, *kept = await edited(seq, files=(), reply_to=0)
    assert kept == [[], None]


async def test_an_edit_may_keep_some_files_and_a_reply_to_what_was_deleted_since(new_client: Any) -> None:
    ann = await new_client("Ann")
    conversation = await ann.create(agent="off")
    first = await conversation.send("when?")
    sent = await conversation.send("", reply_to=first.seq, files=[("a.txt", b"a"), ("b.txt", b"b")])
    (_, kept) = next(one for one in await conversation.log() if one.seq == sent.seq).files
    await conversation.delete(first.seq)
    ack = await conversation.edit(sent.seq, "at ten", files=[kept["file_id"], ("c.txt", b"c")])
    edited = next(one for one in await conversation.log() if one.seq == ack.seq)
    assert [file["name"] for file in edited.files] == ["b.txt", "c.txt"]
    assert edited.data["reply_to"] == first.seq
    ack = await conversation.edit(ack.seq, "at ten", reply_to=0)
    with pytest.raises(Refused):
        await conversation.edit(ack.seq, "at eleven", reply_to=first.seq)


async def test_messages_with_files_are_logged_in_the_order_of_the_calls(new_client: Any) -> None:
    ann = await new_client("Ann")
    conversation = await ann.create(agent="off")
    large = ("large", b"\x01" * 2_000_000)
    texts = [f"message {number}" for number in range(6)]
    await asyncio.gather(
        *(conversation.send(text, files=[large] if n % 3 == 0 else ()) for n, text in enumerate(texts))
    )
    assert [entry.text for entry in await conversation.log() if entry.type == "message"] == texts
