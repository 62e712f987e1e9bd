"""The load generator (`generator/generator.c`) as a child process that is built on the spot."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks.machine import OTHERS, on_cores

SOURCE = Path(__file__).parent / "generator" / "generator.c"
DATA = Path(__file__).parents[1] / ".data" / "benchmarks"

Result = dict[str, Any]
CONNECT_TRIES = 10
ERRORS = ("failed", "refused", "lost", "unknown", "unfinished")


class BenchmarkError(RuntimeError):
    """The benchmark cannot go on; the message says what to do."""


def build() -> Path:
    """The program, compiled unless this source has been compiled before. Raises BenchmarkError."""
    digest = hashlib.sha256(SOURCE.read_bytes()).hexdigest()[:12]
    program = DATA / f"generator-{digest}"
    if program.exists():
        return program
    if not (gcc := shutil.which("gcc")):
        raise BenchmarkError("gcc, which builds the load generator, is missing: install it (apt install gcc)")
    DATA.mkdir(parents=True, exist_ok=True)
    built = program.with_suffix(".new")
    done = subprocess.run([gcc, "-O2", "-o", built, SOURCE], capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchmarkError(f"gcc cannot build {SOURCE}:\n{done.stderr}")
    return built.rename(program)


class Generator:
    """Clients of one server. Methods are the commands of generator.c; those that measure return its figures."""

    def __init__(self, name: str) -> None:
        self.name = name  # of the server, for errors
        self.clients = 0
        self._waiting: list[str] = []

    async def start(self, ports: Iterable[int], ready: str) -> None:
        """Start the process on its cores; clients of server 0 connect to the first of `ports`."""
        program = build()
        with on_cores(OTHERS):
            self._process = await asyncio.create_subprocess_exec(
                program, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
            )
        for port in ports:
            self.tell(f"server 127.0.0.1 {port}")
        self.tell(f"ready {ready}")

    async def close(self) -> None:
        """End the process, and so its connections."""
        self._process.kill()
        await self._process.wait()

    def tell(self, line: str) -> None:
        """Give a command that has no answer."""
        self._waiting.append(line + "\n")

    def add_client(self, server: int, packet: str) -> None:
        """One more client, which is not connected yet."""
        self.tell(f"client {server} {packet}")
        self.clients += 1

    def ask(self, client: int, event: list[Any]) -> None:
        """An event that `asks` sends."""
        self.tell(f"ask {client} {json.dumps(event, separators=(',', ':'))}")

    def rooms(self, rooms: Iterable[tuple[Iterable[int], list[Any]]]) -> None:
        """The rooms that get messages from now on: members, and the event of a message."""
        self.tell("rooms")
        for members, event in rooms:
            self.tell(f"room {','.join(map(str, members))} {json.dumps(event, separators=(',', ':'))}")

    async def run(self, line: str, *expected: str) -> Result:
        """Give a command and wait for its answer. Raises BenchmarkError for errors that are not expected."""
        await self._say(line)
        assert self._process.stdout is not None
        answer = await self._process.stdout.readline()
        if not answer:
            raise BenchmarkError(f"{self.name}: the load generator has ended at: {line}")
        result: Result = json.loads(answer)
        errors = {what: result[what] for what in ERRORS if result[what] and what not in expected}
        if errors:
            raise BenchmarkError(f"{self.name}: {line}: {errors}")
        return result

    async def begin(self, line: str) -> asyncio.Task[Result]:
        """Give a command; its figures come later, at the latest after `stop`."""
        running = asyncio.create_task(self.run(line))
        await asyncio.sleep(0)
        return running

    async def stop(self) -> None:
        """End a load early."""
        await self._say("stop")

    async def _say(self, line: str) -> None:
        self.tell(line)
        said, self._waiting = self._waiting, []
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._process.stdin.write("".join(said).encode())
            await self._process.stdin.drain()

    async def connect(self, first: int, count: int, at_once: int = 20) -> Result:
        """Connect clients; refused ones try again, as clients do. The figures are those of the first try."""
        begun = await self.run(f"connect {first} {count} {at_once}", "failed")
        left = begun["failed"]
        for _ in range(CONNECT_TRIES):
            if not left:
                return begun
            await self.run("idle 0.5")
            left = (await self.run(f"connect {first} {count} {at_once}", "failed"))["failed"]
        raise BenchmarkError(f"{self.name}: {left} of {count} clients could not connect")

    async def disconnect(self, first: int, count: int) -> Result:
        """Close connections of clients."""
        return await self.run(f"close {first} {count}")

    async def asks(self, at_once: int = 20) -> Result:
        """Send what was asked, and wait for the acks."""
        return await self.run(f"asks {at_once}")
