"""Names and texts show something, and nobody passes for an agent by one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sio_server.protocol.names import AgentNames, clean_name, hidden_character, printable, printable_name
from sio_server.protocol.text import is_blank, valid_unicode

BLANK = [
    "",
    " ",
    "\n\t",
    "\u00a0\u3000",
    "\u200b",
    "\u200d\ufeff",
    "\x00\x07",
    "\u2800",
    "\u3164",
    "\ufe0f",
    "\U000e0041",
]
AGENTS = AgentNames(["concierge", "support_agent"])


@pytest.mark.parametrize("text", BLANK)
def test_white_space_controls_and_characters_of_zero_width_show_nothing(text: str) -> None:
    assert is_blank(text)
    assert clean_name(text) == ""


@pytest.mark.parametrize("text", ["a", "\u200b.", "你", "👨\u200d👩\u200d👧", "❤\ufe0f", "\u0301", "\ue000"])
def test_a_text_with_one_visible_character_is_not_blank(text: str) -> None:
    assert not is_blank(text)


@pytest.mark.parametrize(
    ("name", "cleaned"),
    [
        ("  Ann  ", "Ann"),
        ("Ann\nLee", "Ann Lee"),
        ("Ann\u202egnp.exe", "Anngnp.exe"),
        ("Ann \ud83d", "Ann \ufffd"),
        ("👨\u200d👩\u200d👧", "👨\u200d👩\u200d👧"),
        ("\u200b\n", ""),
    ],
)
def test_a_name_is_one_line_of_valid_unicode(name: str, cleaned: str) -> None:
    assert clean_name(name) == cleaned


@given(st.text(st.characters()))
def test_every_cleaned_name_can_be_sent_and_stays_as_it_is(name: str) -> None:
    cleaned = clean_name(name)
    cleaned.encode()
    assert clean_name(cleaned) == cleaned


@pytest.mark.parametrize(
    "name",
    [
        "agent",
        "Agent",
        "ＡＧＥＮＴ",
        "a\u200bgent",
        "concierge",
        "Concierge ",
        "Ｃｏｎｃｉｅｒｇｅ",
        "𝐂𝐨𝐧𝐜𝐢𝐞𝐫𝐠𝐞",
        "Support Agent",
        "support_agent",
        "SUPPORT\u00a0AGENT",
        "agent:concierge",
        "assistant",
        "助手",
        "\u0410gent",  # a Cyrillic letter
        "c\u043encierge",
        "C0nc1erge",
        "Concié\u0301rge",
        "con-cierge.",
    ],
)
def test_a_name_that_reads_as_one_of_an_agent_is_found(name: str) -> None:
    assert AGENTS.include(name)


@pytest.mark.parametrize("name", ["Ann", "Agent Smith", "my agent", "Concierge 2", ""])
def test_other_names_are_nobodys(name: str) -> None:
    assert not AGENTS.include(name)


HIDDEN = [
    "\u202e",
    "\u2066",
    "\u200e",
    "\u061c",
    "\u200b",
    "\ufeff",
    "\xad",
    "\x1b",
    "\n",
    "\u2028",
    "\u3164",
    "\U000e0041",
]


@pytest.mark.parametrize("character", HIDDEN)
def test_what_shows_nothing_or_turns_the_text_is_named_and_left_out(character: str) -> None:
    assert f"U+{ord(character):04X} " in hidden_character(f"An{character}n")
    assert hidden_character(clean_name(f"An{character}n")) == ""


@pytest.mark.parametrize(
    "name", ["Ann", "王小明", "محمد", "می\u200cخواهم", "क्\u200dष", "👩🏽\u200d💻", "❤\ufe0f\u200d🔥"]
)
def test_names_in_any_script_and_emoji_hide_nothing(name: str) -> None:
    assert hidden_character(name) == ""
    assert clean_name(name) == name


def test_a_joiner_between_latin_letters_hides() -> None:
    assert hidden_character("An\u200dn") == "U+200D ZERO WIDTH JOINER"


@given(st.text(st.characters()))
def test_no_name_or_text_moves_the_cursor_of_a_terminal_or_turns_what_follows(text: str) -> None:
    for shown in (printable(text), printable_name(text).removeprefix("\u2068").removesuffix("\u2069")):
        assert not {"\x1b", "\r", "\x9b", "\u202e", "\u2067", "\u2069", "\u200f"} & set(shown)


def test_a_name_that_is_read_from_right_to_left_is_isolated() -> None:
    assert printable_name("محمد") == "\u2068محمد\u2069"
    assert printable_name("Ann") == "Ann"


@given(st.text(st.characters()))
def test_any_text_can_be_made_valid_unicode_and_valid_text_stays(text: str) -> None:
    valid = valid_unicode(text)
    valid.encode()
    assert valid_unicode(valid) == valid
