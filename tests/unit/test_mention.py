"""A message speaks to whom it names as a word."""

import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sio_server.protocol import mention
from sio_server.protocol.mention import mentions
from sio_server.protocol.text import is_blank, is_invisible


def mentions_agent(text: str) -> bool:
    return bool({"agent", "concierge"} & set(mentions(text)))


@pytest.mark.parametrize(
    "text",
    [
        "@agent",
        "@concierge book a room",
        "hello @Concierge, are you there?",
        "@AGENT!",
        "(@agent)",
        "line one\n@concierge line two",
        "你好，@concierge",
        "@concierge我想订房间",
        "@agent：你好",
        "@ann @agent",
        "＠agent",
        "你好＠ａｇｅｎｔ，帮我订房间",
        "＠ＣＯＮＣＩＥＲＧＥ",
        "@agent：hello",
        "﹫agent．hello",
        "ann@example.com and @agent",
    ],
)
def test_a_text_that_names_the_agent_mentions_it(text: str) -> None:
    assert mentions_agent(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "agent",
        "the concierge",
        "@",
        "@ agent",
        "@agents",
        "@agent-smith",
        "@agent_2",
        "@concierge2",
        "ann@agent.example",
        "x@concierge",
        "@@agent",
        "@agen",
    ],
)
def test_a_text_that_only_looks_like_a_mention_does_not_mention_the_agent(text: str) -> None:
    assert not mentions_agent(text)


@given(st.text(), st.sampled_from(["@agent", "@concierge", "@CONCIERGE"]), st.text())
def test_between_spaces_the_name_is_found_in_any_text(before: str, name: str, after: str) -> None:
    assert mentions_agent(f"{before} {name} {after}")


@given(st.text().filter(lambda text: not set("@＠﹫") & set(text)))
def test_without_an_at_sign_nothing_is_a_mention(text: str) -> None:
    assert not mentions_agent(text)


@pytest.mark.parametrize("text", ["你好@concierge", "请@agent帮忙"])
def test_chinese_needs_no_space_before_the_name(text: str) -> None:
    assert mentions_agent(text)


def test_every_name_is_given_once_in_lower_case() -> None:
    assert mentions("@Support_Agent and @support_agent, also @my.graph: and @a:b.") == [
        "support_agent",
        "my.graph",
        "a:b",
    ]


def test_every_character_that_is_an_at_sign_by_nfkc_is_looked_for() -> None:
    signs = {sign for sign in map(chr, range(sys.maxunicode + 1)) if "@" in unicodedata.normalize("NFKC", sign)}
    assert signs == set(mention._SIGNS)


def test_a_text_that_begins_with_any_ascii_character_is_blank_only_if_that_shows_nothing() -> None:
    for character in map(chr, range(128)):
        assert is_blank(character) == is_invisible(character)
