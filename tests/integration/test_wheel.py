"""The distributions that are built from this clone hold all that they need, and no more."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from zipfile import ZipFile

import pytest

from tests.installed import ROOT, build

# They build and install: seconds of CPU each.
pytestmark = pytest.mark.faults

# The page's own folders, and what it loads from npm, with the licences of all code inside.
PAGE = ("index.html", "stage.html", "js/", "css/", "words/en.json", "words/zh.json")
NPM = (
    "marked/lib/marked.esm.js",
    "marked/LICENSE",
    "socket.io-client/dist/socket.io.esm.min.js",
    "socket.io-client/LICENSE",
    "socket.io-parser/LICENSE",
    "engine.io-client/LICENSE",
    "engine.io-parser/LICENSE",
    "@socket.io/component-emitter/LICENSE",
    "uqr/dist/index.mjs",
    "uqr/LICENSE",
)
LOCAL_WORDS = {
    f"{folder}/words/{name}.json" for folder in ("roomgraph", "sio_server/local") for name in ("en", "zh")
}


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("sdist", ROOT, tmp_path_factory.mktemp("sdist"))


@pytest.fixture(scope="module")
def unpacked(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    (project,) = folder.iterdir()
    return project


@pytest.fixture(scope="module")
def wheel(unpacked: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the sdist where there is no npm."""
    return build("wheel", unpacked, tmp_path_factory.mktemp("wheel"), PATH="/nowhere")


def test_a_wheel_built_from_the_sdist_without_npm_has_the_page_with_its_packages_and_licences(wheel: Path) -> None:
    with ZipFile(wheel) as archive:
        names = archive.namelist()
    for name in PAGE:
        assert any(f.startswith(f"sio_server/web/{name}") for f in names), name
    inside = "sio_server/web/node_modules/"
    assert {name.removeprefix(inside) for name in names if name.startswith(inside)} == set(NPM)
    assert set(names) >= LOCAL_WORDS
    assert not [name for name in names if name.startswith(("tests/", "docs/", "distribution/"))]


def test_the_wheel_has_every_file_of_the_packages_that_it_installs(wheel: Path) -> None:
    with ZipFile(wheel) as archive:
        names = set(archive.namelist())
    for package in ("roomgraph", "sio_server", "sio_clients"):
        ours = {str(p.relative_to(ROOT)) for p in (ROOT / package).rglob("*") if p.is_file()}
        assert {name for name in ours if "__pycache__" not in name} <= names


def test_what_the_server_serves_of_npm_packages_is_what_the_wheel_holds() -> None:
    sources = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "sio_server/gateway/http").glob("*.py"))
    for name in NPM:
        assert name.endswith("LICENSE") or f'"{name}"' in sources


def test_a_build_without_npm_and_without_the_packages_says_what_is_missing(unpacked: Path, tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    shutil.copytree(unpacked, clone, ignore=shutil.ignore_patterns("node_modules", "PKG-INFO"))
    with pytest.raises(AssertionError, match="npm is needed to put the chat page into the package"):
        build("wheel", clone, tmp_path, PATH="/nowhere")


def test_pip_builds_a_wheel_with_the_page_from_a_clone_on_a_machine_without_npm(
    unpacked: Path, tmp_path: Path
) -> None:
    """As platforms do that are pushed to, and `pip install git+https://…`: npm comes from PyPI, for the build."""
    clone = tmp_path / "clone"
    shutil.copytree(unpacked, clone, ignore=shutil.ignore_patterns("node_modules", "PKG-INFO"))
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(tmp_path / "dist"), str(clone)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PATH": "/nowhere"})
    assert done.returncode == 0, done.stderr
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    with ZipFile(wheel) as archive:
        assert {f"sio_server/web/node_modules/{name}" for name in NPM} <= set(archive.namelist())


def test_a_build_whose_npm_fails_shows_what_npm_said(unpacked: Path, tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    shutil.copytree(unpacked, clone, ignore=shutil.ignore_patterns("node_modules", "PKG-INFO"))
    npm = tmp_path / "npm"
    npm.write_text("#!/bin/sh\necho 'ECONNREFUSED [registry]' >&2\nexit 1\n")
    npm.chmod(0o755)
    with pytest.raises(AssertionError, match=r"is the network up\?\s+ECONNREFUSED \[registry\]"):
        build("wheel", clone, tmp_path / "dist", PATH=f"{tmp_path}:{os.environ['PATH']}")


def test_the_lock_file_of_the_page_names_no_registry() -> None:
    lock = json.loads((ROOT / "web" / "package-lock.json").read_text(encoding="utf-8"))
    assert not [name for name, package in lock["packages"].items() if "resolved" in package]
    assert all("integrity" in package for name, package in lock["packages"].items() if name)
