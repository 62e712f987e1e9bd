"""Whether pages and clients reach a node at an address, through whatever stands before it."""

from __future__ import annotations

import base64
import json
import os
import time
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from roomgraph.doctor.findings import Fact, Finding, bad, good, warn

ANSWER_S = 8.0
LOOPBACK = ("127.0.0.1", "localhost", "::1")
SOCKET_PATH = "/socket.io/?EIO=4&transport=websocket"


async def check_url(url: str) -> list[Finding]:
    """Ask `/healthz` and `/ready`, and open a websocket as a page from this address does."""
    url = url.rstrip("/")
    findings = []
    parts = urlsplit(url)
    if parts.scheme == "http" and parts.hostname not in LOOPBACK:
        findings.append(warn(Fact.URL_PLAIN, url=url))
    timeout = aiohttp.ClientTimeout(total=ANSWER_S)
    try:
        async with aiohttp.ClientSession(timeout=timeout, trust_env=True) as http:
            node = await _health(http, url)
            findings += node
            if all(finding.fact is Fact.URL_NODE for finding in node):
                findings += await _readiness(http, url)
                findings += await _websocket(http, url)
    except (aiohttp.ClientError, OSError, TimeoutError) as exc:
        findings.append(bad(Fact.URL_UNREACHABLE, url=url, reason=str(exc) or type(exc).__name__))
    return findings


async def _health(http: aiohttp.ClientSession, url: str) -> list[Finding]:
    async with http.get(f"{url}/healthz") as response:
        said = _object(await response.text(errors="replace"))
        if _code(said) == "host_not_allowed":
            return [bad(Fact.URL_REFUSES_HOST, host=urlsplit(url).hostname)]
        if said.get("ok") is not True or "node" not in said:
            return [bad(Fact.URL_NO_NODE, url=url, status=response.status)]
        return [good(Fact.URL_NODE, url=url, node=said["node"])]


async def _readiness(http: aiohttp.ClientSession, url: str) -> list[Finding]:
    async with http.get(f"{url}/ready") as response:
        said = _object(await response.text(errors="replace"))
    if said.get("ready") is True:
        return []
    workers = said.get("workers")
    reasons = [
        *(name for name in ("redis", "bus") if said.get(name) is False),
        *said.get("failing_tasks", ()),
        *(f"shard {name}" for name in said.get("shards_away", ())),
        *(f"worker {name}: {why}" for name, why in (workers.items() if isinstance(workers, dict) else ())),
        *(["it is being stopped"] if said.get("stopping") is True else []),
    ]
    return [warn(Fact.URL_NOT_READY, node=said.get("node", "?"), reasons=", ".join(reasons) or "?")]


async def _websocket(http: aiohttp.ClientSession, url: str) -> list[Finding]:
    parts = urlsplit(url)
    origin = f"{parts.scheme}://{parts.netloc}"
    began = time.monotonic()
    try:
        async with http.ws_connect(url + SOCKET_PATH, headers={"Origin": origin}) as socket:
            # An answer to a request: what goes both ways is not held back.
            await socket.receive_str()
            await socket.send_str("40{}")
            answer = await socket.receive_str()
            if answer.startswith(("44", "40")):
                return [good(Fact.URL_WEBSOCKET, ms=round((time.monotonic() - began) * 1000))]
            return [bad(Fact.URL_SILENT)]
    except (TypeError, TimeoutError):  # closed, or nothing came
        return [bad(Fact.URL_SILENT)]
    except aiohttp.WSServerHandshakeError as exc:
        return [await _refusal(http, url, origin, exc.status)]


async def _refusal(http: aiohttp.ClientSession, url: str, origin: str, status: int) -> Finding:
    """Why the opening was refused: the same again, to read the answer."""
    headers = {
        **{"Origin": origin, "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"},
        "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
    }
    async with http.get(url + SOCKET_PATH, headers=headers) as response:
        said = _object(await response.text(errors="replace"))
    error = said.get("error", said)
    lost = (error.get("details") or {}).get("lost_headers") if isinstance(error, dict) else None
    match _code(said):
        case "origin_not_allowed":
            if lost:
                return bad(Fact.URL_LOSES_HEADERS, headers=", ".join(lost))
            return bad(Fact.URL_REFUSES_ORIGIN, origin=origin)
        case "not_supported":
            return bad(Fact.URL_LOSES_HEADERS, headers="Upgrade, Connection")
        case "unavailable":  # of the node: it is full, being stopped, or cut off from Redis
            return warn(Fact.URL_TAKES_NO_CLIENTS, reason=str(error.get("message", "?")))
        case _:
            return bad(Fact.URL_NO_WEBSOCKET, status=status)


def _object(text: str) -> dict[str, Any]:
    try:
        said = json.loads(text)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def _code(said: dict[str, Any]) -> str:
    error = said.get("error")
    return str((error if isinstance(error, dict) else said).get("code", ""))
