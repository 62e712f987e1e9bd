"""A shop in FastAPI with a Roomgraph node in the same process: it tells customers about their orders.

SHOP_KEY=$(python -c 'import secrets; print(secrets.token_urlsafe(32))') uvicorn shop:app --port 8000
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from fastapi import FastAPI

from sio_server.node import Node
from sio_server.settings import load_settings

KEY = os.environ["SHOP_KEY"]
# The rest is read from the environment: REDIS_URL, PORT of the node, AUTH_SECRET ...
SETTINGS = load_settings(service_keys=f"shop:{KEY}")
API = f"http://127.0.0.1:{SETTINGS.port}{SETTINGS.base_path}/api/v1"


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """The node serves as long as the shop does. People's pages reach it at its own port, or through the proxy."""
    async with Node(SETTINGS), aiohttp.ClientSession(headers={"Authorization": f"Bearer {KEY}"}) as http:
        app.state.http = http
        yield


app = FastAPI(lifespan=lifespan)


async def ask(path: str, key: str, body: dict[str, Any]) -> dict[str, Any]:
    """A change through the API: the same key again changes nothing, so a repeated request is harmless."""
    headers = {"Idempotency-Key": key}
    async with app.state.http.post(f"{API}{path}", json=body, headers=headers) as response:
        response.raise_for_status()
        answer: dict[str, Any] = await response.json()
        return answer


@app.post("/orders/{order_id}/sent")
async def order_sent(order_id: int, customer: str) -> dict[str, Any]:
    """An order has been sent: tell its customer, in the conversation about the order."""
    about = {"title": f"Order {order_id}", "user": {"user_id": customer}}
    conversation = (await ask("/conversations", f"order-{order_id}", about))["conversation_id"]
    message = {"text": f"Order {order_id} is on its way.", "run": False}
    return await ask(f"/conversations/{conversation}/messages", f"order-{order_id}-sent", message)
