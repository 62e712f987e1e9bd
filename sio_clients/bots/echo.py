"""A bot that says again what people say."""

from __future__ import annotations

from collections.abc import Sequence

from sio_clients.client import ChatClient, guest_token
from sio_clients.conversation import Conversation
from sio_server.protocol.events import EntryType


async def echo(conversation: Conversation, own_user_id: str) -> None:
    """Answer every message of others that comes from now on with the same text, until the client is closed."""
    # The first entries are what had been said before the bot joined.
    before = conversation.card.replayed if conversation.card else 0
    async for entry in conversation.entries():
        before -= 1
        if before < 0 and entry.type == EntryType.MESSAGE and entry.author != own_user_id:
            await conversation.send(f"echo: {entry.text}")


async def run_echo_bot(urls: Sequence[str], conversation_id: str, *, token: str = "") -> None:
    """Join a conversation and echo there for ever."""
    token = token or (await guest_token(urls[0], "Echo"))[1]
    async with ChatClient(urls, token, device_name="echo bot") as client:
        conversation = await client.join(conversation_id)
        await echo(conversation, client.user_id)
