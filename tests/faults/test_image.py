"""deploy/Dockerfile without a container engine: its steps in a minimal Debian, and a node of what they make."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest

from sio_clients import connect_guest
from tests.conftest import ClusterFactory, free_ports
from tests.waiting import poll

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "deploy" / "Dockerfile"
# In place of the image `python`; that of `node` is this machine, which has npm.
PACKAGES = "python3-venv,python-is-python3,ca-certificates"
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
# What this machine needs to reach its registries.
PASSED_ON = re.compile(r"(PIP_|SSL_CERT|REQUESTS_CA|https?_proxy|no_proxy)", re.IGNORECASE)


@dataclass
class Stage:
    """A stage of the Dockerfile: a folder that is the root of its file system."""

    root: Path
    is_debian: bool
    workdir: str = "/"
    user: str = "0"
    env: dict[str, str] = field(default_factory=dict)
    healthcheck: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)

    def at(self, path: str) -> Path:
        """A path of the stage, as this machine sees it."""
        inside = path if path.startswith("/") else f"{self.workdir}/{path}"
        return self.root / inside.lstrip("/")

    def run(self, command: str) -> None:
        environment = {**os.environ, **self.env}
        if self.is_debian:
            passed = {name: value for name, value in os.environ.items() if PASSED_ON.match(name)}
            environment = {"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", **passed, **self.env}
            inside = f"cd {self.workdir} && {command}"
            words, folder = ["chroot", str(self.root), "/bin/sh", "-ec", inside], Path("/")
        else:
            words, folder = ["/bin/sh", "-ec", command], self.at(".")
        done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"


def debian(folder: Path) -> Path:
    """A minimal Debian with Python."""
    root = folder / "debian"
    command = ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", "bookworm", str(root)]
    for _ in range(3):  # what has come already is not fetched again
        done = subprocess.run(command, capture_output=True, text=True)
        missing = [line for line in done.stdout.splitlines() if "Couldn't download" in line]
        if done.returncode == 0 or not missing:
            break
    else:
        pytest.skip(f"Debian's mirror does not give all packages: {missing[-1]}")
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    shutil.copy(CERTIFICATES, root / str(CERTIFICATES).lstrip("/"))  # this machine may trust another authority
    for name in ("resolv.conf", "hosts", "pip.conf"):
        if Path("/etc", name).exists():
            shutil.copy(Path("/etc", name), root / "etc" / name)
    return root


def copy(source: Path, target: Path) -> None:
    """COPY: a folder's content, or a file; without what Dockerfile.dockerignore leaves out."""
    if source.is_dir():
        ignore = shutil.ignore_patterns("__pycache__", *(["node_modules"] if source == ROOT / "web" else []))
        shutil.copytree(source, target, dirs_exist_ok=True, symlinks=True, ignore=ignore)
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)


def build(folder: Path) -> Stage:
    """Carry out the Dockerfile; the last stage."""
    text = re.sub(r"\\\n", " ", DOCKERFILE.read_text())
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    base = debian(folder)
    stages: dict[str, Stage] = {}
    stage = Stage(folder, is_debian=False)
    for line in lines:
        word, _, rest = line.partition(" ")
        rest = rest.strip()
        if word == "FROM":
            image, _, name = rest.partition(" AS ")
            name = name or "last"
            stage = stages[name] = Stage(folder / name, is_debian="node" not in image)
            if stage.is_debian:
                subprocess.run(["cp", "-a", str(base), str(stage.root)], check=True)
        elif word == "WORKDIR":
            stage.workdir = rest
            stage.at(".").mkdir(parents=True, exist_ok=True)
        elif word == "ARG" and len(stages) > 0:
            name, _, value = rest.partition("=")
            stage.env[name] = value.strip('"')
        elif word == "ENV":
            for pair in shlex.split(rest):
                name, _, value = pair.partition("=")
                stage.env[name] = value.replace("$PATH", "/usr/local/bin:/usr/bin:/bin")
        elif word == "COPY":
            *sources, target = rest.split()
            of = Stage(ROOT, is_debian=False)
            if sources[0].startswith("--from="):
                of = stages[sources.pop(0).removeprefix("--from=")]
            for source in sources:
                found = of.at(source)
                into = found.name if target.endswith("/") and not found.is_dir() else ""
                copy(found, stage.at(target) / into if into else stage.at(target))
        elif word == "RUN":
            stage.run(rest)
        elif word == "USER":
            stage.user = rest
        elif word == "HEALTHCHECK":
            stage.healthcheck = json.loads(rest[rest.index("[") :])
        elif word in ("ENTRYPOINT", "CMD"):
            stage.command += json.loads(rest)
        else:
            assert word in ("EXPOSE", "ARG"), f"a step that is not carried out here: {line}"
    return stage


