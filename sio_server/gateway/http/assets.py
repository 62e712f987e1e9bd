"""The files of the page: read and compressed once, and addressed by a hash of them all.

Modules import each other relatively, so all of one version lie below one address, `assets/<hash>/`, and may be
cached for ever. Under any other address, also that of another version, a file is served as it is now, to be asked
for again.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import time
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from html import escape
from pathlib import Path

from aiohttp import hdrs, web

from sio_server.gateway.http.comments import strip_comments

# In a wheel the page lies inside the package, in a clone beside it.
_PACKAGE = Path(__file__).resolve().parents[2]
WEB = _PACKAGE / "web" if (_PACKAGE / "web").is_dir() else _PACKAGE.parent / "web"
# The modules that come from npm, by the name they are served as under /vendor/; nothing else of theirs is served.
VENDORED = {
    "socket.io.esm.min.js": "socket.io-client/dist/socket.io.esm.min.js",
    "marked.esm.js": "marked/lib/marked.esm.js",
    "uqr.js": "uqr/dist/index.mjs",
}
FOLDERS = ("js", "css", "words", "sdk/src")
TYPES = {
    ".css": "text/css",
    ".html": "text/html",
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".json": "application/json",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".webmanifest": "application/manifest+json",
}
MANIFEST, WORKER = "manifest.webmanifest", "sw.js"  # in the root folder, below which they hold
# What of the files is not the page's.
_STAGE = re.compile(r"js/stage/|css/stage\.css|words/stage\.")
LOOK_AGAIN_S = 1.0  # between two looks whether a file has changed, so that work on the page needs no restart
FOR_EVER = "public, max-age=31536000, immutable"
ASK_AGAIN = "no-cache"
Stamp = tuple[int, int] | None  # when a file has changed, and its size; None: it is gone
# Addresses in a page's own HTML, of files in the folders.
_IN_HTML = re.compile(rf'\b((?:href|src)=")(?=(?:{"|".join(FOLDERS)}|vendor)/)')


@dataclass(frozen=True)
class Asset:
    """One file as it is sent."""

    body: bytes
    media_type: str

    @cached_property
    def etag(self) -> str:
        return hashlib.sha256(self.body).hexdigest()[:32]

    @cached_property
    def gzipped(self) -> bytes | None:
        """The file compressed; None when that makes it no smaller."""
        packed = gzip.compress(self.body, mtime=0)
        return packed if len(packed) < len(self.body) else None

    def response(self, request: web.Request, caching: str) -> web.Response:
        """The answer to a request for this file."""
        packed = self.gzipped if _takes_gzip(request.headers.get(hdrs.ACCEPT_ENCODING, "")) else None
        etag = self.etag if packed is None else f"{self.etag}-gzip"
        headers = {hdrs.CACHE_CONTROL: caching, hdrs.VARY: hdrs.ACCEPT_ENCODING, hdrs.ETAG: f'"{etag}"'}
        if any(known.value in (etag, "*") for known in request.if_none_match or ()):
            return web.Response(status=304, headers=headers)
        if packed is not None:
            headers[hdrs.CONTENT_ENCODING] = "gzip"
        charset = None if self.media_type.startswith("image/") else "utf-8"
        body = self.body if packed is None else packed
        return web.Response(body=body, headers=headers, content_type=self.media_type, charset=charset)


@dataclass(frozen=True)
class Version:
    """All files at one time. `files`: by the path below the page's address, such as js/main.js.

    `public_url`: the address that pages write into links for others; empty: that under which they were opened.
    """

    files: dict[str, Asset]
    hash: str
    public_url: str = ""
    _pages: dict[str, Asset] = field(default_factory=dict)

    @cached_property
    def import_map(self) -> str:
        """Leads from the plain address of a module to the hashed one, so that each has one instance in a page."""
        folders = [f"./{name}/" for name in ("js", "sdk/src", "vendor")]
        return json.dumps({"imports": {one: f"./assets/{self.hash}/{one[2:]}" for one in folders}})

    @cached_property
    def script_source(self) -> str:
        """The import map, which is an inline script, as a source of a content security policy."""
        return f"'sha256-{b64encode(hashlib.sha256(self.import_map.encode()).digest()).decode()}'"

    @cached_property
    def worker(self) -> Asset:
        """The service worker, with the hash and the names of the files that it is to keep."""
        names = [name for name in self.files if not _STAGE.match(name)]
        head = f"const VERSION = {json.dumps(self.hash)};\nconst FILES = {json.dumps(names)};\n"
        return Asset(head.encode() + _sent(WORKER, WEB / WORKER), TYPES[".js"])

    @cached_property
    def manifest(self) -> Asset:
        """What an installed page is called, and its icons."""
        return Asset((WEB / MANIFEST).read_bytes(), TYPES[".webmanifest"])

    def page(self, name: str) -> Asset | None:
        """A page of the root folder, with the hashed addresses of its files."""
        if name not in self._pages:
            path = WEB / name
            if not path.is_file():
                return None
            html = _IN_HTML.sub(rf"\1assets/{self.hash}/", path.read_text(encoding="utf-8"))
            html = html.replace("<head>", f'<head>\n    <script type="importmap">{self.import_map}</script>', 1)
            if self.public_url:
                meta = f'<meta name="public-url" content="{escape(self.public_url)}" />'
                html = html.replace("</title>", f"</title>\n    {meta}", 1)
            self._pages[name] = Asset(html.encode(), TYPES[".html"])
        return self._pages[name]


class Assets:
    """The page's files, which are read again when one of them has changed."""

    def __init__(self, public_url: str = "") -> None:
        self._public_url = public_url
        self._looked_at = time.monotonic()
        self._stamps, self.version = _read(public_url)  # as they were last looked at

    def current(self) -> Version:
        """The files as they are now. A new one is noticed with a change of those that need it."""
        if time.monotonic() - self._looked_at > LOOK_AGAIN_S:
            self._looked_at = time.monotonic()
            if any(_stamp(path) != stamp for path, stamp in self._stamps.items()):
                self._stamps, self.version = _read(self._public_url)
        return self.version


