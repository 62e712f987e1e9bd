"""The terminal says the same things in English and in Chinese."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from string import Formatter

import pytest

from roomgraph.check.anomalies import AnomalyKind
from roomgraph.conform.client_rules import CLIENT_RULES
from roomgraph.conform.server_rules import SERVER_RULES
from roomgraph.doctor.findings import Fact
from roomgraph.tour.play import SCENES, SPARE_SCENES
from roomgraph.tour.schedule import ActionKind, FaultKind
from sio_clients.bots.personas import personas
from sio_server.language import LANGUAGES, Texts, detect_language, load_texts

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("roomgraph", "sio_server/local")  # those with a folder `words`
# Each section of a catalogue, with the code that may use its texts.
SECTIONS = {
    "up": ("sio_server/local/words", ["sio_server/local"]),
    "tour": ("roomgraph/words", ["roomgraph/tour"]),
    "check": ("roomgraph/words", ["roomgraph/check", "roomgraph/cli"]),
    "conform": ("roomgraph/words", ["roomgraph/conform"]),
    "doctor": ("roomgraph/words", ["roomgraph/doctor"]),
    "chat": ("roomgraph/words", ["roomgraph"]),
}
# Names that code takes from the members of a list: they must all be there.
LISTED: dict[str, Sequence[str]] = {
    "up": [],
    "tour": [
        *SCENES,
        *SPARE_SCENES,
        *(f"fault.{kind}" for kind in FaultKind),
        *(f"action.{kind}" for kind in ActionKind),
    ],
    "check": list(AnomalyKind),
    "doctor": list(Fact),
    "chat": ["edit_help", "respond_help"],
    "conform": [f"rule.{rule.__name__}" for rule in (*SERVER_RULES, *CLIENT_RULES)],
}
# Functions that are given the name of a text, by the position of that argument.
NAMED_AT = {"texts": 0, "say": 0, "tick": 0, "tell": 0, "seconds": 1, "verdict": 1, "ClusterError": 0}
CJK = re.compile(r"[\u4e00-\u9fff]")
# What is the same in every language: mentions, units and markup.
NEUTRAL = re.compile(r"@\w+|\[[^\]]*\]|\{[^}]*\}", re.ASCII)


def catalogue(section: str, language: str) -> dict[str, str]:
    text = (ROOT / SECTIONS[section][0] / f"{language}.json").read_text(encoding="utf-8")
    return json.loads(text)[section]


ALL = [
    pytest.param(section, name, id=f"{section}-{name}")
    for section in SECTIONS
    for name in catalogue(section, "en")
]


def placeholders(text: str) -> set[str]:
    return {field for _, field, _, _ in Formatter().parse(text) if field is not None}


def nodes_of(section: str) -> Iterator[ast.AST]:
    """The syntax tree of all code that may use a section."""
    for folder in SECTIONS[section][1]:
        for path in (ROOT / folder).glob("*.py"):
            yield from ast.walk(ast.parse(path.read_text(encoding="utf-8")))


def strings(node: ast.AST) -> set[str]:
    return {n.value for n in ast.walk(node) if isinstance(n, ast.Constant) and isinstance(n.value, str)}


def patterns(node: ast.AST) -> set[str]:
    """The f-strings in a piece of code, with `*` for what is filled in."""
    return {
        "".join(str(part.value) if isinstance(part, ast.Constant) else "*" for part in n.values)
        for n in ast.walk(node)
        if isinstance(n, ast.JoinedStr)
    }


def function_name(call: ast.Call) -> str:
    function = call.func
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def named(call: ast.Call) -> set[str]:
    """The names of texts in a call that tells one, as far as they stand there."""
    position = NAMED_AT.get(function_name(call).lstrip("_"))
    if position is None or len(call.args) <= position:
        return set()
    argument = call.args[position]
    choices = [argument.body, argument.orelse] if isinstance(argument, ast.IfExp) else [argument]
    return {c.value for c in choices if isinstance(c, ast.Constant) and isinstance(c.value, str)}


@pytest.mark.parametrize("folder", FOLDERS)
def test_both_languages_have_the_same_sections_and_names(folder: str) -> None:
    english, chinese = (
        json.loads((ROOT / folder / "words" / f"{language}.json").read_text(encoding="utf-8"))
        for language in LANGUAGES
    )
    assert list(english) == list(chinese)
    for section in english:
        assert list(english[section]) == list(chinese[section])


def test_every_section_of_the_catalogues_is_checked() -> None:
    catalogues = [json.loads((ROOT / f / "words" / "en.json").read_text(encoding="utf-8")) for f in FOLDERS]
    assert sorted(section for catalogue in catalogues for section in catalogue) == sorted(SECTIONS)


@pytest.mark.parametrize("section", SECTIONS)
def test_every_name_that_is_used_exists_and_gets_the_values_that_its_text_shows(section: str) -> None:
    texts = catalogue(section, "en")
    calls = [node for node in nodes_of(section) if isinstance(node, ast.Call) and named(node)]
    assert calls
    for call in calls:
        given = {keyword.arg for keyword in call.keywords}
        for name in named(call):
            assert name in texts
            if None not in given and function_name(call) != "seconds":  # that one fills in its value itself
                missing = placeholders(texts[name]) - given
                assert not missing, f"{name} is not given {missing}"
    assert set(LISTED[section]) <= set(texts)


@pytest.mark.parametrize("section", SECTIONS)
def test_every_text_is_used(section: str) -> None:
    code = ast.Module(body=[n for n in nodes_of(section) if isinstance(n, ast.stmt)], type_ignores=[])
    used = strings(code) | set(LISTED[section])
    wild = {pattern for pattern in patterns(code) if re.match(r"[\w-]+\.", pattern)}
    unused = [
        name
        for name in catalogue(section, "en")
        if name not in used and not any(fnmatchcase(name, pattern) for pattern in wild)
    ]
    assert unused == []


@pytest.mark.parametrize(("section", "name"), ALL)
def test_a_text_has_the_same_placeholders_and_markup_in_both_languages(section: str, name: str) -> None:
    en, zh = (catalogue(section, language)[name] for language in LANGUAGES)
    assert en.strip()
    assert zh.strip()
    assert placeholders(en) == placeholders(zh)
    assert re.findall(r"\[[^\]]*\]", en) == re.findall(r"\[[^\]]*\]", zh)


@pytest.mark.parametrize(("section", "name"), ALL)
def test_chinese_texts_are_chinese_and_english_ones_are_not(section: str, name: str) -> None:
    en, zh = (NEUTRAL.sub("", catalogue(section, language)[name]) for language in LANGUAGES)
    assert not CJK.search(en)
    if any(letter.isalpha() for letter in en):
        assert CJK.search(zh)


def test_a_value_with_braces_is_shown_as_it_is() -> None:
    assert load_texts("en", "sio_server.local", "up")("failed", reason="{path}") == "Cannot start: {path}"


def test_a_name_that_is_not_in_the_catalogue_and_a_value_that_is_missing_are_errors() -> None:
    texts = Texts("en", {"port": "port {port}"})
    with pytest.raises(KeyError):
        texts("nothing")
    with pytest.raises(KeyError):
        texts("port")


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
