"""A python-socketio server as it comes, on uvloop: clients join rooms and send messages to them."""

from __future__ import annotations

import os
from typing import Any

import socketio
import uvloop
from aiohttp import web

sio = socketio.AsyncServer(
    async_mode="aiohttp",
    # Each publish that waits has a connection; without the option the 101st is an error and is tried again.
    client_manager=socketio.AsyncRedisManager(os.environ["REDIS_URL"], redis_options={"max_connections": 10_000}),
    transports=["websocket"],
    async_handlers=False,  # a task for each event costs more
    http_compression=False,
    monitor_clients=True,
)


@sio.event
async def join(sid: str, room: str) -> dict[str, Any]:
    await sio.enter_room(sid, room)
    return {"ok": True}


@sio.event
async def send(sid: str, message: dict[str, str]) -> dict[str, Any]:
    await sio.emit("message", message, room=message["room"])
    return {"ok": True}


async def app() -> web.Application:
    application = web.Application()
    sio.attach(application)
    return application


if __name__ == "__main__":
    loop = uvloop.new_event_loop()
    web.run_app(app(), host="127.0.0.1", port=int(os.environ["PORT"]), access_log=None, print=None, loop=loop)
