"""Whether a node would start with these settings, and what of them is dangerous."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from roomgraph.doctor.findings import Fact, Finding, bad, good, warn

if TYPE_CHECKING:
    from sio_server.settings import Settings

HTTP_SHARE, SPARE_FILES = 8, 128  # as a node divides its files (wiring.py)


def judge_settings(settings: Settings, open_files: int) -> Iterator[Finding]:
    """What is to be said of settings that a node accepts."""
    yield good(Fact.SETTINGS_GOOD)
    if settings.auth_mode == "guest":
        yield warn(Fact.GUESTS)
    if "*" in settings.allowed_origins:
        yield (bad if settings.authenticate else warn)(Fact.ANY_ORIGIN)
    if settings.auth_jwks_url and not settings.auth_issuer:
        yield warn(Fact.NO_ISSUER)
    needed = settings.max_connections + settings.max_http_connections + SPARE_FILES
    if open_files < needed:
        http = min(settings.max_http_connections, open_files // HTTP_SHARE)
        clients = max(0, open_files - http - SPARE_FILES)
        yield warn(Fact.FILES_FEW, files=open_files, clients=clients, needed=needed)
    else:
        yield good(Fact.FILES_GOOD, files=open_files)


async def check_identity(settings: Settings) -> list[Finding]:
    """Whether the issuer's keys and the application's function are there."""
    findings = []
    if settings.auth_jwks_url:
        findings.append(await _keys(settings.auth_jwks_url))
    if settings.authenticate and (problem := _problem_of_hook(settings.authenticate)):
        findings.append(bad(Fact.HOOK_BAD, reason=problem))
    return findings


async def _keys(url: str) -> Finding:
    import aiohttp

    from sio_server.gateway.sessions.issuer_keys import fetch_keys
    from sio_server.gateway.sessions.key_set import NoKeys, parse_key_set

    try:
        return good(Fact.KEYS_GOOD, count=len(parse_key_set(await fetch_keys(url))))
    except (NoKeys, OSError, ValueError, aiohttp.ClientError) as exc:
        return bad(Fact.KEYS_BAD, url=url, reason=str(exc) or type(exc).__name__)


def _problem_of_hook(place: str) -> str:
    from sio_server.gateway.sessions.authenticate_hook import BadHook, load_hook

    try:
        load_hook(place, 60)
    except BadHook as exc:
        return str(exc)
    return ""


def problems_of(load: Callable[[], Settings]) -> tuple[Settings | None, list[Finding]]:
    """The settings, or what a node says of those that it does not accept."""
    settings_module = importlib.import_module("sio_server.settings")
    try:
        return load(), []
    except settings_module.SettingsError as exc:
        return None, [bad(Fact.SETTING_WRONG, problem=line) for line in str(exc).splitlines()]
