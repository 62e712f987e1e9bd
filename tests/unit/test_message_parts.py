"""A message as parts, whichever provider wrote it."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import AIMessage

from sio_server.dialog.message_parts import MAX_CITATIONS, MAX_DATA_CHARS, MAX_DATA_URL_BYTES, data_part, parts_of
from sio_server.dialog.streaming import Part

LINK = {"url": "https://a", "title": "A"}
CASES: dict[str, tuple[AIMessage, list[Part]]] = {
    "Anthropic's thinking and citations": (
        AIMessage(
            [
                {"type": "thinking", "thinking": "hm", "signature": "s"},
                {"type": "text", "text": "It is "},
                {
                    "type": "text",
                    "text": "so",
                    "citations": [
                        {"type": "web_search_result_location", **LINK, "cited_text": "c", "encrypted_index": "e"}
                    ],
                },
                {"type": "text", "text": "."},
            ],
            response_metadata={"model_provider": "anthropic"},
        ),
        [
            Part("reasoning", "Guide", "hm"),
            Part("text", "Guide", "It is so."),
            Part("citation", "Guide", data={**LINK, "text": "c"}),
        ],
    ),
    "OpenAI's reasoning, annotations and refusal": (
        AIMessage(
            [
                {
                    "type": "reasoning",
                    "id": "r",
                    "summary": [{"type": "summary_text", "text": t} for t in ("a", "b")],
                },
                {
                    "type": "text",
                    "text": "hi",
                    "annotations": [{"type": "url_citation", **LINK, "start_index": 0}],
                },
                {"type": "refusal", "refusal": " no"},
            ],
            response_metadata={"model_provider": "openai"},
        ),
        [
            Part("reasoning", "Guide", "a\n\nb"),
            Part("text", "Guide", "hi no"),
            Part("citation", "Guide", data=LINK),
        ],
    ),
    "an image within a text": (
        AIMessage(
            [
                {"type": "text", "text": "a"},
                {"type": "image", "url": "https://b/c.png"},
                {"type": "text", "text": "d"},
            ]
        ),
        [
            Part("text", "Guide", "a"),
            Part("image", "Guide", data={"mime_type": "image/png", "url": "https://b/c.png"}),
            Part("text", "Guide", "d"),
        ],
    ),
    "an image address of OpenAI's form": (
        AIMessage(
            [{"type": "image_url", "image_url": {"url": "https://b/c.png"}}],
            response_metadata={"model_provider": "openai"},
        ),
        [Part("image", "Guide", data={"mime_type": "image/png", "url": "https://b/c.png"})],
    ),
    "a file that the provider keeps": (
        AIMessage([{"type": "file", "file_id": "f-1"}]),
        [Part("file", "Guide", data={"mime_type": "application/octet-stream", "url": "", "name": "f-1"})],
    ),
    "half a character": (AIMessage("a\ud800"), [Part("text", "Guide", "a\ufffd")]),
    "a tool call": (AIMessage("", tool_calls=[{"name": "t", "args": {}, "id": "1"}]), []),
}


@pytest.mark.parametrize("name", CASES)
def test_a_message_is_told_as_parts(name: str) -> None:
    message, expected = CASES[name]
    assert parts_of(message, "Guide") == expected


@pytest.mark.parametrize(("characters", "whole"), [(MAX_DATA_URL_BYTES - 22, True), (MAX_DATA_URL_BYTES, False)])
def test_an_image_above_the_limit_is_named_and_not_sent(characters: int, whole: bool) -> None:
    encoded = "A" * (characters // 4 * 4)
    (part,) = parts_of(AIMessage([{"type": "image", "base64": encoded, "mime_type": "image/png"}]), "Guide")
    assert part.data is not None
    assert ("url" in part.data) == whole
    if not whole:
        assert part.data == {"mime_type": "image/png", "size": characters // 4 * 3, "omitted": "too_large"}


def test_of_many_citations_each_is_told_once_and_a_limited_number_in_all() -> None:
    cited: list[Any] = [{"type": "citation", "url": f"https://{n // 2}"} for n in range(4 * MAX_CITATIONS)]
    parts = parts_of(AIMessage([{"type": "text", "text": "x", "annotations": cited}]), "Guide")
    assert len({str(part.data) for part in parts[1:]}) == len(parts) - 1 == MAX_CITATIONS


def test_structured_output_is_bounded() -> None:
    assert data_part({"a": 1}, "Guide").data == {"value": {"a": 1}}
    data = data_part("x" * MAX_DATA_CHARS, "Guide").data
    assert data is not None
    assert len(data["value"]["truncated"]) == MAX_DATA_CHARS
