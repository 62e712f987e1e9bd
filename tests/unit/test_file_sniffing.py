"""A file is what its bytes are, and its name leads nowhere."""

from __future__ import annotations

import struct

import pytest

from sio_server.files.sniffing import MAX_NAME, Found, Sniffer, clean_file_name
from sio_server.protocol.emoji import is_emoji

PNG = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", 3, 2) + b"\x08\x02\x00\x00\x00"
JPEG = (
    b"\xff\xd8\xff\xe0\x00\x04ab" + b"\xff\xc0\x00\x0b\x08" + struct.pack(">HH", 20, 30) + b"\x01\x11\x00\xff\xd9"
)
VP8X = b"RIFF\x20\x00\x00\x00WEBPVP8X\x0a\x00\x00\x00\x00\x00\x00\x00\x04\x00\x00\x05\x00\x00"


def found(*chunks: bytes) -> Found:
    sniffer = Sniffer()
    for chunk in chunks:
        sniffer.feed(chunk)
    return sniffer.found()


def test_images_are_known_by_their_beginning_with_their_size() -> None:
    assert found(PNG, b"rest") == Found("image/png", 3, 2)
    assert found(JPEG) == Found("image/jpeg", 30, 20)
    assert found(b"GIF89a" + struct.pack("<HH", 7, 8)) == Found("image/gif", 7, 8)
    assert found(VP8X) == Found("image/webp", 5, 6)
    assert found(b"%PDF-1.7\n\xff") == Found("application/pdf")


def test_pages_and_drawings_are_text_whatever_they_are_called() -> None:
    assert found(b"<html><script>alert(1)</script>") == Found("text/plain")
    assert found(b'<svg xmlns="http://www.w3.org/2000/svg"/>') == Found("text/plain")


def test_text_is_utf_8_to_its_end_also_where_a_character_is_cut() -> None:
    text = "grüße 你好".encode()
    for cut in range(len(text)):
        assert found(text[:cut], text[cut:]).mime_type == "text/plain"
    assert found(text[:-1]).mime_type == "application/octet-stream"
    assert found(b"a\x00b").mime_type == "application/octet-stream"
    assert found(b"ok", b"\xff\xfe").mime_type == "application/octet-stream"
    assert found().mime_type == "application/octet-stream"


@pytest.mark.parametrize(
    "broken", [PNG[:15], JPEG[:9], b"RIFF\x00\x00\x00\x00WEBP", b"\xff\xd8\xff" + b"\xff" * 40]
)
def test_a_beginning_that_is_cut_off_is_no_error(broken: bytes) -> None:
    assert found(broken).width is None


def test_a_name_is_the_last_part_of_a_path_in_one_visible_line() -> None:
    assert clean_file_name("../../etc/passwd") == "passwd"
    assert clean_file_name("C:\\Windows\\system.ini") == "system.ini"
    assert (
        clean_file_name("..") == clean_file_name("") == clean_file_name("/") == clean_file_name("\u200b") == "file"
    )
    assert clean_file_name("a\r\nSet-Cookie: x\x00.png") == "aSet-Cookie: x.png"
    assert clean_file_name("photo\u202egnp.exe") == "photognp.exe"
    assert clean_file_name(".htaccess") == "htaccess"
    assert clean_file_name("x" * 500 + ".jpeg") == "x" * (MAX_NAME - 5) + ".jpeg"
    assert clean_file_name("测试 文件.pdf") == "测试 文件.pdf"


def test_a_reaction_is_one_emoji() -> None:
    for one in ("👍", "❤️", "👍🏽", "👨‍👩‍👧‍👦", "🇩🇪", "1️⃣", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "⁉️", "☺"):
        assert is_emoji(one), one
    for other in ("", "a", "👍👍", "ok👍", " ", "1", "<b>", "🇩", "\u200d", "👍" + "\u200d👍" * 9, "\ud83d"):
        assert not is_emoji(other), other
