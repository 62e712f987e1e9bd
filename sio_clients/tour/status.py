"""Scene: what the cluster says of itself must fit what the tour has done."""

from __future__ import annotations

import asyncio
from typing import Any

from sio_clients.tour.stage import Stage

SETTLE_S = 10.0  # a session that ended without a goodbye is gone when its node has noticed


async def play_status(stage: Stage) -> dict[str, Any]:
    """Read the cluster's figures and compare those that are known from outside."""
    texts = stage.texts
    expected = {
        "nodes": len(stage.urls),
        "active_sessions": len(stage.devices) + len(stage.others),
        "bus_subscriptions": len(stage.urls),
    }
    deadline = asyncio.get_running_loop().time() + SETTLE_S
    while True:
        status = await stage.status()
        figures = {**status, "nodes": len(status["nodes"])}
        ok = all(figures[name] == value for name, value in expected.items())
        if ok or asyncio.get_running_loop().time() > deadline:
            break
        await asyncio.sleep(0.2)
    table = stage.table("", texts("status.figure"), texts("status.value"), texts("status.expected"))
    for name in (*expected, "conversations", "entries", "runs", "runs_finished"):
        wanted = expected.get(name)
        mark = "" if wanted is None else "[green]✔[/]" if figures[name] == wanted else "[red]✘[/]"
        table.add_row(mark, texts(f"status.{name}"), str(figures[name]), "" if wanted is None else str(wanted))
    stage.console.print(table)
    stage.verdict(
        ok,
        "status.verdict",
        sessions=figures["active_sessions"],
        subscriptions=figures["bus_subscriptions"],
        nodes=figures["nodes"],
    )
    names = ("nodes", "active_sessions", "bus_subscriptions", "conversations", "entries", "runs", "runs_finished")
    return {"ok": ok, **{name: figures[name] for name in names}}
