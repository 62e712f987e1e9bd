"""Distributions as people get them: built from this clone, and installed into environments outside of it."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterable
from importlib.metadata import Distribution, distribution
from pathlib import Path
from zipfile import ZipFile

from packaging.metadata import Metadata
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
# What would lead an installed program back to this clone, or to the settings of this shell.
NOT_INHERITED = ("PYTHONPATH", "REDIS_URL", "PORT", "AUTH_MODE", "AUTH_SECRET", "VIRTUAL_ENV")


def build(target: str, project: Path, folder: Path, **env: str) -> Path:
    """Build a `wheel` or an `sdist` of a project with this environment's hatchling."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(folder)]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, env={**os.environ, **env})
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = folder.glob("*.whl" if target == "wheel" else "*.tar.gz")
    return built


def metadata(wheel: Path) -> Metadata:
    with ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        return Metadata.from_email(archive.read(name), validate=False)


class Environment:
    """A virtual environment with one wheel, and of the libraries here only those that the wheel asks for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with_pip = importlib.util.find_spec("pip") is None
        subprocess.run(
            [sys.executable, "-m", "venv", *([] if with_pip else ["--without-pip"]), str(folder)], check=True
        )
        self.python = folder / "bin" / "python"
        here = self.python if with_pip else sys.executable
        self._pip = [str(here), "-m", "pip", "--python", str(self.python), "--disable-pip-version-check", "-q"]
        (self._packages,) = (folder / "lib").glob("python3*/site-packages")

    def install(self, wheel: Path, *extras: str) -> None:
        """Install a wheel, with links to the libraries that it requires, and that these require, and so on."""
        self.pip("install", "--no-deps", "--no-index", "--no-compile", str(wheel))
        self._link(metadata(wheel).requires_dist or (), extras)

    def pip(self, *args: str) -> None:
        done = subprocess.run([*self._pip, *args], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr

    def run(self, code: str, *args: str) -> str:
        """What a program prints that is run there, in a folder outside of this clone."""
        command = [str(self.python), "-c", code, *args]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, env=self.environ())
        assert done.returncode == 0, done.stderr
        return done.stdout

    def environ(self) -> dict[str, str]:
        """The environment variables for a program there."""
        return {name: value for name, value in os.environ.items() if name not in NOT_INHERITED}

    def _link(self, requirements: Iterable[Requirement], extras: Iterable[str]) -> None:
        waiting = [(requirement, frozenset(extras)) for requirement in requirements]
        seen = set()
        while waiting:
            requirement, wanted_for = waiting.pop()
            if requirement.marker and not any(
                requirement.marker.evaluate({"extra": e}) for e in {"", *wanted_for}
            ):
                continue
            key = requirement.name, frozenset(requirement.extras)
            if key in seen:
                continue
            seen.add(key)
            library = distribution(requirement.name)
            self._link_files(library)
            waiting += [(Requirement(text), frozenset(requirement.extras)) for text in library.requires or ()]

    def _link_files(self, library: Distribution) -> None:
        for top in {Path(file).parts[0] for file in library.files or ()} - {"..", "__pycache__"}:
            link = self._packages / top
            if not link.exists():
                link.symlink_to(Path(str(library.locate_file(top))).resolve())
