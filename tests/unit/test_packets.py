"""The JSON of packets as a node writes it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from orjson import Fragment

from sio_server.gateway.transport.packets import FrameJson


def test_ready_json_is_put_in_as_it_is() -> None:
    written = FrameJson.dumps(["event", {"entries": Fragment('[{"seq": 1}]')}])
    assert written == '["event",{"entries":[{"seq": 1}]}]'


@pytest.mark.parametrize("value", [2**64, -(2**70), "\ud800", {1: "a"}, 1.5, "é 你好 \u2028", None])
def test_what_the_fast_writer_refuses_is_written_all_the_same_with_ready_json_beside_it(value: Any) -> None:
    written = FrameJson.dumps({"value": value, "ready": Fragment('{"a":[1]}')})
    expected = {"1": "a"} if isinstance(value, dict) else value
    assert json.loads(written) == {"value": expected, "ready": {"a": [1]}}


def test_what_is_not_json_is_an_error() -> None:
    with pytest.raises(TypeError):
        FrameJson.dumps({"value": object()})
