"""What the concierge shows of itself comes as devices draw it: tool steps, thoughts, and a text that streams."""

from __future__ import annotations

from typing import Any

import pytest

from sio_server.protocol.events import EntryType


async def answered(client: Any, conversation_id: str, text: str) -> dict[str, Any]:
    """Say a text in a new conversation; the data of the answer."""
    await client.call("conversation:create", {"conversation_id": conversation_id, "access": "open"})
    ack = await client.call("message:send", {"conversation_id": conversation_id, "text": text})
    assert ack["ok"]
    entry = await client.event("entry:appended", 30.0, conversation_id=conversation_id, type=EntryType.ANSWER)
    return dict(entry["data"])


@pytest.mark.parametrize("text", ["Show me what you can do", "展示一下你能做什么"])
async def test_the_showcase_reports_two_tool_steps_before_the_text_streams(raw_client, new_id, text):
    client = await raw_client(0)
    data = await answered(client, new_id, text)
    assert [(tool["name"], tool["status"]) for tool in data["tools"]] == [
        ("find_rooms", "done"),
        ("find_free_times", "done"),
    ]
    assert "```python" in data["text"]
    written = client.named("run:written")
    reported = [report["tool"]["status"] for event in written for report in event["reports"] if "tool" in report]
    assert reported == ["called", "called", "done", "done"]
    assert len([event for event in written if event["parts"]]) > 3


async def test_a_story_has_a_part_of_thoughts_and_a_text(raw_client, new_id):
    client = await raw_client(0)
    data = await answered(client, new_id, "Tell me a long story about a lighthouse")
    assert [part["kind"] for part in data["parts"]] == ["reasoning", "text"]
    assert data["text"].startswith("On the last rock")
