"""Whether what a node uses besides Redis answers: the archive's storage, and the collector of traces."""

from __future__ import annotations

import asyncio
import secrets
import textwrap
from typing import TYPE_CHECKING

from roomgraph.doctor.findings import Fact, Finding, bad, good, warn

if TYPE_CHECKING:
    from sio_server.settings import Settings

FOLDER = "doctor"  # of the object that is written and deleted


async def check_services(settings: Settings) -> list[Finding]:
    """Those that the settings name."""
    findings = []
    if settings.archive_url:
        findings.append(await _check_archive(settings.archive_url))
    if settings.traces == "otlp":
        findings.append(await _check_collector())
    return findings


async def _check_archive(url: str) -> Finding:
    """Write, read and delete an object, as nodes do."""
    from sio_server.data.archive_store import ArchiveStore, Line
    from sio_server.protocol.errors import RoomgraphError

    name, line = f"{FOLDER}/{secrets.token_hex(8)}", Line(1, '{"seq":1}', [])
    try:
        store = ArchiveStore(url)
        await store.put(name, [line])
        try:
            read = await store.get(name)
        finally:
            await store.delete([name])
    except RoomgraphError as exc:
        return bad(Fact.ARCHIVE_BAD, url=url, reason=_first_line(exc.__cause__ or exc.message))
    except (ValueError, OSError) as exc:
        return bad(Fact.ARCHIVE_BAD, url=url, reason=_first_line(exc))
    if read != [line]:
        return bad(Fact.ARCHIVE_BAD, url=url, reason="what was written is not there")
    return good(Fact.ARCHIVE_GOOD, url=url)


def _first_line(problem: object) -> str:
    """What an error says first: storages add the whole of their answers."""
    lines = [line for line in str(problem).splitlines() if line.strip()]
    return textwrap.shorten(lines[0], 200, placeholder=" ...") if lines else type(problem).__name__


async def _check_collector() -> Finding:
    from sio_server.settings import hide_password
    from sio_server.trace.exporting import CannotExport, collector_url, try_collector

    url = hide_password(collector_url())
    try:
        taken = await asyncio.to_thread(try_collector)
    except CannotExport as exc:
        return bad(Fact.COLLECTOR_BAD, url=url, reason=str(exc))
    # A node serves without it: its traces are dropped.
    return good(Fact.COLLECTOR_GOOD, url=url) if taken else warn(Fact.COLLECTOR_SILENT, url=url)
