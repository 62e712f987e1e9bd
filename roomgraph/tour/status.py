"""Scene: what the cluster says of itself must fit what the tour has done."""

from __future__ import annotations

import asyncio
from typing import Any

from roomgraph.tour.stage import Stage

SETTLE_S = 10.0  # a session that ended without a goodbye is gone when its node has noticed


async def play_status(stage: Stage) -> dict[str, Any]:
    """Read the cluster's figures and compare those that are known from outside."""
    texts = stage.texts
    ours = len(stage.devices) + len(stage.others)
    deadline = asyncio.get_running_loop().time() + SETTLE_S
    while True:
        status = await stage.status()
        figures = {**status, "nodes": len(status["nodes"])}
        # On a cluster that others use as well, or behind a load balancer, only bounds can be known.
        nodes = len(set(stage.urls)) if stage.alone else figures["nodes"]
        expected = {"nodes": nodes, "active_sessions": ours, "bus_subscriptions": nodes}
        held = {
            name: figures[name] == value
            or (not stage.alone and name == "active_sessions" and figures[name] > value)
            for name, value in expected.items()
        }
        ok = all(held.values())
        if ok or asyncio.get_running_loop().time() > deadline:
            break
        await asyncio.sleep(0.2)
    table = stage.table("", texts("status.figure"), texts("status.value"), texts("status.expected"))
    for name in (*expected, "conversations", "entries", "runs", "runs_finished"):
        wanted = expected.get(name)
        mark = "" if wanted is None else "[green]✔[/]" if held[name] else "[red]✘[/]"
        at_least = "≥ " if name == "active_sessions" and not stage.alone else ""
        shown = "" if wanted is None else f"{at_least}{wanted}"
        table.add_row(mark, texts(f"status.{name}"), str(figures[name]), shown)
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