def _paths() -> Iterator[tuple[str, Path]]:
    """Each file that is served, by the path below the page's address."""
    for folder in FOLDERS:
        for path in sorted((WEB / folder).rglob("*")):
            if path.suffix in TYPES and path.is_file():
                yield path.relative_to(WEB).as_posix(), path
    for name, module in VENDORED.items():
        if (path := WEB / "node_modules" / module).is_file():
            yield f"vendor/{name}", path


def _stamp(path: Path) -> Stamp:
    """What changes when a file changes."""
    try:
        seen = path.stat()
    except FileNotFoundError:
        return None
    return seen.st_mtime_ns, seen.st_size


def _read(public_url: str) -> tuple[dict[Path, Stamp], Version]:
    paths = dict(_paths())
    # Before the files: what changes meanwhile is read again.
    stamps = {path: _stamp(path) for path in (*paths.values(), *sorted(WEB.glob("*.*")))}
    files = {name: Asset(_sent(name, path), TYPES[path.suffix]) for name, path in paths.items()}
    tree = "".join(f"{name} {asset.etag}\n" for name, asset in files.items())
    for asset in files.values():
        _ = asset.gzipped  # now, not when the first one asks
    return stamps, Version(files, hashlib.sha256(tree.encode()).hexdigest()[:16], public_url)


def _sent(name: str, path: Path) -> bytes:
    """A file as it is sent: our own code without its comments, in which others have their licences."""
    if path.suffix in (".js", ".css") and not name.startswith("vendor/"):
        return strip_comments(path.read_text(encoding="utf-8")).encode()
    return path.read_bytes()


def _takes_gzip(accepted: str) -> bool:
    for item in accepted.lower().split(","):
        coding, _, weight = item.replace(" ", "").partition(";q=")
        if coding in ("gzip", "*"):
            return not re.fullmatch(r"0(\.0*)?", weight)
    return False
