"""Scripts on a real Redis: every file parses by itself, and what their parts write is JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import sio_server
from sio_server.store import script_files
from sio_server.store.script_files import FOLDERS
from sio_server.store.scripts import Scripts

SERVER = Path(sio_server.__file__).parent
FILES = sorted(path for folder in FOLDERS for path in (SERVER / folder).glob("*.lua"))


async def test_every_lua_file_parses_by_itself(redis):
    assert len(FILES) > 30
    for path in FILES:
        await redis.script_load(path.read_text(encoding="utf-8"))  # an error names the line


@pytest.mark.parametrize(
    "value",
    [
        *('"', "\\", "/", "\n\t\r\b\f", "\x00\x1f\x7f", "é 你好 🎉 \u2028", ""),
        *(0, 1, -1, 2**53 - 1, 1_764_000_000_000, True, False, None),
    ],
)
async def test_json_that_scripts_write_says_what_they_were_given(redis, value):
    given = {type(None): "null", bool: str(value).lower(), int: str(value)}.get(type(value), "ARGV[1]")
    lua = f"{script_files._source('_json.lua')}\nreturn object('a', {given}, 'b', raw('[]'))"
    assert json.loads(await redis.eval(lua, 0, value if isinstance(value, str) else "")) == {"a": value, "b": []}


@pytest.mark.parametrize("own", [{}, {"b": 1}, {"b": {}, "c": []}])
async def test_members_are_added_before_those_of_an_object(redis, own):
    lua = f"{script_files._source('_json.lua')}\nreturn with_fields(ARGV[1], 'a', 1)"
    text = await redis.eval(lua, 0, json.dumps(own, separators=(",", ":")))
    assert list(json.loads(text).items()) == [("a", 1), *own.items()]


async def test_arguments_that_the_script_does_not_have_are_refused_before_anything_is_sent(redis):
    scripts = Scripts(redis)
    for wrong in ({"user": "ann"}, {}, {"user_id": "ann", "more": 1}):
        with pytest.raises((TypeError, KeyError)):
            await scripts.conversation("get_view", "plans", **wrong)
