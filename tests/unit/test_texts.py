"""The terminal says the same things in English and in Chinese."""

import re
from string import Formatter

import pytest

from roomgraph.check.texts import TEXTS as CHECK
from roomgraph.tour.texts import TEXTS as TOUR
from sio_clients.bots.personas import personas
from sio_server.language import LANGUAGES, Texts, detect_language
from sio_server.local.texts import TEXTS as UP

CATALOGUES = {"tour": TOUR, "up": UP, "check": CHECK}
ALL = [
    pytest.param(catalogue, name, id=f"{label}-{name}")
    for label, catalogue in CATALOGUES.items()
    for name in catalogue
]
CJK = re.compile(r"[\u4e00-\u9fff]")
# What is the same in every language: mentions, units and markup.
NEUTRAL = re.compile(r"@\w+|\[[^\]]*\]|\{[^}]*\}", re.ASCII)


def placeholders(text: str) -> set[str]:
    return {field for _, field, _, _ in Formatter().parse(text) if field is not None}


@pytest.mark.parametrize(("catalogue", "name"), ALL)
def test_a_text_exists_in_every_language_and_is_not_empty(catalogue: dict[str, dict[str, str]], name: str) -> None:
    assert set(catalogue[name]) == set(LANGUAGES)
    assert all(text.strip() for text in catalogue[name].values())


@pytest.mark.parametrize(("catalogue", "name"), ALL)
def test_a_text_has_the_same_placeholders_and_markup_in_both_languages(
    catalogue: dict[str, dict[str, str]], name: str
) -> None:
    en, zh = catalogue[name]["en"], catalogue[name]["zh"]
    assert placeholders(en) == placeholders(zh)
    assert re.findall(r"\[[^\]]*\]", en) == re.findall(r"\[[^\]]*\]", zh)


@pytest.mark.parametrize(("catalogue", "name"), ALL)
def test_chinese_texts_are_chinese_and_english_ones_are_not(
    catalogue: dict[str, dict[str, str]], name: str
) -> None:
    en, zh = (NEUTRAL.sub("", catalogue[name][language]) for language in ("en", "zh"))
    assert not CJK.search(en)
    if any(letter.isalpha() for letter in en):
        assert CJK.search(zh)


@pytest.mark.parametrize(("catalogue", "name"), ALL)
def test_a_text_shows_every_value_it_is_given(catalogue: dict[str, dict[str, str]], name: str) -> None:
    values = {field: f"<{field}>" for field in placeholders(catalogue[name]["en"])}
    for language in LANGUAGES:
        text = Texts(language, catalogue)(name, **values)
        assert all(value in text for value in values.values())


def test_a_value_with_braces_is_shown_as_it_is() -> None:
    assert Texts("en", UP)("failed", reason="{path}") == "Cannot start: {path}"


def test_a_name_that_is_not_in_the_catalogue_is_an_error() -> None:
    with pytest.raises(KeyError):
        Texts("en", UP)("nothing")


@pytest.mark.parametrize(
    ("environ", "language"),
    [
        ({}, "en"),
        ({"LANG": "zh_CN.UTF-8"}, "zh"),
        ({"LANG": "ZH_TW"}, "zh"),
        ({"LANG": "en_GB.UTF-8"}, "en"),
        ({"LANG": "de_DE.UTF-8"}, "en"),
        ({"LANG": "C.UTF-8"}, "en"),
        ({"LC_ALL": "en_US.UTF-8", "LANG": "zh_CN.UTF-8"}, "en"),
        ({"LC_ALL": "zh_CN.UTF-8", "LANG": "en_US.UTF-8"}, "zh"),
        ({"LC_MESSAGES": "zh_CN", "LANG": "en_US"}, "zh"),
        ({"LC_ALL": "", "LC_MESSAGES": "", "LANG": "zh_CN"}, "zh"),
        ({"LC_CTYPE": "zh_CN.UTF-8"}, "en"),
    ],
)
def test_the_language_is_that_of_the_locale_and_english_otherwise(environ: dict[str, str], language: str) -> None:
    assert detect_language(environ) == language


@pytest.mark.parametrize("language", LANGUAGES)
def test_people_of_the_tour_have_names_of_their_own_in_their_language(language: str) -> None:
    people = personas(25, language)
    assert len({person.name for person in people}) == 25
    for person in people:
        assert bool(CJK.search(person.name)) == (language == "zh")


@pytest.mark.parametrize("language", LANGUAGES)
def test_people_of_the_tour_never_run_out_of_lines_and_begin_at_different_ones(language: str) -> None:
    people = personas(8, language)
    assert len({person.line(0) for person in people}) == 8
    for person in people:
        assert {person.line(number) for number in range(8)} == set(person.lines)
        assert person.line(8) == person.line(0)
        assert all(bool(CJK.search(line)) == (language == "zh") for line in person.lines)
