"""The chat page stays small, speaks two languages in full, and makes nodes of nothing but its own."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

WEB = Path(__file__).parents[2] / "web"
PAGE = (WEB / "index.html").read_text()
WORDS = {language: json.loads((WEB / "words" / f"{language}.json").read_text()) for language in ("en", "zh")}
LIMIT = 60_000  # of what is loaded before the page can be used
LIMIT_OF_ALL = 95_000

STATIC_IMPORT = re.compile(r"""^(?:import|export)\b[^;"']*?["'](\.[^"']+)["'];""", re.MULTILINE)
# A module that is fetched later: `name: new Lazy((q) => import(`./folder/module.js${q}`))`.
LAZY = re.compile(r"^  (\w+): new Lazy\(\(q\) => import\(`\./([\w/]+\.js)\$\{q\}`\)\),", re.MULTILINE)
# One that is needed once, where it is needed. The stage's is for its own frames.
ONCE = re.compile(r"""\bawait import\("(\.(?!/stage/)[^"]+)"\)""")
# A value, or the form that goes with a number: "{n|message|messages}".
VALUE = re.compile(r"\{(\w+)(?:\|[^}]*)?\}")
CJK = re.compile(r"[\u4e00-\u9fff]")


def loaded(*start: Path) -> set[Path]:
    """The modules of ours that are loaded with these."""
    found: set[Path] = set()
    due = list(start)
    while due:
        module = due.pop().resolve()
        if module not in found:
            found.add(module)
            due += [module.parent / name for name in STATIC_IMPORT.findall(module.read_text())]
    return found


JS = WEB / "js"
AT_START = loaded(JS / "main.js")
LAZY_JS = (JS / "lazy.js").read_text()
LATER = {name: JS / module for name, module in LAZY.findall(LAZY_JS)}
ONCE_NEEDED = {(module.parent / name).resolve() for module in AT_START for name in ONCE.findall(module.read_text())}
ON_DEMAND = loaded(*LATER.values(), *ONCE_NEEDED)
CODE = {module: module.read_text() for module in sorted(AT_START | ON_DEMAND)}


def test_the_page_s_own_javascript_is_below_its_limits() -> None:
    sizes = {str(module.relative_to(JS)): module.stat().st_size for module in CODE}
    start = {name: size for name, size in sizes.items() if JS / name in AT_START}
    assert sum(start.values()) < LIMIT, start
    assert sum(sizes.values()) < LIMIT_OF_ALL, sizes


def test_every_module_is_used_and_says_first_what_it_is_for() -> None:
    stage = JS / "stage"
    assert set(CODE) == {path.resolve() for path in JS.rglob("*.js") if stage not in path.parents}
    for module, code in CODE.items():
        assert code.startswith("// "), module


def test_what_comes_later_is_not_loaded_at_the_start_and_is_fetched_when_idle() -> None:
    """Otherwise it is missing when the node dies. The others are fetched before, or not needed by this page."""
    assert not {*LATER.values(), *ONCE_NEEDED} & AT_START
    assert LAZY_JS.count("import(") == len(LATER), "each is declared in the same form"
    assert {module.name for module in ONCE_NEEDED} == {"sign_in.js"}


def test_a_module_that_comes_later_is_called_by_its_declared_name() -> None:
    used = {name for code in CODE.values() for name in re.findall(r"\blazy\.(\w+)\.load", code)}
    used |= set(re.findall(r'data-by="(\w+)"', PAGE))
    assert used == set(LATER)


def test_both_languages_have_the_same_words_with_the_same_values() -> None:
    en, zh = WORDS["en"], WORDS["zh"]
    assert list(en) == list(zh)
    for key, text in en.items():
        assert text.strip(), key
        assert zh[key].strip(), key
        assert set(VALUE.findall(zh[key])) <= set(VALUE.findall(text)), key
    assert all(CJK.search(text) for key, text in zh.items() if key not in ("locale", "language"))
    assert not any(CJK.search(text) for key, text in en.items() if key != "language")


def test_every_word_that_is_used_exists_and_every_word_is_used() -> None:
    code = "\n".join(CODE.values())
    used = set(re.findall(r"\bt\(\s*\"(\w+)\"", code)) | set(re.findall(r'data-(?:t|label)="(\w+)"', PAGE))
    assert used <= set(WORDS["en"]), used - set(WORDS["en"])
    # The others are named by what is told: settings, states, kinds of entries and codes of errors.
    quoted = used | set(re.findall(r"[\"'`](\w+)[\"'`]", code)) | set(re.findall(r'value="(\w+)"', PAGE))
    unused = {key for key in WORDS["en"] if key not in quoted and not key.startswith(("entry_", "error_"))}
    assert unused <= {"called", "done", "failed", "locale"}, unused


@pytest.mark.parametrize(
    "forbidden",
    [
        r"innerHTML",
        r"outerHTML",
        r"insertAdjacentHTML",
        r"document\.write",
        r"\beval\(",
        r"new Function",
        r"DOMParser",
    ],
)
def test_nothing_makes_nodes_or_code_of_text(forbidden: str) -> None:
    for path in [*JS.rglob("*.js"), WEB / "index.html"]:
        assert not re.search(forbidden, path.read_text()), path


def test_the_page_has_no_inline_script_or_style_and_each_id_once() -> None:
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=", PAGE)
    ids = re.findall(r'\bid="([^"]+)"', PAGE)
    assert len(ids) == len(set(ids))
    for user in ("href", "popovertarget", "aria-controls", "aria-labelledby"):
        for name in re.findall(rf'\b{user}="#?([\w-]+)"', PAGE):
            assert name in ids, (user, name)


def test_what_the_page_asks_for_by_id_is_there() -> None:
    ids = set(re.findall(r'\bid="([^"]+)"', PAGE))
    for module, code in CODE.items():
        assert set(re.findall(r'(?<![\w$])\$\("([^"]+)"\)', code)) <= ids, module
        assert {f"t-{name}" for name in re.findall(r'\bis: "([\w-]+)"', code)} <= ids, module


def test_dependencies_are_pinned_and_name_no_registry() -> None:
    package = json.loads((WEB / "package.json").read_text())
    for version in [*package["dependencies"].values(), *package["devDependencies"].values()]:
        assert re.fullmatch(r"\d+\.\d+\.\d+", version)
    assert "resolved" not in (WEB / "package-lock.json").read_text()
