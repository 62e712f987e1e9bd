"""The Lua files of the atomic steps: what each needs, and the source that Redis is given.

A file says at its head what it needs:

    -- keys: conversation          its keys have the names of `keys.CONVERSATION_KEYS` (or `user`: `USER_KEYS`)
    -- keys: conversations         the same for several (`conversation_count`): of the first one, and of another
                                   after `select_conversation(number)`
    -- include: entry once         what it shares with others: `_entry.lua`, `_once.lua`, and what these include
    -- durable                      its reply is a promise; so is that of each script which includes `request`
    local user_id, seq = unpack(ARGV)

Names in capitals, such as CALL_KEPT_MS, are the constants below.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from importlib import resources

from sio_server.protocol.events import (
    ENTRY_BYTES_SHOWN,
    MAX_DELIVERED,
    MAX_DEVICE_SESSIONS,
    MAX_DEVICES,
    MAX_REPORTS,
    MAX_SIGN_OUTS,
    MAX_UNREAD,
)
from sio_server.protocol.run import SERVICE_PREFIX
from sio_server.store import keys

# Each script is in the folder of the package that calls it; `store/lua` holds what all include.
FOLDERS = (
    *("store/lua", "conversation/lua", "users/lua", "data/lua", "cluster/lua"),
    *("gateway/sessions/lua", "gateway/api/lua"),
)

CONSTANTS: dict[str, str | int] = {
    "CALL_KEPT_MS": keys.CALL_KEPT_MS,
    "REQUEST_KEPT_MS": keys.REQUEST_KEPT_MS,
    "DEVICES_KEPT_MS": keys.DEVICES_KEPT_MS,
    "ENTRY_BYTES": keys.ENTRY_BYTES,
    "ENTRY_BYTES_SHOWN": ENTRY_BYTES_SHOWN,
    "DROPPED_AT_ONCE": keys.DROPPED_AT_ONCE,
    "RUN_RECORD_KEPT_MS": keys.RUN_RECORD_KEPT_MS,
    "MAX_REPORTS": MAX_REPORTS,
    "ANY_BODY": keys.ANY_BODY,
    "RECORDS_LOOKED_AT": keys.RECORDS_LOOKED_AT,
    "ARCHIVED_AT_LEAST": keys.ARCHIVED_AT_LEAST,
    "MAX_EDITS": keys.MAX_EDITS,
    "MAX_HOOKS": keys.MAX_HOOKS,
    "REWRITTEN_ENTRIES": keys.REWRITTEN_ENTRIES,
    "SERVICE_PREFIX": SERVICE_PREFIX,
    "MAX_UNLISTED": keys.MAX_UNLISTED,
    "PRESENCE_ROOMS": keys.PRESENCE_ROOMS,
    "UNREAD_BYTES": keys.UNREAD_BYTES,
    "LISTED_BYTES": keys.LISTED_BYTES,
    "SEARCHED_BYTES": keys.SEARCHED_BYTES,
    "WORKERS": keys.WORKERS,
    "MAX_DELIVERED": MAX_DELIVERED,
    "MAX_DEVICES": MAX_DEVICES,
    "MAX_DEVICE_SESSIONS": MAX_DEVICE_SESSIONS,
    "MAX_SIGN_OUTS": MAX_SIGN_OUTS,
    "MAX_UNREAD": MAX_UNREAD,
    "ON_CLUSTER": 0,  # 1 on a Redis Cluster
}
_KEYS_OF_ONE = len(keys.CONVERSATION_KEYS)
_SEVERAL = """\
local {names} = unpack(KEYS, 1, {count})
local conversation_count = #KEYS / {count}
local function select_conversation(number)
  {names} = unpack(KEYS, (number - 1) * {count} + 1, number * {count})
end""".format(names=", ".join(keys.CONVERSATION_KEYS), count=_KEYS_OF_ONE)
KEY_NAMES = {"conversation": keys.CONVERSATION_KEYS, "user": keys.USER_KEYS}

_HEAD = re.compile(r"^-- (keys|include): (.+)$", re.MULTILINE)
_DURABLE = re.compile(r"^-- durable$", re.MULTILINE)
_ARGUMENTS = re.compile(r"^local ([a-z_,\s]+?)\s*= unpack\(ARGV\)$", re.MULTILINE)
_CONSTANT = re.compile(r"\b[A-Z][A-Z_]*[A-Z]\b")


@dataclass(frozen=True)
class ScriptFile:
    """One script, ready to be given to Redis."""

    name: str
    source: str
    arguments: tuple[str, ...]  # the names of ARGV
    once: bool  # its last key is that of one call; see `_once.lua`
    request: bool  # it carries out a request of a client; see `_request.lua`
    durable: bool  # its reply is a promise: DURABLE_REPLICAS counts. Repeated, it writes something all the same


def load_script(name: str, *, on_cluster: bool = False) -> ScriptFile:
    """The script in `<name>.lua` with all that it includes. Raises LookupError when there is none."""
    text = _source(f"{name}.lua")
    included: list[str] = []
    _include(text, included)
    body = "\n".join([*(_source(f"_{part}.lua") for part in included), text])
    arguments = _ARGUMENTS.search(text)
    return ScriptFile(
        name,
        "".join(line + "\n" for line in (*_constants(body, on_cluster), *_key_names(text))) + body,
        tuple(re.split(r",\s*", arguments[1])) if arguments else (),
        "once" in included,
        "request" in included,
        "request" in included or _DURABLE.search(text) is not None,
    )


def _include(text: str, included: list[str]) -> None:
    """Add what a file includes, each part once and after the parts that it needs itself."""
    for part in _head(text, "include"):
        if part not in included:
            _include(_source(f"_{part}.lua"), included)
            included.append(part)


def _head(text: str, what: str) -> list[str]:
    return [word for kind, words in _HEAD.findall(text) if kind == what for word in words.split()]


def _constants(body: str, on_cluster: bool) -> list[str]:
    """Those constants that the code mentions, as Lua."""
    code = re.sub(r"--.*", "", body)
    named = sorted(set(_CONSTANT.findall(code)) & set(CONSTANTS))
    values = {**CONSTANTS, "ON_CLUSTER": int(on_cluster)}
    return [f"local {name} = {_literal(values[name])}" for name in named]


def _literal(value: str | int) -> str:
    return str(value) if isinstance(value, int) else f"'{value}'"


def _key_names(text: str) -> list[str]:
    return [_SEVERAL if kind == "conversations" else _named(kind, "KEYS") for kind in _head(text, "keys")]


def _named(kind: str, of: str) -> str:
    return f"local {', '.join(KEY_NAMES[kind])} = unpack({of})"


@cache
def _source(name: str) -> str:
    server = resources.files("sio_server")
    for folder in FOLDERS:
        script = server.joinpath(folder, name)
        if script.is_file():
            return script.read_text(encoding="utf-8")
    raise LookupError(f"there is no script {name}")
