"""A Django Channels server on uvicorn and uvloop: clients join groups and send messages to them.

The consumer speaks as much of Socket.IO as the load generator needs: it parses and makes JSON once for a message.
"""

from __future__ import annotations

import json
import os
from typing import Any

import django
import uvicorn
from django.conf import settings

settings.configure(
    INSTALLED_APPS=["channels"],
    CHANNEL_LAYERS={
        "default": {
            "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
            "CONFIG": {"hosts": [os.environ["REDIS_URL"]]},
        }
    },
)
django.setup()

from channels.generic.websocket import AsyncWebsocketConsumer  # noqa: E402


class Consumer(AsyncWebsocketConsumer):  # type: ignore[misc]
    async def connect(self) -> None:
        await self.accept()
        await self.send(text_data="40{}")

    async def receive(self, text_data: str = "", bytes_data: bytes = b"") -> None:
        start = text_data.index("[")
        event, value = json.loads(text_data[start:])
        if event == "join":
            await self.channel_layer.group_add(value, self.channel_name)
        else:
            text = f'42["message",{json.dumps(value)}]'
            await self.channel_layer.group_send(value["room"], {"type": "room.message", "text": text})
        await self.send(text_data=f'43{text_data[2:start]}[{{"ok":true}}]')

    async def room_message(self, event: dict[str, Any]) -> None:
        await self.send(text_data=event["text"])


consumer = Consumer.as_asgi()


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] == "websocket":
        await consumer(scope, receive, send)


if __name__ == "__main__":
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=int(os.environ["PORT"]),
        loop="uvloop",
        http="httptools",
        ws="websockets-sansio",
        ws_per_message_deflate=False,
        lifespan="off",
        access_log=False,
        log_level="warning",
    )
