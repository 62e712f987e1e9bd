"""The Lua files say at their heads what they need, and use the names that the rest of the program uses."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import sio_server
from sio_server.protocol.run import RunStatus
from sio_server.store import script_files
from sio_server.store.keys import META_FIELDS
from sio_server.store.script_files import FOLDERS, KEY_NAMES, load_script

SERVER = Path(sio_server.__file__).parent
FILES = {path.name: path for folder in FOLDERS for path in sorted((SERVER / folder).glob("*.lua"))}
SCRIPTS = [name.removesuffix(".lua") for name in FILES if not name.startswith("_")]


def code(name: str) -> str:
    """The file without comments."""
    return re.sub(r"--.*", "", FILES[f"{name}.lua"].read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", SCRIPTS)
def test_arguments_and_keys_are_named_once_at_the_head_of_a_script(name: str) -> None:
    file, text = load_script(name), code(name)
    assert text.count("ARGV") == bool(file.arguments)
    assert len(re.findall(r"\bKEYS\b", text)) <= 1
    assert len(set(file.arguments)) == len(file.arguments)
    for argument in file.arguments:
        assert len(re.findall(rf"\b{argument}\b", text)) > 1, f"{argument} is not used"


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_says_in_its_head_what_it_does_and_returns(name: str) -> None:
    head = FILES[f"{name}.lua"].read_text(encoding="utf-8").split("\nlocal ")[0]
    assert head.startswith("-- ")
    assert "Returns" in head


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_part_is_included_once_and_after_what_it_needs(name: str) -> None:
    source = load_script(name).source
    for part in ("iso", "publish", "object", "append_entry", "end_run", "once", "list_devices"):
        assert source.count(f"local function {part}(") <= 1
    for early, late in (("publish", "begin_epoch"), ("object", "append_entry"), ("append_entry", "end_run")):
        if f"local function {late}(" in source:
            assert source.index(f"local function {early}(") < source.index(f"local function {late}(")


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_name_in_capitals_is_a_constant_that_the_program_gives(name: str) -> None:
    source = load_script(name).source
    named = set(re.findall(r"\b[A-Z][A-Z_]*_[A-Z]+\b", re.sub(r"--.*|'[^']*'|redis\.[A-Z_]+", "", source)))
    assert named <= set(script_files.CONSTANTS)
    for constant in named:
        assert f"local {constant} = " in source


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_gets_the_keys_of_the_list_that_it_names(name: str) -> None:
    source = load_script(name).source
    for kind in re.findall(r"^-- keys: (\w+)$", source, re.MULTILINE):
        names = ", ".join(KEY_NAMES[kind.removesuffix("s")])
        assert f"local {names} = unpack(KEYS{', 1, ' if kind.endswith('s') else ')'}" in source


def test_a_missing_script_is_named() -> None:
    with pytest.raises(LookupError, match=r"no_such\.lua"):
        load_script("no_such")


def meta_fields(text: str) -> set[str]:
    """The names of fields in calls that have `meta` as their key."""
    found: set[str] = set()
    for command, rest in re.findall(r"'(H\w+)', meta, ([^()]*(?:\([^()]*\)[^()]*)*)\)", text):
        parts = [part.strip() for part in rest.split(",")]
        step = 2 if command == "HSET" else 1
        found |= {part[1:-1] for part in (parts[:1] if command == "HINCRBY" else parts[::step]) if part[0] == "'"}
    return found


def test_every_field_of_the_meta_hash_is_named_in_keys() -> None:
    used = {field for name in FILES for field in meta_fields(code(name.removesuffix(".lua")))}
    # The settings come from `Members.create` as they are.
    settings = {"title", "access", "agent", "graph", "agent_name", "multitask", "approvals", "invites"}
    assert used | settings == set(META_FIELDS)


def test_scripts_write_no_status_of_a_run_that_the_program_does_not_know() -> None:
    written: set[str] = set()
    for name in FILES:
        text = code(name.removesuffix(".lua"))
        written |= set(re.findall(r"'status', '(\w+)'", text))
        written |= set(re.findall(r"end_run\(\w+, '(\w+)'", text))
        written |= set(re.findall(r"status [~=]= '(\w+)'", text))
    assert written == {"queued", "running", "stalled", "stopped", "failed", "interrupted"}
    assert written <= set(RunStatus)
