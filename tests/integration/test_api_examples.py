"""The commands in docs/api.md do what they say."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from sio_server.gateway.api.routes import PATH

KEY = "a-service-key-that-only-these-tests-use"
DOCUMENT = (Path(__file__).parents[2] / "docs" / "api.md").read_text(encoding="utf-8")


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl")
async def test_the_examples_of_the_document_are_carried_out(start_cluster: Any) -> None:
    cluster = await start_cluster(1, SERVICE_KEYS=f"shop:{KEY}", BASE_PATH="/chat")
    (commands,) = re.findall(r"^```bash\n(.*?)^```", DOCUMENT, re.MULTILINE | re.DOTALL)
    environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "KEY": KEY, "API": cluster.urls[0] + PATH}
    shell = await asyncio.create_subprocess_exec(
        *("bash", "-euo", "pipefail", "-c", commands), stdout=asyncio.subprocess.PIPE, env=environment
    )
    said, _ = await shell.communicate()
    assert shell.returncode == 0
    decoder, text, answers = json.JSONDecoder(), said.decode(), []
    while text:
        answer, end = decoder.raw_decode(text)
        answers.append(answer)
        text = text[end:]
    posted, run, entries, members, renamed, removed, deleted = answers
    assert (posted["seq"], posted["run_id"]) == (3, None)
    assert run["status"] in ("queued", "running", "answered")
    assert [entry["type"] for entry in entries["entries"]][:4] == [
        *("conversation_created", "member_joined", "message", "message"),
    ]
    assert [one["user_id"] for one in members["members"]] == ["ann", "bob"]
    assert (renamed["changed"], removed["left"], deleted["deleted"]) == (True, True, True)