def started(stage: Stage, command: list[str], **settings: str) -> list[str]:
    """A command of the image, as its user, with a root that is read-only."""
    environment = [f"{name}={value}" for name, value in {**stage.env, **settings}.items()]
    root = shlex.quote(str(stage.root))
    inside = shlex.join(["env", "-i", *environment, *command])
    return [
        *("unshare", "--mount", "sh", "-ec"),
        f"mount --bind {root} {root}; mount -o remount,ro,bind {root}; "
        f"exec chroot --userspec={stage.user}:{stage.user} {root} {inside}",
    ]


@pytest.fixture
def image(tmp_path: Path) -> Iterator[Stage]:
    for program in ("debootstrap", "chroot", "unshare", "npm"):
        if shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin:/sbin") is None:
            pytest.skip(f"{program} is not installed: apt-get install {program}")
    if os.geteuid() != 0:
        pytest.skip("debootstrap and chroot need root")
    mounted = ["unshare", "--mount", "sh", "-c", f"mount --bind {tmp_path} {tmp_path}"]
    if subprocess.run(mounted, capture_output=True).returncode != 0:
        pytest.skip("nothing can be mounted here")
    yield build(tmp_path)
    shutil.rmtree(tmp_path)  # a gigabyte


async def test_a_node_of_the_image_serves_as_a_user_without_rights_from_a_read_only_root(
    image: Stage, start_cluster: ClusterFactory
) -> None:
    assert image.user.isdigit()
    assert int(image.user) > 0
    cluster = await start_cluster(1, ALLOWED_ORIGINS="")
    port = free_ports(1)
    settings = {"REDIS_URL": cluster.redis_url, "AUTH_MODE": "guest", "HOST": "127.0.0.1", "PORT": str(port)}
    secret = cluster.settings["AUTH_SECRET"]
    process = await asyncio.create_subprocess_exec(
        *started(image, image.command, **settings, AUTH_SECRET=secret, DRAIN_GRACE="1"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    url = f"http://127.0.0.1:{port}"

    async def is_ready() -> bool:
        assert process.returncode is None
        try:
            async with aiohttp.ClientSession() as http, http.get(f"{url}/ready") as response:
                return response.status == 200
        except aiohttp.ClientError:
            return False

    try:
        await poll(is_ready, "the node of the image", 60)
        for asked, is_well in ((port, True), (free_ports(1), False)):
            check = started(image, image.healthcheck, PORT=str(asked))
            health = await asyncio.create_subprocess_exec(*check, stderr=asyncio.subprocess.DEVNULL)
            assert (await health.wait() == 0) == is_well
        async with aiohttp.ClientSession() as http:
            for path in ("/", "/js/main.js", "/vendor/socket.io.esm.min.js", "/vendor/marked.esm.js"):
                async with http.get(url + path) as response:
                    assert response.status == 200, path
        async with connect_guest(url, "Ann") as ann:
            plans = await ann.create("Plans")
            await plans.send("book a room for a workshop")
            async for entry in plans.entries():
                if entry.type == "answer":
                    assert "When do you need it?" in entry.text
                    break
    finally:
        if process.returncode is None:
            process.terminate()
        said, _ = await process.communicate()
    assert process.returncode == 0, said.decode()
    assert "Traceback" not in said.decode()
