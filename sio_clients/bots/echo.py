"""A bot that repeats what people say."""

from __future__ import annotations

from collections.abc import Sequence

from sio_clients.client import ChatClient
from sio_clients.conversation import Conversation
from sio_clients.guests import guest_token
from sio_server.protocol.events import Entry, EntryType


async def echo(conversation: Conversation, own_user_id: str) -> None:
    """Answer every message that people have sent since the bot joined with the same text, each once.

    Messages of bots are not answered: two bots in one conversation would answer each other for ever.

    The `request_id` of an answer is made of the message's seq: a bot that is restarted may answer a message
    again, and the log keeps one answer.
    """
    still_history = conversation.card.replayed if conversation.card else 0
    waiting: list[Entry] = []
    async for entry in conversation.entries():
        if entry.type == EntryType.MEMBER_JOINED and entry.author == own_user_id:
            waiting.clear()  # only messages after its join are answered
        elif entry.type == EntryType.MESSAGE and entry.author != own_user_id and not entry.is_by_bot:
            waiting.append(entry)
        still_history -= 1
        if still_history <= 0:
            for message in waiting:
                await conversation.send(f"echo: {message.text}", request_id=f"echo-{message.seq}")
            waiting.clear()


async def run_echo_bot(urls: Sequence[str], conversation_id: str, *, token: str = "") -> None:
    """Join a conversation and echo there for ever."""
    token = token or (await guest_token(urls[0], "Echo bot"))[1]
    async with ChatClient(urls, token, device_name="echo bot", bot=True) as client:
        conversation = await client.join(conversation_id)
        await echo(conversation, client.user_id)
